from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_recsys.training.optimizers import OrderedAdagrad, round_at_random


def updated(static_shapes: bool, ids: list[int], jit_compile: bool = False) -> np.ndarray:
    """A table after three steps whose gradient has rows that come more than once."""
    table = tf.Variable(tf.reshape(tf.range(12.0), [6, 2]))
    optimizer = OrderedAdagrad(0.1, static_shapes=static_shapes)
    optimizer.build([table])

    @tf.function(jit_compile=jit_compile)
    def step() -> None:
        with tf.GradientTape() as tape:
            scale = tf.range(1.0, len(ids) + 1.0)[:, tf.newaxis]
            loss = tf.reduce_sum(scale * tf.gather(table, ids))
        optimizer.apply_gradients([(tape.gradient(loss, table), table)])

    for _ in range(3):
        step()
    return table.numpy()


def test_one_step_by_hand() -> None:
    table = tf.Variable([[1.0], [2.0], [3.0]])
    optimizer = OrderedAdagrad(0.5)
    gradient = tf.IndexedSlices(
        values=tf.constant([[1.0], [4.0], [2.0]]), indices=[2, 0, 2], dense_shape=[3, 1]
    )
    optimizer.apply_gradients([(gradient, table)])
    # The accumulator starts at 0.1; row 2's gradients 1 and 2 are summed before they are squared.
    expected = [[1 - 0.5 * 4 / np.sqrt(0.1 + 16)], [2.0], [3 - 0.5 * 3 / np.sqrt(0.1 + 9)]]
    np.testing.assert_allclose(table, expected, rtol=1e-5)


@pytest.mark.parametrize("static_shapes", [False, True])
def test_row_wise_step_by_hand(static_shapes: bool) -> None:
    table = tf.Variable([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    optimizer = OrderedAdagrad(0.5, static_shapes=static_shapes, row_wise=[table])
    gradient = tf.IndexedSlices(
        values=tf.constant([[1.0, 3.0], [4.0, 0.0], [2.0, 1.0]]),
        indices=[2, 0, 2],
        dense_shape=[3, 2],
    )
    optimizer.apply_gradients([(gradient, table)])
    # Row 2's gradients sum to (3, 4): a mean square of 12.5; row 0's mean square is 8.
    root_0, root_2 = np.sqrt(0.1 + 8), np.sqrt(0.1 + 12.5)
    expected = [
        [1 - 0.5 * 4 / root_0, 1.0],
        [2.0, 2.0],
        [3 - 0.5 * 3 / root_2, 3 - 0.5 * 4 / root_2],
    ]
    np.testing.assert_allclose(table, expected, rtol=1e-5)
    accumulator = optimizer.get_slot(table, "accumulator")
    np.testing.assert_allclose(accumulator, [[8.1], [0.1], [12.6]], rtol=1e-6)


@pytest.mark.parametrize("ids", [[5, 0, 5, 3, 0, 5], [2, 2, 2], [4]])
def test_ordered_updates_equal_keras_own(ids: list[int]) -> None:
    ordered, plain = updated(False, ids), updated(True, ids)
    np.testing.assert_allclose(ordered, plain, rtol=1e-6)
    untouched = [row for row in range(6) if row not in ids]
    np.testing.assert_array_equal(ordered[untouched], np.arange(12.0).reshape(6, 2)[untouched])


def test_static_form_compiles_under_xla() -> None:
    ids = [5, 0, 5, 3]
    np.testing.assert_allclose(updated(True, ids, jit_compile=True), updated(False, ids), rtol=1e-5)


def test_accumulators_are_there_before_the_first_step() -> None:
    table = tf.Variable(tf.zeros([2, 2]))
    optimizer = OrderedAdagrad(0.01)
    optimizer.build([table])
    np.testing.assert_allclose(optimizer.get_slot(table, "accumulator"), tf.fill([2, 2], 0.1))


def test_rounding_at_random_is_right_on_average() -> None:
    # Between the neighbouring bfloat16 numbers 1 and 1 + 2^-7; -3 and 0 are bfloat16 numbers.
    values = tf.constant([1 + 0.25 * 2**-7, -(1 + 0.75 * 2**-7), -3.0, 0.0])
    bits = tf.constant(np.arange(1 << 16, dtype=np.uint32)[:, np.newaxis] << 16)
    rounded = tf.cast(round_at_random(tf.tile(values[tf.newaxis], [1 << 16, 1]), bits), tf.float32)
    np.testing.assert_array_equal(np.unique(rounded[:, 0]), [1, 1 + 2**-7])
    np.testing.assert_allclose(tf.reduce_mean(rounded, axis=0), values, rtol=1e-7)
    np.testing.assert_array_equal(rounded[:, 2:], tf.tile(values[tf.newaxis, 2:], [1 << 16, 1]))


def rounded_table(
    *, static_shapes: bool, row_wise: bool, seed: int = 0, jit_compile: bool = False
) -> Any:
    """A bfloat16 table after steps that are each smaller than its numbers' distances."""
    table = tf.Variable(tf.ones([5, 64], tf.bfloat16))
    optimizer = OrderedAdagrad(
        0.001,
        static_shapes=static_shapes,
        row_wise=[table] if row_wise else (),
        rounding_seed=seed,
    )
    optimizer.build([table])
    assert optimizer.get_slot(table, "accumulator").dtype == tf.float32
    gradient = tf.IndexedSlices(tf.ones([6, 64]), tf.constant([4, 1, 4, 0, 4, 1]), [5, 64])

    @tf.function(jit_compile=jit_compile)
    def step() -> None:
        optimizer.apply_gradients([(gradient, table)])

    for _ in range(20):
        step()
    return tf.cast(table, tf.float32).numpy()


@pytest.mark.parametrize("row_wise", [False, True])
def test_bfloat16_tables_move_by_small_steps(row_wise: bool) -> None:
    found = rounded_table(static_shapes=False, row_wise=row_wise)
    plain, accumulator = np.ones(5), np.full(5, 0.1)
    for _ in range(20):
        gradient = np.array([1, 2, 0, 0, 3])
        accumulator += gradient**2
        plain -= 0.001 * gradient / np.sqrt(accumulator)
    # A column of a row is off by up to 2^-8 in each rounding; 64 columns are averaged.
    np.testing.assert_allclose(found.mean(axis=1), plain, atol=4 * 2**-8 / np.sqrt(64))
    np.testing.assert_array_equal(found[2:4], 1)
    assert (found[4] < 1).mean() > 0.8


def test_bfloat16_updates_are_the_same_in_both_forms_and_by_the_seed() -> None:
    first = rounded_table(static_shapes=False, row_wise=True)
    np.testing.assert_array_equal(rounded_table(static_shapes=True, row_wise=True), first)
    assert (rounded_table(static_shapes=False, row_wise=True, seed=1) != first).any()


@pytest.mark.parametrize("row_wise", [False, True])
def test_bfloat16_updates_are_the_same_under_xla(row_wise: bool) -> None:
    compiled = rounded_table(static_shapes=True, row_wise=row_wise, jit_compile=True)
    plain = rounded_table(static_shapes=True, row_wise=row_wise)
    # A sum in another order may fall on the other side of a random threshold.
    assert (compiled == plain).mean() > 0.98
    np.testing.assert_allclose(compiled, plain, atol=2**-7)
