"""Queries as users give them: names of items, one by one or in a file."""

from __future__ import annotations

import csv
import difflib
import functools
import io
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ssl_recsys import paths
from ssl_recsys.errors import InputError

KEY_COLUMN = "key"
_MOST_LISTED = 5


class Names:
    """Finds items by key or title.

    Args:
      keys: `[num_items]` str, unique.
      titles: `[num_items]` str; may be empty, and several items may have the same.
    """

    def __init__(self, keys: np.ndarray, titles: np.ndarray):
        self._keys = keys
        self._titles = titles

    def row(self, name: str) -> int:
        """The row of the item with this key; if none has it, with this title.

        Letter case is ignored only where it decides nothing.

        Raises:
          InputError: if there is no such item (the message suggests similar ones), or if there
            are several (the message lists them).
        """
        for rows_by_name, form in (
            (self._by_key, name),
            (self._by_title, name),
            (self._by_folded_key, name.casefold()),
            (self._by_folded_title, name.casefold()),
        ):
            if rows := rows_by_name.get(form):
                if len(rows) > 1:
                    raise InputError(f"{name!r} names {len(rows)} items; {self._listed(rows)}")
                return rows[0]
        raise InputError(f"no item {name!r} in the catalog{self._similar(name.casefold())}")

    def rows(self, named: Iterable[tuple[str, str]]) -> np.ndarray:
        """`[queries]` int64 rows of items by name, each with where it was read, for errors."""
        rows = []
        for where, name in named:
            try:
                rows.append(self.row(name))
            except InputError as error:
                raise InputError(f"{where}: {error}" if where else str(error)) from error
        return np.array(rows, np.int64)

    @functools.cached_property
    def _by_key(self) -> Mapping[str, list[int]]:
        return _rows_by_name(self._keys)

    @functools.cached_property
    def _by_title(self) -> Mapping[str, list[int]]:
        return _rows_by_name(self._titles)

    @functools.cached_property
    def _by_folded_key(self) -> Mapping[str, list[int]]:
        return _rows_by_name(key.casefold() for key in self._keys)

    @functools.cached_property
    def _by_folded_title(self) -> Mapping[str, list[int]]:
        return _rows_by_name(title.casefold() for title in self._titles)

    def _listed(self, rows: Sequence[int]) -> str:
        shown = ", ".join(repr(self._keys[row]) for row in rows[:_MOST_LISTED])
        more = f" and {len(rows) - _MOST_LISTED} more" if len(rows) > _MOST_LISTED else ""
        return f"give the key of one: {shown}{more}"

    def _similar(self, folded: str) -> str:
        names = {**self._by_folded_title, **self._by_folded_key}  # a name that is both is a key
        found = difflib.get_close_matches(folded, names, n=_MOST_LISTED, cutoff=0.6)
        rows = dict.fromkeys(names[name][0] for name in found)
        return f"; similar: {', '.join(self._keys[row] for row in rows)}" if rows else ""


def _rows_by_name(names: Iterable[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name:
            rows.setdefault(name, []).append(row)
    return rows


def read_queries(path: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """Names of items in a file.

    By its ending, `.jsonl` has an object with `key` in each line, `.csv` a column `key`; any
    other file has one name a line. Empty lines are passed over.

    Yields:
      Where it stands, as FILE:LINE, and the name.

    Raises:
      InputError: for a missing file, text that is not UTF-8, or a line without a name.
    """
    path = paths.as_path(path)
    if not path.is_file():
        raise InputError(f"no file {path} with queries")
    read = {".jsonl": _json_names, ".csv": _csv_names}.get(path.suffix.lower(), _plain_names)
    try:
        text = io.TextIOWrapper(io.BytesIO(path.read_bytes()), encoding="utf-8-sig").read()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start})") from error
    for number, name in read(path, text.split("\n")):
        if not isinstance(name, str) or not name:
            raise InputError(f"{path}:{number}: expected text under {KEY_COLUMN!r}, got {name!r}")
        yield f"{path}:{number}", name


def _plain_names(path: pathlib.Path, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    del path
    for number, line in enumerate(lines, start=1):
        if name := line.strip():
            yield number, name


def _json_names(path: pathlib.Path, lines: Sequence[str]) -> Iterator[tuple[int, Any]]:
    for number, line in _plain_names(path, lines):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: no JSON object ({error})") from error
        yield number, record.get(KEY_COLUMN) if isinstance(record, dict) else record


def _csv_names(path: pathlib.Path, lines: Sequence[str]) -> Iterator[tuple[int, str | None]]:
    reader = csv.DictReader((f"{line}\n" for line in lines), strict=True)
    try:
        if KEY_COLUMN not in (reader.fieldnames or ()):
            raise InputError(f"{path} has no column {KEY_COLUMN!r} (got {reader.fieldnames})")
        for record in reader:
            yield reader.line_num, record[KEY_COLUMN]
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: no CSV record ({error})") from error
