import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_recsys.model.bags import PaddedBags, RaggedBags

TABLE = tf.Variable(np.random.default_rng(0).normal(size=(7, 3)), dtype=tf.float32)


def plain_pool(ids: np.ndarray, keep: np.ndarray) -> np.ndarray:
    rows = []
    for bag, kept in zip(ids, keep, strict=True):
        values = [TABLE.numpy()[value] for value in bag[kept] if value]
        rows.append(np.mean(values, axis=0) if values else TABLE.numpy()[0])
    return np.array(rows)


@st.composite
def id_batches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, int]:
    size, width = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    ids = draw(
        st.lists(
            st.lists(st.integers(0, 6), min_size=width, max_size=width),
            min_size=size,
            max_size=size,
        )
    )
    keep = draw(
        st.lists(
            st.lists(st.booleans(), min_size=width, max_size=width), min_size=size, max_size=size
        )
    )
    cuts = sorted(draw(st.sets(st.integers(1, size - 1)))) if size > 1 else []
    return np.array(ids, np.int32), np.array(keep), cuts


@settings(max_examples=40, deadline=None)
@given(id_batches())
def test_both_forms_pool_like_the_plain_one(example: tuple) -> None:
    ids, keep, cuts = example
    sizes = np.diff([0, *cuts, len(ids)]).tolist()
    for bags_class in (PaddedBags, RaggedBags):
        bags, missing = bags_class.look_up(TABLE, tf.constant(ids))
        np.testing.assert_array_equal(missing, TABLE[:1])
        np.testing.assert_allclose(
            bags.pool(missing), plain_pool(ids, np.ones_like(keep)), rtol=1e-5, atol=1e-6
        )
        cut = zip(bags.split(sizes), np.split(keep, cuts), strict=True)
        pooled = [part.pool(missing, keep=tf.constant(kept)) for part, kept in cut]
        np.testing.assert_allclose(
            tf.concat(pooled, axis=0), plain_pool(ids, keep), rtol=1e-5, atol=1e-6
        )


def test_sqrtn_divides_by_the_root_of_the_number_of_values() -> None:
    ids = tf.constant([[1, 2, 0, 3], [4, 0, 0, 0], [0, 0, 0, 0], [5, 5, 6, 6]])
    table = TABLE.numpy()
    expected = [
        (table[1] + table[2] + table[3]) / np.sqrt(3),
        table[4],
        table[0],
        (2 * table[5] + 2 * table[6]) / 2,
    ]
    keep = tf.constant([[True, False, True, True]] * 4)
    expected_kept = [(table[1] + table[3]) / np.sqrt(2), table[4], table[0]]
    for bags_class in (PaddedBags, RaggedBags):
        bags, missing = bags_class.look_up(TABLE, ids, "sqrtn")
        np.testing.assert_allclose(bags.pool(missing), expected, rtol=1e-5)
        np.testing.assert_allclose(bags.pool(missing, keep=keep)[:3], expected_kept, rtol=1e-5)
        halves = [half.pool(missing) for half in bags.split([2, 2])]
        np.testing.assert_allclose(tf.concat(halves, axis=0), expected, rtol=1e-5)


def test_both_forms_have_the_same_gradient() -> None:
    ids = tf.constant([[1, 2, 0], [0, 0, 0], [2, 2, 3]])
    gradients = []
    for bags_class in (PaddedBags, RaggedBags):
        with tf.GradientTape() as tape:
            bags, missing = bags_class.look_up(TABLE, ids)
            loss = tf.reduce_sum(tf.square(bags.pool(missing)))
        gradients.append(tf.convert_to_tensor(tape.gradient(loss, TABLE)))
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-5)
    assert np.any(gradients[0][0])  # the empty bag trains the missing value's embedding
    assert not np.any(gradients[0][4:])


def test_places_weigh_by_hand() -> None:
    # The latest value weighs 1, the next 1/2, then 1/4; a hole keeps its place.
    ids = tf.constant([[1, 2, 3], [0, 0, 0], [4, 0, 5]])
    places = tf.constant([1.0, 0.5, 0.25, 0.125])  # a batch may be narrower
    keep = tf.constant([[False, True, True], [True, True, True], [True, True, False]])
    table = TABLE.numpy()
    sums = [table[1] + table[2] / 2 + table[3] / 4, table[0], table[4] + table[5] / 4]
    kept_sums = [table[2] / 2 + table[3] / 4, table[0], table[4]]
    divisors = {
        "mean": ([1.75, 1, 1.25], [0.75, 1, 1]),
        "sqrtn": (np.sqrt([1 + 1 / 4 + 1 / 16, 1, 1 + 1 / 16]), np.sqrt([1 / 4 + 1 / 16, 1, 1])),
    }
    twice = tf.Variable(np.log(np.full(7, 2.0)), dtype=tf.float32)  # which scales nothing in a mean
    for bags_class in (PaddedBags, RaggedBags):
        for pooling, (whole, kept) in divisors.items():
            for log_weights in (None, twice):
                bags, missing = bags_class.look_up(TABLE, ids, pooling, log_weights, places)
                expected = np.array(sums) / np.array(whole)[:, np.newaxis]
                np.testing.assert_allclose(bags.pool(missing), expected, rtol=1e-5)
                parts = [part.pool(missing) for part in bags.split([1, 1, 1])]
                np.testing.assert_allclose(tf.concat(parts, axis=0), expected, rtol=1e-5)
                expected = np.array(kept_sums) / np.array(kept)[:, np.newaxis]
                np.testing.assert_allclose(bags.pool(missing, keep=keep), expected, rtol=1e-5)


def test_weighted_bags_by_hand() -> None:
    ids = tf.constant([[1, 2, 0], [0, 0, 0], [2, 2, 3]])
    log_weights = tf.Variable(np.log([9.0, 1.0, 3.0, 2.0, 1.0, 1.0, 1.0]), dtype=tf.float32)
    keep = tf.constant([[False, True, True], [True, True, True], [True, False, True]])
    table = TABLE.numpy()
    sums = [table[1] + 3 * table[2], table[0], 6 * table[2] + 2 * table[3]]
    kept_sums = [3 * table[2], table[0], 3 * table[2] + 2 * table[3]]
    # Divided by the sum of the weights, or by the root of the sum of their squares.
    divisors = {
        "mean": ([4, 1, 8], [3, 1, 5]),
        "sqrtn": ([np.sqrt(1 + 9), 1, np.sqrt(9 + 9 + 4)], [3, 1, np.sqrt(9 + 4)]),
    }
    for bags_class in (PaddedBags, RaggedBags):
        for pooling, (whole, kept) in divisors.items():
            bags, missing = bags_class.look_up(TABLE, ids, pooling, log_weights)
            expected = np.array(sums) / np.array(whole)[:, np.newaxis]
            np.testing.assert_allclose(bags.pool(missing), expected, rtol=1e-5)
            parts = [part.pool(missing) for part in bags.split([1, 1, 1])]
            np.testing.assert_allclose(tf.concat(parts, axis=0), expected, rtol=1e-5)
            expected = np.array(kept_sums) / np.array(kept)[:, np.newaxis]
            np.testing.assert_allclose(bags.pool(missing, keep=keep), expected, rtol=1e-5)
