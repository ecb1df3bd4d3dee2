"""The XML of one `<page>`: its head, its newest revision, that revision's wikitext.

No XML parser: wikitext holds no tag that is not escaped, so a few searches find everything. Each
takes time in proportion to the page, whatever stands in it.
"""

from __future__ import annotations

import re

from data_prep.wiki.titles import character

_REVISION, _REVISION_END = b"<revision", b"</revision>"
_TIMESTAMP = re.compile(rb"<timestamp>\s*(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\s*</timestamp>")
_ID = re.compile(rb"<id>\s*0*(\d{1,18})\s*</id>")
# What decides which text is the main slot's.
_SLOT_PART = re.compile(
    rb"<(?:(content)(?=[\s>])|(/content>)|role>\s*([^<]*?)\s*</role>|(text)(?=[\s/>])[^<>]*>)"
)
_CDATA_OR_COMMENT = re.compile(rb"<!(?:\[CDATA\[(.*?)(?:\]\]>|\Z)|--.*?(?:-->|\Z))", re.DOTALL)
_NUMERIC = re.compile(rb"&#(?:0*([0-9]+)|[xX]0*([0-9a-fA-F]+));")


class MalformedPageError(ValueError):
    """A `<page>` that cannot be read; the reader counts and skips it."""


def split_head(page: bytes) -> tuple[bytes, bytes]:
    """The part before the revisions, and the rest; the page twice if it has no revision.

    CDATA sections are written with escapes, and XML comments dropped, where there are any.
    """
    start = page.find(_REVISION)
    if start < 0:
        page = _unwrap(page)
        return page, page
    text_start = page.find(b"<text", start)
    text_end = page.find(b"</text>", text_start)
    # Text that MediaWiki wrote has no "<".
    if b"<!" in page[:text_start] or page.find(b"<", text_start + 1, text_end) >= 0:
        page = _unwrap(page)
        start = max(0, page.find(_REVISION))
    return page[:start], page[start:]


def _unwrap(page: bytes) -> bytes:
    return _CDATA_OR_COMMENT.sub(_escaped_section, page) if b"<!" in page else page


def _escaped_section(found: re.Match[bytes]) -> bytes:
    return _escape(found[1] or b"")


def _escape(text: bytes) -> bytes:
    return text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")


def wikitext(revisions: bytes) -> bytes:
    """Text of the newest revision's main slot, with the escapes that MediaWiki writes.

    Raises:
      MalformedPageError: if it has no `<text>`, or that does not end.
    """
    first_text_end = revisions.find(b"</text>")
    if revisions.find(_REVISION, max(1, first_text_end)) >= 0:
        start = revisions.find(_REVISION)
        first, last = newest_revision(revisions, start)
        revisions = revisions[first:last]
    return normalize_escapes(main_text(revisions))


def newest_revision(page: bytes, start: int) -> tuple[int, int]:
    """Where the newest revision is, by time and then by id; `start` is where the first one is.

    Among equal ones the last in the file counts, as in histories that have neither.
    """
    following = page.find(_REVISION, start + 1)
    if following < 0:
        return start, len(page)
    newest = start, following
    best = _age(page, *newest)
    while following >= 0:
        start, following = following, page.find(_REVISION, following + 1)
        end = following if following >= 0 else len(page)
        age = _age(page, start, end)
        if age >= best:
            best, newest = age, (start, end)
    return newest


def keep_newest(page: bytes) -> bytes:
    """Drops all complete revisions but the newest; `page` may end anywhere."""
    start = page.find(_REVISION)
    end = page.rfind(_REVISION_END)
    if start < 0 or end < start:
        return page
    end += len(_REVISION_END)
    first, last = newest_revision(page[:end], start)
    return page[:start] + page[first:last] + page[end:]


def _age(page: bytes, start: int, end: int) -> tuple[bytes, int]:
    """Sorts revisions: (time, id), empty and -1 where the revision has none."""
    # Behind these the text and the ids of other things begin.
    for mark in (b"<text", b"<contributor"):
        found = page.find(mark, start, end)
        end = found if found >= 0 else end
    number = _ID.search(page, start, end)
    # The time stands before the contributor in every version of the format.
    time = _TIMESTAMP.search(page, start, end)
    return time[1] if time else b"", int(number[1]) if number else -1


def main_text(revision: bytes) -> bytes:
    """Contents of the main slot's `<text>`, escaped as they are; empty if it has none.

    A revision of several slots has its main one outside of `<content>`, the others inside.

    Raises:
      MalformedPageError: if there is no such element, or it does not end.
    """
    tag = _main_text_tag(revision)
    if tag[0].endswith(b"/>"):
        return b""
    end = revision.find(b"</text>", tag.end())
    if end < 0:
        raise MalformedPageError("no </text>")
    return revision[tag.end() : end]


def _main_text_tag(revision: bytes) -> re.Match[bytes]:
    in_content, role = False, b""
    for part in _SLOT_PART.finditer(revision):
        if part[1]:
            in_content, role = True, b""
        elif part[2]:
            in_content = False
        elif part[3] is not None:
            role = part[3]
        elif not in_content or role == b"main":
            return part
    raise MalformedPageError("no <text>")


def normalize_escapes(text: bytes) -> bytes:
    """The same text with the escapes that MediaWiki writes: `<`, `>` and `&` only."""
    if b"#" in text and b"&#" in text:  # the first is much faster
        text = _NUMERIC.sub(_escaped_character, text)
    return text.replace(b">", b"&gt;") if b">" in text else text


def _escaped_character(found: re.Match[bytes]) -> bytes:
    decimal, hexadecimal = (part.decode() if part else None for part in found.groups())
    return _escape(character(decimal, hexadecimal).encode("utf-8"))
