"""Queries that are in no catalog, as a query tower's raw features: words, or a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.features import history_names
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


def of_histories(
    info: schema.DatasetInfo,
    raw: RawItem,
    keys: Sequence[Sequence[str]],
    given: Sequence[str] = (),
) -> Columns:
    """Keys of items, the latest first, and what else is given; nothing more is known.

    Args:
      info: the dataset's description.
      raw: the rules of the query side.
      keys: of each query's items.
      given: `COLUMN=VALUE` texts, the same for all queries; of a column that takes several values
        each on its own.

    Raises:
      InputError: if queries have no history, for a column that they have not, or for a second value
        of one that takes one.
    """
    histories = history_names(info.features_of(schema.QUERY), info.features_of(schema.ITEM))
    columns = [feature.column for feature in raw.features if feature.name in histories]
    if not columns:
        raise InputError(
            "a history needs a model whose queries are histories (pipelines.interactions)"
        )
    known = _known({c: is_list for c, is_list in raw.columns().items() if c not in columns}, given)
    return {
        name: [list(one) if name in columns else known[name] for one in keys]
        for name in raw.columns()
    }


def _known(is_list: Mapping[str, bool], given: Sequence[str]) -> dict[str, str | list[str]]:
    """A query's cells by column: what is given of it, and else nothing."""
    values: dict[str, list[str]] = {name: [] for name in is_list}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in values:
            raise InputError(
                f"{text!r} is nothing that is known of a query: give COLUMN=VALUE, with one of "
                f"{', '.join(values) or 'no columns'}"
            )
        values[name].append(value)
        if len(values[name]) > 1 and not is_list[name]:
            raise InputError(f"{name} takes one value (got {', '.join(values[name])})")
    return {name: values[name] if is_list[name] else "".join(values[name]) for name in is_list}


def nothing(raw: RawItem) -> Columns:
    """One query of which nothing is known."""
    return {name: [_cell("", is_list)] for name, is_list in raw.columns().items()}
