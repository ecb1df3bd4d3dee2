"""One run from a dataset directory to a metrics file, as `train` and the studies start it."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf

from ssl_recsys import files, paths, schema
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.input_pipeline import TrainingPairs
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.errors import InputError, printable
from ssl_recsys.evaluation import calibration
from ssl_recsys.evaluation import pairs as evaluation
from ssl_recsys.evaluation.left_out import LeftOut
from ssl_recsys.evaluation.summary import RankedPairs, summarize
from ssl_recsys.evaluation.table import format_table
from ssl_recsys.model.two_tower import TwoTowerModel
from ssl_recsys.search import EXACT, FLOAT32
from ssl_recsys.search.scann import ScannSearch
from ssl_recsys.training import auto, finish, known_items, run_dir, warm_start
from ssl_recsys.training.batches import training_pairs
from ssl_recsys.training.export import Exported, export_run, load_export
from ssl_recsys.training.feature_checks import check_features
from ssl_recsys.training.rescale import rescale
from ssl_recsys.training.strategies import device_kind, is_chief, make_strategy
from ssl_recsys.training.train_options import NO_EVALUATION, TrainOptions
from ssl_recsys.training.trainer import Trainer


def train_and_evaluate(options: TrainOptions) -> None:
    """Trains (or resumes training), exports, evaluates and prints the metrics.

    Raises:
      InputError: for anything in the way that the user can mend.
    """
    options = auto.recorded(options)
    model_dir = paths.as_path(options.model_dir)
    info = schema.read_dataset_info(options.data_dir)
    check_features(options.run, info)
    if (step := finish.steps_if_done(options, info)) is not None:
        print(f"{model_dir} is finished after {step:,} steps; there is nothing to do", flush=True)
        return
    # Everything is read before the model directory is touched: bad input leaves no trace.
    dataset = Dataset(options.data_dir, verify=options.verify)
    training = options.run.training
    if training.init_from:
        warm_start.check(info, paths.as_path(training.init_from))
    strategy = make_strategy(training.strategy)
    # The test pairs are not even read where they are not evaluated.
    splits = {schema.VALIDATION, options.eval_split} - {NO_EVALUATION}
    held_out = {split: dataset.pairs(split) for split in sorted(splits)}
    chosen = None
    if options.auto:
        run_dir.check_directory(model_dir, resume=options.resume)  # before the probes
        validation = _validation_pairs(options, held_out)
        options, chosen = auto.choose(options, dataset, validation, strategy)
    pairs = training_pairs(options.run, dataset)
    with contextlib.ExitStack() as held:
        if is_chief(strategy):  # other workers write nothing
            held.enter_context(files.locked(model_dir))
            run_dir.open_run(model_dir, options.run, dataset.data_dir, info, resume=options.resume)
            if chosen is not None:
                files.write_json(model_dir / run_dir.AUTO_FILE, chosen)
            finish.begin(model_dir)
        _train(options, dataset, strategy, pairs, held_out)


def _validation_pairs(options: TrainOptions, held_out: Mapping[str, Pairs]) -> Pairs:
    return evaluation.sample_queries(
        held_out[schema.VALIDATION], options.run.training.max_validation_queries
    )


def _train(
    options: TrainOptions,
    dataset: Dataset,
    strategy: tf.distribute.Strategy,
    pairs: TrainingPairs,
    held_out: Mapping[str, Pairs],
) -> None:
    """The part of a run that writes to its directory."""
    config, model_dir = options.run, paths.as_path(options.model_dir)
    print(
        f"{printable(dataset.info.name)}: {dataset.info.num_items:,} items, "
        f"{pairs.num_pairs:,} training pairs, {pairs.steps_per_epoch:,} steps of "
        f"{pairs.batch_size:,} an epoch; {type(strategy).__name__} on "
        f"{strategy.num_replicas_in_sync} x {device_kind(strategy)}",
        flush=True,
    )
    validation = _validation_pairs(options, held_out)
    trainer = Trainer(dataset, pairs, validation, config, strategy, model_dir)
    model = trainer.train()
    if is_chief(strategy):
        _export_and_evaluate(options, dataset, model, pairs, held_out)
        # Where the model directory is not shared, other workers cannot see that a run is finished.
        if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            finish.finish(options, trainer.step)


def _export_and_evaluate(
    options: TrainOptions,
    dataset: Dataset,
    model: TwoTowerModel,
    pairs: TrainingPairs,
    held_out: Mapping[str, Pairs],
) -> None:
    config, model_dir = options.run, paths.as_path(options.model_dir)
    exclude_query = config.training.exclude_query
    export_run(
        model,
        dataset,
        pairs.item_counts,
        held_out,
        model_dir,
        exclude_query=exclude_query,
        unread_marks=model.unread_marks,
    )
    _scale_trained_items(config.training, model_dir)
    if options.eval_split == NO_EVALUATION:
        return
    exported = load_export(model_dir, verify=False)  # written a moment ago
    results = evaluate(exported, options.eval_split, max_queries=options.eval_max_queries)
    files.write_json(model_dir / run_dir.METRICS_FILE, results)
    print(format_table({config.ssl.method: results}))


def _scale_trained_items(training: TrainingConfig, model_dir: pathlib.Path) -> None:
    """Gives the trained items of a new export their scale."""
    if training.trained_item_scale == 1:
        return
    exported = load_export(model_dir, verify=False)
    scale = training.trained_item_scale or _best_scale(training, exported)
    if scale != 1:
        rescale(exported, model_dir, scale)


def _best_scale(training: TrainingConfig, exported: Exported) -> float:
    if not exported.pairs(schema.VALIDATION):
        print("trained items stay as they are: there are no validation pairs", flush=True)
        return 1.0
    data = evaluation_data(exported, schema.VALIDATION, max_queries=training.max_validation_queries)
    chosen, tried = calibration.choose(data, training.select_by)
    print(calibration.describe(chosen, tried, training.select_by), flush=True)
    return chosen.scale


def evaluate(exported: Exported, split: str, **settings: Any) -> dict[str, Any]:
    """The contents of metrics.json for a finished run; the arguments are those of `rank`."""
    return summarize(rank(exported, split, **settings))


def rank(
    exported: Exported,
    split: str,
    *,
    retrieval: str = EXACT,
    scann_reorder: str = FLOAT32,
    scann: ScannSearch | None = None,
    **chosen: Any,
) -> RankedPairs:
    """The pairs of a split as a finished run ranks them.

    Args:
      exported: the run.
      split: `test` or `validation`.
      retrieval: `exact` or `scann`.
      scann_reorder: what a ScaNN index keeps of the items, see `ScannParams.reorder_dtype`.
      scann: the index for `scann`, over the run's items; built if None.
      **chosen: further arguments of `evaluation_data`.

    Raises:
      InputError: if the run kept no pairs of the split.
    """
    data = evaluation_data(exported, split, **chosen)
    return evaluation.rank_data(data, retrieval=retrieval, scann=scann, reorder_dtype=scann_reorder)


def evaluation_data(
    exported: Exported,
    split: str,
    *,
    max_queries: int = 0,
    exclude_query: bool | None = None,
    known: Pairs | None = None,
    query_only: Collection[str] = (),
) -> evaluation.EvaluationData:
    """The pairs of a split and the embeddings of both sides.

    Args:
      exported: the run.
      split: `test` or `validation`.
      max_queries: evaluate on a seeded sample of this many queries; 0 takes all.
      exclude_query: leave each query's own item out of its ranking; None: as the model was
        validated.
      known: pairs whose items are left out of the rankings of their queries' users, see
        `known_items`; None: none are.
      query_only: features that are known of the queries; none: all.

    Raises:
      InputError: if the run kept no pairs of the split.
    """
    pairs = evaluation.sample_queries(exported.pairs(split), max_queries)
    if not pairs:
        raise InputError(f"the dataset has no {split} pairs to evaluate on")
    if exclude_query is None:
        exclude_query = exported.exclude_query
    queries, query_of_pair = pairs.distinct_queries()
    info = exported.info
    left_out = []
    own = info.own_item_rows(queries) if exclude_query else None
    if own is not None:
        left_out.append(LeftOut.own(own))
    if known is not None:
        left_out.append(known_items.left_out(exported, queries, known))
    return evaluation.EvaluationData(
        query_embeddings=exported.query_embeddings(queries, query_only),
        query_of_pair=query_of_pair,
        item_row=pairs.item_row,
        item_embeddings=exported.item_embeddings,
        train_count=exported.catalog(schema.ITEM).train_count,
        item_counts=exported.item_counts,
        head=exported.info.head,
        split=split,
        left_out=LeftOut.joined(left_out, info.num_items) if left_out else None,
        query_excluded=own is not None,
        known_excluded=known is not None,
        query_only=tuple(query_only),
        query_count=exported.catalog(schema.QUERY).train_count[queries] if info.queries else None,
    )
