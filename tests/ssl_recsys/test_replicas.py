import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_recsys.model.replicas import ReplicaBatch


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(1, 9),
    replicas=st.integers(1, 4),
    width=st.integers(1, 5),
    rate=st.floats(0, 0.99),
    seed=st.integers(0, 2**31 - 1),
)
def test_replicas_cut_one_draw(
    size: int, replicas: int, width: int, rate: float, seed: int
) -> None:
    seeds = tf.constant([seed, 1])
    whole = ReplicaBatch(size * replicas, 1, 0).random_keep(seeds, width, rate)
    parts = [
        ReplicaBatch(size, replicas, replica).random_keep(seeds, width, rate)
        for replica in range(replicas)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_rate_is_the_share_of_dropped_entries(rate: float) -> None:
    keep = ReplicaBatch(20_000, 1, 0).random_keep(tf.constant([1, 2]), 5, rate).numpy()
    # 100,000 draws: the standard deviation is at most 0.0016
    assert 1.0 - keep.mean() == pytest.approx(rate, abs=0.007)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graph_and_xla_draw_what_eager_execution_draws(jit_compile: bool) -> None:
    batch = ReplicaBatch(33, 1, 0)

    def draw(seed: tf.Tensor) -> tf.Tensor:
        return batch.random_keep(seed, 7, 0.5)

    seed = tf.constant([4, 5])
    np.testing.assert_array_equal(tf.function(draw, jit_compile=jit_compile)(seed), draw(seed))


def test_positions_follow_the_replica() -> None:
    np.testing.assert_array_equal(ReplicaBatch(3, 4, 2).positions(), [6, 7, 8])
