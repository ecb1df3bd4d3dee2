"""A server in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any

import httpx

_START_SECONDS = 300
_STOP_SECONDS = 60


class ServerProcess:
    """`python -m ssl_recsys.serve` on a free port of 127.0.0.1.

    Args:
      model_dirs: the models.
      log: file that its standard error is appended to.
      flags: further flags.

    Attributes:
      url: where it answers.
    """

    def __init__(self, model_dirs: Sequence[pathlib.Path | str], log: IO[bytes], *flags: str):
        self._models = [f"--model_dir={path}" for path in model_dirs]
        self._log, self._flags = log, flags
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process is not None, "it was started"
        return self._process.pid

    def start(self) -> None:
        """Starts it and waits until it answers.

        Raises:
          RuntimeError: if it ends, or takes too long.
        """
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "ssl_recsys.serve", f"--port={port}"]
        self._process = subprocess.Popen(
            [*command, *self._models, *self._flags],
            stderr=self._log,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if (status := self._process.poll()) is not None:
                raise RuntimeError(f"the server ended with status {status}; see its log")
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz").is_success:
                    return
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"the server did not answer within {_START_SECONDS} s; see its log")

    def stop(self) -> int:
        """Asks it to stop; its exit status."""
        assert self._process is not None, "it was started"
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_STOP_SECONDS)

    def kill(self) -> None:
        """Kills it (SIGKILL)."""
        assert self._process is not None, "it was started"
        self._process.kill()
        self._process.wait()

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def resident_mib(self) -> float:
        """Its resident memory in MiB, as Linux's /proc tells."""
        pages = int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def serving(
    model_dirs: Sequence[pathlib.Path | str], log_path: pathlib.Path, *flags: str
) -> Iterator[ServerProcess]:
    """A server while the block runs; one that is still there is killed after it."""
    with log_path.open("ab") as log:
        server = ServerProcess(model_dirs, log, *flags)
        server.start()
        try:
            yield server
        finally:
            if server.is_running():
                server.kill()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post(client: httpx.Client, path: str, body: Any) -> Any:
    """What a server answers to JSON.

    Raises:
      RuntimeError: if that is an error; the message has it.
    """
    answer = client.post(path, json=body)
    if not answer.is_success:
        raise RuntimeError(f"{path} {json.dumps(body)}: {answer.status_code} {answer.text}")
    return answer.json()
