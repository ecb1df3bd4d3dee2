"""JSON lines: their columns as text or lists of text."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

_LINES_LOOKED_AT = 1000
_SHOWN_CHARACTERS = 80
# A longer line may take a hundred times its size as Python objects.
MAX_LINE = 4 << 20
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
# A text, a list of texts, or nothing.
_Cell = str | list[str] | None


def column_names(lines: Iterable[str]) -> list[str]:
    """The names that the objects in the first thousand lines have, in their order."""
    names: dict[str, None] = {}
    for _, line in zip(range(_LINES_LOOKED_AT), lines, strict=False):
        try:
            names.update(dict.fromkeys(_record(line)))
        except ValueError:
            continue
    # Half of a surrogate pair could not be shown in a message.
    return [name.encode("utf-8", "replace").decode("utf-8") for name in names]


def split_lines(text: str) -> list[str]:
    """The lines of a text; they end with LF, CR LF, or CR alone."""
    return _LINE_BREAK.split(text) if "\r" in text else text.split("\n")


def read_columns(
    text: str, columns: Sequence[str], lists: Collection[str] = ()
) -> tuple[np.ndarray, dict[str, pa.Array], list[tuple[int, str]]]:
    """Parses lines, each an object; blank ones are left out.

    Args:
      text: the lines.
      columns: names of columns; one that an object lacks is null there.
      lists: those whose values must be lists, or null.

    Returns:
      The number of each row's line, counted from 0, `[rows]` int64; the columns `[rows]`; and
      the lines that cannot be used, with the reason.
    """
    values: dict[str, list[_Cell]] = {name: [] for name in columns}
    lines, wrong = [], []
    for number, line in enumerate(split_lines(text)):
        if not line.strip():
            continue
        try:
            record = _record(line)
            _check_lists(record, lists)
            cells = [_cell(name, record.get(name)) for name in columns]
            if "\\u" in line:
                _check_surrogates(columns, cells)
        except ValueError as error:
            wrong.append((number, str(error)))
            continue
        lines.append(number)
        for name, cell in zip(columns, cells, strict=True):
            values[name].append(cell)
    arrays = {name: _column(column, name in lists) for name, column in values.items()}
    return np.asarray(lines, np.int64), arrays, wrong


def _record(line: str) -> dict[str, Any]:
    """Parses a line; raises ValueError with a reason if it is no object."""
    if len(line) > MAX_LINE:
        raise ValueError(
            f"expected a JSON object of up to {MAX_LINE >> 20} MiB, got {len(line):,} characters"
        )
    try:
        # Numbers keep the characters that they were written with.
        record = json.loads(line, parse_int=str, parse_float=_number, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected a JSON object ({error})") from error
    if not isinstance(record, dict):
        raise ValueError("expected a JSON object (not an object)")
    return record


def _number(text: str) -> str:
    """A number as it is written, but for a fraction of zeros.

    Programs that hold whole numbers as floats, because some are missing, write 12 as 12.0.
    """
    whole, point, fraction = text.partition(".")
    return whole if point and not fraction.strip("0") else text


def _constant(name: str) -> str | None:
    """NaN is how many programs write a missing value; the others are Infinity and -Infinity."""
    return None if name == "NaN" else name


def _check_lists(record: dict[str, Any], lists: Collection[str]) -> None:
    for name in lists:
        value = record.get(name)
        if value is not None and not isinstance(value, list):
            what = "an object" if isinstance(value, dict) else repr(value)[:_SHOWN_CHARACTERS]
            raise ValueError(f"{name} must be a list, got {what}")


def _cell(name: str, value: Any) -> _Cell:
    if not isinstance(value, list):
        return _text(name, value)
    texts = (_text(name, part) for part in value)
    return [text for text in texts if text is not None]


def _text(name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    what = "an object" if isinstance(value, dict) else "a list in a list"
    raise ValueError(f"{name} must be a text, a number or a list of them, got {what}")


def _check_surrogates(columns: Sequence[str], cells: Sequence[_Cell]) -> None:
    """Refuses half of a surrogate pair, which JSON can write and no encoding of text can."""
    for name, cell in zip(columns, cells, strict=True):
        try:
            "".join(cell or "").encode("utf-8")
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])
            raise ValueError(f"{name} has half of a surrogate pair, {half}") from error


def _column(values: list[_Cell], is_list: bool) -> pa.Array:
    """Lists of text where all values are to be lists or any value is one, else text."""
    if is_list or any(isinstance(value, list) for value in values):
        lists = [value if isinstance(value, list) else [value] for value in values]
        present = [[text for text in texts if text is not None] for texts in lists]
        return pa.array(present, pa.list_(pa.string()))
    return pa.array(values, pa.string())
