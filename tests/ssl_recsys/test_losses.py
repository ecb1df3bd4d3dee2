import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_recsys import losses

# Unit vectors of 2 dimensions: [3, 4] / 5 and the axes.
LEFT = tf.constant([[1.0, 0.0], [0.6, 0.8]])
RIGHT = tf.constant([[1.0, 0.0], [0.0, 1.0]])
DIAGONAL = tf.range(2)


def log_sum_exp(*values: float) -> float:
    return math.log(sum(math.exp(value) for value in values))


def test_contrastive_loss_by_hand() -> None:
    # similarities [[1, 0], [0.6, 0.8]], logits at tau 0.5 [[2, 0], [1.2, 1.6]]
    expected = (log_sum_exp(2, 0) - 2 + log_sum_exp(1.2, 1.6) - 1.6) / 2
    loss = losses.contrastive_loss(LEFT, RIGHT, positives=DIAGONAL, temperature=0.5)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_contrastive_loss_with_logq_by_hand() -> None:
    # logits [[2, 0], [1.2, 1.6]] minus log q = [log 0.5, log 0.1]
    q = [math.log(0.5), math.log(0.1)]
    expected = (
        log_sum_exp(2 - q[0], 0 - q[1])
        - (2 - q[0])
        + log_sum_exp(1.2 - q[0], 1.6 - q[1])
        - (1.6 - q[1])
    ) / 2
    loss = losses.contrastive_loss(
        LEFT,
        RIGHT,
        positives=DIAGONAL,
        temperature=0.5,
        log_sampling_probability=tf.constant(q, tf.float32),
    )
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_equal_sampling_probabilities_change_nothing() -> None:
    plain = losses.contrastive_loss(LEFT, RIGHT, positives=DIAGONAL, temperature=0.07)
    corrected = losses.contrastive_loss(
        LEFT,
        RIGHT,
        positives=DIAGONAL,
        temperature=0.07,
        log_sampling_probability=tf.constant([-3.0, -3.0]),
    )
    assert float(corrected) == pytest.approx(float(plain), rel=1e-5)


def test_accidental_hits_leave_only_other_items() -> None:
    # The item of candidates 0 and 2 is the same: example 0 competes with candidate 1 alone.
    right = tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    left = tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    loss = losses.contrastive_loss(
        left,
        right,
        positives=tf.range(3),
        temperature=1.0,
        right_ids=tf.constant([7, 8, 7]),
    )
    # examples 0, 2: logits [1, 0] with the positive first; example 1: [0, 1, 0]
    expected = (2 * (log_sum_exp(1, 0) - 1) + log_sum_exp(0, 1, 0) - 1) / 3
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_collapsed_model_has_the_loss_of_a_guess() -> None:
    same = tf.ones([8, 4]) / 2.0
    loss = losses.contrastive_loss(same, same, positives=tf.range(8), temperature=0.07)
    assert float(loss) == pytest.approx(math.log(8), rel=1e-6)


def test_orthogonal_identical_views_approach_zero() -> None:
    views = tf.eye(6)
    loss = losses.contrastive_loss(views, views, positives=tf.range(6), temperature=0.05)
    assert 0.0 <= float(loss) < 1e-7


def test_spread_out_by_hand() -> None:
    # <z0, z1> = 0.6: each of the two examples adds 0.36; the mean is 0.36
    loss = losses.squared_spread_out_loss(LEFT, LEFT, positives=DIAGONAL)
    assert float(loss) == pytest.approx(0.36, rel=1e-5)


def test_spread_out_of_a_collapsed_model_is_n_minus_1() -> None:
    same = tf.ones([5, 4]) / 2.0
    loss = losses.squared_spread_out_loss(same, same, positives=tf.range(5))
    assert float(loss) == pytest.approx(4.0, rel=1e-6)


def test_single_example_has_nothing_to_contrast() -> None:
    one = tf.constant([[1.0, 0.0]])
    assert float(losses.contrastive_loss(one, one, positives=[0], temperature=0.1)) == 0.0
    assert float(losses.squared_spread_out_loss(one, one, positives=[0])) == 0.0


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 6),
    shares=st.integers(1, 3),
    temperature=st.floats(0.05, 2.0),
    seed=st.integers(0, 1000),
)
def test_shares_of_replicas_add_up(batch: int, shares: int, temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = batch * shares
    left, right = (
        tf.math.l2_normalize(tf.constant(rng.normal(size=(size, 3)), tf.float32), axis=1)
        for _ in range(2)
    )
    whole = losses.contrastive_loss(left, right, positives=tf.range(size), temperature=temperature)
    parts = [
        losses.contrastive_loss(
            left[begin : begin + batch],
            right,
            positives=begin + tf.range(batch),
            temperature=temperature,
        )
        for begin in range(0, size, batch)
    ]
    assert float(whole) >= 0.0
    assert float(tf.add_n(parts)) == pytest.approx(float(whole), rel=1e-4, abs=1e-6)
