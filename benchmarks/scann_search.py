"""ScaNN's recall against its speed, on trained item embeddings and on a million made-up ones.

    python -m benchmarks.scann_search --output=FILE.json

The index is the one that `ssl_recsys` builds, the marked point of the curve what it chooses by
itself; the others search more or fewer leaves. Recall is the share of the exact top 10 found.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import tempfile
from typing import Any

import numpy as np

from benchmarks import harness, processes, synthetic_embeddings
from data_prep.synthetic import dataset as synthetic_dataset
from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.errors import InputError
from ssl_recsys.options import option
from ssl_recsys.schema import ITEM, QUERY, VALIDATION

_K = 10
_SCORE_TOLERANCE = 1e-6
# Of the chosen number of leaves.
_CURVE = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    embeddings: str = option("", "Trained item embeddings, .npy; empty: trains some.")
    queries: str = option("", "Query embeddings for them, .npy; empty: items plus noise.")
    trained_items: int = option(200_000, "Items to train embeddings of.", at_least=1000)
    training_steps: int = option(800, "Steps to train them.", at_least=1)
    synthetic_items: int = option(1_000_000, "Made-up embeddings.", at_least=1000)
    dim: int = option(128, "Width of the embeddings.", at_least=1)
    num_queries: int = option(2000, "Queries of a timed call; as many calibrate.", at_least=1)
    repetitions: int = option(3, "Timed calls of each candidate.", at_least=1)


def measure(options: Options) -> harness.Report:
    """Draws a curve for each corpus."""
    rows, curves = [], {}
    for name, corpus in (("trained", _trained), ("synthetic", _synthetic)):
        items, queries = corpus(options)
        found, curves[name] = _measure_corpus(items, queries, options)
        label = f"{len(items):,} {name} items"
        rows += [dataclasses.replace(row, name=f"{label}: {row.name}") for row in found]
    return harness.Report("scann_search", rows, {"curves": curves})


def _measure_corpus(
    items: np.ndarray, queries: np.ndarray, options: Options
) -> tuple[list[harness.Row], dict[str, Any]]:
    from ssl_recsys.search.exact import ExactSearch
    from ssl_recsys.search.scann import ScannSearch

    # Recall is measured on other queries than those that the index is calibrated with.
    sample, queries = queries[::2], queries[1::2]
    resident = processes.resident_bytes()
    index = ScannSearch.build(items, sample_queries=sample)
    resident = processes.resident_bytes() - resident
    exact = ExactSearch(items)
    chosen = index.params
    leaf_counts = sorted(
        {min(chosen.num_leaves, max(1, round(part * chosen.leaves_to_search))) for part in _CURVE}
    )
    points = [dataclasses.replace(chosen, leaves_to_search=leaves) for leaves in leaf_counts]
    searches: dict[str, Any] = {_name(point): index.with_params(point) for point in points}
    timings = harness.interleave(
        {
            name: functools.partial(search.search, queries, _K)
            for name, search in {"exact": exact, **searches}.items()
        },
        options.repetitions,
    )
    lowest = exact.search(queries, _K)[0][:, -1:] - _SCORE_TOLERANCE
    curve = [
        {
            "search": name,
            "chosen": search.params == chosen,
            f"recall@{_K}": float(np.mean(search.search(queries, _K)[0] >= lowest)),
            "queries_per_second": timings[name].rate(len(queries)),
            "times_exact": timings[name].times_as_fast_as(timings["exact"]),
            "spread": timings[name].spread,
        }
        for name, search in searches.items()
    ]
    build = [
        harness.Row("index built and calibrated", index.build_seconds, "s"),
        harness.Row("memory of the index", resident / 1e6, "MB", note="the items not counted"),
        harness.Row(
            "exact",
            timings["exact"].rate(len(queries)),
            "queries/s",
            spread=timings["exact"].spread,
        ),
    ]
    rows = [*build, *(row for point in curve for row in _point_rows(point))]
    return rows, {"params": dataclasses.asdict(chosen), "points": curve}


def _name(params: Any) -> str:
    if not params.num_leaves:
        return "brute force"
    return f"{params.leaves_to_search} of {params.num_leaves} leaves"


def _point_rows(point: dict[str, Any]) -> list[harness.Row]:
    """A point of the curve; with the targets, if it is the chosen one."""
    recall, speedup = point[f"recall@{_K}"], point["times_exact"]
    row = harness.Row(
        point["search"],
        point["queries_per_second"],
        "queries/s",
        spread=point["spread"],
        note=f"recall@{_K} {recall:.4f}, {speedup:.1f} x exact" + ", chosen" * point["chosen"],
    )
    if not point["chosen"]:
        return [row]
    return [
        row,
        harness.Row("chosen, over exact", speedup, "x", target=10),
        harness.Row(f"chosen, recall@{_K}", recall, target=0.97),
    ]


def _synthetic(options: Options) -> tuple[np.ndarray, np.ndarray]:
    items = synthetic_embeddings.clustered_items(options.synthetic_items, options.dim)
    return items, synthetic_embeddings.queries_near(items, 2 * options.num_queries)[0]


def _trained(options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Item and query embeddings from the files named, or of a model trained now."""
    if not options.embeddings:
        with tempfile.TemporaryDirectory(prefix="scann_search") as directory:
            return _train(pathlib.Path(directory), options)
    items = np.load(options.embeddings)
    if not options.queries:
        return items, synthetic_embeddings.queries_near(items, 2 * options.num_queries)[0]
    queries = np.load(options.queries)[: 2 * options.num_queries]
    if queries.shape[1:] != items.shape[1:]:
        raise InputError(
            f"--queries must have the width of --embeddings (got {queries.shape}, {items.shape})"
        )
    return items, queries


def _train(directory: pathlib.Path, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Trains on a synthetic dataset; the queries are those of its validation pairs."""
    from benchmarks.training import Training

    sizes = synthetic_dataset.Sizes(options.trained_items, 5 * options.trained_items)
    synthetic_dataset.write(directory, sizes)
    training = Training(
        directory,
        RunConfig(
            tower=TowerConfig(32, (options.dim, options.dim)),
            training=TrainingConfig(learning_rate=0.05),
        ),
    )
    training.train(options.training_steps)
    rows, _ = training.dataset.pairs(VALIDATION).distinct_queries()
    rows = np.random.default_rng(0).permutation(rows)[: 2 * options.num_queries]
    return training.embed(ITEM), training.embed(QUERY, rows)


if __name__ == "__main__":
    harness.main(Options, measure)
