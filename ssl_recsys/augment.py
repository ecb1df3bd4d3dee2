"""The augmentations that make views: feature dropout at two granularities.

Feature masking needs no function of its own: its views are the groups of features that
`ssl_tasks` gives to each encoder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf

from ssl_recsys.features import Activations, LookedUp
from ssl_recsys.replicas import ReplicaBatch
from ssl_recsys.schema import CATEGORICAL, FeatureSpec


@dataclasses.dataclass(frozen=True)
class View:
    """What a dropout leaves of a batch.

    Attributes:
      keep: feature name -> `[batch, 1]` bool, False where the whole feature is missing.
      replaced: feature name -> `[batch, width]` activations that differ from the batch's own by
        more than being missing (bags that lost single values).
    """

    keep: Mapping[str, tf.Tensor]
    replaced: Activations = dataclasses.field(default_factory=dict)


def feature_dropout(
    specs: Sequence[FeatureSpec], batch: ReplicaBatch, rate: float, seed: tf.Tensor
) -> View:
    """Drops each categorical and bag feature of each example independently (paper, FD).

    Dense features are kept: the paper drops categorical features, a dropped one becoming the
    out-of-vocabulary value.

    Args:
      specs: the dataset's features.
      batch: place of the examples in the global batch.
      rate: probability of dropping a feature.
      seed: `[2]` int32; the same seed gives the same view.

    Returns:
      The view, with a `keep` entry for every feature that can be dropped.
    """
    names = [spec.name for spec in specs if spec.is_embedded]
    kept = batch.random_keep(seed, len(names), rate)  # [batch, num_names]
    return View({name: kept[:, i : i + 1] for i, name in enumerate(names)})


def value_dropout(
    specs: Sequence[FeatureSpec],
    looked_up: LookedUp,
    batch: ReplicaBatch,
    rate: float,
    seed: tf.Tensor,
) -> View:
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
      The view, with `keep` for categorical features and `replaced` for bags.
    """
    widths = [spec.max_values if spec.is_embedded else 0 for spec in specs]
    kept = batch.random_keep(seed, sum(widths), rate)  # [batch, sum of max_values]
    keep, replaced, begin = {}, {}, 0
    for spec, width in zip(specs, widths, strict=True):
        mask = kept[:, begin : begin + width]
        begin += width
        if spec.kind == CATEGORICAL:
            keep[spec.name] = mask
        elif spec.is_embedded:
            bags = looked_up.bags[spec.name]
            replaced[spec.name] = bags.pool(looked_up.missing[spec.name], keep=mask)
    return View(keep, replaced)
