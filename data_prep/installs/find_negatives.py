"""Finds the rows of pairs' negatives, in Beam: what no item's key is becomes no negative.

Each shard of pairs asks for its distinct negatives, shard of items by shard of items, so that no
worker needs the keys of the whole catalog.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsDict

from data_prep.counting import count_all
from data_prep.installs.negatives import NO_ITEM
from data_prep.shards import Keyed, concatenate, find, first_rows, group_indices, range_index

# A pair has -1 where it has fewer negatives than there is room for.
_NO_ROW = -1


class Wanted(NamedTuple):
    """Negatives of one shard of pairs: its number, and their distinct digests `[wanted]`."""

    shard: int
    digests: np.ndarray


class Found(NamedTuple):
    """Those that are items, as columns `[found]`: digests uint64, rows int64."""

    digests: np.ndarray
    rows: np.ndarray


class FindNegatives(beam.PTransform):
    """Makes the negatives of (shard, pairs) rows instead of digests; gives the pairs.

    Takes a dict of PCollections: `pairs` (shard, NamedTuple of columns `[pairs]` with `query_row`,
    `item_row` and `negatives`, `[pairs, n]` digests), whatever shards these are; `items` (shard,
    ItemRows), numbered by digest; and `item_counts` (shard, number of items). In the result
    negatives are rows of the type of `item_row`, -1 behind the last.

    Args:
      num_shards: how many shards there are.
      queries_are_items: leave out a negative that is its pair's query.
    """

    def __init__(self, num_shards: int, *, queries_are_items: bool):
        super().__init__()
        self._num_shards = num_shards
        self._queries_are_items = queries_are_items

    def expand(self, parts: Mapping[str, beam.PCollection]) -> beam.PCollection:
        """Joins the negatives by their own shard, then the pairs by theirs."""
        wanted = (
            parts["pairs"]
            | "Distinct" >> beam.MapTuple(_distinct)
            | "GroupWanted" >> beam.GroupByKey()
            | "Want" >> beam.FlatMap(_want, self._num_shards)
        )
        found = (
            {"wanted": wanted, "items": parts["items"] | "Digests" >> beam.MapTuple(item_digests)}
            | "GroupByNegative" >> beam.CoGroupByKey()
            | "Find" >> beam.FlatMap(_find, AsDict(parts["item_counts"]), self._num_shards)
        )
        return (
            {"pairs": parts["pairs"], "found": found}
            | "GroupPairs" >> beam.CoGroupByKey()
            | "ToRows" >> beam.FlatMap(_to_rows, self._queries_are_items)
        )


def _distinct(shard: int, pairs: Any) -> tuple[int, np.ndarray]:
    return shard, np.unique(pairs.negatives)


def item_digests(shard: int, items: Any) -> tuple[int, np.ndarray]:
    """What joins need of (shard, ItemRows)."""
    return shard, items.digests


def _want(element: tuple[int, Iterable[np.ndarray]], num_shards: int) -> Iterator[Keyed]:
    """What a shard of pairs wants of each shard of items."""
    shard, parts = element
    digests = np.unique(np.concatenate([*parts]))
    digests = digests[digests != NO_ITEM]
    for of_items, where in group_indices(range_index(digests, num_shards), num_shards):
        yield of_items, Wanted(shard, digests[where])


def _find(element: Keyed, item_counts: Mapping[int, int], num_shards: int) -> Iterator[Keyed]:
    shard, groups = element
    start = first_rows(item_counts, num_shards)[shard]
    items = next(iter(groups["items"]), np.zeros(0, np.uint64))
    for wanted in groups["wanted"]:
        position, is_item = find(wanted.digests, items)
        yield wanted.shard, Found(wanted.digests[is_item], start + position[is_item])


def _to_rows(element: Keyed, queries_are_items: bool) -> Iterator[Any]:
    found = concatenate(Found, element[1]["found"])
    order = np.argsort(found.digests)
    digests, rows = found.digests[order], found.rows[order].astype(np.int64)
    counters: Counter[str] = Counter()
    for pairs in element[1]["pairs"]:
        position, is_item = find(pairs.negatives.ravel(), digests)
        of_pairs = np.where(is_item, rows[position] if len(rows) else _NO_ROW, _NO_ROW)
        of_pairs = of_pairs.reshape(pairs.negatives.shape)
        listed, known = pairs.negatives != NO_ITEM, of_pairs != _NO_ROW
        is_query = known & (of_pairs == pairs.query_row[:, np.newaxis]) & queries_are_items
        of_pairs[is_query] = _NO_ROW
        counters["negatives_unknown"] += int((listed & ~known).sum())
        counters["negatives_of_query"] += int(is_query.sum())
        counters["negatives_in_pairs"] += int((known & ~is_query).sum())
        in_front = np.argsort(of_pairs == _NO_ROW, axis=1, kind="stable")
        of_pairs = np.take_along_axis(of_pairs, in_front, axis=1)
        yield pairs._replace(negatives=of_pairs.astype(pairs.item_row.dtype))
    count_all(counters)
