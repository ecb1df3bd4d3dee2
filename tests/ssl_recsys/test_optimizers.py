import numpy as np
import pytest
import tensorflow as tf

from ssl_recsys import config
from ssl_recsys.training.optimizers import make_optimizer


def updated(static_shapes: bool, ids: list[int], jit_compile: bool = False) -> np.ndarray:
    """A table after three steps whose gradient has rows that come more than once."""
    table = tf.Variable(tf.reshape(tf.range(12.0), [6, 2]))
    optimizer = make_optimizer(
        config.TrainingConfig(learning_rate=0.1), [table], [], static_shapes=static_shapes
    )

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
    optimizer = make_optimizer(config.TrainingConfig(learning_rate=0.5), [table], [])
    gradient = tf.IndexedSlices(
        values=tf.constant([[1.0], [4.0], [2.0]]), indices=[2, 0, 2], dense_shape=[3, 1]
    )
    optimizer.apply_gradients([(gradient, table)])
    # The accumulator starts at 0.1; row 2's gradients 1 and 2 are summed before they are squared.
    expected = [[1 - 0.5 * 4 / np.sqrt(0.1 + 16)], [2.0], [3 - 0.5 * 3 / np.sqrt(0.1 + 9)]]
    np.testing.assert_allclose(table, expected, rtol=1e-5)


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
    optimizer = make_optimizer(config.TrainingConfig(), [table], [])
    np.testing.assert_allclose(optimizer.get_slot(table, "accumulator"), tf.fill([2, 2], 0.1))


@pytest.mark.parametrize("name", ["adagrad", "adam"])
def test_tables_and_layers_have_their_own_rates(name: str) -> None:
    table, kernel = tf.Variable(tf.ones([2, 1])), tf.Variable(tf.ones([1]))
    training = config.TrainingConfig(
        learning_rate=0.5, dense_optimizer=name, dense_learning_rate=0.1
    )
    optimizer = make_optimizer(training, [table], [kernel])
    slots = len(optimizer.variables())
    rows = tf.IndexedSlices(tf.constant([[3.0]]), [1], [2, 1])
    optimizer.apply_gradients([(rows, table), (tf.constant([3.0]), kernel)])
    assert len(optimizer.variables()) == slots  # a checkpoint before the first step has them all
    assert int(optimizer.iterations) == 1
    step = 3 / np.sqrt(0.1 + 9)
    np.testing.assert_allclose(table, [[1.0], [1 - 0.5 * step]], rtol=1e-6)
    # Adam's first step is its rate, whatever the gradient.
    np.testing.assert_allclose(kernel, [1 - 0.1 * (step if name == "adagrad" else 1)], rtol=1e-5)


@pytest.mark.parametrize("static_shapes", [False, True])
@pytest.mark.parametrize("dense_optimizer", ["adagrad", "adam"])
def test_linear_schedule_ends_at_zero(static_shapes: bool, dense_optimizer: str) -> None:
    table, kernel = tf.Variable(tf.ones([2, 1])), tf.Variable(tf.ones([1]))
    training = config.TrainingConfig(
        learning_rate=0.5, learning_rate_schedule="linear", dense_optimizer=dense_optimizer
    )
    optimizer = make_optimizer(
        training, [table], [kernel], total_steps=4, static_shapes=static_shapes
    )
    steps = []
    for _ in range(5):
        before = table.numpy()[1, 0], kernel.numpy()[0]
        # Row 1 comes twice, so that the update is the one for rows that repeat.
        rows = tf.IndexedSlices(tf.constant([[1.0], [2.0]]), [1, 1], [2, 1])
        optimizer.apply_gradients([(rows, table), (tf.constant([3.0]), kernel)])
        steps.append((before[0] - table.numpy()[1, 0], before[1] - kernel.numpy()[0]))
    for step, (of_table, of_kernel) in enumerate(steps):
        rate = 0.5 * max(0, 1 - step / 4)
        adagrad = rate * 3 / np.sqrt(0.1 + 9 * (step + 1))
        assert of_table == pytest.approx(adagrad, abs=1e-5)
        assert of_kernel == pytest.approx(rate if dense_optimizer == "adam" else adagrad, abs=1e-4)
