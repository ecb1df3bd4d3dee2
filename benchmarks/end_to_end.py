"""Training from a dataset directory, ours against a model as TFRS's tutorials write it.

    python -m benchmarks.end_to_end --data_dir=data/wikipedia --output=FILE.json

Both learn from the same pairs with the same sizes, optimizer, learning rate and batch; examples
are counted from files on disk to updated weights. Recall@50 on the validation pairs, after the
same number of steps, shows that what they learn is as good.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import tempfile
from typing import Any

import numpy as np

from benchmarks import harness, synthetic_dataset

_K = 50
_OURS, _TUTORIAL, _FASTER = "ours", "tutorial", "tutorial, batches parsed at once"


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's flags."""

    data_dir: str = harness.option("", "Dataset directory; empty: a synthetic one.")
    num_items: int = harness.option(50_000, "Items of the synthetic dataset.", least=100)
    num_pairs: int = harness.option(300_000, "Pairs of the synthetic dataset.", least=1000)
    embedding_dim: int = harness.option(120, "Width of the embedding tables.")
    hidden_layers: tuple[int, ...] = harness.option((1024, 128), "Sizes of the towers' layers.")
    batch_size: int = harness.option(1024, "Pairs in a batch.")
    learning_rate: float = harness.option(0.05, "Adagrad's learning rate.")
    timed_steps: int = harness.option(20, "Steps of a timed call.")
    quality_steps: int = harness.option(300, "Steps after which Recall@50 is compared.")
    repetitions: int = harness.option(5, "Timed calls of each system.")


def measure(options: Options) -> harness.Report:
    """Trains both systems in turn."""
    with tempfile.TemporaryDirectory(prefix="end_to_end") as name:
        scratch = pathlib.Path(name)
        data_dir = pathlib.Path(options.data_dir) if options.data_dir else scratch / "data"
        if not options.data_dir:
            sizes = synthetic_dataset.Sizes(options.num_items, options.num_pairs)
            synthetic_dataset.write(data_dir, sizes)
        return _measure(data_dir, scratch, options)


def _measure(data_dir: pathlib.Path, scratch: pathlib.Path, options: Options) -> harness.Report:
    systems = _make_systems(data_dir, scratch, options)
    steps = options.timed_steps
    timings = harness.interleave(
        {name: functools.partial(system.train, steps) for name, system in systems.items()},
        options.repetitions,
    )
    taken = steps * (options.repetitions + 1)
    compared = max(taken, options.quality_steps)
    recalls = {}
    for name in (_OURS, _TUTORIAL):
        if compared > taken:
            systems[name].train(compared - taken)
        recalls[name] = _recall(systems[name], data_dir)
    examples = steps * options.batch_size
    rows = [
        harness.Row(name, timing.rate(examples), "examples/s", spread=timing.spread)
        for name, timing in timings.items()
    ]
    ours = timings[_OURS]
    rows += [
        harness.Row("ours over the tutorial", ours.times_as_fast_as(timings[_TUTORIAL]), "x", 2),
        harness.Row("ours over the faster one", ours.times_as_fast_as(timings[_FASTER]), "x"),
    ]
    rows += [
        harness.Row(f"{name}, validation Recall@{_K}", recall, note=f"after {compared} steps")
        for name, recall in recalls.items()
    ]
    return harness.Report("end_to_end", rows)


def _make_systems(
    data_dir: pathlib.Path, scratch: pathlib.Path, options: Options
) -> dict[str, Any]:
    """Our training and the tutorial's, its Examples written to `scratch`."""
    from benchmarks import tfrs_tutorial, training
    from ssl_recsys import config
    from ssl_recsys.data.input_pipeline import load_pairs

    run = config.RunConfig(
        tower=config.TowerConfig(options.embedding_dim, options.hidden_layers),
        training=config.TrainingConfig(
            batch_size=options.batch_size, learning_rate=options.learning_rate
        ),
    )
    ours = training.Training(data_dir, run)
    specs = ours.info.features
    vocabularies = tfrs_tutorial.read_vocabularies(data_dir, specs)
    tokens = tfrs_tutorial.tokens_of(ours.catalog, vocabularies, specs)
    examples = scratch / "examples.tfrecord"
    tfrs_tutorial.write_examples(examples, tokens, *load_pairs(data_dir, "train"))
    return {
        _OURS: ours,
        **{
            name: tfrs_tutorial.Training(
                [str(examples)], tokens, vocabularies, specs, run, parse_batches=parse_batches
            )
            for name, parse_batches in ((_TUTORIAL, False), (_FASTER, True))
        },
    }


def _recall(system: Any, data_dir: pathlib.Path) -> float:
    """Recall@50 on the validation pairs against the whole catalog."""
    from ssl_recsys.data.input_pipeline import load_pairs
    from ssl_recsys.evaluation import metrics
    from ssl_recsys.search.exact import ExactSearch

    query_rows, item_rows = load_pairs(data_dir, "validation")
    distinct, query_of_pair = np.unique(query_rows, return_inverse=True)
    search = ExactSearch(system.embed("item"))
    ranks = search.ranks(system.embed("query", distinct), query_of_pair, item_rows, max_rank=_K)
    return metrics.recall_at(ranks, _K)


if __name__ == "__main__":
    harness.main(Options, measure)
