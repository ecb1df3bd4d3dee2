"""The input pipeline alone: pairs from record files to device-ready batches, on one core.

    python -m benchmarks.input_pipeline --output=FILE.json

The measuring process may use one core only, so that nothing is hidden in other threads' time.
"""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile

from benchmarks import harness, processes
from data_prep.synthetic import dataset as synthetic_dataset
from ssl_recsys import schema
from ssl_recsys.options import option


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    data_dir: str = option("", "Dataset directory; empty: a synthetic one.")
    num_items: int = option(200_000, "Items of the synthetic dataset.", at_least=100)
    num_pairs: int = option(4_000_000, "Pairs of the synthetic dataset.", at_least=1000)
    batch_size: int = option(1024, "Pairs in a batch.", at_least=1)
    repetitions: int = option(5, "Timed epochs.", at_least=1)


def measure(options: Options) -> harness.Report:
    """Runs epochs in a process on one core."""
    if options.data_dir:
        return _measure(pathlib.Path(options.data_dir), options)
    with tempfile.TemporaryDirectory(prefix="input_pipeline") as directory:
        sizes = synthetic_dataset.Sizes(options.num_items, options.num_pairs)
        synthetic_dataset.write(pathlib.Path(directory), sizes)
        return _measure(pathlib.Path(directory), options)


def _measure(data_dir: pathlib.Path, options: Options) -> harness.Report:
    arguments = (data_dir, options.batch_size, options.repetitions)
    usage = processes.run(processes.module("benchmarks.input_epochs", *arguments), cores=1)
    num_pairs, *seconds = map(float, usage.output.split())
    timing = harness.Timing(tuple(seconds))
    info = schema.read_dataset_info(data_dir)
    files = (data_dir / schema.PAIRS_DIR).glob("*.tfrecord*")
    bytes_per_pair = sum(path.stat().st_size for path in files) / sum(info.num_pairs.values())
    rows = [
        harness.Row(
            "pairs on one core",
            timing.rate(num_pairs) / 1e6,
            "million/s",
            target=2,
            spread=timing.spread,
        ),
        harness.Row("bytes a pair on disk", bytes_per_pair, target=8, at_most=True),
    ]
    return harness.Report("input_pipeline", rows, {"num_pairs": int(num_pairs)})


if __name__ == "__main__":
    harness.main(Options, measure)
