"""From the columns of an item table to features: tokens, numbers, and how numbers are scaled."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from data_prep import tables
from data_prep.installs.spec import AS_IS, LOG_NORMALIZED, QUANTILE, ItemFeature
from ssl_recsys import schema

# What a missing number is written as, besides an empty value.
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "\\n", "-"})
_WORD = re.compile(r"[^\W_]+")
_MAX_DEVIATIONS = 10.0
# Features are float32; a single larger value would make one of all others zero when scaled.
_MAX_NUMBER = float(np.finfo(np.float32).max)

BAG_TYPE = pa.list_(pa.string())

# Of one feature and many items: Arrow text or lists of text, or float64 with NaN for missing.
Column: TypeAlias = "pa.Array | np.ndarray"


def read_column(rows: tables.Rows, feature: ItemFeature) -> tuple[Column, list[tables.BadRecord]]:
    """Reads one feature of each row.

    Args:
      rows: rows of the item table, with the feature's column.
      feature: what to read.

    Returns:
      The values, and the records whose number is none (it counts as missing there).
    """
    if feature.from_training:
        return np.full(len(rows.lines), np.nan), []
    if feature.kind == schema.DENSE:
        return _numbers(rows, feature)
    column = rows.columns[feature.column]
    if feature.kind == schema.CATEGORICAL:
        return tables.one_line(tables.texts(column)), []
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        bags = [bag_of_list(values, feature) for values in column.to_pylist()]
    else:
        bags = [bag_of_text(text, feature) for text in tables.texts(column).to_pylist()]
    return pa.array(bags, BAG_TYPE), []


def bag_of_text(text: str, feature: ItemFeature) -> list[str]:
    """The tokens of a cell, each once: words and runs of words, or what separators divide."""
    if not feature.words:
        return bag_of_list(text.split(feature.separator), feature)
    words = _WORD.findall(text.casefold())
    tokens = list(words)
    for size in range(2, feature.ngrams + 1):
        tokens += [" ".join(words[i : i + size]) for i in range(len(words) - size + 1)]
    return list(dict.fromkeys(tokens))


def bag_of_list(values: Sequence[Any] | None, feature: ItemFeature) -> list[str]:
    """The tokens of a list, each once; of the words of its texts if the feature takes words."""
    named = [str(value) for value in values or () if value is not None]
    if feature.words:
        return bag_of_text(" ".join(named), feature)
    stripped = (" ".join(value.splitlines()).strip() for value in named)
    return list(dict.fromkeys(value for value in stripped if value))


def _numbers(rows: tables.Rows, feature: ItemFeature) -> tuple[np.ndarray, list[tables.BadRecord]]:
    values = np.full(len(rows.lines), np.nan)
    bad = []
    for row, text in enumerate(tables.texts(rows.columns[feature.column]).to_pylist()):
        if text.lower() in _MISSING:
            continue
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if abs(value) <= _MAX_NUMBER:
            values[row] = value
        else:
            what = "beyond the numbers of float32" if np.isfinite(value) else "no number"
            reason = f"{feature.column} is {what}: {tables.shown(text)}"
            bad.append(tables.BadRecord(rows.path, int(rows.lines[row]), reason))
    return values, bad


@dataclasses.dataclass(frozen=True)
class Scale:
    """How a dense feature is scaled, learned from training items.

    Attributes:
      normalize: log, quantile, standard or none.
      mean: of the training items' values (their logarithms), for log and standard.
      deviation: their standard deviation, 1 where they are all equal.
      ordered: `[values]` the training items' values in ascending order, for quantile.
    """

    normalize: str
    mean: float = 0.0
    deviation: float = 1.0
    ordered: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Scales values.

        Args:
          values: `[items]` float64, NaN for missing.

        Returns:
          `[items, 2]` float32: the scaled value, 0 if missing, and 1 if missing, else 0.
        """
        missing = np.isnan(values)
        known = np.where(missing, 0.0, values)
        if self.normalize == QUANTILE:
            scaled = self._quantiles(known)
        elif self.normalize == AS_IS:
            scaled = known
        else:
            known = _log(known) if self.normalize == LOG_NORMALIZED else known
            scaled = (known - self.mean) / self.deviation
            scaled = np.clip(scaled, -_MAX_DEVIATIONS, _MAX_DEVIATIONS)
        return np.stack([np.where(missing, 0.0, scaled), missing], axis=1).astype(np.float32)

    def _quantiles(self, values: np.ndarray) -> np.ndarray:
        """Shares of training items below, from -1 to 1; equal ones count half."""
        if not len(self.ordered):
            return np.zeros(len(values))
        below = np.searchsorted(self.ordered, values, side="left")
        up_to = np.searchsorted(self.ordered, values, side="right")
        return (below + up_to) / len(self.ordered) - 1.0


def learn_scale(normalize: str, values: np.ndarray) -> Scale:
    """Learns from the values of training items.

    Args:
      normalize: log, quantile, standard or none.
      values: `[values]` float64 without NaN; the order does not matter.
    """
    ordered = np.sort(values)
    if normalize == QUANTILE:
        return Scale(normalize, ordered=ordered)
    if normalize == AS_IS or not len(ordered):
        return Scale(normalize)
    ordered = _log(ordered) if normalize == LOG_NORMALIZED else ordered
    deviation = float(ordered.std())
    return Scale(normalize, float(ordered.mean()), deviation if deviation > 0 else 1.0)


def _log(values: np.ndarray) -> np.ndarray:
    """log(1 + x), mirrored for negative values."""
    return np.sign(values) * np.log1p(np.abs(values))
