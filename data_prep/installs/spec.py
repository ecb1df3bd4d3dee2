"""What the columns of a log and of an item table mean: defaults, and the file that changes them.

The file is JSON and may leave anything out:

    {"name": "films",
     "items": {"key": "film_id", "title": "name"},
     "log": {"kind": "history", "user": "viewer", "item": "film_id", "timestamp": "watched"},
     "features": [
       {"name": "id", "kind": "categorical", "column": "film_id"},
       {"name": "genres", "kind": "bag", "column": "genres", "separator": "|"},
       {"name": "title_words", "kind": "bag", "column": "name", "words": true, "ngrams": 2},
       {"name": "length", "kind": "dense", "column": "minutes", "normalize": "log"}]}
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ssl_recsys import schema
from ssl_recsys.errors import InputError

HISTORY, LANDING_PAGE = "history", "landing_page"
LOG_KINDS = (HISTORY, LANDING_PAGE)
# Microseconds in a unit of time.
TIMESTAMP_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1, "min": 60_000_000, "d": 86_400_000_000}
LOG_NORMALIZED, QUANTILE, STANDARD, AS_IS = "log", "quantile", "standard", "none"
NORMALIZATIONS = (LOG_NORMALIZED, QUANTILE, STANDARD, AS_IS)


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{what} must be one of {', '.join(choices)} (got {value!r})")


@dataclasses.dataclass(frozen=True)
class LogSpec:
    """The columns of a log.

    Attributes:
      kind: `history` (user, item, timestamp) or `landing_page` (seed, candidate, timestamp).
      user: who acted; in a landing-page log only a split by user needs it.
      item: the item of a history.
      seed: the item whose page was looked at.
      candidate: the item that was chosen there.
      timestamp: when: a number of `timestamp_unit`s, or a date and time as in ISO 8601.
      timestamp_unit: s, ms, us, min or d, for numbers.
    """

    kind: str = HISTORY
    user: str = "user_id"
    item: str = "app_id"
    seed: str = "seed"
    candidate: str = "candidate"
    timestamp: str = "timestamp"
    timestamp_unit: str = "s"

    def __post_init__(self) -> None:
        _check_choice("log kind", self.kind, LOG_KINDS)
        _check_choice("timestamp_unit", self.timestamp_unit, tuple(TIMESTAMP_UNITS))


@dataclasses.dataclass(frozen=True)
class ItemFeature:
    """How one feature is made from a column of the item table.

    Attributes:
      name: name of the feature in the dataset.
      kind: categorical, bag or dense.
      column: column of the item table; empty where `from_training` needs none.
      separator: bag: what stands between the values of a cell (lists need none).
      words: bag: take the words of the text instead.
      ngrams: bag of words: also runs of up to so many words.
      max_values: bag: how many values of an item are kept.
      min_count: categorical, bag: values that fewer training items have get no id.
      max_vocab: categorical, bag: how many values get an id, the most frequent ones.
      normalize: dense: `log` (log(1 + x), then mean 0 and variance 1), `quantile` (share of
        training items below, from -1 to 1), `standard` (mean 0, variance 1) or `none`.
      from_training: dense: the value is the number of training pairs that lead to the item.
    """

    name: str
    kind: str
    column: str = ""
    separator: str = "|"
    words: bool = False
    ngrams: int = 1
    max_values: int = 20
    min_count: int = 1
    max_vocab: int = 1_000_000
    normalize: str = QUANTILE
    from_training: bool = False

    def __post_init__(self) -> None:
        self.encoded(vocab_size=1)  # The dataset's own rules hold for name and kind.
        _check_choice(f"feature {self.name}: normalize", self.normalize, NORMALIZATIONS)
        if self.from_training and self.kind != schema.DENSE:
            raise InputError(
                f"feature {self.name}: from_training gives a number, so its kind must be dense "
                f"(got {self.kind})"
            )
        if not self.column and not self.from_training:
            raise InputError(f"feature {self.name}: name the column that it is made from")
        if not self.separator:
            raise InputError(f"feature {self.name}: separator must not be empty")
        for field in ("ngrams", "max_values", "min_count", "max_vocab"):
            if getattr(self, field) < 1:
                raise InputError(
                    f"feature {self.name}: {field} must be at least 1 (got {getattr(self, field)})"
                )

    def encoded(self, vocab_size: int) -> schema.FeatureSpec:
        """The feature as the dataset holds it; a dense one has a value and a missing mark."""
        if self.kind == schema.DENSE:
            return schema.FeatureSpec(self.name, self.kind, 0, 2)
        max_values = self.max_values if self.kind == schema.BAG else 1
        return schema.FeatureSpec(self.name, self.kind, vocab_size, max_values)


# The six features of the paper's app-to-app dataset.
APP_FEATURES = (
    ItemFeature("id", schema.CATEGORICAL, "app_id"),
    ItemFeature("developer_name", schema.CATEGORICAL, "developer_name"),
    ItemFeature("categories", schema.BAG, "categories", max_values=10),
    ItemFeature("title_unigram", schema.BAG, "title", words=True, min_count=2),
    ItemFeature("popularity", schema.DENSE, "popularity", normalize=LOG_NORMALIZED),
    ItemFeature("quality", schema.DENSE, "quality"),
)


@dataclasses.dataclass(frozen=True)
class InstallSpec:
    """Everything that the job knows about its input's columns.

    Attributes:
      name: of the dataset.
      key: column of the item table that holds the log's names of the items.
      title: column with the text that users are shown; empty: the key.
      log: the columns of the log.
      features: the features, in the order in which the model takes them.
    """

    name: str = "app_install"
    key: str = "app_id"
    title: str = "title"
    log: LogSpec = LogSpec()
    features: tuple[ItemFeature, ...] = APP_FEATURES

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InputError(f"feature names must be unique (repeated: {', '.join(repeated)})")
        if not self.features:
            raise InputError("features must name at least one feature")
        if not self.key:
            raise InputError("items.key must name the column with the items' keys")

    def feature(self, name: str) -> ItemFeature:
        """The feature of that name, which must be one of the spec's."""
        return next(feature for feature in self.features if feature.name == name)

    def item_columns(self) -> list[str]:
        """The columns of the item table that are read, each once."""
        wanted = [self.key, self.title, *(f.column for f in self.features if not f.from_training)]
        return list(dict.fromkeys(column for column in wanted if column))

    def log_columns(self, *, needs_time: bool, needs_user: bool) -> list[str]:
        """The columns of the log that are read, each once."""
        log = self.log
        if log.kind == HISTORY:
            return list(dict.fromkeys([log.user, log.item, log.timestamp]))
        wanted = [log.seed, log.candidate]
        wanted += [log.timestamp] if needs_time else []
        return list(dict.fromkeys(wanted + ([log.user] if needs_user else [])))

    def with_key(self, key: str) -> InstallSpec:
        """The same with another key column; features made of the old one follow."""
        features = tuple(
            dataclasses.replace(feature, column=key) if feature.column == self.key else feature
            for feature in self.features
        )
        return dataclasses.replace(self, key=key, features=features)

    def with_popularity_from_training(self) -> InstallSpec:
        """The same with the feature `popularity` counted in the training pairs.

        Raises:
          InputError: if there is no such feature.
        """
        if all(feature.name != "popularity" for feature in self.features):
            names = ", ".join(feature.name for feature in self.features)
            raise InputError(
                f"--popularity_from_training needs a feature named popularity (there are {names}); "
                'or mark a dense feature with "from_training": true in the spec file'
            )
        features = tuple(
            dataclasses.replace(feature, from_training=True)
            if feature.name == "popularity"
            else feature
            for feature in self.features
        )
        return dataclasses.replace(self, features=features)


def read_spec(path: str) -> InstallSpec:
    """Reads a spec file as in the head of this module.

    Raises:
      InputError: if the file is missing or no JSON, or holds an unknown field or a wrong value.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"no file {path}; docs/your_own_data.md shows one") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no JSON ({error}); docs/your_own_data.md shows one") from error
    try:
        return _spec(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _spec(content: Any) -> InstallSpec:
    _check_fields("the file", content, ("name", "items", "log", "features"))
    items = content.get("items", {})
    _check_fields("items", items, ("key", "title"))
    default = InstallSpec()
    features = default.features
    if "features" in content:
        if not isinstance(content["features"], list):
            raise InputError("features must be a list")
        features = tuple(
            _fill(ItemFeature, f"feature {number}", feature)
            for number, feature in enumerate(content["features"], start=1)
        )
    return InstallSpec(
        name=content.get("name", default.name),
        key=items.get("key", default.key),
        title=items.get("title", default.title if "key" not in items else ""),
        log=_fill(LogSpec, "log", content.get("log", {})),
        features=features,
    )


def _fill(kind: Any, what: str, content: Any) -> Any:
    """Makes a dataclass of a JSON object; every value must have its field's type."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    _check_fields(what, content, tuple(fields))
    types = {"str": str, "int": int, "bool": bool}
    for name, value in content.items():
        expected = types[str(fields[name].type)]
        if not isinstance(value, expected) or isinstance(value, bool) != (expected is bool):
            raise InputError(
                f"{what}: {name} must be of type {fields[name].type} (got {json.dumps(value)})"
            )
    missing = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and name not in content
    ]
    if missing:
        raise InputError(f"{what}: {missing[0]} is missing")
    return kind(**content)


def _check_fields(what: str, content: Any, known: tuple[str, ...]) -> None:
    if not isinstance(content, Mapping):
        raise InputError(f"{what} must be a JSON object (got {json.dumps(content)})")
    unknown = [name for name in content if name not in known]
    if unknown:
        raise InputError(f"{what}: unknown field {unknown[0]!r} (there are {', '.join(known)})")
