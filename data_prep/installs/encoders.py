"""Features of an item table by kind: from a column of raw values to encoded ones.

A new kind is a class here, in `ENCODERS`, and its spec in `ssl_recsys.features`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_prep import tables, vectors
from data_prep.counting import count
from data_prep.encode import Values
from data_prep.installs import scales, vector_files
from data_prep.installs.encoder import Column, Encoder, TableFeature
from data_prep.installs.uses import Uses
from data_prep.sampling import Sample
from data_prep.vocab import IdTable, TokenCounts
from ssl_recsys import features
from ssl_recsys.errors import InputError
from ssl_recsys.features import FeatureSpec
from ssl_recsys.raw import rules
from ssl_recsys.raw.rules import Scale
from ssl_recsys.raw.words import ngrams, words

# Largest values of a feature's fields, which are at least 1; hash_buckets and size may be 0.
_LARGEST = {"ngrams": 10, "max_values": 10**6, "min_count": 2**31 - 1, "max_vocab": 2**31 - 1}
_LARGEST |= {"hash_buckets": 2**30, "size": vectors.MAX_SIZE}
_BAG_TYPE = pa.list_(pa.string())


@dataclasses.dataclass(frozen=True)
class ItemFeature(TableFeature):
    """A feature whose fields fit its kind.

    Raises:
      InputError: if they do not.
    """

    def __post_init__(self) -> None:
        features.check_kind(self.name, self.kind, ENCODERS)
        encoder = ENCODERS[self.kind](self)
        if not self.normalize:
            object.__setattr__(self, "normalize", encoder.default_normalization)
        if self.normalize not in encoder.normalizations:
            raise InputError(
                f"feature {self.name}: normalize must be one of "
                f"{', '.join(encoder.normalizations)} (got {self.normalize!r})"
            )
        if not self.column and not self.from_training and not self.file:
            raise InputError(f"feature {self.name}: name the column that it is made from")
        if self.kind != features.VECTOR and (self.file or self.size):
            raise InputError(f"feature {self.name}: file and size are for kind vector")
        if self.file and self.column:
            raise InputError(f"feature {self.name}: name a column or a file, not both")
        if not self.separator:
            raise InputError(f"feature {self.name}: separator must not be empty")
        for field, most in _LARGEST.items():
            least = int(field not in ("hash_buckets", "size"))
            if not least <= getattr(self, field) <= most:
                raise InputError(
                    f"feature {self.name}: {field} must be in [{least}, {most}] "
                    f"(got {getattr(self, field)})"
                )
        if self.hash_buckets and not encoder.has_vocabulary:
            raise InputError(f"feature {self.name}: hash_buckets are not for kind {self.kind}")
        encoder.spec(vocab_size=1)  # the dataset's rules hold for the name, too
        if self.from_training and not encoder.may_be_from_training:
            raise InputError(
                f"feature {self.name}: from_training gives a number, so its kind must be dense "
                f"(got {self.kind})"
            )


class CategoricalEncoder(Encoder):
    """One text to one id."""

    def read(self, rows: tables.Rows) -> tuple[Column, list[tables.BadRecord]]:
        """Text on one line."""
        return tables.one_line(tables.texts(rows.columns[self.feature.column])), []

    def missing(self, keys: pa.Array) -> Column:
        """Empty text."""
        return pa.array([""] * len(keys), pa.string())

    def learn_from(self, column: Column, uses: Uses) -> TokenCounts | Sample | None:
        """How many items have each text."""
        return _value_counts(column.filter(pa.array(uses.in_vocabulary)))

    def encode(
        self, column: Column, uses: Uses, learned: Any, counters: Counter[str]
    ) -> Sequence[Values]:
        """Id 0 for a text without an id."""
        texts = column.to_pylist()
        ids = [[learned.id_of(text)] for text in texts]
        num_missing = texts.count("")
        num_unknown = sum(not 1 <= number < learned.size for (number,) in ids)
        counters[f"{self.feature.name}_missing"] += num_missing
        counters[f"{self.feature.name}_out_of_vocabulary"] += num_unknown - num_missing
        return ids

    def spec(self, vocab_size: int) -> FeatureSpec:
        """A categorical feature."""
        buckets = self.feature.hash_buckets
        return features.Categorical(self.feature.name, vocab_size + buckets, hash_buckets=buckets)


class KeyEncoder(CategoricalEncoder):
    """A categorical feature that is the item's identity: its id is found by the key's digest."""

    def __init__(self, feature: TableFeature, noun: str = "item"):
        super().__init__(feature)
        self._noun = noun

    def missing(self, keys: pa.Array) -> Column:
        """The keys are known."""
        return keys

    def learn_from(self, column: Column, uses: Uses) -> TokenCounts | Sample | None:
        """How many training pairs each training item has."""
        training = np.flatnonzero(uses.totals)
        keys = column.take(pa.array(training)).to_pylist()
        return TokenCounts(keys, uses.totals[training].tolist())

    def learn(self, learned_from: Any) -> Any:
        """Ids by digest."""
        return IdTable.of(learned_from, self.feature.hash_buckets)

    def encode(
        self, column: Column, uses: Uses, learned: Any, counters: Counter[str]
    ) -> Sequence[Values]:
        """Id 0 for an item without one."""
        ids, without_id = learned.ids_of(uses.digests, column.to_pylist())
        counters[f"{self._noun}s_without_id"] += without_id
        return ids[:, np.newaxis].tolist()


class BagEncoder(Encoder):
    """Several texts, or the words of one, to several ids."""

    def read(self, rows: tables.Rows) -> tuple[Column, list[tables.BadRecord]]:
        """Lists of tokens, each once."""
        column = rows.columns[self.feature.column]
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            bags = [self._of_list(values or ()) for values in column.to_pylist()]
            count(lists_counter(self.feature.name), len(bags))
        else:
            bags = [self._of_text(text) for text in tables.texts(column).to_pylist()]
        return pa.array(bags, _BAG_TYPE), []

    def _of_text(self, text: str) -> list[str]:
        if self.feature.words:
            return ngrams(words(text), self.feature.ngrams)
        return self._of_list(text.split(self.feature.separator))

    def _of_list(self, values: Sequence[Any]) -> list[str]:
        texts = [str(value) for value in values if value is not None]
        if self.feature.words:
            return self._of_text(" ".join(texts))
        stripped = (" ".join(text.splitlines()).strip() for text in texts)
        return list(dict.fromkeys(text for text in stripped if text))

    def missing(self, keys: pa.Array) -> Column:
        """No tokens."""
        return pa.array([[]] * len(keys), _BAG_TYPE)

    def learn_from(self, column: Column, uses: Uses) -> TokenCounts | Sample | None:
        """How many items have each token."""
        return _value_counts(pc.list_flatten(column.filter(pa.array(uses.in_vocabulary))))

    def encode(
        self, column: Column, uses: Uses, learned: Any, counters: Counter[str]
    ) -> Sequence[Values]:
        """The ids of the first `max_values` tokens that have one."""
        name, encoded = self.feature.name, []
        for tokens in column.to_pylist():
            ids, unknown, cut = learned.ids_of(tokens, self.feature.max_values)
            encoded.append(ids)
            counters[f"{name}_missing"] += not tokens
            counters[f"{name}_out_of_vocabulary"] += unknown
            counters[f"{name}_over_limit"] += cut
        return encoded

    def spec(self, vocab_size: int) -> FeatureSpec:
        """A bag."""
        buckets = self.feature.hash_buckets
        return features.Bag(
            self.feature.name, vocab_size + buckets, self.feature.max_values, buckets
        )


class DenseEncoder(Encoder):
    """A number to its scaled value and the mark of a missing one."""

    may_be_from_training = True
    has_vocabulary = False

    def read(self, rows: tables.Rows) -> tuple[Column, list[tables.BadRecord]]:
        """Float64, NaN for missing."""
        values = np.full(len(rows.lines), np.nan)
        if self.feature.from_training:
            return values, []
        reasons = {}
        column = self.feature.column
        for row, text in enumerate(tables.texts(rows.columns[column]).to_pylist()):
            if text.lower() in rules.MISSING_NUMBERS:
                continue
            value = rules.read_number(text)
            if abs(value) <= rules.MAX_NUMBER:
                values[row] = value
            else:
                what = "beyond the numbers of float32" if np.isfinite(value) else "no number"
                reasons[row] = f"{column} is {what}: {tables.shown(text)}"
        return values, rows.bad_records(reasons)

    def missing(self, keys: pa.Array) -> Column:
        """NaN."""
        return np.full(len(keys), np.nan)

    def _numbers(self, column: Column, uses: Uses) -> np.ndarray:
        if self.feature.from_training:
            return uses.as_item.astype(np.float64)
        return np.asarray(column, np.float64)

    def learn_from(self, column: Column, uses: Uses) -> TokenCounts | Sample | None:
        """The numbers of training items that have one."""
        values = self._numbers(column, uses)
        chosen = (uses.totals > 0) & ~np.isnan(values)
        return uses.digests[chosen], values[chosen]

    def learn(self, learned_from: Any) -> Scale:
        """A scale."""
        return scales.learn_scale(self.feature.normalize, learned_from)

    def encode(
        self, column: Column, uses: Uses, learned: Any, counters: Counter[str]
    ) -> Sequence[Values]:
        """The scaled value, 0 if missing, and 1 if missing, else 0."""
        encoded = scales.encode(learned, self._numbers(column, uses))
        counters[f"{self.feature.name}_missing"] += int(encoded[:, 1].sum())
        return encoded.tolist()

    def spec(self, vocab_size: int) -> FeatureSpec:
        """Two floats, without a vocabulary."""
        return features.Dense(self.feature.name, max_values=2)


class VectorEncoder(Encoder):
    """A list of numbers, or a row of a .npy file, to a vector of float32."""

    has_vocabulary = False
    normalizations = rules.VECTOR_NORMALIZATIONS
    default_normalization = rules.UNIT

    def read(self, rows: tables.Rows) -> tuple[Column, list[tables.BadRecord]]:
        """`[rows, size]` float32, zeros for missing."""
        feature = self.feature
        if feature.file:
            found, faults = vector_files.of_file(feature.file, feature.size, rows)
        else:
            column = rows.columns[feature.column]
            found, faults = vectors.of_column(column, feature.column, feature.size)
        found = vectors.of_length_1(found) if feature.normalize == rules.UNIT else found
        return found, rows.bad_records(faults)

    def missing(self, keys: pa.Array) -> Column:
        """Zeros."""
        return np.zeros((len(keys), self.feature.size), np.float32)

    def encode(
        self, column: Column, uses: Uses, learned: Any, counters: Counter[str]
    ) -> Sequence[Values]:
        """As they are."""
        counters[f"{self.feature.name}_missing"] += int((~column.any(axis=1)).sum())
        return column

    def spec(self, vocab_size: int) -> FeatureSpec:
        """A vector; of one number where its size is not known yet."""
        return features.Vector(self.feature.name, max_values=self.feature.size or 1)


ENCODERS: dict[str, type[Encoder]] = {
    features.CATEGORICAL: CategoricalEncoder,
    features.BAG: BagEncoder,
    features.DENSE: DenseEncoder,
    features.VECTOR: VectorEncoder,
}


def make_encoder(feature: ItemFeature, key_column: str, noun: str = "item") -> Encoder:
    """The encoder of a feature; `key_column` is the table's column of keys, of `noun`s."""
    encoder = ENCODERS[feature.kind]
    if encoder is CategoricalEncoder and feature.column == key_column:
        return KeyEncoder(feature, noun)
    return encoder(feature)


def lists_counter(feature: str) -> str:
    """Counts the values of a bag's column where that has lists."""
    return f"{feature}_lists"


def _value_counts(texts: pa.Array) -> TokenCounts:
    counts = pc.value_counts(texts.filter(pc.not_equal(texts, "")))
    return TokenCounts(counts.field("values").to_pylist(), counts.field("counts").to_pylist())
