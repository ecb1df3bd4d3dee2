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
from data_prep.wiki import languages, page_xml, sites
from data_prep.wiki.hidden_text import strip_hidden
from data_prep.wiki.page_xml import MalformedPageError
from data_prep.wiki.sites import Site, Target

_NAMESPACE = re.compile(rb"<ns>\s*(-?\d+)\s*</ns>")
_REDIRECT_TITLE = re.compile(rb'<redirect\s+title="([^"<]*)"')
# A legal target has no brackets, braces, bar or line break. A label ends with the first "]]" and
# holds no "[[". Where there is no such label the match ends with the bar.
# (The bound on single brackets bounds the memory that the search takes.)
_LABEL = rb"[^\[\]]*(?:(?:\[(?!\[)|\](?!\]))[^\[\]]*){0,999}\]\]"
_LINK = re.compile(
    # The second of the four is the third's most frequent case, and faster.
    rb"\[\[([^\[\]{}|\n]+(?:(?=\]\])|(?=\|[^\[\]]*\]\])|(?=\|%b)|\|))" % _LABEL
)
# Most targets: ASCII words with single spaces, which need no cleaning at all.
_PLAIN_TARGET = re.compile(
    rb"(?=.{1,255}\Z)[A-Za-z0-9][A-Za-z0-9'(),.!-]*(?: [A-Za-z0-9'(),.!-]+)*"
)
_INTERLANGUAGE = re.compile(rb"[a-z-]+:[^ _].*(?<!\|)\Z")
_INTERWIKI = (sites.TO_INTERWIKI, "", 0)
_UNCLOSED = Target("unclosed")
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
      prefixed_digests: as `link_digests`, of the targets behind a prefix of another wiki: links
        if there is a page of this name, else to another wiki. Not counted yet.
      prefixed_titles: their titles.
    """

    namespace: int
    title: str
    redirect: Target | None = None
    link_digests: list[int] = dataclasses.field(default_factory=list)
    link_titles: list[str] = dataclasses.field(default_factory=list)
    categories: list[str] = dataclasses.field(default_factory=list)
    prefixed_digests: list[int] = dataclasses.field(default_factory=list)
    prefixed_titles: list[str] = dataclasses.field(default_factory=list)


class PageParser:
    """Parses the pages of one wiki.

    Attributes:
      counters: what was found and dropped so far; the caller takes them away.
    """

    def __init__(self, site: Site):
        self._site = site
        self._targets: dict[bytes, tuple[str, str, int]] = {}
        # A namespace of the same name comes first.
        self._language_prefixes = frozenset(
            prefix.encode("ascii")
            for prefix in languages.LANGUAGE_PREFIXES.difference(site.namespaces)
        )
        self.counters: Counter[str] = Counter()

    def parse(self, page: bytes) -> Page:
        """Parses the bytes from `<page>` to `</page>`.

        Raises:
          MalformedPageError: if title or text cannot be read.
        """
        head, revisions = page_xml.split_head(page)
        namespace, title = self._title(head)
        result = Page(namespace, title)
        if namespace != sites.ARTICLE:
            return result
        text = page_xml.wikitext(revisions)
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

    def _redirect(self, head: bytes, text: bytes) -> Target | None:
        named = _REDIRECT_TITLE.search(head)
        if named:
            return Target(*self._target(named[1])[:2])
        flagged = b"<redirect" in head
        start = text[:_REDIRECT_HEAD_BYTES].lstrip()
        if not flagged and not start.startswith((b"#", "\uff03".encode())):
            return None
        found = _REDIRECT_TEXT.match(start.decode("utf-8", "ignore"))
        if found and (flagged or found[1].casefold() in languages.REDIRECT_WORDS):
            return Target(*self._target(found[2].encode("utf-8"))[:2])
        return Target(sites.INVALID) if flagged else None

    def _links(self, text: bytes, page: Page) -> None:
        links: dict[int, str] = {}
        prefixed: dict[str, int] = {}
        categories: dict[str, None] = {}
        counters, targets = self.counters, self._targets
        found = _LINK.findall(strip_hidden(text))
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
            elif kind == sites.TO_INTERWIKI and name:
                if name in prefixed:
                    counters["links_duplicate"] += 1
                elif name == page.title:
                    counters["links_self"] += 1
                else:
                    prefixed[name] = text_digest(name)
            else:
                counters[f"links_{kind}"] += 1
        counters["categories_assigned"] += len(categories)
        page.link_digests, page.link_titles = list(links), list(links.values())
        page.prefixed_digests, page.prefixed_titles = list(prefixed.values()), list(prefixed)
        page.categories = list(categories)

    def _target(self, raw: bytes) -> tuple[str, str, int]:
        """Kind and title of a link's target, and the title's digest if it is an article."""
        if _PLAIN_TARGET.fullmatch(raw):
            kind, title = sites.TO_ARTICLE, self._site.fix_case(raw.decode("ascii"))
        elif _INTERLANGUAGE.match(raw) and raw[: raw.index(b":")] in self._language_prefixes:
            return _INTERWIKI  # each seen once: not cached
        else:
            kind, title = self._parse_target(raw)
        digest = text_digest(title) if kind == sites.TO_ARTICLE else 0
        if len(self._targets) >= _CACHE_SIZE:
            self._targets.clear()
        target = self._targets[raw] = kind, title, digest
        return target

    def _parse_target(self, raw: bytes) -> Target:
        if not raw.endswith(b"|"):
            return sites.parse_target(raw, self._site)
        # Its label does not end before the next link. Only a file's caption may hold links.
        target = sites.parse_target(raw[:-1], self._site)
        return target if target.kind == sites.TO_FILE else _UNCLOSED
