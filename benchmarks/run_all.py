"""Runs the benchmarks one after the other and prints one table.

    python -m benchmarks.run_all --output_dir=benchmarks/results

Each runs with its defaults in a process of its own. Where one fails, the others still run.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time

from absl import flags

from benchmarks import harness, processes
from ssl_recsys import cli
from ssl_recsys.errors import InputError

BENCHMARKS = (
    "training_step",
    "end_to_end",
    "input_pipeline",
    "data_prep",
    "exact_search",
    "scann_search",
    "memory",
)

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", "benchmarks/results", "Where each benchmark's JSON file goes."
)
_ONLY = flags.DEFINE_list("only", list(BENCHMARKS), "The benchmarks to run.")
_DUMP = flags.DEFINE_string("dump", "", "Wikipedia dump for data_prep; empty: a synthetic one.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Dataset directory for end_to_end; empty: a synthetic one."
)


def main(argv: list[str]) -> None:
    """The command; its status is 1 if a benchmark failed."""
    del argv  # cli.run has refused what is left over.
    unknown = sorted(set(_ONLY.value) - set(BENCHMARKS))
    if unknown:
        raise InputError(f"no benchmark {unknown[0]!r} (there are {', '.join(BENCHMARKS)})")
    results, failed = [], []
    for name in _ONLY.value:
        start = time.monotonic()
        print(f"{name} …", end=" ", flush=True)
        path = pathlib.Path(_OUTPUT_DIR.value) / f"{name}.json"
        done = subprocess.run(_command(name, path), stdout=subprocess.DEVNULL, check=False)
        print(f"{time.monotonic() - start:.0f} s", flush=True)
        if done.returncode:
            failed.append(name)
        else:
            results.append(json.loads(path.read_text(encoding="utf-8")))
    if results:
        print(f"\n{harness.format_table(results)}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        sys.exit(1)


def _command(name: str, output: pathlib.Path) -> list[str]:
    inputs = {"data_prep": f"--dump={_DUMP.value}", "end_to_end": f"--data_dir={_DATA_DIR.value}"}
    arguments = [f"--output={output}", *([inputs[name]] if name in inputs else [])]
    return processes.module(f"benchmarks.{name}", *arguments)


if __name__ == "__main__":
    cli.run(main)
