"""One run from a dataset directory to a metrics file, as `train` and the studies start it."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from ssl_recsys import schema
from ssl_recsys.config import FEATURE_MASKING, RunConfig, resolve_fm_groups
from ssl_recsys.data.catalog import load_catalog
from ssl_recsys.data.input_pipeline import TrainingPairs, load_pairs
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import pairs as evaluation
from ssl_recsys.evaluation.comparison import Comparison
from ssl_recsys.model.embedding import embed_rows
from ssl_recsys.training import run_dir
from ssl_recsys.training.export import Exported, export_run, load_export
from ssl_recsys.training.strategies import device_kind, is_chief, make_strategy
from ssl_recsys.training.trainer import Trainer

_SAMPLE_SEED = 20_070_128


def train_and_evaluate(
    config: RunConfig,
    info: schema.DatasetInfo,
    data_dir: pathlib.Path,
    model_dir: pathlib.Path,
    *,
    resume: bool = True,
    eval_split: str = "test",
    eval_max_queries: int = 0,
) -> None:
    """Trains (or goes on training), exports, evaluates and prints the metrics.

    Args:
      config: the run's configuration.
      info: the dataset's description.
      data_dir: the dataset directory.
      model_dir: the run's directory.
      resume: whether to take up a run that `model_dir` holds.
      eval_split: `test`, `validation` or `none`; the test pairs are read for `test` only.
      eval_max_queries: evaluate on a seeded sample of this many queries; 0 takes all.

    Raises:
      InputError: for anything in the way that the user can mend.
    """
    if FEATURE_MASKING in config.ssl.tasks:
        resolve_fm_groups(config.ssl.fm_groups, info.features)
    # Everything is read before the model directory is touched: bad input leaves no trace.
    strategy = make_strategy(config.training.strategy)
    catalog = load_catalog(data_dir)
    training_pairs = TrainingPairs(
        data_dir,
        catalog,
        batch_size=config.training.batch_size,
        seed=config.training.seed,
        fraction=config.training.train_fraction,
        draw_from_catalog=config.ssl.items == "catalog" and bool(config.ssl.tasks),
    )
    if training_pairs.batch_size < config.training.batch_size:
        logging.warning(
            "--batch_size=%d is more than the %d training pairs: every batch is the whole "
            "training set, and an epoch is one step",
            config.training.batch_size,
            training_pairs.num_pairs,
        )
    held_out = {"validation": load_pairs(data_dir, "validation")}
    if eval_split == "test":
        held_out["test"] = load_pairs(data_dir, "test")
    run_dir.open_run(model_dir, config, data_dir, info, resume=resume)
    print(
        f"{info.name}: {info.num_items:,} items, {training_pairs.num_pairs:,} training pairs, "
        f"{training_pairs.steps_per_epoch:,} steps of {training_pairs.batch_size:,} an epoch; "
        f"{type(strategy).__name__} on {strategy.num_replicas_in_sync} x "
        f"{device_kind(strategy)}",
        flush=True,
    )
    trainer = Trainer(
        info.features,
        catalog,
        training_pairs,
        _sampled(held_out["validation"], config.training.max_validation_queries),
        config,
        strategy,
        model_dir,
    )
    model = trainer.train()
    if not is_chief(strategy):
        return
    export_run(model, catalog, info, training_pairs.item_counts, held_out, model_dir)
    if eval_split == "none":
        return
    results = evaluate(
        load_export(model_dir),
        eval_split,
        max_queries=eval_max_queries,
        exclude_query=config.training.exclude_query,
    )
    run_dir.write_json(model_dir / run_dir.METRICS_FILE, results)
    print(evaluation.format_table({config.ssl.method: results}))


def evaluate(
    exported: Exported,
    split: str,
    *,
    retrieval: str = "exact",
    max_queries: int = 0,
    exclude_query: bool = False,
) -> dict[str, Any]:
    """Metrics of a finished run, in the form of metrics.json.

    Args:
      exported: the run.
      split: `test` or `validation`.
      retrieval: `exact` or `scann`.
      max_queries: evaluate on a seeded sample of this many queries; 0 takes all.
      exclude_query: leave each query's own item out of its ranking.

    Raises:
      InputError: if the run kept no pairs of the split.
    """
    query_rows, item_rows = _sampled(exported.pairs(split), max_queries)
    if len(query_rows) == 0:
        raise InputError(f"the dataset has no {split} pairs to evaluate on")
    distinct, query_of_pair = np.unique(query_rows, return_inverse=True)
    data = evaluation.EvaluationData(
        query_embeddings=embed_rows(exported.query_tower, exported.catalog, distinct),
        query_of_pair=query_of_pair,
        item_rows=item_rows,
        item_embeddings=exported.item_embeddings,
        train_count=exported.catalog.train_count,
        item_counts=exported.item_counts,
        head=exported.info.head,
        split=split,
        query_rows=distinct if exclude_query else None,
    )
    return evaluation.evaluate_pairs(data, retrieval=retrieval)


def compare(
    data_dir: pathlib.Path, methods: Sequence[str], split: str, max_queries: int = 0
) -> dict[str, dict[str, Any]]:
    """Metrics of simple recommenders on the pairs that `evaluate` takes.

    Args:
      data_dir: the dataset directory.
      methods: names of `simple_models.SETTINGS`.
      split: `test` or `validation`.
      max_queries: evaluate on a seeded sample of this many queries; 0 takes all.

    Raises:
      InputError: if the dataset has no pairs of the split, or none to train on.
    """
    info = schema.read_dataset_info(data_dir)
    pairs = {name: load_pairs(data_dir, name) for name in {"train", "validation", split}}
    for name in ("train", split):
        if len(pairs[name][0]) == 0:
            raise InputError(f"{data_dir} has no {name} pairs")
    return Comparison(
        info,
        load_catalog(data_dir),
        train=pairs["train"],
        validation=_sampled(pairs["validation"], max_queries),
        evaluated=_sampled(pairs[split], max_queries),
        split=split,
    ).results(methods)


def _sampled(
    pairs: tuple[np.ndarray, np.ndarray], max_queries: int
) -> tuple[np.ndarray, np.ndarray]:
    query_rows, item_rows = pairs
    if not max_queries:
        return pairs
    chosen = evaluation.sample_queries(query_rows, item_rows, max_queries, _SAMPLE_SEED)
    return query_rows[chosen], item_rows[chosen]
