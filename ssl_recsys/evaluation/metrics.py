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
RECALL, MAP, NDCG = PAIR_METRICS = ("recall", "map", "ndcg")
HIT_RATE = "hit_rate"
# What a table can show: metrics as columns, and sections below it.
DEFAULT_SHOWN = (RECALL, MAP)
INTERVALS, FREQUENCY, RECOMMENDED = SECTIONS = ("intervals", "frequency", "recommended")
SHOWABLE = (*PAIR_METRICS, HIT_RATE, *SECTIONS)
NAMES = ("recall@10", "recall@50", "map@10", "map@50")
VALIDATION_METRIC = "recall@50"  # what epochs, settings and methods are chosen by
OVERALL, HEAD, TAIL = SLICES = ("overall", "head", "tail")
# What the best epoch can be chosen by: a metric of all pairs, or `<slice>_<metric>`.
SELECTABLE = (*NAMES, *(f"{part}_{name}" for part in (HEAD, TAIL) for name in NAMES))
TOP_POPULAR = "top_popular"

_IntArray = npt.NDArray[np.integer]
_BoolArray = npt.NDArray[np.bool_]


def gains(name: str, ranks: npt.ArrayLike, k: int) -> npt.NDArray[np.float64]:
    """What each pair adds to a metric, which is the mean of it over the pairs.

    Args:
      name: one of `PAIR_METRICS`.
      ranks: `[num_pairs]` int, 1 for the best item; anything beyond k counts as a miss.
      k: number of items that are looked at.

    Returns:
      `[num_pairs]` float64 in [0, 1], best 1: for `recall` 1, for `map` 1 / rank, for `ndcg`
      1 / log2(1 + rank), and 0 where the rank is beyond k.
    """
    array = np.asarray(ranks, np.float64)
    discounts = {RECALL: np.ones_like(array), MAP: array, NDCG: np.log2(1.0 + array)}
    return np.where(array <= k, 1.0 / discounts[name], 0.0)


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
    return float(np.mean(gains(RECALL, _some_ranks(ranks), k)))


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
    return float(np.mean(gains(MAP, _some_ranks(ranks), k)))


def ndcg_at(ranks: npt.ArrayLike, k: int) -> float:
    """NDCG@k: the mean of 1 / log2(1 + rank) over the pairs, 0 for a rank beyond `k`.

    With one relevant item for each pair the ideal gain is 1, so that this is the normalised
    discounted cumulative gain (Järvelin and Kekäläinen 2002).

    Args:
      ranks: `[num_pairs]` int, 1 for the best item.
      k: number of items that are looked at.

    Returns:
      A value in [0, 1], best 1.

    Raises:
      ValueError: if there are no pairs.
    """
    return float(np.mean(gains(NDCG, _some_ranks(ranks), k)))


def hit_rate_at(ranks: npt.ArrayLike, query_of_pair: npt.ArrayLike, k: int) -> float:
    """Hit rate: the share of queries of which at least one pair's item is among the first `k`.

    Recall@k weighs a query by its pairs; here every query counts once.

    Args:
      ranks: `[num_pairs]` int, 1 for the best item.
      query_of_pair: `[num_pairs]` int, positions of distinct queries.
      k: number of items that are looked at.

    Returns:
      A value in [0, 1], best 1.

    Raises:
      ValueError: if there are no pairs.
    """
    ranks, query_of_pair = _some_ranks(ranks), np.asarray(query_of_pair)
    return _num_distinct(query_of_pair[ranks <= k]) / _num_distinct(query_of_pair)


def part_metrics(
    ranks: npt.ArrayLike,
    query_of_pair: npt.ArrayLike | None = None,
    *,
    ks: Sequence[int] = DEFAULT_KS,
) -> dict[str, Any]:
    """All metrics of one slice's pairs.

    Args:
      ranks: `[num_pairs]` int, 1 for the best item.
      query_of_pair: `[num_pairs]` int, positions of distinct queries; None: no hit rate.
      ks: the values of K.

    Returns:
      `num_pairs`, `recall@K`, `map@K`, `ndcg@K`, and with queries `num_queries` and `hit_rate@K`;
      without pairs the counts are 0 and the metrics None.
    """
    array = np.asarray(ranks)
    found: dict[str, Any] = {"num_pairs": len(array)}
    for name, metric in ((RECALL, recall_at), (MAP, map_at), (NDCG, ndcg_at)):
        found |= {f"{name}@{k}": metric(array, k) if len(array) else None for k in ks}
    if query_of_pair is not None:
        found["num_queries"] = _num_distinct(np.asarray(query_of_pair))
        for k in ks:
            rate = hit_rate_at(array, query_of_pair, k) if len(array) else None
            found[f"{HIT_RATE}@{k}"] = rate
    return found


def slice_masks(head_mask: npt.ArrayLike) -> dict[str, _BoolArray]:
    """`[num_pairs]` bool of each of `SLICES`: whether it has the pair.

    Args:
      head_mask: `[num_pairs]` bool, whether the pair's item is a head item.
    """
    is_head = np.asarray(head_mask, dtype=bool)
    return {OVERALL: np.ones_like(is_head), HEAD: is_head, TAIL: ~is_head}


def slice_metrics(
    ranks: npt.ArrayLike,
    head_mask: npt.ArrayLike,
    query_of_pair: npt.ArrayLike | None = None,
    *,
    ks: Sequence[int] = DEFAULT_KS,
) -> dict[str, dict[str, Any]]:
    """`part_metrics` of all pairs, of those with a head item, and of the others.

    Args:
      ranks: `[num_pairs]` int, 1 for the best item.
      head_mask: `[num_pairs]` bool, whether the pair's item is a head item.
      query_of_pair: `[num_pairs]` int, positions of distinct queries; None: no hit rate.
      ks: the values of K; the ranks must be exact up to the largest.

    Returns:
      `{"overall": {"num_pairs": …, "recall@10": …, …}, "head": …, "tail": …}`.

    Raises:
      ValueError: if the arrays differ in length.
    """
    ranks, is_head = np.asarray(ranks), np.asarray(head_mask, dtype=bool)
    if ranks.ndim != 1 or ranks.shape != is_head.shape:
        raise ValueError(
            f"ranks and head_mask must be [num_pairs] both (got {ranks.shape}, {is_head.shape})"
        )
    queries = None if query_of_pair is None else np.asarray(query_of_pair)
    return {
        name: part_metrics(ranks[mask], None if queries is None else queries[mask], ks=ks)
        for name, mask in slice_masks(is_head).items()
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


def _num_distinct(positions: _IntArray) -> int:
    return int(np.count_nonzero(np.bincount(positions)))


def popularity_ranks(train_count: _IntArray) -> npt.NDArray[np.int64]:
    """`[num_items]` place of each item by descending count, ties by row, from 1."""
    ranks = np.empty(len(train_count), np.int64)
    order = np.argsort(-train_count.astype(np.int64), kind="stable")
    ranks[order] = np.arange(1, len(train_count) + 1)
    return ranks
