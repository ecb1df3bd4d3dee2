"""A trained part of vectors that other models made, of bounded length.

The vectors are frozen, and each item adds a small vector of its own, so that it may move where its
pairs want it but stays near what its content says (Pembek et al. 2025, "Let It Go? Not Quite",
arXiv 2507.19473, who bound the length of the rows as they are stored; here they are scaled as they
are read). An item without an id of its own adds nothing, as before its first pair.
"""

from __future__ import annotations

import tensorflow as tf

from ssl_recsys.features import FeatureSpec
from ssl_recsys.model.tables import gather_rows


def delta_name(vector: str) -> str:
    """Name of the activation that is added to a vector's; no feature has such a name."""
    return f"{vector}+delta"


class VectorDeltas(tf.keras.layers.Layer):
    """The trained parts of one vector feature.

    Args:
      identity: the feature whose ids, but those that tokens share, have a row each.
      size: width of the vector.
      bound: largest length of a part.
    """

    def __init__(self, identity: FeatureSpec, size: int, bound: float):
        super().__init__(name="vector_deltas")
        self._num_ids = identity.num_tokens
        self._bound = bound
        self.table = self.add_weight(
            name="deltas", shape=(1 + self._num_ids, size), initializer="zeros"
        )

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """`[n]` ids to `[n, size]` parts no longer than the bound; zeros for an id without one."""
        has_part = (ids > 0) & (ids <= self._num_ids)
        rows = gather_rows(self.table, tf.where(has_part, ids, 0), None)
        # Where it is the constant, there is no gradient of the length, which has none at zero.
        squared = tf.maximum(tf.reduce_sum(tf.square(rows), axis=1, keepdims=True), self._bound**2)
        parts = rows * (self._bound * tf.math.rsqrt(squared))
        return tf.where(has_part[:, tf.newaxis], parts, 0.0)
