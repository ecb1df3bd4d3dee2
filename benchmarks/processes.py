"""Commands in processes of their own, with their time and memory.

Linux counts the memory of a parent towards the peak of a child that it starts. So commands are
started by this very file, run as a program that imports next to nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_SHOWN_ERROR_CHARACTERS = 2000


class Usage(NamedTuple):
    """A command's time, memory and standard output.

    Attributes:
      seconds: of wall time.
      cpu_seconds: of its threads and the processes that it waited for.
      peak_bytes: largest resident set of the process itself.
      output: its standard output.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def run(
    command: Sequence[str], *, cores: int = 0, environment: Mapping[str, str] | None = None
) -> Usage:
    """Runs a command to its end.

    Args:
      command: program and arguments.
      cores: how many cores it may use; 0 for all that this process may.
      environment: variables to set besides those of this process.

    Raises:
      RuntimeError: if it fails; the message has the end of its standard error.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "usage.json")
        done = subprocess.run(
            [sys.executable, "-S", __file__, path, str(cores), *command],
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"{' '.join(command)} ended with status {done.returncode}:\n"
                f"{done.stderr[-_SHOWN_ERROR_CHARACTERS:]}"
            )
        with open(path, encoding="utf-8") as file:
            return Usage(**json.load(file), output=done.stdout)


def module(name: str, *arguments: object) -> list[str]:
    """The command that runs a module of this environment."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def resident_bytes() -> int:
    """What this process holds in memory at present, on Linux; 0 elsewhere."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0


def _launch(path: str, cores: int, command: list[str]) -> int:
    """Starts `command` and writes its time and memory to `path`; returns its exit status."""
    if cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    start = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    fields = {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(fields, file)
    return abs(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    sys.exit(_launch(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
