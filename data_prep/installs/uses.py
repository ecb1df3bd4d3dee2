"""What training pairs use of the items of a shard."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Uses(NamedTuple):
    """Of a shard's items: digests of the keys, training pairs as item and as query, `[items]`.

    `in_vocabulary`, bool, says whether an item's tokens count for vocabularies.
    """

    digests: np.ndarray
    as_item: np.ndarray
    as_query: np.ndarray
    in_vocabulary: np.ndarray

    @property
    def totals(self) -> np.ndarray:
        """Training pairs of each item; items with none are held out."""
        return self.as_item + self.as_query
