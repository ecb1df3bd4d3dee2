"""Processor seconds of the Wikipedia job on Flink beside those of the local runner.

    python -m tests.cluster.cost DUMP.xml.bz2 ...

The first dump is read for a start, which has Java load and compile its classes; then a tiny one,
which says what every job takes to start, and the given ones; each by the local runner and on a
Flink of one task manager. Datasets must be equal. Processor seconds are those of the command and,
on Flink, of all of the cluster's processes and Python workers while it ran.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

from tests.cluster import java, jobs
from tests.cluster.__main__ import leave_the_network
from tests.cluster.flink import ROOT, Flink, write_worker
from tests.cluster.processes import Processes

_TICKS = os.sysconf("SC_CLK_TCK")


def main(dumps: Sequence[str]) -> None:
    if not dumps:
        sys.exit("error: name a dump, better two of different sizes")
    if reason := java.missing():
        sys.exit(f"error: it {reason}")
    java.jars("flink")  # while there is a network
    leave_the_network()
    with tempfile.TemporaryDirectory(prefix="cost") as name:
        scratch = pathlib.Path(name)
        processes = Processes(scratch / "logs")
        try:
            _compare(dumps, scratch, processes)
        finally:
            processes.stop()


def _compare(dumps: Sequence[str], scratch: pathlib.Path, processes: Processes) -> None:
    flink = Flink(processes, scratch / "flink")
    flink.start(task_managers=1)
    beam_args = [*flink.beam_args(write_worker(scratch)), "--parallelism=1"]
    tiny = scratch / "tiny.xml"
    jobs.run(
        *jobs.command("pipelines.synthetic", "--kind=wikipedia", "--num_items=100"),
        f"--output={tiny}",
    )
    for number, dump in enumerate((dumps[0], tiny, *dumps)):
        outputs = [scratch / f"{runner}-{number}" for runner in ("local", "flink")]
        local = cpu_seconds(jobs.wikipedia(dump, outputs[0]), lambda: 0.0)
        on_flink = cpu_seconds(
            jobs.wikipedia(dump, outputs[1], *beam_args), lambda: group_seconds(processes)
        )
        jobs.compare(
            f"{pathlib.Path(dump).name}: local {local:.1f} s of processor time, Flink "
            f"{on_flink:.1f} s, {flink.restarts()} jobs restarted so far",
            on_flink,
            outputs[0],
            jobs.digests(outputs[1]),
        )


def cpu_seconds(command: Sequence[str], others: Callable[[], float]) -> float:
    """Processor seconds of a command, and what it adds to those of others."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime + others()

    before = used()
    quiet = subprocess.DEVNULL
    subprocess.run(command, cwd=ROOT, stdout=quiet, stderr=quiet, check=True)
    return used() - before


def group_seconds(processes: Processes) -> float:
    """Processor seconds of all started processes, their children, and those that have ended."""
    ticks = 0
    for pid in processes.members():
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{pid}/stat").read_text()
            # User and system time, own and of the children that were waited for.
            ticks += sum(map(int, text.rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS


if __name__ == "__main__":
    main(sys.argv[1:])
