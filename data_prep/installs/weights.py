"""Weights and kinds of a log's events: how much each counts, and which ones do not count at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_prep import tables
from ssl_recsys.errors import InputError
from ssl_recsys.raw.rules import MAX_NUMBER, read_number

# Kinds that are kept, and the weight of each.
Kinds = tuple[tuple[str, float], ...]


def parse_kinds(text: str) -> Kinds:
    """Kinds of `purchase,view:0.2`: after a colon the weight, 1 where there is none.

    Raises:
      ValueError: for a weight that is no number.
    """
    kinds = []
    for entry in filter(None, map(str.strip, text.split(","))):
        name, colon, weight = entry.rpartition(":")
        kinds.append((name, float(weight)) if colon else (entry, 1.0))
    return tuple(kinds)


def show_kinds(kinds: Kinds) -> str:
    """What `parse_kinds` reads."""
    return ",".join(f"{name}:{weight:g}" for name, weight in kinds)


def check_kinds(kinds: Mapping[str, Any]) -> None:
    """Raises InputError for a kind that no value can be, or whose weight is none."""
    for name, weight in kinds.items():
        if not name or name != name.strip() or len(name.splitlines()) > 1:
            raise InputError(f"log.kinds: {name!r} is no kind: a text in one line, without blanks")
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 <= weight <= MAX_NUMBER:
            raise InputError(
                f"log.kinds: the weight of {name!r} must be a number of at least 0 (got {weight!r})"
            )


def read_weights(column: pa.Array, name: str) -> tuple[np.ndarray, dict[int, str]]:
    """Reads a column of weights.

    Args:
      column: `[rows]` of any type.
      name: of the column.

    Returns:
      `[rows]` float64, and by row why a value is no weight: it must be a number of at least 0 that
      float32 holds.
    """
    coded = pc.dictionary_encode(tables.texts(column))
    texts, indices = coded.dictionary.to_pylist(), np.asarray(coded.indices)
    numbers = np.array([read_number(text) for text in texts], np.float64)
    is_weight = (numbers >= 0) & (numbers <= MAX_NUMBER)
    reasons = {
        row: f"{name} must be a number of at least 0: {tables.shown(texts[indices[row]])}"
        for row in np.flatnonzero(~is_weight[indices]).tolist()
    }
    return np.where(is_weight, numbers, 0.0)[indices], reasons


def read_kinds(column: pa.Array, kinds: Sequence[str]) -> np.ndarray:
    """`[rows]` int16 positions in `kinds` of a column's values; -1 for a kind that is not there."""
    position = {kind: number for number, kind in enumerate(kinds)}
    coded = pc.dictionary_encode(tables.texts(column))
    found = [position.get(text, -1) for text in coded.dictionary.to_pylist()]
    return np.array(found, np.int16)[np.asarray(coded.indices)]
