"""The towers: dense layers over the concatenated features, ending in a normalised embedding.

The first layer is linear in the concatenation, so its product with a concatenation is the sum
of its products with the features. A tower therefore computes one product per feature, and the
pre-activation of every view is a masked sum of those products: exact, and a view of feature
dropout costs only the later layers.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import tensorflow as tf

from ssl_recsys.augment import View
from ssl_recsys.features import Activations


@dataclasses.dataclass(frozen=True)
class Projected:
    """What the first layer makes of a batch, before features are combined.

    Attributes:
      products: feature name -> `[batch, units]` product with the feature's part of the kernel.
      missing: feature name -> `[1, units]` the same for the missing value.
    """

    products: Activations
    missing: Activations


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
        self._names = tuple(widths)
        self._arithmetic = tf.as_dtype(compute_dtype)
        self._kernels: dict[str, tf.Variable] = {}
        self._layers: list[tf.keras.layers.Layer] = []
        if not hidden_layers:
            self.output_dim = sum(widths.values())
            return
        self.output_dim = hidden_layers[-1]
        first = hidden_layers[0]
        # Glorot's limit for the whole kernel, whose rows these are.
        limit = (6.0 / (sum(widths.values()) + first)) ** 0.5
        self._kernels = {
            feature: self.add_weight(
                name=f"kernel_{feature}",
                shape=(width, first),
                initializer=tf.keras.initializers.RandomUniform(-limit, limit),
            )
            for feature, width in widths.items()
        }
        self._bias = self.add_weight(name="bias", shape=(first,), initializer="zeros")
        policy = "mixed_bfloat16" if compute_dtype == "bfloat16" else "float32"
        for index, (inputs, units) in enumerate(itertools.pairwise(hidden_layers)):
            last = index == len(hidden_layers) - 2
            layer = tf.keras.layers.Dense(
                units, activation=None if last else "relu", name=f"dense_{index + 1}", dtype=policy
            )
            layer.build((None, inputs))
            self._layers.append(layer)

    def call(self, activations: Activations) -> tf.Tensor:
        """`[batch, width]` activations to `[batch, output_dim]` L2-normalised embeddings."""
        inputs = tf.concat([activations[name] for name in self._names], axis=1)
        if not self._kernels:
            return self.finish(inputs)
        # Where no view shares the features' products, one product is less work than their sum.
        kernel = tf.concat([self._kernels[name] for name in self._names], axis=0)
        return self.finish(self._multiply(inputs, kernel) + self._cast(self._bias))

    def project(self, activations: Activations) -> dict[str, tf.Tensor]:
        """Products of the first layer with the features given, `[batch, units]` each."""
        names = [name for name in self._names if name in activations]
        if not self._kernels:
            return {name: activations[name] for name in names}
        return {name: self._multiply(activations[name], self._kernels[name]) for name in names}

    def combine(self, products: Activations) -> tf.Tensor:
        """Products to the first layer's pre-activation, `[batch, units]`."""
        tensors = [products[name] for name in self._names]
        if not self._kernels:
            return tf.concat(tensors, axis=1)
        return tf.add_n(tensors) + self._cast(self._bias)

    def view(self, projected: Projected, view: View) -> tf.Tensor:
        """Embeddings of a view, `[batch, output_dim]`, from the shared products."""
        products = {**projected.products, **self.project(view.replaced)}
        for name, keep in view.keep.items():
            if name in products:
                products[name] = tf.where(keep, products[name], projected.missing[name])
        return self.finish(self.combine(products))

    def finish(self, pre_activation: tf.Tensor) -> tf.Tensor:
        """Pre-activation of the first layer to `[batch, output_dim]` normalised embeddings."""
        hidden = tf.nn.relu(pre_activation) if self._layers else pre_activation
        for layer in self._layers:
            hidden = layer(hidden)
        return tf.math.l2_normalize(tf.cast(hidden, tf.float32), axis=1)

    def _multiply(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.matmul(self._cast(inputs), self._cast(kernel))

    def _cast(self, tensor: tf.Tensor) -> tf.Tensor:
        return tf.cast(tensor, self._arithmetic)
