"""The main task: batch softmax of queries against items, Eq. (5), and what may be added to it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf

from ssl_recsys.config import LossConfig
from ssl_recsys.model import losses
from ssl_recsys.model.negative_queue import Candidates, NegativeQueue
from ssl_recsys.model.replicas import ReplicaBatch
from ssl_recsys.model.streaming_frequency import StreamingFrequency

# A learned temperature stays above this, as in CLIP (Radford et al. 2021): logits of at most 100.
_LOWEST_TEMPERATURE = 0.01


class MainTask(tf.keras.layers.Layer):
    """The batch softmax with its corrections and its negatives from earlier steps.

    Args:
      config: losses and their settings.
      batch_size: of the global batch.
      num_items: rows of the catalog, for the streaming estimate.
      dim: width of the towers' embeddings.
      gradient_dtype: type of the gradient's arithmetic.
    """

    def __init__(
        self,
        config: LossConfig,
        *,
        batch_size: int,
        num_items: int,
        dim: int,
        gradient_dtype: tf.DType,
    ):
        super().__init__(name="main_task")
        self._config = config
        self._arithmetic = gradient_dtype
        self._frequency = self._queue = None
        if config.logq_correction and config.logq_estimator == "streaming":
            self._frequency = StreamingFrequency(num_items)
        if config.negative_queue:
            self._queue = NegativeQueue(max(batch_size, config.negative_queue), dim)

    def call(
        self,
        queries: tf.Tensor,
        items: tf.Tensor,
        inputs: Mapping[str, tf.Tensor],
        batch: ReplicaBatch,
        *,
        temperature: float | tf.Tensor,
        step: tf.Tensor,
        training: bool,
    ) -> tf.Tensor:
        """Replica's share of the batch softmax, Eq. (5).

        Args:
          queries: `[batch, dim]` L2-normalised.
          items: `[batch, dim]` L2-normalised, each query's positive.
          inputs: `item_row` and `item_log_q`, `[batch]` each.
          batch: place in the global batch.
          temperature: tau.
          step: number of the step.
          training: whether the batch is remembered.

        Returns:
          Scalar.
        """
        config = self._config
        # Between replicas a gather is an exchange: only where somebody looks at the rows.
        if config.remove_accidental_hits or self._frequency is not None or self._queue is not None:
            rows = batch.gather(inputs["item_row"])
        else:
            rows = tf.fill([batch.global_size], -1)
        log_q = tf.zeros([batch.global_size])
        if self._frequency is not None and training:
            log_q = self._frequency(rows, step)
        elif config.logq_correction:
            log_q = batch.gather(inputs["item_log_q"])
        own = candidates = Candidates(batch.gather(items), log_q, rows)
        if self._queue is not None:
            candidates = own.joined(self._queue.candidates())
        weighs = config.logq_correction or self._queue is not None
        loss = losses.contrastive_loss(
            queries,
            candidates.embeddings,
            positives=batch.positions(),
            temperature=temperature,
            log_sampling_probability=candidates.log_q if weighs else None,
            right_ids=candidates.rows if config.remove_accidental_hits else None,
            batch_size=batch.global_size,
            gradient_dtype=self._arithmetic,
        )
        if config.symmetric:
            loss += losses.contrastive_loss(
                items,
                batch.gather(queries),
                positives=batch.positions(),
                temperature=temperature,
                gradient_dtype=self._arithmetic,
            )
        if self._queue is not None and training:
            with tf.control_dependencies([loss]):  # the queue is read before it is written
                self._queue.push(own, step)
        return loss


class Temperatures(tf.keras.layers.Layer):
    """The temperatures of the main and the self-supervised losses, fixed or learned.

    Args:
      config: their values, and whether they are trained from them.
    """

    def __init__(self, config: LossConfig):
        super().__init__(name="temperatures")
        self._values = {
            "main": config.temperature,
            "self_supervised": config.ssl_temperature or config.temperature,
        }
        self._log_values: dict[str, tf.Variable] = {}
        if config.learned_temperature:
            self._log_values = {
                name: self.add_weight(
                    name=f"log_{name}",
                    shape=(),
                    initializer=tf.keras.initializers.Constant(math.log(value)),
                )
                for name, value in self._values.items()
            }

    def main(self) -> float | tf.Tensor:
        """Tau of Eq. (5)."""
        return self._value("main")

    def self_supervised(self) -> float | tf.Tensor:
        """Tau of Eq. (3)."""
        return self._value("self_supervised")

    def _value(self, name: str) -> float | tf.Tensor:
        if name not in self._log_values:
            return self._values[name]
        return tf.maximum(tf.exp(self._log_values[name]), _LOWEST_TEMPERATURE)
