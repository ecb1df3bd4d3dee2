"""Adagrad, with updates of embedding tables that go through memory in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from ssl_recsys.config import TrainingConfig


class OrderedAdagrad(tf.keras.optimizers.legacy.Adagrad):
    """Adagrad whose sparse updates are sorted by row before they are summed and applied.

    Exactly Adagrad (Duchi et al. 2011, as in TensorFlow): the rows' gradients are summed, then each
    row is updated once. In ascending order a large table's pages and cache lines are each visited
    once, which halves the time of an update on a CPU.

    Args:
      learning_rate: the rate, or its schedule.
      static_shapes: use operations only that XLA and TPUs can compile.
    """

    def __init__(self, learning_rate: Any, *, static_shapes: bool = False):
        super().__init__(learning_rate)
        self._static_shapes = static_shapes

    def build(self, variables: Sequence[tf.Variable]) -> None:
        """Makes the accumulators, so that a checkpoint holds them before the first step."""
        self._create_all_weights(variables)

    def _resource_apply_sparse_duplicate_indices(
        self, grad: tf.Tensor, handle: tf.Variable, indices: tf.Tensor, **kwargs: Any
    ) -> tf.Operation:
        if self._static_shapes:
            rows, place = tf.unique(indices)
            summed = tf.math.unsorted_segment_sum(grad, place, tf.shape(rows)[0])
            return self._update_rows(summed, handle, rows)
        order = tf.argsort(indices)
        rows, place = tf.unique(tf.gather(indices, order))
        summed = tf.math.segment_sum(tf.gather(grad, order), place)
        return self._resource_apply_sparse(summed, handle, rows, **kwargs)

    def _update_rows(self, grad: tf.Tensor, table: tf.Variable, rows: tf.Tensor) -> tf.Operation:
        """`_resource_apply_sparse` without its fused kernel, which XLA does not have."""
        accumulator = self.get_slot(table, "accumulator")
        accumulator.scatter_add(tf.IndexedSlices(tf.square(grad), rows))
        scale = tf.sqrt(tf.gather(accumulator, rows)) + self.epsilon
        rate = self._decayed_lr(tf.float32)
        return table.scatter_sub(tf.IndexedSlices(rate * grad / scale, rows))


class CompositeOptimizer(tfrs.experimental.optimizers.CompositeOptimizer):
    """TFRS's optimizer of several parts, whose slots exist before the first step.

    Args:
      parts: each optimizer and the variables that it updates.
    """

    def __init__(
        self, parts: Sequence[tuple[tf.keras.optimizers.legacy.Optimizer, Sequence[tf.Variable]]]
    ):
        super().__init__([(optimizer, lambda v=variables: v) for optimizer, variables in parts])
        self._parts = parts

    def build(self) -> None:
        """Makes the slots, so that a checkpoint holds them."""
        for optimizer, variables in self._parts:
            optimizer._create_all_weights(variables)  # what Keras calls at the first step


def make_optimizer(
    config: TrainingConfig,
    tables: Sequence[tf.Variable],
    others: Sequence[tf.Variable],
    *,
    total_steps: int = 1,
    static_shapes: bool = False,
) -> tf.keras.optimizers.legacy.Optimizer:
    """The configured optimizer, with its slots; made in the scope of the strategy.

    Args:
      config: optimizers and rates; by default one Adagrad for all, as in the paper.
      tables: the embedding tables, whose gradients are sparse.
      others: all other variables.
      total_steps: steps of the run, over which a schedule falls.
      static_shapes: use operations only that XLA and TPUs can compile.
    """
    dense_rate = config.dense_learning_rate or config.learning_rate
    adagrad = OrderedAdagrad(
        _scheduled(config.learning_rate, config, total_steps), static_shapes=static_shapes
    )
    if config.dense_optimizer == "adagrad" and dense_rate == config.learning_rate:
        adagrad.build([*tables, *others])
        return adagrad
    kinds = {
        "adagrad": tf.keras.optimizers.legacy.Adagrad,
        "adam": tf.keras.optimizers.legacy.Adam,
    }
    dense = kinds[config.dense_optimizer](_scheduled(dense_rate, config, total_steps))
    optimizer = CompositeOptimizer([(adagrad, tables), (dense, others)])
    optimizer.build()
    return optimizer


def _scheduled(
    rate: float, config: TrainingConfig, total_steps: int
) -> float | tf.keras.optimizers.schedules.LearningRateSchedule:
    if config.learning_rate_schedule == "constant":
        return rate
    return tf.keras.optimizers.schedules.PolynomialDecay(rate, total_steps, end_learning_rate=0.0)
