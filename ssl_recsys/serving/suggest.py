"""Titles that begin with what a user has typed, or have a word that does."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Sequence

import numpy as np

_WORD = re.compile(r"\w+")
_LAST = "\U0010ffff"


class Suggestions:
    """Finds titles by prefix, whatever the case of letters.

    Args:
      titles: `[items]` texts.
      counts: `[items]` int, how popular each item is.
    """

    def __init__(self, titles: Sequence[str], counts: np.ndarray):
        starts = [(title[at:], row) for row, title in enumerate(map(fold, titles))
                  for at in _later_words(title)]  # fmt: skip
        self._titles = _Sorted([(fold(title), row) for row, title in enumerate(titles)], counts)
        self._words = _Sorted(starts, counts)

    def rows(self, prefix: str, limit: int, is_shown: Callable[[int], bool]) -> list[int]:
        """Up to `limit` rows: titles with the prefix, then those with it at a later word.

        Each group is in the order of popularity, the more popular first, then of titles.

        Args:
          prefix: what was typed.
          limit: number of rows.
          is_shown: whether a row is suggested at all.
        """
        folded = fold(prefix)
        found: dict[int, None] = {}
        for rows in (self._titles.rows(folded), self._words.rows(folded)):
            for row in rows.tolist():
                if len(found) == limit:
                    return [*found]
                if row not in found and is_shown(row):
                    found[row] = None
        return [*found]


class _Sorted:
    """Texts of rows in order, so that those with a prefix are neighbours."""

    def __init__(self, texts: list[tuple[str, int]], counts: np.ndarray):
        texts.sort()
        self._texts = [text for text, _ in texts]
        self._rows = np.array([row for _, row in texts], np.int64)
        self._counts = counts[self._rows]

    def rows(self, prefix: str) -> np.ndarray:
        """The rows of the texts with a prefix, by popularity, then in order."""
        begin = bisect.bisect_left(self._texts, prefix)
        end = bisect.bisect_right(self._texts, prefix + _LAST)
        order = np.argsort(-self._counts[begin:end], kind="stable")
        return self._rows[begin:end][order]


def fold(text: str) -> str:
    """A text in the form in which it is compared: without case and surrounding blanks."""
    return text.casefold().strip()


def has_prefix(title: str, prefix: str) -> bool:
    """Whether a title, or one of its words, begins with a prefix; both as of `fold`."""
    return any(title.startswith(prefix, at) for at in (0, *_later_words(title)))


def _later_words(title: str) -> list[int]:
    """Where the words of a title begin, but for its beginning."""
    return [match.start() for match in _WORD.finditer(title) if match.start()]
