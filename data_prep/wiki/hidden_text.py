"""Wikitext without what MediaWiki does not read as wikitext: comments, `nowiki`, formulas."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Stands for the contents of an extension's tags. No title may hold it, so a link whose target
# does is none: [[Rome<nowiki/>]].
MARKER = b"\x7f"

_EXTENSIONS = (
    rb"nowiki|pre|math|chem|ce|source|syntaxhighlight|hiero|score|timeline|templatedata|graph"
    rb"|mapframe|maplink|inputbox"
)
# Shown where the page is used as a template, and not on the page itself.
_INCLUDEONLY = b"includeonly"
_TAG_END = rb"(?=\s|/?&gt;)"
# The sets of first letters say no to most tags at once.
_OPENING = re.compile(
    rb"&lt;(?:(!--)|(?=[cghimnpstCGHIMNPST])((?i:%b|includeonly))%b"
    rb"|/?(?=[noNO])(?i:noinclude|onlyinclude)\s*/?&gt;)" % (_EXTENSIONS, _TAG_END)
)
_CLOSING = {
    name: re.compile(rb"&lt;/(?i:%b)\s*&gt;" % name)
    for name in [*_EXTENSIONS.split(b"|"), _INCLUDEONLY]
}


def strip_hidden(text: bytes) -> bytes:
    """Removes hidden text, given with the XML's escapes (`&lt;` for `<`).

    An unclosed comment or `includeonly` runs to the end; other unclosed tags are plain text. Each
    kind of tag is searched for to the end at most once in vain, so the time is linear.
    """
    found = _OPENING.search(text)
    return b"".join(_visible(text, found)) if found else text


def _visible(text: bytes, found: re.Match[bytes] | None) -> Iterator[bytes]:
    """The pieces between the hidden parts, the first of which may begin at `found`."""
    shown_from = 0
    unclosed: set[bytes] = set()
    while found:
        position = found.end()
        name = found[2].lower() if found[2] else b""
        end = -1 if name in unclosed else _end(text, found, name)
        if end < 0:
            unclosed.add(name)
        else:
            yield text[shown_from : found.start()]
            if name and name != _INCLUDEONLY:
                yield MARKER
            shown_from = position = end
        found = _OPENING.search(text, position)
    yield text[shown_from:]


def _end(text: bytes, found: re.Match[bytes], name: bytes) -> int:
    """Where the hidden part ends that begins with the opening `found`; -1 if it does not."""
    if found[1]:
        end = text.find(b"--&gt;", found.end())
        return len(text) if end < 0 else end + len(b"--&gt;")
    if not name:
        return found.end()  # only the tag is hidden
    tag_end = text.find(b"&gt;", found.end())
    if tag_end < 0:
        return -1
    if text.endswith(b"/", 0, tag_end):
        return tag_end + len(b"&gt;")
    closing = _CLOSING[name].search(text, tag_end)
    if closing:
        return closing.end()
    return len(text) if name == _INCLUDEONLY else -1
