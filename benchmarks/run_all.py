"""Runs the benchmarks one after the other and prints one table.

    python -m benchmarks.run_all

Each runs with its defaults in a process of its own. Where one fails, the others still run. The
figures of docs/performance.md are in benchmarks/results, which only
`--output_dir=benchmarks/results` overwrites.
"""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess
import sys
import time

from benchmarks import harness, processes
from ssl_recsys import cli, files
from ssl_recsys.options import Options, option

BENCHMARKS = (
    "training_step",
    "end_to_end",
    "input_pipeline",
    "data_prep",
    "sql_tables",
    "exact_search",
    "scann_search",
    "memory",
)


@dataclasses.dataclass(frozen=True)
class RunAllOptions(Options):
    """The command's flags."""

    output_dir: str = option("runs/bench", "Where each benchmark's JSON file is written.")
    only: tuple[str, ...] = option(BENCHMARKS, "The benchmarks to run.", choices=BENCHMARKS)
    dump: str = option("", "Wikipedia dump for data_prep; empty: a synthetic one.")
    tables: str = option("", "Directory of SQL tables for sql_tables; empty: synthetic ones.")
    data_dir: str = option("", "Dataset directory for end_to_end; empty: a synthetic one.")


def main(options: RunAllOptions) -> None:
    """The command; its status is 1 if a benchmark failed."""
    results, failed = [], []
    for name in options.only:
        start = time.monotonic()
        print(f"{name} …", end=" ", flush=True)
        path = pathlib.Path(options.output_dir) / f"{name}.json"
        done = subprocess.run(command(name, path, options), stdout=subprocess.DEVNULL, check=False)
        print(f"{time.monotonic() - start:.0f} s", flush=True)
        if done.returncode:
            failed.append(name)
        else:
            results.append(files.read_json(path))
    if results:
        print(f"\n{harness.format_table(results)}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        sys.exit(1)


def command(name: str, output: pathlib.Path, options: RunAllOptions) -> list[str]:
    """The command that runs one benchmark."""
    inputs = {
        "data_prep": f"--dump={options.dump}",
        "sql_tables": f"--tables={options.tables}",
        "end_to_end": f"--data_dir={options.data_dir}",
    }
    arguments = [f"--output={output}", *([inputs[name]] if name in inputs else [])]
    return processes.module(f"benchmarks.{name}", *arguments)


if __name__ == "__main__":
    cli.run(main, RunAllOptions)
