"""Dividing columns of digests into shards: the unit in which Beam groups and joins them.

A shard is a range of digests, so that the shards in order hold all digests in order. Beam's cost
per element would be more than that of the work itself, so elements are columns of many rows:
NamedTuples of NumPy arrays and lists of one length; an optional column is None in all of them or
in none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

import numpy as np

from data_prep.spill import get

# (shard, columns), or (shard, columns by the name of their collection) once grouped.
Keyed = tuple[int, Any]
Columns = TypeVar("Columns", bound=tuple[Any, ...])  # a NamedTuple of columns


def range_index(digests: np.ndarray, count: int) -> np.ndarray:
    """Which of `count` equal ranges of [0, 2^64) each uint64 digest lies in, int64."""
    high = digests >> np.uint64(32)
    return ((high * np.uint64(count)) >> np.uint64(32)).astype(np.int64)


def group_indices(groups: np.ndarray, count: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (group, positions in it) for each of `count` groups that is not empty."""
    if count == 1:
        if len(groups):
            yield 0, np.arange(len(groups))
        return
    order = np.argsort(groups, kind="stable")
    bounds = np.searchsorted(groups[order], np.arange(count + 1))
    for group in range(count):
        if bounds[group] < bounds[group + 1]:
            yield group, order[bounds[group] : bounds[group + 1]]


def take(columns: Columns, where: np.ndarray) -> Columns:
    """The rows of columns at the positions `where`, or those that it marks."""
    taken: list[Any] = []
    for column in columns:
        if column is None:
            taken.append(None)
        elif isinstance(column, np.ndarray):
            taken.append(column[where])
        else:
            rows = (np.flatnonzero(where) if where.dtype == bool else where).tolist()
            taken.append([column[row] for row in rows])
    return cast(Any, columns)._make(taken)


def by_shard(digests: np.ndarray, count: int, columns: Columns) -> Iterator[tuple[int, Columns]]:
    """Yields (shard, the rows of `columns` whose digest lies in it)."""
    for shard, where in group_indices(range_index(digests, count), count):
        yield shard, take(columns, where)


def first_rows(counts: Mapping[int, int], num_shards: int) -> np.ndarray:
    """Where rows numbered shard after shard begin.

    Args:
      counts: rows of each shard; shards without rows may be missing.
      num_shards: how many shards there are.

    Returns:
      `[num_shards + 1]` int64: the row of each shard's first item, and the number of items.
    """
    sizes = [counts.get(shard, 0) for shard in range(num_shards)]
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def concatenate(kind: type[Columns], batches: Iterable[Any]) -> Columns:
    """Joins batches of columns, or what a `Spill` gave for them.

    Where there is none, all columns are empty and uint64, and optional ones, which have a default,
    not there.
    """
    batches = [get(batch) for batch in batches]
    if not batches:
        required = len(cast(Any, kind)._fields) - len(cast(Any, kind)._field_defaults)
        return cast(Any, kind)(*(np.zeros(0, np.uint64) for _ in range(required)))
    return cast(Any, kind)(*(_join(parts) for parts in zip(*batches, strict=True)))


def _join(parts: tuple[Any, ...]) -> Any:
    if parts[0] is None:
        return None
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [value for part in parts for value in part]


def find(values: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Looks `values` up in a sorted `table` without repetitions.

    Returns:
      Each value's position (0 where it is missing), and whether it was found.
    """
    if not len(table):
        return np.zeros(len(values), np.int64), np.zeros(len(values), bool)
    position = np.searchsorted(table, values)
    position[position == len(table)] = 0
    return position, table[position] == values
