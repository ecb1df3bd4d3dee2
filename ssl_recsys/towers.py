"""The towers: dense layers over the concatenated features, ending in a normalised embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from ssl_recsys.features import Activations


class Tower(tf.keras.layers.Layer):
    """A multilayer perceptron with ReLU between its layers and a linear last layer.

    Args:
      widths: feature name -> width of its activation; only these features are read.
      hidden_layers: layer sizes, the last being that of the embedding. Empty: no layer at all,
        the embedding is the normalised concatenation (matrix factorization).
      name: the layer's name.
      compute_dtype: type of the dense layers' arithmetic; variables and results are float32.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        hidden_layers: Sequence[int],
        *,
        name: str,
        compute_dtype: str = "float32",
    ):
        super().__init__(name=name)
        self.feature_names = tuple(widths)
        self.output_dim = hidden_layers[-1] if hidden_layers else sum(widths.values())
        policy = "mixed_bfloat16" if compute_dtype == "bfloat16" else "float32"
        self._layers = []
        inputs = sum(widths.values())
        for index, units in enumerate(hidden_layers):
            is_last = index == len(hidden_layers) - 1
            layer = tf.keras.layers.Dense(
                units, activation=None if is_last else "relu", name=f"dense_{index}", dtype=policy
            )
            layer.build((None, inputs))
            self._layers.append(layer)
            inputs = units

    def call(self, activations: Activations) -> tf.Tensor:
        """`[batch, width]` activations to `[batch, output_dim]` L2-normalised embeddings."""
        return self.embed_all([activations])[0]

    def embed_all(self, batches: Sequence[Activations]) -> list[tf.Tensor]:
        """Embeds several batches of one size in one pass.

        One product with three times the rows costs less than three products, and the gradient
        of each layer is summed within it.

        Args:
          batches: activations, `[batch, width]` each.

        Returns:
          `[batch, output_dim]` L2-normalised embeddings of each batch.
        """
        hidden = tf.concat(
            [
                tf.concat([activations[name] for name in self.feature_names], axis=1)
                for activations in batches
            ],
            axis=0,
        )
        for layer in self._layers:
            hidden = layer(hidden)
        embeddings = tf.math.l2_normalize(tf.cast(hidden, tf.float32), axis=1)
        return tf.split(embeddings, len(batches)) if len(batches) > 1 else [embeddings]
