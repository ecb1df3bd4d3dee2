"""Peak memory of training and evaluation as the catalogue grows, and a line through it.

    python -m benchmarks.memory --output=FILE.json

Runs the commands `ssl_recsys.train` and `ssl_recsys.evaluate`, each in a process of its own, on
synthetic datasets whose vocabularies grow with the catalogue: for each item one id, one title
n-gram and half a category.
"""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile

import numpy as np

from benchmarks import harness, processes
from data_prep.synthetic import dataset as synthetic_dataset
from ssl_recsys.options import option

_KINDS = ("training", "evaluation")


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    num_items: tuple[int, ...] = option(
        (10_000, 100_000, 1_000_000), "Catalogues' sizes.", at_least=1
    )
    planned_items: int = option(5_300_000, "Items of the catalogue to plan for.", at_least=1)
    num_pairs: int = option(200_000, "Pairs of each dataset.", at_least=1000)
    steps: int = option(20, "Training steps.", at_least=1)
    embedding_dim: int = option(120, "Width of the embedding tables.", at_least=1)
    hidden_layers: tuple[int, ...] = option((1024, 128), "Sizes of the towers' layers.", at_least=1)
    max_queries: int = option(1000, "Queries of validation and evaluation.", at_least=1)


def measure(options: Options) -> harness.Report:
    """Trains and evaluates at each size."""
    peaks: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    for num_items in options.num_items:
        with tempfile.TemporaryDirectory(prefix="memory") as directory:
            for kind, peak in _peaks(pathlib.Path(directory), num_items, options).items():
                peaks[kind].append(peak)
    rows = []
    for kind in _KINDS:
        rows += _rows(kind, np.array(options.num_items), np.array(peaks[kind]), options)
    return harness.Report("memory", rows, {"peak_bytes": peaks})


def _peaks(directory: pathlib.Path, num_items: int, options: Options) -> dict[str, float]:
    """Peak bytes of the two commands."""
    data_dir, model_dir = directory / "data", directory / "run"
    synthetic_dataset.write(data_dir, synthetic_dataset.Sizes(num_items, options.num_pairs))
    training = processes.module(
        "ssl_recsys.train",
        f"--data_dir={data_dir}",
        f"--model_dir={model_dir}",
        f"--max_steps={options.steps}",
        f"--embedding_dim={options.embedding_dim}",
        f"--hidden_layers={','.join(map(str, options.hidden_layers))}",
        f"--max_validation_queries={options.max_queries}",
        "--eval_split=none",
    )
    # Validation pairs: the test pairs were not read.
    evaluation = processes.module(
        "ssl_recsys.evaluate",
        f"--model_dir={model_dir}",
        f"--max_queries={options.max_queries}",
        "--split=validation",
    )
    commands = zip(_KINDS, (training, evaluation), strict=True)
    return {kind: float(processes.run(command).peak_bytes) for kind, command in commands}


def _rows(
    kind: str, num_items: np.ndarray, peaks: np.ndarray, options: Options
) -> list[harness.Row]:
    """The peaks, the line that fits them best relative to their sizes, and what it predicts."""
    slope, constant = np.polyfit(num_items, peaks, 1, w=1 / peaks)
    line = slope * num_items + constant
    planned = slope * options.planned_items + constant
    return [
        *(
            harness.Row(f"{kind}, {items:,} items", float(peak) / 1e9, "GB")
            for items, peak in zip(num_items.tolist(), peaks.tolist(), strict=True)
        ),
        harness.Row(f"{kind}, constant", float(constant) / 1e9, "GB"),
        harness.Row(f"{kind}, for each item", float(slope), "bytes"),
        harness.Row(
            f"{kind}, distance from the line",
            float(np.abs(line / peaks - 1).max()),
            target=0.1,
            at_most=True,
            note="largest, as a share of the peak",
        ),
        harness.Row(f"{kind}, plan for {options.planned_items:,} items", planned / 1e9, "GB"),
    ]


if __name__ == "__main__":
    harness.main(Options, measure)
