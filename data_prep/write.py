"""Writes dataset directories with Beam, from encoded collections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np

from data_prep import dataset_files, encode, probe, shards, splits, vocab
from data_prep.dataset_files import WrittenFile
from data_prep.encode import FileStats, ItemBatch, num_files
from data_prep.spill import NO_SPILL, Spill, get
from ssl_recsys import files, schema
from ssl_recsys.raw.rules import Scale


class PairBatch(NamedTuple):
    """Pairs of catalog rows as columns `[pairs]`.

    Attributes:
      split: position in `schema.PAIR_SPLITS`, uint8.
      digest: uint64, gives the order in the files; pairs of one digest have the same rows.
      query_row: integers.
      item_row: integers.
      weight: float32; None where pairs have none. Optional columns have the names that they have in
        `schema.OPTIONAL_PAIR_COLUMNS`; the job announces them (`beam_job.DataJob.pair_columns`).
      negatives: `[pairs, n]` integers, rows of the items' catalog, -1 behind the last; likewise.
    """

    split: np.ndarray
    digest: np.ndarray
    query_row: np.ndarray
    item_row: np.ndarray
    weight: np.ndarray | None = None
    negatives: np.ndarray | None = None


class _OrderedPairs(NamedTuple):
    """Pairs of a file as columns `[pairs]`: `order` uint64 sorts them, the others as above."""

    order: np.ndarray
    query_row: np.ndarray
    item_row: np.ndarray
    weight: np.ndarray | None = None
    negatives: np.ndarray | None = None


class VocabularyStats(NamedTuple):
    """A vocabulary file that was written.

    Attributes:
      feature: whose vocabulary it is.
      num_ids: id 0 counted.
      name: of the file, relative to the dataset directory.
      size: of the file.
      sha256: its digest.
    """

    feature: str
    num_ids: int
    name: str
    size: int
    sha256: str

    @property
    def written(self) -> WrittenFile:
        """The file as the manifest describes it."""
        return WrittenFile(self.name, self.size, self.sha256)


class EncodedDataset(NamedTuple):
    """A job's source as records and pairs, ready to be written.

    Attributes:
      items: ItemBatch elements; the rows of a batch may lie anywhere.
      item_counts: (shard, number of items).
      pairs: PairBatch elements, or what a `Spill` gave for them.
      vocabularies: (feature, tokens) elements.
      scales: (feature, Scale) elements, None without.
      queries: as `items`, where queries are no items.
      query_counts: (shard, number of queries), likewise.
    """

    items: beam.PCollection
    item_counts: beam.PCollection
    pairs: beam.PCollection
    vocabularies: beam.PCollection
    scales: beam.PCollection | None = None
    queries: beam.PCollection | None = None
    query_counts: beam.PCollection | None = None


def write_encoded(
    encoded: EncodedDataset, directory: str, seed: int, spill: Spill
) -> dict[str, beam.PCollection]:
    """Adds the steps that write a dataset, its pairs in an order that `seed` gives.

    Returns:
      Facts for `write_info`: FileStats, VocabularyStats, WrittenFiles of scales, numbers of items
      and of pairs.
    """
    num_items = _total("Items", encoded.item_counts)
    num_pairs = (
        encoded.pairs
        | "CountSplits" >> beam.Map(_count_splits)
        | "NumPairs" >> beam.CombineGlobally(_sum_splits)
    )
    files = [
        encoded.items | "WriteCatalog" >> WriteCatalog(directory, num_items, spill),
        encoded.pairs | "WritePairs" >> WritePairs(directory, num_pairs, spill, seed=seed),
    ]
    facts = {}
    if encoded.queries is not None:
        facts["num_queries"] = _total("Queries", encoded.query_counts)
        files.append(
            encoded.queries
            | "WriteQueries"
            >> WriteCatalog(
                directory,
                facts["num_queries"],
                spill,
                folder=schema.QUERIES_DIR,
                split=schema.QUERIES_SPLIT,
            )
        )
    if encoded.scales is not None:
        facts["scale"] = encoded.scales | "WriteScales" >> beam.Map(_write_scale, directory)
    return facts | {
        "file": files | "Files" >> beam.Flatten(),
        "num_items": num_items,
        "num_pairs": num_pairs,
        "vocabulary": encoded.vocabularies
        | "WriteVocabularies" >> beam.Map(_write_vocabulary, directory),
    }


def _total(what: str, counts: beam.PCollection | None) -> beam.PCollection:
    """The sum of (shard, number)."""
    return counts | f"Count{what}" >> beam.Values() | f"Num{what}" >> beam.CombineGlobally(sum)


def _count_splits(batch: Any) -> list[int]:
    return np.bincount(get(batch).split, minlength=len(schema.PAIR_SPLITS)).tolist()


def _sum_splits(rows: Iterable[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip([0] * len(schema.PAIR_SPLITS), *rows, strict=True)]


class WriteCatalog(beam.PTransform):
    """Writes ItemBatch elements to catalog files in row order; gives FileStats.

    Args:
      directory: the dataset directory being written.
      num_items: PCollection with one element, the number of rows.
      spill: takes records.
      folder: of the dataset directory.
      split: TFDS's, which the folder holds.
    """

    def __init__(
        self,
        directory: str,
        num_items: beam.PCollection,
        spill: Spill = NO_SPILL,
        *,
        folder: str = schema.CATALOG_DIR,
        split: str = schema.CATALOG_SPLIT,
    ):
        super().__init__()
        self._spill = spill
        self._place = directory, folder, split
        self._num_items = num_items

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Groups records by file and writes each file."""
        num_items = beam.pvalue.AsSingleton(self._num_items)
        return (
            batches
            | "KeyByFile" >> beam.FlatMap(_items_by_file, self._spill)
            | "GroupByFile" >> beam.GroupByKey()
            | "WriteFile" >> beam.Map(_write_items, num_items, self._place)
        )


def _items_by_file(batch: ItemBatch, spill: Spill) -> Iterator[tuple[int, Any]]:
    first, records = batch
    while records:
        index = first // encode.ITEMS_PER_FILE
        room = (index + 1) * encode.ITEMS_PER_FILE - first
        yield index, spill.put(ItemBatch(first, records[:room]))
        first, records = first + room, records[room:]


def _write_items(
    element: tuple[int, Iterable[Any]], num_items: int, place: tuple[str, str, str]
) -> FileStats:
    probe.check(place[0])
    index, batches = element
    count = num_files(num_items, encode.ITEMS_PER_FILE)
    ordered = sorted(map(get, batches), key=lambda batch: batch.first_row)
    records = (record for batch in ordered for record in batch.records)
    return encode.write_records(*place, index, count, records)


class WritePairs(beam.PTransform):
    """Writes PairBatch elements by split, in a stable random order; gives FileStats.

    Args:
      directory: the dataset directory being written.
      num_pairs: PCollection with one element, the numbers of pairs in the order of
        `schema.PAIR_SPLITS`.
      spill: takes pairs.
      seed: seed of the order.
    """

    def __init__(
        self,
        directory: str,
        num_pairs: beam.PCollection,
        spill: Spill = NO_SPILL,
        *,
        seed: int = 0,
    ):
        super().__init__()
        self._spill = spill
        self._directory = directory
        self._num_pairs = num_pairs
        self._seed = seed

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Groups pairs by file, sorts, packs and writes each file."""
        num_pairs = beam.pvalue.AsSingleton(self._num_pairs)
        return (
            batches
            | "KeyByFile" >> beam.FlatMap(_pairs_by_file, num_pairs, self._seed, self._spill)
            | "GroupByFile" >> beam.GroupByKey()
            | "WriteFile" >> beam.Map(_write_pairs, num_pairs, self._directory)
        )


def _pairs_by_file(
    element: Any, num_pairs: Sequence[int], seed: int, spill: Spill
) -> Iterator[tuple[tuple[int, int], Any]]:
    batch: PairBatch = get(element)
    order = splits.order_keys(batch.digest, seed)
    pairs = _OrderedPairs(order, *batch[2:])
    for split in range(len(schema.PAIR_SPLITS)):
        files = num_files(num_pairs[split], encode.PAIRS_PER_FILE)
        mine = np.flatnonzero(batch.split == split)
        # A file owns a range of keys, so that file order is key order.
        file_index = shards.range_index(order[mine], files)
        for index, where in shards.group_indices(file_index, files):
            yield (split, index), spill.put(shards.take(pairs, mine[where]))


def _write_pairs(
    element: tuple[tuple[int, int], Iterable[Any]], num_pairs: Sequence[int], directory: str
) -> FileStats:
    probe.check(directory)
    (split, index), batches = element
    pairs = shards.concatenate(_OrderedPairs, batches)
    pairs = shards.take(pairs, np.lexsort((pairs.item_row, pairs.query_row, pairs.order)))
    count = num_files(num_pairs[split], encode.PAIRS_PER_FILE)
    records = encode.pair_records(
        pairs.query_row, pairs.item_row, weight=pairs.weight, negatives=pairs.negatives
    )
    return encode.write_records(
        directory, schema.PAIRS_DIR, schema.PAIR_SPLITS[split], index, count, records
    )


def _write_vocabulary(vocabulary: tuple[str, Sequence[str]], directory: str) -> VocabularyStats:
    probe.check(directory)
    return write_vocabulary(vocabulary, directory)


def write_vocabulary(vocabulary: tuple[str, Sequence[str]], directory: str) -> VocabularyStats:
    """Writes the file of a (feature, tokens in id order)."""
    feature, tokens = vocabulary
    name = schema.vocab_path("", feature).as_posix()
    written = dataset_files.write_text(directory, name, vocab.vocabulary_text(tokens))
    return VocabularyStats(feature, len(tokens) + 1, *written)


def _write_scale(element: tuple[str, Scale], directory: str) -> WrittenFile:
    probe.check(directory)
    feature, scale = element
    name = schema.scale_path("", feature).as_posix()
    return dataset_files.write_text(directory, name, files.json_text(scale.as_dict()))


def write_info(
    directory: str,
    files: Iterable[FileStats],
    vocabularies: Iterable[VocabularyStats],
    info: schema.DatasetInfo,
    scales: Iterable[WrittenFile] = (),
) -> None:
    """Writes TFDS's metadata, `dataset.json`, which makes a directory a dataset, and the manifest.

    Raises:
      InputError: if a file that workers wrote is not there; then nothing is written.
    """
    files = list(files)
    written = [*(file.written for file in files), *(file.written for file in vocabularies), *scales]
    dataset_files.check_written(directory, written)
    written += encode.write_metadata(directory, files, info)
    written.append(dataset_files.write_text(directory, schema.DATASET_FILE, schema.to_json(info)))
    dataset_files.remove_attempts(directory)
    dataset_files.write_manifest(directory, written)
