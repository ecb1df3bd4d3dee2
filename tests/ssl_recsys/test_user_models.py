"""Simple recommenders for users, against values by hand and plain forms."""

import pathlib

import numpy as np
import pytest
import scipy.sparse

from ssl_recsys import schema
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.evaluation import HYBRID, USER_MODELS, comparison, simple_settings
from ssl_recsys.evaluation.hybrid import HybridEvidence
from ssl_recsys.evaluation.user_models import (
    EASE,
    BayesianPersonalizedRanking,
    ContentProfile,
    ItemCoOccurrence,
    UserALS,
    UserEvidence,
    known_items,
)
from tests import query_dataset

# Users 0 to 2 and items 0 to 3; query 3 is of a user without training pairs who had item 1.
USERS = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]], np.float32)
PROFILES = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], np.float32)
CONTENT = np.array([[1, 0], [0.6, 0.8], [0, 1], [0, 1]], np.float32)


def gathers_nothing() -> HybridEvidence:
    raise AssertionError("only the hybrid needs it")


def evidence() -> UserEvidence:
    sparse = scipy.sparse.csr_matrix
    return UserEvidence(
        sparse(USERS), np.arange(4), sparse(PROFILES), sparse(CONTENT), gathers_nothing
    )


def test_co_occurrence_by_hand() -> None:
    # Together: items 0 and 1 of two users, 1 and 2 of two, 0 and 2 of one.
    scores = ItemCoOccurrence(cosine=False).fit(evidence())(np.array([0, 1, 2, 3]))
    assert scores.tolist() == [[2, 2, 3, 0], [1, 2, 0, 0], [0, 0, 0, 0], [2, 0, 2, 0]]
    scaled = ItemCoOccurrence().fit(evidence())(np.array([3]))
    np.testing.assert_allclose(scaled, [[2 / np.sqrt(6), 0, 2 / np.sqrt(6), 0]], rtol=1e-6)


def test_content_profile_by_hand() -> None:
    scores = ContentProfile().fit(evidence())(np.array([0, 3]))
    np.testing.assert_allclose(scores, [[1.6, 1.6, 0.8, 0.8], [0.6, 1, 0.8, 0.8]], rtol=1e-6)


def test_ease_minimizes_its_objective() -> None:
    weights = EASE(2.0).fit(evidence())(np.array([3]))[0]  # row 1 of the weights
    assert weights[1] == 0
    # The column of item 0 solves ridge regression of it on the others (Steck 2019, Eq. (4)).
    others = USERS[:, 1:]
    plain = np.linalg.solve(others.T @ others + 2 * np.eye(3), others.T @ USERS[:, 0])
    assert weights[0] == pytest.approx(plain[0], rel=1e-5)


def test_als_folds_a_profile_in() -> None:
    rng = np.random.default_rng(0)
    group = np.arange(40) % 2
    users = rng.random((40, 12)) < np.where(group[:, np.newaxis] == np.arange(12) % 2, 0.7, 0.02)
    sparse = scipy.sparse.csr_matrix(users.astype(np.float32))
    profile = scipy.sparse.csr_matrix(([1.0], ([0], [3])), (1, 12), np.float32)
    made = UserEvidence(sparse, np.array([0]), profile, sparse, gathers_nothing)
    scores = UserALS(factors=4).fit(made)(np.array([0]))[0]
    odd = np.arange(12) % 2 == 1
    assert scores[odd].min() > scores[~odd].max()


def test_bpr_gives_an_unknown_user_what_is_popular() -> None:
    rng = np.random.default_rng(1)
    users = np.vstack([rng.random((60, 10)) < np.linspace(0.9, 0.05, 10), np.zeros((1, 10), bool)])
    sparse = scipy.sparse.csr_matrix(users.astype(np.float32))
    made = UserEvidence(sparse, np.array([60]), sparse[60:], sparse, gathers_nothing)
    scores = BayesianPersonalizedRanking(8, 50).fit(made)(np.array([0]))[0]
    assert np.corrcoef(scores, users.sum(axis=0))[0, 1] > 0.8


def test_histories_are_the_profiles(tmp_path: pathlib.Path) -> None:
    query_dataset.write(tmp_path / "data")
    dataset = Dataset(tmp_path / "data")
    made = UserEvidence.of(dataset, dataset.pairs(schema.TRAIN))
    queries, items = dataset.catalog(schema.QUERY), dataset.catalog(schema.ITEM)
    for row in (0, 5, 17):
        ids = queries.features["history"][row]
        expected = np.flatnonzero(np.isin(items.features["id"][:, 0], ids[ids > 0]))
        assert made.profiles[row].nonzero()[1].tolist() == expected.tolist()
    train = dataset.pairs(schema.TRAIN)
    users = queries.titles[train.query_row]
    mine = {int(item) for user, item in zip(users, train.item_row, strict=True) if user == "user 4"}
    row = queries.titles.tolist().index("user 4")
    assert set(known_items(made)(np.array([row]))[1].tolist()) == mine


def test_all_of_them_under_the_models_evaluation(tmp_path: pathlib.Path) -> None:
    query_dataset.write(tmp_path / "data")
    dataset = Dataset(tmp_path / "data")
    methods = tuple(name for name in USER_MODELS if name != HYBRID)  # see test_hybrid.py
    settings = simple_settings.chosen(methods, ["few"])
    found = dict(comparison.compare(dataset, settings, schema.TEST, exclude_known=True))
    assert tuple(found) == methods
    for result in found.values():
        assert result["known_excluded"]
        assert not result["query_excluded"]
        assert result["slices"]["warm users"]["num_pairs"] == query_dataset.NUM_USERS
    # Users like one topic each, and histories tell which.
    popular = found["ease"]["baselines"]["top_popular"]["overall"]["recall@10"]
    assert found["ease"]["overall"]["recall@10"] > 2 * popular
