"""Retrieval over the whole corpus, exact or by ScaNN, behind one small interface.

Arrays go in and come out; embeddings are float32 and L2-normalised by the caller, so that a dot
product is the paper's s(a, b).
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
    """What evaluation and recommendation need of an index; `ExactSearch` documents it."""

    num_items: int
    dim: int

    def search(
        self, queries: npt.ArrayLike, k: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """The scores, descending, and rows of each query's top `k` items."""
        ...

    def ranks(
        self,
        queries: npt.ArrayLike,
        query_of_pair: npt.ArrayLike,
        item_row: npt.ArrayLike,
        max_rank: int,
    ) -> npt.NDArray[np.int32]:
        """The rank of each pair's item, max_rank + 1 standing for every rank beyond max_rank."""
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
