"""Embeddings of many rows: the step between a model and a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from ssl_recsys.data.catalog import Catalog

_BATCH = 4096

# Features of a batch, name -> [batch, width], to embeddings [batch, dim].
Embedder = Callable[[Mapping[str, tf.Tensor]], tf.Tensor]


def embed_rows(embedder: Embedder, catalog: Catalog, rows: np.ndarray | None = None) -> np.ndarray:
    """Embeds catalog rows, all of them by default.

    Args:
      embedder: a tower.
      catalog: where the rows' features are.
      rows: `[n]` rows, or None for the whole catalog.

    Returns:
      `[n, dim]` float32, in memory that `search.exact` can share.
    """
    count = catalog.num_items if rows is None else len(rows)
    embeddings: np.ndarray | None = None
    for begin in range(0, count, _BATCH):
        chosen = slice(begin, begin + _BATCH) if rows is None else rows[begin : begin + _BATCH]
        features = catalog.rows(chosen)
        size = len(next(iter(features.values())))
        if size < _BATCH and count > _BATCH:
            # Pad the last batch to the full size to avoid retracing.
            features = {
                name: np.pad(values, ((0, _BATCH - size), (0, 0)))
                for name, values in features.items()
            }
        tensors = {name: tf.constant(values) for name, values in features.items()}
        part = embedder(tensors).numpy()[:size]
        if embeddings is None:
            embeddings = _empty_aligned(count, part.shape[1])
        embeddings[begin : begin + size] = part
    assert embeddings is not None, "a catalog has items"
    return embeddings


def _empty_aligned(rows: int, columns: int) -> np.ndarray:
    """`[rows, columns]` float32 that begins at a multiple of 64 bytes, as TensorFlow wants."""
    room = np.empty(rows * columns + 16, np.float32)
    first = (-room.ctypes.data % 64) // 4
    return room[first : first + rows * columns].reshape(rows, columns)
