"""The towers: dense layers over the concatenated features, ending in a normalised embedding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import tensorflow as tf

from ssl_recsys.model.look_up import Activations
from ssl_recsys.model.vector_deltas import delta_name


def _with_delta(activations: Activations, name: str) -> tf.Tensor:
    """A feature's activations, with a vector's trained part if it has one."""
    delta = activations.get(delta_name(name))
    return activations[name] if delta is None else activations[name] + delta


def dense_layer(
    inputs: int,
    units: int,
    *,
    activation: str | None = None,
    use_bias: bool = True,
    name: str,
    compute_dtype: str,
) -> tf.keras.layers.Dense:
    """A dense layer with its weights, `[inputs, units]` float32."""
    policy = "mixed_bfloat16" if compute_dtype == "bfloat16" else "float32"
    layer = tf.keras.layers.Dense(
        units, activation=activation, use_bias=use_bias, name=name, dtype=policy
    )
    layer.build((None, inputs))
    return layer


class FusedTower(tf.keras.layers.Layer):
    """Sub-towers over the same features, whose embeddings stand side by side.

    Late fusion with shared tables and one head for each member of an ensemble (Lee et al. 2015,
    "Why M Heads are Better than One", arXiv 1511.06314). The cosine of two embeddings is the mean
    of the sub-towers' cosines.

    Args:
      sub_towers: towers of one output size.
      name: the layer's name.
    """

    def __init__(self, sub_towers: Sequence[Tower], *, name: str):
        super().__init__(name=name)
        self.sub_towers = list(sub_towers)
        self.output_dim = sum(tower.output_dim for tower in sub_towers)

    def call(self, activations: Activations) -> tf.Tensor:
        """`[batch, width]` activations to `[batch, output_dim]` L2-normalised embeddings."""
        return self._side_by_side([tower(activations) for tower in self.sub_towers])

    def embed_all(self, batches: Sequence[Activations]) -> list[tf.Tensor]:
        """As `Tower.embed_all`."""
        parts = [tower.embed_all(batches) for tower in self.sub_towers]
        return [self._side_by_side(of_batch) for of_batch in zip(*parts, strict=True)]

    def _side_by_side(self, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        return tf.concat(parts, axis=1) / math.sqrt(len(parts))


class Tower(tf.keras.layers.Layer):
    """A multilayer perceptron with ReLU between its layers and a linear last layer.

    Args:
      widths: feature name -> width of its activation; only these features are read.
      hidden_layers: layer sizes, the last being that of the embedding. Empty: no layer at all,
        the embedding is the normalised concatenation (matrix factorization).
      projection: a layer from the concatenated features to the output, which is added to it.
      projection_weight: what it is multiplied by.
      name: the layer's name.
      compute_dtype: type of the dense layers' arithmetic; variables and results are float32.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        hidden_layers: Sequence[int],
        *,
        projection: tf.keras.layers.Layer | None = None,
        projection_weight: float = 1.0,
        name: str,
        compute_dtype: str = "float32",
    ):
        super().__init__(name=name)
        self._projection = projection
        self._projection_weight = projection_weight
        self.feature_names = tuple(widths)
        self.output_dim = hidden_layers[-1] if hidden_layers else sum(widths.values())
        self._layers = []
        inputs = sum(widths.values())
        for index, units in enumerate(hidden_layers):
            is_last = index == len(hidden_layers) - 1
            layer = dense_layer(
                inputs,
                units,
                activation=None if is_last else "relu",
                name=f"dense_{index}",
                compute_dtype=compute_dtype,
            )
            self._layers.append(layer)
            inputs = units

    def call(self, activations: Activations) -> tf.Tensor:
        """`[batch, width]` activations to `[batch, output_dim]` L2-normalised embeddings."""
        return self.embed_all([activations])[0]

    def embed_all(self, batches: Sequence[Activations]) -> list[tf.Tensor]:
        """Embeds several batches in one pass.

        One product with three times the rows costs less than three products, and the gradient
        of each layer is summed within it.

        Args:
          batches: activations, `[batch, width]` each; of several, the sizes must be static.

        Returns:
          `[batch, output_dim]` L2-normalised embeddings of each batch.
        """
        parts = [
            tf.concat([_with_delta(activations, name) for name in self.feature_names], axis=1)
            for activations in batches
        ]
        features = tf.concat(parts, axis=0)
        hidden = features
        for layer in self._layers:
            hidden = layer(hidden)
        outputs = tf.cast(hidden, tf.float32)
        if self._projection is not None:
            outputs += self._projection_weight * tf.cast(self._projection(features), tf.float32)
        embeddings = tf.math.l2_normalize(outputs, axis=1)
        if len(batches) == 1:
            return [embeddings]
        return tf.split(embeddings, [part.shape[0] for part in parts])
