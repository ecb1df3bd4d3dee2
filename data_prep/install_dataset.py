"""From pairs of item digests to a dataset: rows, splits, vocabularies, encoded features.

As in the Wikipedia job, items are numbered by digest, and everything is joined by shard.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsDict, AsSingleton, TaggedOutput

from data_prep import install_items, install_logs, splits
from data_prep.counting import count
from data_prep.install_items import ItemOptions, ItemRows
from data_prep.sampling import SampleByDigest
from data_prep.shards import by_shard, find, range_index

BY_TIME, BY_USER, BY_PAIR = "time", "user", "pair"
SPLITS = (BY_TIME, BY_USER, BY_PAIR)

# Where time divides the pairs is read off a sample: its error is a few hundredths of a percent.
_SAMPLED_TIMES = 1 << 20
_FIRST_LAST_TIME = 2

_Keyed = tuple[int, Any]


@dataclasses.dataclass(frozen=True)
class LogSplit:
    """How pairs are divided between train, validation and test.

    Attributes:
      by: `time` (the latest pairs are test, those before them validation), `user` (each user's
        pairs stay together) or `pair` (equal pairs stay together).
      fractions: seed and shares, checked there; by time no seed is needed.
    """

    by: str
    fractions: splits.SplitRule


class NumberedPairs(NamedTuple):
    """Pairs of rows as columns `[pairs]`.

    Attributes:
      digest: the pair's own, uint64.
      together: digest of what a split by user or pair keeps together, uint64.
      time: microseconds, int64.
      query_row: of the seed, int64.
      item_row: of the candidate, int64.
    """

    digest: np.ndarray
    together: np.ndarray
    time: np.ndarray
    query_row: np.ndarray
    item_row: np.ndarray


class Numbered(NamedTuple):
    """What `NumberItems` gives.

    Attributes:
      items: (shard, ItemRows), each item once, by digest.
      item_counts: (shard, number of items).
      pairs: NumberedPairs elements.
      repeated: tables.BadRecord for each row whose key an earlier row has.
    """

    items: beam.PCollection
    item_counts: beam.PCollection
    pairs: beam.PCollection
    repeated: beam.PCollection


class NumberItems(beam.PTransform):
    """Chooses the items and numbers them and the pairs.

    Takes a dict of PCollections: `pairs` (shard of the item, Pairs), `names` (shard, Keys) and
    `rows` (shard, ItemRows).

    Args:
      options: how item tables are read.
      split_by: time, user or pair.
      may_go_on: PCollection with one element, awaited before anything is joined.
    """

    def __init__(self, options: ItemOptions, split_by: str, may_go_on: beam.PCollection):
        super().__init__()
        self._options = options
        self._split_by = split_by
        self._may_go_on = may_go_on

    def expand(self, parts: Mapping[str, beam.PCollection]) -> Numbered:
        """Joins by the candidate's shard, then by the seed's."""
        num_shards = self._options.num_shards
        seeds = parts["pairs"] | "Seeds" >> beam.FlatMap(_distinct_seeds, num_shards)
        chosen = (
            {**parts, "seeds": seeds}
            | "GroupByItem" >> beam.CoGroupByKey()
            | "ChooseItems"
            >> beam.ParDo(
                _choose_items, AsSingleton(self._may_go_on), self._options, self._split_by
            ).with_outputs("items", "item_counts", "pairs", "repeated")
        )
        numbered = (
            {"pairs": chosen.pairs, "items": chosen.items | "Tables" >> beam.MapTuple(_table)}
            | "GroupBySeed" >> beam.CoGroupByKey()
            | "PairsToRows" >> beam.FlatMap(_to_rows, AsDict(chosen.item_counts), num_shards)
        )
        return Numbered(chosen.items, chosen.item_counts, numbered, chosen.repeated)


def _distinct_seeds(element: _Keyed, num_shards: int) -> Iterator[_Keyed]:
    for shard, (digests,) in by_shard(seeds := np.unique(element[1].query), num_shards, seeds):
        yield shard, digests


def _choose_items(
    element: _Keyed, unused_may_go_on: Any, options: ItemOptions, split_by: str
) -> Iterator[TaggedOutput]:
    """The shard's items, and its pairs by the seed's shard with the candidate's position."""
    shard, groups = element
    pairs, digests = install_logs.number_pairs(install_logs.join(groups["pairs"]))
    count("pairs", len(digests))
    used = np.unique(np.concatenate([pairs.item, *groups["seeds"]]))
    items, repeated = install_items.choose_items(groups["rows"], groups["names"], used, options)
    position, _ = find(pairs.item, items.digests)
    together = pairs.user
    if split_by == BY_PAIR:
        together = splits.pair_digests(pairs.query, pairs.item)
    columns = (digests, together, pairs.time, pairs.query, pairs.item, position)
    yield TaggedOutput("items", (shard, items))
    yield TaggedOutput("item_counts", (shard, len(items.keys)))
    for keyed in by_shard(pairs.query, options.num_shards, *columns):
        yield TaggedOutput("pairs", keyed)
    for record in repeated:
        yield TaggedOutput("repeated", record)


def _table(shard: int, items: ItemRows) -> tuple[int, np.ndarray]:
    return shard, items.digests


def first_rows(item_counts: Mapping[int, int], num_shards: int) -> np.ndarray:
    """The row of each shard's first item, and the number of items; `[num_shards + 1]`."""
    sizes = [item_counts.get(shard, 0) for shard in range(num_shards)]
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _to_rows(
    element: _Keyed, item_counts: Mapping[int, int], num_shards: int
) -> Iterator[NumberedPairs]:
    shard, groups = element
    starts = first_rows(item_counts, num_shards)
    table = next(iter(groups["items"]), np.zeros(0, np.uint64))
    for digest, together, time, query, item, item_position in groups["pairs"]:
        position, _ = find(query, table)
        item_row = starts[range_index(item, num_shards)] + item_position
        yield NumberedPairs(digest, together, time, starts[shard] + position, item_row)


class SplitPairs(beam.PTransform):
    """Divides NumberedPairs into splits; gives encode.PairBatch elements."""

    def __init__(self, split: LogSplit):
        super().__init__()
        self._split = split

    def expand(self, pairs: beam.PCollection) -> beam.PCollection:
        """By time from a sample of all times, else each pair on its own."""
        if self._split.by != BY_TIME:
            return pairs | "SplitByDigest" >> beam.Map(_split_by_digest, self._split.fractions)
        cuts = (
            pairs
            | "Times" >> beam.Map(lambda part: (part.digest, part.time))
            | "SampleTimes" >> beam.CombineGlobally(SampleByDigest(_SAMPLED_TIMES))
            | "CutTimes"
            >> beam.Map(lambda sample, rule: time_cuts(sample[1], rule), self._split.fractions)
        )
        return pairs | "SplitByTime" >> beam.Map(_split_by_time, AsSingleton(cuts))


def time_cuts(times: np.ndarray, rule: splits.SplitRule) -> tuple[int, int]:
    """When validation and test begin.

    Args:
      times: `[pairs]` of all pairs or a sample.
      rule: the shares.

    Returns:
      Times: pairs from the first on are no training pairs, those from the second on test.
    """
    if not len(times):
        return 0, 0
    ordered = np.sort(times)
    test = round(len(ordered) * (1.0 - rule.test_fraction))
    validation = round(len(ordered) * (1.0 - rule.test_fraction - rule.validation_fraction))
    last = len(ordered) - 1
    return int(ordered[min(validation, last)]), int(ordered[min(test, last)])


def _split_by_time(pairs: NumberedPairs, cuts: tuple[int, int]) -> Any:
    of_split = (pairs.time >= cuts[0]).astype(np.uint8)
    of_split[pairs.time >= cuts[1]] = splits.TEST
    return of_split, pairs.digest, pairs.query_row, pairs.item_row


def _split_by_digest(pairs: NumberedPairs, rule: splits.SplitRule) -> Any:
    of_split = splits.split_of(pairs.together, rule)
    return of_split, pairs.digest, pairs.query_row, pairs.item_row
