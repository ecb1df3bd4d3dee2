"""Tables in CSV, TSV, JSON lines and Parquet files: pieces, columns, bad records.

A file is cut into pieces of whole records, which parse by themselves on any worker and still
know their line numbers. Nothing is guessed from the content: how values are read (text, number,
time) is the caller's business, so that a column never changes its type half-way.
"""

from __future__ import annotations

import bz2
import contextlib
import dataclasses
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from data_prep import csv_records, json_records
from ssl_recsys.errors import InputError

CSV, TSV, JSONL, PARQUET = "csv", "tsv", "jsonl", "parquet"
_FORMATS = {".csv": CSV, ".tsv": TSV, ".jsonl": JSONL, ".ndjson": JSONL, ".parquet": PARQUET}
_COMPRESSIONS = (".gz", ".bz2")
# What decompression raises.
_DAMAGES = (OSError, EOFError, zlib.error)
_DELIMITERS = {CSV: ",", TSV: "\t"}
_PIECE_BYTES = 16 << 20
# A quoted value that runs on for longer than this is taken for a stray quote.
_MAX_RECORD_BYTES = 64 << 20
# What str.splitlines takes for one.
_LINE_BREAKS = "[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]+"


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some whole records of one file.

    Attributes:
      path: the file.
      file_format: one of CSV, TSV, JSONL and PARQUET.
      first: number of the first line (the first row in Parquet), counted from 1.
      names: the columns of a CSV or TSV file.
      data: the records' text; empty for Parquet, which is read by row group.
      row_groups: numbers of the row groups of a Parquet file.
    """

    path: str
    file_format: str
    first: int
    names: tuple[str, ...] = ()
    data: bytes = b""
    row_groups: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, order=True)
class BadRecord:
    """A record, or one value of it, that cannot be used; sorts by its place."""

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Rows:
    """The parsed records of a piece.

    Attributes:
      path: the file.
      lines: `[rows]` int64, the line (in Parquet the row) at which each record starts.
      columns: Arrow arrays `[rows]` by column name: text or lists of text from CSV and JSON
        lines, the file's own types from Parquet.
      bad: what could not be read; such records are no rows.
    """

    path: str
    lines: np.ndarray
    columns: dict[str, pa.Array]
    bad: tuple[BadRecord, ...] = ()


def table_format(path: str) -> str:
    """The format that the name of a file tells.

    Raises:
      InputError: for an unknown ending.
    """
    name = path
    for ending in _COMPRESSIONS:
        name = name.removesuffix(ending)
    for ending, file_format in _FORMATS.items():
        if name.endswith(ending):
            return file_format
    raise InputError(
        f"{path}: the name must end in one of {', '.join(_FORMATS)}, with or without "
        f"{' or '.join(_COMPRESSIONS)} behind it, so that its format is known"
    )


def column_names(path: str) -> list[str]:
    """The columns that a file has (those of the first thousand lines, in JSON lines).

    Raises:
      InputError: if the file is empty, its header repeats a name, or it is no such file.
    """
    file_format = table_format(path)
    if file_format == PARQUET:
        with _open_parquet(path) as parquet:
            return list(parquet.schema_arrow.names)
    with _open(path) as stream:
        if file_format != JSONL:
            return list(_read_header(stream, path, file_format))
        names = json_records.column_names(stream)
    if not names:
        raise InputError(f"{path} is empty or holds no JSON objects; expected one on each line")
    return names


def pieces(path: str) -> Iterator[Piece]:
    """Cuts a file into pieces, in order.

    Raises:
      InputError: if the file is not what its name says, or a quoted value never ends.
    """
    file_format = table_format(path)
    if file_format == PARQUET:
        yield from _parquet_pieces(path)
        return
    with _open(path) as stream:
        if file_format == JSONL:
            yield from _cut(stream, Piece(path, file_format, 1), lambda data: data.rfind(b"\n") + 1)
            return
        first = Piece(path, file_format, 2, _read_header(stream, path, file_format))
        delimiter = _DELIMITERS[file_format]
        yield from _cut(stream, first, lambda data: csv_records.whole_records(data, delimiter))


def _cut(stream: BinaryIO, piece: Piece, whole: Callable[[bytes], int]) -> Iterator[Piece]:
    """Fills pieces like `piece` with the records in `stream`; `whole` is how much is complete."""
    rest = b""
    while data := _read(stream, piece.path):
        rest += data
        end = whole(rest)
        if end:
            yield dataclasses.replace(piece, data=rest[:end])
            piece = dataclasses.replace(piece, first=piece.first + rest.count(b"\n", 0, end))
            rest = rest[end:]
        elif len(rest) > _MAX_RECORD_BYTES:
            raise _unclosed(piece.path, piece.first)
    if rest and whole(rest + b"\n") <= len(rest):
        raise _unclosed(piece.path, piece.first)
    if rest:
        yield dataclasses.replace(piece, data=rest)


def _unclosed(path: str, line: int) -> InputError:
    return InputError(
        f"{path}:{line}: a quotation mark opens a value that does not end (within "
        f"{_MAX_RECORD_BYTES >> 20} MiB); close it, or double a mark that belongs to the value"
    )


def parse(piece: Piece, columns: Sequence[str]) -> Rows:
    """Reads some columns of a piece.

    Args:
      piece: from `pieces`.
      columns: names of columns; one that a JSON record lacks is null there.

    Raises:
      InputError: if the piece is damaged as a whole.
    """
    read = {PARQUET: _parse_parquet, JSONL: _parse_json}.get(piece.file_format, _parse_csv)
    try:
        return read(piece, columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{piece.path}:{piece.first}: what begins here cannot be read as {piece.file_format} "
            f"({error}); is the file whole?"
        ) from error


def texts(column: pa.Array) -> pa.Array:
    """A column as text without surrounding blanks, `""` for null; `[rows]`."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = pa.array(
            ["" if value is None else " ".join(map(str, value)) for value in column.to_pylist()],
            pa.string(),
        )
    text = pa.compute.cast(column, pa.string())
    return pa.compute.utf8_trim_whitespace(pa.compute.fill_null(text, ""))


def one_line(text: pa.Array) -> pa.Array:
    """Text with each run of line breaks made a blank."""
    return pa.compute.replace_substring_regex(text, _LINE_BREAKS, " ")


@contextlib.contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    """Opens a file for reading, decompressed.

    Not by Beam, which takes a gzip file that is cut off for a whole one.
    """
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as stored:
        if path.endswith(".gz"):
            with gzip.GzipFile(fileobj=stored) as stream:
                yield cast(BinaryIO, stream)
        elif path.endswith(".bz2"):
            with bz2.BZ2File(stored) as stream:
                yield cast(BinaryIO, stream)
        else:
            yield stored


def _read(stream: BinaryIO, path: str) -> bytes:
    try:
        return stream.read(_PIECE_BYTES)
    except _DAMAGES as error:
        raise InputError(f"{path} cannot be decompressed ({error}); is it whole?") from error


def _read_header(stream: BinaryIO, path: str, file_format: str) -> tuple[str, ...]:
    try:
        names = csv_records.header(stream.readline(), _DELIMITERS[file_format])
    except _DAMAGES as error:
        raise InputError(f"{path} cannot be decompressed ({error}); is it whole?") from error
    if not any(names):
        raise InputError(f"{path} is empty; expected a first line with the names of its columns")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"{path}:1: the header repeats {', '.join(map(repr, repeated))}")
    return tuple(names)


def _parse_csv(piece: Piece, columns: Sequence[str]) -> Rows:
    delimiter = _DELIMITERS[piece.file_format]
    lines = piece.first + csv_records.record_lines(piece.data, delimiter)
    table, wrong = csv_records.read_columns(
        _valid_utf8(piece.data), piece.names, columns, delimiter
    )
    bad = tuple(
        BadRecord(
            piece.path,
            int(lines[record.record]),
            f"expected {record.expected} columns, got {record.actual}",
        )
        for record in wrong
    )
    kept = np.delete(np.arange(table.num_rows + len(wrong)), [record.record for record in wrong])
    return _without_blank(piece, Rows(piece.path, lines[kept], _arrays(table, columns), bad))


def _without_blank(piece: Piece, rows: Rows) -> Rows:
    """Leaves out blank lines, which Arrow reads as rows of empty values."""
    blank = np.ones(len(rows.lines), bool)
    for column in rows.columns.values():
        blank &= np.asarray(pa.compute.equal(column, ""))
    if not blank.any():
        return rows
    content = piece.data.split(b"\n")
    blank[blank] = [not content[line - piece.first].strip() for line in rows.lines[blank]]
    columns = {name: column.filter(pa.array(~blank)) for name, column in rows.columns.items()}
    return dataclasses.replace(rows, lines=rows.lines[~blank], columns=columns)


def _valid_utf8(data: bytes) -> bytes:
    """`data` with what is not UTF-8 replaced, so that one bad byte does not end a file."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("utf-8", errors="replace").encode("utf-8")
    return data


def _parse_json(piece: Piece, columns: Sequence[str]) -> Rows:
    lines, values, wrong = json_records.read_columns(_valid_utf8(piece.data), columns)
    bad = tuple(BadRecord(piece.path, piece.first + line, reason) for line, reason in wrong)
    return Rows(piece.path, piece.first + lines, values, bad)


@contextlib.contextmanager
def _open_parquet(path: str) -> Iterator[pa.parquet.ParquetFile]:
    """Opens a Parquet file, decompressed into memory where it is compressed as a whole."""
    with _open(path) as stream:
        try:
            source = io.BytesIO(stream.read()) if path.endswith(_COMPRESSIONS) else stream
            parquet = pa.parquet.ParquetFile(source)
        except (pa.ArrowInvalid, *_DAMAGES) as error:
            raise InputError(f"{path} is not a whole Parquet file ({error})") from error
        yield parquet


def _parquet_pieces(path: str) -> Iterator[Piece]:
    """One piece for each row group, or a single one where all must be decompressed anyway."""
    with _open_parquet(path) as parquet:
        groups = range(parquet.num_row_groups)
        sizes = [parquet.metadata.row_group(group).num_rows for group in groups]
    if path.endswith(_COMPRESSIONS):
        yield Piece(path, PARQUET, 1, row_groups=tuple(groups))
        return
    for group in groups:
        yield Piece(path, PARQUET, 1 + sum(sizes[:group]), row_groups=(group,))


def _parse_parquet(piece: Piece, columns: Sequence[str]) -> Rows:
    with _open_parquet(piece.path) as parquet:
        table = parquet.read_row_groups(piece.row_groups, columns=list(columns), use_threads=False)
    lines = np.arange(piece.first, piece.first + table.num_rows)
    return Rows(piece.path, lines, _arrays(table, columns))


def _arrays(table: pa.Table, columns: Sequence[str]) -> dict[str, pa.Array]:
    return {name: _one_chunk(table.column(name)) for name in columns}


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):  # a column without rows has no chunk
        combined = combined.chunk(0) if combined.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(combined.type):
        combined = combined.dictionary_decode()
    return combined
