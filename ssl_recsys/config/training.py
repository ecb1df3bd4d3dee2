"""How a model is trained and validated."""

from __future__ import annotations

import dataclasses

from ssl_recsys.evaluation.metrics import SELECTABLE, VALIDATION_METRIC
from ssl_recsys.options import Options, option

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Options):
    """How the model is trained and validated."""

    batch_size: int = option(1024, "Pairs in a global batch, over all replicas.", at_least=2)
    learning_rate: float = option(0.01, "Adagrad's learning rate.", above=0)
    row_wise_adagrad: bool = option(
        False,
        "One accumulator for each row of an embedding table instead of one for each element, which "
        "halves the memory of tables in training.",
    )
    shard_tables: bool = option(
        False,
        "Split the rows of embedding tables over the replicas, each of which holds and updates its "
        "part; changes no result. Not for several worker processes.",
    )
    max_epochs: int = option(40, "Epochs: passes over the training pairs.", at_least=1)
    weight_averaging: float = option(
        0.0,
        "Validate and export an average of the weights at the ends of epochs (Izmailov et al. "
        "2018): after each, the share of it that stays (0.5: about the last three). It takes the "
        "weights' memory once, twice while validating. 0: off.",
        at_least=0,
        below=1,
    )
    passes_per_epoch: int = option(
        1,
        "Passes over the training pairs that make an epoch, at whose end is one validation and one "
        "checkpoint; more than one where pairs are so few that these take most of the time.",
        at_least=1,
    )
    max_steps: int = option(0, "Stop after this many steps; 0: no limit.", at_least=0)
    init_from: str = option(
        "",
        "Directory of a finished run to begin with, of an earlier dataset, the same features and "
        "layers: tables are carried by token, accumulators if it has --keep_checkpoints.",
    )
    pretrain_epochs: int = option(
        0,
        "Of the epochs, the first so many train on the self-supervised losses alone (the paper's "
        "future work; --alpha=0 leaves plain fine-tuning for the rest).",
        at_least=0,
    )
    patience: int = option(
        0,
        "Stop after this many epochs without a better validation metric (--select_by); 0: never.",
        at_least=0,
    )
    select_by: str = option(
        VALIDATION_METRIC, "Validation metric that chooses the best epoch.", choices=SELECTABLE
    )
    trained_item_scale: float = option(
        1.0,
        "Multiply the exported embeddings of items that training pairs hold by this (calibrated "
        "stacking, Chao et al. 2016): below 1 for new items, above 1 against them. 0: the one up "
        "to 1 by which --select_by is best and trained items lose at most 3 % of their recall.",
        at_least=0,
    )
    train_fraction: float = option(
        1.0, "Share of the training pairs to use (a TFDS slice).", above=0, at_most=1
    )
    seed: int = option(0, "Seed of initial weights, order of pairs and random views.")
    strategy: str = option(
        "auto",
        "Where to train; auto takes a TPU if TPU_NAME is set, a cluster if TF_CONFIG is, all GPUs "
        "if there are several, else the one device.",
        choices=STRATEGIES,
    )
    mixed_precision: bool = option(
        False, "Dense layers and the losses' gradients in bfloat16, weights and losses in float32."
    )
    jit_compile: bool = option(False, "Compile the training step with XLA (a TPU always does).")
    checkpoint_minutes: float = option(
        10.0, "Minutes between checkpoints within an epoch; there is one after each epoch.", above=0
    )
    exclude_query: bool = option(
        False,
        "Leave each query's own item out of its ranking, in validation and at the end; off: rank "
        "the whole corpus, as the paper.",
    )
    max_validation_queries: int = option(
        10_000, "Validate on a seeded sample of this many queries; 0: on all.", at_least=0
    )
