"""Items of tables as a tower's raw features, and their embeddings."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from data_prep import tables
from data_prep.vectors import of_column
from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.raw.rules import TOKENS, VECTORS, RawItem
from ssl_recsys.serving.index import Added, Columns
from ssl_recsys.training.export import EMBEDDING, FEATURES, RAW, Exported, Signature, load_tower

# What a record may hold in a column.
RawValue = str | int | float | Sequence[str] | Sequence[float] | None

_BATCH = 1024
_MOST_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class RawItems:
    """Items with their raw features.

    Attributes:
      keys: unique names.
      titles: shown to users.
      columns: column -> a text of each item, or a list where it takes several texts, or the numbers
        of a vector, none if that is missing.
    """

    keys: list[str]
    titles: list[str]
    columns: Mapping[str, Sequence[Any]]

    def of_each(self) -> tuple[Columns, ...]:
        """Each item's columns."""
        rows = zip(*self.columns.values(), strict=True)
        return tuple(dict(zip(self.columns, row, strict=True)) for row in rows)


class Embedders:
    """The towers of an export directory, over raw features; each is loaded when it is needed.

    Raises:
      InputError: if the dataset did not say how its features are made of raw ones.
    """

    def __init__(self, exported: Exported):
        export, info = exported.path, exported.info
        if info.raw is None:
            raise InputError(
                f"{export} takes no raw features: its dataset does not say how they become "
                "encoded ones; make the dataset with a data job and train again"
            )
        self.raw: RawItem = info.raw
        self._info = info
        self._export = export
        self._scales = exported.scales
        self._towers: dict[str, Mapping[str, Signature]] = {}

    def embed(self, side: str, columns: Mapping[str, Sequence[Any]]) -> np.ndarray:
        """`[items, dim]` float32, as towers give them; `columns` of the side, as in `RawItems`."""
        tower = self.tower(side)[RAW]
        size = len(next(iter(columns.values())))
        parts = [
            tower(self._tensors(side, columns, slice(begin, begin + _BATCH)))[EMBEDDING]
            for begin in range(0, size, _BATCH)
        ]
        return np.concatenate([part.numpy() for part in parts])

    def embed_items(self, items: RawItems) -> np.ndarray:
        """`[items, dim]` float32 embeddings as items, those of trained items times their scale."""
        return self.embed(schema.ITEM, items.columns) * self._scales(items.keys)

    def added(self, items: RawItems) -> Added:
        """Items as an index adds them."""
        item = self.embed_items(items)
        # Where queries are users, no item is one.
        query = item if self._info.queries else self.embed(schema.QUERY, items.columns)
        return Added(tuple(items.keys), tuple(items.titles), item, query, items.of_each())

    def raw_of(self, side: str) -> RawItem:
        """How the features of a side are made of raw columns.

        Raises:
          InputError: if that is not known.
        """
        raw = self._info.raw_of(side)
        if raw is None:
            raise InputError(f"{self._export} takes no raw features of queries")
        return raw

    def sizes_of(self, side: str) -> dict[str, int]:
        """The columns that take vectors -> how many numbers each has."""
        specs = {spec.name: spec for spec in self._info.features_of(side)}
        return {
            feature.column: specs[feature.name].max_values
            for feature in self.raw_of(side).features
            if feature.rule in VECTORS
        }

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]:
        """Feature name -> `[items, max_values]` ids or numbers; `columns` as in `RawItems`."""
        encode = self.tower(schema.ITEM)[FEATURES]
        found = encode(self._tensors(schema.ITEM, columns, slice(None)))
        return {name: values.numpy() for name, values in found.items()}

    def tower(self, side: str) -> Mapping[str, Signature]:
        """The signatures of a tower, by name."""
        if side not in self._towers:
            self._towers[side] = load_tower(self._export, side)
        return self._towers[side]

    def _tensors(
        self, side: str, columns: Mapping[str, Sequence[Any]], chosen: slice
    ) -> dict[str, tf.Tensor]:
        tensors, sizes = {}, self.sizes_of(side)
        for name, is_list in self.raw_of(side).columns().items():
            values = list(columns[name][chosen])
            if name in sizes:
                vectors = [row or [0.0] * sizes[name] for row in values]
                tensors[name] = tf.constant(vectors, tf.float32, (len(values), sizes[name]))
                continue
            if is_list:
                width = max(1, *map(len, values)) if values else 1
                values = [[*row, *[""] * (width - len(row))] for row in values]
            tensors[name] = tf.constant(values, tf.string)
        return tensors


def column_kinds(raw: RawItem) -> dict[str, bool]:
    """The columns of an item: key, title, features -> whether a column takes several values."""
    return {raw.key: False, **({raw.title: False} if raw.title else {}), **raw.columns()}


def item_columns(
    raw: RawItem, given: Mapping[str, RawValue], sizes: Mapping[str, int]
) -> dict[str, str | list[str] | list[float]]:
    """One item's columns as those that `read_items` gives of a record with the same fields.

    Args:
      raw: the rules.
      given: texts, numbers, lists of texts or vectors by column; a column that is not given, or is
        None, is missing.
      sizes: see `Embedders.sizes_of`.

    Raises:
      InputError: for a column that there is not, or that takes something else.
    """
    kinds = column_kinds(raw)
    for name in given:
        if name not in kinds:
            raise InputError(f"there is no column {name!r} (there are {', '.join(kinds)})")
    found: dict[str, str | list[str] | list[float]] = {}
    for name, is_list in kinds.items():
        value = given.get(name)
        if name in sizes:
            found[name] = _vector_cell(name, value, sizes[name])
            continue
        if isinstance(value, (list, tuple)) and not all(isinstance(one, str) for one in value):
            raise InputError(f"column {name!r} takes a list of texts, not of numbers")
        found[name] = _list_cell(raw, name, value) if is_list else _text_cell(value)
    return found


def _vector_cell(name: str, value: RawValue, size: int) -> list[float]:
    if value is None:
        return []
    column = pa.array([value if isinstance(value, (list, tuple)) else str(value)])
    vectors, faults = of_column(column, f"column {name!r}", size)
    if faults:
        raise InputError(faults[0])
    return vectors[0].tolist() if vectors.any() else []


def _text_cell(value: RawValue) -> str:
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    if isinstance(value, float) and value.is_integer():
        value = f"{value:.0f}"
    return pc.utf8_trim_whitespace("" if value is None else str(value)).as_py()


def _list_cell(raw: RawItem, name: str, value: RawValue) -> list[str]:
    if isinstance(value, (list, tuple)):
        return list(value)
    return _divided(raw, name, _text_cell(value))


def read_items(paths: Sequence[str], raw: RawItem, sizes: Mapping[str, int]) -> RawItems:
    """Reads tables, .csv, .tsv, .jsonl or .parquet, with the columns of an item table.

    A feature's column that a table lacks counts as missing in all of its rows.

    Args:
      paths: of the tables.
      raw: the rules.
      sizes: see `Embedders.sizes_of`.

    Raises:
      InputError: for a table without the column of keys, a record that cannot be used, or a key
        that comes twice; the message names file and line.
    """
    wanted = column_kinds(raw)
    values: dict[str, list[Any]] = {name: [] for name in wanted}
    lines: dict[str, str] = {}
    for rows in _read(paths, [*wanted], raw.key, sizes):
        texts = tables.one_line(tables.texts(rows.columns[raw.key])).to_pylist()
        for line, key in zip(rows.lines.tolist(), texts, strict=True):
            where = f"{rows.path}:{line}"
            if not key:
                raise InputError(f"{where}: {raw.key} is empty; every item needs a key")
            if key in lines:
                raise InputError(f"{where}: the key {key!r} is already in {lines[key]}")
            lines[key] = where
        for name, is_list in wanted.items():
            if name in sizes:
                values[name] += _vector_cells(rows, name, sizes[name])
            else:
                values[name] += _cells(rows.columns[name], raw, name, is_list=is_list)
    if not lines:
        raise InputError(f"there is no item in {', '.join(paths)}")
    titles = [one if isinstance(one, str) else " ".join(one) for one in values.get(raw.title, ())]
    return RawItems([*lines], titles or [*lines], values)


def _read(
    paths: Sequence[str], wanted: list[str], key: str, vectors: Collection[str]
) -> Iterator[tables.Rows]:
    for path in paths:
        there = tables.column_names(path)
        if key not in there:
            raise InputError(
                f"{path} has no column {key!r}, which holds the items' keys; its columns are "
                f"{', '.join(there)}"
            )
        is_json = tables.table_format(path) == tables.JSONL
        for piece in tables.pieces(path):
            columns = [name for name in wanted if is_json or name in there]
            rows = tables.parse(piece, columns, vectors)
            if rows.bad:
                shown = "\n".join(map(str, rows.bad[:_MOST_SHOWN]))
                raise InputError(f"{len(rows.bad):,} records of {path} cannot be read:\n{shown}")
            missing = pa.nulls(len(rows.lines), pa.string())
            yield dataclasses.replace(
                rows, columns={name: rows.columns.get(name, missing) for name in wanted}
            )


def _vector_cells(rows: tables.Rows, name: str, size: int) -> list[list[float]]:
    """A column as vectors, empty for missing."""
    vectors, faults = of_column(rows.columns[name], name, size)
    for row in sorted(faults):
        raise InputError(f"{rows.path}:{rows.lines[row]}: {faults[row]}")
    return [vector.tolist() if vector.any() else [] for vector in vectors]


def _cells(column: pa.Array, raw: RawItem, name: str, *, is_list: bool) -> list[Any]:
    """A column as texts, or as lists of them."""
    if not is_list:
        return tables.texts(column).to_pylist()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return [[one or "" for one in row or ()] for row in column.to_pylist()]
    return [_divided(raw, name, text) for text in tables.texts(column).to_pylist()]


def _divided(raw: RawItem, name: str, text: str) -> list[str]:
    # Where the item table had lists, a graph divides no text.
    feature = next(one for one in raw.features if one.column == name and one.rule == TOKENS)
    return text.split(feature.separator) if feature.lists else [text]
