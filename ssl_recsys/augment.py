"""The augmentations that make views: feature dropout at two granularities.

A view is a batch of activations like the looked-up ones that it is made from. Feature masking
needs no function of its own: its views are the groups of features that `ssl_tasks` gives to each
encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ssl_recsys.features import Activations, LookedUp
from ssl_recsys.replicas import ReplicaBatch
from ssl_recsys.schema import CATEGORICAL, FeatureSpec


def feature_dropout(
    specs: Sequence[FeatureSpec],
    looked_up: LookedUp,
    batch: ReplicaBatch,
    rate: float,
    seed: tf.Tensor,
) -> Activations:
    """Drops each categorical and bag feature of each example independently (paper, FD).

    Dense features are kept: the paper drops categorical features, a dropped one becoming the
    out-of-vocabulary value.

    Args:
      specs: the dataset's features.
      looked_up: the batch's look-up.
      batch: place of the examples in the global batch.
      rate: probability of dropping a feature.
      seed: `[2]` int32; the same seed gives the same view.

    Returns:
      Feature name -> `[batch, width]` activations of the view.
    """
    names = [spec.name for spec in specs if spec.is_embedded]
    kept = batch.random_keep(seed, len(names), rate)  # [batch, num_names]
    return dict(looked_up.activations) | {
        name: tf.where(kept[:, i : i + 1], looked_up.activations[name], looked_up.missing[name])
        for i, name in enumerate(names)
    }


def value_dropout(
    specs: Sequence[FeatureSpec],
    looked_up: LookedUp,
    batch: ReplicaBatch,
    rate: float,
    seed: tf.Tensor,
) -> Activations:
    """Drops each value of each bag, and each categorical feature, independently.

    The finer augmentation of the paper's later versions: a bag that loses all its values is
    missing, and a categorical feature has one value to lose.

    Args:
      specs: the dataset's features.
      looked_up: the batch's look-up.
      batch: place of the examples in the global batch.
      rate: probability of dropping a value.
      seed: `[2]` int32; the same seed gives the same view.

    Returns:
      Feature name -> `[batch, width]` activations of the view.
    """
    embedded = [spec for spec in specs if spec.is_embedded]
    widths = [spec.max_values for spec in embedded]
    kept = batch.random_keep(seed, sum(widths), rate)  # [batch, sum of max_values]
    view = dict(looked_up.activations)
    for spec, keep in zip(embedded, tf.split(kept, widths, axis=1), strict=True):
        missing = looked_up.missing[spec.name]
        if spec.kind == CATEGORICAL:
            view[spec.name] = tf.where(keep, view[spec.name], missing)
        else:
            view[spec.name] = looked_up.bags[spec.name].pool(missing, keep=keep)
    return view
