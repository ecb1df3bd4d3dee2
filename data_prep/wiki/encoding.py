"""The catalog of a wiki: rows, vocabularies, encoded features; and the links as pairs of rows."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsDict, AsSingleton, TaggedOutput

from data_prep import encode, splits
from data_prep.counting import count, count_all
from data_prep.shards import concatenate, find, first_rows, range_index
from data_prep.vocab import BuildVocabulary, Vocabulary
from data_prep.wiki.link_graph import Graph
from ssl_recsys import schema

ID, TITLE_NGRAMS, CATEGORIES = "id", "title_ngrams", "categories"

# Letters and digits, and the marks on them, which Python's \w leaves out: vowel signs in the
# scripts of India, for example.
_MARKS = "".join(
    chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code))[0] == "M"
)
_WORD = re.compile(rf"(?:[^\W_]|[{_MARKS}])+")
_ITEMS_PER_BATCH = 20_000

_log = logging.getLogger(__name__)
_Keyed = tuple[int, Any]


@dataclasses.dataclass(frozen=True)
class FeatureOptions:
    """How features are encoded.

    Attributes:
      id_min_count: training pairs, as query or item, that a page needs for an id of its own.
      title_min_count: training pages that an n-gram must occur in.
      category_min_count: training pages that a category must have.
      max_title_ngrams: encoded n-grams of one title.
      max_categories: encoded categories of one page.
      max_vocab: most tokens of one vocabulary, a bound of the memory of one worker.
    """

    id_min_count: int
    title_min_count: int
    category_min_count: int
    max_title_ngrams: int
    max_categories: int
    max_vocab: int

    def specs(self, vocab_sizes: Mapping[str, int]) -> tuple[schema.FeatureSpec, ...]:
        """The dataset's features; `vocab_sizes` counts id 0."""
        return (
            schema.FeatureSpec(ID, schema.CATEGORICAL, vocab_sizes[ID]),
            schema.FeatureSpec(
                TITLE_NGRAMS, schema.BAG, vocab_sizes[TITLE_NGRAMS], self.max_title_ngrams
            ),
            schema.FeatureSpec(
                CATEGORIES, schema.BAG, vocab_sizes[CATEGORIES], self.max_categories
            ),
        )


def title_ngrams(title: str) -> list[str]:
    """The casefolded words of a title, then its pairs of neighbouring words, each once."""
    words = _WORD.findall(title.casefold())
    bigrams = [f"{first} {second}" for first, second in itertools.pairwise(words)]
    return list(dict.fromkeys(words + bigrams))


def encode_wiki(
    graph: Graph, split: splits.SplitRule, options: FeatureOptions, num_shards: int
) -> encode.EncodedDataset:
    """Adds the steps from the graph to encoded records."""
    item_counts = AsDict(graph.item_counts)
    linked = (
        {"links": graph.links, "items": graph.items}
        | "GroupLinksBySource" >> beam.CoGroupByKey()
        | "LinksToRows"
        >> beam.ParDo(_link_rows, item_counts, split, num_shards).with_outputs(
            "pairs", "query_counts", "split_counts"
        )
    )
    # An item's counts as the item and as the query of training pairs.
    counted = {
        "items": graph.items,
        "train_counts": graph.train_counts,
        "query_counts": linked.query_counts,
    } | "GroupCounts" >> beam.CoGroupByKey()
    tokens = graph.items | "CountTokens" >> beam.ParDo(_count_tokens, split).with_outputs()
    vocabularies = {
        ID: counted
        | "CountIds" >> beam.FlatMap(_count_ids, split)
        | "IdVocabulary"
        >> BuildVocabulary(min_count=options.id_min_count, max_size=options.max_vocab),
        TITLE_NGRAMS: tokens[TITLE_NGRAMS]
        | "TitleVocabulary"
        >> BuildVocabulary(min_count=options.title_min_count, max_size=options.max_vocab),
        CATEGORIES: tokens[CATEGORIES]
        | "CategoryVocabulary"
        >> BuildVocabulary(min_count=options.category_min_count, max_size=options.max_vocab),
    }
    items = counted | "EncodeItems" >> beam.FlatMap(
        _encode_items,
        item_counts,
        AsSingleton(vocabularies[ID] | "IdTable" >> beam.Map(_id_table)),
        AsSingleton(vocabularies[TITLE_NGRAMS] | "TitleIds" >> beam.Map(Vocabulary)),
        AsSingleton(vocabularies[CATEGORIES] | "CategoryIds" >> beam.Map(Vocabulary)),
        options,
        num_shards,
    )
    named = [
        tokens | f"Name_{name}" >> beam.Map(lambda found, name=name: (name, found))
        for name, tokens in vocabularies.items()
    ]
    return encode.EncodedDataset(
        items=items,
        pairs=linked.pairs,
        num_items=graph.item_counts
        | "ItemCounts" >> beam.Values()
        | "NumItems" >> beam.CombineGlobally(sum),
        num_pairs=linked.split_counts | "NumPairs" >> beam.CombineGlobally(encode.sum_splits),
        vocabularies=named | "Vocabularies" >> beam.Flatten(),
    )


def _link_rows(
    element: _Keyed, item_counts: Mapping[int, int], split: splits.SplitRule, num_shards: int
) -> Iterator[TaggedOutput]:
    shard, groups = element
    batches = list(groups["links"])
    sources, targets, target_position = concatenate(batches, 3)
    table = next(iter(groups["items"]))[0]
    position, exists = find(sources, table)
    if not exists.all():
        raise AssertionError("a link's source is no item")
    starts = first_rows(item_counts, num_shards)
    query_row = starts[shard] + position
    item_row = starts[range_index(targets, num_shards)] + target_position.astype(np.int64)
    of_split = splits.pair_splits(sources, targets, split)
    query_counts = np.bincount(position[of_split == splits.TRAIN], minlength=len(table))
    digests = splits.pair_digests(sources, targets)
    _log.info("numbered the links from shard %d of %d", shard + 1, num_shards)
    yield TaggedOutput("pairs", (of_split, digests, query_row, item_row))
    yield TaggedOutput("query_counts", (shard, query_counts))
    split_counts = np.bincount(of_split, minlength=len(schema.PAIR_SPLITS))
    yield TaggedOutput("split_counts", split_counts.tolist())


def _count_tokens(element: _Keyed, split: splits.SplitRule) -> Iterator[TaggedOutput]:
    """Counts n-grams and categories of a shard's training pages."""
    _, (table, titles, categories) = element
    ngrams: Counter[str] = Counter()
    names: Counter[str] = Counter()
    is_train = splits.item_splits(table, split) == splits.TRAIN
    for index in np.flatnonzero(is_train):
        ngrams.update(title_ngrams(titles[index]))
        names.update(categories[index])
    yield TaggedOutput(TITLE_NGRAMS, (list(ngrams), list(ngrams.values())))
    yield TaggedOutput(CATEGORIES, (list(names), list(names.values())))


def _count_ids(element: _Keyed, split: splits.SplitRule) -> Iterator[tuple[list[str], list[int]]]:
    """Counts the training pairs of a shard's training pages."""
    (table, titles, _), as_item, as_query = _counts(element)
    totals = as_item + as_query
    is_train = splits.item_splits(table, split) == splits.TRAIN
    chosen = np.flatnonzero(is_train & (totals > 0))
    yield [titles[index] for index in chosen], totals[chosen].tolist()


def _counts(element: _Keyed) -> tuple[Any, np.ndarray, np.ndarray]:
    _, groups = element
    items = next(iter(groups["items"]))
    none = np.zeros(len(items[0]), np.int64)
    return items, next(iter(groups["train_counts"]), none), next(iter(groups["query_counts"]), none)


def _id_table(titles: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sorted digests of the titles, and their ids: far smaller than a dict of strings."""
    digests = splits.text_digests(list(titles))
    order = np.argsort(digests)
    return digests[order], order + 1


def _encode_items(
    element: _Keyed,
    item_counts: Mapping[int, int],
    id_table: tuple[np.ndarray, np.ndarray],
    ngram_vocab: Vocabulary,
    category_vocab: Vocabulary,
    options: FeatureOptions,
    num_shards: int,
) -> Iterator[encode.ItemBatch]:
    (table, titles, categories), train_counts, _ = _counts(element)
    shard = element[0]
    first_row = int(first_rows(item_counts, num_shards)[shard])
    position, has_id = find(table, id_table[0])
    ids = np.where(has_id, id_table[1][position] if len(id_table[1]) else 0, 0)
    sizes = {ID: len(id_table[0]) + 1, TITLE_NGRAMS: ngram_vocab.size}
    specs = options.specs({**sizes, CATEGORIES: category_vocab.size})
    dropped: Counter[str] = Counter(items_without_id=len(table) - int(has_id.sum()))
    records: list[bytes] = []
    for index, title in enumerate(titles):
        ngrams, unknown, cut = ngram_vocab.ids_of(title_ngrams(title), options.max_title_ngrams)
        dropped.update(title_ngrams_out_of_vocabulary=unknown, title_ngrams_over_limit=cut)
        names, unknown, cut = category_vocab.ids_of(categories[index], options.max_categories)
        dropped.update(categories_out_of_vocabulary=unknown, categories_over_limit=cut)
        values = {ID: [int(ids[index])], TITLE_NGRAMS: ngrams, CATEGORIES: names}
        records.append(
            encode.item_record(
                row=first_row + index,
                key=title,
                title=title,
                train_count=int(train_counts[index]),
                values=values,
                features=specs,
            )
        )
        if len(records) == _ITEMS_PER_BATCH:
            yield first_row + index + 1 - len(records), records
            records = []
    if records:
        yield first_row + len(titles) - len(records), records
    count("items", len(titles))
    count_all(dropped)
    _log.info("encoded the items of shard %d of %d", shard + 1, num_shards)
