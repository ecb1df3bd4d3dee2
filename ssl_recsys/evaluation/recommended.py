"""What a recommender recommends, whatever the answers are: coverage, inequality, novelty."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

LISTED = 10  # items of a query's list


def recommended_metrics(
    rows: npt.NDArray[np.integer], item_counts: npt.NDArray[np.integer]
) -> dict[str, Any]:
    """Measures of the lists that queries are given.

    Args:
      rows: `[num_queries, K]` int, catalog rows of each query's best items; -1 is no item.
      item_counts: `[num_items]` int, pairs that the model was trained on, by their item.

    Returns:
      `num_queries`, and for that K `coverage@K`, `gini@K` and `novelty@K`; None where nothing is
      recommended.
    """
    num_queries, k = rows.shape
    listed = rows[rows >= 0]
    times = np.bincount(listed, minlength=len(item_counts))
    is_empty = len(listed) == 0
    return {
        "num_queries": num_queries,
        f"coverage@{k}": None if is_empty else float(np.mean(times > 0)),
        f"gini@{k}": None if is_empty else gini(times),
        f"novelty@{k}": None if is_empty else novelty(times, item_counts),
    }


def gini(times: npt.NDArray[np.integer]) -> float:
    """Gini coefficient of how often each item is recommended.

    Args:
      times: `[num_items]` int, at least one above 0.

    Returns:
      A value in [0, 1): 0 if all items are recommended equally often, 1 - 1 / num_items if only
      one is.
    """
    ascending = np.sort(times).astype(np.float64)
    places = np.arange(1, len(ascending) + 1)
    weights = 2 * places - len(ascending) - 1
    return float((weights * ascending).sum() / (len(ascending) * ascending.sum()))


def novelty(times: npt.NDArray[np.integer], item_counts: npt.NDArray[np.integer]) -> float:
    """Mean self-information of a recommended item, in bits (Zhou et al. 2010).

    An item's probability is its share of the training pairs, each item counted once more, so that
    one without pairs has an information too.

    Args:
      times: `[num_items]` int, how often each item is recommended, at least one above 0.
      item_counts: `[num_items]` int, training pairs by their item.

    Returns:
      At least 0; log2(num_items) where all items are equally frequent, more for rarer ones.
    """
    smoothed = np.asarray(item_counts, np.float64) + 1
    bits = np.log2(smoothed.sum()) - np.log2(smoothed)
    return float((times * bits).sum() / times.sum())
