"""From SQL tables to columns of pages, redirects, links and categories, by shard.

A row is keyed by the number of the page or of the link target that it is to be joined by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import TaggedOutput

from data_prep import problems
from data_prep.counting import count, count_all
from data_prep.shards import by_shard, concatenate
from data_prep.spill import Spill
from data_prep.splits import scramble, utf8_digests
from data_prep.wiki import sites
from data_prep.wiki.read_pages import NO_ARTICLE, TITLES, Titles
from data_prep.wiki.sql_dump import TableFile, read_rows
from data_prep.wiki.sql_rows import Rows
from data_prep.wiki.sql_tokens import SqlError
from data_prep.wiki.titles import decoded_titles, stored_title, stored_titles
from ssl_recsys.errors import InputError

# Kinds of link targets, and the counters of those that are no articles.
ARTICLE, FILE, NAMESPACE, INVALID, UNKNOWN = range(5)
DROPPED_KINDS = {
    FILE: "links_file",
    NAMESPACE: "links_other_namespace",
    INVALID: "links_invalid",
    UNKNOWN: "links_unknown_target",
}

# Outputs; the shard is that of the page's number, or of the target's where it says so.
PAGE_ROWS, CATEGORY_PAGES, HIDDEN_PAGES = "page_rows", "category_pages", "hidden_pages"
REDIRECT_ROWS, LINK_ROWS, CATEGORY_ROWS = "redirect_rows", "link_rows", "category_rows"
TARGET_ROWS, TARGET_NAMES = "target_rows", "target_names"  # by target
LINK_NUMBERS, CATEGORY_NUMBERS = "link_numbers", "category_numbers"  # by target
OUTPUTS = (
    PAGE_ROWS, CATEGORY_PAGES, HIDDEN_PAGES, REDIRECT_ROWS, LINK_ROWS, CATEGORY_ROWS, TARGET_ROWS,
    TARGET_NAMES, LINK_NUMBERS, CATEGORY_NUMBERS, TITLES,
)  # fmt: skip

_ROWS_PER_BATCH = 250_000
_CACHE_SIZE = 200_000


class PageRows(NamedTuple):
    """Pages of the article namespace: numbers, digests of titles, titles, whether redirects."""

    ids: np.ndarray
    digests: np.ndarray
    titles: Sequence[str]
    is_redirect: np.ndarray


class Named(NamedTuple):
    """Numbers of pages or targets, and names of categories."""

    ids: np.ndarray
    names: Sequence[str]


class Ids(NamedTuple):
    """Numbers of pages."""

    ids: np.ndarray


class RedirectRows(NamedTuple):
    """Numbers of redirect pages, and digests of their targets or NO_ARTICLE."""

    ids: np.ndarray
    targets: np.ndarray


class TargetRows(NamedTuple):
    """Numbers of link targets, their kinds, and digests of the articles among them."""

    ids: np.ndarray
    kinds: np.ndarray
    digests: np.ndarray


class LinkRows(NamedTuple):
    """Links: numbers of their pages, kinds of their targets, digests of the articles among them."""

    pages: np.ndarray
    kinds: np.ndarray
    digests: np.ndarray


class Numbers(NamedTuple):
    """Links or memberships: numbers of their pages and of their targets."""

    pages: np.ndarray
    targets: np.ndarray


def id_digests(ids: np.ndarray) -> np.ndarray:
    """Digests of numbers, which spread them evenly over shards; uint64."""
    return scramble(ids.astype(np.uint64))


class ReadTable(beam.DoFn):
    """Reads the rows of a TableFile.

    Args:
      num_shards: how many shards the digests divide into.
      keep_titles: whether to emit the titles of link targets, for targets that have no page.
      has_targets: whether the linktarget table is read, so that numbers of targets have a meaning.
      find_hidden: whether to look for hidden categories.
      directory: the dataset directory being written, see `problems`.
      spill: takes the columns.
    """

    def __init__(
        self,
        num_shards: int,
        spill: Spill,
        *,
        keep_titles: bool,
        has_targets: bool,
        find_hidden: bool,
        directory: str,
    ):
        self._num_shards = num_shards
        self._spill = spill
        self._keep_titles = keep_titles
        self._has_targets = has_targets
        self._find_hidden = find_hidden
        self._directory = directory
        self._names: dict[bytes, str] = {}

    def process(self, file: TableFile) -> Iterator[TaggedOutput]:
        """Yields the tagged columns of the file's rows."""
        with problems.reported(self._directory):
            yield from self._read(file)

    def _read(self, file: TableFile) -> Iterator[TaggedOutput]:
        read: dict[str, Callable[[Rows], Iterator[tuple[str, Any]]]] = {
            "page": self._pages,
            "pagelinks": self._links,
            "redirect": self._redirects,
            "linktarget": self._targets,
            "categorylinks": self._categories,
            "page_props": self._hidden,
        }
        counters: Counter[str] = Counter()
        batches: dict[str, list[Any]] = {}
        sizes: Counter[str] = Counter()
        for rows in read_rows(file, counters):
            try:
                found = list(read[file.table](rows))
            except SqlError as error:
                raise InputError(f"{file.source.path}: {error}; fetch the file again") from error
            for output, columns in found:
                batches.setdefault(output, []).append(columns)
                sizes[output] += len(columns[0])
                if sizes[output] >= _ROWS_PER_BATCH:
                    yield from self._emit(output, batches.pop(output))
                    sizes[output] = 0
        for output, parts in batches.items():
            yield from self._emit(output, parts)
        count_all(counters)

    def _emit(self, output: str, parts: list[Any]) -> Iterator[TaggedOutput]:
        columns = concatenate(type(parts[0]), parts)
        if output == TITLES:
            digests = columns.digests
        else:
            is_number = output in (LINK_NUMBERS, CATEGORY_NUMBERS)
            digests = id_digests(columns.targets if is_number else columns[0])
        for keyed in self._spill.put_all(by_shard(digests, self._num_shards, columns)):
            yield TaggedOutput(output, keyed)

    def _pages(self, rows: Rows) -> Iterator[tuple[str, Any]]:
        ids, namespaces = _ids(rows, "page_id"), rows.integers("page_namespace")
        count("pages_read", len(ids))
        is_article = namespaces == sites.ARTICLE
        count("pages_other_namespace", len(ids) - is_article.sum())
        articles = np.flatnonzero(is_article)
        titles = stored_titles(rows.strings("page_title", articles))
        known = [title for title in titles if title]
        count("pages_malformed", len(titles) - len(known))
        if len(known) < len(titles):
            articles = articles[np.fromiter(map(bool, titles), bool, len(titles))]
        is_redirect = rows.integers("page_is_redirect")[articles]
        digests = utf8_digests(known)
        yield PAGE_ROWS, PageRows(ids[articles], digests, decoded_titles(known), is_redirect)
        if self._find_hidden:
            where = np.flatnonzero(namespaces == sites.CATEGORY)
            names = stored_titles(rows.strings("page_title", where))
            yield CATEGORY_PAGES, Named(ids[where], decoded_titles(names))

    def _hidden(self, rows: Rows) -> Iterator[tuple[str, Any]]:
        yield HIDDEN_PAGES, Ids(_ids(rows, "pp_page")[rows.equal("pp_propname", b"hiddencat")])

    def _redirects(self, rows: Rows) -> Iterator[tuple[str, Any]]:
        ids, namespaces = _ids(rows, "rd_from"), rows.integers("rd_namespace")
        is_local = namespaces == sites.ARTICLE
        if "rd_interwiki" in rows.names:
            is_local &= np.array([not wiki for wiki in rows.strings("rd_interwiki")], bool)
        where = np.flatnonzero(is_local)
        kinds, digests, named = self._articles(rows.strings("rd_title", where))
        targets = np.full(len(ids), NO_ARTICLE, np.uint64)
        targets[where] = np.where(kinds == ARTICLE, digests, np.uint64(NO_ARTICLE))
        yield REDIRECT_ROWS, RedirectRows(ids, targets)
        yield from named

    def _targets(self, rows: Rows) -> Iterator[tuple[str, Any]]:
        ids, namespaces = _ids(rows, "lt_id"), rows.integers("lt_namespace")
        kinds, digests, named = self._kinds(rows, namespaces, "lt_title", are_distinct=True)
        yield TARGET_ROWS, TargetRows(ids, kinds, digests)
        yield from named
        where = np.flatnonzero(namespaces == sites.CATEGORY)
        names = stored_titles(rows.strings("lt_title", where))
        yield TARGET_NAMES, Named(ids[where], decoded_titles(names))

    def _links(self, rows: Rows) -> Iterator[tuple[str, Any]]:
        pages = _ids(rows, "pl_from")
        count("link_rows", len(pages))
        where = np.arange(len(pages))
        if "pl_from_namespace" in rows.names:
            where = np.flatnonzero(rows.integers("pl_from_namespace") == sites.ARTICLE)
            count("links_of_no_article", len(pages) - len(where))
        by_number, by_title = self._by_number(rows, "pl_target_id", "pl_title", where)
        if len(by_number):
            targets = _ids(rows, "pl_target_id")[by_number]
            yield LINK_NUMBERS, Numbers(pages[by_number], targets)
        if len(by_title):
            namespaces = rows.integers("pl_namespace")[by_title]
            kinds, digests, named = self._kinds(rows, namespaces, "pl_title", by_title)
            yield LINK_ROWS, LinkRows(pages[by_title], kinds, digests)
            yield from named

    def _categories(self, rows: Rows) -> Iterator[tuple[str, Any]]:
        pages = _ids(rows, "cl_from")
        count("link_rows", len(pages))
        where = np.arange(len(pages))
        by_number, by_title = self._by_number(rows, "cl_target_id", "cl_to", where)
        if len(by_number):
            targets = _ids(rows, "cl_target_id")[by_number]
            yield CATEGORY_NUMBERS, Numbers(pages[by_number], targets)
        if len(by_title):
            names = [self._name(raw) for raw in rows.strings("cl_to", by_title)]
            yield CATEGORY_ROWS, Named(pages[by_title], names)

    def _by_number(
        self, rows: Rows, number: str, title: str, where: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which of the rows `where` have their target by number, and which by title alone."""
        if not self._has_targets or number not in rows.names:
            return where[:0], where
        is_known = rows.integers(number, null=0)[where] > 0
        if title not in rows.names and not is_known.all():
            raise SqlError(f"a row has no {number}")
        return where[is_known], where[~is_known]

    def _kinds(
        self,
        rows: Rows,
        namespaces: np.ndarray,
        title: str,
        where: np.ndarray | None = None,
        *,
        are_distinct: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, list[tuple[str, Any]]]:
        """Kinds and digests of targets, and the titles to emit; `namespaces` are of `where`."""
        where = np.arange(len(namespaces)) if where is None else where
        kinds = np.full(len(where), NAMESPACE, np.uint8)
        kinds[np.isin(namespaces, (sites.FILE, sites.MEDIA))] = FILE
        digests = np.zeros(len(where), np.uint64)
        articles = np.flatnonzero(namespaces == sites.ARTICLE)
        read = self._distinct_articles if are_distinct else self._articles
        kinds[articles], digests[articles], named = read(rows.strings(title, where[articles]))
        return kinds, digests, named

    def _articles(
        self, raws: Sequence[bytes | None]
    ) -> tuple[np.ndarray, np.ndarray, list[tuple[str, Any]]]:
        """Kinds and digests of titles in the article namespace, and the titles to emit."""
        place: dict[bytes | None, int] = {}
        index = np.fromiter(
            (place.setdefault(raw, len(place)) for raw in raws), np.int64, len(raws)
        )
        kinds, digests, named = self._distinct_articles(list(place))
        return kinds[index], digests[index], named

    def _distinct_articles(
        self, raws: Sequence[bytes | None]
    ) -> tuple[np.ndarray, np.ndarray, list[tuple[str, Any]]]:
        """As `_articles`, where few titles or none are there twice."""
        titles = stored_titles(raws)
        known = [title for title in titles if title]
        if len(known) == len(titles):
            is_known = np.ones(len(titles), bool)
        elif b"" in raws:
            raise SqlError("a link has no title; name the linktarget table by --linktarget, too")
        else:
            is_known = np.fromiter(map(bool, titles), bool, len(titles))
        digests = np.zeros(len(titles), np.uint64)
        digests[is_known] = utf8_digests(known)
        kinds = np.where(is_known, np.uint8(ARTICLE), np.uint8(INVALID))
        named = []
        if self._keep_titles:
            named = [(TITLES, Titles(digests[is_known], decoded_titles(known)))]
        return kinds, digests, named

    def _name(self, raw: bytes | None) -> str:
        """The name of a category; one object for all that have it."""
        if raw is None:
            return ""
        name = self._names.get(raw)
        if name is None:
            if len(self._names) >= _CACHE_SIZE:
                self._names.clear()
            name = self._names[raw] = stored_title(raw)
        return name


def _ids(rows: Rows, name: str) -> np.ndarray:
    return rows.integers(name, null=0).astype(np.uint64)
