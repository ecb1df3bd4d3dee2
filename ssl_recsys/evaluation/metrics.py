"""Metrics over the ranks of evaluation pairs, by slice, and the TopPopular baseline.

Every evaluation pair (query, item) has one relevant item, whose rank in the whole corpus is all
that a metric sees: the protocol of the tables of Yao et al. docs/evaluation.md describes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys import schema

DEFAULT_KS = (10, 50)
NAMES = ("recall@10", "recall@50", "map@10", "map@50")
VALIDATION_METRIC = "recall@50"  # what epochs, settings and methods are chosen by
OVERALL, HEAD, TAIL = SLICES = ("overall", "head", "tail")
# What the best epoch can be chosen by: a metric of all pairs, or `<slice>_<metric>`.
SELECTABLE = (*NAMES, *(f"{part}_{name}" for part in (HEAD, TAIL) for name in NAMES))
TOP_POPULAR = "top_popular"

_IntArray = npt.NDArray[np.integer]
_BoolArray = npt.NDArray[np.bool_]


def recall_at(ranks: npt.ArrayLike, k: int) -> float:
    """Recall@k: the share of pairs whose item is among the first `k` of the corpus.

    Args:
      ranks: `[num_pairs]` int, 1 for the best item; anything beyond k counts as a miss.
      k: number of items that are looked at.

    Returns:
      A value in [0, 1], best 1.

    Raises:
      ValueError: if there are no pairs.
    """
    return float(np.mean(_some_ranks(ranks) <= k))


def map_at(ranks: npt.ArrayLike, k: int) -> float:
    """MAP@k: the mean of 1 / rank over the pairs, 0 for a rank beyond `k`.

    With one relevant item for each pair, average precision is the reciprocal of its rank: the
    paper's MAP / Recall ratios fit this definition, not one that averages over all the items
    of a query.

    Args:
      ranks: `[num_pairs]` int, 1 for the best item.
      k: number of items that are looked at.

    Returns:
      A value in [0, 1], best 1.

    Raises:
      ValueError: if there are no pairs.
    """
    ranks = _some_ranks(ranks)
    return float(np.mean(np.where(ranks <= k, 1.0 / ranks, 0.0)))


def slice_metrics(
    ranks: npt.ArrayLike, head_mask: npt.ArrayLike, *, ks: Sequence[int] = DEFAULT_KS
) -> dict[str, dict[str, Any]]:
    """Recall and MAP over all pairs, over those with a head item, and over the others.

    Args:
      ranks: `[num_pairs]` int, 1 for the best item.
      head_mask: `[num_pairs]` bool, whether the pair's item is a head item.
      ks: the values of K; the ranks must be exact up to the largest.

    Returns:
      `{"overall": {"num_pairs": …, "recall@10": …, …, "map@10": …, …}, "head": …, "tail": …}`.
      A slice without pairs has `num_pairs` 0 and None for its metrics.

    Raises:
      ValueError: if the arrays differ in length.
    """
    ranks, is_head = np.asarray(ranks), np.asarray(head_mask, dtype=bool)
    if ranks.ndim != 1 or ranks.shape != is_head.shape:
        raise ValueError(
            f"ranks and head_mask must be [num_pairs] both (got {ranks.shape}, {is_head.shape})"
        )
    slices = {"overall": ranks, "head": ranks[is_head], "tail": ranks[~is_head]}
    return {
        name: {
            "num_pairs": len(part),
            **{f"recall@{k}": recall_at(part, k) if len(part) else None for k in ks},
            **{f"map@{k}": map_at(part, k) if len(part) else None for k in ks},
        }
        for name, part in slices.items()
    }


def selected(slices: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    """The value of one of `SELECTABLE`; None of a slice without pairs.

    Args:
      slices: what `slice_metrics` gives, or the contents of metrics.json.
      name: a metric of all pairs, or `<slice>_<metric>`.
    """
    part, _, metric = name.rpartition("_")
    return slices[part or OVERALL][metric]


def head_items(head: schema.HeadRule, train_count: npt.ArrayLike) -> _BoolArray:
    """Which items are head items.

    Args:
      head: `in_training`: the items with at least `min_count` training pairs; with one, as in the
        paper's Wikipedia tables. `top_fraction`: of these, the ceil(fraction * num_items) items
        with the most, as in its AAI tables. Items with equally many are all head or all tail: a
        head item has more than the first one for which there is no room.
      train_count: `[num_items]` int, training pairs that have the item as their item side.

    Returns:
      `[num_items]` bool.
    """
    counts = np.asarray(train_count)
    is_head = counts >= head.min_count
    if head.rule == schema.HEAD_TOP_FRACTION:
        # Rounded first: 0.07 * 100 is 7.000000000000001.
        num_head = math.ceil(round(head.fraction * len(counts), 6))
        is_head &= counts > np.sort(counts)[::-1][num_head:].max(initial=0)
    return is_head


def top_popular_ranks(item_counts: npt.ArrayLike, item_row: npt.ArrayLike) -> _IntArray:
    """The ranks of pairs' items where every query is given the most frequent items.

    TopPopular is one fixed list, so an item's rank is its place there, and of items with equally
    many training pairs the lower row comes first; the model's ranks count ties against it.

    Args:
      item_counts: `[num_items]` int, training pairs that have the item as their item side.
      item_row: `[num_pairs]` int.

    Returns:
      `[num_pairs]` int64 in 1 .. num_items, best 1.
    """
    return popularity_ranks(np.asarray(item_counts))[np.asarray(item_row, dtype=np.int64)]


def top_popular_cdf(train_count: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The share of training pairs that the K most frequent items cover, for every K.

    This is the CDF of item frequency that the paper plots, and TopPopular's Recall@K on pairs
    distributed as the training pairs are.

    Args:
      train_count: `[num_items]` int.

    Returns:
      `[num_items]` float64, ascending to 1, the share of the K most frequent items at K - 1; all
      zero where there are no training pairs.
    """
    covered = np.cumsum(np.sort(np.asarray(train_count, dtype=np.int64))[::-1])
    total = covered[-1] if covered.size else 0
    return covered / total if total else np.zeros(len(covered))


def _some_ranks(ranks: npt.ArrayLike) -> _IntArray:
    array = np.asarray(ranks)
    if array.size == 0:
        raise ValueError("expected the ranks of at least one pair, got none")
    return array


def popularity_ranks(train_count: _IntArray) -> npt.NDArray[np.int64]:
    """`[num_items]` place of each item by descending count, ties by row, from 1."""
    ranks = np.empty(len(train_count), np.int64)
    order = np.argsort(-train_count.astype(np.int64), kind="stable")
    ranks[order] = np.arange(1, len(train_count) + 1)
    return ranks
