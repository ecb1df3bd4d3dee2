"""The items of a catalog: rows of the item table, and those that only the log names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from data_prep import problems, tables
from data_prep.counting import count
from data_prep.installs import logs, vector_files
from data_prep.installs.encoder import Column
from data_prep.installs.keys import unusable as unusable_keys
from data_prep.installs.logs import Keys
from data_prep.installs.spec import InstallSpec
from data_prep.job_options import TRAINING
from data_prep.rows import place_of, places
from data_prep.shards import find, group_indices, range_index


class ItemRows(NamedTuple):
    """Rows of item tables as columns `[rows]`.

    Attributes:
      digests: of the keys, uint64.
      places: file number and line as one int64 that sorts.
      keys: Arrow text.
      titles: shown to users, Arrow text; empty for an item that no table has.
      features: in the order of the spec.
    """

    digests: np.ndarray
    places: np.ndarray
    keys: pa.Array
    titles: pa.Array
    features: list[Column]

    def take(self, where: np.ndarray) -> ItemRows:
        """The rows at positions `where`."""
        columns: list[Any] = [_take(column, where) for column in self[:-1]]
        return ItemRows._make([*columns, [_take(column, where) for column in self.features]])


def _take(column: Column, where: np.ndarray) -> Column:
    return column[where] if isinstance(column, np.ndarray) else column.take(pa.array(where))


@dataclasses.dataclass(frozen=True)
class ItemOptions:
    """How item tables are read.

    Attributes:
      spec: the columns.
      paths: the files; of rows with the same key the first one, in this order, is kept.
      num_shards: how many shards the digests divide into.
      text: how text files are read.
      vocabulary: whose tokens get ids, `training` or `catalog`.
    """

    spec: InstallSpec
    paths: tuple[str, ...]
    num_shards: int
    text: tables.TextFormat = tables.DEFAULT_TEXT
    vocabulary: str = TRAINING


class ReadItems(beam.PTransform):
    """Reads item tables to (shard, ItemRows), and (`item_records_bad`, tables.BadRecord).

    Takes (number, path) elements.

    Args:
      options: the columns and files.
      directory: the dataset directory being written, see `problems`.
    """

    def __init__(self, options: ItemOptions, directory: str):
        super().__init__()
        self._options = options
        self._directory = directory

    def expand(self, paths: beam.PCollection) -> Any:
        """Cuts the files, spreads the pieces over the workers, parses each."""
        return (
            paths
            | "CutItems" >> beam.FlatMap(_number_pieces, self._options, self._directory)
            | "SpreadItems" >> beam.Reshuffle()
            | "ParseItems"
            >> beam.ParDo(_read_items, self._options, self._directory).with_outputs("bad", "rows")
        )


def _number_pieces(
    numbered: tuple[int, str], options: ItemOptions, directory: str
) -> Iterator[tuple[int, tables.Piece]]:
    number, path = numbered
    spec = options.spec
    with problems.reported(directory):
        pieces: Iterator[tables.Piece] = tables.pieces(path, options.text)
        if spec.vector_files:
            pieces = vector_files.numbered(pieces, spec.key, spec.vector_files)
        for piece in pieces:
            yield number, piece


def _read_items(
    numbered: tuple[int, tables.Piece], options: ItemOptions, directory: str
) -> Iterator[TaggedOutput]:
    number, piece = numbered
    spec = options.spec
    features = []
    with problems.reported(directory):
        rows = tables.parse(piece, spec.item_columns(), spec.vector_columns)
        bad = list(rows.bad)
        for encoder in spec.encoders().values():
            column, unusable = encoder.read(rows)
            features.append(column)
            bad += unusable
    keys = tables.one_line(tables.texts(rows.columns[spec.key]))
    coded = pc.dictionary_encode(keys)
    has_key = np.ones(len(keys), bool)
    unusable_rows = unusable_keys(coded, spec.key)
    bad += rows.bad_records(unusable_rows)
    has_key[list(unusable_rows)] = False
    digests, _ = logs.digests(coded)
    titles = tables.texts(rows.columns[spec.title]) if spec.title else _no_texts(len(keys))
    every = ItemRows(digests, places(number, rows.lines), keys, titles, features)
    every = every.take(np.flatnonzero(has_key))
    count(f"{spec.noun}_rows", len(every.digests))
    shard_of = range_index(every.digests, options.num_shards)
    for shard, where in group_indices(shard_of, options.num_shards):
        yield TaggedOutput("rows", (shard, every.take(where)))
    for record in bad:
        yield TaggedOutput("bad", (f"{spec.noun}_records_bad", record))


def choose_items(
    tables_rows: Iterable[ItemRows],
    names: Iterable[Keys],
    used: np.ndarray,
    options: ItemOptions,
) -> tuple[ItemRows, list[tables.BadRecord]]:
    """The items of a shard: those of the item tables, and those that occur in pairs.

    Args:
      tables_rows: the shard's rows of item tables.
      names: the shard's names in logs.
      used: digests of the items that occur in pairs, each once, ascending.
      options: how tables are read.

    Returns:
      The items, each once, by digest, and one record for each row with a key that an earlier
      row has.
    """
    rows = _join(tables_rows, options.spec)
    order = np.lexsort((rows.places, rows.digests))
    first = np.ones(len(order), bool)
    first[1:] = rows.digests[order[1:]] != rows.digests[order[:-1]]
    repeated = [
        tables.BadRecord(
            *place_of(int(rows.places[row]), options.paths), repr(rows.keys[row].as_py())
        )
        for row in order[~first].tolist()
    ]
    rows = rows.take(order[first])
    missing = used[~find(used, rows.digests)[1]]
    what = f"{options.spec.noun}s"
    count(f"{what}_in_pairs", len(used))
    count(f"{what}_without_metadata", len(missing))
    count(f"{what}_without_pair", len(rows.digests) - (len(used) - len(missing)))
    if len(missing):
        unknown = _unknown_items(missing, names, options.spec)
        rows = _join([rows, unknown], options.spec)
        rows = rows.take(np.argsort(rows.digests))
    return rows, repeated


def _unknown_items(digests: np.ndarray, names: Iterable[Keys], spec: InstallSpec) -> ItemRows:
    """Items that no table has; only their keys are known."""
    name_of: dict[int, str] = {}
    wanted = set(digests.tolist())
    for keys in names:
        for digest, name in zip(keys.digests.tolist(), keys.names, strict=True):
            if digest in wanted:
                # The smaller of two names with one digest, whatever their order.
                name_of[digest] = min(name, name_of.get(digest, name))
    return _only_keys(digests, [name_of[digest] for digest in digests.tolist()], spec)


def _only_keys(digests: np.ndarray, names: list[str], spec: InstallSpec) -> ItemRows:
    keys = pa.array(names, pa.string())
    return ItemRows(
        digests=digests,
        places=np.zeros(len(names), np.int64),
        keys=keys,
        titles=_no_texts(len(names)),
        features=[encoder.missing(keys) for encoder in spec.encoders().values()],
    )


def _no_texts(size: int) -> pa.Array:
    return pa.array([""] * size, pa.string())


def _join(batches: Iterable[ItemRows], spec: InstallSpec) -> ItemRows:
    """Joins rows; there may be none."""
    parts = [_only_keys(np.zeros(0, np.uint64), [], spec), *batches]
    columns = [_concatenate(column) for column in zip(*(part[:-1] for part in parts), strict=True)]
    joined = [_concatenate(column) for column in zip(*(p.features for p in parts), strict=True)]
    return ItemRows._make([*columns, joined])


def _concatenate(columns: Sequence[Column]) -> Column:
    if isinstance(columns[0], np.ndarray):
        return np.concatenate(columns)
    return pa.concat_arrays(columns)
