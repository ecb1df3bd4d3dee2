"""Training runs in processes of their own, several at a time, each with its share of the cores.

A study or a search hands a `Runner` its runs, each a name and flags, and learns of them from the
files in their model directories. A cluster's scheduler can therefore replace `LocalRunner`.
"""

from __future__ import annotations

import collections
import ctypes
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Protocol

from absl import flags

from ssl_recsys import options, schema
from ssl_recsys.errors import InputError
from ssl_recsys.training.feature_checks import check_features
from ssl_recsys.training.train_options import TrainOptions

_FLAG = re.compile(r"--?(\w+)(?:=(.*))?")
_POLL_SECONDS = 0.2
_LAST_LINES = 15
# Studies and searches verify the dataset that all their runs read.
_OWN_ARGUMENTS = ("--noverify",)
_PR_SET_PDEATHSIG = 1  # of Linux's prctl
# Environment variables that bound the threads of TensorFlow and of the BLAS under NumPy.
_THREAD_VARIABLES = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of `python -m ssl_recsys.train`.

    Attributes:
      name: its directory under the runner's; unique.
      flags: flag name -> value, without `model_dir`.
    """

    name: str
    flags: Mapping[str, str]

    def arguments(self, model_dir: pathlib.Path) -> list[str]:
        """The command's arguments."""
        named = dict(self.flags) | {"model_dir": str(model_dir)}
        return [f"--{name}={value}" for name, value in named.items()]

    def options(self, model_dir: pathlib.Path) -> TrainOptions:
        """The command's options.

        Raises:
          InputError: for an unknown flag or a value out of range.
        """
        return options.parse(TrainOptions, dict(self.flags) | {"model_dir": str(model_dir)})


@dataclasses.dataclass(frozen=True)
class Finished:
    """A run that ended.

    Attributes:
      run: the run.
      model_dir: where it wrote.
      seconds: wall time of this attempt.
      error: the end of its log if it failed, else None.
    """

    run: Run
    model_dir: pathlib.Path
    seconds: float
    error: str | None


class Runner(Protocol):
    """Carries out runs."""

    def run_all(self, runs: Iterable[Run]) -> Generator[Finished, None, None]:
        """Yields runs as they end; takes the next one only when there is room for it.

        Closed before its end, it stops what is running.
        """
        ...


class LocalRunner:
    """Runs on this machine, each pinned to its own cores where the system allows it.

    An exception ends its processes; on Linux, so does a kill. A run that is started again resumes
    from its last checkpoint, as `train` does.

    Args:
      directory: each run has a sub-directory for its model, and a log beside it.
      parallel: runs at a time; 0: one for each core.
    """

    def __init__(self, directory: pathlib.Path, *, parallel: int = 0):
        self._directory = directory
        cores = available_cores()
        self._slots = _share(cores, parallel or len(cores))

    def run_all(self, runs: Iterable[Run]) -> Generator[Finished, None, None]:
        """As `Runner.run_all`."""
        self._directory.mkdir(parents=True, exist_ok=True)
        waiting = iter(runs)
        free = collections.deque(self._slots)
        running: list[_Process] = []
        is_last = False
        try:
            while True:
                while free and not is_last:
                    run = next(waiting, None)
                    if run is None:
                        is_last = True
                    else:
                        running.append(_Process(run, self._directory, free.popleft()))
                if not running:
                    return
                ended = [process for process in running if process.has_ended()]
                for process in ended:
                    running.remove(process)
                    free.append(process.cores)
                    yield process.result()
                if not ended:
                    time.sleep(_POLL_SECONDS)
        finally:
            for process in running:
                process.stop()


class _Process:
    """A running `train`."""

    def __init__(self, run: Run, directory: pathlib.Path, cores: Sequence[int]):
        self.run = run
        self.cores = cores
        self._model_dir = directory / run.name
        self._log = directory / f"{run.name}.log"
        self._begin = time.monotonic()
        arguments = [*run.arguments(self._model_dir), *_OWN_ARGUMENTS]
        command = [sys.executable, "-m", "ssl_recsys.train", *arguments]
        threads = dict.fromkeys(_THREAD_VARIABLES, str(len(cores)))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | threads,
                preexec_fn=_child_setup(cores),
            )

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def result(self) -> Finished:
        error = None
        if self._process.returncode:
            text = self._log.read_text(encoding="utf-8", errors="replace")
            error = "\n".join(text.splitlines()[-_LAST_LINES:])
        seconds = time.monotonic() - self._begin
        return Finished(self.run, self._model_dir, seconds, error)


def check_flags(runs: Iterable[Run], info: schema.DatasetInfo) -> None:
    """Checks the flags of runs before the first one starts.

    Raises:
      InputError: for an unknown flag, a value out of range, or a feature that the dataset lacks.
    """
    for run in runs:
        check_features(run.options(pathlib.Path(run.name)).run, info)


def check(finished: Finished) -> None:
    """Raises InputError, with the log's name and last lines, for a run that failed."""
    if finished.error is not None:
        raise InputError(
            f"the run {finished.run.name} failed (its log: {finished.model_dir}.log):\n"
            f"{finished.error}\nRun the same command again to resume; finished runs are kept"
        )


def read_flags(flagfile: str, overrides: Sequence[str]) -> dict[str, str]:
    """Training flags by name, from a flag file and overrides.

    Args:
      flagfile: a flag file of `ssl_recsys.train`; empty for none.
      overrides: `name=value`, later ones winning.

    Raises:
      InputError: for a missing file or something that is no flag.
    """
    lines: list[str] = []
    if flagfile:
        if not pathlib.Path(flagfile).is_file():
            raise InputError(f"no flag file {flagfile}; the experiments' are in configs/")
        lines = flags.FlagValues().read_flags_from_files([f"--flagfile={flagfile}"])
    found: dict[str, str] = {}
    for line in [*lines, *(f"--{override.lstrip('-')}" for override in overrides)]:
        match = _FLAG.fullmatch(line.strip())
        if match is None:
            raise InputError(f"expected a training flag as name=value, got {line!r}")
        name, value = match.groups()
        if value is None:  # a boolean flag: --name or --noname
            name, value = (name[2:], "false") if name.startswith("no") else (name, "true")
        found[name] = value
    return found


def available_cores() -> list[int]:
    """The cores that this process may use; systems without affinity number them all."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _share(cores: Sequence[int], parallel: int) -> list[Sequence[int]]:
    """Cores of each of `parallel` processes: equal shares, or one each in turn if they are few."""
    each = max(1, len(cores) // parallel)
    return [
        [cores[(slot * each + number) % len(cores)] for number in range(each)]
        for slot in range(parallel)
    ]


def _child_setup(cores: Sequence[int]) -> Callable[[], None]:
    """Pins a run's process to its cores, and has it killed when its parent ends.

    A run that outlived a killed study would write into the directory of the one started again.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None
    parent = os.getpid()

    def setup() -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # killed before that
                os._exit(1)

    return setup
