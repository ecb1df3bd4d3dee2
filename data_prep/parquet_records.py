"""Parquet files: their columns, and the rows of some row groups."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import BinaryIO, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet

from data_prep import arrow_columns
from data_prep.input_streams import is_compressed, open_binary, read_chunk
from ssl_recsys.errors import InputError
from ssl_recsys.options import repetitions

_MAGIC = b"PAR1"
_CHUNK_BYTES = 1 << 20
# A file that is compressed as a whole is unpacked to a temporary file of this size at most.
_MAX_UNPACKED = 4 << 30
_PIECE_ROWS = 1 << 20
_PIECE_BYTES = 128 << 20  # of rows as wide as vectors are
_BATCH_ROWS = 1 << 16
# What Arrow raises for a damaged file.
_UNREADABLE = (pa.ArrowException, OSError, EOFError, ValueError, LookupError, MemoryError)


class RowRange(NamedTuple):
    """Rows `start` to `stop` (exclusive) of some row groups, counted in these from 0."""

    groups: tuple[int, ...]
    start: int
    stop: int


NO_ROWS = RowRange((), 0, 0)


@contextlib.contextmanager
def open_file(path: str) -> Iterator[pa.parquet.ParquetFile]:
    """Opens a Parquet file.

    Raises:
      InputError: if it is none, is cut off, or repeats the name of a column.
    """
    with open_binary(path) as stream, contextlib.ExitStack() as stack:
        source = stack.enter_context(_unpack(stream, path)) if is_compressed(path) else stream
        try:
            parquet = pa.parquet.ParquetFile(source)
            names = list(parquet.schema_arrow.names)
        except _UNREADABLE as error:
            raise InputError(f"{path} is not a whole Parquet file ({error})") from error
        if repeated := repetitions(names):
            raise InputError(f"{path}: the columns repeat {', '.join(map(repr, repeated))}")
        yield parquet


@contextlib.contextmanager
def _unpack(stream: BinaryIO, path: str) -> Iterator[BinaryIO]:
    """Decompresses a file to a temporary one, as Parquet is not read from front to back."""
    with tempfile.TemporaryFile() as unpacked:
        size = 0
        while chunk := read_chunk(stream, path, _CHUNK_BYTES):
            if not size and not chunk.startswith(_MAGIC):
                break
            size += len(chunk)
            if size > _MAX_UNPACKED:
                raise InputError(
                    f"{path} decompresses to more than {_MAX_UNPACKED >> 30} GiB; unpack it, or "
                    "use the compression within Parquet"
                )
            unpacked.write(chunk)
        unpacked.seek(0)
        yield cast(BinaryIO, unpacked)


def row_ranges(path: str) -> list[RowRange]:
    """Cuts a file into ranges of rows, in order.

    One for each row group, more for a large one; as few as possible where the whole file must be
    decompressed for each.

    Raises:
      InputError: as `open_file`.
    """
    with open_file(path) as parquet:
        groups = range(parquet.num_row_groups)
        sizes = [parquet.metadata.row_group(group).num_rows for group in groups]
        num_bytes = sum(parquet.metadata.row_group(group).total_byte_size for group in groups)
    row_bytes = max(1, num_bytes // max(1, sum(sizes)))
    piece_rows = max(1, min(_PIECE_ROWS, _PIECE_BYTES // row_bytes))
    if is_compressed(path) and sum(sizes) <= piece_rows:
        return [RowRange(tuple(groups), 0, sum(sizes))]
    return [
        RowRange((group,), start, min(start + piece_rows, sizes[group]))
        for group in groups
        for start in range(0, max(sizes[group], 1), piece_rows)
    ]


def read_columns(
    path: str, rows: RowRange, first: int, columns: Sequence[str], vectors: Collection[str] = ()
) -> dict[str, pa.Array]:
    """Reads some columns, each `[rows]`, of the types that `arrow_columns.simple` gives.

    Args:
      path: the file.
      rows: which rows.
      first: the number of the first of them, for errors.
      columns: the names of the columns.
      vectors: those of the types that `arrow_columns.number_lists` gives.

    Raises:
      InputError: if a column is missing, of a type that is no value, or not UTF-8.
    """
    with open_file(path) as parquet:
        names = parquet.schema_arrow.names
        missing = [name for name in columns if name not in names]
        if missing:
            raise InputError(f"{path} has no column {missing[0]!r}; there are {', '.join(names)}")
        kinds = {name: parquet.schema_arrow.field(name).type for name in columns}
        simple = {
            name: arrow_columns.number_lists if name in vectors else arrow_columns.simple
            for name in columns
        }
        parts: dict[str, list[pa.Array]] = {
            name: [_simple(simple[name], pa.array([], kinds[name]), path, first, name)]
            for name in columns
        }
        position = 0
        for batch in _batches(parquet, rows, columns):
            begin = max(rows.start - position, 0)
            part = batch.slice(begin, max(rows.stop - position - begin, 0))
            for name in columns:
                number = first + position + begin - rows.start
                parts[name].append(_simple(simple[name], part.column(name), path, number, name))
            position += batch.num_rows
            if position >= rows.stop:
                break
    return {name: pa.concat_arrays(arrays) for name, arrays in parts.items()}


def _batches(
    parquet: pa.parquet.ParquetFile, rows: RowRange, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    return parquet.iter_batches(
        _BATCH_ROWS, row_groups=list(rows.groups), columns=list(columns), use_threads=False
    )


def _simple(
    simple: Callable[[pa.Array], pa.Array], column: pa.Array, path: str, first: int, name: str
) -> pa.Array:
    """`simple(column)` with errors that say where; `first` is the column's first row."""
    try:
        return simple(column)
    except TypeError as error:
        raise InputError(
            f"{path}: column {name!r} is of type {column.type}; expected text, numbers, times, or "
            "lists of them; write the part that you need to a column of its own"
        ) from error
    except UnicodeDecodeError as error:
        row = first + _bad_row(column)
        raise InputError(
            f"{path}:{row}: column {name!r} of type {column.type} holds bytes that are not UTF-8 "
            f"({error.reason}); write it as text"
        ) from error


def _bad_row(column: pa.Array) -> int:
    """The first row that is not UTF-8."""
    for row in range(len(column)):
        one = column.slice(row, 1)
        try:
            arrow_columns.simple(one)
        except UnicodeDecodeError:
            return row
    return 0
