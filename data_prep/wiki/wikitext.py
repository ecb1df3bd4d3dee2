"""One page of a dump: title, redirect, links and categories.

Works on the raw bytes of the XML, escaped as they are, with a few regular expressions: neither
an XML parser nor an unescaped copy of the text is needed to find `[[links]]`, and reading a dump
then costs less than decompressing it. Only the targets found are decoded and unescaped.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter

from data_prep.splits import text_digest
from data_prep.wiki import sites
from data_prep.wiki.sites import Site, Target

_NAMESPACE = re.compile(rb"<ns>\s*(-?\d+)\s*</ns>")
_TEXT_TAG = re.compile(rb"<text\b[^>]*>")
_REDIRECT_TITLE = re.compile(rb'<redirect\s+title="([^"]*)"')
# MediaWiki's legal targets: no brackets, braces, bar or line break.
_LINK = re.compile(rb"\[\[([^\[\]{}|\n]+)(?:\||\]\])")
# Text that is no wikitext. An unclosed comment runs to the end, an unclosed tag is plain text.
_HIDDEN = re.compile(
    rb"&lt;(?:!--.*?(?:--&gt;|\Z)"
    rb"|((?i:nowiki|pre|math|chem|ce|source|syntaxhighlight|hiero|score|timeline|templatedata"
    rb"|graph|mapframe|maplink|inputbox))(?:\s(?:(?!&gt;).)*)?(?<!/)&gt;.*?&lt;/(?i:\1)\s*&gt;)",
    re.DOTALL,
)
# Most targets: ASCII words with single spaces, which need no cleaning at all.
_PLAIN_TARGET = re.compile(
    rb"(?=.{1,255}\Z)[A-Za-z0-9][A-Za-z0-9'(),./!-]*(?: [A-Za-z0-9'(),./!-]+)*"
)
_INTERWIKI = (sites.TO_INTERWIKI, "", 0)
_REDIRECT_TEXT = re.compile(r"\s*[#\uff03]\s*([^\s:\[]+)\s*:?\s*\[\[([^\[\]|\n]+)")
_REDIRECT_HEAD_BYTES = 1000
_CACHE_SIZE = 200_000


@dataclasses.dataclass
class Page:
    """One page.

    Attributes:
      namespace: its number; everything below is filled for articles (0) only.
      title: normalised.
      redirect: where the page redirects, None if it is an article.
      link_digests: digests of the articles it links to, in order and without repetitions.
      link_titles: the same articles' titles.
      categories: names of its categories, in order and without repetitions.
    """

    namespace: int
    title: str
    redirect: Target | None = None
    link_digests: list[int] = dataclasses.field(default_factory=list)
    link_titles: list[str] = dataclasses.field(default_factory=list)
    categories: list[str] = dataclasses.field(default_factory=list)


class MalformedPageError(ValueError):
    """A `<page>` that cannot be read; the reader counts and skips it."""


class PageParser:
    """Parses the pages of one wiki.

    Attributes:
      counters: what was found and dropped so far; the caller takes them away.
    """

    def __init__(self, site: Site):
        self._site = site
        self._targets: dict[bytes, tuple[str, str, int]] = {}
        # A namespace of the same name comes first.
        self._interwiki = frozenset(
            prefix.encode("ascii")
            for prefix in sites.INTERWIKI_PREFIXES.difference(site.namespaces)
        )
        self.counters: Counter[str] = Counter()

    def parse(self, page: bytes) -> Page:
        """Parses the bytes from `<page>` to `</page>`.

        Raises:
          MalformedPageError: if title or text cannot be read.
        """
        text_tag = self._last_text_tag(page)
        head = page[: text_tag.start()] if text_tag else page
        namespace, title = self._title(head)
        result = Page(namespace, title)
        if namespace != sites.ARTICLE:
            return result
        text = self._text(page, text_tag)
        result.redirect = self._redirect(head, text)
        if result.redirect is None:
            self._links(text, result)
        return result

    def _title(self, head: bytes) -> tuple[int, str]:
        start = head.find(b"<title>")
        end = head.find(b"</title>", start)
        if start < 0 or end < 0:
            raise MalformedPageError("no <title>")
        number = _NAMESPACE.search(head, end)
        try:
            return sites.parse_title(
                head[start + len(b"<title>") : end], self._site, int(number[1]) if number else None
            )
        except ValueError as error:
            raise MalformedPageError(str(error)) from error

    def _last_text_tag(self, page: bytes) -> re.Match[bytes] | None:
        # The last revision is the current one, where a dump has the page's history.
        start = page.rfind(b"<text")
        return _TEXT_TAG.match(page, start) if start >= 0 else None

    def _text(self, page: bytes, tag: re.Match[bytes] | None) -> bytes:
        if tag is None:
            raise MalformedPageError("no <text>")
        if tag[0].endswith(b"/>"):
            return b""
        end = page.find(b"</text>", tag.end())
        if end < 0:
            raise MalformedPageError("no </text>")
        return page[tag.end() : end]

    def _redirect(self, head: bytes, text: bytes) -> Target | None:
        named = _REDIRECT_TITLE.search(head)
        if named:
            return Target(*self._target(named[1])[:2])
        flagged = b"<redirect" in head
        start = text[:_REDIRECT_HEAD_BYTES].lstrip()
        if not flagged and not start.startswith((b"#", "\uff03".encode())):
            return None
        found = _REDIRECT_TEXT.match(start.decode("utf-8", "ignore"))
        if found and (flagged or found[1].casefold() in sites.REDIRECT_WORDS):
            return Target(*self._target(found[2].encode("utf-8"))[:2])
        return Target(sites.INVALID) if flagged else None

    def _links(self, text: bytes, page: Page) -> None:
        text = _HIDDEN.sub(b"", text)
        links: dict[int, str] = {}
        categories: dict[str, None] = {}
        counters, targets = self.counters, self._targets
        found = _LINK.findall(text)
        counters["links_found"] += len(found)
        for raw in found:
            kind, name, digest = targets.get(raw) or self._target(raw)
            if kind == sites.TO_ARTICLE:
                if digest in links:
                    counters["links_duplicate"] += 1
                elif name == page.title:
                    counters["links_self"] += 1
                else:
                    links[digest] = name
            elif kind == sites.TO_CATEGORY:
                counters["category_links"] += 1
                categories[name] = None
            else:
                counters[f"links_{kind}"] += 1
        counters["categories_assigned"] += len(categories)
        page.link_digests, page.link_titles = list(links), list(links.values())
        page.categories = list(categories)

    def _target(self, raw: bytes) -> tuple[str, str, int]:
        """Kind and title of a link's target, and the title's digest if it is an article."""
        if _PLAIN_TARGET.fullmatch(raw):
            kind, title = sites.TO_ARTICLE, self._site.fix_case(raw.decode("ascii"))
        elif raw.partition(b":")[0] in self._interwiki:
            return _INTERWIKI  # mostly links to other languages, each seen once: not cached
        else:
            kind, title = sites.parse_target(raw, self._site)
        digest = text_digest(title) if kind == sites.TO_ARTICLE else 0
        if len(self._targets) >= _CACHE_SIZE:
            self._targets.clear()
        target = self._targets[raw] = kind, title, digest
        return target
