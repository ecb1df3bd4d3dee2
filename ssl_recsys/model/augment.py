"""Augmentations: views of a batch with features, or values of features, replaced by missing ones.

A view is made of a look-up and is a batch of activations like it. Feature masking by fixed groups
(FM) needs nothing here: its views are the groups of features that its encoders read.

A new augmentation is a class here, under its name in `DROPOUTS` or `MASKS`; the names that a run
may choose are in `ssl_recsys.config.method`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ssl_recsys.model.look_up import Activations, LookedUp
from ssl_recsys.model.replicas import ReplicaBatch, fold_in, random_bits


class View(Protocol):
    """What makes one view of a batch."""

    def __call__(self, looked_up: LookedUp, batch: ReplicaBatch, seed: tf.Tensor) -> Activations:
        """Makes the view.

        Args:
          looked_up: the batch's look-up.
          batch: place of the examples in the global batch.
          seed: `[2]` int32; the same seed gives the same view.

        Returns:
          Feature name -> `[batch, width]` activations.
        """
        ...


@dataclasses.dataclass(frozen=True)
class FeatureDropout:
    """Drops each feature of each example independently (paper, FD).

    The paper drops categorical features, a dropped one becoming the out-of-vocabulary value. Here a
    number is dropped as well, to what the data has for a missing one: a new item lacks both.

    Attributes:
      rate: probability of dropping a feature.
    """

    rate: float

    def __call__(self, looked_up: LookedUp, batch: ReplicaBatch, seed: tf.Tensor) -> Activations:
        """As `View`."""
        kept = batch.random_keep(seed, len(looked_up.specs), self.rate)  # [batch, num_features]
        kept_of = {spec.name: kept[:, i : i + 1] for i, spec in enumerate(looked_up.specs)}
        return {
            **{name: looked_up.where(name, keep) for name, keep in kept_of.items()},
            **looked_up.deltas_where(looked_up.activations, kept_of),
        }


@dataclasses.dataclass(frozen=True)
class ValueDropout:
    """Drops each value of each bag, and each other feature, independently (paper v4).

    A bag that loses all its values is missing, and a feature that is no bag is dropped whole.

    Attributes:
      rate: probability of dropping a value.
    """

    rate: float

    def __call__(self, looked_up: LookedUp, batch: ReplicaBatch, seed: tf.Tensor) -> Activations:
        """As `View`."""
        widths = [spec.num_droppable for spec in looked_up.specs]
        kept = batch.random_keep(seed, sum(widths), self.rate)  # [batch, sum of widths]
        parts = tf.split(kept, widths, axis=1)
        kept_of = {spec.name: keep for spec, keep in zip(looked_up.specs, parts, strict=True)}
        return {
            **{name: looked_up.without_values(name, keep) for name, keep in kept_of.items()},
            **looked_up.deltas_where(looked_up.activations, kept_of),
        }


# Name -> class, made with a rate.
DROPOUTS: dict[str, Callable[[float], View]] = {"feature": FeatureDropout, "value": ValueDropout}


class Mask(Protocol):
    """What draws the half of the features that FD's first view lacks; its second has only it."""

    def __call__(self, num_features: int, seed: tf.Tensor) -> tf.Tensor:
        """`[num_features]` bool, True for a feature that becomes missing, one for all examples."""
        ...


@dataclasses.dataclass(frozen=True)
class RandomMask:
    """A random half of the features (paper v4)."""

    correlated: npt.NDArray[np.bool_] | None

    def __call__(self, num_features: int, seed: tf.Tensor) -> tf.Tensor:
        """`num_features // 2` of them, all choices equally likely."""
        order = tf.argsort(random_bits([num_features], seed), stable=True)
        return tf.argsort(order) < num_features // 2  # each feature's position in the order


@dataclasses.dataclass(frozen=True)
class CorrelatedMask:
    """A random feature with those that share most information with it (paper v4).

    Attributes:
      correlated: `[num_features, num_features]` bool, see `data.statistics.correlated_masks`.
    """

    correlated: npt.NDArray[np.bool_] | None

    def __call__(self, num_features: int, seed: tf.Tensor) -> tf.Tensor:
        """The mask of a feature that is drawn, all equally likely."""
        number = tf.argmax(random_bits([num_features], seed), output_type=tf.int32)
        return tf.gather(tf.constant(self.correlated), number)


# Name -> class, made with the correlated masks (None where the run has no use for them).
MASKS: dict[str, Callable[[npt.NDArray[np.bool_] | None], Mask]] = {
    "random": RandomMask,
    "correlated": CorrelatedMask,
}


def two_views(
    dropout: View,
    mask: Mask | None,
    looked_up: LookedUp,
    batch: ReplicaBatch,
    seed: tf.Tensor,
) -> list[Activations]:
    """FD's two views of a batch: independent dropouts, of complementary halves if masked.

    Args:
      dropout: makes each view.
      mask: draws the features that the first view lacks; None: both see all.
      looked_up: the batch's look-up.
      batch: place of the examples in the global batch.
      seed: `[2]` int32, new in every step.
    """
    views = [dropout(looked_up, batch, fold_in(seed, index)) for index in (0, 1)]
    if mask is None:
        return views
    first = mask(len(looked_up.specs), fold_in(seed, len(views)))
    return [
        _masked(looked_up, view, half) for view, half in zip(views, (first, ~first), strict=True)
    ]


def _masked(looked_up: LookedUp, view: Mapping[str, tf.Tensor], mask: tf.Tensor) -> Activations:
    """The view without the features that `[num_features]` bool marks."""
    hidden = {
        spec.name: tf.where(mask[index], looked_up.missing[spec.name], view[spec.name])
        for index, spec in enumerate(looked_up.specs)
    }
    kept = {spec.name: ~mask[index] for index, spec in enumerate(looked_up.specs)}
    return hidden | dict(looked_up.deltas_where(view, kept))
