from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to

from data_prep import shards, splits, vocab
from data_prep.wiki.link_splits import BY_LINK, BY_PAGE, item_splits, pair_splits
from ssl_recsys.tokens import fingerprint64

DIGESTS = splits.text_digests([f"title {index}" for index in range(20_000)])


def test_digests_never_change():
    # As printed by `printf 'Alan Turing' | b2sum -l 64`; SplitMix64's first output for seed 0.
    assert splits.text_digest("Alan Turing") == 0xFCE6A5A35D51B3B4
    assert splits.mix64(np.uint64([0]), 1).tolist() == [0xE220A8397B1DCDAF]


def test_split_shares_and_seeds():
    rule = splits.SplitRule(BY_PAGE, validation_fraction=0.1, test_fraction=0.2)
    found = splits.split_of(DIGESTS, rule)
    shares = np.bincount(found, minlength=3) / len(found)
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.015)
    other = splits.split_of(DIGESTS, splits.SplitRule(BY_PAGE, seed=1))
    # Independent: a test item of one seed is one of another no more often than by chance.
    assert (other[found == splits.TEST] == splits.TEST).mean() == pytest.approx(0.05, abs=0.015)


def test_a_pair_touching_a_test_item_is_a_test_pair():
    rule = splits.SplitRule(BY_PAGE, validation_fraction=0.3, test_fraction=0.3)
    query, item = DIGESTS[:10_000], DIGESTS[10_000:]
    ends = np.stack([item_splits(query, rule), item_splits(item, rule)])
    found = pair_splits(query, item, rule)
    has_test, has_validation = (ends == splits.TEST).any(0), (ends == splits.VALIDATION).any(0)
    assert (found[has_test] == splits.TEST).all()
    assert (found[~has_test & has_validation] == splits.VALIDATION).all()
    assert (found[~has_test & ~has_validation] == splits.TRAIN).all()


def test_the_later_of_two_digests_decides_as_both_do():
    rule = splits.SplitRule("item", seed=3, validation_fraction=0.3, test_fraction=0.3)
    query, item = DIGESTS[:10_000], DIGESTS[10_000:]
    divider = splits.later_of(query, item, rule)
    assert ((divider == query) | (divider == item)).all()
    both = np.maximum(splits.split_of(query, rule), splits.split_of(item, rule))
    np.testing.assert_array_equal(splits.split_of(divider, rule), both)
    np.testing.assert_array_equal(splits.later_of(item, query, rule), divider)


def test_split_by_link_has_training_items_only():
    rule = splits.SplitRule(BY_LINK)
    assert not item_splits(DIGESTS, rule).any()
    found = pair_splits(DIGESTS, DIGESTS[::-1], rule)
    assert (found == splits.TEST).mean() == pytest.approx(0.05, abs=0.01)


def test_a_pair_is_not_its_reverse():
    forth = splits.pair_digests(DIGESTS[:100], DIGESTS[100:200])
    back = splits.pair_digests(DIGESTS[100:200], DIGESTS[:100])
    assert not np.isin(forth, back).any()


class Digests(NamedTuple):
    digests: np.ndarray


class Named(NamedTuple):
    digests: np.ndarray
    names: list[str]


def test_columns_of_arrays_and_lists():
    columns = Named(np.uint64([7, 8, 9]), ["a", "b", "c"])
    taken = shards.take(columns, np.array([2, 0]))
    assert (taken.digests.tolist(), taken.names) == ([9, 7], ["c", "a"])
    assert shards.take(columns, np.array([False, True, False])).names == ["b"]
    joined = shards.concatenate(Named, [columns, taken])
    assert (joined.digests.tolist(), joined.names) == ([7, 8, 9, 9, 7], ["a", "b", "c", "c", "a"])
    assert len(shards.concatenate(Digests, []).digests) == 0
    low, high = np.uint64(1), np.uint64(2**63)
    parts = dict(
        shards.by_shard(np.array([high, low]), 2, Named(np.array([high, low]), ["h", "l"]))
    )
    assert [parts[shard].names for shard in (0, 1)] == [["l"], ["h"]]


def test_shards_hold_all_digests_in_order():
    for count in (1, 2, 7):
        parts = dict(shards.by_shard(DIGESTS, count, Digests(DIGESTS)))
        assert list(parts) == sorted(parts)
        joined = np.concatenate([np.sort(part) for (part,) in parts.values()])
        np.testing.assert_array_equal(joined, np.sort(DIGESTS))


def test_find():
    position, found = shards.find(np.uint64([5, 9, 1, 10]), np.uint64([1, 5, 9]))
    assert position[found].tolist() == [1, 2, 0]
    assert found.tolist() == [True, True, True, False]
    assert not shards.find(np.uint64([5]), np.uint64([]))[1].any()


def test_vocabulary_order_minimum_and_cap():
    counts = vocab.TokenCounts(["b", "a", "rare", "often"], [3, 3, 1, 9])
    tokens, frequencies = vocab.ordered_tokens(counts, 2, 10)
    assert (tokens, frequencies.tolist()) == (["often", "a", "b"], [9, 3, 3])
    assert vocab.ordered_tokens(counts, 1, 2).tokens == ["often", "a"]


def test_vocabulary_ids():
    words = vocab.Vocabulary(["a", "b", "c"])
    assert words.size == 4
    assert (words.id_of("a"), words.id_of("x")) == (1, 0)
    # "x" is unknown, and of a, b, c there is room for two.
    assert words.ids_of(["c", "x", "a", "b"], 2) == ([3, 1], 1, 1)


def test_vocabulary_file():
    assert vocab.vocabulary_text(["a", "b c"]) == "a\nb c\n"
    with pytest.raises(ValueError, match="one line"):
        vocab.vocabulary_text(["a\nb"])


def test_id_table():
    table = vocab.IdTable.of(["often", "rare"])
    assert table.size == 3
    digests = splits.text_digests(["rare", "unknown", "often"])
    ids, num_unknown = table.ids_of(digests)
    assert (ids.tolist(), num_unknown) == ([2, 0, 1], 1)
    assert vocab.IdTable.of([]).ids_of(digests)[0].tolist() == [0, 0, 0]


def test_hash_buckets_hold_what_the_vocabulary_lacks():
    of_x, of_unknown = (fingerprint64(token.encode()) % 5 for token in ("x", "unknown"))
    words = vocab.Vocabulary(["a", "b", "c"], hash_buckets=5)
    assert words.size == 4  # of the vocabulary; the table has 5 rows more
    assert words.ids_of(["c", "x", "a", "b"], 3) == ([3, 4 + of_x, 1], 1, 1)
    assert words.id_of("") == 0  # a missing value stays one
    table = vocab.IdTable.of(["often", "rare"], hash_buckets=5)
    tokens = ["rare", "unknown", "often"]
    ids, num_unknown = table.ids_of(splits.text_digests(tokens), tokens)
    assert (ids.tolist(), num_unknown) == ([2, 3 + of_unknown, 1], 1)


def test_vocabularies_of_several_features():
    counts = [
        ("a", (["x", "y"], [1, 5])),
        ("b", ([], [])),
        ("a", (["x", "z"], [4, 1])),
        ("c", (["p", "q", "r"], [2, 3, 2])),
    ]
    with TestPipeline(runner="FnApiRunner") as pipeline:
        build = vocab.BuildVocabularies({"a": (2, 9), "b": (1, 9), "c": (1, 2)})
        found = pipeline | beam.Create(counts) | build
        assert_that(found, equal_to([("a", ["x", "y"]), ("b", []), ("c", ["q", "p"])]))
