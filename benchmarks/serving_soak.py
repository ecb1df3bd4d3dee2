"""A server under mixed load while its items change and its index is built anew.

    python -m benchmarks.serving_soak --model_dir=runs/wiki_best --work=runs/soak --minutes=10

Every answer is checked. Items of the catalog stay, so that among the recommendations they must be
in the order of exact search; items that come and go must be as the last answered change left them.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import pathlib
import shutil
import time
import urllib.parse
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.http_load import Connection
from benchmarks.server_process import ServerProcess, serving
from ssl_recsys import schema
from ssl_recsys.options import option
from ssl_recsys.search import EXACT
from ssl_recsys.serving import index_files
from ssl_recsys.serving.versions import Store
from ssl_recsys.training.export import Exported, load_export

_K = 20
_QUERIES = 50
_TOLERANCE = 2e-5
_FRESH = "soak/ %d?"
_KEPT_ITEMS = 60  # that come and go


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    model_dir: str = option("", "A trained model.", required="a directory of ssl_recsys.train")
    work: str = option("", "Directory for a copy.", required="name a directory")
    minutes: float = option(10.0, "Duration.", above=0)
    changes: int = option(1000, "Changes of items, spread over the duration.", at_least=1)
    reloads: int = option(20, "Builds of the index with reloads, spread likewise.", at_least=0)
    clients: int = option(8, "Requests at a time.", at_least=1)


class Soak:
    """One run.

    Args:
      options: the command's.
      exported: the model.
      model_dir: the copy that is served.
      server: it.

    Attributes:
      counts: answers by what they were.
      wrong: what was wrong.
      memory_mib: of the server, over time.
    """

    def __init__(
        self, options: Options, exported: Exported, model_dir: pathlib.Path, server: ServerProcess
    ):
        self._options, self._exported, self._server = options, exported, server
        self._store = Store(model_dir)
        catalog = exported.catalog(schema.ITEM)
        self._keys = catalog.keys
        step = max(1, len(self._keys) // _QUERIES)
        self._query_rows = np.arange(0, len(self._keys), step)[:_QUERIES]
        queries = exported.query_embeddings(self._query_rows)
        self._scores = queries @ np.asarray(exported.item_embeddings).T
        self._row_of = {key: row for row, key in enumerate(self._keys)}
        # Since when an item is surely gone; not there while it may be found.
        self._gone_since: dict[str, float] = {}
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.memory_mib: list[float] = []

    async def run(self) -> None:
        """Loads the server until the time is over and every change was made."""
        done = asyncio.Event()
        readers = [asyncio.create_task(self._watch(done))]
        for number in range(self._options.clients):
            readers.append(asyncio.create_task(self._client(number, done)))
        await asyncio.gather(
            self._change(), self._reload(), asyncio.sleep(60 * self._options.minutes)
        )
        done.set()
        await asyncio.gather(*readers)

    async def _client(self, number: int, done: asyncio.Event) -> None:
        rng, connection = np.random.default_rng(number), Connection(self._server.url)
        while not done.is_set():
            query = int(rng.integers(len(self._query_rows)))
            kind = int(rng.integers(4))
            if kind == 0:
                await self._ask_plain(connection, "GET", "/v1/suggest?q=a")
            elif kind == 1:
                key = urllib.parse.quote(self._keys[self._query_rows[query]])
                await self._ask_plain(connection, "GET", f"/v1/items/{key}")
            else:
                await self._ask(connection, query, with_mean=kind == 2)
        await connection.close()

    async def _ask_plain(self, connection: Connection, method: str, path: str) -> None:
        status, answer = await connection.request(method, path)
        self.counts[f"{method} {status}"] += 1
        if status not in (200, 503):
            self.wrong.append(f"{path}: {status} {answer}")

    async def _ask(self, connection: Connection, query: int, *, with_mean: bool) -> None:
        """A query by key, or by the same key twice, whose mean is the same."""
        key, begin = self._keys[self._query_rows[query]], time.monotonic()
        body: dict[str, Any] = {"keys": [key, key]} if with_mean else {"key": key}
        status, answer = await connection.request("POST", "/v1/recommend", body | {"k": _K})
        self.counts[f"recommend {status}"] += 1
        if status == 200:
            self._check(query, answer["items"], begin)
        elif status != 503:
            self.wrong.append(f"recommend {key!r}: {status} {answer}")

    def _check(self, query: int, items: list[dict[str, Any]], begin: float) -> None:
        own = self._query_rows[query]
        known = [item for item in items if item["key"] in self._row_of]
        scores = np.array([item["score"] for item in known])
        best = np.sort(np.delete(self._scores[query], own))[::-1][: len(known)]
        exact = [self._scores[query, self._row_of[item["key"]]] for item in known]
        is_short = len(items) < _K and len(known) < len(self._keys) - 1
        if is_short or np.abs(scores - best).max(initial=0) > _TOLERANCE:
            self.wrong.append(f"{self._keys[own]!r}: not the best items")
        if np.abs(scores - exact).max(initial=0) > _TOLERANCE:
            self.wrong.append(f"{self._keys[own]!r}: other scores than exact search")
        for item in items:
            if self._gone_since.get(item["key"], np.inf) < begin:
                self.wrong.append(f"{item['key']!r} was removed and is found")

    async def _change(self) -> None:
        """Adds, changes and removes items, each looked at once it was answered."""
        connection, rng = Connection(self._server.url), np.random.default_rng(0)
        pause = 60 * self._options.minutes / self._options.changes
        begin, there = time.monotonic(), set()
        for number in range(self._options.changes):
            await asyncio.sleep(begin + number * pause - time.monotonic())
            key = _FRESH % rng.integers(_KEPT_ITEMS)
            path = f"/v1/items/{urllib.parse.quote(key, safe='')}"
            if key in there and rng.random() < 0.5:
                status, answer = await self._until_taken(connection, "DELETE", path, None)
                self._gone_since[key] = time.monotonic()
                there.discard(key)
                expected = 404
            else:
                self._gone_since.pop(key, None)
                body = {"columns": self._columns(f"{self._keys[number % 7]} {number}")}
                status, answer = await self._until_taken(connection, "PUT", path, body)
                there.add(key)
                expected = 200
            if status not in (200, 201):
                self.wrong.append(f"change of {key!r}: {status} {answer}")
            status, answer = await self._until_taken(connection, "GET", path, None)
            if status != expected:
                self.wrong.append(f"after its change {key!r} is answered {status}")
            self.counts["changes"] += 1

    def _columns(self, title: str) -> dict[str, str]:
        raw = self._exported.info.raw
        assert raw is not None, "such a model takes raw features"
        return {raw.title: title} if raw.title not in ("", raw.key) else {}

    async def _until_taken(
        self, connection: Connection, method: str, path: str, body: Any
    ) -> tuple[int, Any]:
        """The answer, once it is not 503."""
        while True:
            status, answer = await connection.request(method, path, body)
            self.counts[f"{method} {status}"] += 1
            if status != 503:
                return status, answer
            await asyncio.sleep(0.1)

    async def _reload(self) -> None:
        """Builds the index anew, as a command would, and has it loaded."""
        connection = Connection(self._server.url)
        pause = 60 * self._options.minutes / max(1, self._options.reloads)
        begin = time.monotonic()
        for number in range(self._options.reloads):
            await asyncio.sleep(begin + number * pause - time.monotonic())
            await asyncio.to_thread(self._build)
            status, answer = await self._until_taken(connection, "POST", "/v1/reload", {})
            if status != 200:
                self.wrong.append(f"reload: {status} {answer}")
            self.counts["reloads"] += 1

    def _build(self) -> None:
        while True:
            try:
                with self._store.locked():
                    old = index_files.load(self._store, self._exported)
                    index_files.build(self._store, self._exported, old, EXACT)
                return
            except ValueError:  # a change holds it
                time.sleep(0.01)

    async def _watch(self, done: asyncio.Event) -> None:
        while not done.is_set():
            self.memory_mib.append(self._server.resident_mib())
            await asyncio.sleep(min(5.0, 6 * self._options.minutes))


def measure(options: Options) -> harness.Report:
    """Runs it."""
    work = pathlib.Path(options.work)
    model_dir = work / "model"
    shutil.rmtree(model_dir, ignore_errors=True)
    shutil.copytree(options.model_dir, model_dir, ignore=shutil.ignore_patterns("index"))
    exported = load_export(model_dir)
    with serving([model_dir], work / "serve.log", "--log_level=warning") as server:
        soak = Soak(options, exported, model_dir, server)
        asyncio.run(soak.run())
        status = server.stop()
    rows = [harness.Row(name, count) for name, count in sorted(soak.counts.items())]
    rows += [
        harness.Row("wrong answers", len(soak.wrong), target=0, at_most=True),
        harness.Row("exit status after SIGTERM", status, target=0, at_most=True),
        harness.Row("memory, after a tenth of the time", _at(soak.memory_mib, 0.1), "MiB"),
        harness.Row("memory, after half of it", _at(soak.memory_mib, 0.5), "MiB"),
        harness.Row("memory, at the end", _at(soak.memory_mib, 1.0), "MiB"),
    ]
    return harness.Report("serving_soak", rows, {"wrong": soak.wrong[:20]})


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    harness.main(Options, measure)
