"""SQL tables joined: from numbers of pages and targets to what `link_graph` takes.

Two joins, both keyed by shard: links and memberships with their targets, then all that belongs to
a page with the page. A worker holds one shard of the collections that it joins, and the names of
the hidden categories.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsIter, TaggedOutput

from data_prep.counting import count
from data_prep.shards import Keyed, by_shard, concatenate, find, take
from data_prep.spill import Spill
from data_prep.wiki.read_pages import (
    LINKS,
    NO_ARTICLE,
    PAGES,
    REDIRECTS,
    TITLES,
    Links,
    Pages,
    Redirects,
)
from data_prep.wiki.read_tables import (
    ARTICLE,
    CATEGORY_NUMBERS,
    CATEGORY_PAGES,
    CATEGORY_ROWS,
    DROPPED_KINDS,
    HIDDEN_PAGES,
    LINK_NUMBERS,
    LINK_ROWS,
    PAGE_ROWS,
    REDIRECT_ROWS,
    TARGET_NAMES,
    TARGET_ROWS,
    UNKNOWN,
    Ids,
    LinkRows,
    Named,
    Numbers,
    PageRows,
    RedirectRows,
    TargetRows,
    id_digests,
)

_RESOLVED_LINKS, _RESOLVED_CATEGORIES = "resolved_links", "resolved_categories"


class JoinTables(beam.PTransform):
    """Turns the outputs of `read_tables.ReadTable` into those of `read_pages.ReadPages`.

    Args:
      num_shards: how many shards the digests divide into.
      spill: takes the columns.
      drop_hidden: whether to leave out the hidden categories.
    """

    def __init__(self, num_shards: int, spill: Spill, *, drop_hidden: bool):
        super().__init__()
        self._num_shards = num_shards
        self._spill = spill
        self._drop_hidden = drop_hidden

    def expand(self, read: Mapping[str, beam.PCollection]) -> dict[str, beam.PCollection]:
        """Targets, hidden categories, then pages."""
        by_target = (TARGET_ROWS, TARGET_NAMES, LINK_NUMBERS, CATEGORY_NUMBERS)
        resolved = (
            {tag: read[tag] for tag in by_target}
            | "GroupByTarget" >> beam.CoGroupByKey()
            | "ResolveTargets"
            >> beam.ParDo(_resolve_targets, self._num_shards, self._spill).with_outputs(
                _RESOLVED_LINKS, _RESOLVED_CATEGORIES
            )
        )
        hidden = (
            {tag: read[tag] for tag in (CATEGORY_PAGES, HIDDEN_PAGES)}
            | "GroupHidden" >> beam.CoGroupByKey()
            | "HiddenNames" >> beam.FlatMap(_hidden_names)
        )
        by_page = (PAGE_ROWS, REDIRECT_ROWS, LINK_ROWS, CATEGORY_ROWS)
        joined = (
            {
                **{tag: read[tag] for tag in by_page},
                _RESOLVED_LINKS: resolved[_RESOLVED_LINKS],
                _RESOLVED_CATEGORIES: resolved[_RESOLVED_CATEGORIES],
            }
            | "GroupByPage" >> beam.CoGroupByKey()
            | "JoinPages"
            >> beam.ParDo(
                _join_pages, AsIter(hidden), self._num_shards, self._spill, self._drop_hidden
            ).with_outputs(PAGES, REDIRECTS, LINKS)
        )
        return {tag: joined[tag] for tag in (PAGES, REDIRECTS, LINKS)} | {TITLES: read[TITLES]}


def _resolve_targets(element: Keyed, num_shards: int, spill: Spill) -> Iterator[TaggedOutput]:
    """Replaces numbers of targets by digests of articles and names of categories."""
    _, groups = element
    targets = _first_of_id(concatenate(TargetRows, groups[TARGET_ROWS]))
    links = concatenate(Numbers, groups[LINK_NUMBERS])
    kinds, digests = np.full(len(links.pages), UNKNOWN, np.uint8), np.zeros_like(links.targets)
    position, is_known = find(links.targets, targets.ids)
    kinds[is_known] = targets.kinds[position[is_known]]
    digests[is_known] = targets.digests[position[is_known]]
    rows = LinkRows(links.pages, kinds, digests)
    for keyed in spill.put_all(by_shard(id_digests(rows.pages), num_shards, rows)):
        yield TaggedOutput(_RESOLVED_LINKS, keyed)

    names = _first_of_id(concatenate(Named, groups[TARGET_NAMES]))
    members = concatenate(Numbers, groups[CATEGORY_NUMBERS])
    position, is_known = find(members.targets, names.ids)
    found = [
        names.names[at] if known else ""
        for at, known in zip(position.tolist(), is_known.tolist(), strict=True)
    ]
    named = Named(members.pages, found)
    for keyed_names in spill.put_all(by_shard(id_digests(named.ids), num_shards, named)):
        yield TaggedOutput(_RESOLVED_CATEGORIES, keyed_names)


def _hidden_names(element: Keyed) -> Iterator[str]:
    _, groups = element
    pages = concatenate(Named, groups[CATEGORY_PAGES])
    hidden = np.unique(concatenate(Ids, groups[HIDDEN_PAGES]).ids)
    _, is_hidden = find(pages.ids, hidden)
    for at in np.flatnonzero(is_hidden).tolist():
        yield pages.names[at]


def _join_pages(
    element: Keyed, hidden: Iterable[str], num_shards: int, spill: Spill, drop_hidden: bool
) -> Iterator[TaggedOutput]:
    """Pages with their categories, redirects with their targets, links with their pages' titles."""
    _, groups = element
    read = concatenate(PageRows, groups[PAGE_ROWS])
    pages = _first_of_id(read)
    count("pages_duplicate", len(read.ids) - len(pages.ids))
    is_redirect = pages.is_redirect.astype(bool)
    articles, redirects = take(pages, ~is_redirect), take(pages, is_redirect)

    targets = _first_of_id(concatenate(RedirectRows, groups[REDIRECT_ROWS]))
    position, is_known = find(redirects.ids, targets.ids)
    ends = np.full(len(redirects.ids), NO_ARTICLE, np.uint64)
    ends[is_known] = targets.targets[position[is_known]]
    chains = Redirects(redirects.ids, redirects.digests, ends)
    for keyed in spill.put_all(by_shard(chains.digests, num_shards, chains)):
        yield TaggedOutput(REDIRECTS, keyed)

    members = concatenate(Named, [*groups[CATEGORY_ROWS], *groups[_RESOLVED_CATEGORIES]])
    categories = _categories(members, articles.ids, frozenset(hidden), drop_hidden)
    found = Pages(articles.ids, articles.digests, articles.titles, categories)
    for keyed_pages in spill.put_all(by_shard(found.digests, num_shards, found)):
        yield TaggedOutput(PAGES, keyed_pages)

    links = _links_of(
        concatenate(LinkRows, [*groups[LINK_ROWS], *groups[_RESOLVED_LINKS]]), articles
    )
    for keyed_links in spill.put_all(by_shard(links.targets, num_shards, links)):
        yield TaggedOutput(LINKS, keyed_links)


def _links_of(rows: LinkRows, articles: PageRows) -> Links:
    """The links from articles to articles; the others are counted."""
    position, is_known = find(rows.pages, articles.ids)
    count("links_of_no_article", len(is_known) - is_known.sum())
    count("links_found", is_known.sum())
    for kind, counter in DROPPED_KINDS.items():
        count(counter, ((rows.kinds == kind) & is_known).sum())
    keep = is_known & (rows.kinds == ARTICLE)
    sources = articles.digests[position[keep]] if len(articles.ids) else rows.digests[:0]
    return Links(rows.pages[keep], sources, rows.digests[keep])


def _categories(
    members: Named, articles: np.ndarray, hidden: frozenset[str], drop_hidden: bool
) -> list[list[str]]:
    """The names of each article's categories, in their order, each once."""
    position, is_known = find(members.ids, articles)
    count("links_of_no_article", len(is_known) - is_known.sum())
    of_page: list[set[str]] = [set() for _ in range(len(articles))]
    num_hidden = num_unnamed = 0
    for at in np.flatnonzero(is_known).tolist():
        name = members.names[at]
        num_unnamed += not name
        if name and name in hidden:
            num_hidden += 1
            name = "" if drop_hidden else name
        if name:
            of_page[position[at]].add(name)
    count("links_found", is_known.sum())
    count("category_links", is_known.sum() - num_unnamed)
    count("links_unknown_target", num_unnamed)
    count("category_links_hidden", num_hidden)
    count("categories_assigned", sum(map(len, of_page)))
    return [sorted(names) for names in of_page]


def _first_of_id(columns: Any) -> Any:
    """The rows sorted by their numbers, `ids`, the first column, each once.

    Of several rows with a number, that with the smallest other numbers is taken, so that their
    order in the input changes nothing.
    """
    keys = [column for column in reversed(columns) if isinstance(column, np.ndarray)]
    order = np.lexsort(keys)
    first = np.unique(columns.ids[order], return_index=True)[1]
    return take(columns, order[first])
