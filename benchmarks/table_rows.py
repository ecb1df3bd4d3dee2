"""Whether a training step takes longer the more rows its tables have.

    python -m benchmarks.table_rows --output=FILE.json

The trainer's compiled step on batches in memory, by processor time. Three tables hold the rows as
those of a catalogue do: two fifths ids, two fifths title n-grams, one fifth categories. Each batch
looks up as many rows whatever the tables' size, drawn uniformly and another lot in every step, so
that hardly one of a large table is in a cache.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from benchmarks import harness, training_step
from ssl_recsys.config.method import SSLConfig
from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import TABLE_DTYPES, TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.features import Bag, Categorical, FeatureSpec
from ssl_recsys.methods import BASELINE, METHODS
from ssl_recsys.options import option
from ssl_recsys.schema import SIDES

_MAX_RATIO = 1.25
_WARMUPS = 3


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    rows: tuple[int, ...] = option(
        (100_000, 1_000_000, 13_000_000), "Rows of all tables together.", at_least=100
    )
    method: str = option(BASELINE, "Training method.", choices=tuple(METHODS))
    values_per_bag: int = option(3, "Values in each bag; all are there.", at_least=1)
    batch_size: int = option(1024, "Pairs in a batch.", at_least=1)
    embedding_dim: int = option(120, "Width of the tables.", at_least=1)
    hidden_layers: tuple[int, ...] = option((1024, 128), "Sizes of the layers.", at_least=1)
    table_dtype: str = option(TABLE_DTYPES[0], "What tables are kept in.", choices=TABLE_DTYPES)
    repetitions: int = option(15, "Timed steps at each size.", at_least=1)


def measure(options: Options) -> harness.Report:
    """Times the step at each size, one size after the other: the largest fills the memory."""
    timings = {rows: _timed(rows, options) for rows in options.rows}
    lines = [
        harness.Row(
            f"step, {rows:,} rows",
            1000 * timing.median,
            "ms of processor time",
            spread=timing.spread,
        )
        for rows, timing in timings.items()
    ]
    ratio = timings[max(timings)].median / timings[min(timings)].median
    lines.append(harness.Row("largest over smallest", ratio, "x", target=_MAX_RATIO, at_most=True))
    return harness.Report("table_rows", lines)


def _timed(rows: int, options: Options) -> harness.Timing:
    """Processor time of a step."""
    step = _make_step(rows, options, options.repetitions + _WARMUPS)
    return harness.interleave(
        {"step": step}, options.repetitions, warmups=_WARMUPS, clock=time.process_time
    )["step"]


def _make_step(rows: int, options: Options, num_batches: int) -> Callable[[], Any]:
    run = RunConfig(
        tower=TowerConfig(
            embedding_dim=options.embedding_dim,
            hidden_layers=options.hidden_layers,
            table_dtype=options.table_dtype,
        ),
        ssl=SSLConfig(method=options.method),
        training=TrainingConfig(batch_size=options.batch_size, row_wise_adagrad=True),
    )
    features = dict.fromkeys(SIDES, specs(rows, options.values_per_bag))
    return training_step.make_step(run, features, num_batches)


def specs(rows: int, values_per_bag: int) -> tuple[FeatureSpec, ...]:
    """Features whose tables have so many rows together."""
    fifth = rows // 5
    return (
        Categorical("id", 2 * fifth),
        Bag("title_ngrams", 2 * fifth, values_per_bag),
        Bag("categories", rows - 4 * fifth, values_per_bag),
    )


if __name__ == "__main__":
    harness.main(Options, measure)
