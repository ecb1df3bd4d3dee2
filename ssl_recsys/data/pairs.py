"""Pairs of a dataset directory: reading a split's records in blocks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ssl_recsys import paths, schema
from ssl_recsys.data.records import open_builder, parsing, read_all
from ssl_recsys.errors import InputError

# Records are read and shuffled in blocks of this many (256 pairs each), so that the pairs of a
# small dataset mix completely and those of a large one within 512K.
BLOCK_RECORDS = 2048
_FILES_AT_ONCE = 16
_RECORDS_OF_A_FILE = 16


class Pairs(NamedTuple):
    """Pairs of catalog rows, as columns.

    Attributes:
      query_row: `[num_pairs]` int32, rows of the query side's catalog.
      item_row: `[num_pairs]` int32, rows of the item side's catalog.
    """

    query_row: npt.NDArray[np.int32]
    item_row: npt.NDArray[np.int32]

    def __bool__(self) -> bool:
        """Whether there is any pair; the columns are two however many pairs they hold."""
        return len(self.query_row) > 0

    def take(self, positions: npt.NDArray[np.integer]) -> Pairs:
        """The pairs at `[n]` positions."""
        return Pairs(self.query_row[positions], self.item_row[positions])

    def distinct_queries(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.intp]]:
        """`[num_queries]` rows of the distinct queries, and each pair's position among them."""
        return np.unique(self.query_row, return_inverse=True)


def load_pairs(data_dir: str | os.PathLike[str], split: str) -> Pairs:
    """Reads all pairs of a split.

    Raises:
      InputError: for an unknown split or a corrupt record file.
    """
    dataset = pair_records(data_dir, split).batch(BLOCK_RECORDS).map(parse_pairs)
    parts = list(read_all(dataset, data_dir, schema.PAIRS_DIR))
    names = Pairs._fields
    none = np.zeros(0, np.int32)
    return Pairs(*(np.concatenate([none, *(part[name] for part in parts)]) for name in names))


def pair_records(
    data_dir: str | os.PathLike[str], split: str, shuffle_seed: int | None = None
) -> tf.data.Dataset:
    """Serialized pair records of a TFDS slice, files in random order if a seed is given.

    TFDS says which records of which files a slice has; its own reader would parse them one by
    one, which takes several times as long as parsing a block at once.
    """
    builder = open_builder(data_dir, schema.PAIRS_DIR)
    name = split.split("[")[0]
    if name not in builder.info.splits:
        raise InputError(
            f"{data_dir} has no split {name!r} (splits: {', '.join(builder.info.splits)})"
        )
    parts = list(builder.info.splits[split].file_instructions)
    if shuffle_seed is not None:
        order = np.random.default_rng(shuffle_seed).permutation(len(parts))
        parts = [parts[number] for number in order]
    files = tf.data.Dataset.from_tensor_slices(
        (
            tf.constant([str(part.filename) for part in parts], tf.string, [len(parts)]),
            tf.constant([part.skip for part in parts], tf.int64, [len(parts)]),
            tf.constant([part.take for part in parts], tf.int64, [len(parts)]),
        )
    )
    return files.interleave(
        lambda path, skip, take: tf.data.TFRecordDataset(path).skip(skip).take(take),
        cycle_length=1 if shuffle_seed is None else _FILES_AT_ONCE,
        block_length=_RECORDS_OF_A_FILE,
    )


def check_weights(data_dir: str | os.PathLike[str], block: Mapping[str, npt.NDArray[Any]]) -> None:
    """Raises InputError unless each pair of a block of `parse_pairs` has a weight to train with."""
    weight = block[schema.WEIGHT]
    if len(weight) == len(block["item_row"]) and (np.isfinite(weight) & (weight >= 0)).all():
        return
    raise InputError(
        f"{paths.as_path(data_dir) / schema.PAIRS_DIR} has pairs without a weight, or with one "
        "that is below 0 or no number; make the dataset again"
    )


def check_negatives(
    data_dir: str | os.PathLike[str], block: Mapping[str, npt.NDArray[Any]], num_items: int
) -> None:
    """Raises InputError unless the negatives of a block are rows of the items' catalog, or -1."""
    rows = block[schema.NEGATIVES]
    if len(rows) == len(block["item_row"]) and ((rows >= -1) & (rows < num_items)).all():
        return
    raise InputError(
        f"{paths.as_path(data_dir) / schema.PAIRS_DIR} has pairs without negatives, or with some "
        "that are no rows of the catalog; make the dataset again"
    )


def parse_pairs(
    records: tf.Tensor, pair_columns: Mapping[str, int] | None = None
) -> dict[str, tf.Tensor]:
    """A block of pair records to columns by name.

    Args:
      records: serialized.
      pair_columns: the optional columns to read, name -> values of each pair, as
        `DatasetInfo.pair_columns`; None: none of them.

    Returns:
      `query_row` and `item_row`, `[num_pairs]` int32, and each optional column, `[num_pairs]`, or
      `[num_pairs, n]` of n values a pair: whole numbers int32, others float32.
    """
    sizes = pair_columns or {}
    optional = [schema.OPTIONAL_PAIR_COLUMNS[name] for name in sizes]
    parsed = tf.io.parse_example(records, parsing((*schema.PAIR_COLUMNS, *optional)))
    columns = {}
    for name, rows in parsed.items():
        flat = rows.flat_values
        values = tf.cast(flat, tf.int32) if flat.dtype == tf.int64 else flat
        columns[name] = tf.reshape(values, [-1, sizes[name]]) if sizes.get(name, 1) > 1 else values
    return columns
