"""The self-supervised tasks of one side: views, encoders and their losses.

Source of the tasks: Yao et al., "Self-supervised Learning for Large-scale Item
Recommendations" (arXiv 2007.12865), section 3.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from ssl_recsys.config.method import NO_MASK, SOFTMAX, SSLConfig
from ssl_recsys.methods import FEATURE_DROPOUT, FEATURE_MASKING, SPREAD_OUT
from ssl_recsys.model import losses
from ssl_recsys.model.augment import DROPOUTS, MASKS, two_views
from ssl_recsys.model.look_up import Activations, LookedUp
from ssl_recsys.model.replicas import ReplicaBatch
from ssl_recsys.model.towers import Tower


@dataclasses.dataclass(frozen=True)
class EncodedSide:
    """One side of a batch, as its self-supervised tasks see it.

    Attributes:
      activations: feature name -> `[batch, width]`, without any dropout.
      embeddings: `[batch, dim]` the tower's output for them, if `SSLTasks.uses_embeddings`.
      views: `[batch, dim]` the tower's output for each of `SSLTasks.views`.
    """

    activations: Activations
    embeddings: tf.Tensor
    views: Sequence[tf.Tensor]


class SSLTasks(tf.keras.layers.Layer):
    """The self-supervised losses of one tower.

    Args:
      config: tasks and their settings.
      fm_groups: resolved groups of feature names, one FM encoder each.
      widths: feature name -> width of its activation.
      correlated: `[num_features, num_features]` bool, the masks of correlated feature masking; None
        where `config.view_masking` is another.
      temperature: tau of Eq. (3).
      sub_towers: parts of the tower's embeddings, each of which has losses of its own.
      compute_dtype: type of the FM encoders' and the losses' arithmetic.
      name: the layer's name.
    """

    def __init__(
        self,
        config: SSLConfig,
        fm_groups: Sequence[Sequence[str]],
        widths: Mapping[str, int],
        *,
        correlated: np.ndarray | None,
        temperature: float,
        sub_towers: int = 1,
        compute_dtype: str,
        name: str,
    ):
        super().__init__(name=name)
        self._config = config
        self._temperature = temperature
        self._sub_towers = sub_towers
        self._gradient_dtype = tf.as_dtype(compute_dtype)
        self._dropout = DROPOUTS[config.dropout_granularity](config.dropout_rate)
        masked = config.view_masking != NO_MASK
        self._mask = MASKS[config.view_masking](correlated) if masked else None
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

    @property
    def uses_embeddings(self) -> bool:
        """Whether a task works on the tower's output for the whole features."""
        return SPREAD_OUT in self._config.tasks

    def views(self, looked_up: LookedUp, batch: ReplicaBatch, seed: tf.Tensor) -> list[Activations]:
        """The views that the tower is to embed: FD's two, none without FD.

        Args:
          looked_up: the side's look-up.
          batch: its place in the global batch.
          seed: `[2]` int32, new in every step.
        """
        if FEATURE_DROPOUT not in self._config.tasks:
            return []
        return two_views(self._dropout, self._mask, looked_up, batch, seed)

    def call(self, side: EncodedSide, batch: ReplicaBatch) -> Mapping[str, tf.Tensor]:
        """Computes the losses of the side's tasks.

        Args:
          side: the encoded batch.
          batch: its place in the global batch.

        Returns:
          Task name -> scalar, this replica's share of the global mean.
        """

        def contrast(left: tf.Tensor, right: tf.Tensor, num_parts: int = 1) -> tf.Tensor:
            return losses.sum_over_parts(
                losses.contrastive_loss,
                num_parts,
                left,
                batch.gather(right),
                positives=batch.positions(),
                temperature=self._temperature,
                gradient_dtype=self._gradient_dtype,
            )

        task_losses = {}
        if FEATURE_DROPOUT in self._config.tasks:
            first, second = side.views
            task_losses[FEATURE_DROPOUT] = contrast(first, second, self._sub_towers)
        if FEATURE_MASKING in self._config.tasks:
            # No trained parts of vectors, which are of the item, as its id is.
            views = [
                encoder({name: side.activations[name] for name in encoder.feature_names})
                for encoder in self.fm_encoders
            ]
            pairs = itertools.combinations(views, 2)
            task_losses[FEATURE_MASKING] = tf.add_n([contrast(a, b) for a, b in pairs])
        if SPREAD_OUT in self._config.tasks:
            if self._config.spread_out == SOFTMAX:
                spread_out = contrast(side.embeddings, side.embeddings, self._sub_towers)
            else:
                spread_out = losses.sum_over_parts(
                    losses.squared_spread_out_loss,
                    self._sub_towers,
                    side.embeddings,
                    batch.gather(side.embeddings),
                    positives=batch.positions(),
                )
            task_losses[SPREAD_OUT] = spread_out
        return task_losses
