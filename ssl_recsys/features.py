"""Embedding tables and the look-up that everything else in a step shares.

Both towers and all self-supervised encoders read the same tables, and a step looks every id up
once: views are made from the looked-up activations (see `augment`), never by a second look-up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf

from ssl_recsys.schema import BAG, CATEGORICAL, FeatureSpec

# Feature name -> [batch, max_values] ids or floats, as the input pipeline gives them.
Features = Mapping[str, tf.Tensor]
# Feature name -> [batch, width] what a dense layer sees of the feature.
Activations = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class LookedUp:
    """The features of a batch after the look-up.

    Attributes:
      values: feature name -> `[batch, max_values, embedding_dim]` embeddings, for bags.
      present: feature name -> `[batch, max_values]` 1 where a bag has a value, else 0.
      activations: feature name -> `[batch, width]`, bags pooled.
      missing: feature name -> `[1, width]` activation of the missing value: the embedding of id
        0, zeros for dense features (their mean after normalisation).
    """

    values: Mapping[str, tf.Tensor]
    present: Mapping[str, tf.Tensor]
    activations: Activations
    missing: Activations

    def rows(self, begin: int, size: int) -> LookedUp:
        """The `size` rows from `begin` on."""

        def cut(tensors: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return {name: tensor[begin : begin + size] for name, tensor in tensors.items()}

        return LookedUp(cut(self.values), cut(self.present), cut(self.activations), self.missing)


class FeatureEmbeddings(tf.keras.layers.Layer):
    """The embedding tables of all categorical and bag features.

    Args:
      specs: the dataset's features.
      embedding_dim: width of every table.
    """

    def __init__(self, specs: Sequence[FeatureSpec], embedding_dim: int):
        super().__init__(name="feature_embeddings")
        self._specs = tuple(specs)
        self._embedding_dim = embedding_dim
        self.tables = {
            spec.name: self.add_weight(
                name=spec.name,
                shape=(spec.vocab_size, embedding_dim),
                initializer=tf.keras.initializers.RandomUniform(-0.05, 0.05),
            )
            for spec in self._specs
            if spec.is_embedded
        }

    @property
    def widths(self) -> dict[str, int]:
        """Feature name -> width of its activation."""
        return {
            spec.name: self._embedding_dim if spec.is_embedded else spec.max_values
            for spec in self._specs
        }

    def call(self, features: Features) -> LookedUp:
        """Looks up `features`, one gather per table.

        Args:
          features: name -> `[batch, max_values]` int32 ids (0 is padding and missing), or
            `[batch, max_values]` float32 for dense features.

        Returns:
          The looked-up batch; its size is that of the input.
        """
        values, present, activations, missing = {}, {}, {}, {}
        for spec in self._specs:
            inputs = features[spec.name]
            if not spec.is_embedded:
                activations[spec.name] = tf.cast(inputs, tf.float32)
                missing[spec.name] = tf.zeros([1, spec.max_values])
                continue
            batch = tf.shape(inputs)[0]
            # An all-missing row rides along, so that id 0's embedding needs no look-up of its
            # own: a second one would double the sparse gradient's work.
            ids = tf.concat([inputs, tf.zeros_like(inputs[:1])], axis=0)
            embeddings = tf.gather(self.tables[spec.name], ids)  # [batch + 1, values, dim]
            if spec.kind == CATEGORICAL:
                pooled = embeddings[:, 0]
            else:
                pooled, weights = _pool_ids(embeddings, ids)
                values[spec.name] = embeddings[:batch]
                present[spec.name] = weights[:batch]
            activations[spec.name] = pooled[:batch]
            missing[spec.name] = pooled[batch:]
        return LookedUp(values, present, activations, missing)

    def pool(self, values: tf.Tensor, weights: tf.Tensor, missing: tf.Tensor) -> tf.Tensor:
        """Mean of a bag's values under 0/1 weights; the missing value where all are 0.

        Args:
          values: `[batch, max_values, embedding_dim]`.
          weights: `[batch, max_values]`.
          missing: `[1, embedding_dim]`.

        Returns:
          `[batch, embedding_dim]`.
        """
        total = tf.reduce_sum(weights, axis=1, keepdims=True)
        mean = _weighted_sum(values, weights) / tf.maximum(total, 1.0)
        return tf.where(total > 0, mean, missing)

    @property
    def bag_names(self) -> tuple[str, ...]:
        """Names of the multi-valued features."""
        return tuple(spec.name for spec in self._specs if spec.kind == BAG)


def _pool_ids(embeddings: tf.Tensor, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean over the non-zero ids, `[n, dim]`, and where they are, `[n, values]`.

    Values stand at the front of a bag, so that an empty bag holds id 0 at its first position:
    giving that position weight 1 pools an empty bag to the missing value's embedding.
    """
    present = tf.cast(tf.not_equal(ids, 0), embeddings.dtype)
    count = tf.reduce_sum(present, axis=1, keepdims=True)
    empty = tf.cast(tf.equal(count, 0), embeddings.dtype)
    first = tf.one_hot([0], ids.shape[1], dtype=embeddings.dtype)  # [1, values]
    weights = (present + empty * first) / tf.maximum(count, 1.0)
    return _weighted_sum(embeddings, weights), present


def _weighted_sum(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """`[n, values, dim]` times `[n, values]`, summed over the values."""
    return tf.reduce_sum(values * weights[:, :, tf.newaxis], axis=1)
