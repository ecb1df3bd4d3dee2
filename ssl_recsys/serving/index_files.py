"""Writes and reads the versions of a model's index, see `versions`."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Collection, Sequence

import numpy as np

from ssl_recsys import files
from ssl_recsys.errors import InputError
from ssl_recsys.search import FLOAT32, SCANN
from ssl_recsys.search.scann import ScannSearch
from ssl_recsys.serving.index import SCANN_DIR, Added, Build, Index, no_items, of_catalog
from ssl_recsys.serving.versions import BUILDS, VERSIONS, Store
from ssl_recsys.training.export import Exported

_BUILD, _VERSION, _ADDED = "build.json", "version.json", "added.npz"
_EMBEDDINGS, _QUERIES = "embeddings.npy", "queries.npy"
_BUILD_TYPES = {
    **{"model": str, "retrieval": str},
    **{"keys": list, "titles": list, "rows": list, "columns": list},
}
_VERSION_TYPES = {"build": int, "keys": list, "titles": list, "removed": list, "columns": list}
_OPTIONAL = ("columns",)  # earlier versions kept no raw features


def model_id(export: pathlib.Path) -> str:
    """What tells a model from others: the digest of its manifest."""
    return _digest(export)


def _digest(directory: pathlib.Path) -> str:
    return hashlib.sha256((directory / files.MANIFEST_FILE).read_bytes()).hexdigest()


def load(
    store: Store,
    exported: Exported,
    *,
    version: int | None = None,
    verify: bool = True,
    loaded: Build | None = None,
) -> Index | None:
    """The current version of a model's index, or another; None where the model has none.

    Args:
      store: the directory of the model's indexes.
      exported: the model.
      version: its number; None for the current one.
      verify: compare files with their manifests.
      loaded: a build of the same store and model that is in memory and is used again if it is the
        version's.

    Raises:
      InputError: if it is damaged, or another model's.
    """
    version = store.current() if version is None else version
    if version is None:
        return None
    path = store.directory(VERSIONS, version, verify=verify)
    content = files.read_json(path / _VERSION)
    files.check_types(str(path / _VERSION), content, _VERSION_TYPES, _OPTIONAL)
    build = loaded
    if build is None or not _is_current(store, build, content["build"]):
        build = _load_build(store, exported, content["build"], verify=verify)
    keys = tuple(content["keys"])
    with np.load(path / _ADDED) as arrays:
        added = Added(
            keys,
            tuple(content["titles"]),
            arrays["item"],
            arrays["query"],
            tuple(content.get("columns") or ({} for _ in keys)),
        )
    return Index(build, added, frozenset(content["removed"]), version)


def _is_current(store: Store, build: Build, number: int) -> bool:
    path = store.path / BUILDS / str(number) / files.MANIFEST_FILE
    return build.number == number and path.is_file() and build.digest == _digest(path.parent)


def _load_build(store: Store, exported: Exported, number: int, *, verify: bool) -> Build:
    path = store.directory(BUILDS, number, verify=verify)
    content = files.read_json(path / _BUILD)
    files.check_types(str(path / _BUILD), content, _BUILD_TYPES, _OPTIONAL)
    if content["model"] != model_id(exported.path):
        raise InputError(
            f"{path} is the index of another model than {exported.path}; build it again: python "
            f"-m ssl_recsys.index --model_dir={exported.path.parent} --from_catalog, and add the "
            "items that it lacks"
        )
    # Mapped: pages come as they are searched, see `ExactSearch`.
    embeddings = np.load(path / _EMBEDDINGS, mmap_mode="c")
    keys, titles = (np.array(content[name], object) for name in ("keys", "titles"))
    rows = np.array(content["rows"], np.int64)
    queries = np.load(path / _QUERIES)
    columns = content.get("columns") or [{} for _ in queries]
    return Build(
        number=number,
        path=path,
        keys=keys,
        titles=titles,
        rows=rows,
        embeddings=embeddings,
        queries=queries,
        columns=columns,
        retrieval=content["retrieval"],
        digest=_digest(path),
    )


def saved_scann(
    model_dir: str | os.PathLike[str], exported: Exported, *, verify: bool
) -> ScannSearch | None:
    """The ScaNN index over exactly a model's catalog, if its current index was built as such."""
    found = load(Store(model_dir), exported, verify=verify)
    if found is None or found.build.retrieval != SCANN:
        return None
    return found.build.scann if found.build.is_catalog(exported.info.num_items) else None


def build(
    store: Store,
    exported: Exported,
    old: Index | None,
    retrieval: str,
    *,
    reorder_dtype: str = FLOAT32,
) -> int:
    """Builds an index over the model's catalog, or over what an old one finds; returns its version.

    Args:
      store: where it is written; the caller holds its lock.
      exported: the model.
      old: the index whose added items are taken in and whose removed ones are left out.
      retrieval: `exact` or `scann`.
      reorder_dtype: what a ScaNN index keeps of the items, see `ScannParams`.
    """
    old = old or of_catalog(exported)
    live = old.live
    rows, embeddings = old.rows[live], old.embeddings(live)

    def write(path: pathlib.Path) -> None:
        np.save(path / _EMBEDDINGS, embeddings)
        np.save(path / _QUERIES, old.query_embeddings(live[rows < 0], exported))
        content = {
            "model": model_id(exported.path),
            "retrieval": retrieval,
            "keys": old.keys[live].tolist(),
            "titles": old.titles[live].tolist(),
            "rows": rows.tolist(),
            "columns": [old.columns(row) for row in live[rows < 0].tolist()],
        }
        files.write_json(path / _BUILD, content)
        if retrieval == SCANN:
            found = ScannSearch.build(
                embeddings, sample_queries=exported.sample_queries(), reorder_dtype=reorder_dtype
            )
            found.save(path / SCANN_DIR)

    return add_version(store, store.add(BUILDS, write), no_items(embeddings.shape[1]), ())


def add_version(store: Store, build: int, added: Added, removed: Collection[str]) -> int:
    """Writes a version and makes it the current one; the caller holds the store's lock."""
    content = {
        "build": build,
        "keys": added.keys,
        "titles": added.titles,
        "columns": added.columns,
        "removed": sorted(removed),
    }

    def write(path: pathlib.Path) -> None:
        np.savez(path / _ADDED, item=added.item, query=added.query)
        files.write_json(path / _VERSION, content)

    version = store.add(VERSIONS, write)
    store.use(version)
    return version


def change(store: Store, index: Index, added: Added, removed: Sequence[str]) -> int:
    """Adds or changes items, and removes others; returns the new version.

    Args:
      store: where it is written; the caller holds its lock.
      index: the version that is changed, the current one.
      added: items; one with the key of an item that is there takes its place.
      removed: keys of items that are there.

    Raises:
      InputError: if a key that is removed is not there.
    """
    for key in removed:
        if index.row(key) is None:
            raise InputError(f"there is no item {key!r} in the index to remove")
    now = index.added.without(set(removed)).and_then(added)
    gone = (index.removed | {*removed}) - {*added.keys}
    return add_version(store, index.build.number, now, gone & index.build.row_of.keys())


def prune(store: Store, kept: int) -> None:
    """Removes versions but the newest, the current one, and those of a build without changes.

    Args:
      store: the directory of the model's indexes; the caller holds its lock.
      kept: how many of the newest are kept.
    """
    current = store.current()
    for version in store.versions()[:-kept]:
        content = files.read_json(store.directory(VERSIONS, version, verify=False) / _VERSION)
        is_changed = content["keys"] or content["removed"]
        if is_changed and version != current:
            store.remove(VERSIONS, version)
