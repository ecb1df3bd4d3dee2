"""Compiles training steps for TPUs on a machine without one: memory, work, estimated speed.

    make tpu-check

Each step is lowered here and compiled by XLA's TPU compiler in an environment of its own
(`benchmarks.tpu_compile`). Nothing is executed. docs/tpu.md has the table and how to read it.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import harness
from benchmarks.tpu_steps import Step, lower
from ssl_recsys import cli
from ssl_recsys.config.tower import BFLOAT16
from ssl_recsys.errors import InputError
from ssl_recsys.methods import BASELINE, METHODS
from ssl_recsys.options import Options, option

_GB = 1e9


@dataclasses.dataclass(frozen=True)
class Tpu:
    """One chip, by its maker's documentation (cloud.google.com/tpu/docs, pages v5e and v5p).

    Attributes:
      topology: of the smallest slice that can be described.
      flops: peak operations a second in bfloat16, in which a TPU multiplies by default.
      bandwidth: of its memory, bytes a second.
    """

    topology: str
    flops: float
    bandwidth: float


V5E = Tpu("v5e:2x2", 197e12, 819e9)
V5P = Tpu("v5p:2x2x1", 459e12, 2765e9)
# 5.3 million items with vocabularies as in docs/scaling.md.
_LARGE = (5_300_000, 5_300_000, 2_400_000)
CASES = {
    **{method: (V5E, Step(method)) for method in METHODS},
    "large": (V5E, Step(BASELINE, _LARGE)),
    "large_v5p": (V5P, Step(BASELINE, _LARGE)),
    "large_not_padded_v5p": (V5P, Step(BASELINE, _LARGE, column_multiple=1)),
    "large_row_wise": (V5E, Step(BASELINE, _LARGE, row_wise=True)),
    "large_bfloat16": (V5E, Step(BASELINE, _LARGE, row_wise=True, table_dtype=BFLOAT16)),
}


@dataclasses.dataclass(frozen=True)
class CheckOptions(Options):
    """The command's flags."""

    cases: tuple[str, ...] = option(tuple(CASES), "Steps to compile.", choices=tuple(CASES))
    compiler: str = option(".venv-tpu/bin/python", "The Python that has jax and libtpu.")
    output: str = option("", "JSON file for the figures; empty: none.")


def estimated_steps_per_second(tpu: Tpu, flops: float, bytes_accessed: float) -> float:
    """The roofline: no step is faster than its operations or its memory traffic at full speed."""
    return 1 / max(flops / tpu.flops, bytes_accessed / tpu.bandwidth)


def main(options: CheckOptions) -> None:
    """The command; its status is 1 if a step does not compile."""
    if not pathlib.Path(options.compiler).is_file():
        raise InputError(
            f"--compiler={options.compiler} is not there; `make tpu-check` installs it, or name a "
            "Python that has jax and libtpu"
        )
    print(_line("step", "topology", *_COLUMNS), flush=True)
    results = {}
    for name in options.cases:
        tpu, step = CASES[name]
        results[name] = fields = _compiled(tpu, step, options.compiler)
        shown = [fields["error"]] if "error" in fields else list(_cells(tpu, fields))
        print(_line(name, tpu.topology, *shown), flush=True)
    if options.output:
        harness.write_json(options.output, {"benchmark": "tpu_check", "steps": results})
    if failed := [name for name, fields in results.items() if "error" in fields]:
        print(f"not compiled: {', '.join(failed)}", file=sys.stderr)
        sys.exit(1)


def _compiled(tpu: Tpu, step: Step, compiler: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "step"
        path.write_bytes(lower(step, "hlo_serialized"))
        command = [compiler, "-m", "benchmarks.tpu_compile", tpu.topology, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    fields = json.loads(done.stdout.splitlines()[-1])
    if "error" in fields:
        return fields
    speed = estimated_steps_per_second(tpu, fields["flops"], fields["bytes_accessed"])
    return {"topology": tpu.topology, **fields, "estimated_steps_per_second": speed}


_COLUMNS = (
    "arguments", "outputs", "aliased", "temporaries", "peak GB", "GFLOP", "GB moved", "steps/s",
    "compiled in",
)  # fmt: skip


def _cells(tpu: Tpu, fields: Mapping[str, float]) -> Iterator[str]:
    for kind in ("arguments", "outputs", "aliased", "temporaries", "peak"):
        yield f"{fields[kind] / _GB:.2f}"
    yield f"{fields['flops'] / 1e9:.1f}"
    yield f"{fields['bytes_accessed'] / _GB:.2f}"
    yield f"{fields['estimated_steps_per_second']:.0f}"
    yield f"{fields['compile_seconds']:.0f} s"


def _line(name: str, *cells: str) -> str:
    return f"{name:21}" + "".join(f"{cell:>12}" for cell in cells)


if __name__ == "__main__":
    cli.run(main, CheckOptions)
