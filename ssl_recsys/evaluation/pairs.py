"""From embeddings and evaluation pairs to the contents of `metrics.json` and a table of them.

docs/evaluation.md describes the protocol and every field.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import metrics
from ssl_recsys.search.inputs import check_embeddings, check_pairs, check_positive
from ssl_recsys.search.interface import (
    EXACT,
    SCANN,
    ExactSearch,
    ScannSearch,
    Search,
    check_retrieval,
)

SLICES = ("overall", "head", "tail")
TOP_POPULAR = "top_popular"

_COMPARED_K = 10
_MAX_COMPARED_QUERIES = 4096
# Exact search and ScaNN add up a score's products in different orders.
_SCORE_TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True)
class EvaluationData:
    """The pairs of one split with the embeddings of both sides.

    Attributes:
      query_embeddings: `[num_queries, dim]` float32, L2-normalised, one for each distinct query.
      query_of_pair: `[num_pairs]` int, positions in `query_embeddings`.
      item_rows: `[num_pairs]` int, catalog rows.
      item_embeddings: `[num_items, dim]` float32, L2-normalised, in row order.
      train_count: `[num_items]` int, training pairs that have the item as their item side; the
        head is told by them.
      item_counts: the same of the pairs that the model was trained on, which may be a fraction;
        TopPopular ranks by them.
      head: which items are the head.
      split: name of the split, for the reader.
      query_rows: `[num_queries]` int, the queries' own catalog rows, where an item is not to be
        ranked among its own candidates; None: the whole corpus is ranked, as in the paper.

    Raises:
      InputError: if an embedding holds NaN or infinity; the message names side and row.
      ValueError: if shapes do not fit, or a position or row is out of range.
    """

    query_embeddings: npt.NDArray[np.float32]
    query_of_pair: npt.NDArray[np.integer]
    item_rows: npt.NDArray[np.integer]
    item_embeddings: npt.NDArray[np.float32]
    train_count: npt.NDArray[np.integer]
    item_counts: npt.NDArray[np.integer]
    head: schema.HeadRule
    split: str
    query_rows: npt.NDArray[np.integer] | None = None

    def __post_init__(self) -> None:
        num_queries, query_dim = check_embeddings(self.query_embeddings, side="query").shape
        num_items, item_dim = check_embeddings(self.item_embeddings, side="item").shape
        if query_dim != item_dim:
            raise ValueError(f"queries have {query_dim} dimensions, items {item_dim}")
        for name, counts in (("train_count", self.train_count), ("item_counts", self.item_counts)):
            if np.shape(counts) != (num_items,):
                raise ValueError(
                    f"{name} must be [num_items = {num_items}] (got {np.shape(counts)})"
                )
        check_pairs(
            self.query_of_pair, self.item_rows, num_queries=num_queries, num_items=num_items
        )


def evaluate_pairs(
    data: EvaluationData,
    *,
    retrieval: str = EXACT,
    scann: ScannSearch | None = None,
    ks: Sequence[int] = metrics.DEFAULT_KS,
) -> dict[str, Any]:
    """The contents of `metrics.json`.

    Args:
      data: pairs and embeddings.
      retrieval: `exact` or `scann`, what the ranks come from.
      scann: the index for `scann`, over the same items; built if None.
      ks: the values of K of Recall@K and MAP@K.

    Returns:
      `split`, `retrieval`, `num_items`, `num_pairs`, `query_excluded`, the slices `overall`,
      `head` and `tail` of `metrics.slice_metrics`, `baselines` with the same slices for
      `top_popular`, and for ScaNN the comparison with exact search under `scann`.

    Raises:
      InputError: for an unknown retrieval, a K below 1, or an index over another corpus.
    """
    check_retrieval(retrieval)
    if not ks:
        raise InputError("expected at least one K to evaluate at, got none")
    check_positive(**{"K": min(ks)})
    num_items, dim = data.item_embeddings.shape
    search: Search
    comparison: dict[str, Any] = {}
    if retrieval == SCANN:
        index = scann or ScannSearch.build(
            data.item_embeddings, sample_queries=data.query_embeddings
        )
        if (index.num_items, index.dim) != (num_items, dim):
            raise InputError(
                f"expected a ScaNN index over {num_items} items of {dim} dimensions, got one over "
                f"{index.num_items} of {index.dim}: it is another model's; build it again"
            )
        search = index
        comparison = {"scann": compare_with_exact(index, data)}
    else:
        search = ExactSearch(data.item_embeddings)
    ranks = pair_ranks(
        search,
        data.query_embeddings,
        data.query_of_pair,
        data.item_rows,
        max(ks),
        query_rows=data.query_rows,
    )
    head_mask = metrics.head_items(data.head, data.train_count)[data.item_rows]
    popular_ranks = metrics.top_popular_ranks(data.item_counts, data.item_rows)
    return {
        "split": data.split,
        "retrieval": retrieval,
        "num_items": num_items,
        "num_pairs": len(ranks),
        "query_excluded": data.query_rows is not None,
        **metrics.slice_metrics(ranks, head_mask, ks=ks),
        "baselines": {TOP_POPULAR: metrics.slice_metrics(popular_ranks, head_mask, ks=ks)},
        **comparison,
    }


def pair_ranks(
    search: Search,
    query_embeddings: npt.NDArray[np.float32],
    query_of_pair: npt.NDArray[np.integer],
    item_rows: npt.NDArray[np.integer],
    max_rank: int,
    *,
    query_rows: npt.NDArray[np.integer] | None,
) -> npt.NDArray[np.int32]:
    """Ranks as `ExactSearch.ranks`, each query's own item left out of the corpus if it is told.

    Args:
      search: over the whole corpus.
      query_embeddings: `[num_queries, dim]` float32.
      query_of_pair: `[num_pairs]` int, positions in `query_embeddings`.
      item_rows: `[num_pairs]` int, catalog rows.
      max_rank: ranks beyond it are not told apart.
      query_rows: `[num_queries]` int, the queries' own catalog rows; None: the whole corpus.

    Returns:
      `[num_pairs]` int32 in 1 .. max_rank + 1. A pair of an item with itself keeps its rank.
    """
    if query_rows is None:
        return search.ranks(query_embeddings, query_of_pair, item_rows, max_rank)
    own = np.arange(len(query_rows))
    ranks = search.ranks(
        query_embeddings,
        np.concatenate([query_of_pair, own]),
        np.concatenate([item_rows, query_rows]),
        max_rank + 1,
    )
    of_pairs, of_own = ranks[: len(item_rows)], ranks[len(item_rows) :]
    # The own item is among those that a pair's rank counts if it scores at least as high, which
    # is if its rank is as good.
    is_counted = of_own[query_of_pair] <= of_pairs
    is_counted &= np.asarray(query_rows)[query_of_pair] != item_rows
    return np.minimum(of_pairs - is_counted, max_rank + 1).astype(np.int32)


def compare_with_exact(scann: ScannSearch, data: EvaluationData) -> dict[str, Any]:
    """ScaNN's recall and speed beside exact search's, on up to 4,096 of the queries.

    Both search for 10 items; the queries are spread evenly over `data.query_embeddings`. One of
    ScaNN's items counts as found if it scores at least as high as exact search's last one, so
    that ScaNN may return any of several equal items.

    Returns:
      `recall@10_vs_exact` in [0, 1], best 1 (None without queries), `queries_per_second`,
      `exact_queries_per_second` (each None without queries), `params` and `build_seconds`.
    """
    fields = {"params": dataclasses.asdict(scann.params), "build_seconds": scann.build_seconds}
    num_queries = len(data.query_embeddings)
    if num_queries == 0:
        names = ("recall@10_vs_exact", "queries_per_second", "exact_queries_per_second")
        return {**dict.fromkeys(names), **fields}
    num_compared = min(num_queries, _MAX_COMPARED_QUERIES)
    queries = data.query_embeddings[np.arange(num_compared) * num_queries // num_compared]
    exact = ExactSearch(data.item_embeddings)
    (exact_scores, _), exact_seconds = _timed_search(exact, queries)
    (_, rows), scann_seconds = _timed_search(scann, queries)
    # [num_compared, 10]; row -1 is no item.
    scores = np.einsum("qd,qkd->qk", queries, data.item_embeddings[np.maximum(rows, 0)])
    is_found = (rows >= 0) & (scores >= exact_scores[:, -1:] - _SCORE_TOLERANCE)
    return {
        "recall@10_vs_exact": float(np.mean(is_found)),
        "queries_per_second": num_compared / scann_seconds,
        "exact_queries_per_second": num_compared / exact_seconds,
        **fields,
    }


def _timed_search(
    search: Search, queries: npt.NDArray[np.float32]
) -> tuple[tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]], float]:
    search.search(queries[:64], _COMPARED_K)  # warms up threads and memory
    start = time.perf_counter()
    found = search.search(queries, _COMPARED_K)
    return found, max(time.perf_counter() - start, 1e-9)


def sample_queries(
    query_rows: npt.ArrayLike, item_rows: npt.ArrayLike, max_queries: int, seed: int
) -> npt.NDArray[np.int64]:
    """Selects all the pairs of a random sample of the distinct queries.

    The sample depends on the set of queries and the seed, not on the order of the pairs. Whole
    queries are drawn, so that each costs one search.

    Args:
      query_rows: `[num_pairs]` int, catalog rows.
      item_rows: `[num_pairs]` int, catalog rows.
      max_queries: number of distinct queries to keep; all are kept where there are no more.
      seed: seed of the sample.

    Returns:
      `[num_selected]` int64 positions of the selected pairs, ascending.

    Raises:
      InputError: if max_queries is below 1.
      ValueError: if the columns differ in length.
    """
    check_positive(max_queries=max_queries)
    rows = np.asarray(query_rows)
    if rows.shape != np.shape(item_rows) or rows.ndim != 1:
        raise ValueError(
            "query_rows and item_rows must be [num_pairs] both "
            f"(got {rows.shape} and {np.shape(item_rows)})"
        )
    distinct, query_of_pair = np.unique(rows, return_inverse=True)
    is_kept = np.ones(len(distinct), dtype=bool)
    if len(distinct) > max_queries:
        kept = np.random.default_rng(seed).choice(len(distinct), max_queries, replace=False)
        is_kept[:] = False
        is_kept[kept] = True
    return np.flatnonzero(is_kept[query_of_pair])


def format_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """An aligned table of one or several results of `evaluate_pairs`.

    Rows are the results, under their names, after the baselines of their evaluation set; columns
    are Recall and MAP for each slice. A metric of an empty slice is shown as "-". Results over
    the same pairs share a table; others follow in their own.

    Args:
      results: contents of `metrics.json` by the name to show, in order.
    """
    tables: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for name, result in results.items():
        sizes = tuple(result[part]["num_pairs"] for part in SLICES)
        columns = _columns(result)
        key = (result["split"], result["num_items"], sizes, columns)
        if key not in tables:
            tables[key] = {"TopPopular": result["baselines"][TOP_POPULAR]}
        tables[key][name] = result
    return "\n\n".join(_format_one(rows, *key) for key, rows in tables.items())


def _columns(result: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in result["overall"] if name != "num_pairs")


def _format_one(
    rows: Mapping[str, Mapping[str, Any]],
    split: str,
    num_items: int,
    sizes: tuple[int, ...],
    columns: tuple[str, ...],
) -> str:
    titles = [name.replace("recall@", "R@").replace("map@", "MAP@") for name in columns]
    widths = [max(6, len(title)) for title in titles]
    first = max(len(name) for name in rows)
    span = sum(widths) + len(widths) - 1
    lines = [
        f"{split}: {sizes[0]:,} pairs over {num_items:,} items",
        " " * first
        + "".join(
            " | " + f"{part} ({size:,})".center(span)
            for part, size in zip(SLICES, sizes, strict=True)
        ),
        " " * first
        + (
            " | "
            + " ".join(title.rjust(width) for title, width in zip(titles, widths, strict=True))
        )
        * len(SLICES),
    ]
    lines.append("-" * len(lines[-1]))
    for name, result in rows.items():
        cells = [
            " ".join(
                _format_metric(result[part][column], width)
                for column, width in zip(columns, widths, strict=True)
            )
            for part in SLICES
        ]
        lines.append(" | ".join([name.ljust(first), *cells]))
    lines += [_format_scann(name, row["scann"]) for name, row in rows.items() if "scann" in row]
    return "\n".join(line.rstrip() for line in lines)


def _format_metric(value: float | None, width: int) -> str:
    return ("-" if value is None else f"{value:.4f}").rjust(width)


def _format_scann(name: str, scann: Mapping[str, Any]) -> str:
    if scann["recall@10_vs_exact"] is None:
        return f"{name}: ScaNN was not compared with exact search, for want of queries"
    return (
        f"{name}: ScaNN's recall@10 against exact search {scann['recall@10_vs_exact']:.4f}, "
        f"{scann['queries_per_second']:,.0f} queries/s against "
        f"{scann['exact_queries_per_second']:,.0f}"
    )
