"""The catalog of a dataset directory as arrays in memory."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ssl_recsys import schema
from ssl_recsys.data.records import parsing, read_all, record_files
from ssl_recsys.errors import InputError
from ssl_recsys.features import FeatureSpec, catalog_columns

_PARSE_BATCH = 4096


@dataclasses.dataclass(frozen=True)
class Catalog:
    """All items, as arrays whose index is the catalog row.

    Attributes:
      keys: `[num_items]` object array of str; unique names.
      titles: `[num_items]` object array of str.
      train_count: `[num_items]` int64, training pairs with the item as their item side.
      features: feature name -> `[num_items, width]` int32 ids or float32 values. A bag's width
        is that of its longest value list, at most its spec's `max_values`.
    """

    keys: np.ndarray
    titles: np.ndarray
    train_count: np.ndarray
    features: Mapping[str, np.ndarray]

    @property
    def num_items(self) -> int:
        """Number of items."""
        return len(self.keys)

    def users(self) -> npt.NDArray[np.integer]:
        """`[num_items]` of a catalog of users' queries, equal where the user is the same.

        They count from 0. A user's queries have the user's key for their title.
        """
        return np.unique(self.titles, return_inverse=True)[1]

    def batches(self, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
        """Features of all rows in order, `batch_size` at a time, the last batch shorter."""
        for begin in range(0, self.num_items, batch_size):
            yield self.rows(slice(begin, begin + batch_size))

    def rows(self, rows: np.ndarray | slice) -> dict[str, np.ndarray]:
        """Features of the given rows."""
        return {name: values[rows] for name, values in self.features.items()}


def load_catalog(data_dir: str | os.PathLike[str], info: schema.DatasetInfo, side: str) -> Catalog:
    """Reads the catalog of a side of the dataset directory that `info` describes.

    Raises:
      InputError: for a corrupt record file, duplicate keys, or rows out of order.
    """
    folder, specs, num_rows = info.catalog_dir(side), info.features_of(side), info.num_rows(side)
    description = parsing(catalog_columns(specs))
    dataset = (
        tf.data.TFRecordDataset(
            record_files(data_dir, folder, info.catalog_split(side)), num_parallel_reads=1
        )
        .batch(_PARSE_BATCH)
        .map(lambda records: _parse(records, description, specs), tf.data.AUTOTUNE)
        .prefetch(2)
    )
    columns = _read_columns(read_all(dataset, data_dir, folder))
    rows = columns.pop("row", np.zeros(0, np.int64))
    if len(rows) != num_rows or not np.array_equal(rows, np.arange(num_rows)):
        raise InputError(
            f"{data_dir}/{folder} does not hold the rows 0 to {num_rows - 1} in order that "
            f"{schema.DATASET_FILE} announces; make the dataset again"
        )
    catalog = Catalog(
        keys=columns.pop("key"),
        titles=columns.pop("title"),
        train_count=columns.pop("train_count"),
        features={spec.name: _as_matrix(columns[spec.name]) for spec in specs},
    )
    _check_catalog(catalog, specs, f"{data_dir}/{folder}")
    return catalog


def _parse(
    records: tf.Tensor, description: Mapping[str, Any], specs: Sequence[FeatureSpec]
) -> dict[str, tf.Tensor]:
    """Columns of a batch; features in the type of their arrays, half as wide as in the records."""
    parsed = tf.io.parse_example(records, description)
    columns = {
        name: value.to_tensor() if isinstance(value, tf.RaggedTensor) else value
        for name, value in parsed.items()
    }
    return columns | {spec.name: _narrowed(columns[spec.name], spec) for spec in specs}


def _narrowed(values: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """`values` in the type of the feature's array; ids that it cannot hold stay out of range."""
    dtype = tf.as_dtype(spec.array_dtype)
    if values.dtype.is_integer:
        values = tf.clip_by_value(values, dtype.min, dtype.max)
    return tf.cast(values, dtype)


def _read_columns(batches: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """All batches' columns, none of which is in memory twice but the one that is put together."""
    parts: dict[str, list[np.ndarray]] = {}
    for batch in batches:
        for name, values in batch.items():
            is_text = values.dtype == object
            parts.setdefault(name, []).append(_to_text(values) if is_text else values)
    return {name: _stack(parts.pop(name)) for name in list(parts)}


def _stack(arrays: list[np.ndarray]) -> np.ndarray:
    """Concatenates rows, narrower arrays padded with zeros to the widest (at least 1 wide)."""
    if arrays[0].ndim == 1:
        return np.concatenate(arrays)
    width = max(1, *(array.shape[1] for array in arrays))
    padded = [np.pad(array, ((0, 0), (0, width - array.shape[1]))) for array in arrays]
    return np.concatenate(padded)


def _as_matrix(values: np.ndarray) -> np.ndarray:
    """`[n]` scalars as `[n, 1]`; matrices as they are."""
    return values[:, np.newaxis] if values.ndim == 1 else values


def _to_text(values: np.ndarray) -> np.ndarray:
    return np.array([value.decode("utf-8") for value in values], dtype=object)


def _check_catalog(catalog: Catalog, specs: Sequence[FeatureSpec], folder: str) -> None:
    if len(set(catalog.keys)) < catalog.num_items:
        key, count = collections.Counter(catalog.keys).most_common(1)[0]
        raise InputError(
            f"{folder} has the key {key!r} {count} times; keys name items and must be unique"
        )
    for spec in specs:
        if expected := spec.fault(catalog.features[spec.name]):
            raise InputError(
                f"{folder}: feature {spec.name} must be {expected}, as {schema.DATASET_FILE} says; "
                "make the dataset again"
            )
