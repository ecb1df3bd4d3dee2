"""The augmentations that make views: dropout at two granularities, and masks of features.

A view is a batch of activations like the looked-up ones that it is made from. Feature masking by
fixed groups (FM) needs no function: its views are the groups of features that `ssl_tasks` gives to
each encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ssl_recsys.model.look_up import Activations, LookedUp
from ssl_recsys.model.replicas import ReplicaBatch, random_bits
from ssl_recsys.schema import CATEGORICAL, FeatureSpec


def dropout(
    specs: Sequence[FeatureSpec],
    looked_up: LookedUp,
    batch: ReplicaBatch,
    *,
    rate: float,
    granularity: str,
    seed: tf.Tensor,
) -> Activations:
    """`feature_dropout` or `value_dropout`, as `granularity` (`feature` or `value`) says."""
    by_granularity = feature_dropout if granularity == "feature" else value_dropout
    return by_granularity(specs, looked_up, batch, rate, seed)


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


def masked(
    specs: Sequence[FeatureSpec], view: Activations, missing: Activations, mask: tf.Tensor
) -> Activations:
    """A view without some features, the same ones for all examples (paper v4).

    Args:
      specs: the dataset's features.
      view: feature name -> `[batch, width]` activations.
      missing: feature name -> `[1, width]` activation of the missing value.
      mask: `[num_features]` bool, True for a feature that becomes missing.

    Returns:
      Feature name -> `[batch, width]`.
    """
    return {
        spec.name: tf.where(mask[index], missing[spec.name], view[spec.name])
        for index, spec in enumerate(specs)
    }


def random_half(num_features: int, seed: tf.Tensor) -> tf.Tensor:
    """`[num_features]` bool with `num_features // 2` True, all choices equally likely."""
    order = tf.argsort(random_bits([num_features], seed), stable=True)
    return tf.argsort(order) < num_features // 2  # each feature's place in the order


def random_row(rows: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """One of the `[num_rows, width]` rows, `[width]`, all equally likely."""
    number = tf.argmax(random_bits([rows.shape[0]], seed), output_type=tf.int32)
    return tf.gather(rows, number)
