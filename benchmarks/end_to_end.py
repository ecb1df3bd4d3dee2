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

from benchmarks import harness
from data_prep.synthetic import dataset as synthetic_dataset
from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.options import option
from ssl_recsys.schema import ITEM, TRAIN, VALIDATION

_K = 50
_OURS, _TUTORIAL, _FASTER = "ours", "tutorial", "tutorial, batches parsed at once"


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    data_dir: str = option("", "Dataset directory; empty: a synthetic one.")
    num_items: int = option(50_000, "Items of the synthetic dataset.", at_least=100)
    num_pairs: int = option(300_000, "Pairs of the synthetic dataset.", at_least=1000)
    embedding_dim: int = option(120, "Width of the embedding tables.", at_least=1)
    hidden_layers: tuple[int, ...] = option((1024, 128), "Sizes of the towers' layers.", at_least=1)
    batch_size: int = option(1024, "Pairs in a batch.", at_least=1)
    learning_rate: float = option(0.05, "Adagrad's learning rate.")
    timed_steps: int = option(20, "Steps of a timed call.", at_least=1)
    quality_steps: int = option(300, "Steps after which Recall@50 is compared.", at_least=1)
    repetitions: int = option(5, "Timed calls of each system.", at_least=1)


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
    from ssl_recsys.data.pairs import load_pairs

    pairs = load_pairs(data_dir, VALIDATION)
    recalls = {}
    for name in (_OURS, _TUTORIAL):
        if compared > taken:
            systems[name].train(compared - taken)
        recalls[name] = _recall(systems[name], pairs)
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
    from ssl_recsys.data.pairs import load_pairs

    run = RunConfig(
        tower=TowerConfig(options.embedding_dim, options.hidden_layers),
        training=TrainingConfig(batch_size=options.batch_size, learning_rate=options.learning_rate),
    )
    ours = training.Training(data_dir, run)
    specs = ours.dataset.features(ITEM)
    vocabularies = tfrs_tutorial.read_vocabularies(data_dir, specs)
    tokens = tfrs_tutorial.tokens_of(ours.dataset.catalog(ITEM), vocabularies, specs)
    examples = scratch / "examples.tfrecord"
    tfrs_tutorial.write_examples(examples, tokens, *load_pairs(data_dir, TRAIN))
    return {
        _OURS: ours,
        **{
            name: tfrs_tutorial.Training(
                [str(examples)], tokens, vocabularies, specs, run, parse_batches=parse_batches
            )
            for name, parse_batches in ((_TUTORIAL, False), (_FASTER, True))
        },
    }


def _recall(system: Any, pairs: Any) -> float:
    """Recall@50 of pairs against the whole catalog, as our model is validated."""
    from ssl_recsys.evaluation.metrics import recall_at
    from ssl_recsys.evaluation.pairs import rank_pairs

    return recall_at(rank_pairs(system.embed, pairs, _K), _K)


if __name__ == "__main__":
    harness.main(Options, measure)
