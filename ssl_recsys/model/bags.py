"""The values of a bag feature after the look-up, and pooling them.

A batch of bags comes in two forms with the same results. `RaggedBags` keeps only the values that
are there, which is several times less work where bags are short; its sizes depend on the data.
`PaddedBags` keeps every bag at full width: static shapes, as XLA and TPUs need.

A bag's vector is `sum w e / sum w` (`mean`) or `sum w e / sqrt(sum w^2)` (`sqrtn`) over its
embeddings e with weights w, as in `tf.nn.safe_embedding_lookup_sparse`; without weights, w = 1.
A value's weight may depend on its id, on its place in the bag, or be the product of both.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import tensorflow as tf

from ssl_recsys.config.tower import MEAN, SQRTN
from ssl_recsys.model.tables import Table, gather_rows


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
      weights: `[batch, max_values]` weights of the values, 0 where there is none.
      pooling: `mean` or `sqrtn`.
    """

    embeddings: tf.Tensor
    weights: tf.Tensor
    pooling: str = MEAN

    @classmethod
    def look_up(
        cls,
        table: Table,
        ids: tf.Tensor,
        pooling: str = MEAN,
        log_weights: tf.Variable | None = None,
        place_weights: tf.Tensor | None = None,
        width: int | None = None,
    ) -> tuple[PaddedBags, tf.Tensor]:
        """Looks up `[batch, max_values]` ids, 0 being no value.

        Args:
          table: `[vocab_size, dim]`.
          ids: `[batch, max_values]` int32.
          pooling: `mean` or `sqrtn`.
          log_weights: `[vocab_size]` logarithms of the ids' weights; None: all weights are 1.
          place_weights: weights of the places in a bag, at least `max_values` of them; None: all
            are 1.
          width: columns of the table that count; None: all.

        Returns:
          The bags, and `[1, dim]` the embedding of id 0 from the same look-up.
        """
        # A row of zeros is appended to the ids, so that id 0 is fetched in the same gather; a
        # second gather would make TensorFlow concatenate two sparse gradients.
        rows = tf.concat([ids, tf.zeros_like(ids[:1])], axis=0)
        embeddings = gather_rows(table, rows, width)
        weights = tf.cast(tf.not_equal(ids, 0), embeddings.dtype)
        if log_weights is not None:
            weights *= tf.exp(tf.gather(log_weights, ids))
        if place_weights is not None:
            weights *= place_weights[: ids.shape[1]]
        values, nothing = split_last(embeddings)
        return cls(values, weights, pooling), nothing[0, :1]

    def split(self, sizes: Sequence[int]) -> list[PaddedBags]:
        """The bags cut into parts of these sizes."""
        pairs = zip(tf.split(self.embeddings, sizes), tf.split(self.weights, sizes), strict=True)
        return [PaddedBags(embeddings, weights, self.pooling) for embeddings, weights in pairs]

    def pool(self, missing: tf.Tensor, keep: tf.Tensor | None = None) -> tf.Tensor:
        """One vector for each bag, `[batch, dim]`.

        Args:
          missing: `[1, dim]` stands for a bag without values.
          keep: `[batch, max_values]` bool; values to leave out are False.
        """
        weights = self.weights
        if keep is not None:
            weights *= tf.cast(keep, weights.dtype)
        total = tf.reduce_sum(self.embeddings * weights[:, :, tf.newaxis], axis=1)
        norm = tf.reduce_sum(_norm_terms(weights, self.pooling), axis=1, keepdims=True)
        return _pooled(total, norm, missing, self.pooling)


@dataclasses.dataclass(frozen=True)
class RaggedBags:
    """Bags without padding.

    Attributes:
      embeddings: `[num_values, dim]`, bag after bag.
      weights: `[num_values]` weights of the values; None: all are 1.
      positions: `[num_values, 2]` int64: the bag, and the place in it, of each value.
      size: number of bags.
      pooling: `mean` or `sqrtn`.
    """

    embeddings: tf.Tensor
    weights: tf.Tensor | None
    positions: tf.Tensor
    size: int | tf.Tensor
    pooling: str = MEAN

    @classmethod
    def look_up(
        cls,
        table: Table,
        ids: tf.Tensor,
        pooling: str = MEAN,
        log_weights: tf.Variable | None = None,
        place_weights: tf.Tensor | None = None,
        width: int | None = None,
    ) -> tuple[RaggedBags, tf.Tensor]:
        """As `PaddedBags.look_up`."""
        positions = tf.where(tf.not_equal(ids, 0))
        flat_ids = tf.gather_nd(ids, positions)
        embeddings = gather_rows(table, tf.concat([flat_ids, [0]], axis=0), width)
        weights = None if log_weights is None else tf.exp(tf.gather(log_weights, flat_ids))
        if place_weights is not None:
            of_places = tf.gather(place_weights, positions[:, 1])
            weights = of_places if weights is None else weights * of_places
        size = ids.shape[0] or tf.shape(ids)[0]
        values, nothing = split_last(embeddings)
        return cls(values, weights, positions, size, pooling), nothing

    def split(self, sizes: Sequence[int]) -> list[RaggedBags]:
        """The bags cut into parts of these sizes."""
        parts = len(sizes)
        starts = [0, *itertools.accumulate(sizes)]
        bounds = tf.searchsorted(self.positions[:, 0], tf.constant(starts, tf.int64))
        num_values = bounds[1:] - bounds[:-1]
        embeddings = tf.split(self.embeddings, num_values, num=parts)
        positions = tf.split(self.positions, num_values, num=parts)
        weights = (
            [None] * parts
            if self.weights is None
            else tf.split(self.weights, num_values, num=parts)
        )
        return [
            RaggedBags(
                embeddings[part],
                weights[part],
                positions[part] - tf.constant([starts[part], 0], tf.int64),
                sizes[part],
                self.pooling,
            )
            for part in range(parts)
        ]

    def pool(self, missing: tf.Tensor, keep: tf.Tensor | None = None) -> tf.Tensor:
        """As `PaddedBags.pool`."""
        embeddings, weights = self.embeddings, self.weights
        if keep is not None:
            kept = tf.cast(tf.gather_nd(keep, self.positions), embeddings.dtype)
            weights = kept if weights is None else weights * kept
        if weights is None:
            weights = tf.ones_like(self.positions[:, 0], embeddings.dtype)
        else:
            embeddings *= weights[:, tf.newaxis]
        terms = _norm_terms(weights, self.pooling)
        norm = tf.math.unsorted_segment_sum(terms, self.positions[:, 0], self.size)
        return _pooled(self._sum_bags(embeddings), norm[:, tf.newaxis], missing, self.pooling)

    def _sum_bags(self, values: tf.Tensor) -> tf.Tensor:
        """`[num_values, dim]` to `[size, dim]`; values stand in the order of their bags."""
        sums = tf.math.segment_sum(values, self.positions[:, 0])
        # It ends with the last bag that has a value.
        padded = tf.pad(sums, [[0, self.size - tf.shape(sums)[0]], [0, 0]])
        return padded if tf.is_tensor(self.size) else tf.ensure_shape(padded, [self.size, None])


def _norm_terms(weights: tf.Tensor, pooling: str) -> tf.Tensor:
    """What each value adds to its bag's norm: w, or w^2 under the root."""
    return tf.square(weights) if pooling == SQRTN else weights


def _pooled(total: tf.Tensor, norm: tf.Tensor, missing: tf.Tensor, pooling: str) -> tf.Tensor:
    """`[batch, dim]` weighted sums over their `[batch, 1]` norms; 0 stands for no value."""
    is_there = norm > 0
    divisor = tf.where(is_there, norm, 1.0)
    return tf.where(is_there, total / (tf.sqrt(divisor) if pooling == SQRTN else divisor), missing)


Bags = PaddedBags | RaggedBags
