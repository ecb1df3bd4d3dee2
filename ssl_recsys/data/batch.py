"""What a step of training takes: a batch of pairs joined with the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

# Feature name -> [batch, width] int32 ids (0 is padding and missing), or float32 numbers.
Features = Mapping[str, tf.Tensor]


class DrawnItems(NamedTuple):
    """Items of the catalog that are further candidates of every query (`--mixed_negatives`).

    Attributes:
      features: their features.
      item_row: `[num_drawn]` int32, their catalog rows.
      log_q: `[num_drawn]` float32, log of how likely each is drawn, see `TrainingPairs`.
    """

    features: Features
    item_row: tf.Tensor
    log_q: tf.Tensor


class ShownItems(NamedTuple):
    """Items that were shown beside the pairs' items and not chosen (`--hard_negatives`).

    Attributes:
      features: theirs, those of one pair after those of the one before, `[batch * n, width]`.
      is_there: `[batch, n]` bool; False for what only fills the places of a pair that has fewer.
    """

    features: Features
    is_there: tf.Tensor


class Batch(NamedTuple):
    """A training batch.

    Attributes:
      query: the queries' features.
      item: the items' features.
      item_row: `[batch]` int32, the items' catalog rows.
      item_log_q: `[batch]` float32, log of how likely each item is a candidate, see
        `TrainingPairs`.
      ssl: side -> features of the rows drawn for its self-supervised tasks; empty where they work
        on the pairs themselves.
      columns: the pairs' optional columns by name, empty where they have none: `weight`
        `[batch]` float32, over the mean of the training pairs, so that only ratios matter.
      drawn: one entry, the further candidates; or none.
      shown: one entry, each pair's hard negatives; or none.
    """

    query: Features
    item: Features
    item_row: tf.Tensor
    item_log_q: tf.Tensor
    ssl: Mapping[str, Features]
    columns: Mapping[str, tf.Tensor] = {}
    drawn: tuple[DrawnItems, ...] = ()
    shown: tuple[ShownItems, ...] = ()

    def with_sizes(self, pairs: int, drawn: int) -> Batch:
        """The same, with the static sizes of these parts, which several workers' batches lack."""
        of_pairs = _with_size(self._replace(drawn=(), shown=()), pairs)
        shown = tuple(
            ShownItems(
                _with_size(part.features, pairs * part.is_there.shape[1]),
                _with_size(part.is_there, pairs),
            )
            for part in self.shown
        )
        return of_pairs._replace(drawn=_with_size(self.drawn, drawn), shown=shown)


def _with_size(part: Any, size: int) -> Any:
    return tf.nest.map_structure(
        lambda tensor: tf.ensure_shape(tensor, [size, *tensor.shape[1:]]), part
    )
