"""How far metrics are due to the choice of queries: intervals, and tests between two models.

Queries are drawn, or swapped between two models, as a whole, since the pairs of one query are not
independent. Beyond `MOST_GROUPS` queries random groups of them are, which bounds time and memory:
sums of groups carry the same variance, estimated from that many groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys.evaluation.metrics import (
    DEFAULT_KS,
    HIT_RATE,
    PAIR_METRICS,
    RECALL,
    gains,
    recall_at,
)

LEVEL = 0.95
RESAMPLES = 1000
SWAPS = 9999
MOST_GROUPS = 2048
_SEED = 20_070_128
_SWAPS_AT_ONCE = 512
_ROUNDING = 1e-9  # of sums of gains that are equal

_Masks = Mapping[str, npt.NDArray[np.bool_]]
_Floats = npt.NDArray[np.float64]


def intervals(
    ranks: npt.NDArray[np.integer],
    query_of_pair: npt.NDArray[np.integer],
    masks: _Masks,
    *,
    ks: Sequence[int] = DEFAULT_KS,
) -> dict[str, Any]:
    """Percentile bootstrap intervals over queries (Efron and Tibshirani 1993, chapter 13).

    Args:
      ranks: `[num_pairs]` int from 1.
      query_of_pair: `[num_pairs]` int, positions of distinct queries.
      masks: slice -> `[num_pairs]` bool, whether it has the pair.
      ks: the values of K.

    Returns:
      `level`, `resamples`, and for each slice metric -> [low, high], None where the slice has
      pairs of fewer than two queries (or groups of them).
    """
    groups, weights = _bootstrap_weights(query_of_pair)
    found: dict[str, Any] = {"level": LEVEL, "resamples": RESAMPLES}
    for name, mask in masks.items():
        sums, counts = _sums(ranks[mask], query_of_pair[mask], groups, ks)
        bounds = _bounds(_means(weights @ sums, weights @ counts))
        is_some = np.count_nonzero(counts, axis=0) > 1
        found[name] = {
            metric: list(map(float, bounds[:, column])) if is_some[column] else None
            for column, metric in enumerate(metric_names(ks))
        }
    return found


def differences(
    first: npt.NDArray[np.integer],
    second: npt.NDArray[np.integer],
    query_of_pair: npt.NDArray[np.integer],
    masks: _Masks,
    *,
    ks: Sequence[int] = DEFAULT_KS,
) -> dict[str, dict[str, dict[str, float | None]]]:
    """The metrics of two models on the same pairs, paired by query.

    The p-value is two-sided, of the randomization test that swaps the two models' ranks of whole
    queries at random (Smucker, Allan and Carterette 2007); the interval is the bootstrap's.

    Args:
      first: `[num_pairs]` int from 1, the first model's ranks.
      second: the second model's.
      query_of_pair: `[num_pairs]` int, positions of distinct queries.
      masks: slice -> `[num_pairs]` bool, whether it has the pair.
      ks: the values of K.

    Returns:
      slice -> metric -> `first`, `second`, `difference` (second - first), `low` and `high` of its
      interval, `p_value`; all None for a slice without pairs.
    """
    groups, weights = _bootstrap_weights(query_of_pair)
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for name, mask in masks.items():
        queries = query_of_pair[mask]
        ours, counts = _sums(first[mask], queries, groups, ks)
        theirs, _ = _sums(second[mask], queries, groups, ks)
        totals = counts.sum(axis=0)
        bounds = _bounds(_means(weights @ (theirs - ours), weights @ counts))
        rows = (
            _means(ours.sum(axis=0), totals),
            _means(theirs.sum(axis=0), totals),
            _means((theirs - ours).sum(axis=0), totals),
            *bounds,
            _swap_p_values(theirs - ours),
        )
        keys = ("first", "second", "difference", "low", "high", "p_value")
        found[name] = {
            metric: {
                key: float(row[column]) if totals[column] else None
                for key, row in zip(keys, rows, strict=True)
            }
            for column, metric in enumerate(metric_names(ks))
        }
    return found


def standard_error(
    first: npt.NDArray[np.integer],
    second: npt.NDArray[np.integer],
    query_of_pair: npt.NDArray[np.integer],
    k: int,
) -> float:
    """Standard error of the difference of two models' Recall@k, over queries.

    Args:
      first: `[num_pairs]` int from 1, the first model's ranks, of at least one pair.
      second: the second model's.
      query_of_pair: `[num_pairs]` int, positions of distinct queries.
      k: number of items that are looked at.

    Returns:
      At least 0; the number of pairs is taken as fixed.
    """
    by_pair = gains(RECALL, second, k) - gains(RECALL, first, k)
    by_query = np.bincount(query_of_pair, by_pair)
    return float(np.sqrt(len(by_query)) * np.std(by_query) / len(by_pair))


def is_ahead(
    ranks: npt.NDArray[np.integer],
    others: npt.NDArray[np.integer],
    query_of_pair: npt.NDArray[np.integer],
    k: int,
    margin: float,
) -> bool:
    """Whether a model's Recall@k is more than `margin` standard errors above another's.

    Args:
      ranks: `[num_pairs]` int from 1, the model's ranks.
      others: those of the other model.
      query_of_pair: `[num_pairs]` int, positions of distinct queries.
      k: number of items that are looked at.
      margin: standard errors of the difference, see `standard_error`.
    """
    gain = recall_at(ranks, k) - recall_at(others, k)
    return gain > margin * standard_error(others, ranks, query_of_pair, k)


def metric_names(ks: Sequence[int]) -> tuple[str, ...]:
    """The metrics that intervals are given for."""
    return tuple(f"{name}@{k}" for name in (*PAIR_METRICS, HIT_RATE) for k in ks)


def _bootstrap_weights(
    query_of_pair: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.int64], _Floats]:
    """`[num_queries]` group of each query; `[RESAMPLES, num_groups]` how often it is drawn."""
    rng = np.random.default_rng(_SEED)
    num_queries = int(query_of_pair.max(initial=-1)) + 1
    num_groups = min(num_queries, MOST_GROUPS)
    groups = np.arange(num_queries)
    if num_groups < num_queries:
        groups = rng.permutation(num_queries) % num_groups
    if num_groups == 0:
        return groups, np.zeros((RESAMPLES, 0))
    drawn = rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), RESAMPLES)
    return groups, drawn.astype(np.float64)


def _sums(
    ranks: npt.NDArray[np.integer],
    query_of_pair: npt.NDArray[np.integer],
    groups: npt.NDArray[np.int64],
    ks: Sequence[int],
) -> tuple[_Floats, _Floats]:
    """`[num_groups, num_metrics]` gains, and what they are divided by, pairs or queries."""
    num_groups = int(groups.max(initial=-1)) + 1
    group_of_pair = groups[query_of_pair]

    def by_group(values: npt.NDArray[Any] | None) -> _Floats:
        return np.bincount(group_of_pair, values, num_groups).astype(np.float64)

    sums = [by_group(gains(name, ranks, k)) for name in PAIR_METRICS for k in ks]
    counts = [by_group(None)] * len(sums)

    def queries_by_group(positions: npt.NDArray[np.integer]) -> _Floats:
        distinct = np.flatnonzero(np.bincount(positions))
        return np.bincount(groups[distinct], minlength=num_groups).astype(np.float64)

    sums += [queries_by_group(query_of_pair[gains(RECALL, ranks, k) > 0]) for k in ks]
    counts += [queries_by_group(query_of_pair)] * len(ks)
    return np.stack(sums, axis=1), np.stack(counts, axis=1)


def _means(sums: _Floats, counts: _Floats) -> _Floats:
    """Their ratio, NaN where nothing was drawn."""
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def _bounds(means: _Floats) -> _Floats:
    """`[2, num_metrics]` quantiles of `[RESAMPLES, num_metrics]`; NaN where there is none."""
    edge = (1 - LEVEL) / 2
    is_some = ~np.isnan(means).all(axis=0)
    bounds = np.full((2, means.shape[1]), np.nan)
    bounds[:, is_some] = np.nanquantile(means[:, is_some], (edge, 1 - edge), axis=0)
    return bounds


def _swap_p_values(difference: _Floats) -> _Floats:
    """`[num_metrics]` p-values of the differences `[num_groups, num_metrics]` of sums."""
    rng = np.random.default_rng(_SEED)
    observed = np.abs(difference.sum(axis=0))
    as_large = np.zeros(difference.shape[1])
    for begin in range(0, SWAPS, _SWAPS_AT_ONCE):
        size = (min(_SWAPS_AT_ONCE, SWAPS - begin), len(difference))
        signs = 2.0 * rng.integers(0, 2, size, dtype=np.int8) - 1.0
        as_large += (np.abs(signs @ difference) >= observed - _ROUNDING).sum(axis=0)
    return (1 + as_large) / (1 + SWAPS)
