"""The self-supervised tasks of one side: views, encoders and their losses.

Source of the tasks: Yao et al., "Self-supervised Learning for Large-scale Item
Recommendations" (arXiv 2007.12865), section 3.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import tensorflow as tf

from ssl_recsys import augment, losses
from ssl_recsys.config import FEATURE_DROPOUT, FEATURE_MASKING, SPREAD_OUT, SSLConfig
from ssl_recsys.features import LookedUp
from ssl_recsys.replicas import ReplicaBatch
from ssl_recsys.schema import FeatureSpec
from ssl_recsys.towers import Projected, Tower


@dataclasses.dataclass(frozen=True)
class EncodedSide:
    """One side of a batch, with what its views are made from.

    Attributes:
      looked_up: the features after the look-up.
      projected: the tower's first-layer products; None where no task drops features.
      embeddings: `[batch, dim]` the tower's output without any dropout.
    """

    looked_up: LookedUp
    projected: Projected | None
    embeddings: tf.Tensor


class SSLTasks(tf.keras.layers.Layer):
    """The self-supervised losses of one tower.

    Args:
      specs: the dataset's features.
      config: tasks and their settings.
      fm_groups: resolved groups of feature names, one FM encoder each.
      widths: feature name -> width of its activation.
      tower: the tower that FD and SO share with the main task.
      temperature: tau of Eq. (3).
      compute_dtype: type of the FM encoders' arithmetic.
      name: the layer's name.
    """

    def __init__(
        self,
        specs: Sequence[FeatureSpec],
        config: SSLConfig,
        fm_groups: Sequence[Sequence[str]],
        widths: Mapping[str, int],
        tower: Tower,
        *,
        temperature: float,
        compute_dtype: str,
        name: str,
    ):
        super().__init__(name=name)
        self._specs = tuple(specs)
        self._config = config
        self._tower = tower
        self._temperature = temperature
        self.fm_encoders: list[Tower] = []
        if FEATURE_MASKING in config.tasks:
            self.fm_encoders = [
                Tower(
                    {feature: widths[feature] for feature in group},
                    config.fm_hidden_layers,
                    name=f"fm_encoder_{index}",
                    compute_dtype=compute_dtype,
                )
                for index, group in enumerate(fm_groups)
            ]

    def call(
        self, side: EncodedSide, batch: ReplicaBatch, seed: tf.Tensor
    ) -> Mapping[str, tf.Tensor]:
        """Computes the losses of the side's tasks.

        Args:
          side: the encoded batch.
          batch: its place in the global batch.
          seed: `[2]` int32, new in every step.

        Returns:
          Task name -> scalar, this replica's share of the global mean.
        """
        task_losses = {}
        if FEATURE_DROPOUT in self._config.tasks:
            task_losses[FEATURE_DROPOUT] = self._feature_dropout(side, batch, seed)
        if FEATURE_MASKING in self._config.tasks:
            task_losses[FEATURE_MASKING] = self._feature_masking(side, batch)
        if SPREAD_OUT in self._config.tasks:
            task_losses[SPREAD_OUT] = self._spread_out(side, batch)
        return task_losses

    def dropped_embeddings(
        self, side: EncodedSide, batch: ReplicaBatch, seed: tf.Tensor
    ) -> tf.Tensor:
        """`[batch, dim]` the tower's embeddings of one random view (FD's views, DO's input)."""
        rate = self._config.dropout_rate
        if self._config.dropout_granularity == "feature":
            view = augment.feature_dropout(self._specs, batch, rate, seed)
        else:
            view = augment.value_dropout(self._specs, side.looked_up, batch, rate, seed)
        if side.projected is None:
            raise ValueError("the side was encoded without the products that views share")
        return self._tower.view(side.projected, view)

    def _feature_dropout(
        self, side: EncodedSide, batch: ReplicaBatch, seed: tf.Tensor
    ) -> tf.Tensor:
        first, second = (
            self.dropped_embeddings(side, batch, fold_in(seed, index)) for index in (0, 1)
        )
        return self._contrast(first, second, batch)

    def _feature_masking(self, side: EncodedSide, batch: ReplicaBatch) -> tf.Tensor:
        views = [encoder(side.looked_up.activations) for encoder in self.fm_encoders]
        return tf.add_n([self._contrast(a, b, batch) for a, b in itertools.combinations(views, 2)])

    def _spread_out(self, side: EncodedSide, batch: ReplicaBatch) -> tf.Tensor:
        if self._config.spread_out == "softmax":
            return self._contrast(side.embeddings, side.embeddings, batch)
        return losses.squared_spread_out_loss(
            side.embeddings, batch.gather(side.embeddings), positives=batch.positions()
        )

    def _contrast(self, left: tf.Tensor, right: tf.Tensor, batch: ReplicaBatch) -> tf.Tensor:
        return losses.contrastive_loss(
            left,
            batch.gather(right),
            positives=batch.positions(),
            temperature=self._temperature,
        )


def fold_in(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """A new `[2]` seed for each number, unrelated to the others'."""
    return tf.random.experimental.stateless_fold_in(seed, number, alg="philox")
