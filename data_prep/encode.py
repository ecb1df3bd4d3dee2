"""Catalog and pair records: encoding, record files, TFDS metadata.

The columns are those of `ssl_recsys.schema`.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data_prep import dataset_files, tf_records, tfds_metadata
from data_prep.counting import count
from data_prep.dataset_files import WrittenFile
from data_prep.shards import first_rows
from ssl_recsys import schema
from ssl_recsys.features import FeatureSpec, catalog_columns

PAIRS_PER_RECORD = 256
PAIRS_PER_FILE = 1 << 20
ITEMS_PER_FILE = 1 << 17
_ITEMS_PER_BATCH = 20_000

_SPLITS = (schema.CATALOG_SPLIT, schema.QUERIES_SPLIT, *schema.PAIR_SPLITS)

_log = logging.getLogger(__name__)

# Encoded values of one feature: one id, up to `max_values` ids, or `max_values` floats.
Values = Sequence[int] | Sequence[float] | npt.NDArray[np.float32]


class Item(NamedTuple):
    """One item of a catalog.

    Attributes:
      key: unique and not empty.
      title: text that is shown to users.
      train_count: number of training pairs with this item as their item side.
      values: each feature's encoded values.
    """

    key: str
    title: str
    train_count: int
    values: Mapping[str, Values]


class ItemBatch(NamedTuple):
    """Serialised catalog records of consecutive rows."""

    first_row: int
    records: list[bytes]


class FileStats(NamedTuple):
    """A record file that was written.

    Attributes:
      folder: of the dataset directory.
      split: that it belongs to.
      number: among the split's files.
      num_records: how many records it holds.
      num_bytes: their size, without what the file adds.
      name: of the file, relative to the dataset directory.
      size: of the file.
      sha256: its digest.
    """

    folder: str
    split: str
    number: int
    num_records: int
    num_bytes: int
    name: str
    size: int
    sha256: str

    @property
    def written(self) -> WrittenFile:
        """The file as the manifest describes it."""
        return WrittenFile(self.name, self.size, self.sha256)


def num_files(count: int, per_file: int) -> int:
    """How many files hold `count` entries; a function of the data alone, never of the workers."""
    return max(1, -(-count // per_file))


def file_name(folder: str, split: str, index: int, count: int) -> str:
    """Name of a record file as TFDS expects it, relative to the dataset directory."""
    return f"{folder}/{folder}-{split}.tfrecord-{index:05d}-of-{count:05d}"


_catalog_columns = functools.lru_cache(catalog_columns)


def item_record(
    *,
    row: int,
    key: str,
    title: str,
    train_count: int,
    values: Mapping[str, Values],
    features: Sequence[FeatureSpec],
) -> bytes:
    """Serialises the catalog record of an `Item`.

    Raises:
      ValueError: if values do not fit their feature's spec.
    """
    encoded = [values[spec.name] for spec in features]
    for spec, feature_values in zip(features, encoded, strict=True):
        spec.check_values(feature_values)
    fixed = ([row], [key.encode("utf-8")], [title.encode("utf-8")], [train_count])
    return tf_records.example(_catalog_columns(tuple(features)), (*fixed, *encoded))


def item_records(
    items: Iterable[Item], first_row: int, features: Sequence[FeatureSpec]
) -> Iterator[bytes]:
    """Serialises items of consecutive rows, as `item_record`."""
    for row, item in enumerate(items, start=first_row):
        yield item_record(row=row, features=features, **item._asdict())


def encode_shard(
    items: Iterable[Item],
    shard: int,
    item_counts: Mapping[int, int],
    num_shards: int,
    features: Sequence[FeatureSpec],
    counter: str = "items",
) -> Iterator[ItemBatch]:
    """Serialises the items of a shard in batches, of which only one is in memory.

    Args:
      items: in the order of their rows, which are numbered shard after shard.
      shard: number of the shard.
      item_counts: numbers of items by shard.
      num_shards: how many shards there are.
      features: the specs of the dataset's features.
      counter: counts them.
    """
    row = first = int(first_rows(item_counts, num_shards)[shard])
    records = item_records(items, first, features)
    while batch := list(itertools.islice(records, _ITEMS_PER_BATCH)):
        yield ItemBatch(row, batch)
        row += len(batch)
    count(counter, row - first)
    _log.info("encoded the %s of shard %d of %d", counter, shard + 1, num_shards)


def pair_records(
    query_row: np.ndarray, item_row: np.ndarray, **optional: np.ndarray | None
) -> Iterator[bytes]:
    """Packs pairs, in the order given, into records of up to PAIRS_PER_RECORD.

    Args:
      query_row: `[pairs]`.
      item_row: `[pairs]`.
      **optional: columns of `schema.OPTIONAL_PAIR_COLUMNS` by name, `[pairs]` or `[pairs, n]`;
        None: the records have no such column.
    """
    given = {name: values for name, values in optional.items() if values is not None}
    columns = (*schema.PAIR_COLUMNS, *(schema.OPTIONAL_PAIR_COLUMNS[name] for name in given))
    arrays = (query_row, item_row, *given.values())
    for start in range(0, len(query_row), PAIRS_PER_RECORD):
        part = slice(start, start + PAIRS_PER_RECORD)
        yield tf_records.example(columns, [array[part].ravel().tolist() for array in arrays])


def write_records(
    directory: str, folder: str, split: str, number: int, count: int, records: Iterable[bytes]
) -> FileStats:
    """Writes a record file.

    Args:
      directory: the dataset directory being written.
      folder: its folder for the catalog or the pairs.
      split: the split that the file belongs to.
      number: of the file among the split's `count`.
      count: how many files the split has.
      records: the contents.
    """
    framed = tf_records.Framed(records)
    name = file_name(folder, split, number, count)
    written = dataset_files.write_file(directory, name, framed)
    return FileStats(folder, split, number, framed.num_records, framed.num_bytes, *written)


def write_metadata(
    directory: str, files: Iterable[FileStats], info: schema.DatasetInfo
) -> list[WrittenFile]:
    """Writes the TFDS metadata of the folders of catalogs and pairs.

    Args:
      directory: the dataset directory.
      files: every record file that was written; a folder's files are numbered from 0 without
        a gap, and no split is empty.
      info: the dataset's features.
    """
    columns_of = {schema.PAIRS_DIR: info.columns_of_pairs()} | {
        info.catalog_dir(side): catalog_columns(info.features_of(side)) for side in schema.SIDES
    }
    by_folder: dict[str, dict[str, list[FileStats]]] = {}
    for file in sorted(files, key=lambda file: (_SPLITS.index(file.split), file.number)):
        by_folder.setdefault(file.folder, {}).setdefault(file.split, []).append(file)
    written = []
    for folder, by_split in by_folder.items():
        splits = [
            tfds_metadata.Split(
                split,
                sum(file.num_bytes for file in of_split),
                [file.num_records for file in of_split],
            )
            for split, of_split in by_split.items()
        ]
        texts = {
            tfds_metadata.INFO_FILE: tfds_metadata.info_text(folder, splits),
            tfds_metadata.FEATURES_FILE: tfds_metadata.features_text(columns_of[folder]),
        }
        for name, text in texts.items():
            written.append(dataset_files.write_text(directory, f"{folder}/{name}", text))
    return written
