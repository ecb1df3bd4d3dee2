"""Approximate search by ScaNN.

ScaNN partitions the items into leaves, scores those of the best leaves by quantised products and
scores the best of them again exactly. It runs on Linux only.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys import files
from ssl_recsys.errors import InputError
from ssl_recsys.search import FLOAT32
from ssl_recsys.search.exact import count_at_least, num_threads
from ssl_recsys.search.inputs import (
    check_embeddings,
    check_pairs,
    check_positive,
    check_queries,
)
from ssl_recsys.search.scann_params import ScannParams, calibrate, choose_scann_params

PARAMS_FILE = "scann.json"

_DEFAULT_NEIGHBORS = 50  # searches pass their own number
_QUERY_CHUNK = 1 << 14


class ScannSearch:
    """ScaNN over item embeddings: the methods of `ExactSearch`, approximate.

    Made by `build` or `load`. Memory: the corpus as `params.reorder_dtype` and, with leaves, a code
    of dim / 4 bytes for each item; while it is built, a copy in float32 besides.

    Attributes:
      params: how the index was built and is searched.
      build_seconds: how long that took, calibration included.
    """

    def __init__(
        self, searcher: Any, params: ScannParams, *, num_items: int, dim: int, build_seconds: float
    ) -> None:
        self._searcher = searcher
        self._searcher.set_num_threads(num_threads())
        self.params = params
        self.num_items, self.dim = num_items, dim
        self.build_seconds = build_seconds

    @classmethod
    def build(
        cls,
        item_embeddings: npt.ArrayLike,
        params: ScannParams | None = None,
        *,
        sample_queries: npt.ArrayLike | None = None,
        reorder_dtype: str = FLOAT32,
    ) -> ScannSearch:
        """Builds an index.

        Args:
          item_embeddings: `[num_items, dim]` float32, of length 1 or nearly so.
          params: if None, chosen from the corpus size, and how much is searched from a sample,
            so that recall@10 against exact search is 0.97 or more.
          sample_queries: `[num_queries, dim]` float32, queries as they will come, to sample from;
            if None, items with noise added are used.
          reorder_dtype: see `ScannParams`, for parameters that are chosen.

        Raises:
          InputError: if ScaNN is not installed, there is no item, or an embedding holds NaN or
            infinity.
        """
        items = check_embeddings(item_embeddings, side="item")
        if len(items) == 0:
            raise InputError("expected at least one item to index, got an empty catalog")
        start = time.perf_counter()
        index = cls._build(
            items, params or choose_scann_params(len(items), items.shape[1], reorder_dtype)
        )
        if params is None and index.params.num_leaves:
            queries = None if sample_queries is None else check_queries(sample_queries, index.dim)
            index.params = calibrate(
                index.params,
                items,
                lambda tried, sample, k: _exact_scores(
                    sample, items, index.with_params(tried).search(sample, k)[1]
                ),
                queries,
            )
        index.build_seconds = time.perf_counter() - start
        return index

    @classmethod
    def _build(cls, items: npt.NDArray[np.float32], params: ScannParams) -> ScannSearch:
        builder = _scann().builder(items, min(_DEFAULT_NEIGHBORS, len(items)), "dot_product")
        builder.set_n_training_threads(num_threads())
        if params.num_leaves:
            builder = (
                builder.tree(
                    num_leaves=params.num_leaves,
                    num_leaves_to_search=params.leaves_to_search,
                    training_sample_size=params.training_sample,
                    spherical=True,
                )
                .score_ah(
                    params.dimensions_per_block,
                    anisotropic_quantization_threshold=params.anisotropic_threshold,
                    training_sample_size=params.training_sample,
                )
                .reorder(
                    params.reorder_factor * _DEFAULT_NEIGHBORS,
                    quantize=_reorder_type(params.reorder_dtype),
                )
            )
        else:
            builder = builder.score_brute_force()
        num_items, dim = items.shape
        return cls(builder.build(), params, num_items=num_items, dim=dim, build_seconds=0.0)

    def with_params(self, params: ScannParams) -> ScannSearch:
        """The same index, searched with `leaves_to_search` and `reorder_factor` of `params`."""
        return ScannSearch(
            self._searcher,
            params,
            num_items=self.num_items,
            dim=self.dim,
            build_seconds=self.build_seconds,
        )

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Writes the index to `directory`, which may then be moved; `scann.json` comes last."""
        path = pathlib.Path(directory)
        path.mkdir(parents=True, exist_ok=True)
        (path / PARAMS_FILE).unlink(missing_ok=True)
        self._searcher.serialize(str(path), relative_path=True)
        fields = {
            "num_items": self.num_items,
            "dim": self.dim,
            "build_seconds": self.build_seconds,
            "params": dataclasses.asdict(self.params),
        }
        (path / PARAMS_FILE).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> ScannSearch:
        """Reads an index that `save` wrote.

        Raises:
          FileNotFoundError: if there is none in `directory`.
          InputError: if it is damaged, or ScaNN is not installed.
        """
        path = pathlib.Path(directory)
        if not (path / PARAMS_FILE).is_file():
            raise FileNotFoundError(
                f"{path} holds no ScaNN index (no {PARAMS_FILE}); `ScannSearch.save` writes one"
            )
        scann = _scann()
        try:
            fields = files.read_json(path / PARAMS_FILE)
            params = ScannParams(**fields.pop("params"))
            searcher = scann.load_searcher(str(path), assets_backcompat_shim=False)
            return cls(searcher, params, **fields)
        except (ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
            raise InputError(
                f"the ScaNN index in {path} is damaged ({error}); delete the directory and build "
                "the index again"
            ) from error

    def search(
        self, queries: npt.ArrayLike, k: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """As `Search.search`, approximately.

        Where the searched leaves hold fewer items, the rest are row -1 with score -inf.
        """
        queries = check_queries(queries, self.dim)
        check_positive(k=k)
        num_top = min(k, self.num_items)
        scores = np.empty((len(queries), num_top), np.float32)
        rows = np.empty((len(queries), num_top), np.int32)
        for start in range(0, len(queries), _QUERY_CHUNK):
            chunk = slice(start, start + _QUERY_CHUNK)
            rows[chunk], scores[chunk] = self._searcher.search_batched_parallel(
                queries[chunk],
                final_num_neighbors=num_top,
                pre_reorder_num_neighbors=min(num_top * self.params.reorder_factor, self.num_items),
                leaves_to_search=self.params.leaves_to_search or None,
            )
        is_missing = np.isnan(scores)  # ScaNN writes row 0 there
        scores[is_missing], rows[is_missing] = -np.inf, -1
        return scores, rows

    def ranks(
        self,
        queries: npt.ArrayLike,
        query_of_pair: npt.ArrayLike,
        item_row: npt.ArrayLike,
        max_rank: int,
    ) -> npt.NDArray[np.int32]:
        """As `Search.ranks`, in what ScaNN returns for each query.

        The rank is the item's among the first max_rank + 1; one that is not among them has rank
        max_rank + 1.
        """
        return self.ranks_and_top(queries, query_of_pair, item_row, max_rank, 1)[0]

    def ranks_and_top(
        self,
        queries: npt.ArrayLike,
        query_of_pair: npt.ArrayLike,
        item_row: npt.ArrayLike,
        max_rank: int,
        k: int,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """As `Search.ranks_and_top`; row -1 stands for no item, as in `search`."""
        queries = check_queries(queries, self.dim)
        check_positive(max_rank=max_rank, k=k)
        query_of_pair, item_row = check_pairs(
            query_of_pair, item_row, num_queries=len(queries), num_items=self.num_items
        )
        by_query = np.argsort(query_of_pair, kind="stable")
        sorted_queries = query_of_pair[by_query]
        ranks = np.empty(len(item_row), np.int32)
        top = np.empty((len(queries), min(k, self.num_items)), np.int32)
        for start in range(0, len(queries), _QUERY_CHUNK):
            chunk = slice(start, start + _QUERY_CHUNK)
            scores, rows = self.search(queries[chunk], max(max_rank + 1, k))
            top[chunk] = rows[:, :k]
            first, last = np.searchsorted(sorted_queries, [start, start + _QUERY_CHUNK])
            pairs = by_query[first:last]
            ranks[pairs] = _listed_ranks(
                scores, rows, query_of_pair[pairs] - start, item_row[pairs], max_rank
            )
        return np.minimum(ranks, max_rank + 1), top


def _listed_ranks(
    scores: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int32],
    query_of_pair: npt.NDArray[np.int64],
    item_row: npt.NDArray[np.int64],
    max_rank: int,
) -> npt.NDArray[np.int32]:
    """`[num_pairs]` ranks of the items in their queries' lists, `scores` and `rows` [n, k]."""
    ranks = np.full(len(item_row), max_rank + 1, np.int32)
    for column in range(rows.shape[1]):
        found = np.flatnonzero(rows[query_of_pair, column] == item_row)
        own = scores[query_of_pair[found], column]
        ranks[found] = count_at_least(scores, query_of_pair[found], own)
    return ranks


def _exact_scores(
    queries: npt.NDArray[np.float32],
    items: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int32],
) -> npt.NDArray[np.float32]:
    """`[n, k]` scores of each query with the items that were found for it; -inf for row -1."""
    scores = np.einsum("qd,qkd->qk", queries, items[np.maximum(rows, 0)])
    return np.where(rows < 0, -np.inf, scores).astype(np.float32)


def _reorder_type(name: str) -> Any:
    """ScaNN's word for a type of `REORDER_DTYPES`."""
    from scann.scann_ops.py.scann_builder import ReorderType

    return ReorderType[name.upper()]


def _scann() -> Any:
    try:
        from scann.scann_ops.py import scann_ops_pybind
    except ImportError as error:
        raise InputError(
            f"ScaNN is not usable here ({error}); it is made for Linux only: "
            "pip install 'scann[tf]' there, or use --retrieval=exact"
        ) from error
    return scann_ops_pybind
