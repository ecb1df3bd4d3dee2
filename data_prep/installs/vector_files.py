"""Vectors of an item table: where a spec says they are, and .npy files beside the table.

Row i of a .npy file belongs to record i of the table. It is read through Beam's file systems, the
rows of a piece of the table at a time, so that workers see it where they see the table.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from data_prep import tables, vectors
from data_prep.installs.encoder import TableFeature
from ssl_recsys.errors import InputError
from ssl_recsys.features import VECTOR

AnyFeature = TypeVar("AnyFeature", bound=TableFeature)
_MAGIC = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_FLOATS = (np.float16, np.float32, np.float64)


class _Header(NamedTuple):
    rows: int
    size: int
    dtype: np.dtype
    offset: int


def _open(path: str) -> BinaryIO:
    try:
        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    except (BeamIOError, OSError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error


def _read_header(file: BinaryIO, path: str) -> _Header:
    try:
        shape, is_fortran, dtype = _MAGIC[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError, OSError) as error:
        raise InputError(f"{path} is no .npy file as numpy.save writes it ({error})") from error
    if len(shape) != 2 or is_fortran or dtype.newbyteorder("=") not in _FLOATS:
        order = ", in Fortran order" if is_fortran else ""
        raise InputError(
            f"{path} must hold one array [rows, size] of float16, float32 or float64 in C order; "
            f"it holds {list(shape)} of {dtype}{order}"
        )
    return _Header(shape[0], shape[1], dtype, file.tell())


def of_file(
    path: str, size: int, rows: tables.Rows
) -> tuple[npt.NDArray[np.float32], vectors.Faults]:
    """The vectors of a table's rows in a .npy file, as `vectors.of_column`.

    Raises:
      InputError: if it is no such file, or has fewer rows than the table.
    """
    bad_before = np.searchsorted(sorted(record.line for record in rows.bad), rows.lines)
    places = np.arange(len(rows.lines)) + bad_before
    num_records = len(rows.lines) + len(rows.bad)
    with _open(path) as file:
        header = _read_header(file, path)
        if header.rows < rows.first_record + num_records:
            raise _other_rows(path, header.rows, rows.path, "more")
        row_bytes = size * header.dtype.itemsize
        file.seek(header.offset + rows.first_record * row_bytes)
        data = file.read(num_records * row_bytes)
    if len(data) < num_records * row_bytes:
        raise InputError(f"{path} ends before its last row; is the file whole?")
    values = np.frombuffer(data, header.dtype).reshape(num_records, size)[places]
    found, wrong = vectors.checked(values)
    name = os.path.basename(path)
    return found, {
        row: f"{name} holds {values[row, place]} in row {rows.first_record + places[row]:,}, which "
        "is no finite number of float32"
        for row, place in wrong.items()
    }


def _other_rows(path: str, rows: int, table: str, in_table: str) -> InputError:
    return InputError(
        f"{path} has {rows:,} rows, and {table} has {in_table}; row i of the one belongs to record "
        "i of the other: make it again from the table as it is"
    )


def numbered(
    pieces: Iterator[tables.Piece], column: str, paths: Sequence[str]
) -> Iterator[tables.Piece]:
    """Pieces that know how many records of their file are before them.

    Args:
      pieces: of one table, in order.
      column: one of its columns.
      paths: of .npy files; they must have as many rows as the table has records.

    Raises:
      InputError: if one has not.
    """
    table, records = "", 0
    for piece in pieces:
        yield dataclasses.replace(piece, first_record=records)
        rows = tables.parse(piece, [column])
        table, records = piece.path, records + len(rows.lines) + len(rows.bad)
    for path in paths:
        with _open(path) as file:
            header = _read_header(file, path)
        if header.rows != records:
            raise _other_rows(path, header.rows, table, f"{records:,}")


def located(
    features: Sequence[AnyFeature], paths: Sequence[str], text: tables.TextFormat
) -> tuple[AnyFeature, ...]:
    """Features with the size of each vector, and the path of its .npy file as workers open it.

    Args:
      features: as the spec has them.
      paths: of the tables.
      text: how text files are read.

    Raises:
      InputError: if there is no vector, or none of the size given.
    """
    return tuple(
        _located(feature, paths, text) if feature.kind == VECTOR else feature
        for feature in features
    )


def _located(feature: AnyFeature, paths: Sequence[str], text: tables.TextFormat) -> AnyFeature:
    what = f"feature {feature.name}"
    if not feature.file:
        remedy = 'give the vectors in JSON lines or Parquet, or in a .npy file beside it ("file")'
        vectors.check_formats(what, paths, remedy)
        size = feature.size or vectors.size_of_column(what, feature.column, paths, text)
        return dataclasses.replace(feature, size=size)
    if len(paths) != 1:
        raise InputError(
            f"{what}: the rows of a .npy file are those of one table (got {len(paths)}); put the "
            "tables in one file, or the vectors in a list column"
        )
    path = feature.file
    if "://" not in path:
        path = os.path.join(FileSystems.split(paths[0])[0], path)
    with _open(path) as file:
        size = _read_header(file, path).size
    if feature.size not in (0, size) or not 1 <= size <= vectors.MAX_SIZE:
        raise InputError(
            f"{what}: expected rows of {feature.size or f'1 to {vectors.MAX_SIZE:,}'} numbers in "
            f"{path}, got {size:,}"
        )
    return dataclasses.replace(feature, size=size, file=path)
