"""CSV and TSV text: where its records begin and end, and their columns as text.

A line ends with LF, CR LF, or CR alone, as in Arrow's parser.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

_LF, _CR, _QUOTE = b'\n\r"'


class Dialect(NamedTuple):
    """What stands between values, and whether quotation marks may enclose one."""

    delimiter: str
    is_quoted: bool


# Of text that is not divided into values.
LINES = Dialect("", False)


class WrongWidth(NamedTuple):
    """A record with too few or too many values; `record` counts from 0."""

    record: int
    expected: int
    actual: int
    has_quote: bool


class Records(NamedTuple):
    """Where records begin: positions in bytes and lines counted from 0, `[records]` int64.

    Text that ends with a line break has one entry more, for the end.
    """

    starts: np.ndarray
    lines: np.ndarray


def header(text: str, dialect: Dialect) -> list[str]:
    """The column names in a file's first record, without blanks around them.

    Raises:
      csv.Error: if the record cannot be parsed.
    """
    text = text.rstrip("\r\n")
    if not dialect.is_quoted:
        return [name.strip() for name in text.split(dialect.delimiter)]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=dialect.delimiter)
    return [name.strip() for name in next(reader, [])]


def whole_lines(data: bytes) -> int:
    """Length of the whole lines that `data` starts with; LF may yet follow a CR at its end."""
    end = data.rfind(b"\n") + 1
    return max(end, data.rfind(b"\r", end, max(end, len(data) - 1)) + 1)


def whole_records(data: bytes, dialect: Dialect) -> int:
    """Length of the whole records that `data` starts with, 0 if there is none.

    A line break ends a record unless it stands in a value that a quotation mark has opened.
    """
    if not dialect.is_quoted or b'"' not in data:
        return whole_lines(data)
    ends = _record_ends(data, dialect)[0]
    if data.endswith(b"\r"):
        ends = ends[ends < len(data) - 1]
    return int(ends[-1]) + 1 if len(ends) else 0


def first_record(data: bytes, dialect: Dialect) -> int:
    """Length of the record that `data` starts with, 0 if it is not whole."""
    ends = _record_ends(data, dialect)[0]
    is_open = len(ends) == 0 or (data.endswith(b"\r") and ends[0] == len(data) - 1)
    return 0 if is_open else int(ends[0]) + 1


def records(data: bytes, dialect: Dialect) -> Records:
    """Where the records begin."""
    ends, breaks = _record_ends(data, dialect)
    lines = np.searchsorted(breaks, ends) + 1
    return Records(np.concatenate([[0], ends + 1]), np.concatenate([[0], lines]))


def _record_ends(data: bytes, dialect: Dialect) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the line breaks that end records, and of all line breaks, int64."""
    content = np.frombuffer(data, np.uint8)
    breaks = _line_breaks(data, content)
    if not dialect.is_quoted or b'"' not in data:
        return breaks, breaks
    quotes = np.flatnonzero(content == _QUOTE)
    if _are_pairs(content, quotes, dialect):
        is_inside = np.searchsorted(quotes, breaks) % 2 == 1
        return (breaks[~is_inside] if is_inside.any() else breaks), breaks
    mark = re.escape(dialect.delimiter.encode())
    # A mark within an unquoted value, as in 27" screen, is a character like others.
    quoted = re.compile(rb'(?:(?<=[%b\r\n])|\A)"[^"]*(?:""[^"]*)*"?' % mark)
    spans = np.asarray([match.span() for match in quoted.finditer(data)], np.int64)
    if not len(spans):
        return breaks, breaks
    before = np.searchsorted(spans[:, 0], breaks, side="right") - 1
    is_inside = (before >= 0) & (breaks < spans[before, 1])
    return breaks[~is_inside], breaks


def _line_breaks(data: bytes, content: np.ndarray) -> np.ndarray:
    """Positions of the last byte of each line break."""
    breaks = np.flatnonzero(content == _LF)
    if b"\r" not in data:
        return breaks
    returns = np.flatnonzero(content == _CR)
    following = content[np.minimum(returns + 1, len(content) - 1)]
    alone = returns[following != _LF]
    return np.sort(np.concatenate([breaks, alone])) if len(alone) else breaks


def _are_pairs(content: np.ndarray, quotes: np.ndarray, dialect: Dialect) -> bool:
    """Whether quotation marks certainly open and close in turn, so that counting them is enough.

    They do if every other one begins a value, or doubles the one before it.
    """
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    before = content[opening - 1]
    begins = (before == ord(dialect.delimiter)) | (before == _LF) | (before == _CR)
    begins |= opening == 0
    begins[1:] |= opening[1:] == closing[:-1] + 1
    return bool(begins.all())


def read_columns(
    data: bytes, names: Sequence[str], columns: Sequence[str], dialect: Dialect
) -> tuple[pa.Table, list[WrongWidth]]:
    """Parses records (without a header) to columns of text.

    Args:
      data: whole records in UTF-8; a blank line is read as a record of empty values.
      names: the names of all columns.
      columns: the names of those to return.
      dialect: how values are divided.

    Returns:
      The table, and the records that it lacks because they have not `len(names)` values.
    """
    wrong: list[WrongWidth] = []

    def skip(row: Any) -> str:
        has_quote = '"' in (row.text or "")
        wrong.append(
            WrongWidth(row.number - 1, row.expected_columns, row.actual_columns, has_quote)
        )
        return "skip"

    if data.startswith(codecs.BOM_UTF8):
        data = codecs.BOM_UTF8 + data  # Arrow takes off one, but here it belongs to a value
    table = pa.csv.read_csv(
        io.BytesIO(data),
        pa.csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
        pa.csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char='"' if dialect.is_quoted else False,
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=skip,
        ),
        pa.csv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=False,
            quoted_strings_can_be_null=False,
        ),
    )
    return table, wrong
