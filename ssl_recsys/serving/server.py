"""What the routes of a server share: models, queues, limits, and errors as answers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from fastapi import Request

from ssl_recsys.errors import InputError
from ssl_recsys.serving.batches import Batches, QueueFullError
from ssl_recsys.serving.json_logs import LOGGER
from ssl_recsys.serving.live_model import LiveModel
from ssl_recsys.serving.recommending import Query, recommend
from ssl_recsys.serving.served import Models, Served
from ssl_recsys.serving.telemetry import Metrics

Value = TypeVar("Value")
# Names of this machine, on which a server answers in any case.
OWN_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_MAX_WAITING_CHANGES = 64


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much a server takes, see the flags of `ssl_recsys.serve`."""

    max_k: int = 1000
    max_body_bytes: int = 1 << 20
    concurrency: int = 256
    queue_size: int = 128
    batch_size: int = 64
    batch_wait_ms: float = 0.0
    poll_seconds: float = 2.0
    hosts: tuple[str, ...] = OWN_HOSTS


class Server:
    """Models with the queues before them.

    Args:
      models: the models.
      limits: how much it takes.
    """

    def __init__(self, models: Models, limits: Limits):
        self.models, self.limits = models, limits
        self.metrics = Metrics(models, lambda: len(self._queries) if self.is_running else 0)
        self.is_running = False
        self._queries: Batches[Query, list[dict[str, Any]]]
        self._changes: Batches[Callable[[], Any], Any]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Has queues, and looks for newer models and indexes, while the block runs."""
        limits = self.limits
        self._queries = Batches(
            self._recommend,
            batch_size=limits.batch_size,
            queue_size=limits.queue_size,
            wait_seconds=limits.batch_wait_ms / 1000,
        )
        self._changes = Batches(_call_all, batch_size=1, queue_size=_MAX_WAITING_CHANGES)
        polling = asyncio.create_task(self._poll())
        self.is_running = True
        try:
            yield
        finally:
            self.is_running = False
            polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await polling
            await self._queries.close()
            await self._changes.close()

    @property
    def has_room(self) -> bool:
        """Whether a recommendation would be taken now."""
        return self.is_running and len(self._queries) < self.limits.queue_size

    async def recommend(self, query: Query) -> list[dict[str, Any]]:
        """The items of a query.

        Raises:
          QueueFullError: if too many queries wait.
        """
        return await self._queries.submit(query)

    async def change(self, call: Callable[[], Value]) -> Value:
        """What a change of a model or its items returns; changes are made one after the other.

        Raises:
          QueueFullError: if too many changes wait.
        """
        return await self._changes.submit(call)

    async def reload(self, served: Served) -> bool:
        """As `Served.reload`, counted and logged."""
        try:
            changed = await self.change(served.reload)
        except (InputError, OSError) as error:
            self.metrics.reloads.labels(served.name, "failed").inc()
            fields = {"model": served.name, "reason": str(error)}
            LOGGER.error("reload failed; the old version is served", extra={"fields": fields})
            raise
        if changed:
            self.metrics.reloads.labels(served.name, "changed").inc()
            version = served.live.index.version
            LOGGER.info(
                "reloaded", extra={"fields": {"model": served.name, "index_version": version}}
            )
        return changed

    def _recommend(self, queries: Sequence[Query]) -> list[list[dict[str, Any]]]:
        self.metrics.batch_size.observe(len(queries))
        return recommend(queries)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self.limits.poll_seconds)
            for served in self.models:
                try:
                    if await asyncio.to_thread(served.has_changed):
                        await self.reload(served)
                except QueueFullError:
                    continue
                except (InputError, OSError):
                    continue  # logged; tried again when something changes
                except Exception:
                    LOGGER.exception("a defect in a reload")


def _call_all(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    return [call() for call in calls]


def server_of(request: Request) -> Server:
    """The server that a request came to, for FastAPI's `Depends`."""
    return request.app.state.server


def live_of(request: Request, model: str | None = None) -> LiveModel:
    """The version of a model that answers a request, by the parameter `model`, for `Depends`.

    Raises:
      UnknownModelError: if there is none with this name.
    """
    return server_of(request).models[model].live
