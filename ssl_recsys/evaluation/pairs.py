"""From embeddings and evaluation pairs to the contents of `metrics.json` and a table of them.

docs/evaluation.md describes the protocol and every field.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys import schema
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import metrics
from ssl_recsys.evaluation.left_out import LeftOut
from ssl_recsys.evaluation.ranking import ranks_and_lists
from ssl_recsys.evaluation.summary import RankedPairs, summarize
from ssl_recsys.search import EXACT, FLOAT32, SCANN
from ssl_recsys.search.exact import ExactSearch
from ssl_recsys.search.inputs import check_embeddings, check_pairs, check_positive
from ssl_recsys.search.interface import Search, check_retrieval
from ssl_recsys.search.scann import ScannSearch

_SAMPLE_SEED = 20_070_128
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
      item_row: `[num_pairs]` int, catalog rows.
      item_embeddings: `[num_items, dim]` float32, in row order; L2-normalised but for a scale of
        trained items.
      train_count: `[num_items]` int, training pairs that have the item as their item side; the
        head is told by them.
      item_counts: the same of the pairs that the model was trained on, which may be a fraction;
        TopPopular ranks by them.
      head: which items are the head.
      split: name of the split, for the reader.
      left_out: items that are not ranked for a query; None: the whole corpus is ranked, as in the
        paper.
      query_excluded: whether they are the queries' own items.
      known_excluded: whether they are the items of the queries' training pairs.
      query_only: features that are known of the queries; none: all.
      query_count: `[num_queries]` int, training pairs of each query's user; None where queries are
        items.

    Raises:
      InputError: if an embedding holds NaN or infinity; the message names side and row.
      ValueError: if shapes do not fit, or a position or row is out of range.
    """

    query_embeddings: npt.NDArray[np.float32]
    query_of_pair: npt.NDArray[np.integer]
    item_row: npt.NDArray[np.integer]
    item_embeddings: npt.NDArray[np.float32]
    train_count: npt.NDArray[np.integer]
    item_counts: npt.NDArray[np.integer]
    head: schema.HeadRule
    split: str
    left_out: LeftOut | None = None
    query_excluded: bool = False
    known_excluded: bool = False
    query_only: tuple[str, ...] = ()
    query_count: npt.NDArray[np.integer] | None = None

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
        check_pairs(self.query_of_pair, self.item_row, num_queries=num_queries, num_items=num_items)


def evaluate_pairs(
    data: EvaluationData,
    *,
    retrieval: str = EXACT,
    scann: ScannSearch | None = None,
    reorder_dtype: str = FLOAT32,
    ks: Sequence[int] = metrics.DEFAULT_KS,
) -> dict[str, Any]:
    """The contents of `metrics.json`: `summarize` of `rank_data`, whose arguments it takes."""
    return summarize(
        rank_data(data, retrieval=retrieval, scann=scann, reorder_dtype=reorder_dtype, ks=ks)
    )


def rank_data(
    data: EvaluationData,
    *,
    retrieval: str = EXACT,
    scann: ScannSearch | None = None,
    reorder_dtype: str = FLOAT32,
    ks: Sequence[int] = metrics.DEFAULT_KS,
) -> RankedPairs:
    """The ranks of the pairs, and the lists of their queries.

    Args:
      data: pairs and embeddings.
      retrieval: `exact` or `scann`, what the ranks come from.
      scann: the index for `scann`, over the same items; built if None.
      reorder_dtype: what an index that is built keeps of the items, see `ScannParams`.
      ks: the values of K of the metrics.

    Raises:
      InputError: for an unknown retrieval, a K below 1, or an index over another corpus.
    """
    check_retrieval(retrieval)
    if not ks:
        raise InputError("expected at least one K to evaluate at, got none")
    check_positive(**{"K": min(ks)})
    search: Search
    comparison = None
    if retrieval == SCANN:
        search = _scann_index(data, scann, reorder_dtype)
        comparison = compare_with_exact(search, data)
    else:
        search = ExactSearch(data.item_embeddings)
    ranks, recommended = ranks_and_lists(
        search,
        data.query_embeddings,
        data.query_of_pair,
        data.item_row,
        max(ks),
        left_out=data.left_out,
    )
    return RankedPairs(
        ranks=ranks,
        query_of_pair=np.asarray(data.query_of_pair),
        item_row=np.asarray(data.item_row),
        recommended=recommended,
        split=data.split,
        head=data.head,
        train_count=data.train_count,
        item_counts=data.item_counts,
        query_excluded=data.query_excluded,
        known_excluded=data.known_excluded,
        query_only=data.query_only,
        query_count=data.query_count,
        retrieval=retrieval,
        ks=tuple(ks),
        scann=comparison,
    )


def _scann_index(
    data: EvaluationData, scann: ScannSearch | None, reorder_dtype: str
) -> ScannSearch:
    index = scann or ScannSearch.build(
        data.item_embeddings, sample_queries=data.query_embeddings, reorder_dtype=reorder_dtype
    )
    num_items, dim = data.item_embeddings.shape
    if (index.num_items, index.dim) != (num_items, dim):
        raise InputError(
            f"expected a ScaNN index over {num_items} items of {dim} dimensions, got one over "
            f"{index.num_items} of {index.dim}: it is another model's; build it again"
        )
    return index


def rank_pairs(
    embed: Callable[[str, npt.NDArray[np.integer] | None], npt.NDArray[np.float32]],
    pairs: Pairs,
    max_rank: int,
    *,
    own_item_rows: Callable[[npt.NDArray[np.integer]], npt.NDArray[np.integer] | None]
    | None = None,
) -> npt.NDArray[np.int32]:
    """Ranks by exact search, as a model is validated.

    Args:
      embed: side and catalog rows (None: all of them) to `[rows, dim]` float32.
      pairs: the pairs.
      max_rank: ranks beyond it are not told apart.
      own_item_rows: `[n]` query rows to the item rows that they themselves have, if they are to be
        left out of their rankings; None: the whole corpus.

    Returns:
      `[num_pairs]` int32 in 1 .. max_rank + 1.
    """
    queries, query_of_pair = pairs.distinct_queries()
    own = None if own_item_rows is None else own_item_rows(queries)
    ranks, _ = ranks_and_lists(
        ExactSearch(embed(schema.ITEM, None)),
        embed(schema.QUERY, queries),
        query_of_pair,
        pairs.item_row,
        max_rank,
        left_out=None if own is None else LeftOut.own(own),
    )
    return ranks


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


def sample_queries(pairs: Pairs, max_queries: int, seed: int = _SAMPLE_SEED) -> Pairs:
    """All the pairs of a random sample of the distinct queries, in their order.

    The sample depends on the set of queries and the seed, not on the order of the pairs. Whole
    queries are drawn, so that each costs one search.

    Args:
      pairs: the pairs.
      max_queries: number of distinct queries to keep; 0 keeps all.
      seed: seed of the sample.

    Raises:
      InputError: if max_queries is negative.
    """
    if max_queries == 0:
        return pairs
    check_positive(max_queries=max_queries)
    distinct, query_of_pair = pairs.distinct_queries()
    is_kept = np.ones(len(distinct), dtype=bool)
    if len(distinct) > max_queries:
        kept = np.random.default_rng(seed).choice(len(distinct), max_queries, replace=False)
        is_kept[:] = False
        is_kept[kept] = True
    return pairs.take(np.flatnonzero(is_kept[query_of_pair]))
