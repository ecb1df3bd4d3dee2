"""From ranges of dump files to columns of pages, redirects and links, by shard."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import apache_beam as beam
import numpy as np

from data_prep.counting import count, count_all
from data_prep.shards import by_shard, group_indices, range_index
from data_prep.splits import text_digest
from data_prep.wiki import sites
from data_prep.wiki.dump_files import PageReader, Range
from data_prep.wiki.sites import Site
from data_prep.wiki.wikitext import MalformedPageError, Page, PageParser

# Redirects that lead to no article have one of these in place of a target's digest.
NO_ARTICLE = 0
ENDLESS = 1

_LINKS_PER_BATCH = 250_000
_PAGES_PER_BATCH = 10_000

# Outputs. An ordinal is a page's place in the input, the same however that is divided.
PAGES = "pages"  # shard of the title, (ordinals, digests, titles, lists of categories)
REDIRECTS = "redirects"  # shard of the title, (ordinals, digests, targets' digests)
LINKS = "links"  # shard of the target, (sources' ordinals, sources' digests, targets' digests)
TITLES = "titles"  # shard of the target, (targets' digests, titles), only on request
OUTPUTS = (PAGES, REDIRECTS, LINKS, TITLES)

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


class ReadPages(beam.DoFn):
    """Reads and parses the pages of a Range.

    Args:
      site: the wiki's title rules.
      num_shards: how many shards the digests divide into.
      keep_titles: whether to emit the titles of link targets, for targets that have no page.
      num_threads: threads that decompress bzip2 blocks.
    """

    def __init__(self, site: Site, num_shards: int, *, keep_titles: bool, num_threads: int):
        self._site = site
        self._num_shards = num_shards
        self._keep_titles = keep_titles
        self._num_threads = num_threads

    def setup(self) -> None:
        """Starts the threads, and the parser with its cache of link targets."""
        self._executor = ThreadPoolExecutor(self._num_threads)
        self._parser = PageParser(self._site)

    def teardown(self) -> None:
        """Ends the threads."""
        self._executor.shutdown()

    def process(self, part: Range) -> Iterator[beam.pvalue.TaggedOutput]:
        """Yields the tagged columns of the range's pages."""
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
        shards = self._num_shards
        if batch.pages:
            ordinals, digests, titles, categories = zip(*batch.pages, strict=True)
            columns = _uint64(ordinals), _uint64(digests)
            for shard, where in group_indices(range_index(columns[1], shards), shards):
                value = (
                    *(column[where] for column in columns),
                    [titles[index] for index in where],
                    [categories[index] for index in where],
                )
                yield beam.pvalue.TaggedOutput(PAGES, (shard, value))
        redirects = [_uint64(column) for column in zip(*batch.redirects, strict=True)]
        if redirects:
            for keyed in by_shard(redirects[1], shards, *redirects):
                yield beam.pvalue.TaggedOutput(REDIRECTS, keyed)
        links = [_uint64(column) for column in (batch.ordinals, batch.sources, batch.targets)]
        for keyed in by_shard(links[2], shards, *links):
            yield beam.pvalue.TaggedOutput(LINKS, keyed)
        targets, target_titles = _uint64(list(batch.titles)), list(batch.titles.values())
        for shard, where in group_indices(range_index(targets, shards), shards):
            named = targets[where], [target_titles[index] for index in where]
            yield beam.pvalue.TaggedOutput(TITLES, (shard, named))


def _uint64(values: Any) -> np.ndarray:
    return np.array(values, np.uint64)
