"""What Unicode, as this Python knows it, says of each character: small tables for a graph.

A table over all code points is kept as its distinct blocks of 256 and the number of each block's
contents, which takes a few kilobytes instead of four megabytes.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ssl_recsys.raw import words

NUM_CODES = 0x110000
BLOCK = 256
_SURROGATES = range(0xD800, 0xE000)
# Beyond are no letters, digits or combining characters: tags, selectors and private use.
_NUM_LOOKED_AT = 0x40000

# Classes of characters, bits of `classes()`.
HAN, THAI, MARK, ALNUM, STACKER, AM, INVISIBLE, ARABIC, WIDE, QUICK = (1 << n for n in range(10))


class Table(NamedTuple):
    """A value of each code point: `blocks[numbers[code // 256], code % 256]`, both int32."""

    numbers: np.ndarray
    blocks: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Table:
        """The table of `values` [NUM_CODES]."""
        blocks, numbers = np.unique(values.reshape(-1, BLOCK), axis=0, return_inverse=True)
        return cls(numbers.reshape(-1).astype(np.int32), blocks.astype(np.int32))


class Replacements(NamedTuple):
    """What takes the place of each code point.

    Attributes:
      which: 0 for the code point itself, else the number of a sequence.
      starts: `[sequences]` int32, where a sequence begins in `codes`.
      lengths: `[sequences]` int32; that of number 0 is 1.
      codes: `[total]` int32.
    """

    which: Table
    starts: np.ndarray
    lengths: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, replace: Callable[[str], str]) -> Replacements:
        """What `replace` makes of each character that it changes."""
        which = np.zeros(NUM_CODES, np.int32)
        sequences = [""]
        for code, character in _characters():
            replaced = replace(character)
            if replaced != character:
                which[code] = len(sequences)
                sequences.append(replaced)
        lengths = np.array([1, *map(len, sequences[1:])], np.int32)
        starts = np.concatenate([[0, 0], np.cumsum(lengths[1:-1])])[: len(lengths)]
        codes = np.array([ord(one) for one in "".join(sequences)] or [0], np.int32)
        return cls(Table.of(which), starts.astype(np.int32), lengths, codes)


class Compositions(NamedTuple):
    """Pairs of code points that canonical composition joins, in ascending order of their keys.

    Attributes:
      keys: `[pairs]` int64, see `pair_key`.
      composed: `[pairs]` int32, the code point that takes the pair's place.
    """

    keys: np.ndarray
    composed: np.ndarray


@functools.cache
def _characters() -> list[tuple[int, str]]:
    return [(code, chr(code)) for code in range(_NUM_LOOKED_AT) if code not in _SURROGATES]


def _of_pattern(characters: str) -> np.ndarray:
    """`[NUM_CODES]` bool: which code points a bracket expression matches."""
    found = np.zeros(NUM_CODES, bool)
    for match in re.finditer(f"[{characters}]+", "".join(map(chr, range(NUM_CODES)))):
        found[match.start() : match.end()] = True
    return found


def _where(holds: Callable[[str], object]) -> np.ndarray:
    found = np.zeros(NUM_CODES, bool)
    found[[code for code, character in _characters() if holds(character)]] = True
    return found


@functools.cache
def classes() -> Table:
    """The classes of each code point, a bit for each."""
    seconds = {int(key) & 0x1FFFFF for key in compositions().keys}
    of_class = {
        HAN: _of_pattern(words.HAN),
        THAI: _of_pattern(words.THAI),
        MARK: _of_pattern(words.MARKS),
        ALNUM: _where(str.isalnum),
        STACKER: _of_pattern(words.STACKERS),
        AM: _of_pattern(words.AM),
        INVISIBLE: _of_pattern(words.INVISIBLE),
        ARABIC: _of_pattern(words.ARABIC),
        WIDE: _of_pattern(words.WIDE),
        # A text of these alone is in normal form C.
        QUICK: _where(
            lambda one: (
                unicodedata.normalize("NFC", one) == one
                and not unicodedata.combining(one)
                and ord(one) not in seconds
            )
        ),
    }
    of_class[QUICK][_NUM_LOOKED_AT:] = True
    bits = np.zeros(NUM_CODES, np.int32)
    for bit, is_member in of_class.items():
        bits |= bit * is_member
    return Table.of(bits)


@functools.cache
def combining_classes() -> Table:
    """The canonical combining class of each code point, 0 for a starter."""
    values = np.zeros(NUM_CODES, np.int32)
    for code, character in _characters():
        values[code] = unicodedata.combining(character)
    return Table.of(values)


@functools.cache
def decompositions() -> Replacements:
    """Canonical decompositions."""
    return Replacements.of(lambda one: unicodedata.normalize("NFD", one))


@functools.cache
def case_foldings() -> Replacements:
    """Full case foldings."""
    return Replacements.of(str.casefold)


@functools.cache
def wide_forms() -> Replacements:
    """The usual characters of full-width and half-width ones."""
    is_wide = re.compile(f"[{words.WIDE}]")
    return Replacements.of(
        lambda one: unicodedata.normalize("NFKC", one) if is_wide.match(one) else one
    )


@functools.cache
def digits() -> Replacements:
    """ASCII digits of the decimal digits of every script, and ASCII blanks of all blanks."""
    return Replacements.of(lambda one: " " if one.isspace() else str(unicodedata.decimal(one, one)))


def pair_key(first: int, second: int) -> int:
    """The key of a pair in `Compositions`."""
    return first << 21 | second


@functools.cache
def compositions() -> Compositions:
    """All primary composites, Hangul syllables among them."""
    pairs = {}
    for code, character in _characters():
        decomposed = unicodedata.normalize("NFD", character)
        if len(decomposed) > 1 and unicodedata.normalize("NFC", character) == character:
            # All but the last character compose first.
            first = unicodedata.normalize("NFC", decomposed[:-1])
            pairs[pair_key(ord(first), ord(decomposed[-1]))] = code
    keys = np.array(sorted(pairs), np.int64)
    return Compositions(keys, np.array([pairs[int(key)] for key in keys], np.int32))
