import numpy as np
import pytest

from ssl_recsys import schema
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import slices
from ssl_recsys.evaluation.recommended import gini, novelty, recommended_metrics
from ssl_recsys.features import Bag, Categorical, Dense


def plain_gini(times):
    """Half the mean absolute difference of two items, relative to the mean."""
    differences = [abs(int(one) - int(other)) for one in times for other in times]
    return np.mean(differences) / (2 * np.mean(times))


def test_gini_by_hand():
    assert gini(np.array([3, 3, 3])) == 0.0
    assert gini(np.array([0, 0, 0, 7])) == 0.75  # 1 - 1 / 4
    # |1 - 3| twice among four differences, over 2 * 2.
    assert gini(np.array([3, 1])) == 0.25


def test_gini_is_half_the_relative_mean_difference():
    rng = np.random.default_rng(0)
    for _ in range(20):
        times = rng.integers(0, 5, rng.integers(2, 30)) + np.eye(1, 1, dtype=int)[0]
        assert gini(times) == pytest.approx(plain_gini(times))


def test_novelty_by_hand():
    # Counted once more: 4, 1, 2, 1 of 8 are 1, 3, 2 and 3 bits.
    counts = np.array([3, 0, 1, 0])
    assert novelty(np.array([1, 0, 0, 0]), counts) == 1.0
    assert novelty(np.array([2, 1, 1, 0]), counts) == pytest.approx((2 * 1 + 3 + 2) / 4)
    assert novelty(np.array([1, 1]), np.array([5, 5])) == 1.0  # log2(2)


def test_recommended_by_hand():
    rows = np.array([[0, 1], [0, 2], [0, -1]])  # ScaNN found one item only for the last query
    assert recommended_metrics(rows, np.array([3, 0, 1, 0])) == {
        "num_queries": 3,
        "coverage@2": 0.75,
        # Sorted 0, 1, 1, 3 with weights -3, -1, 1, 3: 9 of 4 * 5.
        "gini@2": pytest.approx(0.45),
        "novelty@2": pytest.approx((3 * 1 + 3 + 2) / 5),
    }


def test_nothing_recommended_has_no_measure():
    found = recommended_metrics(np.empty((0, 2), int), np.array([1, 0]))
    assert found == {"num_queries": 0, "coverage@2": None, "gini@2": None, "novelty@2": None}


def test_by_frequency_is_the_recall_of_each_bin():
    counts = np.array([0, 1, 2, 3, 4, 7, 8, 8, 15, 16])
    ranks = np.array([9, 1, 1, 9, 1, 1, 1, 1, 9, 9])
    found = slices.by_frequency(ranks, counts, k=5)
    bounds = [(one["min_count"], one["max_count"], one["num_pairs"]) for one in found]
    assert bounds == [(0, 0, 1), (1, 1, 1), (2, 3, 2), (4, 7, 2), (8, 15, 3), (16, 31, 1)]
    recalls = [one["recall@5"] for one in found]
    assert recalls == [0.0, 1.0, 0.5, 1.0, pytest.approx(2 / 3), 0.0]
    assert slices.by_frequency(ranks[:0], counts[:0], k=5) == []


@pytest.mark.parametrize("count", [2**40, 2**52 - 1, 2**52])
def test_large_counts_fall_into_their_bins(count):
    last = slices.by_frequency(np.array([1]), np.array([count]), k=5)[-1]
    assert last["min_count"] <= count <= last["max_count"]


SPECS = (Categorical("kind", 3), Bag("tags", 4, 2), Dense("price", max_values=1))


def items_with(tmp_path, *texts):
    (tmp_path / "vocab").mkdir(exist_ok=True)
    (tmp_path / "vocab" / "kind.txt").write_text("game\ntool=new\n")
    (tmp_path / "vocab" / "tags.txt").write_text("a\nb\nc\n")
    features = {
        "kind": np.array([[1], [2], [0]]),
        "tags": np.array([[1, 3], [0, 0], [3, 0]]),
        "price": np.zeros((3, 1), np.float32),
    }
    catalog = Catalog(np.array(list("xyz")), np.array(list("xyz")), np.zeros(3, int), features)
    info = schema.DatasetInfo("d", SPECS, 3, {})
    return slices.items_with(texts, catalog, info, tmp_path)


def test_items_with_a_value(tmp_path):
    found = items_with(tmp_path, "kind=game", "kind=tool=new", "kind=", "tags=c", "tags=")
    assert {text: mask.tolist() for text, mask in found.items()} == {
        "kind=game": [True, False, False],
        "kind=tool=new": [False, True, False],
        "kind=": [False, False, True],
        "tags=c": [True, False, True],
        "tags=": [False, True, False],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind", "expected FEATURE=VALUE"),
        ("colour=red", "no feature 'colour' in the dataset"),
        ("price=3", "feature of numbers"),
        ("kind=gam", "has no 'gam'; .*kind.txt lists its values"),
    ],
)
def test_slices_that_cannot_be(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        items_with(tmp_path, text)
