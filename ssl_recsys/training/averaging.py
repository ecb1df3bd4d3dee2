"""The average of the weights at the ends of a run's epochs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf


class AveragedWeights(tf.Module):
    """An exponential average of a model's weights over the epochs.

    The idea is stochastic weight averaging (Izmailov et al. 2018): the ends of epochs lie around a
    better point than each of them is. Their mean over the last epochs would need a copy of the
    weights for each; `average = decay * average + (1 - decay) * weights` needs one. It begins as
    the weights at the end of the first epoch.

    Made in the scope of the model's strategy.

    Args:
      weights: the model's variables.
      decay: share of the average that stays, below 1; 0 averages nothing: the model always has its
        own weights.

    Attributes:
      averages: float32 variables of the weights' shapes; none without a decay.
    """

    def __init__(self, weights: Sequence[tf.Variable], decay: float):
        super().__init__(name="averaged_weights")
        self._weights = list(weights) if decay else []
        self._decay = decay
        # In float32 whatever the weights are kept in, so that small changes are not rounded away.
        self.averages = [
            tf.Variable(tf.cast(weight, tf.float32), trainable=False, name=f"average_{number}")
            for number, weight in enumerate(self._weights)
        ]

    def update(self, *, is_first: bool) -> None:
        """Takes in the weights at the end of an epoch; `is_first` of the run."""
        decay = 0.0 if is_first else self._decay
        for average, weight in zip(self.averages, self._weights, strict=True):
            now = tf.cast(tf.convert_to_tensor(weight), tf.float32)
            average.assign(decay * tf.convert_to_tensor(average) + (1.0 - decay) * now)

    def put_in(self) -> None:
        """Gives the model the average."""
        for average, weight in zip(self.averages, self._weights, strict=True):
            weight.assign(tf.cast(tf.convert_to_tensor(average), weight.dtype))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the average within the block, and its own weights behind it."""
        own = [tf.identity(tf.convert_to_tensor(weight)) for weight in self._weights]
        self.put_in()
        try:
            yield
        finally:
            for weight, value in zip(self._weights, own, strict=True):
                weight.assign(value)
