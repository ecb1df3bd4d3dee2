"""How a data job makes each feature of raw columns, as `dataset.json` keeps it.

With the vocabularies and the scales of the dataset directory this is all that an item, known to
the dataset or new, needs to be encoded; `encoder` does so in a graph.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import numpy as np

from ssl_recsys import files
from ssl_recsys.errors import InputError

# Text without surrounding blanks, its line breaks blanks -> the id of that text.
TOKEN = "token"
# Each of several texts likewise -> their ids, each once.
TOKENS = "tokens"
# The words of a text (`words.words`) and their runs -> their ids, each once.
WORDS = "words"
# Text -> the scaled number, and whether it is missing.
NUMBER = "number"
# The item's key -> the scaled number of training pairs that lead to it.
TRAINING_PAIRS = "training_pairs"
# A vector of float32 -> as it is, or of length 1; zeros, which stand for a missing one, stay.
VECTOR, UNIT_VECTOR = VECTORS = ("vector", "unit_vector")
RULES = (TOKEN, TOKENS, WORDS, NUMBER, TRAINING_PAIRS, *VECTORS)

LOG_NORMALIZED, QUANTILE, STANDARD, AS_IS = "log", "quantile", "standard", "none"
NORMALIZATIONS = (LOG_NORMALIZED, QUANTILE, STANDARD, AS_IS)
UNIT = "unit"
VECTOR_NORMALIZATIONS = (UNIT, AS_IS)
MAX_DEVIATIONS = 10.0
# Features are float32; a single larger value would make one of all others zero when scaled.
MAX_NUMBER = float(np.finfo(np.float32).max)
# Texts of a missing number, in small letters, besides an empty value.
MISSING_NUMBERS = ("", "na", "n/a", "nan", "null", "none", "\\n", "-")
# Patterns of what str.splitlines takes for a line break, in tokens each and elsewhere each run of
# them a blank.
LINE_BREAK = "\r\n|[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]"
LINE_BREAKS = "[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]+"


@dataclasses.dataclass(frozen=True)
class RawFeature:
    """One feature's rule.

    Attributes:
      name: of the feature.
      rule: one of `RULES`.
      column: the column that it is made of; for `training_pairs` that with the keys.
      separator: tokens: stands between the values of a text.
      lists: tokens: values come as lists, which are not divided at the separator.
      ngrams: words: also runs of up to so many words.
      dotless_i: words: as for `words.words`.
    """

    name: str
    rule: str
    column: str
    separator: str = "|"
    lists: bool = False
    ngrams: int = 1
    dotless_i: bool = False

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise InputError(
                f"raw feature {self.name}: rule must be one of {', '.join(RULES)} "
                f"(got {self.rule!r})"
            )
        if not self.column or not self.separator or self.ngrams < 1:
            raise InputError(f"raw feature {self.name}: a field is empty ({self})")


@dataclasses.dataclass(frozen=True)
class RawItem:
    """What the columns of an item's raw features are.

    Attributes:
      key: the column with the key.
      title: that with the text that users are shown; empty: the key.
      features: a rule for each feature, in their order.
    """

    key: str
    title: str
    features: tuple[RawFeature, ...]

    def columns(self) -> dict[str, bool]:
        """The features' columns in order -> whether a column takes several values of an item."""
        taken: dict[str, bool] = {}
        for feature in self.features:
            is_list = feature.rule in (TOKENS, *VECTORS)
            taken[feature.column] = taken.get(feature.column, False) or is_list
        return taken

    @classmethod
    def from_json(cls, content: Any) -> RawItem:
        """What `dataset.json` holds.

        Raises:
          InputError: if it is none.
        """
        files.check_types("raw", content, {"key": str, "title": str, "features": list})
        types = typing.get_type_hints(RawFeature)
        optional = ("separator", "lists", "ngrams", "dotless_i")
        for number, one in enumerate(content["features"], start=1):
            files.check_types(f"raw feature {number}", one, types, optional)
        features = tuple(RawFeature(**one) for one in content["features"])
        return cls(content["key"], content["title"], features)


@dataclasses.dataclass(frozen=True)
class Scale:
    """How a number is scaled, learned from training items.

    Attributes:
      normalize: log, quantile, standard or none.
      mean: of the training items' values (their logarithms), for log and standard.
      deviation: their standard deviation, 1 where they are all equal.
      ordered: `[values]` the training items' values in ascending order, for quantile.
    """

    normalize: str
    mean: float = 0.0
    deviation: float = 1.0
    ordered: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON; floats are written so that they are read as the same."""
        return {
            "normalize": self.normalize,
            "mean": self.mean,
            "deviation": self.deviation,
            "ordered": self.ordered.tolist(),
        }

    @classmethod
    def from_json(cls, what: str, content: Any) -> Scale:
        """The inverse of `as_dict`; `what` names it in errors.

        Raises:
          InputError: if it is none.
        """
        types = {"normalize": str, "mean": float, "deviation": float, "ordered": list}
        files.check_types(what, content, types)
        return cls(**content | {"ordered": np.asarray(content["ordered"], np.float64)})


def read_number(text: str | None) -> float:
    """The number that a text is as Python's `float` reads it, NaN for none."""
    try:
        return float(text or "")
    except ValueError:
        return np.nan
