import dataclasses
import json
import sys

import numpy as np
import pytest

from ssl_recsys import schema
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import pairs as evaluation
from ssl_recsys.evaluation import ranking
from ssl_recsys.evaluation.left_out import LeftOut
from ssl_recsys.evaluation.table import format_table
from ssl_recsys.search.interface import ExactSearch, ScannSearch

needs_scann = pytest.mark.skipif(sys.platform != "linux", reason="ScaNN is made for Linux")


def hand_made(**changes):
    """Four items on the circle, two queries, three pairs with ranks 1, 4 and 2.

    Products of query 0, [1, 0], with the items: 1, 0, -1, .6; of query 1, [0, 1]: 0, 1, 0, .8.
    """
    fields = {
        "query_embeddings": np.array([[1, 0], [0, 1]], np.float32),
        "query_of_pair": np.array([0, 0, 1]),
        "item_row": np.array([0, 2, 3]),
        "item_embeddings": np.array([[1, 0], [0, 1], [-1, 0], [0.6, 0.8]], np.float32),
        "train_count": np.array([0, 5, 0, 2]),
        "item_counts": np.array([0, 5, 0, 2]),
        "head": schema.HeadRule(),
        "split": "test",
    }
    return evaluation.EvaluationData(**{**fields, **changes})


def random_data(num_items=300, num_queries=40, num_pairs=100, seed=0):
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((num_items, 8))
    queries = rng.standard_normal((num_queries, 8))
    return evaluation.EvaluationData(
        query_embeddings=(queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype("f4"),
        query_of_pair=rng.integers(0, num_queries, num_pairs),
        item_row=rng.integers(0, num_items, num_pairs),
        item_embeddings=(items / np.linalg.norm(items, axis=1, keepdims=True)).astype("f4"),
        train_count=rng.integers(0, 3, num_items),
        item_counts=rng.integers(0, 3, num_items),
        head=schema.HeadRule(),
        split="validation",
    )


def test_top_popular_knows_only_the_pairs_that_were_trained_on():
    data = hand_made(item_counts=np.array([0, 0, 1, 0]))
    result = evaluation.evaluate_pairs(data, ks=(1, 3))
    # Items in the order 2, 0, 1, 3: the pairs' items 0, 2 and 3 have the ranks 2, 1 and 4.
    popular = result["baselines"]["top_popular"]
    assert popular["overall"]["recall@1"] == pytest.approx(1 / 3)
    assert popular["overall"]["map@3"] == pytest.approx((1 / 2 + 1) / 3)
    # The head is still told by all training pairs: item 3 alone of these.
    assert (popular["head"]["num_pairs"], popular["head"]["recall@3"]) == (1, 0.0)
    assert result["head"] == evaluation.evaluate_pairs(hand_made(), ks=(1, 3))["head"]


def without(result, *names):
    """A result, or a slice of one, without the fields that other tests have."""
    return {name: value for name, value in result.items() if not name.startswith(names)}


def test_metrics_by_hand():
    result = evaluation.evaluate_pairs(hand_made(), ks=(1, 3))
    popular = result["baselines"]["top_popular"]
    parts = ("overall", "head", "tail")
    assert without(result, *parts, "baselines", "intervals", "by_frequency", "recommended") == {
        "split": "test",
        "retrieval": "exact",
        "num_items": 4,
        "num_pairs": 3,
        "query_excluded": False,
        "known_excluded": False,
        "query_only": [],
    }
    ndcg_and_hits = ("ndcg", "hit_rate", "num_queries")
    assert {part: without(result[part], *ndcg_and_hits) for part in parts} == {
        # Ranks 1, 4, 2.
        "overall": {
            "num_pairs": 3,
            "recall@1": pytest.approx(1 / 3),
            "recall@3": pytest.approx(2 / 3),
            "map@1": pytest.approx(1 / 3),
            "map@3": pytest.approx((1 + 1 / 2) / 3),
        },
        # Only row 3 of the pairs' items has training pairs.
        "head": {"num_pairs": 1, "recall@1": 0.0, "recall@3": 1.0, "map@1": 0.0, "map@3": 0.5},
        "tail": {"num_pairs": 2, "recall@1": 0.5, "recall@3": 0.5, "map@1": 0.5, "map@3": 0.5},
    }
    assert {part: without(popular[part], *ndcg_and_hits) for part in parts} == {
        # The list is rows 1, 3, 0, 2, so that rows 0, 2, 3 have ranks 3, 4, 2.
        "overall": {
            "num_pairs": 3,
            "recall@1": 0.0,
            "recall@3": pytest.approx(2 / 3),
            "map@1": 0.0,
            "map@3": pytest.approx((1 / 3 + 1 / 2) / 3),
        },
        "head": {"num_pairs": 1, "recall@1": 0.0, "recall@3": 1.0, "map@1": 0.0, "map@3": 0.5},
        "tail": {
            "num_pairs": 2,
            "recall@1": 0.0,
            "recall@3": 0.5,
            "map@1": 0.0,
            "map@3": pytest.approx(1 / 6),
        },
    }
    # Query 0 has a pair of rank 1, query 1 one of rank 2.
    overall = result["overall"]
    hits = [overall[name] for name in ("num_queries", "hit_rate@1", "hit_rate@3")]
    assert hits == [2, 0.5, 1.0]
    assert overall["ndcg@3"] == pytest.approx((1 + 1 / np.log2(3)) / 3)
    # Rows 0 and 2 have no training pair, row 3 has two.
    assert result["by_frequency"] == [
        {"min_count": 0, "max_count": 0, "num_pairs": 2, "recall@3": 0.5},
        {"min_count": 1, "max_count": 1, "num_pairs": 0, "recall@3": None},
        {"min_count": 2, "max_count": 3, "num_pairs": 1, "recall@3": 1.0},
    ]


def test_own_item_is_left_out_by_hand():
    # The queries are items 0 and 1. Of query 0 item 0 is its own, ranked first, and item 2 goes
    # from 4 to 3; of query 1 item 3 goes from 2 to 1.
    data = hand_made(left_out=LeftOut.own(np.array([0, 1])), query_excluded=True)
    result = evaluation.evaluate_pairs(data, ks=(1, 3))
    assert result["query_excluded"]
    assert result["overall"]["recall@3"] == 1.0
    assert result["overall"]["map@3"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    # Query 0 is given rows 3, 1, 2, query 1 rows 3, 0, 2 or 3, 2, 0.
    search = ExactSearch(data.item_embeddings)
    _, lists = ranking.ranks_and_lists(
        search, data.query_embeddings, [0], [2], 3, left_out=data.left_out
    )
    assert lists.tolist() == [[3, 1, 2], [3, 0, 2]]


@pytest.mark.parametrize("max_rank", [1, 3, 50])
def test_own_item_is_left_out_as_if_it_were_not_there(max_rank):
    rng = np.random.default_rng(max_rank)
    for _ in range(20):
        # Whole numbers have many equal scores.
        items = rng.integers(-1, 2, (12, 3)).astype(np.float32)
        query_row = rng.choice(12, 5, replace=False)
        queries = rng.integers(-1, 2, (5, 3)).astype(np.float32)
        query_of_pair, item_row = rng.integers(0, 5, 30), rng.integers(0, 12, 30)
        is_other = query_row[query_of_pair] != item_row
        query_of_pair, item_row = query_of_pair[is_other], item_row[is_other]
        scores = queries @ items.T
        scores[np.arange(5), query_row] = -np.inf
        of_pairs = scores[query_of_pair, item_row][:, np.newaxis]
        expected = (scores[query_of_pair] >= of_pairs).sum(axis=1)  # the item itself is among them
        got, _ = ranking.ranks_and_lists(
            ExactSearch(items),
            queries,
            query_of_pair,
            item_row,
            max_rank,
            left_out=LeftOut.own(query_row),
        )
        np.testing.assert_array_equal(got, np.minimum(expected, max_rank + 1))


def test_default_form_is_json():
    result = evaluation.evaluate_pairs(random_data())
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    names = [f"{name}@{k}" for name in ("recall", "map", "ndcg", "hit_rate") for k in (10, 50)]
    assert [name for name in result["overall"] if "@" in name] == names
    assert list(result["intervals"]["overall"]) == names
    assert result["head"]["num_pairs"] + result["tail"]["num_pairs"] == result["num_pairs"]


def test_collapsed_model_has_zero_recall():
    data = random_data()
    collapsed = np.repeat(data.item_embeddings[:1], 300, axis=0)
    result = evaluation.evaluate_pairs(dataclasses.replace(data, item_embeddings=collapsed))
    assert result["overall"]["recall@50"] == 0.0
    assert result["overall"]["map@50"] == 0.0


def test_no_pairs():
    nothing = np.empty(0, int)
    data = hand_made(
        query_embeddings=np.empty((0, 2), np.float32), query_of_pair=nothing, item_row=nothing
    )
    result = evaluation.evaluate_pairs(data)
    assert result["num_pairs"] == 0
    assert result["overall"]["recall@10"] is None
    assert "-" in format_table({"fd": result})


@needs_scann
def test_scann_without_queries_has_no_comparison():
    nothing = np.empty(0, int)
    data = hand_made(
        query_embeddings=np.empty((0, 2), np.float32), query_of_pair=nothing, item_row=nothing
    )
    result = evaluation.evaluate_pairs(data, retrieval="scann")
    assert result["scann"]["recall@10_vs_exact"] is None
    assert "not compared" in format_table({"fd": result})


@needs_scann
@pytest.mark.parametrize("is_built_before", [False, True])
def test_scann_stands_beside_exact(is_built_before):
    data = random_data()
    exact = evaluation.evaluate_pairs(data)
    scann = ScannSearch.build(data.item_embeddings) if is_built_before else None
    result = evaluation.evaluate_pairs(data, retrieval="scann", scann=scann)
    assert result["retrieval"] == "scann"
    # So small a corpus is searched by brute force.
    assert result["overall"] == exact["overall"]
    comparison = result["scann"]
    assert comparison["recall@10_vs_exact"] == 1.0
    assert comparison["queries_per_second"] > 0
    assert comparison["exact_queries_per_second"] > 0
    assert comparison["build_seconds"] > 0
    assert comparison["params"]["num_leaves"] == 0
    json.dumps(result, allow_nan=False)


@needs_scann
def test_any_of_several_equal_items_counts_as_found():
    data = random_data()
    twins = np.repeat(data.item_embeddings[:10], 30, axis=0)
    data = dataclasses.replace(data, item_embeddings=twins)
    comparison = evaluation.compare_with_exact(ScannSearch.build(twins), data)
    assert comparison["recall@10_vs_exact"] == 1.0


@needs_scann
def test_an_index_of_another_model_is_refused():
    other = ScannSearch.build(np.eye(3, dtype=np.float32))
    with pytest.raises(InputError, match="4 items of 2 dimensions"):
        evaluation.evaluate_pairs(hand_made(), retrieval="scann", scann=other)


def test_unusable_input():
    with pytest.raises(InputError, match="exact, scann"):
        evaluation.evaluate_pairs(hand_made(), retrieval="fast")
    with pytest.raises(InputError, match="K must be at least 1"):
        evaluation.evaluate_pairs(hand_made(), ks=(0, 10))
    with pytest.raises(InputError, match="at least one K"):
        evaluation.evaluate_pairs(hand_made(), ks=())
    with pytest.raises(InputError, match=r"query embeddings.*row 1"):
        hand_made(query_embeddings=np.array([[1, 0], [0, np.nan]], np.float32))
    with pytest.raises(InputError, match=r"item embeddings.*row 0"):
        hand_made(item_embeddings=np.full((4, 2), np.inf, np.float32))
    with pytest.raises(ValueError, match="train_count"):
        hand_made(train_count=np.zeros(3, int))
    with pytest.raises(ValueError, match="item_counts"):
        hand_made(item_counts=np.zeros(3, int))
    with pytest.raises(ValueError, match="dimensions"):
        hand_made(query_embeddings=np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match="item_row"):
        hand_made(item_row=np.array([0, 2, 4]))


def pairs_of(query_row: np.ndarray) -> Pairs:
    return Pairs(query_row, np.arange(len(query_row)))


def test_sample_takes_whole_queries():
    query_row = np.array([5, 9, 5, 7, 9, 5, 1])
    sample = evaluation.sample_queries(pairs_of(query_row), max_queries=2, seed=0)
    kept = set(sample.query_row)
    assert len(kept) == 2
    np.testing.assert_array_equal(sample.item_row, np.flatnonzero(np.isin(query_row, list(kept))))


def test_sample_depends_on_the_seed_and_not_on_the_order():
    query_row = np.repeat(np.arange(100), 3)
    shuffled = np.random.default_rng(1).permutation(query_row)
    kept = {
        seed: set(evaluation.sample_queries(pairs_of(query_row), 10, seed).query_row)
        for seed in (0, 1)
    }
    assert kept[0] != kept[1]
    assert set(evaluation.sample_queries(pairs_of(shuffled), 10, 0).query_row) == kept[0]


def test_sample_edges():
    pairs = pairs_of(np.array([3, 3, 4]))
    for most in (0, 2, 5):
        np.testing.assert_array_equal(evaluation.sample_queries(pairs, most).item_row, [0, 1, 2])
    assert not evaluation.sample_queries(pairs_of(np.empty(0, int)), 5)
    with pytest.raises(InputError, match="max_queries must be at least 1"):
        evaluation.sample_queries(pairs, -1)


def test_table():
    result = evaluation.evaluate_pairs(hand_made(), ks=(1, 3))
    table = format_table({"baseline": result, "fd": result})
    assert table.splitlines() == [
        "test: 3 pairs over 4 items",
        "           |         overall (3)         |           head (1)          "
        "|           tail (2)",
        "           |    R@1    R@3  MAP@1  MAP@3 |    R@1    R@3  MAP@1  MAP@3 "
        "|    R@1    R@3  MAP@1  MAP@3",
        "-" * 100,
        "TopPopular | 0.0000 0.6667 0.0000 0.2778 | 0.0000 1.0000 0.0000 0.5000 "
        "| 0.0000 0.5000 0.0000 0.1667",
        "baseline   | 0.3333 0.6667 0.3333 0.5000 | 0.0000 1.0000 0.0000 0.5000 "
        "| 0.5000 0.5000 0.5000 0.5000",
        "fd         | 0.3333 0.6667 0.3333 0.5000 | 0.0000 1.0000 0.0000 0.5000 "
        "| 0.5000 0.5000 0.5000 0.5000",
    ]


def test_results_over_other_pairs_have_their_own_table():
    results = {
        "fd": evaluation.evaluate_pairs(hand_made()),
        "fm": evaluation.evaluate_pairs(random_data()),
    }
    first, second = format_table(results).split("\n\n")
    assert first.startswith("test: 3 pairs over 4 items")
    assert second.startswith("validation: 100 pairs over 300 items")
    assert first.count("TopPopular") == second.count("TopPopular") == 1


@needs_scann
def test_table_of_scann_has_a_line_on_it():
    result = evaluation.evaluate_pairs(random_data(), retrieval="scann")
    last = format_table({"fd": result}).splitlines()[-1]
    assert last.startswith("fd: ScaNN's recall@10 against exact search 1.0000, ")
