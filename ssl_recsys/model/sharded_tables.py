"""Embedding tables split by rows over the replicas, for catalogues that one device cannot hold.

Of a table of R rows over N replicas, replica i holds and updates rows i S to (i + 1) S - 1, where
S = ceil(R / N); the last shard ends in rows that are never read. A look-up gathers the ids of all
replicas, each replica reads those of its own rows, zeros for the others, and the sum over the
replicas is what each id asked for: one term and zeros, so nothing is rounded. Shapes do not depend
on the ids. Row gradients reach all replicas as those of replicated tables do (`sum_gradients`), and
each applies those of its rows.

Checkpoints hold the table as a whole, written and read by slices, under the key that a replicated
table has: they can be restored on any number of replicas, sharded or not.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.training.saving.saveable_object import SaveableObject, SaveSpec

from ssl_recsys.model.replicas import ReplicaBatch

_VALUE = "VARIABLE_VALUE"  # the name of a variable's value in TensorFlow's checkpoints


@dataclasses.dataclass(frozen=True)
class Shard:
    """The rows that a replica holds, with those methods of `tf.Variable` that read and update rows.

    A variable whose values differ by replica has not all of them itself.
    """

    handle: tf.Tensor
    dtype: tf.DType
    shape: tf.TensorShape

    def sparse_read(self, indices: tf.Tensor, name: str | None = None) -> tf.Tensor:
        """`[n, columns]` the rows."""
        return tf.raw_ops.ResourceGather(
            resource=self.handle, indices=indices, dtype=self.dtype, name=name
        )

    def scatter_add(self, delta: tf.IndexedSlices) -> tf.Operation:
        """Adds to rows."""
        return tf.raw_ops.ResourceScatterAdd(
            resource=self.handle, indices=delta.indices, updates=delta.values
        )

    def scatter_sub(self, delta: tf.IndexedSlices) -> tf.Operation:
        """Subtracts from rows."""
        return tf.raw_ops.ResourceScatterSub(
            resource=self.handle, indices=delta.indices, updates=delta.values
        )

    def scatter_update(self, delta: tf.IndexedSlices) -> tf.Operation:
        """Writes rows."""
        return tf.raw_ops.ResourceScatterUpdate(
            resource=self.handle, indices=delta.indices, updates=delta.values
        )


class _Slice(NamedTuple):
    """The rows of a table that are in one shard.

    Attributes:
      variable: the shard.
      start: the first row.
      size: number of rows, 1 or more.
    """

    variable: tf.Variable
    start: int
    size: int


class ShardedTable(tf.__internal__.tracking.Trackable):
    """A table `[rows, columns]` whose rows are split over the replicas; made in a strategy's scope.

    All replicas must be of this process.

    Args:
      name: its name.
      shape: rows and columns.
      dtype: any float type.
    """

    def __init__(self, name: str, shape: tuple[int, int], dtype: str | tf.DType):
        self.name = name
        self.shape = tf.TensorShape(shape)
        self.dtype = tf.as_dtype(dtype)
        self._strategy = tf.distribute.get_strategy()
        self.shard_rows = -(-shape[0] // self._strategy.num_replicas_in_sync)
        self._variable = tf.Variable(
            lambda: tf.zeros([self.shard_rows, shape[1]], self.dtype),
            trainable=False,
            name=name,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.NONE,
        )
        # Where optimizers look for what their slots are stored by.
        self._unique_id = f"{name}_{id(self._variable)}"

    def ref(self) -> object:
        """As of `tf.Variable`: equal for the same table only, and hashable."""
        return self._variable.ref()

    def here(self) -> Shard:
        """The shard of the replica that this is called in."""
        return Shard(self._variable.handle, self.dtype, tf.TensorShape(self.shard_shape))

    @property
    def shards(self) -> tuple[tf.Variable, ...]:
        """The variables of all replicas, in their order."""
        return self._strategy.experimental_local_results(self._variable)

    @property
    def shard_shape(self) -> tuple[int, int]:
        """Rows and columns that each replica holds."""
        return self.shard_rows, self.shape[1]

    def first_row(self, replica: int | tf.Tensor) -> int | tf.Tensor:
        """The row of the table that a replica's shard begins with."""
        return replica * self.shard_rows

    def rows_here(self, rows: tf.Tensor, replica: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The rows of a replica's shard.

        Args:
          rows: `[n]` rows of the table.
          replica: the replica.

        Returns:
          `[n]` rows of the shard, 0 for those that it does not hold; `[n]` bool, whether it does.
        """
        local = rows - self.first_row(replica)
        held = (local >= 0) & (local < self.shard_rows)
        return tf.where(held, local, 0), held

    def gather(self, rows: tf.Tensor, width: int | None = None) -> tf.Tensor:
        """Reads rows for all replicas, which must call it together; outside of replicas, for one.

        Args:
          rows: `[...]` ids, of as many on all replicas.
          width: columns to read; None: all.

        Returns:
          `[..., width]` float32.
        """
        flat, width = tf.reshape(rows, [-1]), width or self.shape[1]
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            found = self._read_everywhere(flat, width)
        else:
            batch = ReplicaBatch.here(flat.shape[0])
            read = self._read(self.here(), batch.gather(flat), batch.replica, width)
            summed = context.all_reduce(tf.distribute.ReduceOp.SUM, read)
            found = tf.slice(summed, [batch.offset, 0], [batch.size, width])
        return tf.reshape(found, tf.concat([tf.shape(rows), [width]], axis=0))

    def _read(
        self, shard: Shard | tf.Variable, rows: tf.Tensor, replica: int | tf.Tensor, width: int
    ) -> tf.Tensor:
        """`[n, width]` float32, zeros for rows that the replica does not hold."""
        local, held = self.rows_here(rows, replica)
        found = tf.cast(shard.sparse_read(local)[:, :width], tf.float32)
        return tf.where(held[:, tf.newaxis], found, 0.0)

    def _read_everywhere(self, rows: tf.Tensor, width: int) -> tf.Tensor:
        """`_read` of all shards together, by whoever can reach all of them."""
        return tf.add_n(
            [self._read(shard, rows, replica, width) for replica, shard in enumerate(self.shards)]
        )

    def assign(self, values: tf.Tensor | npt.NDArray[np.generic]) -> None:
        """Writes the whole table, `[rows, columns]`; no replica holds more than its shard."""
        for part in self._slices():
            self._write(part, values[part.start : part.start + part.size])

    def fill(self, value: float) -> None:
        """Writes one value everywhere."""
        for part in self._slices():
            part.variable.assign(tf.fill(self.shard_shape, tf.cast(value, self.dtype)))

    def copy_to(self, variable: tf.Variable) -> None:
        """Writes the whole table to a variable of its shape and type, one shard after the other."""
        for part in self._slices():
            variable[part.start : part.start + part.size].assign(part.variable[: part.size])

    def numpy(self) -> npt.NDArray[np.generic]:
        """The whole table, `[rows, columns]`."""
        return np.concatenate([part.variable[: part.size].numpy() for part in self._slices()])

    def _slices(self) -> Iterator[_Slice]:
        for replica, shard in enumerate(self.shards):
            start = self.first_row(replica)
            size = min(self.shard_rows, self.shape[0] - start)
            if size > 0:
                yield _Slice(shard, start, size)

    def _write(self, part: _Slice, values: tf.Tensor) -> tf.Operation:
        values = tf.cast(values, self.dtype)
        return part.variable.assign(tf.pad(values, [[0, self.shard_rows - part.size], [0, 0]]))

    def _gather_saveables_for_checkpoint(self) -> dict[str, Callable[[str], list[_SavedSlice]]]:
        """What a checkpoint asks for; as TensorFlow's `ShardedVariable`, an object a slice."""
        return {_VALUE: lambda name: [_SavedSlice(self, part, name) for part in self._slices()]}


class _SavedSlice(SaveableObject):
    """A slice of a table in a checkpoint that holds the table as a whole."""

    def __init__(self, table: ShardedTable, part: _Slice, name: str):
        rows, columns = table.shape
        spec = SaveSpec(
            functools.partial(_on_the_host, part),
            # TensorFlow's notation: the whole shape, then start and size by dimension.
            f"{rows} {columns} {part.start},{part.size}:0,{columns}",
            name,
            dtype=table.dtype,
            device=part.variable.device,
        )
        super().__init__(part.variable, [spec], name)
        self._write = functools.partial(table._write, part)

    def restore(self, restored_tensors: list[tf.Tensor], restored_shapes: Any) -> tf.Operation:
        return self._write(restored_tensors[0])


def _on_the_host(part: _Slice) -> tf.Tensor:
    with tf.device("CPU:0"):  # which writes it
        return tf.identity(part.variable[: part.size])
