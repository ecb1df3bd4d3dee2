"""CSV text: where its records begin and end, and their columns as text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv


class WrongWidth(NamedTuple):
    """A record with too few or too many values; `record` counts from 0."""

    record: int
    expected: int
    actual: int


def header(line: bytes, delimiter: str) -> list[str]:
    """The column names in a file's first line, without blanks around them."""
    text = line.decode("utf-8-sig", errors="replace")
    return [name.strip() for name in next(csv.reader([text], delimiter=delimiter), [])]


def whole_records(data: bytes, delimiter: str) -> int:
    """Length of the whole records that `data` starts with, 0 if there is none.

    A line break ends a record unless it stands in a value that a quotation mark has opened.
    """
    if b'"' not in data:
        return data.rfind(b"\n") + 1
    ends = _record_ends(data, delimiter)[0]
    return int(ends[-1]) + 1 if len(ends) else 0


def record_lines(data: bytes, delimiter: str) -> np.ndarray:
    """The line, counted from 0, at which each record starts; `[records]` int64."""
    ends, breaks = _record_ends(data, delimiter)
    return np.concatenate([[0], np.searchsorted(breaks, ends) + 1])


def _record_ends(data: bytes, delimiter: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the line breaks that end records, and of all line breaks, int64."""
    content = np.frombuffer(data, np.uint8)
    breaks = np.flatnonzero(content == ord("\n"))
    quotes_before = np.searchsorted(np.flatnonzero(content == ord('"')), breaks)
    if not (quotes_before % 2).any():
        return breaks, breaks  # No line has half of a pair, so no value has a line break.
    mark = re.escape(delimiter.encode())
    # A mark within an unquoted value, as in 27" screen, is a character like others.
    quoted = re.compile(rb'(?:(?<=[%b\n])|\A)"[^"]*(?:""[^"]*)*' % mark)
    spans = np.asarray([match.span() for match in quoted.finditer(data)], np.int64)
    spans = spans.reshape(-1, 2)
    before = np.searchsorted(spans[:, 0], breaks, side="right") - 1
    inside = (before >= 0) & (breaks < spans[before, 1]) if len(spans) else np.zeros(0, bool)
    return (breaks[~inside] if len(spans) else breaks), breaks


def read_columns(
    data: bytes, names: Sequence[str], columns: Sequence[str], delimiter: str
) -> tuple[pa.Table, list[WrongWidth]]:
    """Parses records (without a header) to columns of text.

    Args:
      data: whole records in UTF-8; a blank line is read as a record of empty values.
      names: the names of all columns.
      columns: the names of those to return.
      delimiter: one character.

    Returns:
      The table, and the records that it lacks because they have not `len(names)` values.
    """
    wrong: list[WrongWidth] = []

    def skip(row: Any) -> str:
        wrong.append(WrongWidth(row.number - 1, row.expected_columns, row.actual_columns))
        return "skip"

    table = pa.csv.read_csv(
        io.BytesIO(data),
        pa.csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
        pa.csv.ParseOptions(
            delimiter=delimiter,
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=skip,
        ),
        pa.csv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=False,
        ),
    )
    return table, wrong
