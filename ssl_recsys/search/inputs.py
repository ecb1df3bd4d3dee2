"""What both kinds of search ask of the arrays that they are given."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ssl_recsys.errors import InputError

_CHECK_ROWS = 1 << 16


def check_embeddings(embeddings: npt.ArrayLike, *, side: str) -> npt.NDArray[np.float32]:
    """`embeddings` as a C-contiguous float32 array `[rows, dim]`.

    Raises:
      InputError: if one holds NaN or infinity; the message names the side and the first row.
      ValueError: if it is no matrix.
    """
    array = np.ascontiguousarray(embeddings, dtype=np.float32)
    if np.ndim(embeddings) != 2 or array.shape[1] == 0:
        raise ValueError(f"{side} embeddings must be [rows, dim] (got {np.shape(embeddings)})")
    for start in range(0, len(array), _CHECK_ROWS):
        is_finite = np.isfinite(array[start : start + _CHECK_ROWS]).all(axis=1)
        if not is_finite.all():
            row = start + int(np.argmin(is_finite))
            raise InputError(
                f"expected finite {side} embeddings, got NaN or infinity in row {row}: the model "
                "has diverged; train it again with a lower learning rate, or evaluate an earlier "
                "checkpoint"
            )
    return array


def check_queries(queries: npt.ArrayLike, dim: int) -> npt.NDArray[np.float32]:
    """`queries` as a checked float32 array `[num_queries, dim]`.

    Raises:
      InputError: if a query holds NaN or infinity.
      ValueError: if its width is not `dim`.
    """
    array = check_embeddings(queries, side="query")
    if array.shape[1] != dim:
        raise ValueError(f"queries must have the items' {dim} dimensions (got {array.shape[1]})")
    return array


def check_pairs(
    query_of_pair: npt.ArrayLike, item_row: npt.ArrayLike, *, num_queries: int, num_items: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The two `[num_pairs]` columns as int64 arrays, lengths and ranges checked.

    Raises:
      ValueError: if the lengths differ, or a value is not in [0, num_queries) or [0, num_items).
    """
    columns = np.asarray(query_of_pair), np.asarray(item_row)
    if columns[0].ndim != 1 or columns[0].shape != columns[1].shape:
        raise ValueError(
            "query_of_pair and item_row must be [num_pairs] both "
            f"(got {columns[0].shape} and {columns[1].shape})"
        )
    for name, column, bound in zip(
        ("query_of_pair", "item_row"), columns, (num_queries, num_items), strict=True
    ):
        if column.size and not (column.min() >= 0 and column.max() < bound):
            raise ValueError(
                f"{name} must be in [0, {bound}) (got {column.min()} .. {column.max()})"
            )
    return columns[0].astype(np.int64), columns[1].astype(np.int64)


def check_positive(**counts: int) -> None:
    """Raises InputError for the first of `counts` that is below 1."""
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"{name} must be at least 1 (got {value})")
