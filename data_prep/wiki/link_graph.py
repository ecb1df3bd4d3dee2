"""Who links to whom: redirects followed, links between the catalog's items.

Everything is keyed by shard (see `shards`), a title being its digest; a worker holds one shard of
each collection that it joins. In the names of steps and variables a *table* is sorted by digest
and has no repetitions.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsIter, TaggedOutput

from data_prep.counting import count
from data_prep.job_options import JobOptions
from data_prep.shards import Keyed, by_shard, concatenate, find, take
from data_prep.spill import Spill, first, get
from data_prep.splits import TRAIN
from data_prep.wiki import read_pages
from data_prep.wiki.link_splits import BY_PAGE, SPLITS, pair_splits
from data_prep.wiki.read_pages import ENDLESS, NO_ARTICLE, NO_PAGES, Links, Pages, Redirects, Titles
from ssl_recsys.options import option

MAX_REDIRECT_HOPS = 4

_log = logging.getLogger(__name__)
IN_DUMP, ALL = LINK_TARGETS = ("in_dump", "all")

_NONE = np.zeros(0, np.uint64)


class Articles(NamedTuple):
    """Articles (or items) of a shard as columns, by digest and each once."""

    digests: np.ndarray
    titles: Sequence[str]
    categories: Sequence[list[str]]


class Known(NamedTuple):
    """Digests of a shard's `[articles]` and `[redirects]`, sorted, and `[redirects]` targets."""

    articles: np.ndarray
    redirects: np.ndarray
    targets: np.ndarray


class Chains(NamedTuple):
    """Redirects that are being followed: digests of their beginnings and of the next pages."""

    origins: np.ndarray
    targets: np.ndarray


class Ends(NamedTuple):
    """Redirects followed to the end: digests, and whether there is an article."""

    origins: np.ndarray
    ends: np.ndarray
    exist: np.ndarray


class ResolvedLinks(NamedTuple):
    """Links without redirects: digests."""

    sources: np.ndarray
    targets: np.ndarray


class ItemLinks(NamedTuple):
    """Links between items: digests, and positions of the targets in their shards."""

    sources: np.ndarray
    targets: np.ndarray
    positions: np.ndarray


@dataclasses.dataclass(frozen=True)
class GraphOptions(JobOptions):
    """Which pages become items, and which pairs are for training."""

    link_targets: str = option(
        IN_DUMP,
        "in_dump: items are the dump's articles. all: link targets that have no page in the dump "
        "become items too, with a title and no categories.",
        choices=LINK_TARGETS,
    )
    min_in_links: int = option(
        5, "With --link_targets=all: articles that must link to such a target.", at_least=1
    )
    split_by: str = option(
        BY_PAGE,
        "page: pairs that touch a test page are for testing. link: each pair on its own.",
        choices=SPLITS,
    )


class Graph(NamedTuple):
    """Collections of the graph, all keyed by shard.

    Attributes:
      items: Articles; an item's position in its shard plus the sizes of the shards before it is
        its row.
      item_counts: numbers of items.
      train_counts: each item's number of training pairs as their item.
      links: ItemLinks, by shard of the source.
    """

    items: beam.PCollection
    item_counts: beam.PCollection
    train_counts: beam.PCollection
    links: beam.PCollection


class BuildGraph(beam.PTransform):
    """Makes a Graph of the outputs of `read_pages.ReadPages`.

    Args:
      options: of the graph.
      spill: takes the columns.
    """

    def __init__(self, options: GraphOptions, spill: Spill):
        super().__init__()
        self._options = options
        self._spill = spill

    def expand(self, parsed: Mapping[str, beam.PCollection]) -> Graph:
        """Tables of pages, then redirects, then links."""
        options, spill = self._options, self._spill
        nodes = (
            {tag: parsed[tag] for tag in (read_pages.PAGES, read_pages.REDIRECTS)}
            | "GroupPages" >> beam.CoGroupByKey()
            | "FirstOfTitle"
            >> beam.ParDo(_first_of_title, spill).with_outputs(
                "articles", "redirects", "known", "dropped"
            )
        )
        finals = self._follow(nodes.redirects, nodes.known)
        links = (
            {"links": parsed[read_pages.LINKS], "known": nodes.known, "finals": finals}
            | "GroupLinksByTarget" >> beam.CoGroupByKey()
            | "ResolveLinks" >> beam.FlatMap(_resolve_links, AsIter(nodes.dropped), options, spill)
        )
        targets = (
            {
                "links": links,
                "articles": nodes.articles,
                "titles": parsed[read_pages.TITLES],
            }
            | "GroupLinksByArticle" >> beam.CoGroupByKey()
            | "ChooseItems"
            >> beam.ParDo(_choose_items, options, spill).with_outputs(
                "items", "item_counts", "train_counts", "links"
            )
        )
        return Graph(targets.items, targets.item_counts, targets.train_counts, targets.links)

    def _follow(self, redirects: beam.PCollection, known: beam.PCollection) -> beam.PCollection:
        """Ends of all redirects, by shard of the redirect."""
        shards, spill = self._options.num_shards, self._spill
        # Untyped, as tagged outputs are: Flink joins only collections of one coder.
        pending = redirects | "StartRedirects" >> beam.FlatMap(
            _by_target, shards, spill
        ).with_output_types(Any)
        finals = []
        for hop in range(1, MAX_REDIRECT_HOPS + 1):
            step = (
                {"pending": pending, "known": known}
                | f"GroupRedirects{hop}" >> beam.CoGroupByKey()
                | f"FollowRedirects{hop}"
                >> beam.ParDo(_follow_once, shards, spill, hop == MAX_REDIRECT_HOPS).with_outputs(
                    "finals", "pending"
                )
            )
            finals.append(step.finals)
            pending = step.pending
        return finals | "Redirects" >> beam.Flatten()


def _first_of_title(element: Keyed, spill: Spill) -> Iterator[TaggedOutput]:
    """Keeps the first page of each title; articles and redirects of a shard."""
    shard, groups = element
    pages = concatenate(Pages, [NO_PAGES, *groups[read_pages.PAGES]])
    redirects = concatenate(Redirects, groups[read_pages.REDIRECTS])
    num_pages = len(pages.digests)
    digests = np.concatenate([pages.digests, redirects.digests])
    order = np.lexsort((np.concatenate([pages.ordinals, redirects.ordinals]), digests))
    earliest = order[np.unique(digests[order], return_index=True)[1]]  # by digest
    kept = earliest[earliest < num_pages]
    is_dropped = np.ones(num_pages, bool)
    is_dropped[kept] = False
    articles = Articles(*take(pages, kept)[1:])
    redirects = take(redirects, earliest[earliest >= num_pages] - num_pages)
    count("articles", len(articles.digests))
    count("redirects", len(redirects.digests))
    count("pages_duplicate", len(digests) - len(earliest))
    title_of = dict(zip(articles.digests.tolist(), articles.titles, strict=True))
    dropped = take(pages, is_dropped)
    collisions = sum(
        title_of.get(digest, title) != title
        for digest, title in zip(dropped.digests.tolist(), dropped.titles, strict=True)
    )
    count("pages_digest_collision", collisions)
    known = Known(articles.digests, redirects.digests, redirects.targets)
    yield TaggedOutput("articles", (shard, spill.put(articles)))
    chains = Chains(redirects.digests, redirects.targets)
    yield TaggedOutput("redirects", (shard, spill.put(chains)))
    yield TaggedOutput("known", (shard, spill.put(known)))
    if is_dropped.any():
        yield TaggedOutput("dropped", dropped.ordinals)


def _known(groups: Mapping[str, Iterable[Known]]) -> Known:
    return first(groups, "known", Known(_NONE, _NONE, _NONE))


def _by_target(element: Keyed, num_shards: int, spill: Spill) -> Iterator[Keyed]:
    chains = get(element[1])
    return spill.put_all(by_shard(chains.targets, num_shards, chains))


def _follow_once(
    element: Keyed, num_shards: int, spill: Spill, is_last: bool
) -> Iterator[TaggedOutput]:
    """Follows one redirect more, where a redirect's target is one."""
    _, groups = element
    chains, known = concatenate(Chains, groups["pending"]), _known(groups)
    _, exist = find(chains.targets, known.articles)
    position, is_redirect = find(chains.targets, known.redirects)
    following = chains.targets.copy()
    following[is_redirect] = known.targets[position[is_redirect]]
    # Back at its origin, or too long a chain to be distinguished from a loop.
    endless = is_redirect & ((following == chains.origins) | is_last)
    following[endless] = ENDLESS
    at_end = ~is_redirect | endless
    ends = take(Ends(chains.origins, following, exist), at_end)
    pending = take(Chains(chains.origins, following), ~at_end)
    for keyed_ends in spill.put_all(by_shard(ends.origins, num_shards, ends)):
        yield TaggedOutput("finals", keyed_ends)
    for keyed in spill.put_all(by_shard(pending.targets, num_shards, pending)):
        yield TaggedOutput("pending", keyed)


def _resolve_links(
    element: Keyed, dropped: Iterable[np.ndarray], options: GraphOptions, spill: Spill
) -> Iterator[Keyed]:
    """Replaces redirects by their ends; yields ResolvedLinks by shard of the target."""
    shard, groups = element
    links = concatenate(Links, groups["links"])
    keep = ~np.isin(links.ordinals, np.concatenate([_NONE, *dropped]))
    count("links_of_duplicate_page", len(keep) - keep.sum())
    _, sources, targets = take(links, keep)
    _, exists = find(targets, _known(groups).articles)
    redirects = concatenate(Ends, groups["finals"])
    redirects = take(redirects, np.argsort(redirects.origins))
    position, redirected = find(targets, redirects.origins)
    position = position[redirected]
    exists[redirected] = redirects.exist[position].astype(bool)
    targets[redirected] = redirects.ends[position]
    endless = redirected & (targets == ENDLESS)
    elsewhere = redirected & (targets == NO_ARTICLE)
    missing = ~(exists | endless | elsewhere)
    is_self = (sources == targets) & ~(endless | elsewhere)
    count("links_through_redirect", redirected.sum())
    count("links_redirect_loop", endless.sum())
    count("links_redirect_no_article", elsewhere.sum())
    count("links_self", is_self.sum())
    keep = ~(endless | elsewhere | is_self)
    if options.link_targets == IN_DUMP:
        count("links_to_missing_page", (missing & keep).sum())
        keep &= ~missing
    _log.info("resolved the links to shard %d of %d", shard + 1, options.num_shards)
    resolved = take(ResolvedLinks(sources, targets), keep)
    return spill.put_all(by_shard(resolved.targets, options.num_shards, resolved))


def _choose_items(element: Keyed, options: GraphOptions, spill: Spill) -> Iterator[TaggedOutput]:
    """Drops repeated links and chooses the items among the targets without a page."""
    shard, groups = element
    links = concatenate(ResolvedLinks, groups["links"])
    links = take(links, np.lexsort((links.sources, links.targets)))
    is_first = np.ones(len(links.targets), bool)
    is_first[1:] = (np.diff(links.targets) != 0) | (np.diff(links.sources) != 0)
    count("links_duplicate", len(is_first) - is_first.sum())
    links = take(links, is_first)
    items = first(groups, "articles", Articles(_NONE, [], []))
    if options.link_targets == ALL:
        items = _add_missing(items, links.targets, groups["titles"], options.min_in_links)
    positions, is_item = find(links.targets, items.digests)
    count("links_to_missing_page", len(is_item) - is_item.sum())
    found = take(ItemLinks(links.sources, links.targets, positions), is_item)
    count("links", len(found.targets))
    is_train = pair_splits(found.sources, found.targets, options.split) == TRAIN
    train_counts = np.bincount(found.positions[is_train], minlength=len(items.digests))
    yield TaggedOutput("items", (shard, spill.put(items)))
    yield TaggedOutput("item_counts", (shard, len(items.digests)))
    yield TaggedOutput("train_counts", (shard, spill.put(train_counts)))
    for keyed in spill.put_all(by_shard(found.sources, options.num_shards, found)):
        yield TaggedOutput("links", keyed)


def _add_missing(
    articles: Articles, targets: np.ndarray, named: Iterable[Titles], min_in_links: int
) -> Articles:
    """The articles, and the targets without a page that enough articles link to."""
    digests, in_links = np.unique(targets, return_counts=True)
    _, exists = find(digests, articles.digests)
    added = digests[~exists & (in_links >= min_in_links)]
    count("items_without_page", len(added))
    wanted = set(added.tolist())
    title_of: dict[int, str] = {}
    for batch in map(get, named):
        for digest, title in zip(batch.digests.tolist(), batch.titles, strict=True):
            if digest in wanted:
                # The smaller of two titles with one digest, whatever the order of the batches.
                title_of[digest] = min(title, title_of.get(digest, title))
    missing = Articles(added, [title_of[digest] for digest in added.tolist()], [[]] * len(added))
    items = concatenate(Articles, [articles, missing])
    return take(items, np.argsort(items.digests))
