"""Made-up embeddings to search: items in groups of uneven size, queries near items.

Trained towers put items of a topic together and spread topics over the sphere. Here an item is
its group's centre plus noise, groups have power-law sizes, and centres and noise have a spectrum
that falls off, as that of trained embeddings does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_FloatArray = npt.NDArray[np.float32]

_ITEMS_PER_GROUP = 100
_GROUP_SIZE_EXPONENT = 0.7
_SPECTRUM_EXPONENT = 0.5
_ITEM_NOISE = 0.5
_QUERY_NOISE = 0.5
_CHUNK = 1 << 17


def normalized(embeddings: npt.NDArray) -> _FloatArray:
    """`embeddings` [rows, dim] as float32 unit vectors."""
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return (embeddings / norms).astype(np.float32)


def clustered_items(num_items: int, dim: int, *, seed: int = 0) -> _FloatArray:
    """`[num_items, dim]` float32 unit vectors in groups of about 100."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, dim + 1, dtype=np.float32) ** -_SPECTRUM_EXPONENT
    num_groups = max(20, num_items // _ITEMS_PER_GROUP)
    centres = rng.standard_normal((num_groups, dim), np.float32) * scale
    share = np.arange(1, num_groups + 1) ** -_GROUP_SIZE_EXPONENT
    group = rng.choice(num_groups, num_items, p=share / share.sum())
    items = np.empty((num_items, dim), np.float32)
    for start in range(0, num_items, _CHUNK):
        part = group[start : start + _CHUNK]
        noise = rng.standard_normal((len(part), dim), np.float32) * scale
        items[start : start + _CHUNK] = normalized(centres[part] + _ITEM_NOISE * noise)
    return items


def queries_near(
    items: npt.NDArray, num_queries: int, *, seed: int = 1
) -> tuple[_FloatArray, npt.NDArray[np.int64]]:
    """Queries that are items plus noise.

    Returns:
      `[num_queries, dim]` float32 unit vectors, and the `[num_queries]` rows of their items.
    """
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(items), num_queries)
    noise = normalized(rng.standard_normal((num_queries, items.shape[1])))
    return normalized(items[rows] + _QUERY_NOISE * noise), rows
