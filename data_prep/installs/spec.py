"""What the columns of a log and of an item table mean: defaults, and the file to change them.

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
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from apache_beam.io.filesystems import FileSystems

from data_prep import tables
from data_prep.input_files import InputFile
from data_prep.installs import vector_files
from data_prep.installs.encoder import Encoder
from data_prep.installs.encoders import ItemFeature, make_encoder
from data_prep.installs.log_spec import HISTORY, LogSpec
from data_prep.installs.raw_features import raw_feature
from ssl_recsys import files
from ssl_recsys.errors import InputError
from ssl_recsys.features import BAG, CATEGORICAL, DENSE, VECTOR, FeatureSpec
from ssl_recsys.options import check_distinct
from ssl_recsys.raw.rules import LOG_NORMALIZED, RawItem

Spec = TypeVar("Spec")
AnySpec = TypeVar("AnySpec", bound="InstallSpec")

# Of vectors, and of what weighs events.
_RECORDED_IF_GIVEN = ("size", "file", "weight", "kind_column", "kinds", "kind_feature")

# The six features of the paper's app-to-app dataset.
APP_FEATURES = (
    ItemFeature("id", CATEGORICAL, "app_id"),
    ItemFeature("developer_name", CATEGORICAL, "developer_name"),
    ItemFeature("categories", BAG, "categories", max_values=10),
    ItemFeature("title_unigram", BAG, "title", words=True, min_count=2),
    ItemFeature("popularity", DENSE, "popularity", normalize=LOG_NORMALIZED),
    ItemFeature("quality", DENSE, "quality"),
)


@dataclasses.dataclass(frozen=True)
class InstallSpec:
    """The columns of the job's input.

    Attributes:
      name: of the dataset.
      key: column of the item table that holds the log's names of the items.
      title: column with the text that users are shown; empty: the key.
      log: the columns of the log.
      features: the features, in the order in which the model takes them.
    """

    noun: ClassVar[str] = "item"  # what the table's rows are, in counters

    name: str = "app_install"
    key: str = "app_id"
    title: str = "title"
    log: LogSpec = dataclasses.field(default_factory=LogSpec)
    features: tuple[ItemFeature, ...] = APP_FEATURES

    def __post_init__(self) -> None:
        check_distinct("feature names", [feature.name for feature in self.features])
        if not self.features:
            raise InputError("features must name at least one feature")
        if not self.key:
            raise InputError("items.key must name the column with the items' keys")
        self.check_vectors()

    def check_vectors(self) -> None:
        """Refuses a column that is vectors for one feature and texts for another."""
        texts = {self.key, self.title, *(f.column for f in self.features if f.kind != VECTOR)}
        for feature in self.features:
            column = feature.column or feature.name
            taken = texts if feature.column else {*texts, *self.vector_columns}
            if feature.kind == VECTOR and column in taken:
                raise InputError(
                    f"feature {feature.name}: column {column!r} cannot be of vectors and of "
                    "something else; give the vectors a column (or the feature a name) of their own"
                )

    def located(self: AnySpec, paths: Sequence[str], text: tables.TextFormat) -> AnySpec:
        """The same with what vectors need of the tables at `paths`, see `vector_files.located`."""
        return dataclasses.replace(self, features=vector_files.located(self.features, paths, text))

    @property
    def vector_columns(self) -> list[str]:
        """The columns that are lists of numbers."""
        return [f.column for f in self.features if f.kind == VECTOR and f.column]

    @property
    def vector_files(self) -> list[str]:
        """The .npy files."""
        return [feature.file for feature in self.features if feature.file]

    def recorded(self) -> dict[str, Any]:
        """What `dataset.json` keeps: all fields, later ones of a spec only where they are given."""
        return dataclasses.asdict(self, dict_factory=recorded_fields)

    def encoders(self) -> dict[str, Encoder]:
        """The features' encoders by name, in their order."""
        return {
            feature.name: make_encoder(feature, self.key, self.noun) for feature in self.features
        }

    def encoded(self, vocab_sizes: Mapping[str, int]) -> tuple[FeatureSpec, ...]:
        """The features as the dataset holds them; `vocab_sizes` counts id 0."""
        encoders = self.encoders().items()
        return tuple(encoder.spec(vocab_sizes.get(name, 0)) for name, encoder in encoders)

    def raw(self, counters: Mapping[str, int]) -> RawItem | None:
        """The rules of the features, None where a feature has none; `counters` are the job's."""
        found = [raw_feature(feature, self.key, counters) for feature in self.features]
        known = tuple(rule for rule in found if rule is not None)
        return RawItem(self.key, self.title, known) if len(known) == len(found) else None

    def item_columns(self) -> list[str]:
        """The columns of the item table that are read, each once."""
        wanted = [self.key, self.title, *(f.column for f in self.features if not f.from_training)]
        return list(dict.fromkeys(column for column in wanted if column))

    def log_columns(self, *, needs_time: bool, needs_user: bool) -> list[str]:
        """The columns of the log that are read, each once."""
        log = self.log
        if log.kind == HISTORY:
            wanted = [log.user, log.item, log.timestamp]
        else:
            wanted = [log.seed, log.candidate]
            wanted += [log.timestamp] if needs_time else []
            wanted += [log.user] if needs_user else []
        optional = [log.weight, log.kind_column, log.negatives]
        return list(dict.fromkeys(filter(None, [*wanted, *optional])))

    def with_key(self, key: str) -> InstallSpec:
        """The same with a different key column, also for features made of the old one."""
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


def recorded_fields(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of a spec that are recorded, as `dataclasses.asdict` takes them."""
    given = {name: value for name, value in fields if value or name not in _RECORDED_IF_GIVEN}
    if given.get("negatives"):
        return given
    # What else is said of negatives has defaults.
    return {name: value for name, value in given.items() if "negatives" not in name}


def read_spec(path: str) -> InstallSpec:
    """Reads a spec file as in the head of this module, from any of Beam's file systems.

    Raises:
      InputError: if the file is missing or no JSON, or holds an unknown field or a wrong value.
    """
    return read_spec_file(path, spec_of)


def read_spec_file(path: str, parse: Callable[[Any], Spec]) -> Spec:
    """What `parse` makes of the JSON in a file, whose errors are said to be that file's."""
    try:
        if not FileSystems.exists(path):
            raise InputError(f"no file {path}; docs/your_own_data.md shows one")
        with FileSystems.open(path) as file:
            content = files.parse_json(file.read())
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no JSON ({error}); docs/your_own_data.md shows one") from error
    try:
        return parse(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


_TYPES = {"name": str, "items": dict, "log": dict, "features": list}
_ITEM_TYPES = {"key": str, "title": str}


def spec_of(content: Any) -> InstallSpec:
    """The spec in the content of a file."""
    files.check_types("the file", content, _TYPES, optional=_TYPES)
    items = content.get("items", {})
    files.check_types("items", items, _ITEM_TYPES, optional=_ITEM_TYPES)
    default = InstallSpec()
    features = default.features
    if "features" in content:
        features = features_of("feature", content["features"])
    return InstallSpec(
        name=content.get("name", default.name),
        key=items.get("key", default.key),
        title=items.get("title", default.title if "key" not in items else ""),
        log=_fill(LogSpec, "log", content.get("log", {})),
        features=features,
    )


def features_of(what: str, content: Sequence[Any]) -> tuple[ItemFeature, ...]:
    """Features of the JSON objects in a list."""
    return tuple(
        _fill(ItemFeature, f"{what} {number}", feature)
        for number, feature in enumerate(content, start=1)
    )


def _fill(kind: Any, what: str, content: Any) -> Any:
    """Makes a dataclass of a JSON object; every value must have its field's type."""
    optional = [
        field.name
        for field in dataclasses.fields(kind)
        if (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
    ]
    hints = typing.get_type_hints(kind).items()
    types = {name: typing.get_origin(hint) or hint for name, hint in hints}
    files.check_types(what, content, types, optional)
    return kind(**content)


def check_columns(
    inputs: Sequence[InputFile],
    wanted: Sequence[str],
    what: str,
    spec: InstallSpec,
    text: tables.TextFormat,
) -> None:
    """Raises InputError for a file of the table `what` (log, item table) without its columns."""
    for file in inputs:
        names = tables.column_names(file.path, text)
        missing = [name for name in wanted if name not in names]
        if not missing:
            continue
        hint = "name the right ones with --features_spec or the --..._column flags"
        if what == "log" and spec.log.kind == HISTORY and {"seed", "candidate"} <= {*names}:
            hint = "for a log of seeds and candidates add --log_kind=landing_page"
        if what == "log" and spec.log.kind != HISTORY and missing == [spec.log.timestamp]:
            hint = (
                "only a split by time needs it: name the column with --timestamp_column, or add "
                "--split_by=pair or item"
            )
        raise InputError(
            f"{file.path} has no column {', '.join(map(repr, missing))}, which the {what} needs; "
            f"its columns are {', '.join(names)}; {hint}"
        )
