"""Titles as MediaWiki takes them: character references, cleaning, legality."""

from __future__ import annotations

import re
import unicodedata
import urllib.parse
from collections.abc import Sequence
from html.entities import html5

import numpy as np

MAX_TITLE_BYTES = 255
# Longer text is no title: NFC makes at most a third of it. Bounds the time, as NFC takes the
# square of the length of a row of combining marks.
_MAX_RAW_CHARS = 4 * MAX_TITLE_BYTES
_REPLACEMENT = "\ufffd"

# What MediaWiki takes for a space in a title, and the marks that it removes.
_SPACES = re.compile("[ _\t\u00a0\u1680\u180e\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_DIRECTION_MARKS = re.compile("[\u200e\u200f\u202a-\u202e]")
# Characters that no title has, and what would be decoded once more when the title is written.
_ILLEGAL = re.compile(
    r"[\x00-\x1f\x7f#<>\[\]{}|\ufffd]|%[0-9A-Fa-f]{2}|~~~"
    r"|&(?:[A-Za-z0-9\x80-\U0010ffff]+|#[0-9]+|#[xX][0-9A-Fa-f]+);"
)
_RELATIVE = re.compile(r"(?:^|/)\.\.?(?:/|$)")  # a path of a URL would be changed by them
# Bytes that mean something to `clean_title` or `is_legal` in some place, among them those of all
# letters but Latin ones, which NFC may change.
_UNUSUAL = np.zeros(256, bool)
_UNUSUAL[[*range(10), *range(11, 33), *b"#%&/<>[]{|}~\x7f\xc2", *range(0xCC, 256)]] = True
# Those where nothing is left to NFC: of the others, the first bytes of spaces, marks of direction
# and U+FFFD.
_UNUSUAL_IN_NFC = _UNUSUAL.copy()
_UNUSUAL_IN_NFC[0xCC:] = False
_UNUSUAL_IN_NFC[[0xE1, 0xE2, 0xE3, 0xEF]] = True
_XML_SPACE = " \t\r\n"

_NUMERIC = re.compile("&#(?:0*([0-9]+)|[xX]0*([0-9a-fA-F]+));")
_REFERENCE = re.compile("&(?:#0*([0-9]+)|#[xX]0*([0-9a-fA-F]+)|([A-Za-z0-9]{1,40}));")
_XML_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"))


def clean_title(text: str) -> str:
    """Spaces for underscores, none doubled or at the ends; NFC; no direction marks.

    Text that is far too long for a title stays without NFC; `is_legal` refuses it.
    """
    if text.isascii():
        return _SPACES.sub(" ", text).strip(" ")
    text = _SPACES.sub(" ", _DIRECTION_MARKS.sub("", text)).strip(" ")
    return unicodedata.normalize("NFC", text) if len(text) <= _MAX_RAW_CHARS else text


def stored_title(raw: bytes | None) -> str:
    """A title of MediaWiki's tables as the XML dump has it, with spaces; empty if it is none."""
    try:
        title = clean_title((raw or b"").decode("utf-8"))
    except UnicodeDecodeError:
        return ""
    return title if is_legal(title) else ""


def stored_titles(raws: Sequence[bytes | None]) -> list[bytes]:
    """As `stored_title`, of many, as UTF-8.

    Most titles need no more than spaces in place of underscores, which all get at once.
    """
    if not raws:
        return []
    joined = b"\n".join([b"", *[raw or b"" for raw in raws], b""])
    try:
        text = joined.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    titles = joined.replace(b"_", b" ").split(b"\n")[1:-1]
    if not text or len(titles) != len(raws):
        return [stored_title(raw).encode("utf-8") for raw in raws]
    lines = np.frombuffer(joined, np.uint8)
    unusual = _unusual(lines, _UNUSUAL)
    if len(unusual) > len(raws) / 8 and unicodedata.is_normalized("NFC", text):
        unusual = _unusual(lines, _UNUSUAL_IN_NFC)
    for index in unusual.tolist():
        titles[index] = stored_title(raws[index]).encode("utf-8")
    return titles


def decoded_titles(titles: list[bytes]) -> list[str]:
    """What `stored_titles` gives, as text."""
    return b"\n".join(titles).decode("utf-8").split("\n") if titles else []


def _unusual(lines: np.ndarray, is_unusual: np.ndarray) -> np.ndarray:
    """Indices of the lines that are no plain titles.

    Args:
      lines: bytes, with a line break before each line and behind the last.
      is_unusual: `[256]`, the bytes that no plain title has.
    """
    breaks = np.flatnonzero(lines == ord("\n"))
    is_found = is_unusual[lines]
    # Spaces at an end, two of them, or an empty line.
    is_edge = (lines == ord("_")) | (lines == ord("\n"))
    is_found[:-1] |= is_edge[:-1] & is_edge[1:]
    first = lines[breaks[:-1] + 1]
    found = (first == ord(".")) | (first == ord(":")) | (np.diff(breaks) - 1 > MAX_TITLE_BYTES)
    found[np.searchsorted(breaks, np.flatnonzero(is_found[:-1]), side="right") - 1] = True
    return np.flatnonzero(found)


def is_legal(title: str) -> bool:
    """Whether MediaWiki could have a page of this name."""
    if not title or title.startswith(":") or _ILLEGAL.search(title):
        return False
    if "." in title and _RELATIVE.search(title):
        return False
    return len(title) <= 63 or len(title.encode("utf-8")) <= MAX_TITLE_BYTES


def title_text(raw: bytes) -> str:
    """The cleaned contents of a `<title>`.

    Raises:
      ValueError: if they are not UTF-8.
    """
    return clean_title(unescape_xml(raw.decode("utf-8")).strip(_XML_SPACE))


def target_text(raw: bytes) -> str:
    """A link's target without its escapes: the XML's, then percent codes, then entities.

    Raises:
      ValueError: if `raw` is not UTF-8.
    """
    text = raw.decode("utf-8")
    if "&" in text:
        text = unescape_xml(text)
    if "%" in text:
        text = urllib.parse.unquote(text)
    return _REFERENCE.sub(_referenced, text) if "&" in text else text


def unescape_xml(text: str) -> str:
    """Undoes XML's escapes, once."""
    if "&" not in text:
        return text
    if "&#" in text:
        text = _NUMERIC.sub(lambda found: character(found[1], found[2]), text)
    for escaped, plain in _XML_ENTITIES:
        text = text.replace(escaped, plain)
    return text.replace("&amp;", "&")


def character(decimal: str | None, hexadecimal: str | None) -> str:
    """The character of a numeric reference without leading zeros; U+FFFD if there is none.

    Looks at the length first: Python refuses to read numbers of over 4,300 digits.
    """
    digits, base = (decimal, 10) if decimal is not None else (hexadecimal or "", 16)
    code = int(digits, base) if len(digits) <= 7 else 0
    is_character = 0 < code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF
    return chr(code) if is_character else _REPLACEMENT


def _referenced(found: re.Match[str]) -> str:
    """What a reference of wikitext stands for; itself if no entity has the name."""
    if found[3] is not None:
        return html5.get(found[3] + ";", found[0])
    return character(found[1], found[2])
