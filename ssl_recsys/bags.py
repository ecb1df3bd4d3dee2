"""The values of a bag feature after the look-up, and pooling them.

A batch of bags comes in two forms with the same results. `RaggedBags` keeps only the values that
are there, which is several times less work where bags are short; its sizes depend on the data.
`PaddedBags` keeps every bag at full width: static shapes, as XLA and TPUs need.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

MEAN, SQRTN = "mean", "sqrtn"


def split_last(embeddings: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """All rows but the last, and the last; the gradient is one concatenation."""
    rows = embeddings.shape[0] or tf.shape(embeddings)[0]
    first, last = tf.split(embeddings, [rows - 1, 1])
    return first, last


@dataclasses.dataclass(frozen=True)
class PaddedBags:
    """Bags of full width.

    Attributes:
      embeddings: `[batch, max_values, dim]`.
      present: `[batch, max_values]` 1 where there is a value, else 0.
      pooling: `mean` or `sqrtn`.
    """

    embeddings: tf.Tensor
    present: tf.Tensor
    pooling: str = MEAN

    @classmethod
    def look_up(
        cls, table: tf.Variable, ids: tf.Tensor, pooling: str = MEAN
    ) -> tuple[PaddedBags, tf.Tensor]:
        """Looks up `[batch, max_values]` ids, 0 being no value.

        Args:
          table: `[vocab_size, dim]`.
          ids: `[batch, max_values]` int32.
          pooling: `mean` or `sqrtn`.

        Returns:
          The bags, and `[1, dim]` the embedding of id 0 from the same look-up.
        """
        # An empty row rides along, so that id 0's embedding needs no look-up of its own: a
        # second one would make the sparse gradient's parts be copied together.
        rows = tf.concat([ids, tf.zeros_like(ids[:1])], axis=0)
        embeddings = tf.gather(table, rows)
        present = tf.cast(tf.not_equal(ids, 0), embeddings.dtype)
        values, nothing = split_last(embeddings)
        return cls(values, present, pooling), nothing[0, :1]

    def split(self, parts: int) -> list[PaddedBags]:
        """The bags cut into `parts` of equal size."""
        pairs = zip(tf.split(self.embeddings, parts), tf.split(self.present, parts), strict=True)
        return [PaddedBags(embeddings, present, self.pooling) for embeddings, present in pairs]

    def pool(self, missing: tf.Tensor, keep: tf.Tensor | None = None) -> tf.Tensor:
        """Mean of each bag's values (or their sum over the root of their number), `[batch, dim]`.

        Args:
          missing: `[1, dim]` stands for a bag without values.
          keep: `[batch, max_values]` bool; values to leave out are False.
        """
        weights = self.present
        if keep is not None:
            weights *= tf.cast(keep, weights.dtype)
        count = tf.reduce_sum(weights, axis=1, keepdims=True)
        total = tf.reduce_sum(self.embeddings * weights[:, :, tf.newaxis], axis=1)
        return _pooled(total, count, missing, self.pooling)


@dataclasses.dataclass(frozen=True)
class RaggedBags:
    """Bags without padding.

    Attributes:
      embeddings: `[num_values, dim]`, bag after bag.
      positions: `[num_values, 2]` int64: the bag, and the place in it, of each value.
      size: number of bags.
      pooling: `mean` or `sqrtn`.
    """

    embeddings: tf.Tensor
    positions: tf.Tensor
    size: int | tf.Tensor
    pooling: str = MEAN

    @classmethod
    def look_up(
        cls, table: tf.Variable, ids: tf.Tensor, pooling: str = MEAN
    ) -> tuple[RaggedBags, tf.Tensor]:
        """As `PaddedBags.look_up`."""
        positions = tf.where(tf.not_equal(ids, 0))
        flat_ids = tf.gather_nd(ids, positions)
        embeddings = tf.gather(table, tf.concat([flat_ids, [0]], axis=0))
        size = ids.shape[0] or tf.shape(ids)[0]
        values, nothing = split_last(embeddings)
        return cls(values, positions, size, pooling), nothing

    def split(self, parts: int) -> list[RaggedBags]:
        """The bags cut into `parts` of equal size."""
        size = self.size // parts
        part_of_value = self.positions[:, 0] // tf.cast(size, tf.int64)
        sizes = tf.math.bincount(
            tf.cast(part_of_value, tf.int32), minlength=parts, maxlength=parts, dtype=tf.int32
        )
        embeddings = tf.split(self.embeddings, sizes, num=parts)
        positions = tf.split(self.positions, sizes, num=parts)
        return [
            RaggedBags(
                embeddings[part],
                positions[part] - tf.stack([tf.cast(part * size, tf.int64), 0]),
                size,
                self.pooling,
            )
            for part in range(parts)
        ]

    def pool(self, missing: tf.Tensor, keep: tf.Tensor | None = None) -> tf.Tensor:
        """As `PaddedBags.pool`."""
        embeddings, bag = self.embeddings, self.positions[:, 0]
        if keep is None:
            weights = tf.ones_like(bag, embeddings.dtype)
        else:
            weights = tf.cast(tf.gather_nd(keep, self.positions), embeddings.dtype)
            embeddings *= weights[:, tf.newaxis]
        count = tf.math.unsorted_segment_sum(weights, bag, self.size)[:, tf.newaxis]
        total = self._sum_bags(embeddings)
        return _pooled(total, count, missing, self.pooling)

    def _sum_bags(self, values: tf.Tensor) -> tf.Tensor:
        """`[num_values, dim]` to `[size, dim]`; values stand in the order of their bags."""
        sums = tf.math.segment_sum(values, self.positions[:, 0])
        # It ends with the last bag that has a value.
        return tf.pad(sums, [[0, self.size - tf.shape(sums)[0]], [0, 0]])


def _pooled(total: tf.Tensor, count: tf.Tensor, missing: tf.Tensor, pooling: str) -> tf.Tensor:
    """`[batch, dim]` sums of `[batch, 1]` values each to the pooled bags."""
    size = tf.maximum(count, 1.0)
    return tf.where(count > 0, total / (tf.sqrt(size) if pooling == SQRTN else size), missing)


Bags = PaddedBags | RaggedBags
