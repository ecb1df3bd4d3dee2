"""How far trained items stand above new ones: one factor for the embeddings of trained items.

A model has pushed the items of its training pairs, and no others, towards their queries, so new
items stand behind trained ones that fit a query less. Calibrated stacking (Chao et al. 2016, "An
Empirical Study and Analysis of Generalized Zero-Shot Learning for Object Recognition in the Wild",
arXiv 1605.04253) lowers the scores of all trained classes by one number, chosen on validation data.
Here the scores are multiplied, so that an index with a dot product has them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys.evaluation import metrics, uncertainty
from ssl_recsys.evaluation.pairs import EvaluationData, rank_data

# Scales are tried in steps, down from 1 for as long as the metric gains.
STEP, LEAST = 0.02, 0.7
# Share of their recall that trained items may lose.
MOST_LOST = 0.03
# Standard errors of the gain of all pairs that it must be more than.
MARGIN = 2.0


@dataclasses.dataclass(frozen=True)
class Tried:
    """What validation pairs say of a scale.

    Attributes:
      scale: what the embeddings of trained items are multiplied by.
      value: of the metric that chooses.
      trained: recall, at the metric's K, of the pairs whose item was trained.
      others: of all other pairs.
      ranks: `[num_pairs]` of all pairs.
    """

    scale: float
    value: float
    trained: float
    others: float
    ranks: npt.NDArray[np.integer] = dataclasses.field(repr=False, compare=False)


def scaled(
    item_embeddings: npt.NDArray[np.float32], item_counts: npt.NDArray[np.integer], factor: float
) -> npt.NDArray[np.float32]:
    """`[num_items, dim]` a copy with the rows of trained items multiplied by a factor.

    Args:
      item_embeddings: `[num_items, dim]`.
      item_counts: `[num_items]` pairs that the model was trained on.
      factor: above 0.
    """
    factors = np.where(np.asarray(item_counts) > 0, np.float32(factor), np.float32(1))
    return item_embeddings * factors[:, np.newaxis]


def at_scale(data: EvaluationData, factor: float) -> EvaluationData:
    """The same pairs with the embeddings of trained items multiplied by a factor."""
    items = scaled(data.item_embeddings, data.item_counts, factor)
    return dataclasses.replace(data, item_embeddings=items)


def choose(data: EvaluationData, select_by: str) -> tuple[Tried, list[Tried]]:
    """The scale, 1 or less, by which a metric is best at little cost to trained items.

    They may lose no more than `MOST_LOST` of their recall at the metric's K, and all pairs together
    must gain more than twice its standard error, or the scale is 1, as it is where trained items
    or others have no pair.

    Args:
      data: validation pairs, with the embeddings as the towers give them.
      select_by: one of `metrics.SELECTABLE`.

    Returns:
      The chosen scale, and all that were tried, the greatest first.
    """
    is_trained = np.asarray(data.item_counts)[data.item_row] > 0
    before = _tried(data, 1.0, select_by, is_trained)
    if is_trained.all() or not is_trained.any():
        return before, [before]
    tried = [before]
    for scale in np.round(np.arange(1 - STEP, LEAST, -STEP), 6).tolist():
        tried.append(_tried(data, scale, select_by, is_trained))
        *_, last, now = tried
        if now.value <= last.value or now.trained < (1 - MOST_LOST) * before.trained:
            break
    else:
        last = tried[-1]
    gains = uncertainty.is_ahead(
        last.ranks, before.ranks, data.query_of_pair, _k(select_by), MARGIN
    )
    return last if gains else before, tried


def describe(chosen: Tried, tried: list[Tried], select_by: str) -> str:
    """A line on what was chosen."""
    before, *_ = tried
    if len(tried) == 1:
        return "trained items stay as they are: validation pairs hold no others, or none of them"
    if chosen.scale == 1:
        first = tried[1]
        return (
            f"trained items stay as they are: times {first.scale:g} validation {select_by} is "
            f"{first.value:.4f} (as they are {before.value:.4f}); recall of trained items "
            f"{first.trained:.4f} ({before.trained:.4f}), of others {first.others:.4f} "
            f"({before.others:.4f})"
        )
    return (
        f"embeddings of trained items times {chosen.scale:g}: validation {select_by} "
        f"{chosen.value:.4f} (as they are {before.value:.4f}); recall of trained items "
        f"{chosen.trained:.4f} ({before.trained:.4f}), of others {chosen.others:.4f} "
        f"({before.others:.4f})"
    )


def _tried(
    data: EvaluationData, scale: float, select_by: str, is_trained: npt.NDArray[np.bool_]
) -> Tried:
    ranks = rank_data(data if scale == 1 else at_scale(data, scale)).ranks
    is_head = metrics.head_items(data.head, data.train_count)[data.item_row]
    value: Any = metrics.selected(metrics.slice_metrics(ranks, is_head), select_by)
    found = ranks <= _k(select_by)
    recalls = [float(found[of].mean()) if of.any() else 0.0 for of in (is_trained, ~is_trained)]
    return Tried(scale, value, recalls[0], recalls[1], ranks)


def _k(metric: str) -> int:
    return int(metric.rpartition("@")[2])
