"""Which feature of a side says who the item or user is, by the dataset's description alone."""

from __future__ import annotations

from ssl_recsys.features import CATEGORICAL, VECTOR, FeatureSpec
from ssl_recsys.schema import SIDES, DatasetInfo


def identities(info: DatasetInfo) -> dict[str, FeatureSpec]:
    """Side -> the categorical feature that is its keys, made of their column, where it has one."""
    found: dict[str, FeatureSpec] = {}
    for side in SIDES:
        raw = info.raw_of(side)
        of_keys = {one.name for one in raw.features if one.column == raw.key} if raw else set()
        for spec in info.features_of(side):
            if spec.name in of_keys and spec.kind == CATEGORICAL:
                found.setdefault(side, spec)
    return found


def vector_deltas(info: DatasetInfo) -> dict[str, str]:
    """Name of each vector whose side has an identity -> the identity's, for `--vector_delta`."""
    return {
        spec.name: identity.name
        for side, identity in identities(info).items()
        for spec in info.features_of(side)
        if spec.kind == VECTOR
    }
