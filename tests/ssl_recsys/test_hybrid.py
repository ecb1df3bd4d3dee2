"""The hybrid of factors and features, on structure that can be checked by hand."""

import importlib.util
import pathlib
import sys

import numpy as np
import pytest
import scipy.sparse

from ssl_recsys import baselines, schema
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import HYBRID, USER_MODELS, comparison, simple_settings
from ssl_recsys.evaluation.hybrid import HybridEvidence, fitted_scorer, value_shares
from tests import command_line, query_dataset

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("lightfm") is None,
    reason="needs lightfm: pip install 'ssl-recsys[hybrid]'",
)


def blocks() -> HybridEvidence:
    """20 users and 12 items, even with even and odd with odd.

    Items 10 and 11 have no pair. Items share the values "even" and "odd"; user 18 and 19 have no
    pair and no value.
    """
    query, item = np.nonzero(np.arange(18)[:, np.newaxis] % 2 == np.arange(10) % 2)
    of_query = scipy.sparse.identity(20, np.float32, "csr")[:, :18]
    own = scipy.sparse.identity(12, np.float32, "csr")[:, :10]
    shared = scipy.sparse.csr_matrix(np.eye(2, dtype=np.float32)[np.arange(12) % 2])
    return HybridEvidence(
        Pairs(query.astype(np.int32), item.astype(np.int32)),
        value_shares([of_query], 20),
        value_shares([own, shared], 12),
    )


def test_shares_of_values_by_hand() -> None:
    first = scipy.sparse.csr_matrix(np.array([[1, 0], [0, 1], [0, 0]], np.float32))
    second = scipy.sparse.csr_matrix(np.array([[2, 1], [0, 0], [0, 0]], np.float32))
    shares = value_shares([first, second], 3)
    assert shares.dtype == np.float32
    assert shares.toarray().tolist() == [[0.25, 0, 0.5, 0.25], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert value_shares([], 2).shape == (2, 0)


def test_values_that_nothing_is_learned_of_are_left_out(tmp_path: pathlib.Path) -> None:
    query_dataset.write(tmp_path / "data")
    dataset = Dataset(tmp_path / "data")
    train = dataset.pairs(schema.TRAIN)
    evidence = HybridEvidence.of(dataset, train)
    queries, items = dataset.catalog(schema.QUERY), dataset.catalog(schema.ITEM)
    known = [
        set(queries.features[name][train.query_row].ravel()) - {0}
        for name in ("history", "country")
    ]
    assert evidence.queries.shape == (queries.num_items, sum(map(len, known)))
    # An item's id is its alone. A word counts if a warm item and another have it.
    warm = set(train.item_row.tolist())
    having: dict[int, set[int]] = {}
    for row, words in enumerate(items.features["words"].tolist()):
        for word in set(words) - {0}:
            having.setdefault(word, set()).add(row)
    words = [rows for rows in having.values() if len(rows) > 1 and rows & warm]
    assert evidence.items.shape == (items.num_items, len(warm) + len(words))
    assert all(evidence.items[row].sum() == pytest.approx(1) for row in warm)


@needs_library
def test_blocks_of_users_and_items() -> None:
    scores = fitted_scorer(blocks(), factors=8, epochs=30)(np.arange(20))
    assert scores.shape == (20, 12)
    even = np.arange(12) % 2 == 0
    for user, row in enumerate(scores[:18]):
        mine = even if user % 2 == 0 else ~even
        # The new items 10 and 11 are among them, by the value that they share.
        assert row[mine].min() > row[~mine].max()
    # Users without a value get the items' biases, whoever they are.
    np.testing.assert_array_equal(scores[18], scores[19])


@needs_library
def test_a_seed_repeats_itself() -> None:
    first, second = (fitted_scorer(blocks(), 4, 3)(np.arange(20)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@needs_library
def test_under_the_models_evaluation(tmp_path: pathlib.Path) -> None:
    query_dataset.write(tmp_path / "data")
    settings = simple_settings.chosen([HYBRID], ["hybrid:factors=8,epochs=30|60"])
    compared = comparison.compare(Dataset(tmp_path / "data"), settings, schema.TEST)
    result = dict(compared)[HYBRID]
    assert len(result["tried"]) == 2
    # Users like one topic each, and histories tell which.
    popular = result["baselines"]["top_popular"]["overall"]["recall@10"]
    assert result["overall"]["recall@10"] > 2 * popular


def test_without_the_library_the_others_are_compared(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    query_dataset.write(tmp_path / "data")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    options = command_line.parse(baselines.BaselinesOptions, f"--data_dir={tmp_path / 'data'}")
    info = schema.read_dataset_info(options.data_dir)
    assert (*baselines._methods(options, info), HYBRID) == USER_MODELS
    remedy = "pip install 'ssl-recsys[hybrid]'"
    assert f"hybrid is left out: lightfm is not installed: {remedy}" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"lightfm is not installed: pip install 'ssl-recsys\["):
        baselines.main(
            command_line.parse(
                baselines.BaselinesOptions, f"--data_dir={tmp_path / 'data'}", "--methods=hybrid"
            )
        )


def test_a_library_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightfm", None)
    with pytest.raises(InputError, match=r"lightfm cannot be loaded \(.+\): pip install"):
        fitted_scorer(blocks(), 4, 1)
