"""What a feature of an item table is made of, and what every encoder of one does.

`encoders` has the encoder of each kind.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import pyarrow as pa

from data_prep import tables
from data_prep.encode import Values
from data_prep.installs.uses import Uses
from data_prep.sampling import Sample
from data_prep.vocab import TokenCounts, Vocabulary
from ssl_recsys.features import FeatureSpec
from ssl_recsys.raw.rules import NORMALIZATIONS, QUANTILE

# Raw values of one feature and many items: Arrow text or lists of text, or numbers.
Column: TypeAlias = Any


@dataclasses.dataclass(frozen=True)
class TableFeature:
    """How one feature is made from a column of the item table.

    Attributes:
      name: name of the feature in the dataset.
      kind: a key of `ENCODERS`.
      column: column of the item table; empty where `from_training` or `file` needs none.
      separator: bag: text between the values of a cell (lists need none).
      words: bag: take the words of the text instead.
      ngrams: bag of words: also runs of up to so many words.
      max_values: bag: how many values of an item are kept.
      min_count: categorical, bag: values that fewer items (see `--vocabulary`) have get no id.
      max_vocab: categorical, bag: how many values get an id, the most frequent ones.
      hash_buckets: categorical, bag: ids that the values without one of their own share; 0: none.
      normalize: dense: `log` (log(1 + x), then mean 0 and variance 1), `quantile` (share of
        training items below, from -1 to 1), `standard` (mean 0, variance 1) or `none`. vector:
        `unit` (length 1) or `none`. Empty: the kind's default.
      from_training: dense: the value is the number of training pairs that lead to the item.
      size: vector: its numbers; 0: as many as the table's have, see `vector_files.located`.
      file: vector: a .npy file whose rows are those of the table, instead of a column.
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
    hash_buckets: int = 0
    normalize: str = ""
    from_training: bool = False
    size: int = 0
    file: str = ""


class Encoder:
    """Encodes one feature; a kind that learns nothing overrides read, missing, encode and spec."""

    may_be_from_training = False
    has_vocabulary = True
    normalizations: tuple[str, ...] = NORMALIZATIONS
    default_normalization = QUANTILE

    def __init__(self, feature: TableFeature):
        self.feature = feature

    def read(self, rows: tables.Rows) -> tuple[Column, list[tables.BadRecord]]:
        """The raw values `[rows]`, and records whose value counts as missing as it is none."""
        raise NotImplementedError

    def missing(self, keys: pa.Array) -> Column:
        """Raw values of items of which only the keys are known."""
        raise NotImplementedError

    def learn_from(self, column: Column, uses: Uses) -> TokenCounts | Sample | None:
        """A shard's part of a vocabulary, or its training items' numbers; None learns nothing."""
        return None

    def learn(self, learned_from: Any) -> Any:
        """What `encode` needs: ids of a vocabulary's tokens, or made of a sample of the numbers."""
        return Vocabulary(learned_from, self.feature.hash_buckets)

    def encode(
        self, column: Column, uses: Uses, learned: Any, counters: Counter[str]
    ) -> Sequence[Values]:
        """The encoded values of each item; counts those that are missing or dropped."""
        raise NotImplementedError

    def spec(self, vocab_size: int) -> FeatureSpec:
        """The feature as the dataset holds it; `vocab_size` counts id 0 and no hash buckets."""
        raise NotImplementedError
