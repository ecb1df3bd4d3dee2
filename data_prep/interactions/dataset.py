"""From users' events to a dataset: queries, items, pairs of rows, splits, in Beam.

Queries are numbered with their users by digest; a user's queries never leave the user's shard.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsDict, AsSingleton, TaggedOutput

from data_prep import splits
from data_prep.counting import count_all
from data_prep.installs import dataset as installs
from data_prep.installs.dataset import NumberedPairs
from data_prep.installs.items import ItemOptions, ItemRows, choose_items
from data_prep.installs.logs import Events
from data_prep.interactions.counters import ITEM_ROWS_REPEATED, USER_ROWS_REPEATED
from data_prep.interactions.queries import BY_TIME, Queries, make_queries
from data_prep.shards import Keyed, concatenate, find, first_rows, group_indices, range_index, take
from data_prep.write import PairBatch


@dataclasses.dataclass(frozen=True)
class QueryOptions:
    """How events become queries.

    Attributes:
      queries: one of `spec.QUERIES`.
      split_by: `time` or `last`.
      users: how tables of users are read.
      items: how tables of items are read.
    """

    queries: str
    split_by: str
    users: ItemOptions
    items: ItemOptions

    @property
    def num_shards(self) -> int:
        """How many shards the digests divide into."""
        return self.items.num_shards


class UserQueries(NamedTuple):
    """The users of a shard and their queries.

    Attributes:
      users: the users, by digest, as those of `queries`.
      queries: see `Queries`.
    """

    users: ItemRows
    queries: Queries


class LinkedPairs(NamedTuple):
    """Pairs of one shard's queries, as columns `[pairs]`.

    Attributes:
      query_shard: of all the queries.
      query: positions of the queries in that shard.
      item: digests of the items; once they have been found, their positions in their shard.
      digest: the pairs' own, uint64.
      divider: the split depends on it, int64.
      weight: float32; None where all weigh alike.
      negatives: `[pairs, max_negatives]` digests; None where there are none.
    """

    query_shard: int
    query: np.ndarray
    item: np.ndarray
    digest: np.ndarray
    divider: np.ndarray
    weight: np.ndarray | None = None
    negatives: np.ndarray | None = None


class Numbered(NamedTuple):
    """The outputs of `NumberQueries`.

    Attributes:
      queries: (shard, UserQueries).
      query_counts: (shard, number of queries).
      items: (shard, ItemRows), each item once, by digest.
      item_counts: (shard, number of items).
      pairs: NumberedPairs elements.
      repeated: (counter, tables.BadRecord) for each row whose key an earlier row has.
    """

    queries: beam.PCollection
    query_counts: beam.PCollection
    items: beam.PCollection
    item_counts: beam.PCollection
    pairs: beam.PCollection
    repeated: list[beam.PCollection]


class NumberQueries(beam.PTransform):
    """Makes the queries, chooses the items, and numbers them and the pairs.

    Takes a dict of PCollections: `events` (shard of the user, Events), `users` (shard, Keys),
    `user_rows` (shard, ItemRows), `names` (shard, Keys) and `item_rows` (shard, ItemRows).

    Args:
      options: how events become queries.
      may_continue: PCollection with one element, awaited before anything is joined.
    """

    def __init__(self, options: QueryOptions, may_continue: beam.PCollection):
        super().__init__()
        self._options = options
        self._may_continue = may_continue

    def expand(self, parts: Mapping[str, beam.PCollection]) -> Numbered:
        """Joins by the user's shard, then by the item's."""
        may_continue = AsSingleton(self._may_continue)
        by_user = (
            {"events": parts["events"], "names": parts["users"], "rows": parts["user_rows"]}
            | "GroupByUser" >> beam.CoGroupByKey()
            | "MakeQueries"
            >> beam.ParDo(_make_queries, may_continue, self._options).with_outputs(
                "queries", "query_counts", "pairs", "used", "repeated"
            )
        )
        by_item = (
            {
                "pairs": by_user.pairs,
                "used": by_user.used,
                "names": parts["names"],
                "rows": parts["item_rows"],
            }
            | "GroupByItem" >> beam.CoGroupByKey()
            | "ChooseItems"
            >> beam.ParDo(_choose_items, self._options.items).with_outputs(
                "items", "item_counts", "pairs", "repeated"
            )
        )
        counts = AsDict(by_user.query_counts), AsDict(by_item.item_counts)
        numbered = by_item.pairs | "PairsToRows" >> beam.Map(
            _to_rows, *counts, self._options.num_shards
        )
        pairs = installs.without_shards(
            numbered,
            by_item.items,
            by_item.item_counts,
            self._options.items,
            queries_are_items=False,
        )
        return Numbered(
            by_user.queries,
            by_user.query_counts,
            by_item.items,
            by_item.item_counts,
            pairs,
            [by_user.repeated, by_item.repeated],
        )


def _make_queries(
    element: Keyed, unused_may_continue: Any, options: QueryOptions
) -> Iterator[TaggedOutput]:
    shard, groups = element
    events = concatenate(Events, groups["events"])
    counters: Counter[str] = Counter()
    queries, pairs = make_queries(
        events._replace(time=events.time.astype(np.int64)),
        queries=options.queries,
        split_by=options.split_by,
        counters=counters,
    )
    rows, repeated = choose_items(groups["rows"], groups["names"], queries.users, options.users)
    rows = rows.take(find(queries.users, rows.digests)[0])
    count_all(counters | {"pairs": len(pairs.item)})
    yield TaggedOutput("queries", (shard, UserQueries(rows, queries)))
    yield TaggedOutput("query_counts", (shard, len(queries.user)))
    for item_shard, where in _by_shard(pairs.item, options.num_shards):
        part = LinkedPairs(shard, *take(pairs, where))
        yield TaggedOutput("pairs", (item_shard, part))
    used = np.unique(queries.event_item)
    for item_shard, where in _by_shard(used, options.num_shards):
        yield TaggedOutput("used", (item_shard, used[where]))
    for record in repeated:
        yield TaggedOutput("repeated", (USER_ROWS_REPEATED, record))


def _by_shard(digests: np.ndarray, num_shards: int) -> Iterator[tuple[int, np.ndarray]]:
    return group_indices(range_index(digests, num_shards), num_shards)


def _choose_items(element: Keyed, options: ItemOptions) -> Iterator[TaggedOutput]:
    shard, groups = element
    used = np.unique(np.concatenate([np.zeros(0, np.uint64), *groups["used"]]))
    items, repeated = choose_items(groups["rows"], groups["names"], used, options)
    yield TaggedOutput("items", (shard, items))
    yield TaggedOutput("item_counts", (shard, len(items.digests)))
    for pairs in groups["pairs"]:
        position = find(pairs.item, items.digests)[0]
        yield TaggedOutput("pairs", (shard, pairs._replace(item=position)))
    for record in repeated:
        yield TaggedOutput("repeated", (ITEM_ROWS_REPEATED, record))


def _to_rows(
    element: tuple[int, LinkedPairs],
    query_counts: Mapping[int, int],
    item_counts: Mapping[int, int],
    num_shards: int,
) -> tuple[int, NumberedPairs]:
    item_shard, pairs = element
    query_row = first_rows(query_counts, num_shards)[pairs.query_shard] + pairs.query
    item_row = first_rows(item_counts, num_shards)[item_shard] + pairs.item
    return item_shard, NumberedPairs(
        pairs.digest, pairs.divider, query_row, item_row, pairs.weight, pairs.negatives
    )


class SplitQueryPairs(beam.PTransform):
    """Divides NumberedPairs into splits; gives PairBatch elements."""

    def __init__(self, rule: splits.SplitRule):
        super().__init__()
        self._rule = rule

    def expand(self, pairs: beam.PCollection) -> beam.PCollection:
        """By time, or as `make_queries` has divided them."""
        if self._rule.by == BY_TIME:
            return pairs | "SplitPairs" >> installs.SplitPairs(self._rule)
        return pairs | "SplitLast" >> beam.Map(_split_last)


def _split_last(pairs: NumberedPairs) -> PairBatch:
    return pairs.batch(pairs.divider.astype(np.uint8))
