"""A model as it is served: towers, one version of its index, and what its items are.

A `LiveModel` never changes. A reload or a change of items makes another one, and a request keeps
the one that it began with.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys import files, schema
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation.metrics import head_items
from ssl_recsys.methods import METHODS
from ssl_recsys.raw import rules
from ssl_recsys.serving import index_files, raw_queries
from ssl_recsys.serving.explain import Explainer
from ssl_recsys.serving.feature_values import FeatureValues
from ssl_recsys.serving.index import Columns, Index, of_catalog
from ssl_recsys.serving.raw_items import Embedders, column_kinds
from ssl_recsys.serving.suggest import Suggestions, fold, has_prefix
from ssl_recsys.serving.versions import Store
from ssl_recsys.training import run_dir
from ssl_recsys.training.export import Exported, load_export

HEAD, TAIL, FRESH = SLICES = ("head", "tail", "fresh")
TEXT, LIST, NUMBER, VECTOR = COLUMN_KINDS = ("text", "list", "number", "vector")


@dataclasses.dataclass(frozen=True)
class Trained:
    """What comes from training alone and outlives every version of the index.

    Attributes:
      exported: the export directory, loaded.
      embedders: the towers over raw features; None where the dataset did not say how its features
        are made of raw ones.
      features: the items' features as texts.
      is_head: `[num_items]` bool.
      train_count: `[num_items]` int64, training pairs that lead to each item.
      method: the training method, empty where it is not known.
    """

    exported: Exported
    embedders: Embedders | None
    features: FeatureValues
    is_head: np.ndarray
    train_count: np.ndarray
    method: str

    @property
    def catalog(self) -> Catalog:
        """The items that the model was trained with."""
        return self.exported.catalog(schema.ITEM)

    @functools.cached_property
    def explainer(self) -> Explainer:
        """Tells what scores rest on."""
        return Explainer(self.exported, self.embedders)


@dataclasses.dataclass(frozen=True)
class LiveModel:
    """One version of a model.

    Attributes:
      name: the model's, as requests have it.
      model_dir: its directory.
      trained: what comes from training.
      index: a version of its index.
      build_titles: finds titles of the index's build.
    """

    name: str
    model_dir: pathlib.Path
    trained: Trained
    index: Index
    build_titles: Suggestions

    def with_index(self, index: Index) -> LiveModel:
        """The same model with another version of its index."""
        if index.build is self.index.build:
            return dataclasses.replace(self, index=index)
        index.build.search("")  # loaded now, not by the first request
        titles = _suggestions(self.trained, index)
        return dataclasses.replace(self, index=index, build_titles=titles)

    def row(self, key: str) -> int:
        """The index's row of an item.

        Raises:
          UnknownItemError: if there is none with this key.
        """
        row = self.index.row(key)
        if row is None:
            raise UnknownItemError(f"there is no item {key!r} in model {self.name!r}")
        return row

    def slice_of(self, row: int) -> str:
        """Whether the item of a row is head, tail, or fresh: unknown to the model."""
        of_catalog = self.index.rows[row]
        if of_catalog < 0:
            return FRESH
        return HEAD if self.trained.is_head[of_catalog] else TAIL

    def described(self, row: int) -> dict[str, Any]:
        """What answers say of the item of a row: key, title, slice and training pairs."""
        of_catalog = self.index.rows[row]
        return {
            "key": self.index.keys[row],
            "title": self.index.titles[row],
            "slice": self.slice_of(row),
            "train_count": 0 if of_catalog < 0 else int(self.trained.train_count[of_catalog]),
        }

    def features_of(self, row: int) -> dict[str, list[str]]:
        """The features of the item of a row, as texts."""
        return self.trained.features.of_row(self.index, row)

    def embedders(self) -> Embedders:
        """The towers over raw features.

        Raises:
          InputError: if this model takes none.
        """
        if self.trained.embedders is None:
            raise InputError(
                f"model {self.name!r} takes no raw features: its dataset does not say how they "
                "become encoded ones"
            )
        return self.trained.embedders

    def query_embeddings(
        self, rows: Sequence[int], raw: Sequence[Columns]
    ) -> npt.NDArray[np.float32]:
        """`[rows + raw, dim]` embeddings as queries, of rows of the index, then of raw features."""
        parts = []
        if rows:
            of_rows = np.array(rows, np.int64)
            parts.append(self.index.query_embeddings(of_rows, self.trained.exported))
        if raw:
            parts.append(self.embed(schema.QUERY, raw))
        return np.concatenate(parts)

    def embed(self, side: str, raw: Sequence[Columns]) -> npt.NDArray[np.float32]:
        """`[items, dim]` embeddings of raw features, one or more, on a side."""
        return self.embedders().embed(side, {name: [one[name] for one in raw] for name in raw[0]})

    def suggested(self, prefix: str, limit: int) -> list[int]:
        """Rows of items whose title, or a word of it, begins with a prefix; fresh items last."""
        index, size = self.index, len(self.index.build.keys)
        rows = self.build_titles.rows(
            prefix, limit, lambda row: index.row(index.build.keys[row]) == row
        )
        added = enumerate(index.added.titles, start=size)
        rows += [row for row, title in added if has_prefix(fold(title), fold(prefix))]
        return rows[:limit]

    def summary(self) -> dict[str, Any]:
        """What `GET /v1/models` says."""
        exported, index = self.trained.exported, self.index
        method = self.trained.method
        return {
            "name": self.name,
            "model_dir": str(self.model_dir),
            "method": method or None,
            "label": METHODS[method].label if method in METHODS else self.name,
            "items": index.num_items,
            "fresh": self.num_fresh,
            "removed": len(index.removed),
            "index_version": index.version,
            "retrieval": index.build.retrieval,
            "num_train_pairs": int(exported.item_counts.sum()),
            "queries": "users" if exported.info.queries else "items",
            "raw": self._raw() if exported.info.raw else None,
        }

    @functools.cached_property
    def num_fresh(self) -> int:
        """Number of items that can be found and are unknown to the model."""
        return int((self.index.rows[self.index.live] < 0).sum())

    def _raw(self) -> dict[str, Any]:
        raw = self.trained.exported.info.raw
        assert raw is not None
        feature_of = {one.column: one for one in reversed(raw.features)}
        columns = [
            {
                "name": name,
                "kind": _kind(feature_of.get(name), is_list=is_list),
                "feature": feature_of[name].name if name in feature_of else None,
                "label": name.replace("_", " ").capitalize(),
            }
            for name, is_list in column_kinds(raw).items()
            if name in feature_of or name == raw.title
        ]
        return {"key": raw.key, "title": raw.title or None, "columns": columns}


class UnknownItemError(InputError):
    """A key that no item of a model has."""


def load(name: str, model_dir: pathlib.Path, *, verify: bool) -> LiveModel:
    """Loads a model with the current version of its index, or over its catalog without one.

    Raises:
      FileNotFoundError: if the run is not finished.
      InputError: if a file is damaged, or the index is another model's.
    """
    trained = load_trained(model_dir, verify=verify)
    found = index_files.load(Store(model_dir), trained.exported, verify=verify)
    index = found or of_catalog(trained.exported)
    live = LiveModel(name, model_dir, trained, index, _suggestions(trained, index))
    if index.num_items:  # else a first request would wait for what this loads
        dim = trained.exported.item_embeddings.shape[1]
        live.index.search(np.zeros((1, dim), np.float32), 1)
    return live


def load_trained(model_dir: pathlib.Path, *, verify: bool) -> Trained:
    """Loads what training left, and calls the towers, whose first calls take long.

    Raises:
      FileNotFoundError: if the run is not finished.
      InputError: if a file is damaged, or queries are users and take no raw features.
    """
    exported = load_export(model_dir, verify=verify)
    info, catalog = exported.info, exported.catalog(schema.ITEM)
    embedders = None
    if all(info.raw_of(side) for side in schema.SIDES):
        embedders = Embedders(exported)
        for side in schema.SIDES:
            embedders.embed(side, raw_queries.nothing(embedders.raw_of(side)))
    elif info.queries:
        raise InputError(
            f"{model_dir}: its queries are users, and its dataset does not say how their features "
            "are made of raw ones, without which nothing can be asked; make it with a data job"
        )
    return Trained(
        exported,
        embedders,
        FeatureValues(info, catalog, exported.path),
        head_items(info.head, catalog.train_count),
        catalog.train_count,
        _method(model_dir),
    )


def _suggestions(trained: Trained, index: Index) -> Suggestions:
    counts = np.append(trained.train_count, 0)  # of row -1, an item that was added
    return Suggestions(index.build.titles.tolist(), counts[index.build.rows])


def _method(model_dir: pathlib.Path) -> str:
    path = model_dir / run_dir.CONFIG_FILE
    content = files.read_json(path) if path.is_file() else {}
    return str(content.get("config", {}).get("ssl", {}).get("method", ""))


def _kind(feature: rules.RawFeature | None, *, is_list: bool) -> str:
    if is_list:
        return VECTOR if feature is not None and feature.rule in rules.VECTORS else LIST
    return NUMBER if feature is not None and feature.rule == rules.NUMBER else TEXT
