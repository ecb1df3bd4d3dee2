"""What a dataset directory holds: feature specs and `dataset.json`.

This module is the contract between the data jobs, which write dataset directories, and the
model library, which reads them. It imports neither TensorFlow nor Beam. docs/dataset.md
describes the files themselves.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ssl_recsys.errors import InputError

FORMAT_VERSION = "1.0.0"
DATASET_FILE = "dataset.json"
CATALOG_DIR = "catalog"
CATALOG_SPLIT = "items"
PAIRS_DIR = "pairs"
PAIR_SPLITS = ("train", "validation", "test")
VOCAB_DIR = "vocab"

CATEGORICAL = "categorical"
BAG = "bag"
DENSE = "dense"
KINDS = (CATEGORICAL, BAG, DENSE)

# Which items are "head" items, the others being the tail.
HEAD_IN_TRAINING = "in_training"
HEAD_TOP_FRACTION = "top_fraction"
HEAD_RULES = (HEAD_IN_TRAINING, HEAD_TOP_FRACTION)

# Columns of a catalog record that are not features.
RESERVED_NAMES = ("row", "key", "title", "train_count")

_NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
    """One feature of an item.

    Attributes:
      name: lower-case identifier, also the name of the vocabulary file.
      kind: `categorical` (one id), `bag` (up to `max_values` ids, pooled) or `dense`
        (`max_values` normalised floats, for example a value and its missing-value indicator).
      vocab_size: number of ids, the missing / out-of-vocabulary id 0 included; 0 for dense.
      max_values: width of the encoded feature; 1 for categorical.

    Raises:
      InputError: if a field does not fit the others.
    """

    name: str
    kind: str
    vocab_size: int = 0
    max_values: int = 1

    def __post_init__(self) -> None:
        if not _NAME_PATTERN.fullmatch(self.name):
            raise InputError(
                f"feature name {self.name!r} must start with a lower-case letter and hold only "
                "lower-case letters, digits and underscores"
            )
        if self.name in RESERVED_NAMES:
            raise InputError(
                f"feature name {self.name!r} is taken by a catalog column; rename the feature "
                f"(reserved: {', '.join(RESERVED_NAMES)})"
            )
        if self.kind not in KINDS:
            raise InputError(
                f"feature {self.name}: kind must be one of {', '.join(KINDS)} (got {self.kind!r})"
            )
        if self.max_values < 1:
            raise InputError(
                f"feature {self.name}: max_values must be at least 1 (got {self.max_values})"
            )
        if self.kind == DENSE and self.vocab_size != 0:
            raise InputError(f"feature {self.name}: a dense feature has no vocabulary")
        if self.kind != DENSE and self.vocab_size < 1:
            raise InputError(
                f"feature {self.name}: vocab_size counts id 0 and so is at least 1 "
                f"(got {self.vocab_size})"
            )
        if self.kind == CATEGORICAL and self.max_values != 1:
            raise InputError(f"feature {self.name}: a categorical feature has one value")

    @property
    def is_embedded(self) -> bool:
        """Whether the feature goes through an embedding table."""
        return self.kind != DENSE


@dataclasses.dataclass(frozen=True)
class HeadRule:
    """Which items form the head; evaluation pairs with any other item are the tail.

    Attributes:
      rule: `in_training` (items with at least one training pair, as the paper's Wikipedia
        tables) or `top_fraction` (the most frequent items of the training pairs, as AAI).
      fraction: share of the catalog that is head, for `top_fraction`.
    """

    rule: str = HEAD_IN_TRAINING
    fraction: float = 0.0

    def __post_init__(self) -> None:
        if self.rule not in HEAD_RULES:
            raise InputError(
                f"head rule must be one of {', '.join(HEAD_RULES)} (got {self.rule!r})"
            )
        if self.rule == HEAD_TOP_FRACTION and not 0.0 < self.fraction < 1.0:
            raise InputError(f"head fraction must be in (0, 1) (got {self.fraction})")


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

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.features]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InputError(f"feature names must be unique (repeated: {', '.join(repeated)})")
        if not names:
            raise InputError("a dataset needs at least one feature")

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
    return pathlib.Path(data_dir) / VOCAB_DIR / f"{feature}.txt"


def to_json(info: DatasetInfo) -> str:
    """Serialises `info`; the same info gives the same bytes."""
    return json.dumps(dataclasses.asdict(info), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_dataset_info(data_dir: str | os.PathLike[str], info: DatasetInfo) -> None:
    """Writes `dataset.json` aside and renames it into place."""
    path = pathlib.Path(data_dir) / DATASET_FILE
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(to_json(info), encoding="utf-8")
    os.replace(aside, path)


def read_dataset_info(data_dir: str | os.PathLike[str]) -> DatasetInfo:
    """Reads and checks `dataset.json`.

    Raises:
      FileNotFoundError: if `data_dir` is no dataset directory.
      InputError: if the file is malformed or of another format version.
    """
    path = pathlib.Path(data_dir) / DATASET_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{data_dir} is not a dataset directory: it has no {DATASET_FILE}. Make one with a "
            "data job, for example: python -m pipelines.wikipedia --dump=FILE "
            f"--output_dir={data_dir}"
        )
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        version = fields["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({error!r}); make the dataset again with its data job"
        ) from error
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version}, this program reads {FORMAT_VERSION}; make the "
            "dataset again with this program's data job"
        )
    try:
        fields["features"] = tuple(FeatureSpec(**spec) for spec in fields["features"])
        fields["head"] = HeadRule(**fields["head"])
        return DatasetInfo(**fields)
    except (TypeError, KeyError) as error:
        raise InputError(
            f"{path} is damaged ({error!r}); make the dataset again with its data job"
        ) from error
