"""Rows of embedding tables: reading them, and the loss's gradient with respect to those read.

A step needs the gradient of the rows that it looked up, never of a table. It is taken of the rows
as they were read, in float32, so that a table kept in bfloat16 loses nothing before the optimizer
rounds the updated row.
"""

from __future__ import annotations

import contextvars
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

from ssl_recsys.model.sharded_tables import ShardedTable

Table: TypeAlias = tf.Variable | ShardedTable


def gather_rows(table: Table, rows: tf.Tensor, width: int | None) -> tf.Tensor:
    """Reads rows of a table; within `RowGradients` they are recorded.

    Args:
      table: `[vocab_size, columns]` of any float type.
      rows: `[...]` ids.
      width: columns that count, the ones behind being padding; None: all.

    Returns:
      `[..., width]` float32.
    """
    if isinstance(table, ShardedTable):
        found = table.gather(rows, width)
    else:
        found = tf.cast(tf.gather(table, rows), tf.float32)
        if width not in (None, table.shape[1]):
            found = found[..., :width]
    recorder = _recorder.get()
    return found if recorder is None else recorder.record(table, rows, found)


class _Read(NamedTuple):
    table: Table
    rows: tf.Tensor
    found: tf.Tensor


class RowGradients:
    """Records the rows that are read within the block, in the thread that it was entered in.

    Args:
      tape: the active gradient tape.
    """

    def __init__(self, tape: tf.GradientTape):
        self._tape = tape
        self._reads: list[_Read] = []

    def __enter__(self) -> RowGradients:
        self._token = _recorder.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _recorder.reset(self._token)

    def record(self, table: Table, rows: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        """Watches `found`, the `rows` of `table`, and returns it."""
        self._tape.watch(found)
        self._reads.append(_Read(table, rows, found))
        return found

    @property
    def sources(self) -> list[tf.Tensor]:
        """What to take the gradient with respect to, for `with_tables`."""
        return [read.found for read in self._reads]

    def with_tables(
        self, gradients: Sequence[tf.Tensor | None]
    ) -> list[tuple[tf.IndexedSlices, Table]]:
        """The gradients of `sources` as row gradients, one of each table; unused rows left out."""
        tables = {read.table.ref(): read.table for read in self._reads}
        of_table: dict[Any, list[tf.IndexedSlices]] = {}
        for read, gradient in zip(self._reads, gradients, strict=True):
            if gradient is not None:
                of_table.setdefault(read.table.ref(), []).append(_slices(read, gradient))
        return [(_joined(parts), tables[ref]) for ref, parts in of_table.items()]


def _slices(read: _Read, gradient: tf.Tensor) -> tf.IndexedSlices:
    columns = read.table.shape[1]
    values = tf.reshape(gradient, [-1, gradient.shape[-1]])
    if values.shape[1] != columns:
        values = tf.pad(values, [[0, 0], [0, columns - values.shape[1]]])
    return tf.IndexedSlices(
        values, tf.reshape(read.rows, [-1]), tf.constant(read.table.shape.as_list())
    )


def _joined(parts: Sequence[tf.IndexedSlices]) -> tf.IndexedSlices:
    """Row gradients of one table that several features read."""
    if len(parts) == 1:
        return parts[0]
    return tf.IndexedSlices(
        tf.concat([part.values for part in parts], axis=0),
        tf.concat([part.indices for part in parts], axis=0),
        parts[0].dense_shape,
    )


_recorder: contextvars.ContextVar[RowGradients | None] = contextvars.ContextVar(
    "recorder", default=None
)
