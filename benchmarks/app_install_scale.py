"""How long the app-install job takes and how much memory, by the number of events.

    python -m benchmarks.app_install_scale --output=FILE.json

makes synthetic logs and runs the job on each in a process of its own.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import harness, processes
from data_prep.synthetic import install_files
from data_prep.synthetic.install_world import InstallWorld
from ssl_recsys import schema
from ssl_recsys.options import option


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    num_events: tuple[int, ...] = option(
        (1_000_000, 3_000_000, 10_000_000), "Sizes of logs.", at_least=1
    )
    num_items: int = option(200_000, "Apps in each log.", at_least=10)


def measure(options: Options) -> harness.Report:
    """Runs the job on a log of each size."""
    runs = []
    for num_events in options.num_events:
        with tempfile.TemporaryDirectory(prefix="app_install_scale") as directory:
            runs.append(_run_job(num_events, options.num_items, Path(directory)))
    rows = []
    for run in runs:
        name = f"{run['num_events']:,} events"
        rows.append(harness.Row(f"{name}, time", run["seconds"], "s"))
        rows.append(harness.Row(f"{name}, processor time", run["cpu_seconds"], "s"))
        rows.append(harness.Row(f"{name}, peak memory", run["peak_memory_gb"], "GB"))
    return harness.Report("app_install_scale", rows, {"runs": runs})


def _run_job(num_events: int, num_items: int, directory: Path) -> dict[str, Any]:
    """Makes a log, runs the job, and takes its time and peak memory."""
    world = InstallWorld(num_items, seed=0)
    install_files.write_log(directory, world, num_events)
    install_files.write_items(directory, world)
    usage = processes.run(
        processes.module(
            "pipelines.app_install",
            f"--installs={directory / install_files.LOG_FILE}",
            f"--apps={directory / install_files.ITEMS_FILE}",
            f"--output_dir={directory / 'data'}",
        )
    )
    info = schema.read_dataset_info(directory / "data")
    files = [path for path in (directory / "data").rglob("*") if path.is_file()]
    return {
        "num_events": num_events,
        "num_items": info.num_items,
        "num_pairs": sum(info.num_pairs.values()),
        "seconds": usage.seconds,
        "cpu_seconds": usage.cpu_seconds,
        "peak_memory_gb": usage.peak_bytes / 1e9,
        "log_mb": (directory / install_files.LOG_FILE).stat().st_size / 1e6,
        "dataset_mb": sum(path.stat().st_size for path in files) / 1e6,
    }


if __name__ == "__main__":
    harness.main(Options, measure)
