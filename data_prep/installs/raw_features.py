"""The rules by which a graph makes the same of an item table's columns as the encoders."""

from __future__ import annotations

from collections.abc import Mapping

from data_prep.installs.encoders import ItemFeature, lists_counter
from ssl_recsys.features import BAG, CATEGORICAL, DENSE, VECTOR
from ssl_recsys.raw import rules
from ssl_recsys.raw.rules import RawFeature


def raw_feature(
    feature: ItemFeature, key_column: str, counters: Mapping[str, int]
) -> RawFeature | None:
    """The rule of a feature; None for a kind that has none.

    Args:
      feature: the feature.
      key_column: the item table's column of keys.
      counters: what the job has counted.
    """
    name, column = feature.name, feature.column or feature.name  # a .npy file has no column
    if feature.kind == CATEGORICAL:
        return RawFeature(name, rules.TOKEN, column)
    if feature.kind == BAG and feature.words:
        return RawFeature(name, rules.WORDS, column, ngrams=feature.ngrams)
    if feature.kind == BAG:
        lists = bool(counters.get(lists_counter(name)))
        return RawFeature(name, rules.TOKENS, column, separator=feature.separator, lists=lists)
    if feature.kind == VECTOR:
        is_unit = feature.normalize == rules.UNIT
        return RawFeature(name, rules.UNIT_VECTOR if is_unit else rules.VECTOR, column)
    if feature.kind == DENSE and feature.from_training:
        return RawFeature(name, rules.TRAINING_PAIRS, key_column)
    return RawFeature(name, rules.NUMBER, column) if feature.kind == DENSE else None
