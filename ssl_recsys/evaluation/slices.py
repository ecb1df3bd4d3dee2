"""Slices of the evaluation pairs by their item: its training pairs, or a value that it has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys import schema
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation.metrics import recall_at


def by_frequency(
    ranks: npt.NDArray[np.integer], counts: npt.NDArray[np.integer], k: int
) -> list[dict[str, Any]]:
    """Recall@k against the number of training pairs of a pair's item, in bins of powers of two.

    Args:
      ranks: `[num_pairs]` int from 1.
      counts: `[num_pairs]` int, training pairs of each pair's item.
      k: number of items that are looked at.

    Returns:
      Bins 0, 1, 2 to 3, 4 to 7, … to the largest with a pair: `min_count`, `max_count`,
      `num_pairs` and `recall@k`, None for a bin without pairs.
    """
    _, bins = np.frexp(counts.astype(np.float64))  # the bits of each count
    found = []
    for number in range(int(bins.max(initial=-1)) + 1):
        mine = ranks[bins == number]
        found.append(
            {
                "min_count": 2 ** (number - 1) if number else 0,
                "max_count": 2**number - 1,
                "num_pairs": len(mine),
                f"recall@{k}": recall_at(mine, k) if len(mine) else None,
            }
        )
    return found


def items_with(
    texts: Sequence[str],
    catalog: Catalog,
    info: schema.DatasetInfo,
    data_dir: str | os.PathLike[str],
) -> dict[str, npt.NDArray[np.bool_]]:
    """Which items have a value of a feature.

    Args:
      texts: `feature=value`; an empty value stands for items without one.
      catalog: the items.
      info: the dataset's description.
      data_dir: directory with the vocabularies, of a dataset or an export.

    Returns:
      text -> `[num_items]` bool.

    Raises:
      InputError: for a text of another form, or a feature or value that the dataset lacks.
    """
    return {text: _items_with(text, catalog, info, data_dir) for text in texts}


def _items_with(
    text: str, catalog: Catalog, info: schema.DatasetInfo, data_dir: str | os.PathLike[str]
) -> npt.NDArray[np.bool_]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--slice={text}: expected FEATURE=VALUE, as in category=games")
    spec = info.feature(name)
    if not spec.is_embedded:
        raise InputError(
            f"--slice={text}: {name} is a feature of numbers; slices are chosen by a value of a "
            "categorical or bag feature"
        )
    ids = catalog.features[name]
    if not value:
        return np.asarray(~(ids > 0).any(axis=1))
    path = schema.vocab_path(data_dir, name)
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.rstrip("\n") == value:
                return np.asarray((ids == number).any(axis=1))
    raise InputError(
        f"--slice={text}: the vocabulary of {name} has no {value!r}; {path} lists its values"
    )
