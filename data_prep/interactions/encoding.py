"""Catalog records of queries: their histories in the items' ids, and their users' features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsDict

from data_prep.counting import count_all
from data_prep.encode import Item, ItemBatch, Values, encode_shard
from data_prep.installs import encoding as installs
from data_prep.installs.uses import Uses
from data_prep.interactions.dataset import Numbered, QueryOptions, UserQueries
from data_prep.interactions.queries import Queries, histories
from data_prep.interactions.spec import HISTORY_FEATURE, KIND_FEATURE, USERS, InteractionsSpec
from data_prep.shards import Keyed, first_rows
from data_prep.spill import Spill
from data_prep.splits import TRAIN
from data_prep.vocab import IdTable
from data_prep.write import EncodedDataset, PairBatch


class UsedQueries(NamedTuple):
    """The queries of a shard, and the training pairs of their users."""

    of_users: UserQueries
    uses: Uses


def encode(
    numbered: Numbered,
    pairs: beam.PCollection,
    spec: InteractionsSpec,
    options: QueryOptions,
    spill: Spill,
) -> EncodedDataset:
    """Adds the steps from queries, items and PairBatches to records."""
    items, learned_of_items = installs.encode_items(
        numbered.items,
        numbered.item_counts,
        pairs,
        options.items,
        spill,
        queries_are_items=False,
    )
    of_shard = AsDict(numbered.query_counts)
    uses = pairs | "CountQueryUses" >> beam.FlatMap(_count_uses, of_shard, options.num_shards)
    used = (
        {"queries": numbered.queries, "uses": uses}
        | "GroupQueryUses" >> beam.CoGroupByKey()
        | "AddQueryUses" >> beam.MapTuple(_add_uses)
    )
    users = used | "UsersOfQueries" >> beam.MapTuple(
        lambda shard, used: (shard, installs.UsedItems(used.of_users.users, used.uses))
    )
    learned = users | "LearnUsers" >> installs.Learn(options.users, spill)
    found = [items.vocabularies, learned.vocabularies]
    if spec.kinds:
        found.append(pairs.pipeline | "Kinds" >> beam.Create([(KIND_FEATURE, [*spec.kinds])]))
    vocabularies = found | "AllVocabularies" >> beam.Flatten()
    scales = (items.scales, learned.scales) | "AllScales" >> beam.Flatten()
    encoded = used | "EncodeQueries" >> beam.FlatMap(
        _encode_queries,
        of_shard,
        AsDict(learned_of_items),
        AsDict(learned.learned),
        spec,
        options,
    )
    return items._replace(
        vocabularies=vocabularies,
        scales=scales,
        queries=encoded,
        query_counts=numbered.query_counts,
    )


def _count_uses(
    batch: PairBatch, query_counts: Mapping[int, int], num_shards: int
) -> Iterator[Keyed]:
    """Training pairs of each query, by its shard."""
    starts = first_rows(query_counts, num_shards)
    rows = batch.query_row[batch.split == TRAIN]
    for shard, used, times in installs.by_first_row(rows, starts):
        yield shard, (used, times)


def _add_uses(shard: int, groups: Mapping[str, Iterable[Any]]) -> tuple[int, UsedQueries]:
    of_users: UserQueries = next(iter(groups["queries"]))
    counts = np.zeros(len(of_users.queries.users), np.int64)
    for positions, times in groups["uses"]:
        np.add.at(counts, of_users.queries.user[positions], times)
    uses = Uses(of_users.queries.users, np.zeros_like(counts), counts, counts > 0)
    return shard, UsedQueries(of_users, uses)


def _encode_queries(
    element: Keyed,
    query_counts: Mapping[int, int],
    of_items: Mapping[str, Any],
    of_users: Mapping[str, Any],
    spec: InteractionsSpec,
    options: QueryOptions,
) -> Iterator[ItemBatch]:
    shard, ((users, queries), uses) = element
    counters: Counter[str] = Counter()
    names, specs, columns = [], [], []
    for name, encoder, column in installs.features_of(users, options.users):
        known = of_users.get(name)
        names.append(name)
        columns.append(encoder.encode(column, uses, known, counters))
        specs.append(encoder.spec(installs.vocabulary_size(known)))
    values_of = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    values_of = values_of or [{} for _ in queries.users]
    own: dict[str, Sequence[Values]] = {}
    if spec.kinds:
        own[KIND_FEATURE] = [] if queries.kind is None else queries.kind[:, np.newaxis] + 1
    specs = [*spec.kind_specs(), *specs]
    if spec.has_history:
        table: IdTable = of_items[spec.item_id]
        ids = table.ids_of(queries.event_item)[0]
        own[HISTORY_FEATURE] = histories(queries, ids, spec.history)
        specs = [spec.history_spec(table.size), *specs]
    rows = _rows(users.keys.to_pylist(), queries, uses, values_of, own, spec)
    yield from encode_shard(rows, shard, query_counts, options.num_shards, specs, counter="queries")
    count_all(counters)


def _rows(
    keys: list[str],
    queries: Queries,
    uses: Uses,
    values_of: Sequence[Mapping[str, Values]],
    own: Mapping[str, Sequence[Values]],
    spec: InteractionsSpec,
) -> Iterator[Item]:
    """Queries with their users' values, and with `own`, by feature, of their own."""
    train_count = uses.totals.tolist()
    moments = np.datetime_as_string(queries.time.astype("datetime64[us]"), timezone="UTC").tolist()
    for query, user in enumerate(queries.user.tolist()):
        key = keys[user]
        name = key if spec.queries == USERS else f"{key}@{moments[query]}"
        if queries.kind is not None:
            name = f"{name}/{spec.kinds[queries.kind[query]]}"
        values = {feature: of_queries[query] for feature, of_queries in own.items()}
        yield Item(name, key, train_count[user], values | values_of[user])
