"""Where a replica's batch stands in the global batch.

Losses compare a replica's examples with all replicas' candidates, and random views are drawn
for the global batch and cut, so that the same global batch gives the same loss and the same
gradients on one replica and on many.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class ReplicaBatch:
    """One replica's part of the global batch.

    Attributes:
      size: number of examples on this replica.
      num_replicas: replicas in sync.
      replica: index of this replica, a Python int or a scalar tensor.
    """

    size: int
    num_replicas: int
    replica: int | tf.Tensor

    @classmethod
    def here(cls, size: int) -> ReplicaBatch:
        """The part of the replica whose context this is called in."""
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return cls(size, 1, 0)
        return cls(size, context.num_replicas_in_sync, context.replica_id_in_sync_group)

    @property
    def global_size(self) -> int:
        """Number of examples on all replicas."""
        return self.size * self.num_replicas

    @property
    def offset(self) -> int | tf.Tensor:
        """Index in the global batch of this replica's first example."""
        return self.replica * self.size

    def positions(self) -> tf.Tensor:
        """`[size]` indices in the global batch of this replica's examples."""
        return self.offset + tf.range(self.size)

    def gather(self, tensor: tf.Tensor) -> tf.Tensor:
        """`[size, ...]` on this replica to `[global_size, ...]`, differentiable."""
        if self.num_replicas == 1:
            return tensor
        context = tf.distribute.get_replica_context()
        gathered = context.all_gather(tensor, axis=0)
        return tf.ensure_shape(gathered, [self.global_size, *tensor.shape[1:]])

    def random_keep(self, seed: tf.Tensor, width: int, rate: float) -> tf.Tensor:
        """`[size, width]` bool, each False with probability `rate`.

        These are this replica's rows of one draw for the global batch.
        """
        bits = random_bits([self.global_size, width], seed)
        if self.num_replicas > 1:
            bits = tf.slice(bits, [self.offset, 0], [self.size, width])
        return bits >= tf.constant(int(rate * 2**32), tf.uint32)


def sum_gradients(
    gradients: Sequence[tf.Tensor | tf.IndexedSlices],
) -> list[tf.Tensor | tf.IndexedSlices]:
    """Sums the replicas' gradients, those of tables as rows.

    A strategy's own reduction makes a table's gradient dense on TPUs, so that every step would
    exchange and update whole tables. Here the replicas exchange the ids and row gradients of the
    global batch, whatever the tables' size. The optimizer sums rows that come more than once.

    Args:
      gradients: this replica's; `tf.IndexedSlices` of one length on all replicas for tables.

    Returns:
      The sums, of the same kinds, the same on all replicas.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return list(gradients)
    dense = [part for part in gradients if not isinstance(part, tf.IndexedSlices)]
    summed = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, dense) if dense else [])
    return [
        _gather_rows(context, part) if isinstance(part, tf.IndexedSlices) else next(summed)
        for part in gradients
    ]


def _gather_rows(context: tf.distribute.ReplicaContext, rows: tf.IndexedSlices) -> tf.IndexedSlices:
    values, indices = context.all_gather([rows.values, rows.indices], axis=0)
    return tf.IndexedSlices(values, indices, rows.dense_shape)


def needs_static_shapes(strategy: tf.distribute.Strategy) -> bool:
    """Whether shapes must not depend on the data.

    A TPU compiles its programs; replicas gather each other's sparse gradients, which fails now
    and then where these differ in length.
    """
    return strategy.num_replicas_in_sync > 1 or isinstance(strategy, tf.distribute.TPUStrategy)


def random_bits(shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Random uint32 of the shape, the same for the same seed however they are computed.

    Whole numbers by one named algorithm: plain execution and XLA turn the same bits into different
    floats, and choose different algorithms by default.
    """
    return tf.random.stateless_uniform(
        shape,
        seed=seed,
        minval=None,
        maxval=None,
        dtype=tf.uint32,
        alg=tf.random.Algorithm.PHILOX,
    )


def fold_in(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """A new `[2]` seed for each number, unrelated to the others'."""
    return tf.random.experimental.stateless_fold_in(seed, number, alg="philox")
