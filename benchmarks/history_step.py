"""What a step costs whose queries are users with histories, as a multiple of the item-to-item step.

    python -m benchmarks.history_step --output=FILE.json

The trainer's compiled steps on batches in memory, by processor time, taken in turn. Items have the
paper's six features; a query is an item like them, or a user: an id, and a full history, which
reads the items' own table of ids. Batches, layers and method are the same.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import harness, training_step
from ssl_recsys.config.method import SSLConfig
from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.features import Bag, Categorical, Dense, FeatureSpec
from ssl_recsys.methods import BASELINE, METHODS
from ssl_recsys.options import option
from ssl_recsys.schema import ITEM, QUERY

_MAX_RATIO = 1.5
_ITEM_ID = "app_id"


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    methods: tuple[str, ...] = option((BASELINE, "fd"), "Methods.", choices=tuple(METHODS))
    history: int = option(50, "Items in each history; all are there.", at_least=1)
    vocab_size: int = option(50_000, "Rows of the tables of ids and of title words.", at_least=10)
    title_words: int = option(10, "Values of each title; all are there.", at_least=1)
    categories: int = option(5, "Categories of each item; all are there.", at_least=1)
    batch_size: int = option(1024, "Pairs in a batch.", at_least=1)
    embedding_dim: int = option(120, "Width of the tables.", at_least=1)
    hidden_layers: tuple[int, ...] = option((1024, 128), "Sizes of the layers.", at_least=1)
    mixed_precision: bool = option(False, "Dense layers in bfloat16.")
    repetitions: int = option(9, "Timed steps of each kind and method.", at_least=1)


def measure(options: Options) -> harness.Report:
    """Times one step of each kind of query and method in turn."""
    items = _items(options)
    queries = {"items": items, "histories": _users(options)}
    steps = {
        f"{method}, queries are {kind}": _make_step(method, of_query, items, options)
        for method in options.methods
        for kind, of_query in queries.items()
    }
    timings = harness.interleave(steps, options.repetitions, warmups=3, clock=time.process_time)
    rows = [
        harness.Row(name, 1000 * timing.median, "ms of processor time", spread=timing.spread)
        for name, timing in timings.items()
    ]
    for method in options.methods:
        of_items, of_histories = (timings[f"{method}, queries are {kind}"] for kind in queries)
        ratio = of_histories.median / of_items.median
        rows.append(
            harness.Row(
                f"{method}, histories over items", ratio, "x", target=_MAX_RATIO, at_most=True
            )
        )
    return harness.Report("history_step", rows)


def _items(options: Options) -> tuple[FeatureSpec, ...]:
    """The paper's six features of apps."""
    return (
        Categorical(_ITEM_ID, options.vocab_size),
        Categorical("developer_name", options.vocab_size // 4),
        Bag("categories", options.vocab_size // 10, options.categories),
        Bag("title_words", options.vocab_size, options.title_words),
        Dense("popularity", max_values=2),
        Dense("quality", max_values=2),
    )


def _users(options: Options) -> tuple[FeatureSpec, ...]:
    return (
        Categorical("user_id", options.vocab_size),
        Bag("history", options.vocab_size, options.history, table=_ITEM_ID),
    )


def _make_step(
    method: str,
    queries: Sequence[FeatureSpec],
    items: Sequence[FeatureSpec],
    options: Options,
) -> Callable[[], Any]:
    run = RunConfig(
        tower=TowerConfig(embedding_dim=options.embedding_dim, hidden_layers=options.hidden_layers),
        ssl=SSLConfig(method=method),
        training=TrainingConfig(
            batch_size=options.batch_size, mixed_precision=options.mixed_precision
        ),
    )
    return training_step.make_step(run, {QUERY: queries, ITEM: items})


if __name__ == "__main__":
    harness.main(Options, measure)
