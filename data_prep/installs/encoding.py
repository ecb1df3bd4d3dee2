"""Vocabularies, scales and catalog records of items, learned from the training pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import AsDict

from data_prep import encode, splits
from data_prep.counting import count, count_all
from data_prep.installs import item_features
from data_prep.installs.items import ItemOptions, ItemRows, is_key
from data_prep.installs.spec import ItemFeature
from data_prep.sampling import SampleByDigest
from data_prep.shards import first_rows
from data_prep.vocab import BuildVocabularies, Vocabulary
from ssl_recsys import schema

_ITEMS_PER_BATCH = 20_000
# A scale is learned from so many training items at most.
_SAMPLED_VALUES = 100_000
_AS_ITEM, _AS_QUERY = 0, 1

_Keyed = tuple[int, Any]
# digests of tokens, sorted, and the ids of the tokens
_IdTable = tuple[np.ndarray, np.ndarray]


def encode_items(
    items: beam.PCollection,
    item_counts: beam.PCollection,
    pairs: beam.PCollection,
    options: ItemOptions,
) -> encode.EncodedDataset:
    """Adds the steps from items and pairs to catalog records.

    Args:
      items: (shard, ItemRows).
      item_counts: (shard, number of items).
      pairs: encode.PairBatch elements.
      options: of the items.
    """
    of_shard = AsDict(item_counts)
    uses = pairs | "CountUses" >> beam.FlatMap(_count_uses, of_shard, options.num_shards)
    counted = (
        {"items": items, "uses": uses}
        | "GroupUses" >> beam.CoGroupByKey()
        | "AddUses" >> beam.MapTuple(_add_uses)
    )
    vocabularies = (
        counted
        | "CountTokens" >> beam.FlatMap(_count_tokens, options)
        | "Vocabularies"
        >> BuildVocabularies({f.name: (f.min_count, f.max_vocab) for f in options.spec.features})
    )
    scales = (
        counted
        | "TrainingValues" >> beam.FlatMap(_training_values, options)
        | "SampleValues" >> beam.CombinePerKey(SampleByDigest(_SAMPLED_VALUES))
        | "LearnScales" >> beam.Map(_learn_scale, options)
    )
    learned = (
        vocabularies | "MakeIds" >> beam.Map(_make_ids, options),
        scales,
    ) | "Learned" >> beam.Flatten()
    return encode.EncodedDataset(
        items=counted
        | "EncodeItems" >> beam.FlatMap(_encode_items, of_shard, AsDict(learned), options),
        pairs=pairs,
        num_items=item_counts
        | "ItemCounts" >> beam.Values()
        | "NumItems" >> beam.CombineGlobally(sum),
        num_pairs=pairs
        | "CountSplits" >> beam.Map(_count_splits)
        | "NumPairs" >> beam.CombineGlobally(encode.sum_splits),
        vocabularies=vocabularies,
    )


def _count_splits(batch: encode.PairBatch) -> list[int]:
    return np.bincount(batch[0], minlength=len(schema.PAIR_SPLITS)).tolist()


def _count_uses(
    batch: encode.PairBatch, item_counts: Mapping[int, int], num_shards: int
) -> Iterator[_Keyed]:
    """Training pairs of each item as their item and as their query, by the item's shard."""
    of_split, _, query_row, item_row = batch
    starts = first_rows(item_counts, num_shards)
    is_train = of_split == splits.TRAIN
    for role, rows in ((_AS_ITEM, item_row), (_AS_QUERY, query_row)):
        used, times = np.unique(rows[is_train], return_counts=True)
        bounds = np.searchsorted(used, starts)
        for shard in np.flatnonzero(np.diff(bounds)).tolist():
            part = slice(bounds[shard], bounds[shard + 1])
            yield shard, (role, used[part] - starts[shard], times[part])


def _add_uses(
    shard: int, groups: Mapping[str, Iterable[Any]]
) -> tuple[int, tuple[ItemRows, np.ndarray]]:
    """(shard, (items, uses)): uses `[2, items]` as item and as query."""
    items = next(iter(groups["items"]))
    uses = np.zeros((2, len(items.digests)), np.int64)
    for role, positions, times in groups["uses"]:
        uses[role, positions] += times
    return shard, (items, uses)


def _count_tokens(
    element: _Keyed, options: ItemOptions
) -> Iterator[tuple[str, tuple[list[str], list[int]]]]:
    """Tokens of the shard's training items: how many have them, or an id's training pairs."""
    _, (items, uses) = element
    totals = uses.sum(axis=0)
    training = np.flatnonzero(totals)
    for feature, column in zip(options.spec.features, items.features, strict=True):
        if feature.kind == schema.DENSE:
            continue
        tokens = column.take(pa.array(training))
        if is_key(feature, options.spec):
            yield feature.name, (tokens.to_pylist(), totals[training].tolist())
            continue
        tokens = pc.list_flatten(tokens) if feature.kind == schema.BAG else tokens
        found = pc.value_counts(tokens.filter(pc.not_equal(tokens, "")))
        counts = found.field("values").to_pylist(), found.field("counts").to_pylist()
        yield feature.name, counts


def _training_values(
    element: _Keyed, options: ItemOptions
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Digests and values of the shard's training items that have a value, by feature."""
    _, (items, uses) = element
    is_training = uses.sum(axis=0) > 0
    for index, feature in enumerate(options.spec.features):
        if feature.kind == schema.DENSE:
            values = _dense_values(items, uses, index, options)
            chosen = is_training & ~np.isnan(values)
            yield feature.name, (items.digests[chosen], values[chosen])


def _dense_values(
    items: ItemRows, uses: np.ndarray, index: int, options: ItemOptions
) -> np.ndarray:
    if options.spec.features[index].from_training:
        return uses[_AS_ITEM].astype(np.float64)
    return np.asarray(items.features[index], np.float64)


def _learn_scale(
    element: tuple[str, tuple[np.ndarray, np.ndarray]], options: ItemOptions
) -> tuple[str, item_features.Scale]:
    name, (_, values) = element
    return name, item_features.learn_scale(options.spec.feature(name).normalize, values)


def _make_ids(
    element: tuple[str, Sequence[str]], options: ItemOptions
) -> tuple[str, _IdTable | Vocabulary]:
    """A look-up of ids; that of the items themselves far smaller than a dict of text."""
    name, tokens = element
    if not is_key(options.spec.feature(name), options.spec):
        return name, Vocabulary(tokens)
    digests = splits.text_digests(list(tokens))
    order = np.argsort(digests)
    return name, (digests[order], order + 1)


def _ids_of(digests: np.ndarray, table: _IdTable) -> np.ndarray:
    position = np.searchsorted(table[0], digests)
    position[position == len(table[0])] = 0
    if not len(table[0]):
        return np.zeros(len(digests), np.int64)
    return np.where(table[0][position] == digests, table[1][position], 0)


def _encode_items(
    element: _Keyed,
    item_counts: Mapping[int, int],
    learned: Mapping[str, Any],
    options: ItemOptions,
) -> Iterator[encode.ItemBatch]:
    shard, (items, uses) = element
    spec = options.spec
    counters: Counter[str] = Counter()
    columns: list[Any] = []
    specs = []
    for index, feature in enumerate(spec.features):
        known = learned[feature.name]
        size = 0
        if feature.kind == schema.DENSE:
            columns.append(known.encode(_dense_values(items, uses, index, options)).tolist())
            counters[f"{feature.name}_missing"] += int(sum(row[1] for row in columns[-1]))
        elif is_key(feature, spec):
            size = len(known[0]) + 1
            columns.append([[value] for value in _ids_of(items.digests, known).tolist()])
            counters["items_without_id"] += sum(value == [0] for value in columns[-1])
        else:
            size = known.size
            values = items.features[index].to_pylist()
            columns.append(_encode_tokens(values, feature, known, counters))
        specs.append(feature.encoded(size))
    start = int(first_rows(item_counts, options.num_shards)[shard])
    keys, titles = items.keys.to_pylist(), items.titles.to_pylist()
    for begin in range(0, len(items.digests), _ITEMS_PER_BATCH):
        records = [
            encode.item_record(
                row=start + row,
                key=keys[row],
                title=titles[row],
                train_count=int(uses[_AS_ITEM, row]),
                values={one.name: column[row] for one, column in zip(specs, columns, strict=True)},
                features=specs,
            )
            for row in range(begin, min(begin + _ITEMS_PER_BATCH, len(items.digests)))
        ]
        yield start + begin, records
    count("items", len(items.digests))
    count_all(counters)


def _encode_tokens(
    values: list[Any], feature: ItemFeature, vocabulary: Vocabulary, counters: Counter[str]
) -> list[list[int]]:
    """Ids of a categorical feature's or a bag's tokens, by item."""
    encoded = []
    for value in values:
        if feature.kind == schema.BAG:
            ids, unknown, cut = vocabulary.ids_of(value, feature.max_values)
            counters[f"{feature.name}_over_limit"] += cut
        else:
            ids = [vocabulary.id_of(value)]
            unknown = int(ids == [0] and value != "")
        counters[f"{feature.name}_out_of_vocabulary"] += unknown
        counters[f"{feature.name}_missing"] += not value
        encoded.append(ids)
    return encoded
