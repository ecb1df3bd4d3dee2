"""Queries of whole histories: columns of events to columns of queries and pairs.

A query never knows anything of the moment of its own events, or of later ones.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from data_prep import splits
from data_prep.installs.logs import Events, first_events
from data_prep.interactions.spec import HISTORIES, USERS

# Splits of the pairs: the latest pairs of all, or the last moments of each user.
BY_TIME, BY_LAST = SPLITS = ("time", "last")
_MOMENTS_OF_SPLITS = 3


class Queries(NamedTuple):
    """Some users, their events and their queries.

    Attributes:
      users: `[users]` uint64 digests, ascending.
      event_item: `[events]` uint64 digests of items, by user and time.
      user: `[queries]` positions in `users`, ascending.
      time: `[queries]` microseconds; 0 where a query is a user.
      first: `[queries]` the user's first event.
      end: `[queries]` the first event that the query does not know of; `first` where a query is a
        user, since a user alone has no history.
    """

    users: np.ndarray
    event_item: np.ndarray
    user: np.ndarray
    time: np.ndarray
    first: np.ndarray
    end: np.ndarray


class QueryPairs(NamedTuple):
    """Pairs as columns `[pairs]`.

    Attributes:
      query: positions of the queries.
      item: digests of the items, uint64.
      digest: the pairs' own, uint64.
      divider: the split depends on it, int64: the time, or the split itself.
    """

    query: np.ndarray
    item: np.ndarray
    digest: np.ndarray
    divider: np.ndarray


def make_queries(
    events: Events, *, queries: str, split_by: str, counters: Counter[str]
) -> tuple[Queries, QueryPairs]:
    """Makes queries and pairs of the whole histories of some users.

    Only the first event of a user with an item counts; it is a pair of the user, or of the user at
    that moment, with the item. Events of one moment are pairs of one query.

    Args:
      events: all events of the users, in any order.
      queries: `users`, `histories` (moments before which there was an event) or `both` (moments).
      split_by: `time`, or `last`: of users with at least three moments of pairs the last is for
        testing, the one before for validation.
      counters: `events_repeated` and `events_without_history` are counted here.
    """
    user, item, time = first_events(events)
    counters["events_repeated"] += len(events.item) - len(item)
    users, user_of_event = np.unique(user, return_inverse=True)
    first_of_user = np.searchsorted(user_of_event, np.arange(len(users)))
    # Events are in order, so moments are runs.
    is_start = np.ones(len(user), bool)
    is_start[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
    starts, moment_of_event = np.flatnonzero(is_start), np.cumsum(is_start) - 1
    first = first_of_user[user_of_event[starts]]
    is_query = (starts > first) | (queries != HISTORIES)
    divider = time
    if split_by == BY_LAST:
        split_of_moment = np.full(len(starts), splits.TRAIN)
        split_of_moment[is_query] = _last_out(user_of_event[starts[is_query]])
        divider = split_of_moment[moment_of_event]
    if queries == USERS:
        nobody = np.zeros(len(users), np.int64)
        made = Queries(users, item, np.arange(len(users)), nobody, first_of_user, first_of_user)
        kept, query = np.arange(len(item)), user_of_event
        digests = users
    else:
        number = np.cumsum(is_query) - 1
        made = Queries(
            users,
            item,
            user_of_event[starts[is_query]],
            time[starts[is_query]],
            first[is_query],
            starts[is_query],
        )
        kept = np.flatnonzero(is_query[moment_of_event])
        query = number[moment_of_event]
        digests = splits.pair_digests(users[made.user], made.time.view(np.uint64))
    counters["events_without_history"] += len(item) - len(kept)
    query, item = query[kept], item[kept]
    return made, QueryPairs(query, item, splits.pair_digests(digests[query], item), divider[kept])


def _last_out(user_of_moment: np.ndarray) -> np.ndarray:
    """The split of each moment, `[moments]` int64; those of a user stand in order."""
    num_moments = np.bincount(user_of_moment, minlength=1)
    to_come = np.cumsum(num_moments)[user_of_moment] - np.arange(len(user_of_moment)) - 1
    split = np.full(len(user_of_moment), splits.TRAIN)
    split[to_come == 1], split[to_come == 0] = splits.VALIDATION, splits.TEST
    return np.where(num_moments[user_of_moment] >= _MOMENTS_OF_SPLITS, split, splits.TRAIN)


def histories(queries: Queries, event_id: np.ndarray, most: int) -> list[list[int]]:
    """The ids of each query's history, the latest first.

    Args:
      queries: the queries.
      event_id: `[events]` ids of the events' items; items without one (0) are left out.
      most: how many ids a history has, the latest ones.
    """
    known = np.flatnonzero(event_id)
    begin = np.searchsorted(known, queries.first)
    end = np.searchsorted(known, queries.end)
    ids = event_id[known]
    spans = zip(np.maximum(begin, end - most).tolist(), end.tolist(), strict=True)
    return [ids[first:last][::-1].tolist() for first, last in spans]
