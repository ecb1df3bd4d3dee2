"""Words of a text, in any script, and runs of neighbouring words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# Combining marks, which Python's \w leaves out: vowel signs in the scripts of India, for example.
_MARKS = "".join(
    chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code))[0] == "M"
)
_WORD = re.compile(rf"(?:[^\W_]|[{_MARKS}])+")


def words(text: str) -> list[str]:
    """The casefolded words of a text, in order: letters and digits with the marks on them."""
    return _WORD.findall(text.casefold())


def ngrams(words: Sequence[str], longest: int) -> list[str]:
    """The words, then their runs of 2, 3, ... `longest` neighbours; each once."""
    runs = (
        " ".join(words[start : start + size])
        for size in range(2, longest + 1)
        for start in range(len(words) - size + 1)
    )
    return list(dict.fromkeys([*words, *runs]))
