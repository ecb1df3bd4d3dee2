"""What a dataset directory holds: names, columns and `dataset.json`.

This module is the contract between the data jobs, which write dataset directories, and the
model library, which reads them. It imports neither TensorFlow nor Beam. docs/dataset.md
describes the files themselves, `ssl_recsys.features` the kinds of features.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys import files, manifest, paths
from ssl_recsys.errors import InputError
from ssl_recsys.features import Column, FeatureSpec, feature_spec
from ssl_recsys.options import check_distinct
from ssl_recsys.raw.rules import RawItem

FORMAT_VERSION = "1.0.0"
DATASET_FILE = "dataset.json"
CATALOG_DIR = "catalog"
CATALOG_SPLIT = "items"
QUERIES_DIR = "queries"
QUERIES_SPLIT = "queries"
PAIRS_DIR = "pairs"
TRAIN, VALIDATION, TEST = PAIR_SPLITS = ("train", "validation", "test")
VOCAB_DIR = "vocab"
SCALES_DIR = "scales"

# The two sides of a pair. In an item-to-item dataset one catalog holds both.
QUERY, ITEM = SIDES = ("query", "item")

# Which items are "head" items, the others being the tail.
HEAD_IN_TRAINING = "in_training"
HEAD_TOP_FRACTION = "top_fraction"
HEAD_RULES = (HEAD_IN_TRAINING, HEAD_TOP_FRACTION)

PAIR_COLUMNS = (Column("query_row", "int64", (None,)), Column("item_row", "int64", (None,)))
# What pair records may hold besides, by name: see `DatasetInfo.pair_columns`.
WEIGHT = "weight"
NEGATIVES = "negatives"
OPTIONAL_PAIR_COLUMNS = {
    WEIGHT: Column(WEIGHT, "float32", (None,)),
    NEGATIVES: Column(NEGATIVES, "int64", (None,)),
}


@dataclasses.dataclass(frozen=True)
class HeadRule:
    """Which items form the head; evaluation pairs with any other item are the tail.

    `evaluation.metrics.head_items` applies it.

    Attributes:
      rule: `in_training` (items with enough training pairs, as the paper's Wikipedia tables) or
        `top_fraction` (of these, the most frequent ones, as AAI).
      fraction: largest share of the catalog that is head, for `top_fraction`.
      min_count: training pairs that lead to a head item, at least.
    """

    rule: str = HEAD_IN_TRAINING
    fraction: float = 0.0
    min_count: int = 1

    def __post_init__(self) -> None:
        if self.rule not in HEAD_RULES:
            raise InputError(
                f"head rule must be one of {', '.join(HEAD_RULES)} (got {self.rule!r})"
            )
        if self.rule == HEAD_TOP_FRACTION and not 0.0 < self.fraction < 1.0:
            raise InputError(f"head fraction must be in (0, 1) (got {self.fraction})")
        if self.min_count < 1:
            raise InputError(f"head min_count must be at least 1 (got {self.min_count})")


@dataclasses.dataclass(frozen=True)
class QueryCatalog:
    """The queries of a dataset whose queries are no items: users, or users at moments.

    A record of their catalog has the columns of an item's. Its `train_count` is the number of
    training pairs of the query's user.

    Attributes:
      num_queries: number of records; rows are 0 .. num_queries - 1.
      features: specs in the order in which the query tower concatenates them.
      raw: how each feature is made of raw columns; None where that is not known.
    """

    num_queries: int
    features: tuple[FeatureSpec, ...]
    raw: RawItem | None = None

    def __post_init__(self) -> None:
        _check_features("queries", self.features, self.raw)


def _check_features(what: str, features: Sequence[FeatureSpec], raw: RawItem | None) -> None:
    names = [spec.name for spec in features]
    check_distinct("feature names", names)
    if raw and [feature.name for feature in raw.features] != names:
        raise InputError(f"raw must have a rule for each of the features of {what}, in their order")
    if not features:
        raise InputError(f"{what} need at least one feature")


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """The contents of `dataset.json`.

    Attributes:
      name: what the dataset is, for example `wikipedia`.
      features: specs in the order in which the model concatenates the features.
      num_items: number of catalog records; rows are 0 .. num_items - 1.
      num_pairs: number of (query_row, item_row) pairs by split.
      head: which items are the head.
      split: how the splits were made (`by`, `seed`, fractions), for the reader.
      counters: everything that the data job counted, each reason to drop something included.
      sources: one `{"path", "bytes", "sha256"}` for each source file.
      options: the data job's flags.
      format_version: version of the directory's layout.
      raw: how each feature is made of raw columns; None where that is not known.
      queries: their catalog; None: a query is an item.
      pair_columns: the optional columns of all pair records, name -> values of each pair.
    """

    name: str
    features: tuple[FeatureSpec, ...]
    num_items: int
    num_pairs: Mapping[str, int]
    head: HeadRule = HeadRule()
    split: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    counters: Mapping[str, int] = dataclasses.field(default_factory=dict)
    sources: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    format_version: str = FORMAT_VERSION
    raw: RawItem | None = None
    queries: QueryCatalog | None = None
    pair_columns: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_features("items", self.features, self.raw)
        if self.queries:
            both = (*self.features, *self.queries.features)
            check_distinct("names of item and query features", [spec.name for spec in both])
        self._check_tables()

    def _check_tables(self) -> None:
        """A table has the rows that each of its features needs."""
        owners = {spec.name: spec for side in SIDES for spec in self.features_of(side)}
        for spec in owners.values():
            owner = owners.get(spec.table_name)
            shape = (spec.vocab_size, spec.hash_buckets)
            if owner is None or owner.table or (owner.vocab_size, owner.hash_buckets) != shape:
                raise InputError(
                    f"feature {spec.name} reads the table of {spec.table!r}, which is no feature "
                    f"with a table of its own and vocab_size {spec.vocab_size}"
                )

    def columns_of_pairs(self) -> tuple[Column, ...]:
        """The columns of a pair record, in order; of several values a pair they lie flat."""
        return (*PAIR_COLUMNS, *(OPTIONAL_PAIR_COLUMNS[name] for name in self.pair_columns))

    # Where there is no catalog of queries, a query is an item: both sides have the same catalog.
    # These methods alone know that; others ask for a side.

    def catalog_dir(self, side: str) -> str:
        """The folder with the catalog of a side, relative to the dataset directory."""
        return QUERIES_DIR if self.queries and side == QUERY else CATALOG_DIR

    def catalog_split(self, side: str) -> str:
        """The TFDS split of that folder."""
        return QUERIES_SPLIT if self.queries and side == QUERY else CATALOG_SPLIT

    def num_rows(self, side: str) -> int:
        """Number of records in the catalog of a side."""
        return self.queries.num_queries if self.queries and side == QUERY else self.num_items

    def features_of(self, side: str) -> tuple[FeatureSpec, ...]:
        """The features of a side, in the order in which its tower concatenates them."""
        return self.queries.features if self.queries and side == QUERY else self.features

    def raw_of(self, side: str) -> RawItem | None:
        """How a side's features are made of raw columns; None where that is not known."""
        return self.queries.raw if self.queries and side == QUERY else self.raw

    def own_item_rows(self, query_row: npt.NDArray[np.integer]) -> npt.NDArray[np.integer] | None:
        """The item row that each of `[n]` queries itself has; None where queries are no items."""
        return None if self.queries else query_row

    def feature(self, name: str) -> FeatureSpec:
        """Returns the spec of feature `name`.

        Raises:
          InputError: if there is no such feature; the message lists those there are.
        """
        for spec in self.features:
            if spec.name == name:
                return spec
        known = ", ".join(spec.name for spec in self.features)
        raise InputError(f"no feature {name!r} in the dataset (features: {known})")


def vocab_path(data_dir: str | os.PathLike[str], feature: str) -> pathlib.Path:
    """Path of a feature's vocabulary: line i (from 1) holds the token of id i."""
    return paths.as_path(data_dir) / VOCAB_DIR / f"{feature}.txt"


def scale_path(data_dir: str | os.PathLike[str], feature: str) -> pathlib.Path:
    """Path of a JSON file with how a number is scaled, see `raw.rules.Scale`."""
    return paths.as_path(data_dir) / SCALES_DIR / f"{feature}.json"


def to_json(info: DatasetInfo) -> str:
    """Serialises `info`; the same info gives the same bytes."""
    fields = dataclasses.asdict(info) | {"features": [spec.as_dict() for spec in info.features]}
    if info.queries:
        fields["queries"]["features"] = [spec.as_dict() for spec in info.queries.features]
    for optional in ("queries", "pair_columns"):
        if not fields[optional]:
            del fields[optional]
    return json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_dataset_info(data_dir: str | os.PathLike[str], info: DatasetInfo) -> None:
    """Writes `dataset.json`."""
    files.write_text(paths.as_path(data_dir) / DATASET_FILE, to_json(info))


def read_dataset_info(data_dir: str | os.PathLike[str], *, verify: bool = False) -> DatasetInfo:
    """Reads and checks `dataset.json`.

    Args:
      data_dir: the dataset directory.
      verify: before, compare all files of the directory with its manifest, which reads them once in
        a process. A directory without a manifest, from an earlier version, gives a warning.

    Raises:
      FileNotFoundError: if `data_dir` is no dataset directory.
      InputError: if the file is malformed or of another format version, or, with `verify`, if any
        file is damaged or missing.
    """
    path = paths.as_path(data_dir) / DATASET_FILE
    if verify:
        manifest.check_if_any(path.parent, path.name)
    if not path.is_file():
        raise FileNotFoundError(
            f"{data_dir} is not a dataset directory: it has no {DATASET_FILE}. Make one with a "
            "data job, for example: python -m pipelines.wikipedia --dump=FILE "
            f"--output_dir={data_dir}"
        )
    fields = files.read_json(path)
    version = fields.get("format_version")
    if version is not None and version != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version!r}, this program reads {FORMAT_VERSION}; make the "
            "dataset again with this program's data job"
        )
    try:
        return _from_json(fields)
    except InputError as error:
        raise InputError(
            f"{path} is damaged ({error}); make the dataset again with its data job"
        ) from error


_TYPES: dict[str, type] = {
    "name": str,
    "features": list,
    "num_items": int,
    "num_pairs": dict,
    "head": dict,
    "split": dict,
    "counters": dict,
    "sources": list,
    "options": dict,
    "format_version": str,
    "raw": dict,
    "queries": dict,
    "pair_columns": dict,
}
_QUERY_TYPES = {"num_queries": int, "features": list, "raw": dict}
_FEATURE_TYPES = {
    "name": str,
    "kind": str,
    "vocab_size": int,
    "max_values": int,
    "hash_buckets": int,
    "table": str,
}
_HEAD_TYPES = {"rule": str, "fraction": float, "min_count": int}
_SOURCE_TYPES = {"path": str, "bytes": int, "sha256": str}


def _from_json(fields: Any) -> DatasetInfo:
    if fields.get("raw") is None:  # as in earlier datasets, which have no such field
        fields.pop("raw", None)
    files.check_types("the file", fields, _TYPES, optional=("raw", "queries", "pair_columns"))
    # Earlier datasets have no min_count.
    files.check_types("head", fields["head"], _HEAD_TYPES, optional=("min_count",))
    files.check_types("num_pairs", fields["num_pairs"], dict.fromkeys(PAIR_SPLITS, int))
    known = dict.fromkeys(OPTIONAL_PAIR_COLUMNS, int)
    files.check_types("pair_columns", fields.get("pair_columns", {}), known, optional=known)
    files.check_types("counters", fields["counters"], dict.fromkeys(fields["counters"], int))
    for number, source in enumerate(fields["sources"], start=1):
        files.check_types(f"source {number}", source, _SOURCE_TYPES)
    fields["features"] = _features_from_json("feature", fields["features"])
    fields["head"] = HeadRule(**fields["head"])
    fields["raw"] = RawItem.from_json(fields["raw"]) if "raw" in fields else None
    if "queries" in fields:
        fields["queries"] = _queries_from_json(fields["queries"])
    return DatasetInfo(**fields)


def _features_from_json(what: str, specs: Sequence[Any]) -> tuple[FeatureSpec, ...]:
    for number, spec in enumerate(specs, start=1):
        optional = ("hash_buckets", "table")
        files.check_types(f"{what} {number}", spec, _FEATURE_TYPES, optional=optional)
    return tuple(feature_spec(**spec) for spec in specs)


def _queries_from_json(fields: dict[str, Any]) -> QueryCatalog:
    if fields.get("raw") is None:
        fields.pop("raw", None)
    files.check_types("queries", fields, _QUERY_TYPES, optional=("raw",))
    return QueryCatalog(
        fields["num_queries"],
        _features_from_json("query feature", fields["features"]),
        RawItem.from_json(fields["raw"]) if "raw" in fields else None,
    )
