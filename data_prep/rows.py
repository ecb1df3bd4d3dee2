"""Rows of tables: what they hold, where each one is, and which records are none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

_LINE_BITS = 40


@dataclasses.dataclass(frozen=True, order=True, slots=True)
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
        lines, what `arrow_columns` makes of the file's own types from Parquet.
      bad: what could not be read; such records are no rows.
      first_record: that of the piece.
    """

    path: str
    lines: np.ndarray
    columns: dict[str, pa.Array]
    bad: tuple[BadRecord, ...] = ()
    first_record: int = 0

    def bad_records(self, reasons: Mapping[int, str]) -> list[BadRecord]:
        """Rows that cannot be used, or one value of them, by why, as records that are none."""
        return [
            BadRecord(self.path, int(self.lines[row]), reason) for row, reason in reasons.items()
        ]


def places(number: int, lines: np.ndarray) -> np.ndarray:
    """Where rows of several files are, int64 `[rows]`, ascending by file and line.

    Args:
      number: of the rows' file.
      lines: `[rows]` int64.
    """
    return (number << _LINE_BITS) | lines


def place_of(place: int, paths: Sequence[str]) -> tuple[str, int]:
    """The file and line of one of `places`; `paths` are those of the files, by number."""
    return paths[place >> _LINE_BITS], place & ((1 << _LINE_BITS) - 1)
