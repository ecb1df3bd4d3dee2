"""Exact search of the whole corpus on the CPU: the top items of a query, the rank of an item.

The corpus is scored in blocks by TensorFlow's matmul. A rank up to `max_rank` needs only the
`max_rank + 1` best scores of its query, so both questions come down to keeping the best few
scores while the blocks go by. Nearly every score is ruled out by one comparison for each group
of 16, which is why a scan costs little more than its matmul. docs/evaluation.md has the protocol.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ssl_recsys.errors import InputError
from ssl_recsys.search.inputs import (
    check_embeddings,
    check_pairs,
    check_positive,
    check_queries,
)

_FloatArray = npt.NDArray[np.float32]
_IntArray = npt.NDArray[np.integer]
_Keys = npt.NDArray[np.int64]

# A block of scores is [_QUERY_CHUNK, _ITEM_BLOCK] float32, 32 MiB for each thread: large enough
# for the matmul's best speed, small enough to be read back from the last cache level.
_QUERY_CHUNK = 512
_ITEM_BLOCK = 16384
_MAX_THREADS = 16
# Sizes are padded to these multiples, so that no score comes from a matmul's remainder loop,
# which may add up in another order: equal embeddings then have equal scores, bit for bit.
_QUERY_MULTIPLE = 16
_ITEM_MULTIPLE = 256
# TensorFlow's kernels take arrays that begin at a multiple of this many bytes.
_ALIGNMENT = 64
# Scores compared at once when a block is searched for candidates.
_GROUP = 16
# Groups whose scores are looked at one by one at once, 1 Mi scores.
_GROUP_CHUNK = 1 << 16
# The reservoir of a query holds this many times the number of scores that it must keep.
_RESERVOIR_FACTOR = 4
_MAX_RESERVOIR_BYTES = 1 << 25
_PAIR_CHUNK = 1 << 16

_ROW_BITS = 32
_ROW_MASK = (1 << _ROW_BITS) - 1
_EMPTY = np.iinfo(np.int64).min


class ExactSearch:
    """Exact search by dot product, which is the cosine for L2-normalised embeddings.

    The corpus is shared with `item_embeddings`, which must not change, where these are a writable
    array that begins at a multiple of 64 bytes (as of `embed_rows`, or a .npy file mapped with mode
    `c`); else it is copied. Memory beyond it, for each thread: a block of scores (32 MiB, the
    last one twice), its group maxima (2 MiB), a reservoir of at most 32 MiB, twice that while it
    is cut, unless a single query's is larger, and about 70 MiB of candidates where most scores
    tie. It was 85 MiB a thread with 100,000 items, 170 with a collapsed model; never a
    [num_queries, num_items] array.

    Args:
      item_embeddings: `[num_items, dim]` float32, row r being the item of catalog row r.

    Raises:
      InputError: if there is no item, or an embedding holds NaN or infinity.
    """

    def __init__(self, item_embeddings: npt.ArrayLike) -> None:
        items = check_embeddings(item_embeddings, side="item")
        if len(items) == 0:
            raise InputError("expected at least one item to search, got an empty catalog")
        self.num_items, self.dim = items.shape
        self._blocks = [
            _tensor(items[first : first + _ITEM_BLOCK], _ITEM_MULTIPLE)
            for first in range(0, self.num_items, _ITEM_BLOCK)
        ]

    def search(self, queries: npt.ArrayLike, k: int) -> tuple[_FloatArray, npt.NDArray[np.int32]]:
        """As `Search.search`; equal scores are in the order of their rows."""
        queries = check_queries(queries, self.dim)
        check_positive(k=k)
        num_top = min(k, self.num_items)
        scores = np.empty((len(queries), num_top), np.float32)
        rows = np.empty((len(queries), num_top), np.int32)

        def scan(chunk: slice) -> None:
            keys, _ = self._scan(queries[chunk], num_top, _no_rows(), _no_rows())
            scores[chunk], rows[chunk] = _decode(keys)

        _run_chunks(scan, len(queries), num_top)
        return scores, rows

    def ranks(
        self,
        queries: npt.ArrayLike,
        query_of_pair: npt.ArrayLike,
        item_row: npt.ArrayLike,
        max_rank: int,
    ) -> npt.NDArray[np.int32]:
        """As `Search.ranks`; the pair's own score is of the matmul that it is compared with."""
        return self.ranks_and_top(queries, query_of_pair, item_row, max_rank, 1)[0]

    def ranks_and_top(
        self,
        queries: npt.ArrayLike,
        query_of_pair: npt.ArrayLike,
        item_row: npt.ArrayLike,
        max_rank: int,
        k: int,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """As `Search.ranks_and_top`."""
        queries = check_queries(queries, self.dim)
        check_positive(max_rank=max_rank, k=k)
        query_of_pair, item_row = check_pairs(
            query_of_pair, item_row, num_queries=len(queries), num_items=self.num_items
        )
        num_top = min(max(max_rank + 1, k), self.num_items)
        by_query = np.argsort(query_of_pair, kind="stable")
        sorted_queries = query_of_pair[by_query]
        ranks = np.empty(len(item_row), np.int32)
        top = np.empty((len(queries), min(k, self.num_items)), np.int32)

        def scan(chunk: slice) -> None:
            start, stop = np.searchsorted(sorted_queries, [chunk.start, chunk.stop])
            pairs = by_query[start:stop]
            local_query = query_of_pair[pairs] - chunk.start
            keys, scores = self._scan(queries[chunk], num_top, local_query, item_row[pairs])
            top_scores, rows = _decode(keys)
            ranks[pairs] = count_at_least(top_scores, local_query, scores)
            top[chunk] = rows[:, :k]

        _run_chunks(scan, len(queries), num_top)
        return np.minimum(ranks, max_rank + 1), top

    def _scan(
        self, queries: _FloatArray, num_top: int, pair_query: _IntArray, pair_row: _IntArray
    ) -> tuple[_Keys, _FloatArray]:
        """Scores `queries` [chunk, dim] against the corpus, block by block.

        Returns:
          `[chunk, num_top]` keys, descending, and the `[pairs]` scores of (pair_query, pair_row).
        """
        reservoir = _Reservoir(len(queries), num_top)
        query_tensor = _padded_tensor(queries, _QUERY_MULTIPLE)
        by_row = np.argsort(pair_row, kind="stable")
        sorted_rows = pair_row[by_row]
        pair_scores = np.empty(len(pair_row), np.float32)
        for index, block in enumerate(self._blocks):
            first = index * _ITEM_BLOCK
            with tf.device("CPU:0"):
                product = tf.matmul(query_tensor, block, transpose_b=True)
            scores = np.asarray(memoryview(product))[: len(queries)]  # a view, not a copy
            num_rows = min(_ITEM_BLOCK, self.num_items - first)
            if num_rows < scores.shape[1]:
                scores = scores.copy()
                scores[:, num_rows:] = -np.inf
            start, stop = np.searchsorted(sorted_rows, [first, first + num_rows])
            here = by_row[start:stop]
            pair_scores[here] = scores[pair_query[here], pair_row[here] - first]
            reservoir.add(scores, first)
        return reservoir.sorted_keys(), pair_scores


class _Reservoir:
    """The `num_top` best (score, row) of each query among the blocks added so far.

    A (score, row) is one int64 key whose order is that of the scores, ties by lower row; see
    `_encode`. Keys gather in a `[num_queries, width]` array, which is cut to its best `num_top`
    columns whenever a query's row of it is full. A score that does not exceed its query's
    threshold, a lower bound of the num_top-th best score, is never stored.
    """

    def __init__(self, num_queries: int, num_top: int) -> None:
        self._num_top = num_top
        self._keys = np.full((num_queries, _RESERVOIR_FACTOR * num_top), _EMPTY, np.int64)
        self._fill = np.zeros(num_queries, np.int64)
        self._threshold = np.full(num_queries, -np.inf, np.float32)

    def add(self, scores: _FloatArray, first_row: int) -> None:
        """Adds `scores` [num_queries, block], column i being item `first_row + i`.

        Blocks come in ascending order of their rows, so a later score equal to the threshold
        cannot replace an earlier one; -inf stands for no item.
        """
        grouped = scores.reshape(len(scores), _GROUP, -1)
        maxima = grouped.max(axis=1)  # [num_queries, groups]; item g + i * groups is in group g
        num_groups = maxima.shape[1]
        found = np.flatnonzero(maxima > self._threshold[:, None])
        if len(found) > 2 * self._num_top * len(scores) and num_groups >= self._num_top:
            # That many different items score at least `bound`; nextafter keeps equal ones.
            bound = np.partition(maxima, -self._num_top, axis=1)[:, -self._num_top]
            bound = np.nextafter(bound, np.float32(-np.inf))
            self._threshold = np.maximum(self._threshold, bound)
            found = np.flatnonzero(maxima > self._threshold[:, None])
        # One threshold for the whole block: `_store` may raise it, and then an equal score of a
        # lower row, in a later group, would be lost.
        threshold = self._threshold.copy()
        for start in range(0, len(found), _GROUP_CHUNK):
            query, group = np.divmod(found[start : start + _GROUP_CHUNK], num_groups)
            candidates = grouped[query, :, group]  # [found, _GROUP]
            chosen = np.flatnonzero(candidates > threshold[query, None])
            which, member = np.divmod(chosen, _GROUP)
            rows = first_row + group[which] + member * num_groups
            self._store(query[which], _encode(candidates.ravel()[chosen], rows))

    def _store(self, query: _IntArray, keys: _Keys) -> None:
        """Puts `keys` [candidates] into the reservoirs of `query` [candidates], ascending."""
        while len(query):
            counts = np.bincount(query, minlength=len(self._fill))
            place = np.arange(len(query)) + (self._fill - np.cumsum(counts) + counts)[query]
            fits = place < self._keys.shape[1]
            self._keys[query[fits], place[fits]] = keys[fits]
            self._fill = np.minimum(self._fill + counts, self._keys.shape[1])
            if fits.all():
                return
            left = ~fits & (keys > self._compress()[query])
            query, keys = query[left], keys[left]

    def _compress(self) -> _Keys:
        """Cuts to the best `num_top` keys; the worst of those, `[num_queries]`, is returned."""
        best = np.partition(self._keys, -self._num_top, axis=1)[:, -self._num_top :]
        self._keys.fill(_EMPTY)
        self._keys[:, : self._num_top] = best
        self._fill[:] = self._num_top  # empty keys among the best keep their places
        worst = best.min(axis=1)
        is_full = worst != _EMPTY
        self._threshold[is_full] = np.maximum(self._threshold[is_full], _decode(worst[is_full])[0])
        return worst

    def sorted_keys(self) -> _Keys:
        """The best keys, `[num_queries, num_top]`, descending."""
        self._compress()
        return np.sort(self._keys[:, : self._num_top], axis=1)[:, ::-1]


def _encode(scores: _FloatArray, rows: _IntArray) -> _Keys:
    """Keys whose order is that of `scores`, ties by lower row."""
    bits = (scores + np.float32(0.0)).view(np.int32)  # adding 0 makes -0.0 the same as 0.0
    ordered = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64)
    return (ordered << _ROW_BITS) | (_ROW_MASK - rows)


def _decode(keys: _Keys) -> tuple[_FloatArray, npt.NDArray[np.int32]]:
    """The scores and rows that `_encode` made `keys` of."""
    ordered = (keys >> _ROW_BITS).astype(np.int32)
    bits = np.where(ordered < 0, ordered ^ np.int32(0x7FFFFFFF), ordered)
    return bits.view(np.float32), (_ROW_MASK - (keys & _ROW_MASK)).astype(np.int32)


def count_at_least(
    top_scores: _FloatArray, query_of_pair: _IntArray, pair_scores: _FloatArray
) -> npt.NDArray[np.int32]:
    """For each pair, how many of its query's top scores are at least its own.

    Args:
      top_scores: `[num_queries, num_top]` float32.
      query_of_pair: `[num_pairs]` int, positions in `top_scores`.
      pair_scores: `[num_pairs]` float32.

    Returns:
      `[num_pairs]` int32 in 0 .. num_top.
    """
    counts = np.empty(len(pair_scores), np.int32)
    for start in range(0, len(pair_scores), _PAIR_CHUNK):
        chunk = slice(start, start + _PAIR_CHUNK)
        counts[chunk] = np.count_nonzero(
            top_scores[query_of_pair[chunk]] >= pair_scores[chunk, None], axis=1
        )
    return counts


def num_threads() -> int:
    """How many threads a search uses: the cores open to this process, at most 16."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _MAX_THREADS)
    return min(os.cpu_count() or 1, _MAX_THREADS)


def _run_chunks(scan: Callable[[slice], None], num_queries: int, num_top: int) -> None:
    """Calls `scan` on chunks of the queries, several at a time."""
    threads = num_threads()
    per_thread = -(-num_queries // threads)
    bound = _MAX_RESERVOIR_BYTES // (8 * _RESERVOIR_FACTOR * num_top)
    size = max(1, min(_QUERY_CHUNK, bound, per_thread))
    chunks = [slice(start, min(start + size, num_queries)) for start in range(0, num_queries, size)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(scan, chunks):  # taking the results raises a chunk's error
            pass


def _tensor(rows: _FloatArray, multiple: int) -> tf.Tensor:
    """`_padded_tensor`, without a copy where TensorFlow can use the rows as they are."""
    is_whole = len(rows) % multiple == 0
    if is_whole and rows.flags.writeable and rows.ctypes.data % _ALIGNMENT == 0:
        return tf.experimental.dlpack.from_dlpack(rows.__dlpack__())
    return _padded_tensor(rows, multiple)


def _padded_tensor(rows: _FloatArray, multiple: int) -> tf.Tensor:
    """`rows` [n, dim] as a tensor on the CPU, with zero rows up to a multiple of `multiple`."""
    padded = np.zeros((-(-len(rows) // multiple) * multiple, rows.shape[1]), np.float32)
    padded[: len(rows)] = rows
    with tf.device("CPU:0"):
        return tf.convert_to_tensor(padded)


def _no_rows() -> npt.NDArray[np.int64]:
    return np.empty(0, np.int64)
