"""Negatives from earlier steps: cross-batch negative sampling (Wang et al., SIGIR 2021)."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

# log q of a place that nothing has come to: its weight in the softmax is exp(-1e9) = 0.
_NEVER = 1e9


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Right-hand sides of the main loss.

    Attributes:
      embeddings: `[num_candidates, dim]` L2-normalised.
      log_q: `[num_candidates]` log sampling probabilities.
      rows: `[num_candidates]` catalog rows, -1 for none.
    """

    embeddings: tf.Tensor
    log_q: tf.Tensor
    rows: tf.Tensor

    def joined(self, others: Candidates) -> Candidates:
        """These, then the others."""
        return Candidates(
            tf.concat([self.embeddings, others.embeddings], axis=0),
            tf.concat([self.log_q, others.log_q], axis=0),
            tf.concat([self.rows, others.rows], axis=0),
        )


class NegativeQueue(tf.keras.layers.Layer):
    """The last item embeddings of earlier steps, oldest overwritten first.

    They are as they were when they were computed and get no gradient: a queue saves the tower's
    work for more negatives and pays in staleness.

    Args:
      size: number of embeddings.
      dim: width of an embedding.
    """

    def __init__(self, size: int, dim: int):
        super().__init__(name="negative_queue")
        self._size = size
        # Every replica makes the same update of its own copy.
        self._embeddings = tf.Variable(tf.zeros([size, dim]), trainable=False, name="embeddings")
        self._log_q = tf.Variable(tf.fill([size], _NEVER), trainable=False, name="log_q")
        self._rows = tf.Variable(tf.fill([size], -1), trainable=False, name="rows")

    def candidates(self) -> Candidates:
        """What the queue holds."""
        return Candidates(
            self._embeddings.read_value(), self._log_q.read_value(), self._rows.read_value()
        )

    def push(self, candidates: Candidates, step: tf.Tensor) -> None:
        """Puts a global batch of at most `size` candidates in the oldest ones' place.

        Args:
          candidates: of the global batch.
          step: scalar int32, number of the step from 0.
        """
        batch_size = candidates.rows.shape[0]
        # In int64: step times batch passes 2^31 within two million steps.
        first = tf.cast(step, tf.int64) * batch_size
        places = (first + tf.range(batch_size, dtype=tf.int64)) % self._size
        embeddings = tf.stop_gradient(candidates.embeddings)
        self._embeddings.scatter_update(tf.IndexedSlices(embeddings, places))
        self._log_q.scatter_update(tf.IndexedSlices(candidates.log_q, places))
        self._rows.scatter_update(tf.IndexedSlices(candidates.rows, places))
