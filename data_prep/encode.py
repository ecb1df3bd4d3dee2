"""Catalog and pair records: encoding, record files, TFDS metadata.

TensorFlow is imported where records are written, not with the module: it takes seconds and
hundreds of megabytes that the other stages' workers need not spend.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from data_prep import shards, splits
from ssl_recsys import features as kinds, schema

PAIRS_PER_RECORD = 256
PAIRS_PER_FILE = 1 << 20
ITEMS_PER_FILE = 1 << 17

# (split, digest, query_row, item_row): uint8, uint64, int64 and int64 columns of one length.
PairBatch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
# (first row, serialised catalog records of consecutive rows)
ItemBatch = tuple[int, list[bytes]]
# (folder, split, file number, records, bytes) of a written file
FileStats = tuple[str, str, int, int, int]


class EncodedDataset(NamedTuple):
    """What a job makes of its source, ready to be written.

    Attributes:
      items: ItemBatch elements.
      pairs: PairBatch elements.
      num_items: one element.
      num_pairs: one element, the numbers of pairs by split.
      vocabularies: (feature, tokens) elements.
    """

    items: beam.PCollection
    pairs: beam.PCollection
    num_items: beam.PCollection
    num_pairs: beam.PCollection
    vocabularies: beam.PCollection


def sum_splits(rows: Iterable[Sequence[int]]) -> list[int]:
    """Sums numbers of pairs by split, in the order of `schema.PAIR_SPLITS`."""
    return [sum(column) for column in zip([0] * len(schema.PAIR_SPLITS), *rows, strict=True)]


def num_files(count: int, per_file: int) -> int:
    """How many files hold `count` entries; a function of the data alone, never of the workers."""
    return max(1, -(-count // per_file))


def file_name(folder: str, split: str, index: int, count: int) -> str:
    """Name of a record file as TFDS expects it, relative to the dataset directory."""
    return f"{folder}/{folder}-{split}.tfrecord-{index:05d}-of-{count:05d}"


def item_record(
    *,
    row: int,
    key: str,
    title: str,
    train_count: int,
    values: Mapping[str, Sequence[int] | Sequence[float]],
    features: Sequence[kinds.FeatureSpec],
) -> bytes:
    """Serialises one catalog record.

    Args:
      row: the item's row number.
      key: unique and not empty.
      title: what is shown to users.
      train_count: number of training pairs with this item as their item side.
      values: each feature's encoded values: one id, up to `max_values` ids, or exactly
        `max_values` floats.
      features: the specs of the dataset's features.

    Raises:
      ValueError: if values do not fit their spec.
    """
    from tensorflow.core.example import example_pb2

    example = example_pb2.Example()
    columns = example.features.feature
    columns["row"].int64_list.value.append(row)
    columns["key"].bytes_list.value.append(key.encode("utf-8"))
    columns["title"].bytes_list.value.append(title.encode("utf-8"))
    columns["train_count"].int64_list.value.append(int(train_count))
    for spec in features:
        encoded = values[spec.name]
        _check_values(spec, encoded, key)
        if spec.kind == kinds.DENSE:
            columns[spec.name].float_list.value.extend(encoded)
        else:
            columns[spec.name].int64_list.value.extend([int(value) for value in encoded])
    return example.SerializeToString(deterministic=True)


def _check_values(spec: kinds.FeatureSpec, encoded: Sequence[Any], key: str) -> None:
    fits = (
        len(encoded) <= spec.max_values
        if spec.kind == kinds.BAG
        else (len(encoded) == spec.max_values)
    )
    if fits and spec.kind == kinds.DENSE:
        fits = bool(np.isfinite(encoded).all())
    elif fits:
        lowest = 1 if spec.kind == kinds.BAG else 0
        fits = all(lowest <= value < spec.vocab_size for value in encoded)
    if not fits:
        raise ValueError(f"item {key!r}: values {list(encoded)!r} do not fit {spec}")


def pair_record(query_row: Iterable[int], item_row: Iterable[int]) -> bytes:
    """Serialises one record of up to PAIRS_PER_RECORD pairs."""
    from tensorflow.core.example import example_pb2

    example = example_pb2.Example()
    columns = example.features.feature
    columns["query_row"].int64_list.value.extend(query_row)
    columns["item_row"].int64_list.value.extend(item_row)
    return example.SerializeToString(deterministic=True)


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

    count = size = 0
    with tempfile.TemporaryDirectory() as scratch:
        local = os.path.join(scratch, "records")
        with tf.io.TFRecordWriter(local) as writer:
            for record in records:
                writer.write(record)
                count += 1
                size += len(record)
        copy_in(local, path)
    return count, size


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


class WriteCatalog(beam.PTransform):
    """Writes catalog records in row order.

    Takes a PCollection of ItemBatch; a batch's rows may lie anywhere. Gives FileStats.

    Args:
      directory: the dataset directory being written.
      num_items: PCollection with one element, the number of rows.
    """

    def __init__(self, directory: str, num_items: beam.PCollection):
        super().__init__()
        self._directory = directory
        self._num_items = num_items

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Groups records by file and writes each file."""
        num_items = beam.pvalue.AsSingleton(self._num_items)
        return (
            batches
            | "KeyByFile" >> beam.FlatMap(_items_by_file)
            | "GroupByFile" >> beam.GroupByKey()
            | "WriteFile" >> beam.Map(_write_items, num_items, self._directory)
        )


def _items_by_file(batch: ItemBatch) -> Iterator[tuple[int, ItemBatch]]:
    first, records = batch
    while records:
        file_index = first // ITEMS_PER_FILE
        room = (file_index + 1) * ITEMS_PER_FILE - first
        yield file_index, (first, records[:room])
        first, records = first + room, records[room:]


def _write_items(
    element: tuple[int, Iterable[ItemBatch]], num_items: int, directory: str
) -> FileStats:
    file_index, batches = element
    count = num_files(num_items, ITEMS_PER_FILE)
    name = file_name(schema.CATALOG_DIR, schema.CATALOG_SPLIT, file_index, count)
    ordered = sorted(batches, key=lambda batch: batch[0])
    records = (record for _, part in ordered for record in part)
    stats = write_records(FileSystems.join(directory, name), records)
    return (schema.CATALOG_DIR, schema.CATALOG_SPLIT, file_index, *stats)


class WritePairs(beam.PTransform):
    """Writes pairs of catalog rows, by split, in a stable random order.

    Takes a PCollection of PairBatch. The digests give the order: pairs with the same digest must
    have the same rows (equal pairs may repeat). Gives FileStats.

    Args:
      directory: the dataset directory being written.
      num_pairs: PCollection with one element, the numbers of pairs in the order of
        `schema.PAIR_SPLITS`.
      seed: seed of the order.
    """

    def __init__(self, directory: str, num_pairs: beam.PCollection, *, seed: int = 0):
        super().__init__()
        self._directory = directory
        self._num_pairs = num_pairs
        self._seed = seed

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Groups pairs by file, sorts, packs and writes each file."""
        num_pairs = beam.pvalue.AsSingleton(self._num_pairs)
        return (
            batches
            | "KeyByFile" >> beam.FlatMap(_pairs_by_file, num_pairs, self._seed)
            | "GroupByFile" >> beam.GroupByKey()
            | "WriteFile" >> beam.Map(_write_pairs, num_pairs, self._directory)
        )


def _pairs_by_file(
    batch: PairBatch, num_pairs: Sequence[int], seed: int
) -> Iterator[tuple[tuple[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    split, digest, query_row, item_row = batch
    order = splits.order_keys(digest, seed)
    for split_index in range(len(schema.PAIR_SPLITS)):
        files = num_files(num_pairs[split_index], PAIRS_PER_FILE)
        mine = np.flatnonzero(split == split_index)
        # A file owns a range of keys, so that file order is key order.
        file_index = shards.range_index(order[mine], files)
        for index, where in shards.group_indices(file_index, files):
            chosen = mine[where]
            yield (split_index, index), (order[chosen], query_row[chosen], item_row[chosen])


def _write_pairs(
    element: tuple[tuple[int, int], Iterable[Any]], num_pairs: Sequence[int], directory: str
) -> FileStats:
    (split_index, file_index), batches = element
    order, query_row, item_row = (np.concatenate(column) for column in zip(*batches, strict=True))
    sorting = np.lexsort((item_row, query_row, order))
    split = schema.PAIR_SPLITS[split_index]
    count = num_files(num_pairs[split_index], PAIRS_PER_FILE)
    name = file_name(schema.PAIRS_DIR, split, file_index, count)
    records = pair_records(query_row[sorting], item_row[sorting])
    stats = write_records(FileSystems.join(directory, name), records)
    return (schema.PAIRS_DIR, split, file_index, *stats)


def write_metadata(
    directory: str, files: Iterable[FileStats], features: Sequence[kinds.FeatureSpec]
) -> None:
    """Writes the TFDS metadata of the catalog and pairs folders.

    Args:
      directory: the dataset directory.
      files: every record file that was written; a folder's files are numbered from 0 without
        a gap, and no split is empty.
      features: the specs of the dataset's features.
    """
    import tensorflow_datasets as tfds

    int64 = tfds.features.Scalar(np.int64)
    catalog: dict[str, Any] = {
        "row": int64,
        "key": tfds.features.Text(),
        "title": tfds.features.Text(),
        "train_count": int64,
    }
    for spec in features:
        catalog[spec.name] = {
            kinds.CATEGORICAL: int64,
            kinds.BAG: tfds.features.Sequence(int64),
            kinds.DENSE: tfds.features.Tensor(shape=(spec.max_values,), dtype=np.float32),
        }[spec.kind]
    pairs = {
        "query_row": tfds.features.Sequence(int64),
        "item_row": tfds.features.Sequence(int64),
    }
    by_folder: dict[str, dict[str, dict[int, tuple[int, int]]]] = {}
    for folder, split, index, records, size in files:
        by_folder.setdefault(folder, {}).setdefault(split, {})[index] = (records, size)
    _write_folder(directory, schema.CATALOG_DIR, catalog, by_folder)
    _write_folder(directory, schema.PAIRS_DIR, pairs, by_folder)


def _write_folder(directory: str, folder: str, features: Any, by_folder: Mapping[str, Any]) -> None:
    import tensorflow_datasets as tfds

    order = (schema.CATALOG_SPLIT, *schema.PAIR_SPLITS)
    with tempfile.TemporaryDirectory() as scratch:
        split_infos = []
        for split, files in sorted(by_folder[folder].items(), key=lambda kv: order.index(kv[0])):
            stats = [files[index] for index in range(len(files))]
            for index in range(len(files)):  # TFDS reads the layout off the files' names
                name = os.path.basename(file_name(folder, split, index, len(files)))
                open(os.path.join(scratch, name), "wb").close()
            split_infos.append(
                tfds.core.SplitInfo(
                    name=split,
                    shard_lengths=[records for records, _ in stats],
                    num_bytes=sum(size for _, size in stats),
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
            features=tfds.features.FeaturesDict(features),
            split_infos=split_infos,
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=scratch, dataset_name=folder, filetype_suffix="tfrecord"
            ),
            check_data=False,
            description=f"The {folder} of a recommendation dataset.",
        )
        for name in sorted(name for name in os.listdir(scratch) if name.endswith(".json")):
            copy_in(os.path.join(scratch, name), FileSystems.join(directory, folder, name))
