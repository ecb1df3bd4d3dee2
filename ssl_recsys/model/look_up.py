"""Embedding tables and the look-up that everything else in a step shares.

Both towers and all self-supervised encoders read the same tables, and a step looks every id up
once: views are made from the looked-up activations (see `augment`), never by a second look-up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from ssl_recsys.model.bags import MEAN, Bags, PaddedBags, RaggedBags, split_last
from ssl_recsys.schema import BAG, CATEGORICAL, DENSE, FeatureSpec

# Feature name -> [batch, max_values] ids or floats, as the input pipeline gives them.
Features = Mapping[str, tf.Tensor]
# Feature name -> [batch, width] what a dense layer sees of the feature.
Activations = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class LookedUp:
    """The features of a batch after the look-up.

    Attributes:
      bags: feature name -> the bag's values, for bag features.
      activations: feature name -> `[batch, width]`, bags pooled.
      missing: feature name -> `[1, width]` activation of the missing value: the embedding of id
        0, zeros for dense features (their mean after normalisation).
    """

    bags: Mapping[str, Bags]
    activations: Activations
    missing: Activations

    def split(self, parts: int) -> list[LookedUp]:
        """The look-up cut into `parts` of equal size."""
        activations = {name: tf.split(value, parts) for name, value in self.activations.items()}
        bags = {name: values.split(parts) for name, values in self.bags.items()}
        return [
            LookedUp(
                {name: values[part] for name, values in bags.items()},
                {name: values[part] for name, values in activations.items()},
                self.missing,
            )
            for part in range(parts)
        ]


class FeatureEmbeddings(tf.keras.layers.Layer):
    """The embedding tables of all categorical and bag features.

    Args:
      specs: the dataset's features.
      embedding_dim: width of every table.
      static_shapes: keep bags padded, as XLA and TPUs need, instead of ragged.
      pooling: how bags are pooled, `mean` or `sqrtn`.
      value_weights: `none`, `idf` or `learned` weights of a bag's values.
      idf: feature name -> `[vocab_size]` weights, for `idf`; they are kept as variables, so that
        an exported tower has them.
    """

    def __init__(
        self,
        specs: Sequence[FeatureSpec],
        embedding_dim: int,
        *,
        static_shapes: bool,
        pooling: str = MEAN,
        value_weights: str = "none",
        idf: Mapping[str, np.ndarray] | None = None,
    ):
        super().__init__(name="feature_embeddings")
        self._specs = tuple(specs)
        self._embedding_dim = embedding_dim
        self._bags_class = PaddedBags if static_shapes else RaggedBags
        self._pooling = pooling
        self.tables = {
            spec.name: self.add_weight(
                name=spec.name,
                shape=(spec.vocab_size, embedding_dim),
                initializer=tf.keras.initializers.RandomUniform(-0.05, 0.05),
            )
            for spec in self._specs
            if spec.is_embedded
        }
        self._log_weights: dict[str, tf.Variable] = {}
        if value_weights != "none":
            self._log_weights = {
                spec.name: self._make_log_weights(spec, None if idf is None else idf[spec.name])
                for spec in self._specs
                if spec.kind == BAG
            }

    def _make_log_weights(self, spec: FeatureSpec, idf: np.ndarray | None) -> tf.Variable:
        """Logarithms of the values' weights: trained from 0, or those of `idf`."""
        initial = np.zeros(spec.vocab_size) if idf is None else np.log(idf)
        return self.add_weight(
            name=f"{spec.name}_log_weights",
            shape=(spec.vocab_size,),
            initializer=tf.keras.initializers.Constant(initial),
            trainable=idf is None,
        )

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
        bags: dict[str, Bags] = {}
        activations, missing = {}, {}
        for spec in self._specs:
            inputs = features[spec.name]
            if spec.kind == DENSE:
                activations[spec.name] = tf.cast(inputs, tf.float32)
                missing[spec.name] = tf.zeros([1, spec.max_values])
            elif spec.kind == CATEGORICAL:
                rows = tf.concat([inputs[:, 0], [0]], axis=0)  # id 0 rides along, as for bags
                embeddings = tf.gather(self.tables[spec.name], rows)
                activations[spec.name], missing[spec.name] = split_last(embeddings)
            else:
                values, nothing = self._bags_class.look_up(
                    self.tables[spec.name],
                    inputs,
                    self._pooling,
                    self._log_weights.get(spec.name),
                )
                bags[spec.name] = values
                activations[spec.name] = values.pool(nothing)
                missing[spec.name] = nothing
        return LookedUp(bags, activations, missing)
