"""The catalog of a wiki: rows, vocabularies, encoded features; and the links as pairs of rows."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsDict, TaggedOutput

from data_prep.counting import count_all
from data_prep.encode import Item, ItemBatch, Values, encode_shard
from data_prep.job_options import CATALOG, JobOptions
from data_prep.shards import Keyed, concatenate, find, first_rows, range_index
from data_prep.spill import Spill, first, get
from data_prep.splits import TRAIN, pair_digests
from data_prep.vocab import BuildVocabularies, IdTable, TokenCounts, Vocabulary
from data_prep.wiki import title_vectors
from data_prep.wiki.link_graph import Articles, Graph, ItemLinks
from data_prep.wiki.link_splits import item_splits, pair_splits
from data_prep.wiki.title_vectors import TitleVectors
from data_prep.write import EncodedDataset, PairBatch
from ssl_recsys.features import Bag, Categorical, FeatureSpec, Vector
from ssl_recsys.options import option
from ssl_recsys.raw import rules
from ssl_recsys.raw.rules import RawFeature, RawItem
from ssl_recsys.raw.words import ngrams, words

ID, TITLE_NGRAMS, CATEGORIES = "id", "title_ngrams", "categories"
TITLE_VECTOR = "title_vector"  # also its column of raw features
TITLE = "title"  # column of a page's title, which is its key
_LONGEST_NGRAM = 2

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class FeatureOptions(JobOptions):
    """How features are encoded."""

    id_min_count: int = option(
        1, "Training pairs that a page needs for an id of its own.", at_least=1
    )
    title_min_count: int = option(
        2, "Pages (see --vocabulary) that a title n-gram must occur in.", at_least=1
    )
    category_min_count: int = option(
        2, "Pages (see --vocabulary) that a category must have.", at_least=1
    )
    id_hash_buckets: int = option(
        0, "Ids that pages without one of their own share, by their titles; 0: none.", at_least=0
    )
    title_hash_buckets: int = option(
        0, "Ids that title n-grams without one share; 0: they are left out.", at_least=0
    )
    category_hash_buckets: int = option(
        0, "Ids that categories without one share; 0: they are left out.", at_least=0
    )
    max_title_ngrams: int = option(16, "Most n-grams of one title.", at_least=1)
    max_categories: int = option(16, "Most categories of one page.", at_least=1)
    max_vocab: int = option(
        8_000_000,
        "Most tokens of a vocabulary; one worker holds it in memory, at about 300 bytes a token.",
        at_least=1,
    )

    title_vectors: str = option(
        "",
        "Tables of vectors that another model made of titles, in Parquet or JSON lines with the "
        "columns title and vector, a comma list or a glob: the feature title_vector.",
    )

    recorded_if_given: ClassVar[tuple[str, ...]] = ("title_vectors",)

    def vocabulary_limits(self) -> dict[str, tuple[int, int]]:
        """Smallest counts of tokens and largest numbers of them."""
        return {
            ID: (self.id_min_count, self.max_vocab),
            TITLE_NGRAMS: (self.title_min_count, self.max_vocab),
            CATEGORIES: (self.category_min_count, self.max_vocab),
        }

    def hash_buckets(self) -> dict[str, int]:
        """Ids that each feature's tokens without one of their own share."""
        return {
            ID: self.id_hash_buckets,
            TITLE_NGRAMS: self.title_hash_buckets,
            CATEGORIES: self.category_hash_buckets,
        }

    def raw(self, *, dotless_i: bool) -> RawItem:
        """The rules of the features; `dotless_i` as for `words`."""
        features = [
            RawFeature(ID, rules.TOKEN, TITLE),
            RawFeature(
                TITLE_NGRAMS, rules.WORDS, TITLE, ngrams=_LONGEST_NGRAM, dotless_i=dotless_i
            ),
            RawFeature(CATEGORIES, rules.TOKENS, CATEGORIES, lists=True),
        ]
        if self.title_vectors:
            features.append(RawFeature(TITLE_VECTOR, rules.UNIT_VECTOR, TITLE_VECTOR))
        return RawItem(TITLE, TITLE, tuple(features))

    def specs(
        self, vocab_sizes: Mapping[str, int], found: TitleVectors | None = None
    ) -> tuple[FeatureSpec, ...]:
        """The dataset's features.

        Args:
          vocab_sizes: count id 0 and no hash buckets.
          found: the tables of `title_vectors`, None without.
        """
        buckets = self.hash_buckets()
        sizes = {name: vocab_sizes[name] + buckets[name] for name in buckets}
        return (
            Categorical(ID, sizes[ID], hash_buckets=buckets[ID]),
            Bag(TITLE_NGRAMS, sizes[TITLE_NGRAMS], self.max_title_ngrams, buckets[TITLE_NGRAMS]),
            Bag(CATEGORIES, sizes[CATEGORIES], self.max_categories, buckets[CATEGORIES]),
            *((Vector(TITLE_VECTOR, max_values=found.size),) if found else ()),
        )


class CountedItems(NamedTuple):
    """Items of a shard.

    Attributes:
      items: their titles and categories.
      as_item: numbers of training pairs with them as item, `[items]`.
      as_query: likewise as query.
      vectors: of their titles, `[items, size]` float32; None without or before they are joined.
    """

    items: Articles
    as_item: np.ndarray
    as_query: np.ndarray
    vectors: np.ndarray | None = None


_NO_ITEMS = CountedItems(
    Articles(np.zeros(0, np.uint64), [], []), np.zeros(0, np.int64), np.zeros(0, np.int64)
)


def title_ngrams(title: str, *, dotless_i: bool = False) -> list[str]:
    """The casefolded words of a title, then its pairs of neighbouring words, each once."""
    return ngrams(words(title, dotless_i=dotless_i), _LONGEST_NGRAM)


def encode_wiki(
    graph: Graph,
    options: FeatureOptions,
    spill: Spill,
    *,
    dotless_i: bool,
    found: TitleVectors | None,
    directory: str,
) -> EncodedDataset:
    """Adds the steps from the graph to encoded records.

    Args:
      graph: items and links.
      options: how features are encoded.
      spill: takes the columns.
      dotless_i: as for `words`.
      found: the tables of `options.title_vectors`, None without.
      directory: the dataset directory being written, see `problems`.
    """
    item_counts = AsDict(graph.item_counts)
    linked = (
        {"links": graph.links, "items": graph.items}
        | "GroupLinksBySource" >> beam.CoGroupByKey()
        | "LinksToRows"
        >> beam.ParDo(_link_rows, item_counts, options, spill).with_outputs("pairs", "query_counts")
    )
    counted = (
        {
            "items": graph.items,
            "train_counts": graph.train_counts,
            "query_counts": linked.query_counts,
        }
        | "GroupCounts" >> beam.CoGroupByKey()
        | "AddCounts" >> beam.Map(_add_counts, spill)
    )
    vocabularies = (
        counted
        | "CountTokens" >> beam.FlatMap(_count_tokens, options, dotless_i)
        | "Vocabularies" >> BuildVocabularies(options.vocabulary_limits(), spill)
    )
    ids = vocabularies | "MakeIds" >> beam.Map(_make_ids, options.hash_buckets())
    if found:
        read = title_vectors.ReadVectors(found, options.num_shards, spill, directory)
        vectors = counted.pipeline | "TitleVectors" >> read
        counted = (
            {"items": counted, "vectors": vectors}
            | "GroupTitleVectors" >> beam.CoGroupByKey()
            | "JoinTitleVectors" >> beam.FlatMap(_join_vectors, found, spill, directory)
        )
    items = counted | "EncodeItems" >> beam.FlatMap(
        _encode_items, item_counts, AsDict(ids), options, dotless_i, found
    )
    return EncodedDataset(items, graph.item_counts, linked.pairs, vocabularies)


def _link_rows(
    element: Keyed, item_counts: Mapping[int, int], options: FeatureOptions, spill: Spill
) -> Iterator[TaggedOutput]:
    shard, groups = element
    links = concatenate(ItemLinks, groups["links"])
    table = first(groups, "items").digests
    position, exists = find(links.sources, table)
    if not exists.all():
        raise AssertionError("a link's source is no item")
    starts = first_rows(item_counts, options.num_shards)
    of_split = pair_splits(links.sources, links.targets, options.split)
    target_shard = range_index(links.targets, options.num_shards)
    pairs = PairBatch(
        split=of_split,
        digest=pair_digests(links.sources, links.targets),
        query_row=starts[shard] + position,
        item_row=starts[target_shard] + links.positions.astype(np.int64),
    )
    query_counts = np.bincount(position[of_split == TRAIN], minlength=len(table))
    _log.info("numbered the links from shard %d of %d", shard + 1, options.num_shards)
    yield TaggedOutput("pairs", spill.put(pairs))
    yield TaggedOutput("query_counts", (shard, spill.put(query_counts)))


def _add_counts(element: Keyed, spill: Spill) -> Keyed:
    shard, groups = element
    items = first(groups, "items")
    none = np.zeros(len(items.digests), np.int64)
    as_item, as_query = (first(groups, name, none) for name in ("train_counts", "query_counts"))
    return shard, spill.put(CountedItems(items, as_item, as_query))


def _join_vectors(
    element: Keyed, found: TitleVectors, spill: Spill, directory: str
) -> Iterator[Keyed]:
    shard, groups = element
    counted = first(groups, "items", _NO_ITEMS)
    digests = counted.items.digests
    joined = title_vectors.join(groups["vectors"], digests, found, directory)
    if len(digests):
        yield shard, spill.put(counted._replace(vectors=joined))


def _count_tokens(
    element: Keyed, options: FeatureOptions, dotless_i: bool
) -> Iterator[tuple[str, TokenCounts]]:
    """Training pairs of a shard's training pages, and how many pages have a token.

    These are the training pages, or with `--vocabulary=catalog` all pages.
    """
    items, as_item, as_query, _ = get(element[1])
    totals = as_item + as_query
    is_train = item_splits(items.digests, options.split) == TRAIN
    in_pairs = np.flatnonzero(is_train & (totals > 0))
    titles = [items.titles[index] for index in in_pairs]
    yield ID, TokenCounts(titles, totals[in_pairs].tolist())
    found: Counter[str] = Counter()
    names: Counter[str] = Counter()
    is_counted = is_train | (options.vocabulary == CATALOG)
    for index in np.flatnonzero(is_counted).tolist():
        found.update(title_ngrams(items.titles[index], dotless_i=dotless_i))
        names.update(items.categories[index])
    yield TITLE_NGRAMS, TokenCounts(list(found), list(found.values()))
    yield CATEGORIES, TokenCounts(list(names), list(names.values()))


def _make_ids(
    vocabulary: tuple[str, Sequence[str]], hash_buckets: Mapping[str, int]
) -> tuple[str, IdTable | Vocabulary]:
    feature, tokens = vocabulary
    make = IdTable.of if feature == ID else Vocabulary
    return feature, make(tokens, hash_buckets[feature])


def _encode_items(
    element: Keyed,
    item_counts: Mapping[int, int],
    ids: Mapping[str, Any],
    options: FeatureOptions,
    dotless_i: bool,
    found: TitleVectors | None,
) -> Iterator[ItemBatch]:
    shard = element[0]
    items, as_item, _, vectors = get(element[1])
    specs = options.specs({name: known.size for name, known in ids.items()}, found)
    item_ids, without_id = ids[ID].ids_of(items.digests, items.titles)
    dropped: Counter[str] = Counter(items_without_id=without_id)

    def encoded() -> Iterator[Item]:
        for index, title in enumerate(items.titles):
            values: dict[str, Values] = {ID: [int(item_ids[index])]}
            if vectors is not None:
                values[TITLE_VECTOR] = vectors[index]
            in_title = title_ngrams(title, dotless_i=dotless_i)
            for name, tokens, max_values in (
                (TITLE_NGRAMS, in_title, options.max_title_ngrams),
                (CATEGORIES, items.categories[index], options.max_categories),
            ):
                values[name], unknown, cut = ids[name].ids_of(tokens, max_values)
                dropped[f"{name}_out_of_vocabulary"] += unknown
                dropped[f"{name}_over_limit"] += cut
            yield Item(title, title, int(as_item[index]), values)

    yield from encode_shard(encoded(), shard, item_counts, options.num_shards, specs)
    count_all(dropped)
