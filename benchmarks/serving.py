"""Requests a second and latencies of the server, beside exact search alone.

    python -m benchmarks.serving --model_dir=runs/wiki_best --work=runs/bench_serving

Copies the model; a second copy gets an index with made-up items besides.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.http_load import load
from benchmarks.server_process import serving
from ssl_recsys import schema
from ssl_recsys.options import option
from ssl_recsys.search import EXACT
from ssl_recsys.search.exact import ExactSearch
from ssl_recsys.serving import index_files
from ssl_recsys.serving.index import Added, Index, of_catalog
from ssl_recsys.serving.versions import Store
from ssl_recsys.training.export import Exported, load_export

_QUERIES = 1024
_K = 10


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    model_dir: str = option("", "A trained model.", required="a directory of ssl_recsys.train")
    work: str = option("", "Directory for copies.", required="name a directory")
    large: int = option(200_000, "Items of the second index.", at_least=1)
    concurrency: tuple[int, ...] = option((1, 16, 64), "Requests at a time.", at_least=1)
    seconds: float = option(10.0, "Duration of each load.", above=0)


def measure(options: Options) -> harness.Report:
    """Measures both sizes."""
    exported, work = load_export(options.model_dir), pathlib.Path(options.work)
    rows: list[harness.Row] = []
    for size in (exported.info.num_items, options.large):
        model_dir = work / f"items_{size}"
        shutil.rmtree(model_dir, ignore_errors=True)
        shutil.copytree(options.model_dir, model_dir, ignore=shutil.ignore_patterns("index"))
        index = with_items(Store(model_dir), exported, size)
        rows += of_search(index, options, size)
        with serving([model_dir], work / "serve.log", "--log_level=warning") as server:
            bodies = requests(exported)
            for concurrency in options.concurrency:
                found = asyncio.run(
                    load(
                        server.url,
                        "/v1/recommend",
                        bodies,
                        concurrency=concurrency,
                        seconds=options.seconds,
                    )
                )
                name = f"{size:,} items, {concurrency} at a time"
                note = f"{found.rejected} answered 503" if found.rejected else ""
                rows += [
                    harness.Row(f"{name}: answers", found.rate, "/s", note=note),
                    harness.Row(f"{name}: p50", found.milliseconds(0.5), "ms"),
                    harness.Row(f"{name}: p99", found.milliseconds(0.99), "ms"),
                ]
            rows.append(harness.Row(f"{size:,} items: memory", server.resident_mib(), "MiB"))
    return harness.Report("serving", rows)


def requests(exported: Exported) -> Callable[[int], Any]:
    """Requests by key, each of another item."""
    keys = exported.catalog(schema.ITEM).keys
    rows = np.random.default_rng(0).permutation(len(keys))
    return lambda number: {"key": keys[rows[number % len(rows)]], "k": _K}


def with_items(store: Store, exported: Exported, size: int) -> Index:
    """Builds an index of the catalog and made-up items, `size` in all, and makes it the current."""
    base, dim = of_catalog(exported), exported.item_embeddings.shape[1]
    more = max(0, size - base.num_items)
    vectors = np.random.default_rng(1).normal(size=(more, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    keys = tuple(f"made up {number}" for number in range(more))
    added = Added(keys, keys, vectors, vectors, ({},) * more)
    with store.locked():
        index_files.build(store, exported, Index(base.build, added, frozenset(), 0), EXACT)
        found = index_files.load(store, exported)
    assert found is not None, "a version was made the current one"
    return found


def of_search(index: Index, options: Options, size: int) -> list[harness.Row]:
    """Exact search alone, of as many queries at a time as the loads have requests."""
    search = ExactSearch(index.build.embeddings)
    queries = np.asarray(index.build.embeddings[:_QUERIES])
    rows = []
    for count in options.concurrency:
        call = functools.partial(search.search, queries[:count], _K)
        timing = harness.interleave({"search": call}, 20)["search"]  # fmt: skip
        rows.append(
            harness.Row(
                f"{size:,} items, {count} at a time: exact search alone",
                timing.rate(count),
                "/s",
                spread=timing.spread,
            )
        )
    return rows


if __name__ == "__main__":
    harness.main(Options, measure)
