"""A made-up wiki as a MediaWiki XML dump, the layout that export-0.11 has."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

from data_prep.compressed import write_compressed
from data_prep.synthetic.wiki_pages import WikiPage

NAMESPACES = {
    -2: "Media",
    -1: "Special",
    0: "",
    1: "Talk",
    2: "User",
    3: "User talk",
    4: "Wikipedia",
    5: "Wikipedia talk",
    6: "File",
    7: "File talk",
    8: "MediaWiki",
    9: "MediaWiki talk",
    10: "Template",
    11: "Template talk",
    12: "Help",
    13: "Help talk",
    14: "Category",
    15: "Category talk",
}
_XMLNS = "http://www.mediawiki.org/xml/export-0.11/"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def write_dump(path: str | os.PathLike[str], pages: Iterable[WikiPage]) -> int:
    """Writes pages to a dump, compressed by the name's ending, and returns how many there were.

    Raises:
      InputError: if `path` is a directory.
    """
    count = 0
    with write_compressed(path) as stream:
        for text in _header():
            stream.write(text.encode())
        for count, page in enumerate(pages, start=1):
            stream.write(page_xml(page, count).encode())
        stream.write(b"</mediawiki>\n")
    return count


def _header() -> Iterator[str]:
    yield (
        f'<mediawiki xmlns="{_XMLNS}" version="0.11" xml:lang="en">\n'
        "  <siteinfo>\n"
        "    <sitename>Made-up wiki</sitename>\n"
        "    <dbname>madeupwiki</dbname>\n"
        "    <base>https://wiki.example.org/wiki/Main_Page</base>\n"
        "    <generator>ssl-recsys synthetic</generator>\n"
        "    <case>first-letter</case>\n"
        "    <namespaces>\n"
    )
    for key, name in NAMESPACES.items():
        rest = f">{name}</namespace>" if name else " />"
        yield f'      <namespace key="{key}" case="first-letter"{rest}\n'
    yield "    </namespaces>\n  </siteinfo>\n"


def page_xml(page: WikiPage, number: int) -> str:
    """The `<page>` element; `number` is its id, from 1."""
    redirect = f"    <redirect title={quoteattr(page.redirect)} />\n" if page.redirect else ""
    data = page.text.encode()
    digest = _base36(int.from_bytes(hashlib.sha1(data).digest(), "big"))
    return (
        f"  <page>\n    <title>{escape(page.title)}</title>\n    <ns>{page.namespace}</ns>\n"
        f"    <id>{number}</id>\n{redirect}"
        f"    <revision>\n      <id>{number + 1_000_000}</id>\n"
        f"      <timestamp>20{number % 20 + 5:02}-{number % 12 + 1:02}-{number % 28 + 1:02}"
        "T12:00:00Z</timestamp>\n"
        "      <contributor>\n        <username>Example</username>\n        <id>1</id>\n"
        "      </contributor>\n"
        "      <comment>/* History */ see [[Not a link of the page]]</comment>\n"
        f"      <origin>{number + 1_000_000}</origin>\n"
        "      <model>wikitext</model>\n      <format>text/x-wiki</format>\n"
        f'      <text bytes="{len(data)}" sha1="{digest}" xml:space="preserve">'
        f"{escape(page.text)}</text>\n      <sha1>{digest}</sha1>\n    </revision>\n  </page>\n"
    )


def _base36(number: int) -> str:
    """SHA-1 in the base that MediaWiki writes it in."""
    digits = []
    while number:
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits)).rjust(31, "0")
