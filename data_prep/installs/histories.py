"""Histories to pairs: each event with what the same user had up to a window before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from data_prep import splits
from data_prep.installs.logs import Events, Pairs, first_events, make_pairs, run_starts

_EXPANDED_AT_ONCE = 1 << 22


def history_pairs(
    events: Events,
    *,
    window: int,
    max_pairs_per_user: int,
    rule: splits.SplitRule,
    counters: Counter[str],
) -> Iterator[Pairs]:
    """Makes (seed, candidate) pairs of whole histories.

    Only the first event of a user with an item counts (see `first_events`). Each event is then the
    candidate of all the user's items that came earlier by up to `window`, and the pair has its
    weight and negatives; of two at the same moment neither came earlier. Where a user has more than
    `max_pairs_per_user` pairs, so many of them are taken, spread evenly over the user's history.

    Args:
      events: all events of some users, in any order.
      window: microseconds.
      max_pairs_per_user: 0 for no limit.
      rule: how pairs are split, for the dividers.
      counters: `users`, `events_repeated`, `users_over_cap` and `pairs_over_user_cap` are
        counted here.

    Yields:
      The pairs, in parts of some millions at most.
    """
    firsts = first_events(events)
    user, item, time, weight = firsts.user, firsts.item, firsts.time, firsts.weight
    counters["events_repeated"] += len(events.item) - len(item)
    latest, earliest = _window_bounds(user, time, window)
    begin = np.concatenate([[0], np.cumsum(latest - earliest)])
    first_event = np.concatenate([run_starts(user), [len(user)]])
    found = np.diff(begin[first_event])
    kept = np.minimum(found, max_pairs_per_user) if max_pairs_per_user else found
    counters["users"] += len(found)
    counters["users_over_cap"] += int((kept < found).sum())
    counters["pairs_over_user_cap"] += int((found - kept).sum())
    for part in _parts(kept):
        pair = _evenly(begin[first_event[part]], found[part], kept[part], user[first_event[part]])
        candidate = np.searchsorted(begin, pair, side="right") - 1
        seed = earliest[candidate] + (pair - begin[candidate])
        yield make_pairs(
            rule,
            query=item[seed],
            item=item[candidate],
            time=time[candidate],
            weight=None if weight is None else weight[candidate],
            negatives=None if firsts.negatives is None else firsts.negatives[candidate],
            user=user[candidate],
        )


def _window_bounds(
    user: np.ndarray, time: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each event the ends (exclusive, inclusive) of its seeds, positions `[events]`.

    Args:
      user: `[events]`, sorted.
      time: `[events]`, sorted within each user.
      window: how much earlier a seed may be.
    """

    def num_before(moment: np.ndarray) -> np.ndarray:
        """How many events come before each event's (user, moment)."""
        count = len(user)
        is_event = np.repeat([0, 1], count)
        order = np.lexsort((is_event, np.concatenate([moment, time]), np.tile(user, 2)))
        events_so_far = np.cumsum(is_event[order])
        before = np.empty(2 * count, np.int64)
        before[order] = events_so_far
        return before[:count]

    return num_before(time), num_before(time - window)


def _parts(sizes: np.ndarray) -> Iterator[slice]:
    """Cuts `[groups]` sizes into runs of groups whose sum is not much over a limit."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        limit = (ends[start - 1] if start else 0) + _EXPANDED_AT_ONCE
        stop = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
        yield slice(start, stop)
        start = stop


def _evenly(begin: np.ndarray, found: np.ndarray, kept: np.ndarray, user: np.ndarray) -> np.ndarray:
    """Takes `kept` of each user's `found` pairs, all arguments `[users]`.

    Returns:
      Positions `[sum of kept]`: of user u evenly spaced ones from `begin[u]` on, with a random
      but stable offset. All of them where `kept` is `found`.
    """
    owner = np.repeat(np.arange(len(kept)), kept)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(kept) - kept, kept)
    offset = (splits.mix64(user, 3) >> np.uint64(11)) * 2.0**-53
    share = found[owner] / np.maximum(kept[owner], 1)
    sampled = np.minimum(((nth + offset[owner]) * share).astype(np.int64), found[owner] - 1)
    return begin[owner] + np.where(found[owner] == kept[owner], nth, sampled)
