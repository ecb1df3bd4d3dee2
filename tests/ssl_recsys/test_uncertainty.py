import itertools

import numpy as np
import pytest

from ssl_recsys.evaluation import metrics, uncertainty

RNG = np.random.default_rng(0)
QUERIES = np.sort(np.concatenate([np.arange(150), RNG.integers(0, 150, 450)]))
RANKS = RNG.integers(1, 80, 600)
EVERY = {"overall": np.ones(600, bool)}


def plain_bootstrap(ranks, queries, metric, resamples=2000):
    """Draws whole queries and computes the metric of their pairs; a drawn query counts anew."""
    rng = np.random.default_rng(1)
    pairs = [np.flatnonzero(queries == query) for query in range(queries.max() + 1)]
    values = []
    for _ in range(resamples):
        drawn = rng.integers(0, len(pairs), len(pairs))
        rows = np.concatenate([pairs[query] for query in drawn])
        of = np.repeat(np.arange(len(drawn)), [len(pairs[query]) for query in drawn])
        values.append(metric(ranks[rows], of))
    return np.quantile(values, (0.025, 0.975))


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("recall@10", lambda ranks, of: metrics.recall_at(ranks, 10)),
        ("map@50", lambda ranks, of: metrics.map_at(ranks, 50)),
        ("ndcg@50", lambda ranks, of: metrics.ndcg_at(ranks, 50)),
        ("hit_rate@10", lambda ranks, of: metrics.hit_rate_at(ranks, of, 10)),
    ],
)
def test_intervals_are_the_plain_bootstraps(name, metric):
    found = uncertainty.intervals(RANKS, QUERIES, EVERY)
    expected = plain_bootstrap(RANKS, QUERIES, metric)
    # Both are random: their ends differ by a few hundredths of the width.
    width = expected[1] - expected[0]
    np.testing.assert_allclose(found["overall"][name], expected, atol=0.12 * width)


def test_groups_of_queries_have_the_intervals_of_queries(monkeypatch):
    rng = np.random.default_rng(2)
    queries = np.repeat(np.arange(4000), 2)
    # The pairs of a query are found together or not: their intervals are wide.
    ranks = np.repeat(np.where(rng.random(4000) < 0.3, 1, 99), 2)
    every = {"overall": np.ones(8000, bool)}
    monkeypatch.setattr(uncertainty, "MOST_GROUPS", 400)
    low, high = uncertainty.intervals(ranks, queries, every)["overall"]["recall@10"]
    # The standard error of a share of 4,000 independent queries.
    share = np.mean(ranks == 1)
    error = np.sqrt(share * (1 - share) / 4000)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert low < share < high


def test_a_slice_of_fewer_than_two_queries_has_no_interval():
    masks = {"one": QUERIES == 3, "none": np.zeros(600, bool)}
    found = uncertainty.intervals(RANKS, QUERIES, masks, ks=(10,))
    assert set(found["one"].values()) == set(found["none"].values()) == {None}
    nothing = np.empty(0, int)
    empty = uncertainty.intervals(nothing, nothing, {"overall": np.empty(0, bool)}, ks=(10,))
    assert set(empty["overall"].values()) == {None}


def test_p_value_is_the_exact_tests():
    # Ten queries of one pair; the second model finds six more and loses one.
    queries = np.arange(10)
    first = np.array([99, 99, 99, 99, 99, 99, 1, 1, 99, 99])
    second = np.array([1, 1, 1, 1, 1, 1, 99, 1, 99, 99])
    difference = (second <= 10).astype(int) - (first <= 10)
    sums = [np.dot(signs, difference) for signs in itertools.product((-1, 1), repeat=10)]
    exact = np.mean(np.abs(sums) >= abs(difference.sum()))
    assert exact == 2 * (7 + 1) / 2**7  # seven differences, at most one of the other sign
    every = {"overall": np.ones(10, bool)}
    found = uncertainty.differences(first, second, queries, every, ks=(10,))["overall"]
    assert found["recall@10"]["first"] == 0.2
    assert found["recall@10"]["second"] == 0.7
    assert found["recall@10"]["difference"] == pytest.approx(0.5)
    assert found["recall@10"]["p_value"] == pytest.approx(exact, abs=0.01)
    assert found["recall@10"]["low"] < 0.5 < found["recall@10"]["high"]


def test_queries_are_swapped_as_a_whole():
    # One query of 100 pairs and one of one: four ways to swap, two as large as observed.
    queries = np.array([0] * 100 + [1])
    first, second = np.full(101, 99), np.ones(101, int)
    every = {"overall": np.ones(101, bool)}
    found = uncertainty.differences(first, second, queries, every, ks=(10,))["overall"]
    assert found["recall@10"]["p_value"] == pytest.approx(0.5, abs=0.03)


def test_a_model_does_not_differ_from_itself():
    masks = {**EVERY, "none": np.zeros(600, bool)}
    found = uncertainty.differences(RANKS, RANKS, QUERIES, masks, ks=(10,))
    same = found["overall"]["ndcg@10"]
    assert (same["difference"], same["low"], same["high"], same["p_value"]) == (0, 0, 0, 1)
    assert set(found["none"]["ndcg@10"].values()) == {None}


def test_standard_error_by_hand():
    # Query 0 has two pairs, of which the second model finds one more; queries 1 to 3 have one.
    queries = np.array([0, 0, 1, 2, 3])
    first, second = np.array([1, 99, 1, 99, 1]), np.array([1, 1, 1, 99, 99])
    # Differences by query 1, 0, 0, -1 of mean 0 and variance 1/2: sqrt(4 / 2) / 5 pairs.
    error = uncertainty.standard_error(first, second, queries, 10)
    assert error == pytest.approx(np.sqrt(2) / 5)
    assert uncertainty.standard_error(first, first, queries, 10) == 0
