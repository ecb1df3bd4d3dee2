"""Tables in CSV, TSV, JSON lines and Parquet files: pieces, columns, bad records.

A file is cut into pieces of whole records, which parse by themselves on any worker and still
know their line numbers. Nothing is guessed from the content: how values are read (text, number,
time) is the caller's business, so that a column never changes its type half-way.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import itertools
import zlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute

from data_prep import csv_records, input_streams, json_records, parquet_records
from data_prep.arrow_columns import one_line as one_line
from data_prep.arrow_columns import texts as texts
from data_prep.csv_records import Dialect
from data_prep.parquet_records import RowRange
from data_prep.rows import BadRecord as BadRecord
from data_prep.rows import Rows as Rows
from data_prep.text_format import CSV, DEFAULT_TEXT, TSV, TextFormat
from ssl_recsys.errors import InputError
from ssl_recsys.options import repetitions

JSONL, PARQUET = "jsonl", "parquet"
_FORMATS = {".csv": CSV, ".tsv": TSV, ".jsonl": JSONL, ".ndjson": JSONL, ".parquet": PARQUET}
_COMPRESSIONS = (".gz", ".bz2")
_PIECE_BYTES = 8 << 20
# Short lines take many times their size as columns.
_PIECE_LINES = 1 << 19
_MAX_HEADER_BYTES = 1 << 20
# A quoted value that runs on for longer than this is taken for a stray quote.
_MAX_RECORD_BYTES = 4 << 20
_SHOWN_CHARACTERS = 80
# What the libraries raise for input that they cannot read.
_UNREADABLE = (
    *(pa.ArrowException, OSError, EOFError, zlib.error, csv.Error),
    *(ValueError, LookupError, ArithmeticError, RecursionError, MemoryError),
)


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some whole records of one file.

    Attributes:
      path: the file.
      file_format: one of CSV, TSV, JSONL and PARQUET.
      first: number of the first line (the first row in Parquet), counted from 1.
      names: the columns of a CSV or TSV file.
      data: the records' text; empty for Parquet, which is read by rows.
      dialect: of a CSV or TSV file.
      rows: which rows of a Parquet file.
      first_record: records of the file before it, where they have been counted.
    """

    path: str
    file_format: str
    first: int
    names: tuple[str, ...] = ()
    data: bytes = b""
    dialect: Dialect = csv_records.LINES
    rows: RowRange = parquet_records.NO_ROWS
    first_record: int = 0


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


def column_names(path: str, text: TextFormat = DEFAULT_TEXT) -> list[str]:
    """The columns that a file has (those of the first thousand lines, in JSON lines).

    Raises:
      InputError: if the file is empty, its header repeats a name, or it is no such file.
    """
    file_format = table_format(path)
    if file_format == PARQUET:
        with parquet_records.open_file(path) as parquet:
            return list(parquet.schema_arrow.names)
    if file_format != JSONL:
        with _chunks(path, text) as chunks:
            return list(_read_header(chunks, Piece(path, file_format, 1), text)[0].names)
    with contextlib.closing(pieces(path, text)) as cut:
        names = json_records.column_names(
            line
            for piece in cut
            for line in json_records.split_lines(
                input_streams.decode(piece.data, path, piece.first)
            )
        )
    if not names:
        raise InputError(f"{path} is empty or holds no JSON objects; expected one on each line")
    return names


def pieces(path: str, text: TextFormat = DEFAULT_TEXT) -> Generator[Piece]:
    """Cuts a file into pieces, in order.

    Raises:
      InputError: if the file is not what its name says, or a record is too long.
    """
    piece = Piece(path, table_format(path), 1)
    if piece.file_format == PARQUET:
        for rows in parquet_records.row_ranges(path):
            yield dataclasses.replace(piece, rows=rows)
            piece = dataclasses.replace(piece, first=piece.first + rows.stop - rows.start)
        return
    with _chunks(path, text) as chunks:
        if piece.file_format == JSONL:
            yield from _cut(chunks, piece, csv_records.whole_lines)
            return
        first, rest = _read_header(chunks, piece, text)
        yield from _cut(
            itertools.chain([rest], chunks),
            first,
            lambda data: csv_records.whole_records(data, first.dialect),
        )


def _chunks(path: str, text: TextFormat) -> contextlib.closing[Generator[bytes]]:
    return contextlib.closing(input_streams.utf8_chunks(path, text.encoding, _PIECE_BYTES))


def _cut(chunks: Iterable[bytes], piece: Piece, whole: Callable[[bytes], int]) -> Iterator[Piece]:
    """Fills pieces like `piece` with the records in `chunks`; `whole` is how much is complete."""
    rest = b""
    for data in itertools.chain.from_iterable(map(_few_lines, chunks)):
        rest += data
        end = whole(rest)
        if end:
            yield dataclasses.replace(piece, data=rest[:end])
            lines = input_streams.count_lines(rest[:end])
            piece = dataclasses.replace(piece, first=piece.first + lines)
            rest = rest[end:]
        elif len(rest) > _MAX_RECORD_BYTES:
            raise _too_long(piece)
    if rest and whole(rest + b"\n") <= len(rest):
        raise _too_long(piece)
    if rest:
        yield dataclasses.replace(piece, data=rest)


def _few_lines(data: bytes) -> Iterator[bytes]:
    """Divides a chunk so that no part is likely to have more than _PIECE_LINES lines."""
    parts = 1 + input_streams.count_lines(data) // _PIECE_LINES
    size = max(1, -(-len(data) // parts))
    return (data[begin : begin + size] for begin in range(0, len(data), size))


def _too_long(piece: Piece) -> InputError:
    limit = f"(within {_MAX_RECORD_BYTES >> 20} MiB)"
    if piece.dialect.is_quoted:
        return InputError(
            f"{piece.path}:{piece.first}: a quotation mark opens a value that does not end "
            f"{limit}; close it, or double a mark that belongs to the value, or add "
            "--quoting=none if marks do not enclose values"
        )
    return InputError(
        f"{piece.path}:{piece.first}: expected a record on each line, got a line that does not "
        f"end {limit}; is it a {piece.file_format} file?"
    )


def parse(
    piece: Piece,
    columns: Sequence[str],
    vectors: Collection[str] = (),
    lists: Collection[str] = (),
) -> Rows:
    """Reads some columns of a piece.

    Args:
      piece: from `pieces`.
      columns: names of columns; one that a JSON record lacks is null there.
      vectors: those whose lists of numbers stay numbers where the file has them as such.
      lists: those whose values are lists in JSON lines; a record with any other value is bad.

    Raises:
      InputError: if the piece is damaged as a whole, or its text is not in its encoding.
    """
    try:
        if piece.file_format == PARQUET:
            rows = _parse_parquet(piece, columns, vectors)
        elif piece.file_format == JSONL:
            rows = _parse_json(piece, columns, lists)
        else:
            rows = _parse_csv(piece, columns)
        return dataclasses.replace(rows, first_record=piece.first_record)
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            f"{piece.path}:{piece.first}: what begins here cannot be read as {piece.file_format} "
            f"({type(error).__name__}: {error}); is the file whole?"
        ) from error


def shown(value: object) -> str:
    """A value in a message: its representation, cut where it is long."""
    text = repr(value[: _SHOWN_CHARACTERS + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _read_header(chunks: Iterator[bytes], piece: Piece, text: TextFormat) -> tuple[Piece, bytes]:
    """Reads the names of the columns.

    Returns:
      A piece without data that begins behind the header, and what has been read of the records.
    """
    path, dialect = piece.path, text.dialect(piece.file_format)
    head, end = b"", 0
    for data in chunks:
        head += data
        end = csv_records.first_record(head[:_MAX_HEADER_BYTES], dialect)
        if end or len(head) > _MAX_HEADER_BYTES:
            break
    line = head[: end or len(head)]
    if len(line) > _MAX_HEADER_BYTES:
        raise InputError(
            f"{path}:1: expected a header with the names of the columns, got over "
            f"{_MAX_HEADER_BYTES >> 20} MiB without the end of a line"
        )
    names = _header_names(input_streams.decode(line, path, 1), path, dialect)
    first = piece.first + input_streams.count_lines(line)
    return dataclasses.replace(piece, first=first, names=names, dialect=dialect), head[len(line) :]


def _header_names(line: str, path: str, dialect: Dialect) -> tuple[str, ...]:
    if "\0" in line:
        raise InputError(
            f"{path}:1: the header holds a NUL character; if the file is UTF-16, add "
            "--encoding=utf-16-le or --encoding=utf-16-be"
        )
    try:
        names = csv_records.header(line, dialect)
    except csv.Error as error:
        raise InputError(f"{path}:1: the header cannot be read ({error})") from error
    if not any(names):
        raise InputError(f"{path} is empty; expected a first line with the names of its columns")
    repeated = repetitions(names)
    if repeated:
        raise InputError(f"{path}:1: the header repeats {', '.join(map(shown, repeated))}")
    return tuple(names)


def _parse_csv(piece: Piece, columns: Sequence[str]) -> Rows:
    input_streams.decode(piece.data, piece.path, piece.first)  # Arrow would not say where
    starts, lines = csv_records.records(piece.data, piece.dialect)
    lines = piece.first + lines
    table, wrong = csv_records.read_columns(piece.data, piece.names, columns, piece.dialect)
    bad = tuple(
        BadRecord(piece.path, int(lines[record.record]), _wrong_width(record, piece.dialect))
        for record in wrong
    )
    kept = np.delete(np.arange(table.num_rows + len(wrong)), [record.record for record in wrong])
    arrays = {name: _one_chunk(table.column(name)) for name in columns}
    return _without_blank(piece, Rows(piece.path, lines[kept], arrays, bad), starts[kept])


def _wrong_width(record: csv_records.WrongWidth, dialect: Dialect) -> str:
    reason = f"expected {record.expected} columns, got {record.actual}"
    if record.has_quote and not dialect.is_quoted:
        reason += " (if quotation marks enclose values, add --quoting=minimal)"
    return reason


def _without_blank(piece: Piece, rows: Rows, starts: np.ndarray) -> Rows:
    """Leaves out blank lines, which Arrow reads as rows of empty values.

    Args:
      piece: what was read.
      rows: its rows.
      starts: where they begin in the piece, `[rows]`.
    """
    blank = np.ones(len(rows.lines), bool)
    for column in rows.columns.values():
        blank &= np.asarray(pa.compute.equal(column, ""))
    if not blank.any():
        return rows
    blank &= np.isin(np.frombuffer(piece.data, np.uint8)[starts], list(b"\r\n"))
    columns = {name: column.filter(pa.array(~blank)) for name, column in rows.columns.items()}
    return dataclasses.replace(rows, lines=rows.lines[~blank], columns=columns)


def _parse_json(piece: Piece, columns: Sequence[str], lists: Collection[str]) -> Rows:
    text = input_streams.decode(piece.data, piece.path, piece.first)
    lines, values, wrong = json_records.read_columns(text, columns, lists)
    bad = tuple(BadRecord(piece.path, piece.first + line, reason) for line, reason in wrong)
    return Rows(piece.path, piece.first + lines, values, bad)


def _parse_parquet(piece: Piece, columns: Sequence[str], vectors: Collection[str]) -> Rows:
    values = parquet_records.read_columns(piece.path, piece.rows, piece.first, columns, vectors)
    size = len(next(iter(values.values())))
    return Rows(piece.path, np.arange(piece.first, piece.first + size), values)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):  # a column without rows has no chunk
        combined = combined.chunk(0) if combined.num_chunks else pa.array([], column.type)
    return combined
