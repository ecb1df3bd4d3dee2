"""Adagrad, with updates of embedding tables that go through memory in order.

Tables kept in bfloat16 are read as float32, updated, and rounded up or down at random, with
probabilities that make the rounded value right on average: an update far smaller than the distance
of two neighbouring bfloat16 numbers then still moves a row in the long run (Gupta et al. 2015).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from ssl_recsys.model.replicas import ReplicaBatch, fold_in, random_bits
from ssl_recsys.model.sharded_tables import Shard, ShardedTable
from ssl_recsys.model.tables import Table

# Rows of random bits for a step; a table's row r takes number r modulo this many.
_ROUNDING_ROWS = 4096
_ROUNDING_STREAM = 1
_SLOT = "accumulator"

# What an update reads and writes: a variable, or the part of one that this replica holds.
_Rows: TypeAlias = tf.Variable | Shard


class OrderedAdagrad(tf.keras.optimizers.legacy.Adagrad):
    """Adagrad whose sparse updates are sorted by row before they are summed and applied.

    Exactly Adagrad (Duchi et al. 2011, as in TensorFlow): the rows' gradients are summed, then each
    row is updated once. In ascending order a large table's pages and cache lines are each visited
    once, which halves the time of an update on a CPU.

    Args:
      learning_rate: the rate.
      static_shapes: use operations only that XLA and TPUs can compile.
      row_wise: tables with one accumulator for each row, of the mean of its squared gradients, as
        in FBGEMM's EXACT_ROWWISE_ADAGRAD; it halves the memory of a table in training.
      table_width: columns of these tables that count, the others being padding; None: all.
      rounding_seed: of the random rounding of bfloat16 tables. Together with the step, the row and
        the column it decides the bits, so that all replicas and a resumed run round alike.
    """

    def __init__(
        self,
        learning_rate: float,
        *,
        static_shapes: bool = False,
        row_wise: Sequence[Table] = (),
        table_width: int | None = None,
        rounding_seed: int = 0,
    ):
        super().__init__(learning_rate)
        self._static_shapes = static_shapes
        self._table_width = table_width
        self._rounding_seed = rounding_seed
        self._row_wise = {variable.ref() for variable in row_wise}

    def build(self, variables: Sequence[Table]) -> None:
        """Makes the accumulators, so that a checkpoint holds them before the first step."""
        self._create_all_weights([v for v in variables if not isinstance(v, ShardedTable)])
        for table in variables:
            if isinstance(table, ShardedTable):
                self._add_sharded_slot(table)

    def _add_sharded_slot(self, table: ShardedTable) -> None:
        """Accumulators split as their table is, where Keras and checkpoints look for them."""
        columns = 1 if table.ref() in self._row_wise else table.shape[1]
        slot = ShardedTable(f"{table.name}/{_SLOT}", (table.shape[0], columns), tf.float32)
        slot.fill(self._initial_accumulator_value)
        self._slots[table._unique_id] = {_SLOT: slot}
        if _SLOT not in self._slot_names:
            self._slot_names.append(_SLOT)

    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[tf.Tensor | tf.IndexedSlices, Table]], **kwargs: Any
    ) -> tf.Operation:
        """As Keras' own; gradients of sharded tables are the same on all replicas."""
        others = []
        for gradient, variable in grads_and_vars:
            if isinstance(variable, ShardedTable):
                self._update_shard(gradient, variable)
            else:
                others.append((gradient, variable))
        if not others:  # no dense layers
            return self.iterations.assign_add(1)
        return super().apply_gradients(others, **kwargs)

    def _update_shard(self, gradient: tf.IndexedSlices, table: ShardedTable) -> None:
        """Updates the rows that this replica holds.

        Gradients of other replicas' rows become zeros for its first row, which updates nothing.
        """
        replica = ReplicaBatch.here(1).replica
        rows, held = table.rows_here(gradient.indices, replica)
        summed, rows, last = _sum_rows(tf.where(held[:, tf.newaxis], gradient.values, 0.0), rows)
        shard, accumulator = table.here(), self.get_slot(table, _SLOT).here()
        if table.dtype == tf.bfloat16:
            first = table.first_row(replica)
            self._update_rounded(summed, shard, accumulator, rows, last, first)
        else:
            self._update_rows(summed, shard, accumulator, rows)

    def _create_slots(self, var_list: Sequence[tf.Variable]) -> None:
        for variable in var_list:
            if variable.dtype == tf.bfloat16:
                # Where Keras looks for the type of accumulators, which is not that of the table.
                variable.true_dtype = tf.float32
        row_wise = [variable for variable in var_list if variable.ref() in self._row_wise]
        super()._create_slots([v for v in var_list if v.ref() not in self._row_wise])
        initial = tf.constant_initializer(self._initial_accumulator_value)
        for variable in row_wise:
            self.add_slot(variable, _SLOT, initial, shape=[variable.shape[0], 1])

    def _resource_apply_sparse_duplicate_indices(
        self, grad: tf.Tensor, handle: tf.Variable, indices: tf.Tensor, **kwargs: Any
    ) -> tf.Operation:
        if self._static_shapes:
            summed, rows, last = _sum_rows(grad, indices)
        else:
            order = tf.argsort(indices)
            rows, place = tf.unique(tf.gather(indices, order))
            summed, last = tf.math.segment_sum(tf.gather(grad, order), place), None
        accumulator = self.get_slot(handle, _SLOT)
        if handle.dtype == tf.bfloat16:
            return self._update_rounded(summed, handle, accumulator, rows, last)
        if accumulator.shape == handle.shape and not self._static_shapes:
            return self._resource_apply_sparse(summed, handle, rows, **kwargs)
        return self._update_rows(summed, handle, accumulator, rows)

    def _update_rows(
        self, grad: tf.Tensor, table: _Rows, accumulator: _Rows, rows: tf.Tensor
    ) -> tf.Operation:
        """`_resource_apply_sparse` without its fused kernel, which XLA does not have."""
        squares = self._squares(grad, table, accumulator)
        accumulator.scatter_add(tf.IndexedSlices(squares, rows))
        scale = tf.sqrt(tf.gather(accumulator, rows)) + self.epsilon
        rate = self._decayed_lr(tf.float32)
        return table.scatter_sub(tf.IndexedSlices(rate * grad / scale, rows))

    def _squares(self, grad: tf.Tensor, table: _Rows, accumulator: _Rows) -> tf.Tensor:
        """What a step adds to the accumulators of the rows."""
        squares = tf.square(grad)
        if accumulator.shape == table.shape:
            return squares
        return tf.reduce_mean(squares[:, : self._table_width], axis=1, keepdims=True)

    def _update_rounded(
        self,
        grad: tf.Tensor,
        table: _Rows,
        accumulator: _Rows,
        rows: tf.Tensor,
        last: tf.Tensor | None,
        first_row: int | tf.Tensor = 0,
    ) -> tf.Operation:
        """`_update_rows` of a bfloat16 table, or of the shard of one that begins with `first_row`.

        The rows' new values are written, not added to: the difference of two bfloat16 numbers may
        be none. So slots beyond `last`, whose row is that of `last`, get its value, too.
        """
        if last is not None:
            grad = tf.gather(grad, tf.minimum(tf.range(tf.shape(grad)[0]), last))
        squares = self._squares(grad, table, accumulator)
        total = tf.gather(accumulator, rows) + squares
        accumulator.scatter_update(tf.IndexedSlices(total, rows))
        before = tf.cast(tf.gather(table, rows), tf.float32)
        after = before - self._decayed_lr(tf.float32) * grad / (tf.sqrt(total) + self.epsilon)
        seed = fold_in(
            tf.constant([self._rounding_seed, _ROUNDING_STREAM]), tf.cast(self.iterations, tf.int32)
        )
        bits = random_bits([_ROUNDING_ROWS, table.shape[1]], seed)
        rounded = round_at_random(after, tf.gather(bits, (first_row + rows) % _ROUNDING_ROWS))
        return table.scatter_update(tf.IndexedSlices(rounded, rows))


def round_at_random(values: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Rounds to one of the two neighbouring bfloat16 numbers, the nearer one more often.

    A bfloat16 number is a float32 without its last 16 bits; random bits are added to those, and
    what carries over rounds up. Over uniform bits the mean is `values`.

    Args:
      values: `[...]` finite float32.
      bits: `[...]` uint32, of which the upper 16 count.

    Returns:
      `[...]` bfloat16; values that bfloat16 has stay as they are.
    """
    pattern = tf.bitcast(values, tf.uint32) + tf.bitwise.right_shift(bits, np.uint32(16))
    upper = tf.bitwise.bitwise_and(pattern, np.uint32(0xFFFF0000))
    return tf.cast(tf.bitcast(upper, tf.float32), tf.bfloat16)  # exact


def _sum_rows(grad: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Sums the gradients of equal rows, in shapes that do not depend on the indices.

    `tf.unique` has a result of dynamic size, and XLA compiles it to a loop over the indices, one
    after the other. Here they are sorted, and the slots that the sums leave over hold zeros for
    the largest row, which updates nothing.

    Args:
      grad: `[n, dim]` row gradients.
      indices: `[n]` their rows, in any order and any number of times.

    Returns:
      `[n, dim]` the sums, then zeros; `[n]` their rows, ascending; the place of the last sum.
    """
    indices = tf.convert_to_tensor(indices)
    size = indices.shape[0] or tf.size(indices)
    negated, order = tf.math.top_k(-indices, k=size)  # a stable sort
    ascending = -negated
    starts = tf.not_equal(ascending[1:], ascending[:-1])
    place = tf.concat([[0], tf.cumsum(tf.cast(starts, tf.int32))], axis=0)
    rows = tf.maximum(tf.math.unsorted_segment_max(ascending, place, size), 0)
    rows = tf.where(tf.range(size) <= place[-1], rows, ascending[-1])
    summed = tf.math.unsorted_segment_sum(
        grad, tf.scatter_nd(order[:, tf.newaxis], place, [size]), size
    )
    return summed, rows, place[-1]
