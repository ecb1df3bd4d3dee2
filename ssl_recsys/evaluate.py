"""Evaluates a trained model on a held-out split, by exact search or ScaNN.

    python -m ssl_recsys.evaluate --model_dir=runs/wiki_fd --retrieval=scann

Several model directories, separated by commas, are shown in one table, and with --compare tested
against the first one. Metrics go to metrics.json, those by ScaNN to metrics_scann.json.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ssl_recsys import cli, files, paths, schema
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation.metrics import DEFAULT_SHOWN, SHOWABLE
from ssl_recsys.options import Options, check_distinct, option
from ssl_recsys.search import EXACT, FLOAT32, REORDER_DTYPES, RETRIEVALS, SCANN
from ssl_recsys.training import run_dir

if TYPE_CHECKING:
    from ssl_recsys.evaluation.summary import RankedPairs
    from ssl_recsys.training.export import Exported

A_MODEL_DIR = "a directory that ssl_recsys.train wrote"
MODEL_DIR = "Directory that ssl_recsys.train wrote."
MAX_QUERIES = "Evaluate on a seeded sample of this many queries; 0: on all."
SCANN_REORDER = (
    "What a ScaNN index keeps of each item to score the best candidates again: bfloat16 takes half "
    "of the memory, int8 a quarter."
)
VERIFY = "Compare the model's files with their manifest, which reads all of them."


@dataclasses.dataclass(frozen=True)
class EvaluateOptions(Options):
    """The command's flags."""

    model_dir: tuple[str, ...] = option(
        (),
        "Directories that ssl_recsys.train wrote.",
        required=A_MODEL_DIR,
    )
    retrieval: str = option(EXACT, "How the corpus is searched.", choices=RETRIEVALS)
    scann_reorder: str = option(
        FLOAT32,
        SCANN_REORDER + " A saved index keeps what it was built with.",
        choices=REORDER_DTYPES,
    )
    split: str = option(
        schema.TEST, "Pairs to evaluate on.", choices=(schema.TEST, schema.VALIDATION)
    )
    max_queries: int = option(0, MAX_QUERIES, at_least=0)
    show: tuple[str, ...] = option(
        DEFAULT_SHOWN,
        "Metrics in the table, and what is listed below it; metrics.json has all of them.",
        choices=SHOWABLE,
    )
    slice: tuple[str, ...] = option(
        (),
        "FEATURE=VALUE: also evaluate the pairs whose item has this value of a categorical or bag "
        "feature, or none with FEATURE=; may be repeated.",
        repeated=True,
    )
    compare: bool = option(
        False,
        "Test each other model of --model_dir against the first, paired by query; the models must "
        "be of one dataset.",
    )
    compare_output: str = option("", "JSON file for the tests of --compare; empty: shown only.")
    exclude_known: bool = option(
        False,
        "Leave the items of a query's training pairs out of its ranking, as is the habit where "
        "queries are users.",
    )
    query_only: tuple[str, ...] = option(
        (),
        "Features that are known of the queries, the others being missing: a title alone is what "
        "free text would be. By default all.",
    )
    data_dir: str = option(
        "", "Dataset directory, for --exclude_known; by default that of the training run."
    )
    verify: bool = option(True, VERIFY)
    exclude_query: bool | None = option(
        None,
        "Leave each query's own item out of its ranking; by default as the model was validated.",
    )


def main(options: EvaluateOptions) -> None:
    """Prints one table and writes each model's metrics."""
    _check(options)
    for model_dir in options.model_dir:
        run_dir.finished_run(model_dir)  # before TensorFlow is loaded
    from ssl_recsys.evaluation import slices
    from ssl_recsys.evaluation.summary import summarize
    from ssl_recsys.training.export import load_export

    results: dict[pathlib.Path, dict[str, Any]] = {}
    compared: dict[str, dict[str, Any]] = {}
    first: tuple[str, Exported, RankedPairs] | None = None
    for path in map(paths.as_path, options.model_dir):
        exported = load_export(path, verify=options.verify)
        items = exported.catalog(schema.ITEM)
        own = slices.items_with(options.slice, items, exported.info, exported.path)
        if options.compare and first is not None:
            _check_comparable(first, (str(path), exported), options.split)
        ranked = _rank(options, path, exported)
        results[path] = summarize(ranked, own)
        if not options.compare:
            continue
        if first is None:
            first = (str(path), exported, ranked)
        else:
            compared[str(path)] = _differences(first[2], ranked, own)
    _write(options, results, compared)


def _check(options: EvaluateOptions) -> None:
    """Refuses a comparison of fewer than two models.

    Raises:
      InputError: with the flag to change.
    """
    check_distinct("--model_dir", options.model_dir)
    if options.compare and len(options.model_dir) < 2:
        raise InputError("--compare needs at least two directories in --model_dir, as in A,B")
    if options.compare_output and not options.compare:
        raise InputError("--compare_output is written by --compare only; add it")


def _rank(options: EvaluateOptions, path: pathlib.Path, exported: Exported) -> RankedPairs:
    from ssl_recsys.serving.index_files import saved_scann
    from ssl_recsys.training import known_items, run

    _check_features(options.query_only, exported)
    known = None
    if options.exclude_known:
        known = known_items.training_pairs(path, exported, options.data_dir)
    is_scann = options.retrieval == SCANN
    return run.rank(
        exported,
        options.split,
        retrieval=options.retrieval,
        max_queries=options.max_queries,
        exclude_query=options.exclude_query,
        scann_reorder=options.scann_reorder,
        scann=saved_scann(path, exported, verify=options.verify) if is_scann else None,
        known=known,
        query_only=options.query_only,
    )


def _check_features(names: Sequence[str], exported: Exported) -> None:
    there = [spec.name for spec in exported.info.features_of(schema.QUERY)]
    for name in names:
        if name not in there:
            raise InputError(f"--query_only={name}: queries have {', '.join(there)}")


def _check_comparable(
    first: tuple[str, Exported, RankedPairs], other: tuple[str, Exported], split: str
) -> None:
    """Refuses two models whose pairs are not the same.

    Raises:
      InputError: if their catalogs, their pairs, or what they rank differ.
    """
    (name, one, _), (other_name, two) = first, other
    same = all(
        np.array_equal(*both)
        for both in (
            (one.catalog(schema.ITEM).keys, two.catalog(schema.ITEM).keys),
            (one.catalog(schema.ITEM).train_count, two.catalog(schema.ITEM).train_count),
            *zip(one.pairs(split), two.pairs(split), strict=True),
        )
    )
    if not same:
        raise InputError(
            f"--compare: {name} and {other_name} are models of different datasets; compare models "
            "that were trained from one dataset directory"
        )


def _differences(
    first: RankedPairs, second: RankedPairs, own: Mapping[str, npt.NDArray[np.bool_]]
) -> dict[str, Any]:
    from ssl_recsys.evaluation import uncertainty

    if first.query_excluded != second.query_excluded:
        raise InputError(
            "--compare: one model was validated with each query's own item in its ranking, the "
            "other without; give --exclude_query or --noexclude_query for both"
        )
    return uncertainty.differences(
        first.ranks, second.ranks, first.query_of_pair, first.masks(own), ks=first.ks
    )


def _write(
    options: EvaluateOptions,
    results: Mapping[pathlib.Path, dict[str, Any]],
    compared: Mapping[str, dict[str, Any]],
) -> None:
    from ssl_recsys.evaluation.details import format_differences
    from ssl_recsys.evaluation.table import format_table

    named = {path.name: metrics for path, metrics in results.items()}
    if len(named) < len(results):  # a/run and b/run
        named = {str(path): metrics for path, metrics in results.items()}
    print(format_table(named, options.show), flush=True)
    first = options.model_dir[0]
    for other, differences in compared.items():
        print("\n" + format_differences(first, other, differences, options.show), flush=True)
    for path, metrics in results.items():
        files.write_json(path / run_dir.metrics_file(options.retrieval), metrics)
    if options.compare_output:
        files.write_json(options.compare_output, {"first": first, "others": compared})


if __name__ == "__main__":
    cli.run(main, EvaluateOptions)
