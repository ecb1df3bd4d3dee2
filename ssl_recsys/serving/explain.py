"""What a score rests on: values that query and item share, and the score without each feature."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from ssl_recsys.errors import InputError
from ssl_recsys.features import FeatureSpec
from ssl_recsys.schema import ITEM, QUERY
from ssl_recsys.serving.index import Columns
from ssl_recsys.serving.raw_items import Embedders
from ssl_recsys.training.export import EMBEDDING, ENCODED, Exported, Signature, load_tower

# Feature name -> `[1, width]` ids or numbers of one item, as in the catalog.
Encoded = Mapping[str, np.ndarray]
# Encoded features of a batch to embeddings, `[batch, dim]`.
Embedder = Callable[[Mapping[str, tf.Tensor]], tf.Tensor]
# A feature's ids -> the texts of those that stand for one value.
Texts = Callable[[str, Sequence[int]], list[str]]


@dataclasses.dataclass(frozen=True)
class FeatureShare:
    """One feature's share in a score.

    Attributes:
      feature: its name.
      shared: texts of the values that query and item both have; none of numbers.
      score_without: the score if both lacked the feature.
      drop: what the score loses by that; negative where the feature speaks against the item.
    """

    feature: str
    shared: list[str]
    score_without: float
    drop: float


@dataclasses.dataclass(frozen=True)
class Explanation:
    """A score and its features, those first whose loss costs most."""

    score: float
    features: list[FeatureShare]


def explain(
    query: Encoded,
    item: Encoded,
    specs: Sequence[FeatureSpec],
    towers: Mapping[str, Embedder],
    texts: Texts,
    scale: float = 1.0,
) -> Explanation:
    """The score of an item for a query, and what it is without each of the features.

    A feature is left out on both sides: it gets the value of a missing one, as in the views of
    feature dropout. Drops do not add up to the score, since towers are not linear.

    Args:
      query: of the query.
      item: of the item.
      specs: the features.
      towers: side -> what embeds a batch of encoded features.
      texts: gives the texts of ids.
      scale: what the item tower's embedding is multiplied by, see `Exported.scales`.
    """
    queries, items = (
        towers[side](_without_each(encoded, specs)).numpy()
        for side, encoded in ((QUERY, query), (ITEM, item))
    )
    score, *without = (scale * np.sum(queries * items, axis=1)).tolist()
    shares = [
        FeatureShare(spec.name, texts(spec.name, shared_ids(spec, query, item)), left, score - left)
        for spec, left in zip(specs, without, strict=True)
    ]
    return Explanation(score, sorted(shares, key=lambda share: -share.drop))


def shared_ids(spec: FeatureSpec, query: Encoded, item: Encoded) -> list[int]:
    """The ids of a feature that both have, in the query's order; none of numbers."""
    if not spec.is_embedded:
        return []
    there = {*item[spec.name][0].tolist()} - {0}
    return [one for one in query[spec.name][0].tolist() if one in there]


def _without_each(encoded: Encoded, specs: Sequence[FeatureSpec]) -> dict[str, tf.Tensor]:
    """`[1 + features, width]` of each feature: all of them, then all but the first, and so on."""
    batch = {}
    for number, spec in enumerate(specs, start=1):
        rows = np.repeat(encoded[spec.name], 1 + len(specs), axis=0)
        rows[number] = spec.missing_like(encoded[spec.name])[0]
        batch[spec.name] = tf.constant(rows)
    return batch


class Explainer:
    """Explains scores of one model.

    Args:
      exported: the model.
      embedders: its towers over raw features; None where it takes none.
    """

    def __init__(self, exported: Exported, embedders: Embedders | None):
        self._exported, self._embedders = exported, embedders
        self._specs = exported.info.features_of(ITEM)

    @functools.cached_property
    def _towers(self) -> dict[str, Embedder]:
        if self._embedders is None:
            item_tower: Mapping[str, Signature] = load_tower(self._exported.path, ITEM)
        else:
            item_tower = self._embedders.tower(ITEM)
        return {
            QUERY: self._exported.query_tower,
            ITEM: lambda features: item_tower[ENCODED](features)[EMBEDDING],
        }

    def of_catalog(self, row: int) -> Encoded:
        """The encoded features of a row of the model's catalog."""
        return self._exported.catalog(ITEM).rows(np.array([row]))

    def of_columns(self, columns: Columns) -> Encoded:
        """The encoded features of an item's raw ones.

        Raises:
          InputError: if the model takes none, or if they were not kept.
        """
        if self._embedders is None:
            raise InputError("this model takes no raw features, and so explains none")
        if not columns:
            raise InputError(
                "an earlier version added this item and kept no raw features; add it again"
            )
        return self._embedders.encode({name: [value] for name, value in columns.items()})

    def explain(self, query: Encoded, item: Encoded, texts: Texts, scale: float) -> Explanation:
        """As `explain`, by this model's towers."""
        return explain(query, item, self._specs, self._towers, texts, scale)
