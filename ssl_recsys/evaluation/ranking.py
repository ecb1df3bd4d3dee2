"""Ranks and lists of queries by a search, where wanted without some of each query's items."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ssl_recsys.evaluation.left_out import LeftOut
from ssl_recsys.evaluation.recommended import LISTED
from ssl_recsys.search.interface import Search


def ranks_and_lists(
    search: Search,
    query_embeddings: npt.NDArray[np.float32],
    query_of_pair: npt.NDArray[np.integer],
    item_row: npt.NDArray[np.integer],
    max_rank: int,
    *,
    left_out: LeftOut | None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Ranks and best items, where wanted with some of each query's items left out of the corpus.

    Args:
      search: over the whole corpus.
      query_embeddings: `[num_queries, dim]` float32.
      query_of_pair: `[num_pairs]` int, positions in `query_embeddings`.
      item_row: `[num_pairs]` int, catalog rows.
      max_rank: ranks beyond it are not told apart.
      left_out: what is left out; None: nothing.

    Returns:
      `[num_pairs]` int32 in 1 .. max_rank + 1, as `ExactSearch.ranks`, a pair whose own item is
      left out keeping its rank among the others; `[num_queries, LISTED]` int32 rows of the best
      items, fewer columns where the corpus has fewer items, -1 for none.
    """
    if left_out is None or not len(left_out.query):
        return search.ranks_and_top(query_embeddings, query_of_pair, item_row, max_rank, LISTED)
    query_of_pair, item_row = np.asarray(query_of_pair), np.asarray(item_row)
    ranks = np.empty(len(item_row), np.int32)
    width = max(1, min(LISTED, search.num_items - 1))
    lists = np.full((len(query_embeddings), width), -1, np.int32)
    # A query that leaves out many is searched with others of its kind: lists are as long as that.
    for queries, part in left_out.by_size(len(query_embeddings)):
        place = np.full(len(query_embeddings), -1)
        place[queries] = np.arange(len(queries))
        mine = np.flatnonzero(place[query_of_pair] >= 0)
        ranks[mine], lists[queries] = _ranks_and_lists(
            search,
            query_embeddings[queries],
            place[query_of_pair[mine]],
            item_row[mine],
            max_rank,
            part,
            width,
        )
    return ranks, lists


def _ranks_and_lists(
    search: Search,
    query_embeddings: npt.NDArray[np.float32],
    query_of_pair: npt.NDArray[np.integer],
    item_row: npt.NDArray[np.integer],
    max_rank: int,
    left_out: LeftOut,
    width: int,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """As `ranks_and_lists`, with lists of `width` and all queries searched alike."""
    most = left_out.most
    ranks, rows = search.ranks_and_top(
        query_embeddings,
        np.concatenate([query_of_pair, left_out.query]),
        np.concatenate([item_row, left_out.item_row]),
        max_rank + most,
        LISTED + most,
    )
    of_pairs, of_left_out = ranks[: len(item_row)], ranks[len(item_row) :]
    better = left_out.num_better(of_pairs, query_of_pair, item_row, of_left_out)
    ranks = np.minimum(of_pairs - better, max_rank + 1).astype(np.int32)
    # A stable sort puts left-out items last, or those too many where they are not listed.
    is_out = left_out.has(np.arange(len(rows))[:, np.newaxis], rows)
    kept = np.where(is_out, -1, rows)
    kept = np.take_along_axis(kept, np.argsort(is_out, axis=1, kind="stable"), axis=1)[:, :width]
    missing = width - kept.shape[1]  # where the corpus is that small
    return ranks, np.pad(kept, ((0, 0), (0, missing)), constant_values=-1)
