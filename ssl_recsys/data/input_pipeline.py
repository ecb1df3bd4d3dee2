"""From training pairs to device-ready batches.

The catalog is in memory (about 130 bytes an item at 33 values); pairs stream from their records,
and a batch joins the two by array look-up: static shapes, no strings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ssl_recsys import schema
from ssl_recsys.data.batch import Batch, DrawnItems, ShownItems
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.data.packed import packed_by_side
from ssl_recsys.data.pairs import (
    BLOCK_RECORDS,
    check_negatives,
    check_weights,
    pair_records,
    parse_pairs,
)
from ssl_recsys.data.records import open_builder, read_all
from ssl_recsys.errors import InputError

_PREFETCHED_BATCHES = 8

# Column name -> [num_pairs] or [num_pairs, n], see `parse_pairs`.
Columns = Mapping[str, tf.Tensor]


class Rows(NamedTuple):
    """Catalog rows of a batch.

    Attributes:
      query_row: `[batch]` int32, rows of the query side's catalog.
      item_row: `[batch]` int32, rows of the item side's catalog.
      ssl_row: side -> `[batch]` int32, rows drawn for its self-supervised tasks; empty where they
        work on the pairs themselves.
      columns: the pairs' optional columns by name, see `parse_pairs`; empty where they have none.
      drawn_row: one entry, `[num_drawn]` int32 rows of the item side's catalog drawn as further
        candidates; or none, since TensorFlow 2.20 crashes on empty tensors in `unbatch`.
    """

    query_row: tf.Tensor
    item_row: tf.Tensor
    ssl_row: Mapping[str, tf.Tensor]
    columns: Mapping[str, tf.Tensor]
    drawn_row: tuple[tf.Tensor, ...]


class TrainingPairs:
    """The training pairs, epoch by epoch, in batches joined with the catalog.

    The order of an epoch depends on the seed and the epoch's number alone, so that a resumed run
    sees the batches that it would have seen. Every epoch has an order of its own; what does not
    fill a batch at its end is left out.

    An item with the share p of the training pairs is a candidate with probability p; with N rows
    drawn uniformly from a catalog of M beside a batch of B, all of them candidates alike, with
    q = (B p + N / M) / (B + N) (Yang et al. 2020, "Mixed Negative Sampling for Learning Two-tower
    Neural Networks in Recommendations").

    Args:
      data_dir: the dataset directory.
      catalogs: side -> its catalog.
      batch_size: pairs in a global batch.
      seed: of the order.
      fraction: share of the training pairs to use, in (0, 1]: the first records of the split,
        which are in random order.
      ssl_sides: sides whose catalogs rows are drawn from, uniformly, for self-supervision.
      passes_per_epoch: how often an epoch has all the pairs.
      mixed_negatives: items drawn uniformly from the catalog for each global batch.
      hard_negatives: negatives of each pair's own that are taken, the first ones it has.
      pair_columns: the pairs' optional columns, as `DatasetInfo.pair_columns`.

    Attributes:
      num_pairs: how many there are.
      row_counts: side -> `[rows of its catalog]` int64, pairs by their query or item.
      batch_size: pairs in a global batch, at most `num_pairs`.

    Raises:
      InputError: if there are no training pairs, or fewer negatives to a pair than wanted.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        catalogs: Mapping[str, Catalog],
        *,
        batch_size: int,
        seed: int,
        fraction: float = 1.0,
        ssl_sides: tuple[str, ...] = (),
        passes_per_epoch: int = 1,
        mixed_negatives: int = 0,
        hard_negatives: int = 0,
        pair_columns: Mapping[str, int] | None = None,
    ):
        self._data_dir = data_dir
        self._passes_per_epoch = passes_per_epoch
        self._catalogs = dict(catalogs)
        self._seed = seed
        self._ssl_sides = ssl_sides
        self._mixed_negatives = mixed_negatives
        self._hard_negatives = hard_negatives
        self._pair_columns = _columns_to_read(data_dir, hard_negatives, pair_columns or {})
        self._split = _fraction_of_records(data_dir, fraction)
        num_items = catalogs[schema.ITEM].num_items
        self.row_counts = {
            side: np.zeros(catalog.num_items, np.int64) for side, catalog in catalogs.items()
        }
        total_weight = 0.0
        for block in read_all(self._pair_blocks(None), data_dir, schema.PAIRS_DIR):
            for side, counts in self.row_counts.items():
                counts += np.bincount(block[f"{side}_row"], minlength=len(counts))
            if schema.WEIGHT in block:
                check_weights(data_dir, block)
                total_weight += float(block[schema.WEIGHT].sum(dtype=np.float64))
            if schema.NEGATIVES in block:
                check_negatives(data_dir, block, num_items)
        self.num_pairs = int(self.item_counts.sum())
        if self.num_pairs == 0:
            raise InputError(f"{data_dir} has no training pairs at --train_fraction={fraction}")
        self._mean_weight = total_weight / self.num_pairs
        if schema.WEIGHT in self._pair_columns and self._mean_weight == 0:
            raise InputError(
                f"all training pairs of {data_dir} weigh 0: there is nothing to learn; make the "
                "dataset with other weights"
            )
        self.batch_size = min(batch_size, self.num_pairs)
        log_q = self._log_candidate_shares().astype(np.float32)
        with tf.device("CPU"):  # the join runs on the host, where the arrays should stay
            self._log_q = tf.constant(log_q)
            self._features = packed_by_side(catalogs)

    @property
    def item_counts(self) -> npt.NDArray[np.int64]:
        """`[num_items]` pairs by their item."""
        return self.row_counts[schema.ITEM]

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch."""
        return self.num_pairs * self._passes_per_epoch // self.batch_size

    def _log_candidate_shares(self) -> npt.NDArray[np.floating]:
        """`[num_items]` log q of each item, see the class."""
        drawn, batch = self._mixed_negatives, self.batch_size
        if drawn:
            in_batch = batch * self.item_counts / self.num_pairs
            return np.log((in_batch + drawn / len(self.item_counts)) / (batch + drawn))
        # Items without a pair never come up in a batch.
        return np.log(np.maximum(self.item_counts, 1) / self.num_pairs)

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
          `Batch` elements of static shape.
        """
        pairs = self._passes(number).rebatch(self.batch_size, drop_remainder=True).skip(skip_steps)
        steps = tf.data.Dataset.range(skip_steps, self.steps_per_epoch)
        rows = tf.data.Dataset.zip((steps, pairs)).map(
            lambda step, block: Rows(
                block["query_row"],
                block["item_row"],
                self._draw_ssl(number, step),
                {name: block[name] for name in self._pair_columns},
                self._draw_negatives(number, step),
            )
        )
        if context is not None:
            rows = rows.map(lambda part: _by_replica(part, context)).unbatch()
        joined = rows.map(self._join, tf.data.AUTOTUNE, deterministic=True)
        return joined.prefetch(_PREFETCHED_BATCHES).with_options(_without_tuning())

    def _join(self, rows: Rows) -> Batch:
        ssl = {side: self._features[side].of_rows(row) for side, row in rows.ssl_row.items()}
        return Batch(
            query=self._features[schema.QUERY].of_rows(rows.query_row),
            item=self._features[schema.ITEM].of_rows(rows.item_row),
            item_row=rows.item_row,
            item_log_q=tf.gather(self._log_q, rows.item_row),
            ssl=ssl,
            columns=self._optional(rows.columns),
            drawn=tuple(self._drawn_items(row) for row in rows.drawn_row),
            shown=self._shown_items(rows),
        )

    def _drawn_items(self, rows: tf.Tensor) -> DrawnItems:
        features = self._features[schema.ITEM].of_rows(rows)
        return DrawnItems(features, rows, tf.gather(self._log_q, rows))

    def _shown_items(self, rows: Rows) -> tuple[ShownItems, ...]:
        """The hard negatives of each pair; none without."""
        if not self._hard_negatives:
            return ()
        negatives = rows.columns[schema.NEGATIVES]
        if negatives.shape.rank == 1:  # a column of one value a pair lies flat
            negatives = negatives[:, tf.newaxis]
        negatives = negatives[:, : self._hard_negatives]
        # What fills a place has the features of any item; its logit is masked.
        flat = tf.reshape(tf.maximum(negatives, 0), [-1])
        features = self._features[schema.ITEM].of_rows(flat)
        return (ShownItems(features, negatives >= 0),)

    def _optional(self, columns: Columns) -> dict[str, tf.Tensor]:
        """The optional columns as a batch has them; `shown` is made of the negatives."""
        batch = {name: values for name, values in columns.items() if name != schema.NEGATIVES}
        if schema.WEIGHT in batch:
            batch[schema.WEIGHT] /= self._mean_weight
        return batch

    def _draw_negatives(self, epoch: int, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """`[mixed_negatives]` rows of the items' catalog, uniform with replacement; none for 0."""
        if not self._mixed_negatives:
            return ()
        # Steps from -1 downwards: other rows than those for self-supervision.
        seed = tf.stack([tf.constant(self._seed, tf.int64) * 1_000_003 + epoch, -1 - step])
        num_items = self._catalogs[schema.ITEM].num_items
        drawn = tf.random.stateless_uniform(
            [self._mixed_negatives], seed, maxval=num_items, dtype=tf.int32
        )
        return (drawn,)

    def _draw_ssl(self, epoch: int, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """Side -> `[batch_size]` catalog rows, uniform with replacement."""
        seed = tf.stack([tf.constant(self._seed, tf.int64) * 1_000_003 + epoch, step])
        return {
            side: tf.random.stateless_uniform(
                [self.batch_size], seed, maxval=self._catalogs[side].num_items, dtype=tf.int32
            )
            for side in self._ssl_sides
        }

    def _passes(self, epoch: int) -> tf.data.Dataset:
        """Blocks of the epoch's passes over the pairs, each in an order of its own."""
        first = self._seed * 1_000_003 + epoch * self._passes_per_epoch
        passes = self._pair_blocks(first)
        for number in range(1, self._passes_per_epoch):
            passes = passes.concatenate(self._pair_blocks(first + number))
        return passes

    def _pair_blocks(self, shuffle_seed: int | None) -> tf.data.Dataset:
        """Blocks of `Columns`, in random order if a seed is given."""
        records = pair_records(self._data_dir, self._split, shuffle_seed)
        if shuffle_seed is not None:
            records = records.shuffle(
                BLOCK_RECORDS, seed=shuffle_seed, reshuffle_each_iteration=False
            )
        blocks = records.batch(BLOCK_RECORDS).map(
            lambda block: parse_pairs(block, self._pair_columns),
            tf.data.AUTOTUNE,
            deterministic=True,
        )
        if shuffle_seed is None:
            return blocks
        # Records keep their pairs together: permute within the block, too.
        return blocks.enumerate().map(
            lambda number, block: _permute(block, [shuffle_seed, number]),
            tf.data.AUTOTUNE,
            deterministic=True,
        )


def _by_replica(rows: Rows, context: tf.distribute.InputContext) -> Rows:
    """A worker's part of a global batch, `[local replicas, size on a replica, ...]` of each."""
    pipelines, replicas = context.num_input_pipelines, context.num_replicas_in_sync

    def part(row: tf.Tensor) -> tf.Tensor:
        of_replica = row.shape[0] // replicas, *row.shape[1:]
        parts = tf.reshape(row, [pipelines, replicas // pipelines, *of_replica])
        return parts[context.input_pipeline_id]

    return tf.nest.map_structure(part, rows)


def _columns_to_read(
    data_dir: str | os.PathLike[str], hard_negatives: int, pair_columns: Mapping[str, int]
) -> dict[str, int]:
    """The optional columns that training reads: negatives only where it takes some."""
    stored = pair_columns.get(schema.NEGATIVES, 0)
    if hard_negatives > stored:
        has = f"at most {stored} negatives to a pair" if stored else "no negatives"
        raise InputError(
            f"--hard_negatives={hard_negatives}, but {data_dir} has {has}: make the dataset with "
            "--negatives_column, which names the log's column of items that were shown and not "
            f"chosen, and --max_negatives={hard_negatives} (docs/your_own_data.md)"
        )
    return {
        name: size
        for name, size in pair_columns.items()
        if hard_negatives or name != schema.NEGATIVES
    }


def _without_tuning() -> tf.data.Options:
    """No tuning of a pipeline while it runs.

    At the end of an epoch its thread can sleep for seconds before it lets the iterator go, which
    took a third of the time of short epochs (TensorFlow 2.20).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _permute(block: Columns, seed: list) -> Columns:
    seed = tf.stack([tf.cast(part, tf.int64) for part in seed])
    order = tf.argsort(tf.random.stateless_uniform(tf.shape(block["query_row"]), seed))
    return {name: tf.gather(column, order) for name, column in block.items()}


def _fraction_of_records(data_dir: str | os.PathLike[str], fraction: float) -> str:
    splits = open_builder(data_dir, schema.PAIRS_DIR).info.splits
    if schema.TRAIN not in splits:
        raise InputError(f"{data_dir} has no training pairs")
    num_records = splits[schema.TRAIN].num_examples
    return f"{schema.TRAIN}[:{max(1, round(num_records * fraction))}]"
