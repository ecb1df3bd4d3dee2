"""The values of a bag feature after the look-up, and pooling them.

A batch of bags comes in two forms with the same results. `RaggedBags` keeps only the values that
are there, which is several times less work where bags are short; its sizes depend on the data.
`PaddedBags` keeps every bag at full width: static shapes, as XLA and TPUs need.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class PaddedBags:
    """Bags of full width.

    Attributes:
      embeddings: `[batch, max_values, dim]`.
      present: `[batch, max_values]` 1 where there is a value, else 0.
    """

    embeddings: tf.Tensor
    present: tf.Tensor

    @classmethod
    def look_up(cls, table: tf.Variable, ids: tf.Tensor) -> tuple[PaddedBags, tf.Tensor]:
        """Looks up `[batch, max_values]` ids, 0 being no value.

        Returns:
          The bags, and `[1, dim]` the embedding of id 0 from the same look-up.
        """
        # An empty row rides along, so that id 0's embedding needs no look-up of its own: a
        # second one would make the sparse gradient's parts be copied together.
        rows = tf.concat([ids, tf.zeros_like(ids[:1])], axis=0)
        embeddings = tf.gather(table, rows)
        present = tf.cast(tf.not_equal(ids, 0), embeddings.dtype)
        return cls(embeddings[:-1], present), embeddings[-1, :1]

    def rows(self, begin: int, size: int) -> PaddedBags:
        """The `size` bags from `begin` on."""
        end = begin + size
        return PaddedBags(self.embeddings[begin:end], self.present[begin:end])

    def pool(self, missing: tf.Tensor, keep: tf.Tensor | None = None) -> tf.Tensor:
        """Mean of each bag's values, `[batch, dim]`.

        Args:
          missing: `[1, dim]` stands for a bag without values.
          keep: `[batch, max_values]` bool; values to leave out are False.
        """
        weights = self.present
        if keep is not None:
            weights *= tf.cast(keep, weights.dtype)
        count = tf.reduce_sum(weights, axis=1, keepdims=True)
        total = tf.reduce_sum(self.embeddings * weights[:, :, tf.newaxis], axis=1)
        return tf.where(count > 0, total / tf.maximum(count, 1.0), missing)


@dataclasses.dataclass(frozen=True)
class RaggedBags:
    """Bags without padding.

    Attributes:
      embeddings: `[num_values, dim]`, bag after bag.
      positions: `[num_values, 2]` int64: the bag, and the place in it, of each value.
      size: number of bags.
    """

    embeddings: tf.Tensor
    positions: tf.Tensor
    size: int | tf.Tensor

    @classmethod
    def look_up(cls, table: tf.Variable, ids: tf.Tensor) -> tuple[RaggedBags, tf.Tensor]:
        """As `PaddedBags.look_up`."""
        positions = tf.where(tf.not_equal(ids, 0))
        flat_ids = tf.gather_nd(ids, positions)
        embeddings = tf.gather(table, tf.concat([flat_ids, [0]], axis=0))
        size = ids.shape[0] or tf.shape(ids)[0]
        return cls(embeddings[:-1], positions, size), embeddings[-1:]

    def rows(self, begin: int, size: int) -> RaggedBags:
        """The `size` bags from `begin` on."""
        bounds = tf.constant([begin, begin + size], tf.int64)
        first, last = tf.unstack(tf.searchsorted(self.positions[:, 0], bounds))
        positions = self.positions[first:last] - tf.constant([[begin, 0]], tf.int64)
        return RaggedBags(self.embeddings[first:last], positions, size)

    def pool(self, missing: tf.Tensor, keep: tf.Tensor | None = None) -> tf.Tensor:
        """As `PaddedBags.pool`."""
        embeddings, bag = self.embeddings, self.positions[:, 0]
        if keep is None:
            weights = tf.ones_like(bag, embeddings.dtype)
        else:
            weights = tf.cast(tf.gather_nd(keep, self.positions), embeddings.dtype)
            embeddings *= weights[:, tf.newaxis]
        count = tf.math.unsorted_segment_sum(weights, bag, self.size)[:, tf.newaxis]
        total = tf.math.unsorted_segment_sum(embeddings, bag, self.size)
        return tf.where(count > 0, total / tf.maximum(count, 1.0), missing)


Bags = PaddedBags | RaggedBags
