"""A model's index in memory: a build, items added since, and items removed since.

Added items are searched exactly beside the build, so that a new item is found at once.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys import schema
from ssl_recsys.search import EXACT, SCANN
from ssl_recsys.search.interface import ExactSearch, Search
from ssl_recsys.search.scann import ScannSearch
from ssl_recsys.training.export import Exported

SCANN_DIR = "scann"  # of a build

# An item's raw features: column -> its text, a list of texts where it takes several, or a vector;
# empty where an earlier version added the item and kept none.
Columns = Mapping[str, str | Sequence[str] | Sequence[float]]
_NOWHERE = "no_index"
# Besides the items that are asked for, so many more are, to make up for removed ones.
_SPARE = 16


@dataclasses.dataclass(frozen=True)
class Added:
    """Items that a build lacks.

    Attributes:
      keys: `[added]` unique names.
      titles: `[added]` texts.
      item: `[added, dim]` float32 embeddings as items.
      query: `[added, dim]` float32 embeddings as queries.
      columns: `[added]` raw features.
    """

    keys: tuple[str, ...]
    titles: tuple[str, ...]
    item: npt.NDArray[np.float32]
    query: npt.NDArray[np.float32]
    columns: tuple[Columns, ...]

    @functools.cached_property
    def place_of(self) -> dict[str, int]:
        """The place of each key."""
        return {key: place for place, key in enumerate(self.keys)}

    def without(self, keys: Collection[str]) -> Added:
        """Those that have none of the keys."""
        kept = [place for place, key in enumerate(self.keys) if key not in keys]
        return Added(
            tuple(self.keys[place] for place in kept),
            tuple(self.titles[place] for place in kept),
            self.item[kept],
            self.query[kept],
            tuple(self.columns[place] for place in kept),
        )

    def and_then(self, more: Added) -> Added:
        """These and those; of items with one key the later."""
        old = self.without(set(more.keys))
        return Added(
            old.keys + more.keys,
            old.titles + more.titles,
            np.concatenate([old.item, more.item]),
            np.concatenate([old.query, more.query]),
            old.columns + more.columns,
        )


@dataclasses.dataclass(frozen=True)
class Build:
    """What an index was built over.

    Attributes:
      number: of the build.
      path: its directory.
      keys: `[items]` object array of str.
      titles: `[items]` object array of str.
      rows: `[items]` int64 rows of the model's catalog, -1 for items that were added to it.
      embeddings: `[items, dim]` float32.
      queries: `[added, dim]` float32, embeddings as queries of the items without a row.
      columns: `[added]` raw features of the items without a row.
      retrieval: `exact` or `scann`.
      digest: tells its files from those of a later build that has the same number, once an index
        was deleted.
    """

    number: int
    path: pathlib.Path
    keys: np.ndarray
    titles: np.ndarray
    rows: np.ndarray
    embeddings: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]
    columns: Sequence[Columns]
    retrieval: str
    digest: str = ""

    @functools.cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each key."""
        return {key: row for row, key in enumerate(self.keys)}

    @functools.cached_property
    def scann(self) -> ScannSearch:
        """The ScaNN index, built now where none was saved."""
        if (self.path / SCANN_DIR).is_dir():
            return ScannSearch.load(self.path / SCANN_DIR)
        return ScannSearch.build(self.embeddings)

    @functools.cached_property
    def exact(self) -> ExactSearch:
        """Exact search over the same items."""
        return ExactSearch(self.embeddings)

    def search(self, retrieval: str) -> Search:
        """Exact search or ScaNN; as it was built where that is left open."""
        return self.scann if (retrieval or self.retrieval) == SCANN else self.exact

    def is_catalog(self, num_items: int) -> bool:
        """Whether its items are those of the catalog, in the order of the rows."""
        return len(self.rows) == num_items and bool((self.rows == np.arange(num_items)).all())


class Index:
    """A version of an index.

    Rows are those of the build, then those of the added items.

    Args:
      build: the build.
      added: items beside it.
      removed: keys of items of the build that are not found.
      version: its number.
    """

    def __init__(self, build: Build, added: Added, removed: frozenset[str], version: int):
        self.build, self.added, self.removed, self.version = build, added, removed, version
        self.keys = np.concatenate([build.keys, np.array(added.keys, object)])
        self.titles = np.concatenate([build.titles, np.array(added.titles, object)])
        self.rows = np.concatenate([build.rows, np.full(len(added.keys), -1)])
        hidden = removed | set(added.keys)
        self._hidden = np.array(
            sorted(build.row_of[key] for key in hidden if key in build.row_of), np.int64
        )

    def row(self, key: str) -> int | None:
        """The row of the item with this key that can be found; None if there is none."""
        if (place := self.added.place_of.get(key)) is not None:
            return len(self.build.keys) + place
        return None if key in self.removed else self.build.row_of.get(key)

    def columns(self, row: int) -> Columns | None:
        """The raw features of a row's item; None for an item of the model's catalog."""
        if self.rows[row] >= 0:
            return None
        place = self._place_without_row[row]
        of_build = len(self.build.columns)
        if place < of_build:
            return self.build.columns[place]
        return self.added.columns[place - of_build]

    @functools.cached_property
    def _place_without_row(self) -> np.ndarray:
        """For each row without a row of the catalog, how many such rows are before it."""
        return np.cumsum(self.rows < 0) - 1

    @functools.cached_property
    def _kept_queries(self) -> npt.NDArray[np.float32]:
        """Embeddings as queries of the rows without a row of the catalog."""
        return np.concatenate([self.build.queries, self.added.query])

    @property
    def num_items(self) -> int:
        """Number of items that can be found."""
        return len(self.keys) - len(self._hidden)

    @functools.cached_property
    def live(self) -> np.ndarray:
        """The rows of the items that can be found, ascending."""
        return np.setdiff1d(np.arange(len(self.keys)), self._hidden)

    def rows_of(self, catalog_rows: np.ndarray) -> np.ndarray:
        """The rows of those catalog rows that can be found, in the order of `catalog_rows`."""
        live = self.live[self.rows[self.live] >= 0]
        order = np.argsort(self.rows[live], kind="stable")
        sorted_rows = self.rows[live][order]
        place = np.searchsorted(sorted_rows, catalog_rows)
        inside = np.minimum(place, max(len(sorted_rows) - 1, 0))
        if not len(sorted_rows):
            return np.zeros(0, np.int64)
        return live[order[inside[sorted_rows[inside] == catalog_rows]]]

    def embeddings(self, rows: np.ndarray) -> npt.NDArray[np.float32]:
        """`[n, dim]` item embeddings of rows."""
        size = len(self.build.keys)
        found = self.build.embeddings[np.minimum(rows, size - 1)]
        is_added = rows >= size
        found[is_added] = self.added.item[rows[is_added] - size]
        return found

    def query_embeddings(self, rows: np.ndarray, exported: Exported) -> npt.NDArray[np.float32]:
        """`[n, dim]` embeddings of items as queries: the tower's, or those that were kept."""
        kept = self._kept_queries
        of_catalog = self.rows[rows]
        is_kept = of_catalog < 0
        found = np.empty((len(rows), kept.shape[1]), np.float32)
        if is_kept.any():
            found[is_kept] = kept[self._place_without_row[rows[is_kept]]]
        if not is_kept.all():
            found[~is_kept] = exported.query_embeddings(of_catalog[~is_kept])
        return found

    def search(
        self, queries: npt.NDArray[np.float32], k: int, retrieval: str = ""
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """The top `k` items of each query.

        Args:
          queries: `[num_queries, dim]` float32.
          k: number of items; all where there are fewer.
          retrieval: `exact` or `scann`; by default as the index was built.

        Returns:
          `[num_queries, min(k, num_items)]` scores, descending, and rows; where an approximate
          search finds fewer, the rest are row -1 with score -inf.
        """
        search = self.build.search(retrieval)
        k = min(k, self.num_items)
        if not k:
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        spare, most = _SPARE if len(self._hidden) else 0, len(self._hidden)
        while True:
            found, of_build = search.search(queries, k + min(spare, most))
            scores, rows = found.copy(), of_build.astype(np.int64)
            is_hidden = np.isin(rows, self._hidden)
            if spare >= most or (is_hidden.sum(axis=1) <= spare).all():
                break
            spare *= 4
        scores[is_hidden], rows[is_hidden] = -np.inf, -1
        if len(self.added.keys):
            beside = queries @ self.added.item.T
            scores = np.concatenate([scores, beside], axis=1)
            new = len(self.build.keys) + np.arange(len(self.added.keys))
            rows = np.concatenate([rows, np.broadcast_to(new, beside.shape)], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)


def of_catalog(exported: Exported) -> Index:
    """An index over a model's catalog that is in no file."""
    catalog, embeddings = exported.catalog(schema.ITEM), exported.item_embeddings
    added = no_items(embeddings.shape[1])
    build = Build(
        number=0,
        path=exported.path / _NOWHERE,
        keys=catalog.keys,
        titles=catalog.titles,
        rows=np.arange(catalog.num_items),
        embeddings=embeddings,
        queries=added.query,
        columns=(),
        retrieval=EXACT,
    )
    return Index(build, added, frozenset(), 0)


def no_items(dim: int) -> Added:
    """Nothing added."""
    nothing = np.zeros((0, dim), np.float32)
    return Added((), (), nothing, nothing, ())


def described(index: Index) -> dict[str, Any]:
    """What a command says of an index."""
    return {
        "version": index.version,
        "build": index.build.number,
        "retrieval": index.build.retrieval,
        "items": index.num_items,
        "added": len(index.added.keys),
        "removed": len(index.removed),
    }
