"""From the ranks of evaluation pairs to the contents of `metrics.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys import schema
from ssl_recsys.evaluation import metrics, slices, uncertainty
from ssl_recsys.evaluation.recommended import recommended_metrics
from ssl_recsys.search import EXACT


@dataclasses.dataclass(frozen=True)
class RankedPairs:
    """The evaluation pairs of a split with a model's ranks.

    Attributes:
      ranks: `[num_pairs]` int from 1, exact up to the largest of `ks`.
      query_of_pair: `[num_pairs]` int, positions of distinct queries.
      item_row: `[num_pairs]` int, catalog rows.
      recommended: `[num_queries, K]` int, catalog rows of each query's best items, -1 for none;
        None where no lists were made.
      split: name of the split.
      head: which items are the head.
      train_count: `[num_items]` int, training pairs by their item; the head is told by them.
      item_counts: `[num_items]` int, those that the model was trained on.
      query_excluded: whether each query's own item was left out.
      known_excluded: whether the items of each query's training pairs were.
      query_only: features that are known of the queries; none: all.
      query_count: `[num_queries]` int, training pairs of each query's user; None where queries are
        items.
      retrieval: what the ranks come from.
      ks: the values of K.
      scann: ScaNN's comparison with exact search.
    """

    ranks: npt.NDArray[np.integer]
    query_of_pair: npt.NDArray[np.integer]
    item_row: npt.NDArray[np.integer]
    recommended: npt.NDArray[np.integer] | None
    split: str
    head: schema.HeadRule
    train_count: npt.NDArray[np.integer]
    item_counts: npt.NDArray[np.integer]
    query_excluded: bool
    retrieval: str = EXACT
    ks: Sequence[int] = metrics.DEFAULT_KS
    scann: Mapping[str, Any] | None = None
    known_excluded: bool = False
    query_only: tuple[str, ...] = ()
    query_count: npt.NDArray[np.integer] | None = None

    @property
    def head_mask(self) -> npt.NDArray[np.bool_]:
        """`[num_pairs]` whether the pair's item is a head item."""
        return metrics.head_items(self.head, self.train_count)[self.item_row]

    def masks(
        self, item_slices: Mapping[str, npt.NDArray[np.bool_]]
    ) -> dict[str, npt.NDArray[np.bool_]]:
        """`[num_pairs]` bool by slice: the three of every evaluation, and those of a user's.

        Args:
          item_slices: name -> `[num_items]` bool, whether an item belongs to it.
        """
        own = {name: mask[self.item_row] for name, mask in item_slices.items()}
        return {**metrics.slice_masks(self.head_mask), **self._warm_and_cold(), **own}

    def _warm_and_cold(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Where queries are users: pairs of users and of items with and without training pairs."""
        if self.query_count is None:
            return {}
        is_warm_user = self.query_count[self.query_of_pair] > 0
        is_warm_item = self.train_count[self.item_row] > 0
        return {
            "warm users": is_warm_user,
            "cold users": ~is_warm_user,
            "warm items": is_warm_item,
            "cold items": ~is_warm_item,
        }


def summarize(
    ranked: RankedPairs, item_slices: Mapping[str, npt.NDArray[np.bool_]] | None = None
) -> dict[str, Any]:
    """The contents of `metrics.json`.

    Args:
      ranked: the pairs.
      item_slices: more slices: name -> `[num_items]` bool, whether an item belongs to it.

    Returns:
      `split`, `retrieval`, `num_items`, `num_pairs`, `query_excluded`, `known_excluded`,
      `query_only`, the slices `overall`, `head` and `tail` of `metrics.slice_metrics`, `slices`
      with the same fields for each of `item_slices` and, where queries are users, for warm and
      cold users and items, `intervals`, `by_frequency`, `recommended`, `baselines` with the three
      slices for `top_popular`, and for ScaNN the comparison with exact search under `scann`.
    """
    item_slices = item_slices or {}
    ks, queries, is_head = ranked.ks, ranked.query_of_pair, ranked.head_mask
    popular_ranks = metrics.top_popular_ranks(ranked.item_counts, ranked.item_row)
    popular = metrics.slice_metrics(popular_ranks, is_head, queries, ks=ks)
    masks = ranked.masks(item_slices)
    found = {
        "split": ranked.split,
        "retrieval": ranked.retrieval,
        "num_items": len(ranked.train_count),
        "num_pairs": len(ranked.ranks),
        "query_excluded": ranked.query_excluded,
        "known_excluded": ranked.known_excluded,
        "query_only": list(ranked.query_only),
        **metrics.slice_metrics(ranked.ranks, is_head, queries, ks=ks),
        "intervals": uncertainty.intervals(ranked.ranks, queries, masks, ks=ks),
        "by_frequency": slices.by_frequency(
            ranked.ranks, ranked.train_count[ranked.item_row], max(ks)
        ),
        "baselines": {metrics.TOP_POPULAR: popular},
    }
    if own_slices := [name for name in masks if name not in metrics.SLICES]:
        found["slices"] = {
            name: metrics.part_metrics(ranked.ranks[masks[name]], queries[masks[name]], ks=ks)
            for name in own_slices
        }
    if ranked.recommended is not None:
        found["recommended"] = recommended_metrics(ranked.recommended, ranked.item_counts)
    if ranked.scann is not None:
        found["scann"] = dict(ranked.scann)
    return found
