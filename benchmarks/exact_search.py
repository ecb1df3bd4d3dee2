"""Exact search against the peers of TensorFlow Recommenders and against a bare matmul.

    python -m benchmarks.exact_search --output=FILE.json

All search the same corpus for the same queries: our `search` against `BruteForce` and `Streaming`,
which give the top items, our `ranks` against `FactorizedTopK`, which counts hits in the top items.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import harness
from ssl_recsys.options import option

# Sizes of the matmul's blocks, those of our search: large enough for its best speed.
_QUERY_BLOCK = 512
_ITEM_BLOCK = 16384
# Items at once: what TFRS's tutorials give to the metric.
_TUTORIAL_BATCH = 128
_STREAMING, _METRIC = "Streaming, items by {}", "FactorizedTopK, items by {}"
_MATMUL, _SQUARE = "matmul that gives the scores", "square matmul"


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    num_items: int = option(200_000, "Items in the corpus.", at_least=1)
    dim: int = option(128, "Width of the embeddings.", at_least=1)
    num_queries: int = option(2048, "Queries of a timed call.", at_least=1)
    peer_queries: int = option(256, "Queries of a timed call of the peers.", at_least=1)
    k: int = option(50, "Top items, and the largest rank told apart.", at_least=1)
    peer_batch: int = option(128, "Queries that a peer is given at once.", at_least=1)
    large_batch: int = option(8192, "Items that the peers score at once at their best.", at_least=1)
    square: int = option(2048, "Rows and columns of the square matmul.", at_least=1)
    repetitions: int = option(5, "Timed calls of each candidate.", at_least=1)


def measure(options: Options) -> harness.Report:
    """Times all candidates in turn."""
    from benchmarks import synthetic_embeddings as synthetic

    items = synthetic.clustered_items(options.num_items, options.dim)
    queries, targets = synthetic.queries_near(items, options.num_queries)
    few = slice(min(options.peer_queries, options.num_queries))
    peers = {"BruteForce": _brute_force(items, queries[few], options)}
    for batch in (_TUTORIAL_BATCH, options.large_batch):
        peers |= _streaming(items, queries[few], targets[few], batch, options)
    candidates = {
        **_ours(items, queries, targets, options),
        **_matmuls(items, queries, options),
        **peers,
    }
    _check_agreement(candidates, few, options)
    timings = harness.interleave(candidates, options.repetitions, warmups=0)  # that was one
    return harness.Report("exact_search", _rows(timings, options))


def _rows(timings: dict[str, harness.Timing], options: Options) -> list[harness.Row]:
    counts = dict.fromkeys(timings, min(options.peer_queries, options.num_queries))
    counts |= {"search": options.num_queries, "ranks": options.num_queries}
    rates = {name: timing.rate(counts[name]) for name, timing in timings.items()}
    rows = [
        harness.Row(name, rates[name], "queries/s", spread=timing.spread)
        for name, timing in timings.items()
        if name not in (_MATMUL, _SQUARE)
    ]
    for batch in (_TUTORIAL_BATCH, options.large_batch):
        for ours, peer, target in (("ranks", _METRIC, 10), ("search", _STREAMING, 3)):
            peer = peer.format(batch)
            rows.append(harness.Row(f"{ours} over {peer}", rates[ours] / rates[peer], "x", target))
    rows.append(harness.Row("search over BruteForce", rates["search"] / rates["BruteForce"], "x"))
    flops = 2 * options.num_items * options.dim * options.num_queries
    found = timings["search"].rate(flops)
    matmul, square = timings[_MATMUL].rate(flops), timings[_SQUARE].rate(2 * options.square**3)
    return [
        *rows,
        harness.Row(_MATMUL, matmul / 1e9, "GFLOP/s", spread=timings[_MATMUL].spread),
        harness.Row(_SQUARE, square / 1e9, "GFLOP/s", spread=timings[_SQUARE].spread),
        harness.Row("search, share of that matmul's FLOP/s", found / matmul, target=0.6),
        harness.Row("search, share of the square one's FLOP/s", found / square),
    ]


def _ours(
    items: np.ndarray, queries: np.ndarray, targets: np.ndarray, options: Options
) -> dict[str, Callable[[], Any]]:
    from ssl_recsys.search.exact import ExactSearch

    exact = ExactSearch(items)
    return {
        "search": lambda: exact.search(queries, options.k)[1],
        "ranks": lambda: exact.ranks(queries, np.arange(len(queries)), targets, options.k),
    }


def _brute_force(items: np.ndarray, queries: np.ndarray, options: Options) -> Callable[[], Any]:
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    index = tfrs.layers.factorized_top_k.BruteForce(k=options.k).index(items)
    search = tf.function(lambda batch: index(batch)[1])
    batches = _blocks(queries, options.peer_batch)
    return lambda: np.concatenate([search(batch).numpy() for batch in batches])


def _streaming(
    items: np.ndarray, queries: np.ndarray, targets: np.ndarray, item_batch: int, options: Options
) -> dict[str, Callable[[], Any]]:
    """The peers that score the corpus in batches of items: the search and the metric over it."""
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    dataset = tf.data.Dataset.from_tensor_slices(items).batch(item_batch)
    index = tfrs.layers.factorized_top_k.Streaming(k=options.k).index_from_dataset(dataset)
    search = tf.function(lambda batch: index(batch)[1])
    metric = tfrs.metrics.FactorizedTopK(dataset, ks=(options.k,))
    query_batches = _blocks(queries, options.peer_batch)
    target_batches = _blocks(items[targets], options.peer_batch)

    @tf.function
    def update(query: tf.Tensor, target: tf.Tensor) -> None:
        metric.update_state(query, target)

    def count() -> float:
        metric.reset_states()
        for query, target in zip(query_batches, target_batches, strict=True):
            update(query, target)
        return float(metric.result()[0])

    return {
        _STREAMING.format(item_batch): lambda: np.concatenate(
            [search(batch).numpy() for batch in query_batches]
        ),
        _METRIC.format(item_batch): count,
    }


def _matmuls(
    items: np.ndarray, queries: np.ndarray, options: Options
) -> dict[str, Callable[[], Any]]:
    """The product that gives the scores, in blocks, and a large square one."""
    import tensorflow as tf

    item_blocks = _blocks(items, _ITEM_BLOCK)
    query_blocks = _blocks(queries, _QUERY_BLOCK)
    square = tf.random.stateless_normal([options.square] * 2, seed=(0, 1))

    def same_scores() -> None:
        for query_block in query_blocks:
            for item_block in item_blocks:
                tf.matmul(query_block, item_block, transpose_b=True)

    return {_MATMUL: same_scores, _SQUARE: lambda: tf.matmul(square, square).numpy()}


def _blocks(rows: np.ndarray, size: int) -> list[Any]:
    import tensorflow as tf

    return [tf.constant(rows[start : start + size]) for start in range(0, len(rows), size)]


def _check_agreement(
    candidates: dict[str, Callable[[], Any]], few: slice, options: Options
) -> None:
    """Calls each candidate once.

    Raises:
      RuntimeError: if a peer finds something else than we do.
    """
    found = {name: call() for name, call in candidates.items()}
    hits = np.mean(found["ranks"][few] <= options.k)
    for name, result in found.items():
        if name.startswith("FactorizedTopK") and abs(hits - result) > 0.01:
            raise RuntimeError(f"{name} counts {result} hits a query, we {hits}")
        if name.startswith(("BruteForce", "Streaming")):
            share = np.mean(result == found["search"][few])
            if share < 0.999:  # equal scores may come in another order
                raise RuntimeError(f"{name} agrees in {share:.2%} of its results only")


if __name__ == "__main__":
    harness.main(Options, measure)
