"""Words of a text, in any script, and runs of neighbouring words.

Every spelling of a word gives the same characters: letter case, composed or decomposed accents,
full-width and half-width forms, and invisible characters make no difference. `split_words` does the
same in a graph.

Scripts that put no space between words (Chinese, Japanese, and those of South East Asia) have no
words that could be told without a dictionary. There every two neighbouring characters are a word,
as in the analyzers of search engines (Lucene's CJKBigramFilter); a run of one character is that
character. A character is what a reader takes for one, so vowel signs, tone marks and subscript
consonants stay with the letter that they belong to.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence

# Han, kana and bopomofo, and the marks of repetition among them. Hangul has spaces.
HAN = (
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u3096\u309d-\u309f\u30a1-\u30fa"
    "\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U0001aff0-\U0001b16f\U00020000-\U0003fffd"
)
# Thai, Lao, Myanmar, Khmer, Tai Le, New Tai Lue, Tai Tham, Tai Viet and Ahom: the scripts whose
# lines Unicode (UAX 14, class SA) breaks by dictionary.
_SOUTH_EAST_ASIA = (
    (0x0E01, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF),
    (0xA9E0, 0xA9FF), (0xAA60, 0xAADF), (0x11700, 0x1174F),
)  # fmt: skip


def _of_category(initial: str, blocks: Iterable[tuple[int, int]]) -> str:
    """The letters ("L") or combining marks ("M") between pairs of code points, as ranges."""
    codes = [code for first, last in blocks for code in range(first, last + 1)]
    found = [code for code in codes if unicodedata.category(chr(code))[0] == initial]
    runs = itertools.groupby(enumerate(found), lambda pair: pair[1] - pair[0])
    bounds = ([code for _, code in run] for _, run in runs)
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in bounds)


THAI = _of_category("L", _SOUTH_EAST_ASIA)  # its digits make numbers, as others do
# Combining marks, which Python's \w leaves out: vowel signs in the scripts of India, for example.
MARKS = _of_category("M", [(0x300, 0x1FFFF)])
# Signs that Unicode counts as letters and a reader as parts of the letter before: Thai and Lao am.
AM = "\u0e33\u0eb3"
# They put the consonant that follows under the one before: Myanmar, Khmer, Tai Tham.
STACKERS = "\u1039\u17d2\u1a60"

_CHARACTER = re.compile(rf"[{HAN}{THAI}](?:[{STACKERS}][{THAI}]|[{MARKS}{AM}])*")
_WORD = re.compile(
    rf"(?P<han>[{HAN}][{HAN}{MARKS}]*)|(?P<thai>[{THAI}][{THAI}{MARKS}]*)"
    rf"|(?:(?![{HAN}{THAI}])[^\W_]|[{MARKS}])+"
)
_ASCII_WORD = re.compile(r"[a-z0-9]+")
WIDE = "\uff01-\uffdc"
_WIDE = re.compile(f"[{WIDE}]+")
# Invisible characters that divide no words (Unicode's default ignorable ones): soft hyphens, marks
# of direction, joiners, selectors of variants. A zero-width space does divide; so does a
# non-joiner behind an Arabic letter, where it stands between the parts of Persian words.
INVISIBLE = (
    "\u00ad\u034f\u061c\u180b-\u180f\u200d-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e0fff"
)
ARABIC = "\u0600-\u06ff"
NON_JOINER = "\u200c"
_INVISIBLE = re.compile(f"[{INVISIBLE}]+|(?<![{ARABIC}]){NON_JOINER}")
# No word has more in a row than Unicode's stream-safe text (UAX 15): they are sorted, which takes
# the square of their number.
MOST_MARKS = 30
_MANY_MARKS = re.compile(f"([{MARKS}]{{{MOST_MARKS}}})[{MARKS}]+")
DOTLESS_I = "\u0131"
# Casefolding leaves the dot of İ as a character of its own.
DOT_ABOVE = "\u0307"
_DOTTED_I = re.compile(f"i([{MARKS}]*?){DOT_ABOVE}")


def words(text: str, *, dotless_i: bool = False) -> list[str]:
    """The words of a text, in order: letters and digits with the marks on them, casefolded.

    Args:
      text: any text.
      dotless_i: whether it is in a language, such as Turkish, where the small letter of I has no
        dot. In others that letter counts as i, so that small letters and capitals are the same.
    """
    if text.isascii() and not dotless_i:
        return _ASCII_WORD.findall(text.lower())
    found: list[str] = []
    for match in _WORD.finditer(_folded(text, dotless_i)):
        found += _bigrams(match[0]) if match.lastgroup else (match[0],)
    return found


def _folded(text: str, dotless_i: bool) -> str:
    text = _WIDE.sub(lambda wide: unicodedata.normalize("NFKC", wide[0]), text)
    text = _MANY_MARKS.sub(r"\1", _INVISIBLE.sub("", text))
    text = unicodedata.normalize("NFC", text)
    text = text.replace("I", DOTLESS_I) if dotless_i else text.replace(DOTLESS_I, "i")
    text = text.casefold()
    if DOT_ABOVE in text:
        text = _DOTTED_I.sub(r"i\1", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", text)


def _bigrams(run: str) -> list[str]:
    characters = _CHARACTER.findall(run)
    if len(characters) == 1:
        return characters
    return [first + second for first, second in itertools.pairwise(characters)]


def ngrams(words: Sequence[str], longest: int) -> list[str]:
    """The words, then their runs of 2, 3, ... `longest` neighbours; each once."""
    runs = (
        " ".join(words[start : start + size])
        for size in range(2, longest + 1)
        for start in range(len(words) - size + 1)
    )
    return list(dict.fromkeys([*words, *runs]))
