"""What the features of an item are, as texts, and which items have a value.

An item of the model's catalog has the values that the model sees: tokens of the vocabulary, up to
`max_values` of them. Of an item that was added since, its raw features are read by the same rules.
"""

from __future__ import annotations

import functools
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from ssl_recsys import schema
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.errors import InputError
from ssl_recsys.features import VECTOR, FeatureSpec
from ssl_recsys.raw import rules
from ssl_recsys.raw.rules import RawFeature
from ssl_recsys.raw.words import ngrams, words
from ssl_recsys.serving.index import Columns, Index


class FeatureValues:
    """The features of a model's items.

    Args:
      info: the dataset's description.
      catalog: the model's catalog.
      export: the directory with the vocabularies.

    Attributes:
      rules: how each feature is made of raw columns, by name; empty where that is not known.
    """

    def __init__(self, info: schema.DatasetInfo, catalog: Catalog, export: pathlib.Path):
        self._specs = {spec.name: spec for spec in info.features_of(schema.ITEM)}
        self._catalog = catalog
        self._tokens = {name: _tokens(export, spec) for name, spec in self._specs.items()}
        self.rules = {one.name: one for one in info.raw.features} if info.raw else {}

    def tokens(self, feature: str) -> list[str]:
        """A feature's vocabulary, the token of id 1 first; empty where there is none."""
        return self._tokens[feature]

    def of_row(self, index: Index, row: int) -> dict[str, list[str]]:
        """Feature name -> the values of the item of an index's row.

        Hash buckets, which many tokens share, and vectors are left out, and numbers of catalog
        items are as the tower reads them, scaled.
        """
        if (columns := index.columns(row)) is None:
            return self._of_catalog(int(index.rows[row]))
        if not columns:
            return {}
        return {name: raw_values(rule, columns) for name, rule in self.rules.items()}

    def texts(self, feature: str, ids: Sequence[int]) -> list[str]:
        """The texts of a feature's ids, of those that stand for one value."""
        return [self._text(feature, one) for one in ids if self._has_text(feature, one)]

    def rows_with(self, index: Index, feature: str, value: str) -> np.ndarray:
        """The rows of an index's items that can be found and have a value, ascending.

        Raises:
          InputError: if there is no such feature, if it is a number, or if no item has the value.
        """
        spec = self._specs.get(feature)
        if spec is None:
            raise InputError(
                f"there is no feature {feature!r} (there are {', '.join(self._specs)})"
            )
        if not spec.is_embedded:
            what = "vector" if spec.kind == VECTOR else "number"
            raise InputError(f"feature {feature!r} is a {what}; only values of others can be asked")
        found = [index.rows_of(self._catalog_rows(feature, value))]
        live = index.live[index.rows[index.live] < 0]
        if rule := self.rules.get(feature):
            has = [value in raw_values(rule, index.columns(row) or {}) for row in live.tolist()]
            found.append(live[np.array(has, bool)])
        rows = np.concatenate(found)
        if not len(rows):
            raise InputError(f"no item has the value {value!r} of feature {feature!r}")
        return np.sort(rows)

    def _of_catalog(self, row: int) -> dict[str, list[str]]:
        values = {}
        for name, spec in self._specs.items():
            found = self._catalog.features[name][row].tolist()
            if spec.is_embedded:
                values[name] = self.texts(name, found)
            elif spec.kind == VECTOR:
                values[name] = []
            else:
                is_missing = spec.has_mark and found[-1] == 1
                numbers = found[:-1] if spec.has_mark else found
                values[name] = [] if is_missing else [f"{number:.6g}" for number in numbers]
        return values

    def _has_text(self, feature: str, token_id: int) -> bool:
        """Whether an id stands for one value: 0 is none, and a hash bucket many."""
        return 0 < token_id <= self._specs[feature].num_tokens

    def _text(self, feature: str, token_id: int) -> str:
        tokens = self._tokens[feature]
        return tokens[token_id - 1] if tokens else str(token_id)

    @functools.cached_property
    def _ids(self) -> dict[str, dict[str, int]]:
        """For each feature the ids of its tokens."""
        return {
            name: {token: place for place, token in enumerate(tokens, start=1)}
            for name, tokens in self._tokens.items()
        }

    def _catalog_rows(self, feature: str, value: str) -> np.ndarray:
        """The catalog's rows with a value."""
        token_id = self._ids[feature].get(value)
        if token_id is None and not self._tokens[feature] and value.isdecimal():
            token_id = int(value)  # without a vocabulary a value is its id
        if token_id is None or not self._has_text(feature, token_id):
            return np.zeros(0, np.int64)
        return np.flatnonzero((self._catalog.features[feature] == token_id).any(axis=1))


def raw_values(rule: RawFeature, columns: Columns) -> list[str]:
    """The values, each once, that a rule makes of an item's raw features, as `raw.encoder` does."""
    if rule.rule in rules.VECTORS:
        return []
    cell = columns.get(rule.column, "")
    texts = [cell] if isinstance(cell, str) else [str(one) for one in cell]
    if rule.rule == rules.TOKENS:
        parts = texts if rule.lists else _split(texts, rule.separator)
        tokens = (re.sub(rules.LINE_BREAK, " ", part).strip() for part in parts)
        return [*dict.fromkeys(token for token in tokens if token)]
    if rule.rule == rules.WORDS:
        return ngrams(words(" ".join(texts), dotless_i=rule.dotless_i), rule.ngrams)
    if rule.rule == rules.TRAINING_PAIRS:
        return []  # an item that was added has none
    text = re.sub(rules.LINE_BREAKS, " ", " ".join(texts).strip())
    is_missing = rule.rule == rules.NUMBER and text.lower() in rules.MISSING_NUMBERS
    return [] if is_missing or not text else [text]


def _split(texts: Sequence[str], separator: str) -> list[str]:
    return [part for text in texts for part in text.split(separator)]


def _tokens(export: pathlib.Path, spec: FeatureSpec) -> list[str]:
    """The tokens of a feature's ids, from 1; empty where the dataset came without a vocabulary."""
    path = schema.vocab_path(export, spec.name)
    if not spec.is_embedded or not path.is_file():
        return []
    return path.read_text(encoding="utf-8").split("\n")[: spec.num_tokens]
