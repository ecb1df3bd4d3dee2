"""A bounded load of HTTP requests: so many connections, each with one request at a time."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

import numpy as np


class Connection:
    """A connection that is kept open; it knows as much of HTTP/1.1 as our server needs.

    Args:
      url: of the server.
    """

    def __init__(self, url: str):
        parts = urllib.parse.urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        if self._streams is not None and self._streams[0].at_eof():
            await self.close()  # the server closes what is idle for some seconds
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(content)}"
        writer.write(f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + content)
        await writer.drain()
        status = int((await reader.readline()).split()[1])
        length, is_last = 0, False
        while (line := (await reader.readline()).strip().lower()) != b"":
            name, _, value = line.partition(b": ")
            length = int(value) if name == b"content-length" else length
            is_last |= line == b"connection: close"
        answer = json.loads(await reader.readexactly(length))
        if is_last:
            await self.close()
        return status, answer

    async def close(self) -> None:
        """Closes it; the next request opens another one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclasses.dataclass(frozen=True)
class Load:
    """What came of a load.

    Attributes:
      seconds: how long it took.
      latencies: `[answered]` seconds of the requests that were answered 200.
      rejected: number of requests that were answered 503.
    """

    seconds: float
    latencies: np.ndarray
    rejected: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def milliseconds(self, quantile: float) -> float:
        """A quantile of the latencies in ms."""
        return 1000 * float(np.quantile(self.latencies, quantile))


async def load(
    url: str, path: str, body_of: Callable[[int], Any], *, concurrency: int, seconds: float
) -> Load:
    """Posts requests for a while over so many connections.

    Args:
      url: of the server.
      path: of the route.
      body_of: the number of a request to its body.
      concurrency: requests at a time.
      seconds: how long new requests are begun.

    Raises:
      RuntimeError: for an answer other than 200 and 503.
    """
    begin = time.perf_counter()
    latencies: list[float] = []
    rejected = number = 0

    async def client() -> None:
        nonlocal rejected, number
        connection = Connection(url)
        while time.perf_counter() < begin + seconds:
            number += 1
            start = time.perf_counter()
            status, answer = await connection.request("POST", path, body_of(number))
            if status == 200:
                latencies.append(time.perf_counter() - start)
            elif status == 503:
                rejected += 1
            else:
                raise RuntimeError(f"{path}: {status} {answer}")
        await connection.close()

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return Load(time.perf_counter() - begin, np.array(latencies), rejected)
