"""Encodes raw features in a graph: what a data job does, of plain TensorFlow operations.

Vocabularies are assets and scales variables of the saved graph, which so needs nothing beside it.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from ssl_recsys import files, schema
from ssl_recsys.features import FeatureSpec
from ssl_recsys.raw import rules
from ssl_recsys.raw.numbers import ApplyScale, ReadNumbers
from ssl_recsys.raw.rules import RawFeature, RawItem, Scale
from ssl_recsys.raw.split_words import SplitWords, ngrams

# str.isspace.
_BLANKS = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())


class RawEncoder(tf.Module):
    """Raw features to encoded ones.

    Args:
      raw: the rules.
      specs: the features.
      data_dir: directory with the vocabularies and scales.
      counted: keys of items, and `[items]` how many training pairs lead to each; for the rule
        `training_pairs`.
      scratch: directory for files that the saved graph copies.
    """

    def __init__(
        self,
        raw: RawItem,
        specs: Sequence[FeatureSpec],
        data_dir: pathlib.Path,
        counted: tuple[np.ndarray, np.ndarray],
        scratch: pathlib.Path,
    ):
        super().__init__(name="raw_encoder")
        self._raw = raw
        self._specs = {spec.name: spec for spec in specs}
        self.vocabularies = {
            feature.name: Vocabulary(
                schema.vocab_path(data_dir, self._specs[feature.name].table_name),
                self._specs[feature.name].num_tokens,
                self._specs[feature.name].hash_buckets,
            )
            for feature in raw.features
            if feature.rule in (rules.TOKEN, rules.TOKENS, rules.WORDS)
        }
        self.scales = {
            feature.name: ApplyScale(read_scale(data_dir, feature.name))
            for feature in raw.features
            if feature.rule in (rules.NUMBER, rules.TRAINING_PAIRS)
        }
        self.training_items: Vocabulary | None = None
        if any(feature.rule == rules.TRAINING_PAIRS for feature in raw.features):
            keys, counts = counted
            found = np.flatnonzero(counts)
            path = scratch / "training_items.txt"
            path.write_text("".join(f"{key}\n" for key in keys[found]), encoding="utf-8")
            self.training_items = Vocabulary(path, len(found))
            self.training_counts = tf.Variable(
                np.concatenate([[0], counts[found]]), dtype=tf.int64, trainable=False
            )
        self._split_words = SplitWords() if self._has(rules.WORDS) else None
        self._read_numbers = ReadNumbers() if self._has(rules.NUMBER) else None

    def _has(self, rule: str) -> bool:
        return any(feature.rule == rule for feature in self._raw.features)

    def signature(self) -> dict[str, tf.TensorSpec]:
        """What `encode` takes: UTF-8 texts `[batch]`, or `[batch, values]` where there are several.

        An empty text stands for a missing value, and fills up where an item has fewer than others.
        A vector is `[batch, size]` float32, zeros if missing.
        """
        taken = {
            column: tf.TensorSpec([None, None] if is_list else [None], tf.string, column)
            for column, is_list in self._raw.columns().items()
        }
        for feature in self._raw.features:
            if feature.rule in rules.VECTORS:
                size = self._specs[feature.name].max_values
                taken[feature.column] = tf.TensorSpec([None, size], tf.float32, feature.column)
        return taken

    def encode(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Feature name -> `[batch, max_values]` ids or numbers, as in the catalog."""
        return {feature.name: self._encode(feature, columns) for feature in self._raw.features}

    def _encode(self, feature: RawFeature, columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
        values, spec = columns[feature.column], self._specs[feature.name]
        if feature.rule in rules.VECTORS:
            return values if feature.rule == rules.VECTOR else of_length_1(values)
        if feature.rule == rules.TOKENS:
            return self._bag(spec, self._tokens(feature, values))
        if values.shape.rank == 2:  # one column for several features
            values = tf.strings.reduce_join(values, axis=1, separator=" ")
        if feature.rule == rules.WORDS:
            assert self._split_words is not None
            found = self._split_words(values, dotless_i=feature.dotless_i)
            return self._bag(spec, ngrams(found, feature.ngrams))
        text = strip(values)
        if feature.rule == rules.NUMBER:
            assert self._read_numbers is not None
            return self.scales[feature.name](self._read_numbers(text))
        text = tf.strings.regex_replace(text, rules.LINE_BREAKS, " ")
        if feature.rule == rules.TRAINING_PAIRS:
            assert self.training_items is not None
            counts = tf.gather(self.training_counts, self.training_items.ids(text))
            return self.scales[feature.name](tf.cast(counts, tf.float64))
        return tf.cast(self.vocabularies[feature.name].ids(text), tf.int32)[:, tf.newaxis]

    def _tokens(self, feature: RawFeature, values: tf.Tensor) -> tf.RaggedTensor:
        """The texts of each item, `[batch, (values)]`."""
        ragged = tf.RaggedTensor.from_tensor(values)
        if not feature.lists:
            parts = tf.strings.split(ragged.flat_values, feature.separator)
            ragged = ragged.with_flat_values(parts).merge_dims(1, 2)
        one_line = tf.strings.regex_replace(ragged.flat_values, rules.LINE_BREAK, " ")
        return ragged.with_flat_values(strip(one_line))

    def _bag(self, spec: FeatureSpec, tokens: tf.RaggedTensor) -> tf.Tensor:
        """The first ids of each row's tokens, each once, `[batch, max_values]` int32."""
        ids = self.vocabularies[spec.name].ids(tokens.flat_values)
        rows, size = tokens.value_rowids(), tf.constant(spec.vocab_size, tf.int64)
        is_known = ids > 0
        distinct, _ = tf.unique(tf.boolean_mask(rows * size + ids, is_known))
        bags = tf.RaggedTensor.from_value_rowids(
            distinct % size, distinct // size, nrows=tokens.nrows(), validate=False
        )
        return tf.cast(bags.to_tensor(shape=[None, spec.max_values]), tf.int32)


class Vocabulary(tf.Module):
    """Ids of the tokens in a file: line i (from 1) has the token of id i.

    Args:
      path: the file, an asset of the graph.
      size: its number of lines.
      hash_buckets: ids behind those, which all other tokens share; see `ssl_recsys.tokens`.
    """

    def __init__(self, path: pathlib.Path, size: int, hash_buckets: int = 0):
        super().__init__(name="vocabulary")
        self._size, self._hash_buckets = size, hash_buckets
        self.table = None
        if size:  # TensorFlow reads no empty file
            lines = tf.lookup.TextFileInitializer(
                str(path),
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
                vocab_size=size,
            )
            self.table = tf.lookup.StaticHashTable(lines, default_value=-1)

    def ids(self, tokens: tf.Tensor) -> tf.Tensor:
        """`[n]` int64, 0 for a token without an id."""
        if self.table is None:
            known = tf.zeros_like(tokens, tf.int64)
        else:
            known = self.table.lookup(tokens) + 1
        if not self._hash_buckets:
            return known
        shared = self._size + 1 + tf.strings.to_hash_bucket_fast(tokens, self._hash_buckets)
        return tf.where((known > 0) | (tokens == ""), known, shared)


def of_length_1(vectors: tf.Tensor) -> tf.Tensor:
    """`[batch, size]` float32 vectors divided by their lengths; zeros stay zeros."""
    wide = tf.cast(vectors, tf.float64)
    lengths = tf.sqrt(tf.reduce_sum(tf.square(wide), axis=1, keepdims=True))
    return tf.cast(wide / tf.where(lengths > 0, lengths, 1), tf.float32)


def read_scale(data_dir: pathlib.Path, feature: str) -> Scale:
    """The scale of a feature in a dataset directory.

    Raises:
      InputError: if it is damaged.
    """
    path = schema.scale_path(data_dir, feature)
    return Scale.from_json(str(path), files.read_json(path))


def strip(texts: tf.Tensor) -> tf.Tensor:
    """As `str.strip` of each text."""
    return tf.strings.regex_replace(texts, rf"\A[{_BLANKS}]+|[{_BLANKS}]+\z", "")
