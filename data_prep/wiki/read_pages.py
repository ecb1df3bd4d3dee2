"""From ranges of dump files to columns of pages, redirects and links, by shard."""

from __future__ import annotations

import logging
import os
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np

from data_prep import problems
from data_prep.counting import count, count_all
from data_prep.shards import by_shard
from data_prep.spill import Spill
from data_prep.splits import text_digest
from data_prep.wiki import sites
from data_prep.wiki.dump_files import PageReader, Range
from data_prep.wiki.sites import Site
from data_prep.wiki.wikitext import MalformedPageError, Page, PageParser

# Redirects that lead to no article have one of these in place of a target's digest.
NO_ARTICLE = 0
ENDLESS = 1
# Threads that decompress for one reader, unless more are asked for.
MAX_THREADS = 8

_LINKS_PER_BATCH = 250_000
_PAGES_PER_BATCH = 10_000

# Outputs.
PAGES = "pages"  # shard of the title, Pages
REDIRECTS = "redirects"  # shard of the title, Redirects
LINKS = "links"  # shard of the target, Links
TITLES = "titles"  # shard of the target, Titles, only on request
OUTPUTS = (PAGES, REDIRECTS, LINKS, TITLES)


class Pages(NamedTuple):
    """Articles. An ordinal is a page's number in the input, however that is divided; uint64."""

    ordinals: np.ndarray
    digests: np.ndarray
    titles: Sequence[str]
    categories: Sequence[list[str]]


class Redirects(NamedTuple):
    """Redirect pages: ordinals, digests of their titles and of their targets, uint64."""

    ordinals: np.ndarray
    digests: np.ndarray
    targets: np.ndarray


class Links(NamedTuple):
    """Links: ordinals and digests of their pages, digests of their targets, uint64."""

    ordinals: np.ndarray
    sources: np.ndarray
    targets: np.ndarray


class Titles(NamedTuple):
    """Titles of link targets, and their digests."""

    digests: np.ndarray
    titles: Sequence[str]


NO_PAGES = Pages(np.zeros(0, np.uint64), np.zeros(0, np.uint64), [], [])

_log = logging.getLogger(__name__)


class _Batch:
    """Columns that are being filled."""

    def __init__(self) -> None:
        self.pages: list[tuple[int, int, str, list[str]]] = []
        self.redirects: list[tuple[int, int, int]] = []
        self.ordinals, self.sources, self.targets = array("Q"), array("Q"), array("Q")
        self.titles: dict[int, str] = {}

    def is_full(self) -> bool:
        return (
            len(self.targets) >= _LINKS_PER_BATCH
            or len(self.pages) + len(self.redirects) >= _PAGES_PER_BATCH
        )

    def columns(self) -> Iterator[tuple[str, np.ndarray, Any]]:
        """Yields (output, digests that choose the shard, columns)."""
        if self.pages:
            ordinals, digests, titles, categories = zip(*self.pages, strict=True)
            pages = Pages(_uint64(ordinals), _uint64(digests), titles, categories)
            yield PAGES, pages.digests, pages
        if self.redirects:
            redirects = Redirects(*map(_uint64, zip(*self.redirects, strict=True)))
            yield REDIRECTS, redirects.digests, redirects
        links = Links(*map(_uint64, (self.ordinals, self.sources, self.targets)))
        yield LINKS, links.targets, links
        named = Titles(_uint64(list(self.titles)), list(self.titles.values()))
        yield TITLES, named.digests, named


class ReadPages(beam.DoFn):
    """Reads and parses the pages of a Range.

    Args:
      site: the wiki's title rules.
      num_shards: how many shards the digests divide into.
      keep_titles: whether to emit the titles of link targets, for targets that have no page.
      num_threads: threads that decompress bzip2 blocks; 0: one for each core of the worker, up to
        `MAX_THREADS`.
      directory: the dataset directory being written, see `problems`.
      spill: takes the columns.
    """

    def __init__(
        self,
        site: Site,
        num_shards: int,
        spill: Spill,
        *,
        keep_titles: bool,
        num_threads: int,
        directory: str,
    ):
        self._site = site
        self._num_shards = num_shards
        self._spill = spill
        self._keep_titles = keep_titles
        self._num_threads = num_threads
        self._directory = directory

    def setup(self) -> None:
        """Starts the threads, and the parser with its cache of link targets."""
        self._num_threads = self._num_threads or min(MAX_THREADS, _cores())
        self._executor = ThreadPoolExecutor(self._num_threads)
        self._parser = PageParser(self._site)

    def teardown(self) -> None:
        """Ends the threads."""
        self._executor.shutdown()

    def process(self, part: Range) -> Iterator[beam.pvalue.TaggedOutput]:
        """Yields the tagged columns of the range's pages."""
        with problems.reported(self._directory):
            yield from self._read(part)

    def _read(self, part: Range) -> Iterator[beam.pvalue.TaggedOutput]:
        reader = PageReader(self._executor, self._num_threads)
        batch = _Batch()
        number = 0
        for number, raw in enumerate(reader.pages(part), start=1):
            try:
                page = self._parser.parse(raw)
            except MalformedPageError:
                count("pages_malformed", 1)
                continue
            self._add(batch, (part.number << 32) | number, page)
            if batch.is_full():
                yield from self._emit(batch)
                batch = _Batch()
        yield from self._emit(batch)
        count("pages_read", number)
        count_all(reader.counters)
        count_all(self._parser.counters)
        self._parser.counters.clear()
        if part.total < 100 or part.number % (part.total // 50) == 0:
            _log.info("read part %d of %d: %d pages", part.number + 1, part.total, number)

    def _add(self, batch: _Batch, ordinal: int, page: Page) -> None:
        if page.namespace != sites.ARTICLE:
            count("pages_other_namespace", 1)
            return
        digest = text_digest(page.title)
        if page.redirect is not None:
            target = NO_ARTICLE
            if page.redirect.kind == sites.TO_ARTICLE:
                target = text_digest(page.redirect.title)
                self._keep(batch, [target], [page.redirect.title])
            batch.redirects.append((ordinal, digest, target))
            return
        batch.pages.append((ordinal, digest, page.title, page.categories))
        targets = page.link_digests
        if self._keep_titles:
            # A title that no page has would become an item.
            count("links_interwiki", len(page.prefixed_digests))
        else:
            targets = targets + page.prefixed_digests
        batch.targets.extend(targets)
        batch.sources.extend([digest] * len(targets))
        batch.ordinals.extend([ordinal] * len(targets))
        self._keep(batch, page.link_digests, page.link_titles)

    def _keep(self, batch: _Batch, digests: list[int], titles: list[str]) -> None:
        if self._keep_titles:
            batch.titles.update(zip(digests, titles, strict=True))

    def _emit(self, batch: _Batch) -> Iterator[beam.pvalue.TaggedOutput]:
        for output, digests, columns in batch.columns():
            for keyed in self._spill.put_all(by_shard(digests, self._num_shards, columns)):
                yield beam.pvalue.TaggedOutput(output, keyed)


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _uint64(values: Any) -> np.ndarray:
    return np.array(values, np.uint64)
