"""Who links to whom: redirects followed, links between the catalog's items.

Everything is keyed by shard (see `shards`), a title being its digest; a worker holds one shard of
each collection that it joins. In the names of steps and variables a *table* is sorted by digest
and has no repetitions.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsIter, TaggedOutput

from data_prep import splits
from data_prep.counting import count
from data_prep.shards import by_shard, concatenate, find
from data_prep.wiki import read_pages
from data_prep.wiki.read_pages import ENDLESS, NO_ARTICLE

MAX_REDIRECT_HOPS = 4

_log = logging.getLogger(__name__)
_Keyed = tuple[int, Any]


@dataclasses.dataclass(frozen=True)
class GraphOptions:
    """What becomes an item and a link.

    Attributes:
      num_shards: how many shards the digests divide into.
      link_targets: `in_dump` (only articles of the dump are items) or `all` (link targets
        without a page become items too).
      min_in_links: how many different articles must link to a target without a page.
      split: which pairs are for training.
    """

    num_shards: int
    link_targets: str
    min_in_links: int
    split: splits.SplitRule


class Graph(NamedTuple):
    """Collections of the graph, all keyed by shard.

    Attributes:
      items: (digest table, titles, lists of categories); an item's position in its shard plus
        the sizes of the shards before it is its row.
      item_counts: (shard, number of items), not keyed further.
      train_counts: each item's number of training pairs as their item.
      links: by shard of the source, (source digests, target digests, targets' positions).
    """

    items: beam.PCollection
    item_counts: beam.PCollection
    train_counts: beam.PCollection
    links: beam.PCollection


class BuildGraph(beam.PTransform):
    """Makes a Graph of the outputs of `read_pages.ReadPages`."""

    def __init__(self, options: GraphOptions):
        super().__init__()
        self._options = options

    def expand(self, parsed: Mapping[str, beam.PCollection]) -> Graph:
        """Tables of pages, then redirects, then links."""
        options = self._options
        nodes = (
            {tag: parsed[tag] for tag in (read_pages.PAGES, read_pages.REDIRECTS)}
            | "GroupPages" >> beam.CoGroupByKey()
            | "FirstOfTitle"
            >> beam.ParDo(_first_of_title).with_outputs("articles", "redirects", "known", "dropped")
        )
        finals = self._follow(nodes.redirects, nodes.known)
        links = (
            {"links": parsed[read_pages.LINKS], "known": nodes.known, "finals": finals}
            | "GroupLinksByTarget" >> beam.CoGroupByKey()
            | "ResolveLinks" >> beam.FlatMap(_resolve_links, AsIter(nodes.dropped), options)
        )
        targets = (
            {
                "links": links,
                "articles": nodes.articles,
                "titles": parsed[read_pages.TITLES],
            }
            | "GroupLinksByArticle" >> beam.CoGroupByKey()
            | "ChooseItems"
            >> beam.ParDo(_choose_items, options).with_outputs(
                "items", "item_counts", "train_counts", "links"
            )
        )
        return Graph(targets.items, targets.item_counts, targets.train_counts, targets.links)

    def _follow(self, redirects: beam.PCollection, known: beam.PCollection) -> beam.PCollection:
        """Each redirect's end: by shard of the redirect, (digests, ends, whether they exist)."""
        shards = self._options.num_shards
        pending = redirects | "StartRedirects" >> beam.FlatMap(_start_redirects, shards)
        finals = []
        for hop in range(1, MAX_REDIRECT_HOPS + 1):
            step = (
                {"pending": pending, "known": known}
                | f"GroupRedirects{hop}" >> beam.CoGroupByKey()
                | f"FollowRedirects{hop}"
                >> beam.ParDo(_follow_once, shards, hop == MAX_REDIRECT_HOPS).with_outputs(
                    "finals", "pending"
                )
            )
            finals.append(step.finals)
            pending = step.pending
        return finals | "Redirects" >> beam.Flatten()


def _first_of_title(element: _Keyed) -> Iterator[TaggedOutput]:
    """Keeps the first page of each title; articles and redirects of a shard."""
    shard, groups = element
    pages = list(groups[read_pages.PAGES])
    ordinals, digests = concatenate([page[:2] for page in pages], 2)
    titles = [title for page in pages for title in page[2]]
    categories = [names for page in pages for names in page[3]]
    redirects = concatenate(groups[read_pages.REDIRECTS], 3)
    all_digests = np.concatenate([digests, redirects[1]])
    order = np.lexsort((np.concatenate([ordinals, redirects[0]]), all_digests))
    first = order[np.unique(all_digests[order], return_index=True)[1]]  # by digest
    articles = first[first < len(digests)]
    kept = first[first >= len(digests)] - len(digests)
    is_dropped = np.ones(len(digests), bool)
    is_dropped[articles] = False
    count("articles", len(articles))
    count("redirects", len(kept))
    count("pages_duplicate", len(all_digests) - len(first))
    title_of = dict(zip(digests[articles].tolist(), [titles[i] for i in articles], strict=True))
    collisions = sum(
        title_of.get(int(digests[i]), titles[i]) != titles[i] for i in np.flatnonzero(is_dropped)
    )
    count("pages_digest_collision", collisions)
    table = digests[articles]
    redirect_table, targets = redirects[1][kept], redirects[2][kept]
    value = table, [titles[i] for i in articles], [categories[i] for i in articles]
    yield TaggedOutput("articles", (shard, value))
    yield TaggedOutput("redirects", (shard, (redirect_table, targets)))
    yield TaggedOutput("known", (shard, (table, redirect_table, targets)))
    if is_dropped.any():
        yield TaggedOutput("dropped", ordinals[is_dropped])


def _start_redirects(element: _Keyed, num_shards: int) -> Iterator[_Keyed]:
    _, (origins, targets) = element
    return by_shard(targets, num_shards, origins, targets)


def _follow_once(element: _Keyed, num_shards: int, is_last: bool) -> Iterator[TaggedOutput]:
    """Goes one redirect further, where a redirect's target is one."""
    _, groups = element
    origins, targets = concatenate(groups["pending"], 2)
    articles, redirects, redirect_targets = concatenate(groups["known"], 3)
    _, exists = find(targets, articles)
    position, goes_on = find(targets, redirects)
    following = targets.copy()
    following[goes_on] = redirect_targets[position[goes_on]]
    # Back at its origin, or too long a chain to be told from a loop.
    endless = goes_on & ((following == origins) | is_last)
    following[endless] = ENDLESS
    ends = ~goes_on | endless
    for keyed in by_shard(origins[ends], num_shards, origins[ends], following[ends], exists[ends]):
        yield TaggedOutput("finals", keyed)
    for keyed in by_shard(following[~ends], num_shards, origins[~ends], following[~ends]):
        yield TaggedOutput("pending", keyed)


def _resolve_links(
    element: _Keyed, dropped: Iterable[np.ndarray], options: GraphOptions
) -> Iterator[_Keyed]:
    """Replaces redirects by their ends; yields by shard of the target, (sources, targets)."""
    shard, groups = element
    ordinals, sources, targets = concatenate(groups["links"], 3)
    keep = ~np.isin(ordinals, concatenate([(part,) for part in dropped], 1)[0])
    count("links_of_duplicate_page", len(keep) - keep.sum())
    sources, targets = sources[keep], targets[keep]
    articles, _, _ = concatenate(groups["known"], 3)
    _, exists = find(targets, articles)
    origins, ends, end_exists = concatenate(groups["finals"], 3)
    order = np.argsort(origins)
    position, redirected = find(targets, origins[order])
    position = order[position[redirected]] if len(order) else position[redirected]
    exists[redirected] = end_exists[position].astype(bool)
    targets = targets.copy()
    targets[redirected] = ends[position]
    endless = redirected & (targets == ENDLESS)
    elsewhere = redirected & (targets == NO_ARTICLE)
    missing = ~(exists | endless | elsewhere)
    is_self = (sources == targets) & ~(endless | elsewhere)
    count("links_through_redirect", redirected.sum())
    count("links_redirect_loop", endless.sum())
    count("links_redirect_no_article", elsewhere.sum())
    count("links_self", is_self.sum())
    keep = ~(endless | elsewhere | is_self)
    if options.link_targets == "in_dump":
        count("links_to_missing_page", (missing & keep).sum())
        keep &= ~missing
    _log.info("resolved the links to shard %d of %d", shard + 1, options.num_shards)
    return by_shard(targets[keep], options.num_shards, sources[keep], targets[keep])


def _choose_items(element: _Keyed, options: GraphOptions) -> Iterator[TaggedOutput]:
    """Drops repeated links and chooses the items among the targets without a page."""
    shard, groups = element
    sources, targets = concatenate(groups["links"], 2)
    order = np.lexsort((sources, targets))
    sources, targets = sources[order], targets[order]
    is_first = np.ones(len(targets), bool)
    is_first[1:] = (targets[1:] != targets[:-1]) | (sources[1:] != sources[:-1])
    count("links_duplicate", len(is_first) - is_first.sum())
    sources, targets = sources[is_first], targets[is_first]
    table, titles, categories = next(iter(groups["articles"]), (np.zeros(0, np.uint64), [], []))
    if options.link_targets == "all":
        table, titles, categories = _add_missing(
            (table, titles, categories), targets, groups["titles"], options.min_in_links
        )
    position, is_item = find(targets, table)
    count("links_to_missing_page", len(is_item) - is_item.sum())
    sources, targets, position = sources[is_item], targets[is_item], position[is_item]
    count("links", len(targets))
    is_train = splits.pair_splits(sources, targets, options.split) == splits.TRAIN
    train_counts = np.bincount(position[is_train], minlength=len(table))
    yield TaggedOutput("items", (shard, (table, titles, categories)))
    yield TaggedOutput("item_counts", (shard, len(table)))
    yield TaggedOutput("train_counts", (shard, train_counts))
    for keyed in by_shard(sources, options.num_shards, sources, targets, position):
        yield TaggedOutput("links", keyed)


def _add_missing(
    articles: Any, targets: np.ndarray, title_batches: Iterable[Any], min_in_links: int
) -> tuple[np.ndarray, list[str], list[list[str]]]:
    table, titles, categories = articles
    digests, in_links = np.unique(targets, return_counts=True)
    _, exists = find(digests, table)
    added = digests[~exists & (in_links >= min_in_links)]
    count("items_without_page", len(added))
    wanted = set(added.tolist())
    title_of: dict[int, str] = {}
    for batch_digests, batch_titles in title_batches:
        for digest, title in zip(batch_digests.tolist(), batch_titles, strict=True):
            if digest in wanted:
                # The smaller of two titles with one digest, whatever the order of the batches.
                title_of[digest] = min(title, title_of.get(digest, title))
    digests = np.concatenate([table, added])
    order = np.argsort(digests)
    titles = titles + [title_of[digest] for digest in added.tolist()]
    categories = categories + [[]] * len(added)
    return digests[order], [titles[i] for i in order], [categories[i] for i in order]
