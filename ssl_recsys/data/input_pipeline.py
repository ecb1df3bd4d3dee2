"""From a dataset directory to device-ready batches.

The catalog becomes arrays in memory (about 130 bytes an item at 33 values); pairs stream from
their records, and a batch joins the two by array look-up: static shapes, no strings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ssl_recsys import schema
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.data.records import open_builder, read_all
from ssl_recsys.errors import InputError

# Records are read and shuffled in blocks of this many (256 pairs each), so that the pairs of a
# small dataset mix completely and those of a large one within 512K.
_BLOCK_RECORDS = 2048
_FILES_AT_ONCE = 16
_RECORDS_OF_A_FILE = 16
_PREFETCHED_BATCHES = 8


def load_pairs(data_dir: str | os.PathLike[str], split: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads all pairs of a split: `(query_rows, item_rows)`, `[num_pairs]` int32 each.

    Raises:
      FileNotFoundError: if `data_dir` is no dataset directory.
      InputError: for an unknown split or a corrupt record file.
    """
    dataset = _pair_records(data_dir, split).batch(_BLOCK_RECORDS).map(_parse_pairs)
    parts = list(read_all(dataset, data_dir, schema.PAIRS_DIR))
    if not parts:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    return (
        np.concatenate([query for query, _ in parts]),
        np.concatenate([item for _, item in parts]),
    )


class TrainingPairs:
    """The training pairs, epoch by epoch, in batches joined with the catalog.

    The order of an epoch depends on the seed and the epoch's number alone, so that a resumed run
    sees the batches that it would have seen. What does not fill a batch at the end of an epoch
    is left out; every epoch has another order.

    Args:
      data_dir: the dataset directory.
      catalog: its catalog.
      batch_size: pairs in a global batch.
      seed: of the order.
      fraction: share of the training pairs to use, in (0, 1]: the first records of the split,
        which stand in random order.
      draw_from_catalog: add rows drawn uniformly from the whole catalog, as `ssl`.

    Attributes:
      num_pairs: how many there are.
      item_counts: `[num_items]` int64, pairs by their item.
      batch_size: pairs in a global batch, at most `num_pairs`.

    Raises:
      InputError: if there are no training pairs.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        catalog: Catalog,
        *,
        batch_size: int,
        seed: int,
        fraction: float = 1.0,
        draw_from_catalog: bool = False,
    ):
        self._data_dir = data_dir
        self._num_items = catalog.num_items
        self._seed = seed
        self._draw_from_catalog = draw_from_catalog
        self._split = _fraction_of_records(data_dir, fraction)
        self.item_counts = np.zeros(catalog.num_items, np.int64)
        counting = self._pair_blocks(shuffle_seed=None)
        for _, items in read_all(counting, data_dir, schema.PAIRS_DIR):
            self.item_counts += np.bincount(items, minlength=catalog.num_items)
        self.num_pairs = int(self.item_counts.sum())
        if self.num_pairs == 0:
            raise InputError(f"{data_dir} has no training pairs at train_fraction={fraction}")
        self.batch_size = min(batch_size, self.num_pairs)
        # log of each item's share of the pairs; items without a pair never come up in a batch.
        log_q = np.log(np.maximum(self.item_counts, 1) / self.num_pairs).astype(np.float32)
        with tf.device("CPU"):  # the join runs on the host, where the arrays should stay
            self._log_q = tf.constant(log_q)
            self._features = _PackedFeatures(catalog.features)

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch."""
        return self.num_pairs // self.batch_size

    def epoch(
        self,
        number: int,
        skip_steps: int = 0,
        context: tf.distribute.InputContext | None = None,
    ) -> tf.data.Dataset:
        """Batches of epoch `number`, without its first `skip_steps`.

        Args:
          number: the epoch, from 0.
          skip_steps: global batches to leave out.
          context: which of several workers this is; each gets its part of every global batch, a
            replica's batch at a time, in the order of the replicas. None: whole global batches.

        Returns:
          Batches of static shape, see `model.Batch`.
        """
        pairs = (
            self._pair_blocks(shuffle_seed=self._seed * 1_000_003 + number)
            .rebatch(self.batch_size, drop_remainder=True)
            .skip(skip_steps)
        )
        steps = tf.data.Dataset.range(skip_steps, self.steps_per_epoch)
        rows = tf.data.Dataset.zip((steps, pairs)).map(
            lambda step, pair: self._batch_rows(number, step, pair)
        )
        if context is not None:
            share = self.batch_size // context.num_input_pipelines
            begin = share * context.input_pipeline_id
            rows = rows.map(lambda batch: {k: v[begin : begin + share] for k, v in batch.items()})
            local = context.get_per_replica_batch_size(self.batch_size)
            rows = rows.rebatch(local, drop_remainder=True)
        joined = rows.map(self._join, tf.data.AUTOTUNE, deterministic=True)
        return joined.prefetch(_PREFETCHED_BATCHES).with_options(_without_tuning())

    def _batch_rows(
        self, epoch: int, step: tf.Tensor, pair: tuple[tf.Tensor, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Catalog rows of a global batch, `[batch_size]` each."""
        rows = {"query": pair[0], "item": pair[1]}
        if self._draw_from_catalog:
            rows["ssl"] = self._draw(epoch, step)
        return rows

    def _join(self, rows: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        batch: dict[str, Any] = {
            side: self._features.of_rows(which) for side, which in rows.items()
        }
        batch["item_row"] = rows["item"]
        batch["item_log_q"] = tf.gather(self._log_q, rows["item"])
        return batch

    def _draw(self, epoch: int, step: tf.Tensor) -> tf.Tensor:
        """`[batch_size]` catalog rows, uniform with replacement."""
        seed = tf.stack([tf.constant(self._seed, tf.int64) * 1_000_003 + epoch, step])
        return tf.random.stateless_uniform(
            [self.batch_size], seed, maxval=self._num_items, dtype=tf.int32
        )

    def _pair_blocks(self, shuffle_seed: int | None) -> tf.data.Dataset:
        """`(query_rows, item_rows)` blocks of pairs, in random order if a seed is given."""
        records = _pair_records(self._data_dir, self._split, shuffle_seed)
        if shuffle_seed is not None:
            records = records.shuffle(
                _BLOCK_RECORDS, seed=shuffle_seed, reshuffle_each_iteration=False
            )
        blocks = records.batch(_BLOCK_RECORDS).map(
            _parse_pairs, tf.data.AUTOTUNE, deterministic=True
        )
        if shuffle_seed is None:
            return blocks
        # Records keep their pairs together: permute within the block, too.
        numbered = blocks.enumerate()
        return numbered.map(
            lambda number, pair: _permute(pair, [shuffle_seed, number]),
            tf.data.AUTOTUNE,
            deterministic=True,
        )


def _without_tuning() -> tf.data.Options:
    """No tuning of a pipeline while it runs.

    At the end of an epoch its thread can sleep for seconds before it lets the iterator go, which
    took a third of the time of short epochs (TensorFlow 2.20).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


class _PackedFeatures:
    """All features of the catalog in one matrix, so that an item is one place in memory.

    A random row costs a cache miss for each array that it is in, more than copying it.

    Args:
      features: feature name -> `[num_items, width]` int32 or float32.
    """

    def __init__(self, features: Mapping[str, np.ndarray]):
        self._columns = {name: (v.shape[1], tf.as_dtype(v.dtype)) for name, v in features.items()}
        packed = [np.ascontiguousarray(values).view(np.int32) for values in features.values()]
        self._packed = tf.constant(np.concatenate(packed, axis=1))

    def of_rows(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Feature name -> `[len(rows), width]`."""
        widths = [width for width, _ in self._columns.values()]
        parts = tf.split(tf.gather(self._packed, rows), widths, axis=1)
        return {
            name: tf.bitcast(part, dtype)
            for part, (name, (_, dtype)) in zip(parts, self._columns.items(), strict=True)
        }


def _permute(pair: tuple[tf.Tensor, tf.Tensor], seed: list) -> tuple[tf.Tensor, tf.Tensor]:
    query, item = pair
    seed = tf.stack([tf.cast(part, tf.int64) for part in seed])
    order = tf.argsort(tf.random.stateless_uniform(tf.shape(query), seed))
    return tf.gather(query, order), tf.gather(item, order)


def _parse_pairs(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A block of pair records to its `(query_rows, item_rows)`, `[num_pairs]` int32 each."""
    rows = tf.io.RaggedFeature(tf.int64)
    parsed = tf.io.parse_example(records, {"query_row": rows, "item_row": rows})
    return (
        tf.cast(parsed["query_row"].flat_values, tf.int32),
        tf.cast(parsed["item_row"].flat_values, tf.int32),
    )


def _pair_records(
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


def _fraction_of_records(data_dir: str | os.PathLike[str], fraction: float) -> str:
    schema.read_dataset_info(data_dir)
    splits = open_builder(data_dir, schema.PAIRS_DIR).info.splits
    if "train" not in splits:
        raise InputError(f"{data_dir} has no training pairs")
    num_records = splits["train"].num_examples
    return f"train[:{max(1, round(num_records * fraction))}]"
