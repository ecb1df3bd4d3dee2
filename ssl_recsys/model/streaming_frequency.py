"""How often items come up in batches, estimated while training (Yi et al. 2019, Algorithm 2)."""

from __future__ import annotations

import tensorflow as tf


class StreamingFrequency(tf.keras.layers.Layer):
    """Estimates each item's sampling probability from the steps between its appearances.

    For each item, its last step and a moving average of the steps between two batches that hold
    it; the inverse of the average is the probability that a batch holds the item. Two things
    differ from Algorithm 2: rows are catalog rows, so nothing is hashed and no two items collide;
    and the first appearances are averaged evenly (rate 1/n for the n-th), which leaves no initial
    value to be chosen.

    An item that every batch holds has probability 1, however often: with batches as large as the
    catalogue's head the correction saturates where counts would not.

    Args:
      num_items: rows of the catalog.
      rate: of the moving average, after 1/rate appearances.
    """

    def __init__(self, num_items: int, *, rate: float = 0.01):
        super().__init__(name="streaming_frequency")
        self._rate = rate
        self._appearances = self._state("appearances", num_items)
        self._last_step = self._state("last_step", num_items)
        self._interval = self._state("interval", num_items)

    def _state(self, name: str, num_items: int) -> tf.Variable:
        # Every replica makes the same update of its own copy.
        return tf.Variable(tf.zeros([num_items]), trainable=False, name=name)

    def call(self, rows: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Counts a global batch and returns its items' probabilities.

        Args:
          rows: `[batch]` catalog rows of the global batch.
          step: scalar, number of the step from 0.

        Returns:
          `[batch]` log probability that a batch holds the item, at most 0.
        """
        now = tf.cast(step, tf.float32) + 1.0
        appearances = tf.gather(self._appearances, rows) + 1.0
        interval = tf.gather(self._interval, rows)
        rate = tf.maximum(self._rate, 1.0 / appearances)
        interval += rate * (now - tf.gather(self._last_step, rows) - interval)
        # An item that the batch holds twice gets the same values twice.
        self._appearances.scatter_update(tf.IndexedSlices(appearances, rows))
        self._last_step.scatter_update(tf.IndexedSlices(tf.fill(tf.shape(rows), now), rows))
        self._interval.scatter_update(tf.IndexedSlices(interval, rows))
        return -tf.math.log(interval)
