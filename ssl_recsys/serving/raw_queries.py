"""Queries that are in no catalog, as a query tower's raw features: words, or a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.raw.rules import WORDS, RawItem

# Column -> a text of each query, or a list of texts where it takes several.
Columns = Mapping[str, Sequence[Any]]


def of_texts(raw: RawItem, texts: Sequence[str]) -> Columns:
    """Free text: it is in every column that words are taken from, and nothing else is known.

    Raises:
      InputError: if no feature is made of words.
    """
    worded = {feature.column for feature in raw.features if feature.rule == WORDS}
    if not worded:
        raise InputError(
            "free text needs a query feature that is made of words, such as a title; the model has "
            f"{', '.join(feature.name for feature in raw.features)}"
        )
    return {
        name: [_cell(text if name in worded else "", is_list) for text in texts]
        for name, is_list in raw.columns().items()
    }


def _cell(text: str, is_list: bool) -> str | list[str]:
    return [text] * bool(text) if is_list else text


def of_histories(info: schema.DatasetInfo, raw: RawItem, keys: Sequence[Sequence[str]]) -> Columns:
    """Keys of items, the latest first, and nothing else is known.

    Args:
      info: the dataset's description.
      raw: the rules of the query side.
      keys: of each query's items.

    Raises:
      InputError: if queries have no history.
    """
    histories = {
        spec.name for spec in info.features_of(schema.QUERY) if spec.is_pooled and spec.table
    }
    columns = [feature.column for feature in raw.features if feature.name in histories]
    if not columns:
        raise InputError(
            "a history needs a model whose queries are histories (pipelines.interactions)"
        )
    return {
        name: [list(one) if name in columns else _cell("", is_list) for one in keys]
        for name, is_list in raw.columns().items()
    }


def nothing(raw: RawItem) -> Columns:
    """One query of which nothing is known."""
    return {name: [_cell("", is_list)] for name, is_list in raw.columns().items()}
