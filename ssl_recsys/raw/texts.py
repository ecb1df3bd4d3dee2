"""Texts as code points in a graph: tables over characters, and replacing and dropping them."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from ssl_recsys.raw import characters


class Texts(NamedTuple):
    """The characters of several texts, one after the other.

    Attributes:
      codes: `[characters]` int32 code points.
      rows: `[characters]` int32, the number of each character's text, ascending.
    """

    codes: tf.Tensor
    rows: tf.Tensor

    @classmethod
    def decode(cls, texts: tf.Tensor) -> Texts:
        """The characters of `[batch]` texts in UTF-8; a wrong byte becomes U+FFFD."""
        codes = tf.strings.unicode_decode(texts, "UTF-8")
        return cls(codes.flat_values, tf.cast(codes.value_rowids(), tf.int32))

    def encode(self, size: tf.Tensor) -> tf.Tensor:
        """`[size]` texts in UTF-8, empty ones where there is no character of a row."""
        ragged = tf.RaggedTensor.from_value_rowids(
            self.codes, tf.cast(self.rows, tf.int64), nrows=tf.cast(size, tf.int64)
        )
        return tf.strings.unicode_encode(ragged, "UTF-8")

    def where(self, kept: tf.Tensor) -> Texts:
        """The characters for which `kept` [characters] holds."""
        return Texts(*(tf.boolean_mask(column, kept) for column in self))

    def begins_row(self) -> tf.Tensor:
        """`[characters]` bool, the first characters of their texts."""
        return before(self.rows, -1) != self.rows


class Table:
    """A value of each code point; see `characters.Table`."""

    def __init__(self, table: characters.Table):
        self._numbers = tf.constant(table.numbers)
        self._blocks = tf.constant(table.blocks.reshape(-1))

    def __call__(self, codes: tf.Tensor) -> tf.Tensor:
        """The int32 values of `[n]` code points."""
        block = tf.gather(self._numbers, codes // characters.BLOCK)
        return tf.gather(self._blocks, block * characters.BLOCK + codes % characters.BLOCK)


class Replace:
    """Replaces each code point by a sequence; see `characters.Replacements`."""

    def __init__(self, replacements: characters.Replacements):
        self._which = Table(replacements.which)
        self._starts = tf.constant(replacements.starts)
        self._lengths = tf.constant(replacements.lengths)
        self._codes = tf.constant(replacements.codes)

    def __call__(self, texts: Texts) -> Texts:
        """The texts with every character replaced."""
        which = self._which(texts.codes)
        lengths = tf.gather(self._lengths, which)
        place = tf.range(tf.reduce_sum(lengths)) - tf.repeat(
            tf.cumsum(lengths, exclusive=True), lengths
        )
        old, which = tf.repeat(texts.codes, lengths), tf.repeat(which, lengths)
        new = tf.gather(self._codes, tf.gather(self._starts, which) + place * (sign(which)))
        return Texts(tf.where(which == 0, old, new), tf.repeat(texts.rows, lengths))


def sign(values: tf.Tensor) -> tf.Tensor:
    """1 where an int32 value is positive, else 0."""
    return tf.cast(values > 0, tf.int32)


def before(values: tf.Tensor, first: int | bool) -> tf.Tensor:
    """The value before each of `[n]` values, that before the first being `first`."""
    return tf.concat([tf.fill([1], tf.cast(first, values.dtype)), values], 0)[:-1]


def after(values: tf.Tensor, last: int | bool) -> tf.Tensor:
    """The value after each of `[n]` values, that after the last being `last`."""
    return tf.concat([values, tf.fill([1], tf.cast(last, values.dtype))], 0)[1:]


def latest(holds: tf.Tensor) -> tf.Tensor:
    """For each of `[n]` places the last, itself included, where `holds` does, else -1; int32."""
    places = tf.concat([[-1], tf.cast(tf.where(holds)[:, 0], tf.int32)], 0)
    return tf.gather(places, tf.cumsum(tf.cast(holds, tf.int32)))
