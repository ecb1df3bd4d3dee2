"""Catalogs in an export directory: encoded features as arrays, keys and titles as lines of text."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ssl_recsys import schema
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.errors import InputError
from ssl_recsys.schema import ITEM

_FEATURE_PREFIX = "feature_"


class _CatalogFiles(NamedTuple):
    arrays: str
    keys: str
    titles: str


def _catalog_files(side: str) -> _CatalogFiles:
    """The files of the catalog of a side that is not the other's, too."""
    if side == ITEM:
        return _CatalogFiles("catalog.npz", "keys.txt", "titles.txt")
    return _CatalogFiles("queries.npz", "query_keys.txt", "query_titles.txt")


def write_catalog(
    directory: pathlib.Path, catalog: Catalog, side: str, more: Mapping[str, np.ndarray]
) -> None:
    """Writes the catalog of a side.

    Args:
      directory: the export directory.
      catalog: the catalog.
      side: whose it is; that of items is the queries' too where a query is an item.
      more: further arrays by name.
    """
    names = _catalog_files(side)
    arrays = {f"{_FEATURE_PREFIX}{name}": array for name, array in catalog.features.items()}
    arrays |= {"train_count": catalog.train_count, **more}
    with (directory / names.arrays).open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    _write_lines(directory / names.keys, catalog.keys)
    _write_lines(directory / names.titles, catalog.titles)


def read_catalog(
    directory: pathlib.Path, info: schema.DatasetInfo, side: str, more: Sequence[str]
) -> tuple[Catalog, list[np.ndarray]]:
    """Reads what `write_catalog` wrote.

    Args:
      directory: the export directory.
      info: the dataset's description.
      side: whose catalog it is.
      more: names of the further arrays.

    Returns:
      The catalog, and the further arrays.

    Raises:
      InputError: if there are arrays missing.
    """
    names = _catalog_files(side)
    with np.load(directory / names.arrays) as file:
        arrays = dict(file)
    feature_names = [_FEATURE_PREFIX + spec.name for spec in info.features_of(side)]
    missing = {"train_count", *more, *feature_names} - arrays.keys()
    if missing:
        raise InputError(
            f"{directory / names.arrays} lacks {', '.join(sorted(missing))}: it is damaged, or "
            "another version wrote it; train the run again"
        )
    catalog = Catalog(
        keys=_read_lines(directory / names.keys),
        titles=_read_lines(directory / names.titles),
        train_count=arrays["train_count"],
        features={name.removeprefix(_FEATURE_PREFIX): arrays[name] for name in feature_names},
    )
    return catalog, [arrays[name] for name in more]


def _write_lines(path: pathlib.Path, values: np.ndarray) -> None:
    """One value a line; line breaks within a value become spaces."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for value in values:
            file.write(" ".join(value.splitlines()) + "\n")


def _read_lines(path: pathlib.Path) -> np.ndarray:
    return np.array(path.read_text(encoding="utf-8").split("\n")[:-1], dtype=object)
