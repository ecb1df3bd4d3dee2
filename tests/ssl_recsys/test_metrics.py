import math

import numpy as np
import pytest

from ssl_recsys import schema
from ssl_recsys.evaluation import metrics

TOP_TENTH = schema.HeadRule(schema.HEAD_TOP_FRACTION, 0.1)


def test_recall_and_map_by_hand():
    ranks = [1, 2, 10, 11, 51]
    assert metrics.recall_at(ranks, 10) == pytest.approx(3 / 5)
    assert metrics.recall_at(ranks, 50) == pytest.approx(4 / 5)
    # (1 + 1/2 + 1/10) / 5, and 1/11 more in the top 50.
    assert metrics.map_at(ranks, 10) == pytest.approx(1.6 / 5)
    assert metrics.map_at(ranks, 50) == pytest.approx((1.6 + 1 / 11) / 5)


def test_ndcg_by_hand():
    # 1 / log2(1 + rank) for the ranks 1, 3 and 7; 8 is beyond the first 7.
    assert metrics.ndcg_at([1, 3, 7, 8], 7) == pytest.approx((1 + 1 / 2 + 1 / 3) / 4)
    assert metrics.ndcg_at([1, 1], 1) == 1.0


def test_hit_rate_counts_each_query_once():
    # Query 0 has ranks 1, 60, 60, query 2 has 11, query 3 has 99; there is no pair of query 1.
    ranks, queries = [1, 60, 11, 60, 99], [0, 0, 2, 0, 3]
    assert metrics.hit_rate_at(ranks, queries, 10) == pytest.approx(1 / 3)
    assert metrics.hit_rate_at(ranks, queries, 11) == pytest.approx(2 / 3)
    assert metrics.recall_at(ranks, 11) == pytest.approx(2 / 5)
    of_slices = metrics.slice_metrics(ranks, [True, False, False, True, True], queries, ks=(11,))
    assert of_slices["head"]["num_queries"] == 2
    assert of_slices["head"]["hit_rate@11"] == 0.5
    assert of_slices["tail"]["hit_rate@11"] == 0.5  # of queries 0 and 2


def test_no_pairs_have_no_metric():
    with pytest.raises(ValueError, match="at least one pair"):
        metrics.recall_at([], 10)
    with pytest.raises(ValueError, match="at least one pair"):
        metrics.map_at([], 10)


def test_slices():
    result = metrics.slice_metrics([1, 4, 11, 51], [True, False, True, False])
    assert list(result) == ["overall", "head", "tail"]
    assert result["overall"] == {
        "num_pairs": 4,
        "recall@10": 0.5,
        "recall@50": 0.75,
        "map@10": pytest.approx((1 + 1 / 4) / 4),
        "map@50": pytest.approx((1 + 1 / 4 + 1 / 11) / 4),
        "ndcg@10": pytest.approx((1 + 1 / math.log2(5)) / 4),
        "ndcg@50": pytest.approx((1 + 1 / math.log2(5) + 1 / math.log2(12)) / 4),
    }
    assert result["head"]["num_pairs"] == result["tail"]["num_pairs"] == 2
    assert result["head"]["recall@10"] == 0.5  # ranks 1, 11
    assert result["tail"]["recall@50"] == 0.5  # ranks 4, 51


def test_overall_is_the_mix_of_the_slices():
    rng = np.random.default_rng(0)
    ranks, head = rng.integers(1, 60, 500), rng.random(500) < 0.3
    result = metrics.slice_metrics(ranks, head)
    for name in ("recall@10", "map@50"):
        mixed = sum(result[part][name] * result[part]["num_pairs"] for part in ("head", "tail"))
        assert result["overall"][name] == pytest.approx(mixed / 500)


def test_empty_slices_are_null():
    result = metrics.slice_metrics([3], [True], ks=(5,))
    nothing = {"recall@5": None, "map@5": None, "ndcg@5": None}
    assert result["tail"] == {"num_pairs": 0, **nothing}
    result = metrics.slice_metrics([3], [True], [0], ks=(5,))
    assert result["tail"] == {"num_pairs": 0, **nothing, "num_queries": 0, "hit_rate@5": None}
    result = metrics.slice_metrics(np.empty(0, int), np.empty(0, bool))
    assert {part["num_pairs"] for part in result.values()} == {0}
    assert result["overall"]["recall@10"] is None


def test_slices_refuse_other_lengths():
    with pytest.raises(ValueError, match="num_pairs"):
        metrics.slice_metrics([1, 2], [True])


def test_head_in_training():
    head = metrics.head_items(schema.HeadRule(), [0, 1, 7, 0])
    np.testing.assert_array_equal(head, [False, True, True, False])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # There is room for ceil(0.1 * 11) = 2 items.
        ([0, 5, 4, 9, 4, 0, 0, 0, 0, 0, 0], [1, 3]),
        ([0, 5, 5, 9, 5, 0, 0, 0, 0, 0, 0], [3]),  # none of three with 5
        ([0, 5, 5, 5, 0, 0, 0, 0, 0, 0, 0], []),
        ([0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0], [3]),  # an item without a pair is no head item
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], []),
        ([], []),
    ],
)
def test_head_top_fraction_keeps_ties_together(counts, expected):
    head = metrics.head_items(TOP_TENTH, counts)
    np.testing.assert_array_equal(np.flatnonzero(head), expected)


def test_head_of_a_smallest_count():
    counts = [0, 1, 7, 2, 3, 2]
    rule = schema.HeadRule(min_count=3)
    np.testing.assert_array_equal(np.flatnonzero(metrics.head_items(rule, counts)), [2, 4])
    rule = schema.HeadRule(schema.HEAD_TOP_FRACTION, 0.5, min_count=3)  # rows 2, 4 without it
    np.testing.assert_array_equal(np.flatnonzero(metrics.head_items(rule, counts)), [2, 4])
    rule = schema.HeadRule(schema.HEAD_TOP_FRACTION, 0.5, min_count=4)
    np.testing.assert_array_equal(np.flatnonzero(metrics.head_items(rule, counts)), [2])


@pytest.mark.parametrize(("fraction", "num_items", "expected"), [(0.07, 100, 7), (0.1, 1, 1)])
def test_head_top_fraction_is_not_rounded_up_by_float_error(fraction, num_items, expected):
    rule = schema.HeadRule(schema.HEAD_TOP_FRACTION, fraction)
    assert metrics.head_items(rule, np.arange(num_items) + 1).sum() == expected


def test_top_popular_ranks():
    # By count: row 2 (9), rows 0 and 3 (4, lower row first), row 1 (0).
    ranks = metrics.top_popular_ranks([4, 0, 9, 4], [0, 1, 2, 3, 3])
    np.testing.assert_array_equal(ranks, [2, 4, 1, 3, 3])
    assert metrics.top_popular_ranks([4, 0], np.empty(0, int)).shape == (0,)


def test_top_popular_cdf():
    np.testing.assert_allclose(metrics.top_popular_cdf([1, 0, 6, 3]), [0.6, 0.9, 1.0, 1.0])
    np.testing.assert_array_equal(metrics.top_popular_cdf([0, 0]), [0.0, 0.0])
    assert metrics.top_popular_cdf(np.empty(0, int)).shape == (0,)


def test_top_popular_recall_is_the_cdf():
    counts = np.array([1, 0, 6, 3, 3])
    training_items = np.repeat(np.arange(5), counts)
    ranks = metrics.top_popular_ranks(counts, training_items)
    for k, share in enumerate(metrics.top_popular_cdf(counts), start=1):
        assert metrics.recall_at(ranks, k) == pytest.approx(share)
