"""The links of a wiki's pages by other people's parsers, each used as its documentation shows."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterator
from xml.etree import ElementTree

from benchmarks import harness

# Name of the package, which is also that of its module.
_MWPARSERFROMHELL, _WIKITEXTPARSER, _GENSIM = "mwparserfromhell", "wikitextparser", "gensim"
PEERS = (_MWPARSERFROMHELL, _WIKITEXTPARSER, _GENSIM)


def installed(xml: bytes) -> dict[str, Callable[[], int]]:
    """The installed peers' names and what to call: it parses `xml` and returns the links' number.

    Args:
      xml: the beginning of a dump, up to the end of a page.
    """
    whole = xml + b"\n</mediawiki>\n"
    calls: dict[str, Callable[[], int]] = {
        _MWPARSERFROMHELL: lambda: _with_mwparserfromhell(whole),
        _WIKITEXTPARSER: lambda: _with_wikitextparser(whole),
        _GENSIM: lambda: _with_gensim(whole),
    }
    return {name: call for name, call in calls.items() if _is_installed(name)}


def missing() -> list[harness.Row]:
    """A row for each peer that is not installed."""
    return [harness.missing_peer(name, name) for name in PEERS if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _texts(xml: bytes) -> Iterator[str]:
    """The wikitext of each page; the peers that parse wikitext only need an XML reader."""
    for _, element in ElementTree.iterparse(io.BytesIO(xml)):
        tag = element.tag.rpartition("}")[2]
        if tag == "text":
            yield element.text or ""
        elif tag == "page":
            element.clear()


def _with_mwparserfromhell(xml: bytes) -> int:
    import mwparserfromhell

    return sum(len(mwparserfromhell.parse(text).filter_wikilinks()) for text in _texts(xml))


def _with_wikitextparser(xml: bytes) -> int:
    import wikitextparser

    return sum(len(wikitextparser.parse(text).wikilinks) for text in _texts(xml))


def _with_gensim(xml: bytes) -> int:
    from gensim.corpora import wikicorpus

    pages = wikicorpus.extract_pages(io.BytesIO(xml))
    return sum(len(wikicorpus.find_interlinks(text)) for _, text, _ in pages)
