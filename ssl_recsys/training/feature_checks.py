"""Checks of a run's settings against the dataset that it is to be trained on."""

from __future__ import annotations

from ssl_recsys import schema
from ssl_recsys.config.run import RunConfig
from ssl_recsys.data.identities import identities, vector_deltas
from ssl_recsys.errors import InputError
from ssl_recsys.features import history_names
from ssl_recsys.methods import FEATURE_MASKING, resolve_fm_groups

_WITHOUT = {"shared_projection": "shared_projection=0", "exclude_query": "noexclude_query"}


def check_features(config: RunConfig, info: schema.DatasetInfo) -> None:
    """Checks the settings that need features of the dataset.

    Raises:
      InputError: for a name that the dataset lacks, or a setting for queries that are items.
    """
    if info.queries:
        for name, given in (
            ("shared_projection", config.tower.shared_projection),
            ("exclude_query", config.training.exclude_query),
        ):
            if given:
                raise InputError(
                    f"--{name} is for datasets whose queries are items; those of {info.name} have "
                    f"features of their own: add --{_WITHOUT[name]}"
                )
    histories = history_names(info.features_of(schema.QUERY), info.features_of(schema.ITEM))
    if config.tower.recency_half_life and not histories:
        raise InputError(
            f"--recency_half_life weighs histories, and the queries of {info.name} have none: make "
            "the dataset with pipelines.interactions, or add --recency_half_life=0"
        )
    found = {spec.name: spec.kind for side in schema.SIDES for spec in info.features_of(side)}
    named = ", ".join(f"{name} ({kind})" for name, kind in found.items())
    if config.tower.id_min_count and not identities(info):
        raise InputError(
            "--id_min_count needs a categorical feature made from the column of the keys; "
            f"{info.name} has {named}"
        )
    if config.tower.vector_delta and not vector_deltas(info):
        raise InputError(
            "--vector_delta needs a feature of kind vector, and on the same side a categorical one "
            f"made from the column of the keys; {info.name} has {named}"
        )
    if FEATURE_MASKING in config.ssl.tasks:
        for side in config.ssl.sides:
            resolve_fm_groups(config.ssl.fm_groups, info.features_of(side))
