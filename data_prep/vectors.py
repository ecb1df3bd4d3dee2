"""Vectors that other models made, in list columns of tables: reading, checks, size, length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_prep import tables
from data_prep.text_format import CSV, TSV
from ssl_recsys.errors import InputError
from ssl_recsys.raw.rules import read_number

# What is wrong with a row's vector, by the row.
Faults = dict[int, str]

MAX_SIZE = 1 << 16


def of_column(column: pa.Array, name: str, size: int) -> tuple[npt.NDArray[np.float32], Faults]:
    """The vectors of a column.

    Args:
      column: `[rows]` lists of numbers or of their texts; null and an empty list are missing.
      name: of the column, for what is wrong.
      size: numbers of a vector.

    Returns:
      `[rows, size]`, zeros for missing and for what is no vector.
    """
    vectors = np.zeros((len(column), size), np.float32)
    if not pa.types.is_list(column.type):
        texts = tables.texts(column).to_pylist()
        reason = f"{name} is no list of {size:,} numbers: "
        return vectors, {row: reason + tables.shown(text) for row, text in enumerate(texts) if text}
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0), np.int64)
    faults = {
        row: f"{name} has {lengths[row]:,} numbers, not {size:,} (null and NaN do not count)"
        for row in np.flatnonzero((lengths != size) & (lengths != 0)).tolist()
    }
    rows = np.flatnonzero(lengths == size)
    values = column.flatten().filter(pa.array(np.repeat(lengths == size, lengths)))
    found, wrong = checked(_numbers(values).reshape(len(rows), size))
    vectors[rows] = found
    for row, place in wrong.items():
        value = tables.shown(values[row * size + place].as_py())
        faults[int(rows[row])] = f"{name} holds {value}, which is no finite number of float32"
    return vectors, faults


def _numbers(values: pa.Array) -> npt.NDArray[np.floating]:
    """Numbers or their texts as floats, NaN for what is none."""
    if pa.types.is_string(values.type):
        try:
            values = pc.cast(values, pa.float64())
        except pa.ArrowInvalid:
            values = pa.array([read_number(text) for text in values.to_pylist()], pa.float64())
    return values.to_numpy(zero_copy_only=False)


def checked(
    vectors: npt.NDArray[np.floating],
) -> tuple[npt.NDArray[np.float32], dict[int, int]]:
    """Vectors as float32, zeros where one has a number that this cannot hold.

    Args:
      vectors: `[rows, size]`.

    Returns:
      `[rows, size]`, and the first such number's place by the row.
    """
    with np.errstate(over="ignore"):
        narrow = vectors.astype(np.float32)
    is_wrong = ~np.isfinite(narrow)
    rows = np.flatnonzero(is_wrong.any(axis=1))
    narrow[rows] = 0
    return narrow, {int(row): int(np.argmax(is_wrong[row])) for row in rows}


def of_length_1(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`[rows, size]` vectors divided by their lengths; zeros stay zeros."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    return (wide / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def check_formats(what: str, paths: Sequence[str], remedy: str) -> None:
    """Raises InputError, about `what` and with a remedy, for a table that cannot hold lists."""
    for path in paths:
        if tables.table_format(path) in (CSV, TSV):
            raise InputError(
                f"{what}: {path} is a table of texts, which has no lists of numbers; {remedy}"
            )


def size_of_column(what: str, name: str, paths: Sequence[str], text: tables.TextFormat) -> int:
    """The numbers of the first vector in a column.

    Args:
      what: holds the vectors, for errors.
      name: of the column.
      paths: of the tables.
      text: how text files are read.

    Raises:
      InputError: if there is no vector, or it is too long.
    """
    for path in paths:
        for piece in tables.pieces(path, text):
            column = tables.parse(piece, [name], [name]).columns[name]
            if not pa.types.is_list(column.type):
                if column.null_count < len(column):
                    raise InputError(
                        f"{what}: column {name!r} of {path} holds no lists of "
                        "numbers, as kind vector needs"
                    )
                continue
            lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
            if lengths.any():
                return _checked_size(what, int(lengths[np.argmax(lengths > 0)]))
    raise InputError(f"{what}: no row of {', '.join(paths)} has a vector in column {name!r}")


def _checked_size(what: str, size: int) -> int:
    if size > MAX_SIZE:
        raise InputError(f"{what}: a vector has at most {MAX_SIZE:,} numbers (got {size:,})")
    return size
