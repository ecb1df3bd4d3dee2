"""Catalog and pair records: encoding, record files, TFDS metadata.

The columns are those of `ssl_recsys.schema`. TensorFlow is imported where records are written, not
with the module: it takes seconds and hundreds of megabytes that the other stages' workers need not
spend.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from data_prep.counting import count
from data_prep.shards import first_rows
from ssl_recsys import schema
from ssl_recsys.features import Column, FeatureSpec

PAIRS_PER_RECORD = 256
PAIRS_PER_FILE = 1 << 20
ITEMS_PER_FILE = 1 << 17
_ITEMS_PER_BATCH = 20_000

_log = logging.getLogger(__name__)

# Encoded values of one feature: one id, up to `max_values` ids, or `max_values` floats.
Values = Sequence[int] | Sequence[float]


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
    """A record file that was written: its numbers of records and of bytes in them."""

    folder: str
    split: str
    number: int
    num_records: int
    num_bytes: int


def num_files(count: int, per_file: int) -> int:
    """How many files hold `count` entries; a function of the data alone, never of the workers."""
    return max(1, -(-count // per_file))


def file_name(folder: str, split: str, index: int, count: int) -> str:
    """Name of a record file as TFDS expects it, relative to the dataset directory."""
    return f"{folder}/{folder}-{split}.tfrecord-{index:05d}-of-{count:05d}"


def record(columns: Sequence[Column], values: Iterable[Sequence[Any]]) -> bytes:
    """Serialises one record; each column's values are a sequence, even of one."""
    from tensorflow.core.example import example_pb2

    example = example_pb2.Example()
    for column, column_values in zip(columns, values, strict=True):
        feature = example.features.feature[column.name]
        if column.dtype == "float32":
            feature.float_list.value.extend(column_values)
        elif column.dtype == "string":
            feature.bytes_list.value.extend(column_values)
        else:
            feature.int64_list.value.extend(column_values)
    return example.SerializeToString(deterministic=True)


_catalog_columns = functools.lru_cache(schema.catalog_columns)


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
    return record(_catalog_columns(tuple(features)), (*fixed, *encoded))


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
) -> Iterator[ItemBatch]:
    """Serialises the items of a shard in batches, of which only one is in memory.

    Args:
      items: in the order of their rows, which are numbered shard after shard.
      shard: number of the shard.
      item_counts: numbers of items by shard.
      num_shards: how many shards there are.
      features: the specs of the dataset's features.
    """
    row = first = int(first_rows(item_counts, num_shards)[shard])
    records = item_records(items, first, features)
    while batch := list(itertools.islice(records, _ITEMS_PER_BATCH)):
        yield ItemBatch(row, batch)
        row += len(batch)
    count("items", row - first)
    _log.info("encoded the items of shard %d of %d", shard + 1, num_shards)


def pair_record(query_row: Sequence[int], item_row: Sequence[int]) -> bytes:
    """Serialises one record of up to PAIRS_PER_RECORD pairs."""
    return record(schema.PAIR_COLUMNS, (query_row, item_row))


def pair_records(query_row: np.ndarray, item_row: np.ndarray) -> Iterator[bytes]:
    """Packs pairs, in the order given, into records."""
    for start in range(0, len(query_row), PAIRS_PER_RECORD):
        part = slice(start, start + PAIRS_PER_RECORD)
        yield pair_record(query_row[part].tolist(), item_row[part].tolist())


def write_records(path: str, records: Iterable[bytes]) -> tuple[int, int]:
    """Writes a TFRecord file to any of Beam's file systems.

    Returns:
      The number of records and their size in bytes.
    """
    import tensorflow as tf

    num_records = num_bytes = 0
    with tempfile.TemporaryDirectory() as scratch:
        local = os.path.join(scratch, "records")
        with tf.io.TFRecordWriter(local) as writer:
            for record in records:
                writer.write(record)
                num_records += 1
                num_bytes += len(record)
        copy_in(local, path)
    return num_records, num_bytes


def copy_in(local: str, path: str) -> None:
    """Copies a local file to `path` on any of Beam's file systems."""
    with open(local, "rb") as source, create(path) as target:
        shutil.copyfileobj(source, target, 1 << 20)


def create(path: str) -> Any:
    """Opens `path` for writing on any of Beam's file systems; never compressed."""
    make_parent(path)
    return FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)


def make_parent(path: str) -> None:
    """Makes the directory of `path` where the file system has directories."""
    if "://" not in path:
        os.makedirs(os.path.dirname(path), exist_ok=True)


def write_metadata(
    directory: str, files: Iterable[FileStats], features: Sequence[FeatureSpec]
) -> None:
    """Writes the TFDS metadata of the catalog and pairs folders.

    Args:
      directory: the dataset directory.
      files: every record file that was written; a folder's files are numbered from 0 without
        a gap, and no split is empty.
      features: the specs of the dataset's features.
    """
    columns = {
        schema.CATALOG_DIR: schema.catalog_columns(features),
        schema.PAIRS_DIR: schema.PAIR_COLUMNS,
    }
    by_folder: dict[str, dict[str, dict[int, FileStats]]] = {}
    for file in files:
        by_folder.setdefault(file.folder, {}).setdefault(file.split, {})[file.number] = file
    for folder, splits in by_folder.items():
        _write_folder(directory, folder, columns[folder], splits)


def _tfds_feature(column: Column) -> Any:
    """A column as TFDS describes it."""
    import tensorflow_datasets as tfds

    one = (
        tfds.features.Text()
        if column.dtype == "string"
        else tfds.features.Scalar(np.dtype(column.dtype).type)
    )
    if not column.shape:
        return one
    if column.shape == (None,):
        return tfds.features.Sequence(one)
    return tfds.features.Tensor(shape=column.shape, dtype=np.dtype(column.dtype).type)


def _write_folder(
    directory: str,
    folder: str,
    columns: Sequence[Column],
    splits: Mapping[str, Mapping[int, FileStats]],
) -> None:
    import tensorflow_datasets as tfds

    order = (schema.CATALOG_SPLIT, *schema.PAIR_SPLITS)
    with tempfile.TemporaryDirectory() as scratch:
        split_infos = []
        for split, by_index in sorted(splits.items(), key=lambda entry: order.index(entry[0])):
            files = [by_index[index] for index in range(len(by_index))]
            for file in files:  # TFDS reads the layout off the files' names
                name = os.path.basename(file_name(folder, split, file.number, len(files)))
                open(os.path.join(scratch, name), "wb").close()
            split_infos.append(
                tfds.core.SplitInfo(
                    name=split,
                    shard_lengths=[file.num_records for file in files],
                    num_bytes=sum(file.num_bytes for file in files),
                    filename_template=tfds.core.ShardedFileTemplate(
                        data_dir=scratch,
                        dataset_name=folder,
                        split=split,
                        filetype_suffix="tfrecord",
                    ),
                )
            )
        tfds.folder_dataset.write_metadata(
            data_dir=scratch,
            features=tfds.features.FeaturesDict(
                {column.name: _tfds_feature(column) for column in columns}
            ),
            split_infos=split_infos,
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=scratch, dataset_name=folder, filetype_suffix="tfrecord"
            ),
            check_data=False,
            description=f"The {folder} of a recommendation dataset.",
        )
        for name in sorted(name for name in os.listdir(scratch) if name.endswith(".json")):
            copy_in(os.path.join(scratch, name), FileSystems.join(directory, folder, name))
