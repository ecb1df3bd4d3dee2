"""Training steps of all methods, as shares of the baseline's and of a matmul's speed.

    python -m benchmarks.training_step --output=FILE.json

Steps at the paper's sizes for Wikipedia, on batches in memory: tables of 120 columns, layers
[1024, 128], 1,024 pairs, three features of which two are full bags of 16 values. The steps are
compiled as the trainer compiles them and taken by one method after the other, one at a time.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import harness
from pipelines.experiments.studies.paper import STEPS_PER_SECOND
from ssl_recsys.config.method import DROPOUTS, SSLConfig
from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.features import Bag, Categorical, FeatureSpec
from ssl_recsys.methods import BASELINE, METHODS
from ssl_recsys.options import option
from ssl_recsys.schema import ITEM, QUERY, SIDES

# Targets: shares of the baseline's steps/s. The paper's are those of version 1, Table 6.
_TARGETS = {"so": 0.93, "do": 0.97, "fm": 0.85, "fd": 0.75, "fd_fm": 0.65, "fd_fm_so": 0.60}
_PAPER = {
    method: round(speed / STEPS_PER_SECOND[BASELINE], 2)
    for method, speed in STEPS_PER_SECOND.items()
    if method != BASELINE
}
_MATMUL = "matmul"
_NUM_BATCHES = 4


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    methods: tuple[str, ...] = option(tuple(METHODS), "Methods.", choices=METHODS)
    vocab_size: int = option(200_000, "Rows of each of the three tables.", at_least=1)
    values_per_bag: int = option(16, "Values in each bag; all are there.", at_least=1)
    batch_size: int = option(1024, "Pairs in a batch.", at_least=1)
    embedding_dim: int = option(120, "Width of the tables.", at_least=1)
    first_layer: int = option(1024, "Units of the first layer.", at_least=1)
    last_layer: int = option(128, "Units of the last layer, and of FM's encoders.", at_least=1)
    dropout_granularity: str = option("feature", "What FD and DO drop.", choices=DROPOUTS)
    mixed_precision: bool = option(False, "Dense layers in bfloat16.")
    matmul_size: int = option(2048, "Rows and columns of the matmul.", at_least=1)
    repetitions: int = option(15, "Timed steps of each method.", at_least=1)


def measure(options: Options) -> harness.Report:
    """Times one step of each method in turn."""
    if BASELINE not in options.methods:
        options = dataclasses.replace(options, methods=(BASELINE, *options.methods))
    steps = {name: _make_step(name, options) for name in options.methods}
    matmul = _make_matmul(options)
    timings = harness.interleave({**steps, _MATMUL: matmul}, options.repetitions, warmups=3)
    baseline = timings[BASELINE]
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
            note=f"{fields['steps_per_second']:.2f} steps/s; the paper's {_PAPER.get(name, '-')}",
        )
        for name, fields in methods.items()
        if name != BASELINE
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
    """One call of the trainer's compiled steps, for a single step of a method."""
    run = RunConfig(
        tower=TowerConfig(
            embedding_dim=options.embedding_dim,
            hidden_layers=(options.first_layer, options.last_layer),
        ),
        ssl=SSLConfig(
            method=method,
            fm_hidden_layers=(options.last_layer,),
            dropout_granularity=options.dropout_granularity,
        ),
        training=TrainingConfig(
            batch_size=options.batch_size, mixed_precision=options.mixed_precision
        ),
    )
    return make_step(run, dict.fromkeys(SIDES, _specs(options)))


def make_step(
    run: RunConfig,
    features: Mapping[str, Sequence[FeatureSpec]],
    num_batches: int = _NUM_BATCHES,
) -> Callable[[], Any]:
    """One call of the trainer's compiled steps, for a single step.

    Args:
      run: the run's configuration.
      features: side -> its features; batches hold random ids, bags as many as they may.
      num_batches: different batches, which come again and again.
    """
    import tensorflow as tf

    from ssl_recsys.training.steps import compile_steps, make_model
    from ssl_recsys.training.strategies import make_strategy

    strategy = make_strategy(run.training.strategy)
    model = make_model(features, run, strategy)
    steps = compile_steps(
        model,
        strategy,
        batch_size=run.training.batch_size,
        jit_compile=run.training.jit_compile,
    )
    batches = iter(_batches(features, run.training.batch_size, num_batches))
    return lambda: float(steps(batches, tf.constant(1))["loss"])


def _specs(options: Options) -> tuple[FeatureSpec, ...]:
    return (
        Categorical("id", options.vocab_size),
        Bag("title_ngrams", options.vocab_size, options.values_per_bag),
        Bag("categories", options.vocab_size, options.values_per_bag),
    )


def _batches(
    features: Mapping[str, Sequence[FeatureSpec]], batch_size: int, num_batches: int
) -> Any:
    """A dataset that repeats a few batches."""
    import tensorflow as tf

    from ssl_recsys.data.batch import Batch

    rng = np.random.default_rng(0)
    shape = (num_batches, batch_size)

    def values(spec: FeatureSpec) -> np.ndarray:
        of_spec = (*shape, spec.max_values)
        if spec.is_embedded:
            return rng.integers(1, spec.vocab_size, of_spec, dtype=np.int32)
        return rng.normal(size=of_spec).astype(np.float32)

    of_side = {side: {spec.name: values(spec) for spec in features[side]} for side in SIDES}
    batches = Batch(
        query=of_side[QUERY],
        item=of_side[ITEM],
        item_row=np.tile(np.arange(batch_size, dtype=np.int32), (num_batches, 1)),
        item_log_q=np.zeros(shape, np.float32),
        ssl={},
    )
    return tf.data.Dataset.from_tensor_slices(batches).cache().repeat().prefetch(2)


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
