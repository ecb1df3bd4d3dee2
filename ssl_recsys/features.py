"""Kinds of item features: what each one's values look like in records, arrays and views.

One class per kind answers everything that the data jobs and the model ask of a feature, without
TensorFlow or Beam. A new kind is a class here, in `KINDS`, and an encoder of raw values in each
data job that offers it; docs/design.md lists the files.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ssl_recsys.errors import InputError

CATEGORICAL = "categorical"
BAG = "bag"
DENSE = "dense"
VECTOR = "vector"

# Columns of a catalog record that are not features.
RESERVED_NAMES = ("row", "key", "title", "train_count")

_NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a record: how it is written, announced to TFDS and parsed.

    Attributes:
      name: of the column.
      dtype: `int64`, `float32` or `string`.
      shape: `()` for one value, `(n,)` for n of them, `(None,)` for any number.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] = ()


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
    """One feature of an item; the classes below are its kinds.

    Attributes:
      name: lower-case identifier, also the name of the vocabulary file.
      vocab_size: number of ids, the missing / out-of-vocabulary id 0 included; 0 without a
        vocabulary.
      max_values: largest number of values of an item.
      hash_buckets: of the ids, the last so many, which tokens outside the vocabulary share; see
        `ssl_recsys.tokens`.
      table: name of the feature whose vocabulary and embedding table this one reads, such as a
        history of items that of their ids; empty: its own.

    Raises:
      InputError: if a field does not fit the others.
    """

    kind: ClassVar[str]
    # Whether values are ids of an embedding table, rather than the numbers that a tower reads.
    is_embedded: ClassVar[bool] = True

    name: str
    vocab_size: int = 0
    max_values: int = 1
    hash_buckets: int = 0
    table: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.name in RESERVED_NAMES:
            raise InputError(
                f"feature name {self.name!r} is taken by a catalog column; rename the feature "
                f"(reserved: {', '.join(RESERVED_NAMES)})"
            )
        if self.max_values < 1:
            raise InputError(
                f"feature {self.name}: max_values must be at least 1 (got {self.max_values})"
            )
        if self.is_embedded and self.vocab_size < 1:
            raise InputError(
                f"feature {self.name}: vocab_size counts id 0 and so is at least 1 "
                f"(got {self.vocab_size})"
            )
        if not 0 <= self.hash_buckets <= max(0, self.vocab_size - 1):
            raise InputError(
                f"feature {self.name}: hash_buckets must be in [0, {max(0, self.vocab_size - 1)}], "
                f"since vocab_size counts them and id 0 (got {self.hash_buckets})"
            )
        if not self.is_embedded and (self.vocab_size != 0 or self.table):
            raise InputError(f"feature {self.name}: a {self.kind} feature has no vocabulary")

    @property
    def table_name(self) -> str:
        """Name of the vocabulary and the embedding table that it reads."""
        return self.table or self.name

    @property
    def num_tokens(self) -> int:
        """Tokens of the vocabulary, each with an id of its own."""
        return self.vocab_size - 1 - self.hash_buckets

    @property
    def column(self) -> Column:
        """The feature's column of a catalog record."""
        raise NotImplementedError

    @property
    def array_dtype(self) -> npt.DTypeLike:
        """Type of the feature's `[num_items, width]` array in memory, 4 bytes wide."""
        return np.int32 if self.is_embedded else np.float32

    def missing_like(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values `[n, width]` of items that lack the feature."""
        missing = np.zeros_like(values)
        if self.has_mark:
            missing[:, -1] = 1
        return missing

    @property
    def num_droppable(self) -> int:
        """How many values of an item a view can drop one by one; numbers are dropped together."""
        return self.max_values if self.is_embedded else 1

    @property
    def has_mark(self) -> bool:
        """Whether the last value is the mark of a missing one: 1 if missing, else 0."""
        return False

    @property
    def is_pooled(self) -> bool:
        """Whether several looked-up embeddings become one vector."""
        return False

    def check_values(self, values: Sequence[Any] | npt.NDArray[Any]) -> None:
        """Checks one item's encoded values.

        Raises:
          ValueError: if they do not fit the spec.
        """
        if not self._fits(values):
            raise ValueError(f"values {list(values)!r} do not fit {self}")

    def _fits(self, values: Sequence[Any] | npt.NDArray[Any]) -> bool:
        raise NotImplementedError

    def fault(self, array: npt.NDArray[Any]) -> str | None:
        """What all items' values, `[num_items, width]`, should be and are not; None if they fit."""
        if array.min(initial=0) >= 0 and array.max(initial=0) < self.vocab_size:
            return None
        return f"between 0 and {self.vocab_size - 1}"

    def as_dict(self) -> dict[str, Any]:
        """The spec as `dataset.json` keeps it, `hash_buckets` and `table` only where given."""
        fields = {"kind": self.kind, **dataclasses.asdict(self)}
        for optional in ("hash_buckets", "table"):
            if not fields[optional]:
                del fields[optional]
        return fields


@dataclasses.dataclass(frozen=True)
class Categorical(FeatureSpec):
    """One id; 0 stands for missing or out of vocabulary."""

    kind: ClassVar[str] = CATEGORICAL

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_values != 1:
            raise InputError(f"feature {self.name}: a categorical feature has one value")

    @property
    def column(self) -> Column:
        """A scalar."""
        return Column(self.name, "int64")

    def _fits(self, values: Sequence[Any] | npt.NDArray[Any]) -> bool:
        return len(values) == 1 and 0 <= values[0] < self.vocab_size


@dataclasses.dataclass(frozen=True)
class Bag(FeatureSpec):
    """Up to `max_values` ids, pooled to one vector; none at all if missing."""

    kind: ClassVar[str] = BAG

    @property
    def column(self) -> Column:
        """A list of any length."""
        return Column(self.name, "int64", (None,))

    @property
    def is_pooled(self) -> bool:
        """A bag's embeddings are."""
        return True

    def _fits(self, values: Sequence[Any] | npt.NDArray[Any]) -> bool:
        return len(values) <= self.max_values and all(
            1 <= value < self.vocab_size for value in values
        )


@dataclasses.dataclass(frozen=True)
class Dense(FeatureSpec):
    """Normalised floats.

    Two of them are a value and the mark of a missing one: (value, 0), or (0, 1) if missing. Any
    other number of them is a vector, zeros if missing.
    """

    kind: ClassVar[str] = DENSE
    is_embedded: ClassVar[bool] = False

    @property
    def column(self) -> Column:
        """A list of fixed length."""
        return Column(self.name, "float32", (self.max_values,))

    @property
    def has_mark(self) -> bool:
        """Two values are a number and its mark."""
        return self.max_values == 2

    def _fits(self, values: Sequence[Any] | npt.NDArray[Any]) -> bool:
        return len(values) == self.max_values and bool(np.isfinite(values).all())

    def fault(self, array: npt.NDArray[Any]) -> str | None:
        """Dense values must be finite."""
        return None if np.isfinite(array).all() else "finite"


@dataclasses.dataclass(frozen=True)
class Vector(Dense):
    """A vector that another model made, such as a sentence encoder; zeros if missing."""

    kind: ClassVar[str] = VECTOR

    @property
    def has_mark(self) -> bool:
        """Two values are a vector, too."""
        return False


def catalog_columns(features: Sequence[FeatureSpec]) -> tuple[Column, ...]:
    """The columns of a catalog record, in order."""
    return (
        Column("row", "int64"),
        Column("key", "string"),
        Column("title", "string"),
        Column("train_count", "int64"),
        *(spec.column for spec in features),
    )


def history_names(query: Sequence[FeatureSpec], item: Sequence[FeatureSpec]) -> frozenset[str]:
    """Names of the histories among the features of queries, whose values have the latest first.

    They are the bags that read another feature's table and that items do not have.
    """
    histories = {spec.name for spec in query if spec.is_pooled and spec.table}
    return frozenset(histories - {spec.name for spec in item})


KINDS: dict[str, type[FeatureSpec]] = {
    kind.kind: kind for kind in (Categorical, Bag, Dense, Vector)
}


def feature_spec(
    name: str,
    kind: str,
    vocab_size: int = 0,
    max_values: int = 1,
    hash_buckets: int = 0,
    table: str = "",
) -> FeatureSpec:
    """The spec of a feature whose kind is given by name.

    Raises:
      InputError: for an unknown kind, or a field that does not fit it.
    """
    check_kind(name, kind, KINDS)
    return KINDS[kind](name, vocab_size, max_values, hash_buckets, table)


def check_kind(feature: str, kind: str, kinds: Collection[str]) -> None:
    """Raises InputError for a kind that is none of `kinds`, or a name that is no feature's."""
    _check_name(feature)
    if kind not in kinds:
        raise InputError(
            f"feature {feature}: kind must be one of {', '.join(kinds)} (got {kind!r})"
        )


def _check_name(name: str) -> None:
    if not _NAME_PATTERN.fullmatch(name):
        raise InputError(
            f"feature name {name!r} must start with a lower-case letter and hold only lower-case "
            "letters, digits and underscores"
        )
