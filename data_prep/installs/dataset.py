"""From pairs of item digests to a dataset: rows, splits, vocabularies, encoded features.

As in the Wikipedia job, items are numbered by digest, and everything is joined by shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsDict, AsSingleton, TaggedOutput

from data_prep import splits
from data_prep.counting import count
from data_prep.installs import logs
from data_prep.installs.counters import ITEM_ROWS_REPEATED
from data_prep.installs.find_negatives import FindNegatives, item_digests
from data_prep.installs.items import ItemOptions, choose_items
from data_prep.installs.logs import BY_TIME
from data_prep.sampling import SampleByDigest
from data_prep.shards import Keyed, find, first_rows, group_indices, range_index, take
from data_prep.write import PairBatch

# The times that divide the pairs come from a sample: their error is a few hundredths of a percent.
_SAMPLED_TIMES = 1 << 20


class LinkedPairs(NamedTuple):
    """Pairs whose candidates have been found, as columns `[pairs]`.

    Attributes:
      item_shard: of all the candidates.
      item_position: of the candidates in that shard, int32.
      query: digests of the seeds, uint64.
      digest: the pairs' own, uint64.
      divider: the split depends on it, int64.
      weight: float32; None where all weigh alike.
      negatives: `[pairs, max_negatives]` digests; None where there are none.
    """

    item_shard: int
    item_position: np.ndarray
    query: np.ndarray
    digest: np.ndarray
    divider: np.ndarray
    weight: np.ndarray | None = None
    negatives: np.ndarray | None = None


class NumberedPairs(NamedTuple):
    """Pairs of rows as columns `[pairs]`.

    Attributes:
      digest: the pair's own, uint64.
      divider: the split depends on it, int64.
      query_row: of the seed, int32 if that is enough for the catalog.
      item_row: of the candidate, likewise.
      weight: float32; None where all weigh alike.
      negatives: `[pairs, max_negatives]` digests until `FindNegatives` makes them rows, -1 behind
        the last; None where there are none.
    """

    digest: np.ndarray
    divider: np.ndarray
    query_row: np.ndarray
    item_row: np.ndarray
    weight: np.ndarray | None = None
    negatives: np.ndarray | None = None

    def batch(self, of_split: np.ndarray) -> PairBatch:
        """The pairs with the positions of their splits, `[pairs]` uint8."""
        rows = self.query_row, self.item_row
        return PairBatch(of_split, self.digest, *rows, self.weight, self.negatives)


class Numbered(NamedTuple):
    """The outputs of `NumberItems`.

    Attributes:
      items: (shard, ItemRows), each item once, by digest.
      item_counts: (shard, number of items).
      pairs: NumberedPairs elements.
      repeated: (ITEM_ROWS_REPEATED, tables.BadRecord) for each row whose key an earlier row has.
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
      may_continue: PCollection with one element, awaited before anything is joined.
    """

    def __init__(self, options: ItemOptions, may_continue: beam.PCollection):
        super().__init__()
        self._options = options
        self._may_continue = may_continue

    def expand(self, parts: Mapping[str, beam.PCollection]) -> Numbered:
        """Joins by the candidate's shard, then by the seed's."""
        num_shards = self._options.num_shards
        seeds = parts["pairs"] | "Seeds" >> beam.FlatMap(_distinct_seeds, num_shards)
        chosen = (
            {**parts, "seeds": seeds}
            | "GroupByItem" >> beam.CoGroupByKey()
            | "ChooseItems"
            >> beam.ParDo(
                _choose_items, AsSingleton(self._may_continue), self._options
            ).with_outputs("items", "item_counts", "pairs", "repeated")
        )
        numbered = (
            {"pairs": chosen.pairs, "items": chosen.items | "Tables" >> beam.MapTuple(item_digests)}
            | "GroupBySeed" >> beam.CoGroupByKey()
            | "PairsToRows" >> beam.FlatMap(_to_rows, AsDict(chosen.item_counts), num_shards)
        )
        pairs = without_shards(
            numbered,
            chosen.items,
            chosen.item_counts,
            self._options,
            queries_are_items=True,
        )
        return Numbered(chosen.items, chosen.item_counts, pairs, chosen.repeated)


def without_shards(
    pairs: beam.PCollection,
    items: beam.PCollection,
    item_counts: beam.PCollection,
    options: ItemOptions,
    *,
    queries_are_items: bool,
) -> beam.PCollection:
    """The NumberedPairs of (shard, NumberedPairs); their negatives, if any, become rows."""
    if not options.spec.log.negatives:
        return pairs | "DropShards" >> beam.Values()
    found_in = {"pairs": pairs, "items": items, "item_counts": item_counts}
    return found_in | "FindNegatives" >> FindNegatives(
        options.num_shards, queries_are_items=queries_are_items
    )


def _distinct_seeds(element: Keyed, num_shards: int) -> Iterator[Keyed]:
    seeds = np.unique(element[1].query)
    for shard, where in group_indices(range_index(seeds, num_shards), num_shards):
        yield shard, seeds[where]


def _choose_items(
    element: Keyed, unused_may_continue: Any, options: ItemOptions
) -> Iterator[TaggedOutput]:
    """The shard's items, and its pairs by the seed's shard."""
    shard, groups = element
    pairs, digests = logs.number_pairs(logs.join(groups["pairs"]))
    count("pairs", len(digests))
    used = np.unique(np.concatenate([pairs.item, *groups["seeds"]]))
    items, repeated = choose_items(groups["rows"], groups["names"], used, options)
    position = find(pairs.item, items.digests)[0].astype(np.int32)
    yield TaggedOutput("items", (shard, items))
    yield TaggedOutput("item_counts", (shard, len(items.digests)))
    query_shards = range_index(pairs.query, options.num_shards)
    for query_shard, where in group_indices(query_shards, options.num_shards):
        part = take(pairs, where)
        linked = LinkedPairs(
            shard,
            position[where],
            part.query,
            digests[where],
            part.divider,
            part.weight,
            part.negatives,
        )
        yield TaggedOutput("pairs", (query_shard, linked))
    for record in repeated:
        yield TaggedOutput("repeated", (ITEM_ROWS_REPEATED, record))


def _to_rows(element: Keyed, item_counts: Mapping[int, int], num_shards: int) -> Iterator[Keyed]:
    shard, groups = element
    starts = first_rows(item_counts, num_shards)
    # Pairs take most of the memory, so their columns are as narrow as possible.
    kind = np.int32 if starts[-1] <= np.iinfo(np.int32).max else np.int64
    table = next(iter(groups["items"]), np.zeros(0, np.uint64))
    for pairs in groups["pairs"]:
        query_row = starts[shard] + find(pairs.query, table)[0]
        item_row = starts[pairs.item_shard] + pairs.item_position
        numbered = NumberedPairs(
            pairs.digest,
            pairs.divider,
            query_row.astype(kind),
            item_row.astype(kind),
            pairs.weight,
            pairs.negatives,
        )
        yield shard, numbered


class SplitPairs(beam.PTransform):
    """Divides NumberedPairs into splits; gives PairBatch elements."""

    def __init__(self, rule: splits.SplitRule):
        super().__init__()
        self._rule = rule

    def expand(self, pairs: beam.PCollection) -> beam.PCollection:
        """By time from a sample of all times, else each pair on its own."""
        if self._rule.by != BY_TIME:
            return pairs | "SplitByDigest" >> beam.Map(_split_by_digest, self._rule)
        cuts = (
            pairs
            | "Times" >> beam.Map(lambda part: (part.digest, part.divider))
            | "SampleTimes" >> beam.CombineGlobally(SampleByDigest(_SAMPLED_TIMES))
            | "CutTimes" >> beam.Map(lambda sample, rule: time_cuts(sample[1], rule), self._rule)
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


def _split_by_time(pairs: NumberedPairs, cuts: tuple[int, int]) -> PairBatch:
    of_split = (pairs.divider >= cuts[0]).astype(np.uint8)
    of_split[pairs.divider >= cuts[1]] = splits.TEST
    return pairs.batch(of_split)


def _split_by_digest(pairs: NumberedPairs, rule: splits.SplitRule) -> PairBatch:
    return pairs.batch(splits.split_of(pairs.divider.view(np.uint64), rule))
