"""JSON lines: their columns as text or lists of text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

_LINES_LOOKED_AT = 1000


def column_names(stream: BinaryIO) -> list[str]:
    """The names that the objects in the first thousand lines have, in their order."""
    names: dict[str, None] = {}
    for _ in range(_LINES_LOOKED_AT):
        try:
            record = json.loads(stream.readline() or b"null")
        except ValueError:
            continue
        if isinstance(record, dict):
            names.update(dict.fromkeys(record))
    return list(names)


def read_columns(
    data: bytes, columns: Sequence[str]
) -> tuple[np.ndarray, dict[str, pa.Array], list[tuple[int, str]]]:
    """Parses lines, each an object; blank ones are left out.

    Args:
      data: lines in UTF-8.
      columns: names of columns; one that an object lacks is null there.

    Returns:
      The number of each row's line, counted from 0, `[rows]` int64; the columns `[rows]`; and
      the lines that are no objects, with the reason.
    """
    values: dict[str, list[Any]] = {name: [] for name in columns}
    lines, wrong = [], []
    for line, text in enumerate(data.split(b"\n")):
        if not text.strip():
            continue
        try:
            # Numbers keep the characters that they were written with.
            record = json.loads(text, parse_int=str, parse_float=str)
            if not isinstance(record, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError) as error:
            wrong.append((line, f"expected a JSON object ({error})"))
            continue
        lines.append(line)
        for name in columns:
            values[name].append(record.get(name))
    arrays = {name: _column(column) for name, column in values.items()}
    return np.asarray(lines, np.int64), arrays, wrong


def _column(values: list[Any]) -> pa.Array:
    """Lists of text where any value is a list, else text."""
    if any(isinstance(value, list) for value in values):
        lists = [value if isinstance(value, list) else [value] for value in values]
        named = [[_text(part) for part in parts if part is not None] for parts in lists]
        return pa.array(named, pa.list_(pa.string()))
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
