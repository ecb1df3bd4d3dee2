"""Splits of links: by page, as the paper's, or each link on its own."""

from __future__ import annotations

import numpy as np

from data_prep.splits import SplitRule, pair_digests, split_of

BY_PAGE, BY_LINK = SPLITS = ("page", "link")


def item_splits(items: np.ndarray, rule: SplitRule) -> np.ndarray:
    """The split of each page's digest, uint8; all are training pages in a split by link."""
    return np.zeros(items.shape, np.uint8) if rule.by == BY_LINK else split_of(items, rule)


def pair_splits(query: np.ndarray, item: np.ndarray, rule: SplitRule) -> np.ndarray:
    """The split of each (query, item) pair of digests, uint8.

    By page, a pair is test if it touches a test page, else validation if it touches a validation
    page, else train.
    """
    if rule.by == BY_LINK:
        return split_of(pair_digests(query, item), rule)
    # TEST > VALIDATION > TRAIN: the larger of both ends decides.
    return np.maximum(split_of(query, rule), split_of(item, rule))
