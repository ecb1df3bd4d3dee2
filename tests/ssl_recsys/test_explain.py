"""Explanations of scores, by towers whose scores can be worked out by hand."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import tensorflow as tf

from ssl_recsys.features import Bag, Categorical, Dense
from ssl_recsys.schema import ITEM, QUERY
from ssl_recsys.serving.explain import explain

SPECS = (
    Bag("words", vocab_size=5, max_values=3),
    Categorical("maker", vocab_size=4),
    Dense("quality", max_values=2),
)


def tower(features: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """1 for each word, 2 for the maker, the number, and 3 where it is missing."""
    words = tf.reduce_sum(tf.one_hot(features["words"] - 1, 4), axis=1)
    maker = 2 * tf.one_hot(features["maker"][:, 0] - 1, 3)
    return tf.concat([words, maker, features["quality"] * [1.0, 3.0]], axis=1)


def encoded(words: list[int], maker: int, quality: tuple[float, float]) -> dict[str, np.ndarray]:
    return {
        "words": np.array([words], np.int32),
        "maker": np.array([[maker]], np.int32),
        "quality": np.array([quality], np.float32),
    }


def texts(feature: str, ids: Sequence[int]) -> list[str]:
    return [f"{feature} {one}" for one in ids]


def test_drops_and_shared_values() -> None:
    query = encoded([2, 1, 0], 3, (0.5, 0.0))
    item = encoded([4, 1, 2, 0], 3, (4.0, 0.0))  # of another width
    found = explain(query, item, SPECS, {QUERY: tower, ITEM: tower}, texts)
    # Words 1 and 2: 2; the maker: 2 * 2; the numbers: 0.5 * 4.
    assert found.score == pytest.approx(8)
    # Without numbers both have the mark of a missing one: 2 + 4 + 3 * 3.
    expected = [
        ("maker", ["maker 3"], 4, 4),
        ("words", ["words 2", "words 1"], 6, 2),
        ("quality", [], 15, -7),
    ]
    assert [(one.feature, one.shared) for one in found.features] == [one[:2] for one in expected]
    for one, (_, _, without, drop) in zip(found.features, expected, strict=True):
        assert (one.score_without, one.drop) == (pytest.approx(without), pytest.approx(drop))


def test_what_both_lack_is_not_shared_and_drops_nothing() -> None:
    item = encoded([0, 0, 0], 0, (0.0, 1.0))
    found = explain(item, item, SPECS, {QUERY: tower, ITEM: tower}, texts)
    assert found.score == pytest.approx(9)
    assert [(one.shared, one.drop) for one in found.features] == [([], 0)] * 3
