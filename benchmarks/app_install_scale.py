"""How long the app-install job takes and how much memory, by the number of events.

    python -m benchmarks.app_install_scale --output=FILE.json

makes synthetic logs, runs the job on each in a process of its own, and writes what was measured.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from absl import flags

from data_prep.compressed import write_aside
from data_prep.synthetic import install_files
from data_prep.synthetic.install_world import InstallWorld
from ssl_recsys import cli, schema
from ssl_recsys.errors import InputError

_OUTPUT = flags.DEFINE_string("output", "app_install_scale.json", "JSON file for the figures.")
_NUM_EVENTS = flags.DEFINE_list("num_events", ["1000000", "3000000", "10000000"], "Sizes of logs.")
_NUM_ITEMS = flags.DEFINE_integer("num_items", 200_000, "Apps in each log.", lower_bound=10)


def measure(num_events: int, num_items: int, directory: Path) -> dict[str, Any]:
    """Makes a log, runs the job, and takes its time and peak memory."""
    world = InstallWorld(num_items, seed=0)
    install_files.write_log(directory, world, num_events)
    install_files.write_items(directory, world)
    command = [
        sys.executable,
        "-m",
        "pipelines.app_install",
        f"--installs={directory / install_files.LOG_FILE}",
        f"--apps={directory / install_files.ITEMS_FILE}",
        f"--output_dir={directory / 'data'}",
    ]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    if status:
        raise RuntimeError(f"the job ended with status {os.waitstatus_to_exitcode(status)}")
    info = schema.read_dataset_info(directory / "data")
    return {
        "num_events": num_events,
        "num_items": info.num_items,
        "num_pairs": sum(info.num_pairs.values()),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_memory_gb": round(_peak_bytes(usage) / 1e9, 2),
        "log_mb": round((directory / install_files.LOG_FILE).stat().st_size / 1e6, 1),
        "dataset_mb": round(sum(_sizes(directory / "data")) / 1e6, 1),
    }


def _peak_bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _sizes(directory: Path) -> list[int]:
    return [path.stat().st_size for path in directory.rglob("*") if path.is_file()]


def main(argv: list[str]) -> None:
    """The command."""
    del argv  # cli.run has refused what is left over.
    try:
        sizes = [int(size) for size in _NUM_EVENTS.value]
    except ValueError as error:
        raise InputError(
            f"--num_events must be numbers with commas between them: {error}"
        ) from error
    runs = []
    for size in sizes:
        directory = Path(tempfile.mkdtemp(prefix="app_install_scale"))
        try:
            runs.append(measure(size, _NUM_ITEMS.value, directory))
        finally:
            shutil.rmtree(directory)
        print(json.dumps(runs[-1]), flush=True)
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    load = os.getloadavg()[0]
    with write_aside(_OUTPUT.value) as stream:
        found = {"machine": machine, "load_at_the_end": load, "runs": runs}
        stream.write((json.dumps(found, indent=2) + "\n").encode())


if __name__ == "__main__":
    cli.run(main)
