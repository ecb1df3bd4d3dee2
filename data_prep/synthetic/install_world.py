"""Made-up apps and the log of who installs what.

Apps are numbered by popularity, 0 the most popular. What a user installs next follows from the
app before: mostly one of the same category, of the same developer, or one of a few companions
of the app; the rest goes by popularity alone. A part of the apps comes out during the log, so
that a split by time has new items.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from data_prep.synthetic.draws import Draws, choose, proper_name, stem, zipf_ranks
from data_prep.synthetic.groups import Groups
from ssl_recsys.errors import InputError

MIN_ITEMS = 10
_DAYS = 45
_START_SECONDS = 1_700_000_000
_DAY_SECONDS = 86_400
_ZIPF_EXPONENT = 1.05
_MEDIAN_EVENTS = 10.0
_MAX_EVENTS = 300
_USERS_PER_BLOCK = 16_384
_NUM_COMPANIONS = 4
_NEXT = {"category": 0.45, "developer": 0.10, "companion": 0.20, "popularity": 0.25}
_GENRES = tuple(
    re.findall(
        r"\w+",
        """
        Puzzle Racing Strategy Arcade Photo Music Weather Finance Health Travel Education News
        Shopping Social Sports Books Maps Tools Video Business Food Family Simulation Cards
        Communication Productivity Fashion Medical Design Events
        """,
    )
)
_SHARED_WORDS = ("pro", "lite", "free", "plus", "my", "go", "2", "3d", "studio", "world", "easy")


class Events(NamedTuple):
    """Installs as columns `[events]`: users and apps by number, times in seconds."""

    user: np.ndarray
    app: np.ndarray
    seconds: np.ndarray


class App(NamedTuple):
    """A row of the item table; None is an empty value."""

    app_id: str
    developer_name: str
    categories: str
    title: str
    popularity: int | None
    quality: float | None


class InstallWorld:
    """`num_items` apps and any number of events, each part computed by itself.

    Raises:
      InputError: if `num_items` is under `MIN_ITEMS`.
    """

    def __init__(self, num_items: int, seed: int) -> None:
        if num_items < MIN_ITEMS:
            raise InputError(f"num_items must be at least {MIN_ITEMS} (got {num_items})")
        self.num_items = num_items
        self.draws = Draws(seed)
        self._num_categories = len(_GENRES)
        self._categories = Groups(num_items, self._num_categories, self.draws)
        # Each category has developers of its own, about one for three apps.
        self._num_developers = max(1, num_items // (3 * self._num_categories))

    def events(self, num_events: int) -> Iterator[Events]:
        """Yields `num_events` events in blocks, user after user."""
        first_user = 0
        while num_events > 0:
            block = self._histories(first_user + np.arange(_USERS_PER_BLOCK))
            block = Events(*(column[:num_events] for column in block))
            yield block
            num_events -= len(block.app)
            first_user += _USERS_PER_BLOCK

    def _histories(self, user: np.ndarray) -> Events:
        """All events of users `[users]`, by user and step."""
        scale = np.exp(0.9 * self.draws.normal("num_events", user))
        length = np.clip(np.rint(_MEDIAN_EVENTS * scale), 1, _MAX_EVENTS).astype(np.int64)
        begin = np.cumsum(length) - length
        app = np.zeros(length.sum(), np.int64)
        seconds = np.zeros(length.sum())
        for step in range(int(length.max())):
            active = np.flatnonzero(length > step)
            here = begin[active] + step
            seconds[here] = self._when(user[active], step, seconds[here - 1] if step else None)
            chosen = self._next_app(user[active], step, app[here - 1] if step else None)
            app[here] = self._released(chosen, seconds[here])
        return Events(np.repeat(user, length), app, _START_SECONDS + np.rint(seconds))

    def _when(self, user: np.ndarray, step: int, before: np.ndarray | None) -> np.ndarray:
        """Seconds since the log's start; sessions of some minutes, days apart."""
        if before is None:
            return self.draws.uniform("start", user) * _DAYS * _DAY_SECONDS
        gap = -np.log1p(-self.draws.uniform("gap", user, step))
        goes_on = self.draws.uniform("session", user, step) < 0.62
        gap *= np.where(goes_on, 600.0, 4.0 * _DAY_SECONDS)
        # Who goes on past the end is taken to have started earlier.
        return (before + gap) % (_DAYS * _DAY_SECONDS)

    def _next_app(self, user: np.ndarray, step: int, before: np.ndarray | None) -> np.ndarray:
        """The app after `before`, all `[users]`."""
        uniform = self.draws.uniform("app", user, step)
        popular = zipf_ranks(uniform, self.num_items, _ZIPF_EXPONENT)
        if before is None:
            return popular
        category = self._categories.group(before)
        in_category = self._categories.draw(category, uniform, popular, _ZIPF_EXPONENT)
        size = self._categories.size[category]
        # Developers hold runs of a category's apps at a fixed distance.
        nth = self.draws.integers("developer_app", 3, user, step) * self._num_developers
        nth = nth + self.developer(before)
        of_developer = self._categories.member(category, np.minimum(nth, size - 1))
        which = self.draws.integers("companion", _NUM_COMPANIONS, user, step)
        companion = self._categories.draw(
            category, self.draws.uniform("companion_of", before, which), popular, 0.6
        )
        kind = choose(self.draws.uniform("kind", user, step), list(_NEXT.values()))
        return np.choose(kind, [in_category, of_developer, companion, popular])

    def _released(self, app: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        """`app`, or a more popular one that is out where it is not, `[users]`."""
        for _ in range(6):  # 3 ** 5 > 100, and the first hundredth is out from the start
            app = np.where(self.release(app) > seconds, app // 3, app)
        return app

    def release(self, app: np.ndarray) -> np.ndarray:
        """Seconds since the log's start at which apps come out, 0 or before for most."""
        drawn = self.draws.uniform("release", app)
        during = (drawn - 0.7) / 0.3 * _DAYS * _DAY_SECONDS
        return np.where(app < max(1, self.num_items // 100), 0.0, during)

    def developer(self, app: np.ndarray) -> np.ndarray:
        """The developer of each app, numbered within its category, `[...]`."""
        return self._categories.rank(app) % self._num_developers

    def apps(self, app: np.ndarray) -> list[App]:
        """Rows of the item table for apps `[apps]`; about one in a hundred has none."""
        chances = self.draws.uniform("metadata", app[:, None], np.arange(8))
        noise = self.draws.normal("popularity", app)
        columns = zip(
            app.tolist(),
            self.keys(app),
            self._categories.group(app).tolist(),
            self.developer(app).tolist(),
            chances.tolist(),
            noise.tolist(),
            strict=True,
        )
        return [self._row(*column) for column in columns if column[4][0] >= 0.01]

    def keys(self, app: np.ndarray) -> list[str]:
        """Keys of apps `[apps]`: what the log calls them; all differ."""
        category = self._categories.group(app).tolist()
        developer = self.developer(app).tolist()
        return [
            f"com.{self._developer_word(c, d)}.{self._word(number).lower()}"
            for number, c, d in zip(app.tolist(), category, developer, strict=True)
        ]

    def _row(
        self,
        app: int,
        key: str,
        category: int,
        developer: int,
        chance: list[float],
        noise: float,
    ) -> App:
        genre = _GENRES[category]
        name = self._developer_word(category, developer)
        genres = [genre, _GENRES[int(chance[1] * len(_GENRES))]] if chance[2] < 0.2 else [genre]
        shared = _SHARED_WORDS[int(chance[3] * len(_SHARED_WORDS))]
        titles = (
            (0.25, self._word(app)),
            (0.50, f"{self._word(app)} {genre}"),
            (0.70, f"{self._word(app)}: {shared} {genre.lower()}"),
            (0.85, f"{name.capitalize()} {self._word(app)}"),
            (1.00, f"{self._word(app)} {shared}"),
        )
        title = next(title for below, title in titles if chance[4] < below)
        installs = 5e6 * (app + 1.0) ** -_ZIPF_EXPONENT * math.exp(0.7 * noise)
        return App(
            app_id=key,
            developer_name=name,
            categories="|".join(dict.fromkeys(genres)),
            title=title,
            popularity=None if chance[5] < 0.03 else 10 * round(installs / 10),
            quality=None if chance[6] < 0.05 else round(1.0 - 0.5 * chance[7] ** 2, 4),
        )

    def _word(self, app: int) -> str:
        return proper_name(app, self.num_items)

    @staticmethod
    @functools.lru_cache(maxsize=100_000)
    def _developer_word(category: int, developer: int) -> str:
        return stem(developer * len(_GENRES) + category) + "soft"
