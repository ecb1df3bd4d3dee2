"""The latent structure of a made-up wiki: topics, places, popularity, titles, links.

Articles are numbered by popularity, 0 the most popular. Every article has a subtopic and a
place; both show in its categories and now and then in its title, and most of its links go
where the two lead. A model that reads categories and titles can therefore tell what links to
a page that it has never seen, though not exactly: names, years and a share of the links are
noise.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from data_prep.synthetic.draws import Draws, choose, proper_name, stem, zipf_ranks
from data_prep.synthetic.groups import Groups
from ssl_recsys.errors import InputError

MIN_ITEMS = 10
RED_LINK = -1

_ENDINGS = ("logy", "nomy", "graphy", "metry", "tics", "craft", "works", "ship")
_PLACE_ENDINGS = ("land", "stan", "burg", "ville", "mouth", "shire", "port")
# What an article of a topic tends to be about; topics share the lists when there are more.
_NOUNS = (
    ("Battle", "Siege", "Treaty", "Regiment"),
    ("River", "Lake", "Mount", "Valley"),
    ("School", "University", "Library", "Academy"),
    ("Station", "Railway", "Bridge", "Tunnel"),
    ("Album", "Song", "Orchestra", "Festival"),
    ("Church", "Abbey", "Temple", "Bishop"),
    ("Theorem", "Equation", "Problem", "Method"),
    ("Club", "Stadium", "Cup", "League"),
)
_CATEGORY_FORMS = ("{0} people", "History of {0}", "{0} organisations", "Lists in {0}")
_MONTHS = ("January", "March", "May", "July", "September", "November")

# Where an article's links go, in the order of `WikiWorld._targets`.
_LINK_MIX = {
    "same subtopic": 0.40,
    "same subtopic and place": 0.15,
    "sibling subtopic": 0.18,
    "anywhere, by popularity": 0.14,
    "anywhere": 0.05,
    "missing page": 0.08,
}
_ZIPF_EXPONENT = 1.05
_MEDIAN_LINKS = 23.0
_MAX_LINKS = 400


@dataclasses.dataclass(frozen=True)
class Latents:
    """Latent values of some articles, each `[articles]`."""

    subtopic: np.ndarray
    place: np.ndarray


class WikiWorld:
    """A wiki of `num_items` articles, any part of which can be computed by itself.

    Attributes:
      num_items: number of articles.
      num_topics: number of topics.
      num_subtopics: number of subtopics; subtopic s belongs to topic `s % num_topics`.
      num_places: number of places.
      draws: the random numbers.

    Raises:
      InputError: if `num_items` is under `MIN_ITEMS`.
    """

    def __init__(self, num_items: int, seed: int) -> None:
        if num_items < MIN_ITEMS:
            raise InputError(f"num_items must be at least {MIN_ITEMS} (got {num_items})")
        self.num_items = num_items
        self.draws = Draws(seed)
        subtopics = 1.3 * math.sqrt(num_items)
        self.num_topics = max(2, round(math.sqrt(subtopics)))
        self.num_subtopics = self.num_topics * max(2, round(subtopics / self.num_topics))
        self.num_places = max(3, round(num_items**0.4))
        self._num_missing = max(4, num_items // 3)
        self._subtopics = Groups(num_items, self.num_subtopics, self.draws)

    def latents(self, article: np.ndarray) -> Latents:
        """Subtopics and places of articles `[articles]`."""
        place = zipf_ranks(self.draws.uniform("place", article), self.num_places, 0.6)
        return Latents(self._subtopics.group(article), place)

    def num_links(self, article: np.ndarray) -> np.ndarray:
        """How many links the articles' texts hold, `[articles]`; popular articles hold more."""
        popularity = 0.25 * (0.5 - np.log1p(article) / math.log1p(self.num_items))
        scale = np.exp(popularity + 0.7 * self.draws.normal("num_links", article))
        return np.clip(np.rint(_MEDIAN_LINKS * scale), 1, _MAX_LINKS).astype(np.int64)

    def links(self, article: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Link targets of articles.

        Args:
          article: `[articles]`.

        Returns:
          Article numbers, or `RED_LINK - m` for missing page m, `[links]`, and for each link
          the position in `article` that it belongs to, `[links]`, ascending.
        """
        counts = self.num_links(article)
        owner = np.repeat(np.arange(len(article)), counts)
        nth = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        source = article[owner]
        latents = self.latents(source)
        kind = choose(self.draws.uniform("link_kind", source, nth), list(_LINK_MIX.values()))
        target = self._targets(kind, source, nth, latents)
        # Most articles name their subtopic's main article and their place's first of all.
        hub = self.draws.uniform("hub", source, nth)
        main = (nth == 0) & (hub < 0.6) & (self._subtopics.size[latents.subtopic] > 0)
        target[main] = self._subtopics.member(
            latents.subtopic[main], np.zeros(main.sum(), np.int64)
        )
        home = (nth == 1) & (hub < 0.6)
        target[home] = self.place_article(latents.place[home])
        return target, owner

    def place_article(self, place: np.ndarray) -> np.ndarray:
        """The article about each place, `[...]`; places are spread over the popular articles."""
        return 3 * place + 1

    def _targets(
        self, kind: np.ndarray, source: np.ndarray, nth: np.ndarray, latents: Latents
    ) -> np.ndarray:
        """Targets by kind of link; all arguments and the result are `[links]`."""
        everywhere = zipf_ranks(
            self.draws.uniform("anywhere", source, nth), self.num_items, _ZIPF_EXPONENT
        )
        anywhere = self.draws.integers("uniform", self.num_items, source, nth)
        missing = zipf_ranks(
            self.draws.uniform("missing", source, nth), self._num_missing, _ZIPF_EXPONENT
        )
        step = self.draws.integers("sibling", 3, source, nth) + 1
        sibling = (latents.subtopic + step * self.num_topics) % self.num_subtopics
        return np.choose(
            kind,
            [
                self._draw_member(latents.subtopic, source, nth, everywhere, attempt=0),
                self._same_place(latents, source, nth, everywhere),
                self._draw_member(sibling, source, nth, everywhere, attempt=0),
                everywhere,
                anywhere,
                RED_LINK - missing,
            ],
        )

    def _draw_member(
        self,
        subtopic: np.ndarray,
        source: np.ndarray,
        nth: np.ndarray,
        otherwise: np.ndarray,
        attempt: int,
    ) -> np.ndarray:
        """An article of each subtopic by popularity, or `otherwise` where it has none."""
        uniform = self.draws.uniform("member", source, nth, attempt)
        return self._subtopics.draw(subtopic, uniform, otherwise, _ZIPF_EXPONENT)

    def _same_place(
        self, latents: Latents, source: np.ndarray, nth: np.ndarray, otherwise: np.ndarray
    ) -> np.ndarray:
        """An article of the same subtopic, of the same place too if a few attempts find one."""
        chosen = self._draw_member(latents.subtopic, source, nth, otherwise, attempt=1)
        for attempt in range(2, 8):
            other = self._draw_member(latents.subtopic, source, nth, otherwise, attempt)
            fits = self.latents(chosen).place == latents.place
            chosen = np.where(fits, chosen, other)
        return chosen

    @staticmethod
    @functools.lru_cache(maxsize=10_000)
    def topic_word(subtopic: int) -> str:
        """The noun of a subtopic, for example "Kiralogy"."""
        return stem(subtopic * 37 + 11).capitalize() + _ENDINGS[subtopic % len(_ENDINGS)]

    @staticmethod
    @functools.lru_cache(maxsize=10_000)
    def place_word(place: int) -> str:
        """The name of a place."""
        return stem(place * 53 + 29).capitalize() + _PLACE_ENDINGS[place % len(_PLACE_ENDINGS)]

    def titles(self, article: np.ndarray) -> list[str]:
        """Titles of articles `[articles]`, or of missing page m for `RED_LINK - m`.

        All titles differ, those of missing pages too.
        """
        known = np.maximum(article, 0)
        latents = self.latents(known)
        main = self._subtopics.member(latents.subtopic, np.zeros_like(known)) == known
        form, detail = self.draws.uniform("title", known[:, None], np.arange(2)).T.tolist()
        columns = zip(
            article.tolist(),
            latents.subtopic.tolist(),
            latents.place.tolist(),
            main.tolist(),
            form,
            detail,
            strict=True,
        )
        return [self._title(*column) for column in columns]

    def _title(
        self, article: int, subtopic: int, place: int, main: bool, form: float, detail: float
    ) -> str:
        universe = 2 * self.num_items + self._num_missing + 8
        if article < 0:
            return proper_name(2 * self.num_items + RED_LINK - article, universe)
        if article % 3 == 1 and article // 3 < self.num_places:
            return self.place_word(article // 3)
        if main:
            return self.topic_word(subtopic)
        name = proper_name(article, universe)
        return self._compose_title(name, subtopic, place, form, detail)

    def _compose_title(
        self, name: str, subtopic: int, place: int, form: float, detail: float
    ) -> str:
        """A title in one of the usual forms; `name` makes it unlike any other."""
        nouns = _NOUNS[(subtopic % self.num_topics) % len(_NOUNS)]
        noun = nouns[int(detail * len(nouns))]
        given = stem(int(detail * 211) * 31).capitalize()
        forms = (
            (0.22, name),
            (0.37, f"{given} {name}"),
            (0.57, f"{name} {self.topic_word(subtopic)}"),
            (0.68, f"{noun} of {name}"),
            (0.78, f"{name} ({noun.lower()})"),
            (0.86, f"{name}, {self.place_word(place)}"),
            (0.92, f"History of {self.topic_word(subtopic).lower()} in {name}"),
            (0.95, f"{1900 + int(detail * 120)} {self.place_word(place)} {noun} {name}"),
            (0.97, f"{name} & {given}"),
            (0.985, f"{given}'s {noun}: {name}"),
        )
        for below, title in forms:
            if form < below:
                return title
        return f"List of {noun.lower()}s in {name}, {self.place_word(place)}"

    def categories(self, article: np.ndarray) -> list[list[str]]:
        """Category names of articles `[articles]`: topics and place, and some that say nothing."""
        latents = self.latents(article)
        chances = self.draws.uniform("category", article[:, None], np.arange(10))
        columns = zip(
            latents.subtopic.tolist(), latents.place.tolist(), chances.tolist(), strict=True
        )
        return [self._categories(*column) for column in columns]

    def _categories(self, subtopic: int, place: int, chance: list[float]) -> list[str]:
        word, where = self.topic_word(subtopic), self.place_word(place)
        month = _MONTHS[int(chance[8] * len(_MONTHS))]
        named = (
            (0.80, word),
            (0.40, _CATEGORY_FORMS[int(chance[9] * len(_CATEGORY_FORMS))].format(word)),
            (0.50, f"{word} in {where}"),
            (0.25, self.topic_word(self.num_subtopics + subtopic % self.num_topics)),
            (0.20, f"{where} geography"),
            (0.25, f"{1900 + int(chance[9] * 120)} establishments"),
            (0.20, f"Articles lacking sources from {month} {2004 + int(chance[9] * 6)}"),
            (0.05, f"Works about {stem(int(chance[9] * 6_000)).capitalize()}"),
        )
        if chance[8] < 0.05:
            return []
        return [name for (share, name), drawn in zip(named, chance, strict=False) if drawn < share]
