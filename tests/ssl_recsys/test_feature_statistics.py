"""Frequencies and dependence of features, by hand."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfTransformer

from ssl_recsys.data import statistics
from ssl_recsys.features import Bag, Categorical, Dense, Vector

COLOUR = Categorical("colour", vocab_size=3)
SHADE = Categorical("shade", vocab_size=3)
SIZE = Categorical("size", vocab_size=3)
WORDS = Bag("words", vocab_size=4, max_values=2)
PRICE = Dense("price", max_values=1)
FEATURES = {
    "colour": np.array([[1], [1], [2], [2]], np.int32),
    "shade": np.array([[1], [1], [2], [2]], np.int32),  # the colour again
    "size": np.array([[1], [2], [1], [2]], np.int32),  # independent of the colour
    "words": np.array([[1, 2], [1, 0], [3, 0], [0, 0]], np.int32),
    "price": np.array([[1.0], [2.0], [3.0], [4.0]], np.float32),
}


def test_idf_is_scikit_learns_scaled_to_mean_one():
    values = FEATURES["words"]
    got = statistics.inverse_document_frequency(values, 4)
    counts = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]])
    expected = TfidfTransformer(norm=None).fit(counts).idf_
    np.testing.assert_allclose(got[1:] / got[1], expected / expected[0], rtol=1e-6)
    # Occurrences: value 1 twice, 2 and 3 once.
    assert (2 * got[1] + got[2] + got[3]) / 4 == pytest.approx(1.0)


def test_idf_of_a_feature_without_values():
    got = statistics.inverse_document_frequency(np.zeros((3, 2), np.int32), 2)
    assert np.all(np.isfinite(got))
    assert np.all(got > 0)


def test_mutual_information_by_hand():
    specs = [COLOUR, SHADE, SIZE, WORDS, PRICE]
    got = statistics.mutual_information(FEATURES, specs)
    np.testing.assert_allclose(got, got.T)
    assert got[0, 1] == pytest.approx(np.log(2))  # two equal halves, each known from the other
    assert got[0, 2] == pytest.approx(0.0, abs=1e-12)
    # Every price is another, so it says what the colour is.
    assert got[0, 4] == pytest.approx(np.log(2))
    # Words: P(1) = 1/8 + 1/4, P(2) = 1/8, P(3) = P(none) = 1/4. The colour is known from each.
    assert got[0, 3] == pytest.approx(np.log(2))
    entropy = -(3 / 8 * np.log(3 / 8) + 1 / 8 * np.log(1 / 8) + 1 / 2 * np.log(1 / 4))
    assert got[3, 3] == pytest.approx(entropy)


def test_a_vector_is_taken_by_the_direction_in_which_vectors_differ():
    # The first numbers say nothing, the second and third vary along (3, 4) with the colour.
    along = np.array([[1.0], [2.0], [3.0], [4.0]]) * [0.0, 3.0, 4.0]
    noise = np.array([[1.0], [0.0], [1.0], [0.0]]) * [0.1, 0.0, 0.0]
    vectors = {"colour": FEATURES["colour"], "text": (along + noise).astype(np.float32)}
    got = statistics.mutual_information(vectors, [COLOUR, Vector("text", max_values=3)])
    assert got[0, 1] == pytest.approx(np.log(2))  # as of the price, each of whose values is another
    same = vectors | {"text": np.ones((4, 3), np.float32)}
    got = statistics.mutual_information(same, [COLOUR, Vector("text", max_values=3)])
    assert got[0, 1] == pytest.approx(0.0, abs=1e-12)


def test_correlated_masks_take_the_seed_and_what_depends_on_it_most():
    information = np.array(
        [[0.1, 0.9, 0.2, 0.3], [0.9, 2.0, 0.1, 0.2], [0.2, 0.1, 5.0, 0.4], [0.3, 0.2, 0.4, 0.1]]
    )
    masks = statistics.correlated_masks(information)
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    np.testing.assert_array_equal(masks, np.array(expected, bool))
    np.testing.assert_array_equal(
        statistics.correlated_masks(np.ones((3, 3))), np.eye(3, dtype=bool)
    )
