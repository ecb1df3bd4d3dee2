"""The features of a catalog in one array, from which batches gather rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from ssl_recsys.data.catalog import Catalog


class PackedFeatures:
    """All features of the catalog in one matrix, so that an item is one place in memory.

    A random row costs a cache miss for each array that it is in, more than copying it.

    Args:
      features: feature name -> `[num_items, width]` int32 or float32.
    """

    def __init__(self, features: Mapping[str, np.ndarray]):
        self._columns = {name: (v.shape[1], tf.as_dtype(v.dtype)) for name, v in features.items()}
        packed = [np.ascontiguousarray(values).view(np.int32) for values in features.values()]
        self._packed = tf.constant(np.concatenate(packed, axis=1))

    def of_rows(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Feature name -> `[len(rows), width]`."""
        widths = [width for width, _ in self._columns.values()]
        parts = tf.split(tf.gather(self._packed, rows), widths, axis=1)
        return {
            name: tf.bitcast(part, dtype)
            for part, (name, (_, dtype)) in zip(parts, self._columns.items(), strict=True)
        }


def packed_by_side(catalogs: Mapping[str, Catalog]) -> dict[str, PackedFeatures]:
    """One matrix for each catalog; sides that share their catalog share it."""
    packed = {id(catalog): PackedFeatures(catalog.features) for catalog in catalogs.values()}
    return {side: packed[id(catalog)] for side, catalog in catalogs.items()}
