"""Vocabularies, scales and catalog records of items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsDict, TaggedOutput

from data_prep.counting import count_all
from data_prep.encode import Item, ItemBatch, encode_shard
from data_prep.installs.encoder import Column, Encoder
from data_prep.installs.items import ItemOptions, ItemRows
from data_prep.installs.uses import Uses
from data_prep.job_options import CATALOG
from data_prep.sampling import SampleByDigest
from data_prep.shards import Keyed, first_rows
from data_prep.spill import Spill
from data_prep.splits import TRAIN
from data_prep.vocab import BuildVocabularies, IdTable, TokenCounts, Vocabulary
from data_prep.write import EncodedDataset, PairBatch
from ssl_recsys.raw.rules import Scale

# A scale is learned from so many training items at most.
_SAMPLED_NUMBERS = 100_000
_TOKENS, _NUMBERS = "tokens", "numbers"
_AS_ITEM, _AS_QUERY = 0, 1


class UsedItems(NamedTuple):
    """The items of a shard and their uses in training pairs."""

    items: ItemRows
    uses: Uses


def encode_items(
    items: beam.PCollection,
    item_counts: beam.PCollection,
    pairs: beam.PCollection,
    options: ItemOptions,
    spill: Spill,
    *,
    queries_are_items: bool = True,
) -> tuple[EncodedDataset, beam.PCollection]:
    """Adds the steps from (shard, ItemRows), (shard, their number) and PairBatches to records.

    Returns:
      The dataset, and what the encoders have learned, see `Learned`.
    """
    of_shard = AsDict(item_counts)
    roles = (_AS_ITEM, _AS_QUERY) if queries_are_items else (_AS_ITEM,)
    uses = pairs | "CountUses" >> beam.FlatMap(_count_uses, of_shard, options.num_shards, roles)
    used = (
        {"items": items, "uses": uses}
        | "GroupUses" >> beam.CoGroupByKey()
        | "AddUses" >> beam.Map(_add_uses, options.vocabulary)
    )
    learned = used | "LearnItems" >> Learn(options, spill)
    encoded = used | "EncodeItems" >> beam.FlatMap(
        _encode_items, of_shard, AsDict(learned.learned), options
    )
    dataset = EncodedDataset(encoded, item_counts, pairs, learned.vocabularies, learned.scales)
    return dataset, learned.learned


class Learned(NamedTuple):
    """What encoders learn from training items.

    Attributes:
      learned: (feature, what its encoder needs).
      vocabularies: (feature, tokens).
      scales: (feature, Scale).
    """

    learned: beam.PCollection
    vocabularies: beam.PCollection
    scales: beam.PCollection


class Learn(beam.PTransform):
    """Learns vocabularies and scales from (shard, UsedItems).

    Args:
      options: how the items' table is read.
      spill: takes counts.
    """

    def __init__(self, options: ItemOptions, spill: Spill):
        super().__init__()
        self._options = options
        self._spill = spill

    def expand(self, used: beam.PCollection) -> Learned:
        """Counts tokens and samples numbers, each spread over the workers."""
        options = self._options
        limits = {f.name: (f.min_count, f.max_vocab) for f in options.spec.features}
        learned_from = used | "LearnFrom" >> beam.ParDo(_learn_from, options).with_outputs(
            _TOKENS, _NUMBERS
        )
        vocabularies = learned_from[_TOKENS] | "Vocabularies" >> BuildVocabularies(
            limits, self._spill
        )
        samples = (
            learned_from[_NUMBERS]
            | "SampleNumbers" >> beam.CombinePerKey(SampleByDigest(_SAMPLED_NUMBERS))
            | "DropDigests"
            >> beam.MapTuple(lambda name, sample: (name, sample[1])).with_output_types(
                tuple[str, Any]
            )
        )
        learned = (
            (vocabularies, samples)
            | "LearnedFrom" >> beam.Flatten()
            | "Learn" >> beam.Map(_learn, options)
        )
        scales = learned | "Scales" >> beam.Filter(lambda item: isinstance(item[1], Scale))
        return Learned(learned, vocabularies, scales)


def _count_uses(
    batch: PairBatch, item_counts: Mapping[int, int], num_shards: int, roles: Sequence[int]
) -> Iterator[Keyed]:
    """Training pairs of each item as their item and as their query, by the item's shard."""
    starts = first_rows(item_counts, num_shards)
    is_train = batch.split == TRAIN
    rows_of = {_AS_ITEM: batch.item_row, _AS_QUERY: batch.query_row}
    for role in roles:
        for shard, positions, times in by_first_row(rows_of[role][is_train], starts):
            yield shard, (role, positions, times)


def by_first_row(
    rows: np.ndarray, starts: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Shard, positions within it and how often they occur, of rows numbered shard after shard."""
    used, times = np.unique(rows, return_counts=True)
    bounds = np.searchsorted(used, starts)
    for shard in np.flatnonzero(np.diff(bounds)).tolist():
        part = slice(bounds[shard], bounds[shard + 1])
        yield shard, used[part] - starts[shard], times[part]


def _add_uses(
    element: tuple[int, Mapping[str, Iterable[Any]]], vocabulary: str
) -> tuple[int, UsedItems]:
    shard, groups = element
    items = next(iter(groups["items"]))
    counts = np.zeros((2, len(items.digests)), np.int64)
    for role, positions, times in groups["uses"]:
        counts[role, positions] += times
    in_vocabulary = (counts.sum(axis=0) > 0) | (vocabulary == CATALOG)
    return shard, UsedItems(
        items, Uses(items.digests, counts[_AS_ITEM], counts[_AS_QUERY], in_vocabulary)
    )


def features_of(items: ItemRows, options: ItemOptions) -> Iterator[tuple[str, Encoder, Column]]:
    """Name, encoder and raw values of each feature."""
    encoders = options.spec.encoders()
    return zip(encoders, encoders.values(), items.features, strict=True)


def vocabulary_size(learned: Any) -> int:
    """Ids of what a feature's encoder has learned, id 0 counted; 0 without a vocabulary."""
    return learned.size if isinstance(learned, IdTable | Vocabulary) else 0


def _learn_from(element: Keyed, options: ItemOptions) -> Iterator[TaggedOutput]:
    items, uses = element[1]
    for name, encoder, column in features_of(items, options):
        found = encoder.learn_from(column, uses)
        if found is not None:
            tag = _TOKENS if isinstance(found, TokenCounts) else _NUMBERS
            yield TaggedOutput(tag, (name, found))


def _learn(element: tuple[str, Any], options: ItemOptions) -> tuple[str, Any]:
    name, learned_from = element
    return name, options.spec.encoders()[name].learn(learned_from)


def _encode_items(
    element: Keyed, item_counts: Mapping[int, int], learned: Mapping[str, Any], options: ItemOptions
) -> Iterator[ItemBatch]:
    shard, (items, uses) = element
    counters: Counter[str] = Counter()
    columns, specs = [], []
    for name, encoder, column in features_of(items, options):
        known = learned.get(name)
        columns.append(encoder.encode(column, uses, known, counters))
        specs.append(encoder.spec(vocabulary_size(known)))
    names = [spec.name for spec in specs]
    rows = (
        Item(key, title, train_count, dict(zip(names, values, strict=True)))
        for key, title, train_count, *values in zip(
            items.keys.to_pylist(),
            items.titles.to_pylist(),
            uses.as_item.tolist(),
            *columns,
            strict=True,
        )
    )
    yield from encode_shard(rows, shard, item_counts, options.num_shards, specs)
    count_all(counters)
