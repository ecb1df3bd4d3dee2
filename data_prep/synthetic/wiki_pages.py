"""The pages of a made-up wiki: articles, redirects, and what jobs must leave out.

Besides links the texts hold what only looks like one: links in comments, nowiki and pre, files,
interwiki links, `[[:Category:...]]`, links to other namespaces, to the page itself and to pages
that do not exist. Each page carries its links and categories as they should be read, so that a
job can be checked against them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import numpy as np

from data_prep.synthetic.wiki_world import WikiWorld

ARTICLE, TALK, USER, PROJECT, TEMPLATE, CATEGORY = 0, 1, 2, 4, 10, 14
_BLOCK = 512
_WORDS = tuple(
    re.findall(
        r"\w+",
        """
        the of and in a to was by as for with on from is that it at were which after later known
        early large several during between first people century work part time year area used
        found common system form under name local new old important modern small group public
        house line built became called described included remained south north
        """,
    )
)
_SECTIONS = ("History", "Description", "Reception", "Legacy", "Notes")
_LOOP = ("Circular redirect one", "Circular redirect two")


@dataclasses.dataclass(frozen=True)
class WikiPage:
    """One page of the dump.

    Attributes:
      title: full title, the namespace's prefix included.
      namespace: number of the namespace.
      text: wikitext.
      redirect: title that the page redirects to, or None.
      links: titles of the articles that the text links to, redirects followed: each once,
        neither the page itself nor titles without a page. Empty but for articles.
      categories: names of the article's categories.
      targets: full titles of the pages that the article links to, as they stand in the text,
        other than itself: also those without a page, redirects and pages of other namespaces.
    """

    title: str
    namespace: int
    text: str
    redirect: str | None = None
    links: frozenset[str] = frozenset()
    categories: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


def pages(world: WikiWorld) -> Iterator[WikiPage]:
    """All pages of a wiki, articles in an order that says nothing about their popularity."""
    yield from _fixed_pages(world)
    for start in range(0, world.num_items, _BLOCK):
        place = np.arange(start, min(start + _BLOCK, world.num_items))
        yield from _articles(world, _shuffled(place, world.num_items, 5))
        yield from _redirects(world, _shuffled(place, world.num_items, 11))
        yield from _talk_pages(world, place)


def aliases(title: str, number: int) -> list[str]:
    """The first `number` (0 to 2) titles that redirect to an article."""
    short = title.replace(" ", "") if " " in title else title + "s"
    return [short, f"The {title}"][:number]


def _num_aliases(world: WikiWorld, article: np.ndarray) -> np.ndarray:
    return np.searchsorted([0.67, 0.92], world.draws.uniform("aliases", article), side="right")


def _shuffled(place: np.ndarray, size: int, start: int) -> np.ndarray:
    """Permutes 0 .. size - 1; `place` `[places]` to `[places]`."""
    step = max(1, int(size * 0.618034)) + start
    while np.gcd(step, size) != 1:
        step += 1
    return (place * step + start) % size


def _fixed_pages(world: WikiWorld) -> Iterator[WikiPage]:
    """The few pages that every such wiki has: odd redirects, templates, topic categories."""
    yield WikiPage(_LOOP[0], ARTICLE, f"#REDIRECT [[{_LOOP[1]}]]", _LOOP[1])
    yield WikiPage(_LOOP[1], ARTICLE, f"#redirect [[{_LOOP[0]}]]", _LOOP[0])
    yield WikiPage("Itself", ARTICLE, "#REDIRECT [[Itself]]", "Itself")
    yield WikiPage("Gone", ARTICLE, "#REDIRECT [[Never written]]", "Never written")
    main = world.titles(np.arange(1))[0]
    yield WikiPage("Template:Stub", TEMPLATE, f"''This article is short. See [[{main}]].''")
    yield WikiPage("Wikipedia:About", PROJECT, f"See [[{main}]] and [[Help:Contents]].")
    yield WikiPage("User:Example", USER, f"I like [[{main}]].")
    for topic in range(world.num_topics):
        word = world.topic_word(world.num_subtopics + topic)
        yield WikiPage(f"Category:{word}", CATEGORY, f"Articles on {word}.")
    for subtopic in range(world.num_subtopics):
        parent = world.topic_word(world.num_subtopics + subtopic % world.num_topics)
        title = f"Category:{world.topic_word(subtopic)}"
        yield WikiPage(title, CATEGORY, f"See [[{main}]].\n\n[[Category:{parent}]]")


def _redirects(world: WikiWorld, article: np.ndarray) -> Iterator[WikiPage]:
    """The redirects to articles `[articles]`; some lead to another redirect or to a section."""
    titles = world.titles(article)
    numbers = _num_aliases(world, article).tolist()
    kinds = world.draws.uniform("redirect_kind", article).tolist()
    for title, number, kind in zip(titles, numbers, kinds, strict=True):
        names = aliases(title, number)
        for name in names:
            goal = names[0] if name != names[0] and kind < 0.4 else title
            anchor = "#History" if kind > 0.95 else ""
            word = "#redirect:" if kind > 0.9 else "#REDIRECT"
            text = f"{word} [[{goal}{anchor}]]\n\n{{{{R from other name}}}}"
            yield WikiPage(name, ARTICLE, text, goal + anchor)


def _talk_pages(world: WikiWorld, article: np.ndarray) -> Iterator[WikiPage]:
    """Talk pages of about one in fifteen of articles `[articles]`."""
    talked = article[world.draws.uniform("talk", article) < 0.07]
    for title in world.titles(talked):
        text = f"== Sources ==\nWhere is [[{title}]] from? See [[User:Example]]. ~~~~"
        yield WikiPage(f"Talk:{title}", TALK, text)


def _articles(world: WikiWorld, article: np.ndarray) -> Iterator[WikiPage]:
    """The pages of articles `[articles]`."""
    target, owner = world.links(article)
    # Each title is made once for all its links of the block.
    distinct, position = np.unique(np.concatenate([article, target]), return_inverse=True)
    titles = world.titles(distinct)
    known_aliases = _num_aliases(world, np.maximum(distinct, 0)).tolist()
    links = [
        _Link(titles[at], number >= 0, known_aliases[at], style, words)
        for at, number, style, words in zip(
            position[len(article) :].tolist(),
            target.tolist(),
            world.draws.uniform("style", article[owner], np.arange(len(owner))).tolist(),
            _fragments(world, article[owner]),
            strict=True,
        )
    ]
    ends = np.cumsum(np.bincount(owner, minlength=len(article))).tolist()
    odd = world.draws.uniform("odd", article).tolist()
    start = 0
    for index, categories in enumerate(world.categories(article)):
        title = titles[position[index]]
        yield _article(title, links[start : ends[index]], categories, odd[index])
        start = ends[index]


def _fragments(world: WikiWorld, article: np.ndarray) -> Iterator[str]:
    """Some words for before each link `[links]` of the articles."""
    nth = np.arange(len(article))
    length = 3 + world.draws.integers("length", 8, article, nth)
    first = world.draws.integers("words", len(_WORDS), article, nth)
    step = 1 + 2 * world.draws.integers("stride", 9, article, nth)
    for count, word, stride in zip(length.tolist(), first.tolist(), step.tolist(), strict=True):
        yield " ".join(_WORDS[(word + stride * place) % len(_WORDS)] for place in range(count))


@dataclasses.dataclass(frozen=True)
class _Link:
    """A link to be written: its target, and numbers that choose its form."""

    title: str
    exists: bool
    num_aliases: int
    style: float
    words: str

    @property
    def target(self) -> str:
        """The title that stands in the text, which may be a redirect's."""
        if self.style < 0.08 and self.exists and self.num_aliases:
            return aliases(self.title, self.num_aliases)[-1]
        return self.title

    def markup(self) -> str:
        """The link as wikitext, in one of the forms that editors use."""
        title, style = self.target, self.style
        if style < 0.55:
            return f"[[{title}]]"
        if style < 0.78:
            return f"[[{title}|{title.split(' ')[0].lower()}]]"
        if style < 0.84:
            return f"[[{title}#{_SECTIONS[int(style * 1000) % 5]}|{title}]]"
        if style < 0.92:
            return f"[[{title[0].lower()}{title[1:]}]]s"
        if style < 0.96:
            return f"[[{title.replace(' ', '_')}]]"
        if style < 0.98:
            return f"[[ {title.replace('&', '&amp;')} |''it'']]"
        return f"[[:{title}]]"


def _article(title: str, links: list[_Link], categories: list[str], odd: float) -> WikiPage:
    """Lays an article out: infobox, lead, sections, table, notes, categories.

    Args:
      title: its title.
      links: its links in the order of the text.
      categories: its categories.
      odd: in [0, 1), chooses what else the text holds.
    """
    written = [f"{link.words} {link.markup()}" for link in links]
    parts = [f"{{{{Infobox\n| name = {title}\n| related = {written[0]}\n}}}}"]
    decoys, targets = _decoys(title, odd)
    parts.append(f"'''{title}''' {'. '.join(written[1:6])}. {decoys}")
    rest = written[6:]
    for number, start in enumerate(range(0, len(rest), 7)):
        parts.append(f"== {_SECTIONS[number % len(_SECTIONS)]} ==")
        parts.append(_section(rest[start : start + 7], number, odd))
    parts.append("== References ==\n{{reflist}}")
    membership = [f"[[Category:{name}{'|*' if odd > 0.9 else ''}]]" for name in categories]
    parts.append("\n".join([*membership, f"[[fr:{title}]]"]))
    found = frozenset(link.title for link in links if link.exists and link.title != title)
    targets = [name for name in (*(link.target for link in links), *targets) if name != title]
    text = "\n\n".join(parts)
    return WikiPage(title, ARTICLE, text, None, found, tuple(categories), tuple(targets))


def _section(written: list[str], number: int, odd: float) -> str:
    """A section as running text, list, table, notes or picture caption."""
    form = (number + int(odd * 97)) % 6
    if form == 0:
        return "\n".join(f"* {item}" for item in written)
    if form == 1:
        rows = "\n|-\n".join(f"| {item} || {len(item)}" for item in written)
        return f'{{| class="wikitable"\n! What !! How many\n|-\n{rows}\n|}}'
    if form == 2:
        return " ".join(f"{item}.<ref>{item[:4]} {item}, 1999.</ref>" for item in written)
    if form == 3:
        return f"[[File:Plate {number}.jpg|thumb|right|{written[0]}]]\n{'. '.join(written[1:])}"
    return ". ".join(written) + "."


def _decoys(title: str, odd: float) -> tuple[str, list[str]]:
    """Markup that looks like links to articles and is none, some of it in any article.

    Returns:
      The markup, and full titles of the pages that it does link to.
    """
    kinds = (
        "<!-- [[Hidden in a comment]] is not to be read -->",
        "<nowiki>[[Not a link]]</nowiki>",
        "<math>[[x]] + y</math>",
        "<pre>[[Also not a link]]</pre>",
        f"See [[:Category:Stubs]], [[#History]] and [[{title}]].",
        "[[File:Map.png|thumb|A map]] [[Image:Old name.gif]]",
        "[[wikt:word|word]] [[de:Wort]] [[:fr:Mot]] [https://example.org/ site]",
        "{{cite book|title=Book|year=1999}} [[Template:Stub]] [[Wikipedia:About]]",
        "[[Circular redirect one]] [[Gone]] [[Itself]]",
        "[[]] [[|]] ]] {{ '''",
    )
    first = int(odd * len(kinds))
    chosen = [kinds[(first + step) % len(kinds)] for step in range(1 + int(odd * 37) % 3)]
    targets = {
        kinds[4]: ["Category:Stubs"],
        kinds[7]: ["Template:Stub", "Wikipedia:About"],
        kinds[8]: [*_LOOP[:1], "Gone", "Itself"],
    }
    return " ".join(chosen), [target for kind in chosen for target in targets.get(kind, ())]
