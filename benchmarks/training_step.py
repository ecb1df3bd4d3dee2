"""Training steps of all nine methods, as shares of the baseline's and of a matmul's speed.

    python -m benchmarks.training_step --output=FILE.json

Steps at the paper's sizes for Wikipedia, on batches in memory: tables of 120 columns, layers
[1024, 128], 1,024 pairs, three features of which two are full bags of 16 values. One step of each
method in turn, so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import harness
from pipelines.experiments.studies.paper import STEPS_PER_SECOND

# Shares of the baseline's steps/s that are aimed at, and those of the paper (v1, Table 6).
_TARGETS = {"so": 0.93, "do": 0.97, "fm": 0.85, "fd": 0.75, "fd_fm": 0.65, "fd_fm_so": 0.60}
_PAPER = {
    method: round(speed / STEPS_PER_SECOND["baseline"], 2)
    for method, speed in STEPS_PER_SECOND.items()
    if method != "baseline"
}
_MATMUL = "matmul"
_NUM_BATCHES = 4


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's flags."""

    methods: tuple[str, ...] = harness.option(
        ("baseline", "do", "so", "fd", "fm", "fd_so", "fm_so", "fd_fm", "fd_fm_so"), "Methods."
    )
    vocab_size: int = harness.option(200_000, "Rows of each of the three tables.")
    values_per_bag: int = harness.option(16, "Values in each bag; all are there.")
    batch_size: int = harness.option(1024, "Pairs in a batch.")
    embedding_dim: int = harness.option(120, "Width of the tables.")
    first_layer: int = harness.option(1024, "Units of the first layer.")
    last_layer: int = harness.option(128, "Units of the last layer, and of FM's encoders.")
    dropout_granularity: str = harness.option("feature", "What FD and DO drop: feature or value.")
    mixed_precision: bool = harness.option(False, "Dense layers in bfloat16.")
    matmul_size: int = harness.option(2048, "Rows and columns of the matmul.")
    repetitions: int = harness.option(15, "Timed steps of each method.")


def measure(options: Options) -> harness.Report:
    """Times one step of each method in turn."""
    if "baseline" not in options.methods:
        options = dataclasses.replace(options, methods=("baseline", *options.methods))
    steps = {name: _make_step(name, options) for name in options.methods}
    matmul = _make_matmul(options)
    timings = harness.interleave({**steps, _MATMUL: matmul}, options.repetitions, warmups=3)
    baseline = timings["baseline"]
    peak = timings[_MATMUL].rate(2 * options.matmul_size**3)
    achieved = baseline.rate(baseline_flops(options))
    methods = {
        name: {
            "steps_per_second": timings[name].rate(1),
            "share_of_baseline": timings[name].times_as_fast_as(baseline),
            "spread": timings[name].spread,
            "paper_share_of_baseline": _PAPER.get(name),
        }
        for name in options.methods
    }
    rows = [
        harness.Row(
            f"{name}, share of the baseline's steps/s",
            fields["share_of_baseline"],
            target=_TARGETS.get(name),
            spread=fields["spread"],
            note=f"{fields['steps_per_second']:.2f} steps/s; the paper's {_PAPER[name]}",
        )
        for name, fields in methods.items()
        if name != "baseline"
    ]
    rows = [
        harness.Row("baseline", baseline.rate(1), "steps/s", spread=baseline.spread),
        *rows,
        harness.Row("baseline", achieved / 1e9, "GFLOP/s"),
        harness.Row(f"{options.matmul_size} x {options.matmul_size} matmul", peak / 1e9, "GFLOP/s"),
        harness.Row("baseline, share of the matmul's FLOP/s", achieved / peak, target=0.5),
    ]
    details = {"methods": methods, "baseline_share_of_matmul_peak": achieved / peak}
    return harness.Report("training_step", rows, details)


def baseline_flops(options: Options) -> int:
    """Floating-point operations of the matrix products of a baseline step.

    Two towers and the logits; the gradient of a product costs two products. What is not a
    product (pooling, activations, updates) counts as nothing.
    """
    widths = (3 * options.embedding_dim, options.first_layer, options.last_layer)
    towers = 2 * sum(a * b for a, b in itertools.pairwise(widths))
    logits = options.batch_size * options.last_layer
    return 3 * 2 * options.batch_size * (towers + logits)


def _make_step(method: str, options: Options) -> Callable[[], Any]:
    import tensorflow as tf

    from ssl_recsys import config
    from ssl_recsys.model.two_tower import TwoTowerModel
    from ssl_recsys.training.optimizers import make_optimizer

    run = config.RunConfig(
        tower=config.TowerConfig(
            embedding_dim=options.embedding_dim,
            hidden_layers=(options.first_layer, options.last_layer),
        ),
        ssl=config.SSLConfig(
            method=method,
            fm_hidden_layers=(options.last_layer,),
            dropout_granularity=options.dropout_granularity,
        ),
        training=config.TrainingConfig(
            batch_size=options.batch_size, mixed_precision=options.mixed_precision
        ),
    )
    model = TwoTowerModel(_specs(options), run)
    optimizer = make_optimizer(run.training, model.table_variables, model.dense_variables)
    model.compile(optimizer=optimizer)
    step = tf.function(model.train_step)
    batches = itertools.cycle(_batches(options))
    return lambda: float(step(next(batches))["loss"])


def _specs(options: Options) -> tuple[Any, ...]:
    from ssl_recsys import schema

    bag = {"vocab_size": options.vocab_size, "max_values": options.values_per_bag}
    return (
        schema.FeatureSpec("id", schema.CATEGORICAL, vocab_size=options.vocab_size),
        schema.FeatureSpec("title_ngrams", schema.BAG, **bag),
        schema.FeatureSpec("categories", schema.BAG, **bag),
    )


def _batches(options: Options) -> list[dict[str, Any]]:
    import tensorflow as tf

    rng = np.random.default_rng(0)

    def features() -> dict[str, tf.Tensor]:
        return {
            spec.name: tf.constant(
                rng.integers(1, spec.vocab_size, (options.batch_size, spec.max_values)), tf.int32
            )
            for spec in _specs(options)
        }

    return [
        {
            "query": features(),
            "item": features(),
            "item_row": tf.range(options.batch_size),
            "item_log_q": tf.zeros([options.batch_size]),
        }
        for _ in range(_NUM_BATCHES)
    ]


def _make_matmul(options: Options) -> Callable[[], Any]:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    shape = (options.matmul_size, options.matmul_size)
    dtype = tf.bfloat16 if options.mixed_precision else tf.float32
    left, right = (tf.cast(tf.constant(rng.normal(size=shape)), dtype) for _ in range(2))
    product = tf.function(tf.matmul)
    return lambda: product(left, right)[:1].numpy()


if __name__ == "__main__":
    harness.main(Options, measure)
