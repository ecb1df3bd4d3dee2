"""Trains a two-tower model with self-supervised tasks on a dataset directory.

    python -m ssl_recsys.train --flagfile=configs/wiki_fd.flags

Run again with the same flags, it goes on where it was stopped.
"""

from __future__ import annotations

import pathlib

from absl import flags, logging

from ssl_recsys import cli, config, schema
from ssl_recsys.errors import InputError

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Dataset directory (docs/dataset.md).")
_MODEL_DIR = flags.DEFINE_string("model_dir", None, "Where the run writes everything.")
_RESUME = flags.DEFINE_bool("resume", True, "Take up a run that --model_dir holds.")
_METHOD = flags.DEFINE_enum("method", "baseline", list(config.METHODS), "Training method.")
_STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    config.STRATEGIES,
    "Where to train; auto takes a TPU, a cluster described by TF_CONFIG, or all GPUs.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of weights, order of pairs and random views.")
_MAX_EPOCHS = flags.DEFINE_integer("max_epochs", 40, "Passes over the training pairs.")
_MAX_STEPS = flags.DEFINE_integer("max_steps", 0, "Stop after this many steps; 0: no limit.")
_PATIENCE = flags.DEFINE_integer(
    "patience", 0, "Stop after this many epochs without a better validation Recall@50; 0: never."
)
_PRETRAIN_EPOCHS = flags.DEFINE_integer(
    "pretrain_epochs", 0, "The first epochs, trained on the self-supervised losses alone."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 1024, "Pairs in a step, over all replicas.")
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 0.01, "Adagrad's learning rate.")
_LEARNING_RATE_SCHEDULE = flags.DEFINE_enum(
    "learning_rate_schedule",
    "constant",
    config.LEARNING_RATE_SCHEDULES,
    "Constant, or falling in a line to zero at the run's last step.",
)
_DENSE_OPTIMIZER = flags.DEFINE_enum(
    "dense_optimizer",
    "adagrad",
    config.DENSE_OPTIMIZERS,
    "Optimizer of all but the embedding tables.",
)
_DENSE_LEARNING_RATE = flags.DEFINE_float(
    "dense_learning_rate", 0.0, "Its learning rate; 0: --learning_rate."
)
_EMBEDDING_DIM = flags.DEFINE_integer("embedding_dim", 120, "Width of the embedding tables.")
_HIDDEN_LAYERS = flags.DEFINE_list(
    "hidden_layers",
    ["1024", "128"],
    "Sizes of the towers' layers, the last being the embedding's; empty: matrix factorization.",
)
_POOLING = flags.DEFINE_enum(
    "pooling", "mean", config.POOLINGS, "A bag's sum over its size, or over the root of its size."
)
_VALUE_WEIGHTS = flags.DEFINE_enum(
    "value_weights", "none", config.VALUE_WEIGHTS, "Weights of a bag's values."
)
_SHARED_TOWER = flags.DEFINE_bool("shared_tower", False, "One tower for queries and items.")
_SHARED_PROJECTION = flags.DEFINE_float(
    "shared_projection",
    0.0,
    "Weight of a linear projection of the features that both towers add to their output.",
)
_TEMPERATURE = flags.DEFINE_float("temperature", 0.07, "Softmax temperature tau.")
_SSL_TEMPERATURE = flags.DEFINE_float(
    "ssl_temperature", 0.0, "Temperature of the self-supervised losses; 0: --temperature."
)
_LEARNED_TEMPERATURE = flags.DEFINE_bool(
    "learned_temperature", False, "Train the temperatures from these values."
)
_ALPHA = flags.DEFINE_float("alpha", 1.0, "Weight of each self-supervised loss.")
_DROPOUT_RATE = flags.DEFINE_float("dropout_rate", 0.3, "Feature dropout rate of FD and DO.")
_DROPOUT_GRANULARITY = flags.DEFINE_enum(
    "dropout_granularity",
    "feature",
    config.DROPOUT_GRANULARITIES,
    "Drop whole features, or single values of bags.",
)
_MAIN_DROPOUT_RATE = flags.DEFINE_float(
    "main_dropout_rate", 0.0, "Dropout rate of both towers' features in the main task."
)
_VIEW_MASKING = flags.DEFINE_enum(
    "view_masking",
    "none",
    config.VIEW_MASKINGS,
    "FD's views: of all features, or of complementary halves, random or correlated.",
)
_FM_GROUPS = flags.DEFINE_string(
    "fm_groups",
    "id;*",
    "Feature masking's groups: features separated by ',', groups by ';', * = all others.",
)
_FM_HIDDEN_LAYERS = flags.DEFINE_list(
    "fm_hidden_layers", ["128"], "Layer sizes of feature masking's encoders."
)
_SPREAD_OUT = flags.DEFINE_enum(
    "spread_out", "softmax", config.SPREAD_OUT_LOSSES, "Form of the spread-out loss."
)
_SSL_SIDE = flags.DEFINE_enum(
    "ssl_side", "item", config.SIDES, "Towers that the self-supervised tasks apply to."
)
_SSL_ITEMS = flags.DEFINE_enum(
    "ssl_items",
    "batch",
    config.SSL_ITEMS,
    "Items of the self-supervised tasks: the batch's, or drawn uniformly from the catalog.",
)
_LOGQ_CORRECTION = flags.DEFINE_bool(
    "logq_correction", False, "Correct the in-batch softmax for the items' frequency."
)
_LOGQ_ESTIMATOR = flags.DEFINE_enum(
    "logq_estimator",
    "counts",
    config.LOGQ_ESTIMATORS,
    "The items' frequency, counted beforehand or estimated while training.",
)
_SYMMETRIC_LOSS = flags.DEFINE_bool(
    "symmetric_loss", False, "Add the softmax of items over queries to the main loss."
)
_NEGATIVE_QUEUE = flags.DEFINE_integer(
    "negative_queue", 0, "Item embeddings of earlier steps that are negatives, too; 0: none."
)
_REMOVE_ACCIDENTAL_HITS = flags.DEFINE_bool(
    "remove_accidental_hits", False, "Leave the positive's other occurrences out of the negatives."
)
_TRAIN_FRACTION = flags.DEFINE_float(
    "train_fraction", 1.0, "Share of the training pairs to use (a TFDS slice)."
)
_MIXED_PRECISION = flags.DEFINE_bool(
    "mixed_precision", False, "Dense layers in bfloat16, weights and losses in float32."
)
_JIT_COMPILE = flags.DEFINE_bool("jit_compile", False, "Compile the training step with XLA.")
_CHECKPOINT_MINUTES = flags.DEFINE_float(
    "checkpoint_minutes", 10.0, "Checkpoint this often within an epoch."
)
_MAX_VALIDATION_QUERIES = flags.DEFINE_integer(
    "max_validation_queries", 10_000, "Validate on a seeded sample of queries; 0: on all."
)
_EXCLUDE_QUERY = flags.DEFINE_bool(
    "exclude_query",
    False,
    "Leave each query's own item out of its ranking; off: rank the whole corpus, as the paper.",
)
_EVAL_SPLIT = flags.DEFINE_enum(
    "eval_split",
    "test",
    ["test", "validation", "none"],
    "Split that metrics.json is computed on at the end. With validation or none, the test pairs "
    "are not even read.",
)
_EVAL_MAX_QUERIES = flags.DEFINE_integer(
    "eval_max_queries", 0, "Evaluate on a seeded sample of this many queries; 0: on all."
)


def run_config() -> config.RunConfig:
    """The run that the flags describe.

    Raises:
      InputError: for a value out of range.
    """
    return config.RunConfig(
        tower=config.TowerConfig(
            embedding_dim=_EMBEDDING_DIM.value,
            hidden_layers=_sizes("hidden_layers", _HIDDEN_LAYERS.value),
            pooling=_POOLING.value,
            value_weights=_VALUE_WEIGHTS.value,
            shared=_SHARED_TOWER.value,
            shared_projection=_SHARED_PROJECTION.value,
        ),
        loss=config.LossConfig(
            temperature=_TEMPERATURE.value,
            alpha=_ALPHA.value,
            logq_correction=_LOGQ_CORRECTION.value,
            remove_accidental_hits=_REMOVE_ACCIDENTAL_HITS.value,
            ssl_temperature=_SSL_TEMPERATURE.value,
            learned_temperature=_LEARNED_TEMPERATURE.value,
            logq_estimator=_LOGQ_ESTIMATOR.value,
            symmetric=_SYMMETRIC_LOSS.value,
            negative_queue=_NEGATIVE_QUEUE.value,
        ),
        ssl=config.SSLConfig(
            method=_METHOD.value,
            dropout_rate=_DROPOUT_RATE.value,
            dropout_granularity=_DROPOUT_GRANULARITY.value,
            fm_groups=config.parse_fm_groups(_FM_GROUPS.value),
            fm_hidden_layers=_sizes("fm_hidden_layers", _FM_HIDDEN_LAYERS.value),
            spread_out=_SPREAD_OUT.value,
            side=_SSL_SIDE.value,
            items=_SSL_ITEMS.value,
            view_masking=_VIEW_MASKING.value,
            main_dropout_rate=_MAIN_DROPOUT_RATE.value,
        ),
        training=config.TrainingConfig(
            batch_size=_BATCH_SIZE.value,
            learning_rate=_LEARNING_RATE.value,
            max_epochs=_MAX_EPOCHS.value,
            max_steps=_MAX_STEPS.value,
            train_fraction=_TRAIN_FRACTION.value,
            seed=_SEED.value,
            patience=_PATIENCE.value,
            strategy=_STRATEGY.value,
            mixed_precision=_MIXED_PRECISION.value,
            jit_compile=_JIT_COMPILE.value,
            checkpoint_minutes=_CHECKPOINT_MINUTES.value,
            learning_rate_schedule=_LEARNING_RATE_SCHEDULE.value,
            dense_optimizer=_DENSE_OPTIMIZER.value,
            dense_learning_rate=_DENSE_LEARNING_RATE.value,
            pretrain_epochs=_PRETRAIN_EPOCHS.value,
            exclude_query=_EXCLUDE_QUERY.value,
            max_validation_queries=_MAX_VALIDATION_QUERIES.value,
        ),
    )


def main(argv: list[str]) -> None:
    """Trains, exports and evaluates."""
    del argv
    logging.set_verbosity(logging.WARNING)
    settings = run_config()
    if not _DATA_DIR.value or not _MODEL_DIR.value:
        raise InputError("--data_dir and --model_dir are needed (the configs name both)")
    info = schema.read_dataset_info(_DATA_DIR.value)
    # TensorFlow takes seconds to load: only after the flags are known to be good.
    from ssl_recsys.training import run

    run.train_and_evaluate(
        settings,
        info,
        pathlib.Path(_DATA_DIR.value),
        pathlib.Path(_MODEL_DIR.value),
        resume=_RESUME.value,
        eval_split=_EVAL_SPLIT.value,
        eval_max_queries=_EVAL_MAX_QUERIES.value,
    )


def _sizes(name: str, values: list[str]) -> tuple[int, ...]:
    try:
        return tuple(int(value) for value in values if value.strip())
    except ValueError as error:
        raise InputError(f"--{name} must be whole numbers (got {','.join(values)!r})") from error


if __name__ == "__main__":
    cli.run(main)
