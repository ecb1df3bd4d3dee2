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
from data_prep.shards import take

# Splits of the pairs: the latest pairs of all, or the last moments of each user.
BY_TIME, BY_LAST = SPLITS = ("time", "last")
_MOMENTS_OF_SPLITS = 3


class Queries(NamedTuple):
    """Some users, their events and their queries.

    Attributes:
      users: `[users]` uint64 digests, ascending.
      event_item: `[events]` uint64 digests of items, by user and time, each item of a user once.
      user: `[queries]` positions in `users`, ascending.
      time: `[queries]` microseconds; 0 where a query is a user.
      first: `[queries]` the user's first event.
      end: `[queries]` the first event that the query does not know of; `first` where a query is a
        user, since a user alone has no history.
      kind: `[queries]` positions of the kinds that are asked for; None where none is.
    """

    users: np.ndarray
    event_item: np.ndarray
    user: np.ndarray
    time: np.ndarray
    first: np.ndarray
    end: np.ndarray
    kind: np.ndarray | None = None


class QueryPairs(NamedTuple):
    """Pairs as columns `[pairs]`.

    Attributes:
      query: positions of the queries.
      item: digests of the items, uint64.
      digest: the pairs' own, uint64.
      divider: the split depends on it, int64: the time, or the split itself.
      weight: float32; None where all weigh alike.
      negatives: those of the event, see `Events`.
    """

    query: np.ndarray
    item: np.ndarray
    digest: np.ndarray
    divider: np.ndarray
    weight: np.ndarray | None = None
    negatives: np.ndarray | None = None


def make_queries(
    events: Events, *, queries: str, split_by: str, counters: Counter[str]
) -> tuple[Queries, QueryPairs]:
    """Makes queries and pairs of the whole histories of some users.

    Only the first event of a user with an item counts; it is a pair of the user, or of the user at
    that moment, with the item. Events of one moment are pairs of one query.

    Where events have a kind, the first of each kind counts, and a query asks for one kind: events
    of one moment are pairs of a query for each of their kinds. An item is once in a history, by
    its first event.

    Args:
      events: all events of the users, in any order.
      queries: `users`, `histories` (moments before which there was an event) or `both` (moments).
      split_by: `time`, or `last`: of users with at least three moments of pairs the last is for
        testing, the one before for validation.
      counters: `events_repeated` and `events_without_history` are counted here.
    """
    firsts = first_events(events)
    user, item, time = firsts.user, firsts.item, firsts.time
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
    kept = np.flatnonzero(is_query[moment_of_event])
    source = user_of_event if queries == USERS else moment_of_event
    source, kind, query = _distinct(source[kept], firsts.kind, kept)
    if queries == USERS:
        nobody, begin = np.zeros(len(source), np.int64), first_of_user[source]
        made = Queries(users, item, source, nobody, begin, begin, kind)
        digests = users[source]
    else:
        start = starts[source]
        made = Queries(users, item, user_of_event[start], time[start], first[source], start, kind)
        digests = splits.pair_digests(users[made.user], made.time.view(np.uint64))
    if kind is not None:
        digests = splits.pair_digests(digests, kind.astype(np.uint64))
        made = _each_item_once(made, user_of_event)
    counters["events_without_history"] += len(item) - len(kept)
    of_pairs = take(firsts, kept)
    digests = splits.pair_digests(digests[query], of_pairs.item)
    return made, QueryPairs(
        query, of_pairs.item, digests, divider[kept], of_pairs.weight, of_pairs.negatives
    )


def _distinct(
    source: np.ndarray, kind: np.ndarray | None, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """The queries of events by what they are made of, the events' users or moments, and by kind.

    Args:
      source: `[kept]` what each event's query is made of.
      kind: `[events]` or None.
      kept: positions of the events.

    Returns:
      `[queries]` sources, ascending; `[queries]` kinds; and `[kept]` the events' queries.
    """
    if kind is None:
        sources, query = np.unique(source, return_inverse=True)
        return sources, None, query
    num_kinds = int(kind.max(initial=0)) + 1
    codes, query = np.unique(source * num_kinds + kind[kept], return_inverse=True)
    return codes // num_kinds, codes % num_kinds, query


def _each_item_once(queries: Queries, user_of_event: np.ndarray) -> Queries:
    """The queries with only the first of a user's events with an item, of whatever kind."""
    order = np.lexsort((np.arange(len(user_of_event)), queries.event_item, user_of_event))
    item, user = queries.event_item[order], user_of_event[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (user[1:] != user[:-1]) | (item[1:] != item[:-1])
    known = np.sort(order[is_new])
    return queries._replace(
        event_item=queries.event_item[known],
        first=np.searchsorted(known, queries.first),
        end=np.searchsorted(known, queries.end),
    )


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
