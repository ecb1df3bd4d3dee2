"""Items that a query's ranking leaves out: the query's own item, or those that are known of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class LeftOut(NamedTuple):
    """(query, item) pairs that no ranking holds, in any order, each once.

    Attributes:
      query: `[left_out]` int, positions of queries.
      item_row: `[left_out]` int, catalog rows.
    """

    query: npt.NDArray[np.integer]
    item_row: npt.NDArray[np.integer]

    @classmethod
    def joined(cls, parts: Sequence[LeftOut], num_items: int) -> LeftOut:
        """All of `parts`, whose pairs may repeat."""
        query, item_row = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        keys = np.unique(query.astype(np.int64) * num_items + item_row)
        return cls(keys // num_items, keys % num_items)

    @classmethod
    def own(cls, own_item_row: npt.NDArray[np.integer]) -> LeftOut:
        """The item row, `[num_queries]`, that each query itself has."""
        return cls(np.arange(len(own_item_row)), np.asarray(own_item_row))

    @property
    def most(self) -> int:
        """The largest number of items that a query leaves out."""
        return int(np.bincount(self.query, minlength=1).max())

    def by_size(self, num_queries: int) -> Iterator[tuple[npt.NDArray[np.integer], LeftOut]]:
        """Queries that leave out about equally many, and what they do, by their places among them.

        Groups are of 0, 1, 2 to 3, 4 to 7, … items; each query is in one of them.
        """
        _, group = np.frexp(np.bincount(self.query, minlength=num_queries).astype(np.float64))
        for number in np.unique(group):
            queries = np.flatnonzero(group == number)
            mine = group[self.query] == number
            place = np.searchsorted(queries, self.query[mine])
            yield queries, LeftOut(place, self.item_row[mine])

    def num_better(
        self,
        ranks: npt.NDArray[np.integer],
        query_of_pair: npt.NDArray[np.integer],
        item_row: npt.NDArray[np.integer],
        left_out_ranks: npt.NDArray[np.integer],
    ) -> npt.NDArray[np.int64]:
        """How many left-out items a pair's rank counts, `[num_pairs]`.

        Those are the ones that score at least as high, which are those whose ranks are as good. A
        pair whose own item is left out does not count that item.

        Args:
          ranks: `[num_pairs]` int.
          query_of_pair: `[num_pairs]` int, positions of queries.
          item_row: `[num_pairs]` int, catalog rows.
          left_out_ranks: `[left_out]` int.
        """
        # (query, rank) as one number that sorts.
        base = int(max(ranks.max(initial=0), left_out_ranks.max(initial=0))) + 1
        keys = np.sort(self.query.astype(np.int64) * base + left_out_ranks)
        first = query_of_pair.astype(np.int64) * base
        found = np.searchsorted(keys, first + ranks, side="right") - np.searchsorted(keys, first)
        return found - self.has(query_of_pair[:, np.newaxis], item_row[:, np.newaxis])[:, 0]

    def has(
        self, query: npt.NDArray[np.integer], rows: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.bool_]:
        """`[n, k]` whether queries `[n, 1]` leave out items `[n, k]`; row -1 is no item."""
        base = int(max(self.item_row.max(initial=0), rows.max(initial=0))) + 2
        mine = self.query.astype(np.int64) * base + self.item_row + 1
        return np.isin(query.astype(np.int64) * base + rows + 1, mine)
