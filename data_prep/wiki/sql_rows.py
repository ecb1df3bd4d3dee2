"""Rows of an INSERT statement as columns, found with a few passes of NumPy over its bytes.

The text must be as mysqldump writes it: rows of constants in parentheses, strings in single quotes
with backslash escapes or doubled quotes. What is not is found out, never misread, and left to
`sql_tokens`, which rewrites it in this form.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from data_prep.wiki.sql_tokens import SqlError, constant, shown

# Room before the text, so that the 16 bytes before the end of any number can be loaded.
PADDING = b"\0" * 16
_QUOTE, _OPEN, _CLOSE, _COMMA, _SEMICOLON, _BACKSLASH = b"'(),;\\"
_SPACES = np.isin(np.arange(256), list(b" \t\r\n"))
# What begins a comment, or a string or name in other quotes, besides "--".
_ODD_MARKS = b'"#`*'

_ZEROS = np.uint64(0x3030303030303030)
_ABOVE_NINE = np.uint64(0x7676767676767676)
_HIGH_BITS = np.uint64(0x8080808080808080)
# By the number of digits in a word; none is no number, whatever the word.
_UNUSED_BITS = np.array([56, 56, 48, 40, 32, 24, 16, 8, 0], np.uint64)
_PAIRS = np.uint64(0x000000FF000000FF)
_FIRST_AND_THIRD = np.uint64(0x000F424000000064)  # 10^6 and 10^2
_SECOND_AND_FOURTH = np.uint64(0x0000271000000001)  # 10^4 and 1


class Rows(NamedTuple):
    """Complete rows of one statement.

    Attributes:
      text: `PADDING` and the statement's text.
      names: of the columns.
      bounds: `[rows, columns + 2]` int64, where a row's "(", its commas, its ")" and what follows
        it stand in the text.
      odd: `[rows]`, whether there is a backslash or a doubled quote in the row, or anything else
        between a string and the next comma or parenthesis.
    """

    text: bytes
    names: tuple[str, ...]
    bounds: np.ndarray
    odd: np.ndarray

    def integers(self, name: str, null: int = -1) -> np.ndarray:
        """A column of whole numbers, int64 `[rows]`; `null` for NULL.

        Raises:
          SqlError: for a value that is no whole number of 64 bits.
        """
        column = self.names.index(name)
        starts, ends = self.bounds[:, column] + 1, self.bounds[:, column + 1]
        values, is_plain = _digits(self.text, starts, ends)
        for row in np.flatnonzero(~is_plain).tolist():
            value = constant(self.text[starts[row] : ends[row]])
            try:
                values[row] = null if value is None else int(value)
            except (ValueError, OverflowError) as error:
                raise SqlError(f"{name}: {shown(value)} is no whole number of 64 bits") from error
        return values

    def strings(self, name: str, where: np.ndarray | None = None) -> list[bytes | None]:
        """A column of the rows at positions `where`, of all by default; None for NULL.

        Raises:
          SqlError: for a value that is no constant.
        """
        column = self.names.index(name)
        bounds, odd = self.bounds[:, column : column + 2], self.odd
        if where is not None:
            bounds, odd = bounds[where], odd[where]
        text = self.text
        starts, ends = bounds[:, 0] + 1, bounds[:, 1]
        special = odd | (np.frombuffer(text, np.uint8)[starts] != _QUOTE)
        spans = zip((starts + 1).tolist(), (ends - 1).tolist(), strict=True)
        values: list[bytes | None] = [text[start:end] for start, end in spans]
        for row in np.flatnonzero(special).tolist():
            values[row] = _special(text[starts[row] : ends[row]])
        return values

    def equal(self, name: str, value: bytes) -> np.ndarray:
        """Where a column is the string `value`, which has a byte or more; bool `[rows]`.

        Raises:
          SqlError: for a value that is no constant.
        """
        column = self.names.index(name)
        starts, ends = self.bounds[:, column] + 1, self.bounds[:, column + 1]
        array = np.frombuffer(self.text, np.uint8)
        special = self.odd | (array[starts] != _QUOTE)
        found = ~special & (ends - starts == len(value) + 2)
        for place, byte in enumerate(value, start=1):
            rows = np.flatnonzero(found)
            found[rows] = array[starts[rows] + place] == byte
        rows = np.flatnonzero(special)
        found[rows] = [token == value for token in self.strings(name, rows)]
        return found


class Split(NamedTuple):
    """The rows found, the position behind them, and whether the statement ends there."""

    rows: Rows
    end: int
    is_end: bool


def split_rows(text: bytes, names: tuple[str, ...]) -> Split | None:
    """Finds the complete rows at the beginning of an INSERT statement's values.

    A row is complete with the comma or semicolon behind it.

    Args:
      text: `PADDING`, then values from the beginning of a row on.
      names: of the columns.

    Returns:
      None if the text is not in mysqldump's form.
    """
    array = np.frombuffer(text, np.uint8)
    at = np.flatnonzero(_marks(text, array))
    kinds = array[at]
    is_quote = kinds == _QUOTE
    escapes = _escapes(at, kinds)
    _unmark_escaped(is_quote, at, escapes)
    quotes, escapes = at[is_quote], at[escapes]
    if len(quotes):
        outer = _outside(is_quote)
        at, kinds = at[outer], kinds[outer]
    ends = np.flatnonzero(kinds == _SEMICOLON)
    if len(ends):
        at, kinds = at[: ends[0] + 1], kinds[: ends[0] + 1]
    width = len(names) + 2
    num_rows = len(at) // width
    bounds = at[: num_rows * width].reshape(num_rows, width)
    odd = np.zeros(num_rows, bool)
    if len(ends) and num_rows * width != len(at):
        return None
    if not num_rows:
        return Split(Rows(text, names, bounds, odd), len(PADDING), False)
    end = int(bounds[-1, -1]) + 1
    if not _is_regular(array, kinds[: num_rows * width], bounds):
        return None
    if _has_comment(array[:end], quotes):
        return None
    closing = quotes[1::2][quotes[1::2] < end]
    behind = array[closing + 1]
    # Another quote behind it is a doubled one.
    loose = closing[(behind != _COMMA) & (behind != _CLOSE)]
    for positions in (escapes[escapes < end], loose):
        odd[np.searchsorted(bounds[:, 0], positions) - 1] = True
    return Split(Rows(text, names, bounds, odd), end, bool(len(ends)))


def _marks(text: bytes, array: np.ndarray) -> np.ndarray:
    """Marks all that has a meaning outside strings, and the backslashes."""
    # The four marks ' ( ) * are neighbours.
    is_mark = (array - np.uint8(_QUOTE)) < 4
    is_mark |= array == _COMMA
    is_mark |= array == _SEMICOLON
    for odd in (_BACKSLASH, *_ODD_MARKS):
        if odd in text:
            is_mark |= array == odd
    return is_mark


def _escapes(at: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Indices of the marks that are escaping backslashes: every other one of a run."""
    found = np.flatnonzero(kinds == _BACKSLASH)
    if not len(found):
        return found
    place = np.arange(len(found))
    is_first = np.ones(len(found), bool)
    is_first[1:] = np.diff(at[found]) != 1
    first = np.maximum.accumulate(np.where(is_first, place, 0))
    return found[(place - first) % 2 == 0]


def _unmark_escaped(is_quote: np.ndarray, at: np.ndarray, escapes: np.ndarray) -> None:
    """Unsets `is_quote` where a quote is escaped."""
    following = escapes + 1
    following = following[following < len(at)]
    is_quote[following[at[following] == at[following - 1] + 1]] = False


def _outside(is_quote: np.ndarray) -> np.ndarray:
    """Indices of the marks that are outside strings, by which marks are their quotes."""
    quotes = np.flatnonzero(is_quote)
    is_outside = ~is_quote
    opening, closing = quotes[::2], quotes[1::2]
    if len(closing) < len(opening):
        is_outside[opening[-1] :] = False
    marks_inside = closing - opening[: len(closing)] - 1
    strings = np.flatnonzero(marks_inside)
    if len(strings):
        counts = marks_inside[strings]
        first = opening[strings] + 1 - (np.cumsum(counts) - counts)
        is_outside[np.repeat(first, counts) + np.arange(counts.sum())] = False
    return np.flatnonzero(is_outside)


def _is_regular(array: np.ndarray, kinds: np.ndarray, bounds: np.ndarray) -> bool:
    """Whether all rows are "(" value "," value ... ")" with nothing but space between them."""
    pattern = b"(%b)," % (b"," * (bounds.shape[1] - 3)) * len(bounds)
    if kinds.tobytes() not in (pattern, pattern[:-1] + b";"):
        return False
    first, last = bounds[:, 0], bounds[:, -1]
    if (last - bounds[:, -2] != 1).any():
        return False
    before = np.concatenate([[len(PADDING) - 1], last[:-1]])
    gaps = first - before - 1
    longest = int(gaps.max())
    return longest <= 8 and all(
        _SPACES[array[(before + 1 + step)[gaps > step]]].all() for step in range(longest)
    )


def _has_comment(array: np.ndarray, quotes: np.ndarray) -> bool:
    """Whether there is a "--" outside the strings."""
    is_dash = array == ord("-")
    pairs = np.flatnonzero(is_dash[:-1] & is_dash[1:])
    return len(pairs) > 0 and bool((np.searchsorted(quotes, pairs) % 2 == 0).any())


def _special(token: bytes) -> bytes | None:
    """As `constant`; faster where no more than quotes are escaped."""
    if token[:1] == b"'" == token[-1:] and b"\\\\" not in token and b"''" not in token:
        value = token[1:-1].replace(b"\\'", b"'").replace(b'\\"', b'"')
        if b"\\" not in value:
            return value
    return constant(token)


def _digits(text: bytes, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spans of digits as numbers.

    Returns:
      int64 `[spans]`, and whether each is one to sixteen digits; other values mean nothing.
    """
    lengths = ends - starts
    longest = lengths.max(initial=0)
    if longest <= 1:
        values = np.frombuffer(text, np.uint8)[ends - 1].astype(np.int64) - ord("0")
        return values, (lengths == 1) & (values >= 0) & (values <= 9)
    # Eight bytes from any position of the text.
    words = np.ndarray((len(text) - 7,), "<u8", text, strides=(1,))
    is_short = longest <= 8
    values, is_plain = _eight_digits(
        words[ends - 8], lengths if is_short else np.minimum(lengths, 8)
    )
    is_plain &= lengths > 0
    if not is_short:
        is_plain &= lengths <= 16
        is_long = np.flatnonzero(is_plain & (lengths > 8))
        high, is_high_plain = _eight_digits(
            words[ends[is_long] - 16], np.minimum(lengths[is_long] - 8, 8)
        )
        values[is_long] += high * np.uint64(10**8)
        is_plain[is_long] = is_high_plain
    return values.view(np.int64), is_plain


def _eight_digits(words: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers whose last digit is the highest byte of `words`, of up to eight digits; uint64.

    Adds neighbouring digits, pairs and fours in one word each (Langdale and Lemire, "Parsing
    gigabytes of JSON per second", 2019).
    """
    unused = _UNUSED_BITS[lengths]
    digits = ((words ^ _ZEROS) >> unused) << unused
    is_plain = ((digits + _ABOVE_NINE) | digits) & _HIGH_BITS == 0
    pairs = digits * np.uint64(10) + (digits >> np.uint64(8))
    values = (pairs & _PAIRS) * _FIRST_AND_THIRD
    values += ((pairs >> np.uint64(16)) & _PAIRS) * _SECOND_AND_FOURTH
    return values >> np.uint64(32), is_plain


def concatenate(parts: Iterable[bytes]) -> bytes:
    """Text for `split_rows`."""
    return b"".join([PADDING, *parts])
