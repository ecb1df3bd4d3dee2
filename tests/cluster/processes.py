"""Processes that end with the test, and their logs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

_PR_SET_PDEATHSIG = 1
HOST = "127.0.0.1"


class Processes:
    """Started processes, each with the children that it starts.

    Args:
      logs: directory of their logs.
    """

    def __init__(self, logs: pathlib.Path):
        self._logs = logs
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(
        self,
        name: str,
        command: Sequence[object],
        *,
        env: Mapping[str, str] | None = None,
        directory: pathlib.Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts a process that dies with this one; its output goes to `<name>.log`."""
        with self.log(name).open("ab") as log:
            self._started[name] = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                env={**os.environ, **(env or {})},
                cwd=directory,
            )
        return self._started[name]

    def log(self, name: str) -> pathlib.Path:
        """The file with a process's output."""
        return self._logs / f"{name}.log"

    def kill(self, name: str) -> None:
        """Kills one process as the kernel does when memory runs out; its children stay."""
        self._started[name].kill()
        self._started[name].wait()

    def killed(self) -> set[str]:
        """The processes that were killed."""
        ended = self._started.items()
        return {name for name, process in ended if process.poll() == -signal.SIGKILL}

    def stop(self) -> None:
        """Ends all processes and their children."""
        for number, seconds in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
            for process in self._started.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                process.poll()
            wait_for("the processes' end", lambda: not self.members(), seconds, must=False)
        assert not self.members(), "processes could not be stopped"

    def members(self) -> set[int]:
        """All processes that run: those started, and their children."""
        groups = {process.pid for process in self._started.values() if process.poll() or True}
        found = set()
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit():
                    state, _, group = _stat(entry)
                    if group in groups and state != "Z":
                        found.add(int(entry.name))
        return found

    def children(self, name: str) -> set[int]:
        """The processes that a started one has started."""
        found = set()
        for pid in self.members():
            with contextlib.suppress(OSError):
                if _stat(pathlib.Path("/proc", str(pid)))[1] == self._started[name].pid:
                    found.add(pid)
        return found

    def check_ended(self) -> None:
        """Raises AssertionError, with its log's end, if a process has ended by itself."""
        for name, process in self._started.items():
            status = process.poll()
            if status not in (None, -signal.SIGKILL):
                end = self.log(name).read_text(errors="replace")[-3000:]
                raise AssertionError(f"{name} ended with status {status}:\n{end}")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _stat(process: pathlib.Path) -> tuple[str, int, int]:
    """State, parent and process group."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[2])


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    """Whether something listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def wait_for(
    what: str,
    is_so: Callable[[], object],
    seconds: float,
    *,
    must: bool = True,
    every: float = 0.1,
) -> None:
    """Waits until something is so.

    Raises:
      AssertionError: if it is not within `seconds`, and must be.
    """
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            assert not must, f"waited {seconds:.0f} s for {what}"
            return
        time.sleep(every)
