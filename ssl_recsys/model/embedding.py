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
      `[n, dim]` float32.
    """
    count = catalog.num_items if rows is None else len(rows)
    parts = []
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
        parts.append(embedder(tensors).numpy()[:size])
    return np.concatenate(parts)
