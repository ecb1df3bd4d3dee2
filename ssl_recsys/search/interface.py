"""Retrieval over the whole corpus, exact or by ScaNN, behind one small interface.

Arrays go in and come out; embeddings are float32 and L2-normalised by the caller, so that a dot
product is the paper's s(a, b), but for a scale of trained items (evaluation/calibration.py).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from ssl_recsys.errors import InputError
from ssl_recsys.search import EXACT, RETRIEVALS, SCANN
from ssl_recsys.search.exact import ExactSearch
from ssl_recsys.search.scann import ScannSearch


class Search(Protocol):
    """What evaluation and recommendation need of an index."""

    num_items: int
    dim: int

    def search(
        self, queries: npt.ArrayLike, k: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """The top `k` items of each query.

        Args:
          queries: `[num_queries, dim]` float32.
          k: number of items to return; the whole corpus where it has fewer.

        Returns:
          `[num_queries, min(k, num_items)]` float32 scores, descending, and the items' rows,
          int32 of the same shape.

        Raises:
          InputError: if a query holds NaN or infinity, or k is not positive.
        """
        ...

    def ranks(
        self,
        queries: npt.ArrayLike,
        query_of_pair: npt.ArrayLike,
        item_row: npt.ArrayLike,
        max_rank: int,
    ) -> npt.NDArray[np.int32]:
        """The rank of each pair's item in the corpus as its query orders it.

        The rank is 1 + the number of other items that score at least as high, so that equal
        scores count against the model: a model that gives every item the same embedding ranks
        every item last.

        Args:
          queries: `[num_queries, dim]` float32.
          query_of_pair: `[num_pairs]` int, positions in `queries`, in any order.
          item_row: `[num_pairs]` int, catalog rows.
          max_rank: ranks beyond it are not told apart.

        Returns:
          `[num_pairs]` int32 in 1 .. max_rank + 1, best 1; max_rank + 1 stands for every rank
          beyond max_rank.

        Raises:
          InputError: if a query holds NaN or infinity, or max_rank is not positive.
          ValueError: if a position or row is out of range.
        """
        ...

    def ranks_and_top(
        self,
        queries: npt.ArrayLike,
        query_of_pair: npt.ArrayLike,
        item_row: npt.ArrayLike,
        max_rank: int,
        k: int,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """`ranks` and the rows of `search`, in one pass over the corpus.

        Args:
          queries: `[num_queries, dim]` float32.
          query_of_pair: `[num_pairs]` int, positions in `queries`, in any order.
          item_row: `[num_pairs]` int, catalog rows.
          max_rank: ranks beyond it are not told apart.
          k: number of items to return; the whole corpus where it has fewer.

        Returns:
          `[num_pairs]` int32 ranks and `[num_queries, min(k, num_items)]` int32 rows.

        Raises:
          InputError, ValueError: as `ranks` and `search`.
        """
        ...


def make_search(item_embeddings: npt.ArrayLike, retrieval: str = EXACT) -> Search:
    """An index over `item_embeddings` [num_items, dim], `exact` or `scann`.

    Raises:
      InputError: for an unknown retrieval, no items, NaN or infinity, or ScaNN missing.
    """
    check_retrieval(retrieval)
    if retrieval == SCANN:
        return ScannSearch.build(item_embeddings)
    return ExactSearch(item_embeddings)


def check_retrieval(retrieval: str) -> None:
    """Raises InputError for an unknown retrieval."""
    if retrieval not in RETRIEVALS:
        raise InputError(f"retrieval must be one of {', '.join(RETRIEVALS)} (got {retrieval!r})")
