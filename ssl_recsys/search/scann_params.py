"""How a ScaNN index is built, and how much of it is searched.

How many leaves a recall takes depends on how clustered the items are: 2% of them where trained
towers have formed clear groups, 20% and more where they have not. So that is not guessed from the
corpus size but measured on a sample of queries, once the index is built.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ssl_recsys.errors import InputError
from ssl_recsys.search import FLOAT32, REORDER_DTYPES
from ssl_recsys.search.exact import ExactSearch
from ssl_recsys.search.inputs import check_positive

# Up to this size ScaNN's own brute force is about as fast as a tree of that recall, and exact.
MAX_BRUTE_FORCE_ITEMS = 20_000
# Smaller leaves rule out more, larger ones are scored faster.
_ITEMS_PER_LEAF = 250
_LARGE_CORPUS = 500_000
_ITEMS_PER_LEAF_OF_LARGE = 125
_MAX_LEAVES_PER_ROOT = 8
_TRAINING_SAMPLE = 100_000
_SAMPLE_PER_LEAF = 12

# Calibration: on so many queries, recall@10 must reach more than the 0.97 that is promised, by
# about three standard errors.
_SAMPLED_QUERIES = 1000
_SAMPLE_SEED = 20_070_128
_SAMPLE_K = 10
_AIMED_RECALL = 0.98
# Where there are no queries to sample, an item plus noise of this norm stands for one. On trained
# towers the recall of real queries is then 0.969 to 0.99.
_SAMPLE_NOISE = 0.8
_SCORE_TOLERANCE = 1e-6
_LEAF_STEP = 1.15
_REORDER_FACTORS = (3, 5, 10, 20, 40)
# Scoring a candidate again takes as long as scoring this many in a leaf, which are read in order.
_REORDER_COST = 40


@dataclasses.dataclass(frozen=True)
class ScannParams:
    """How a ScaNN index is built and searched.

    Attributes:
      num_leaves: number of partitions; 0 for brute force, to which nothing else applies.
      leaves_to_search: partitions scored for each query.
      reorder_factor: candidates that are scored again exactly for each item asked for.
      dimensions_per_block: dimensions quantised together.
      anisotropic_threshold: share of the norm above which quantisation errors along the item
        weigh more, T in the ScaNN paper; 0.2 is its value for unit vectors.
      training_sample: items that partitions and codebooks are learned from.
      reorder_dtype: what the index keeps of an item to score it again: float32, bfloat16 (half the
        memory) or int8 (a quarter). Scores are then of these values, too.

    Raises:
      InputError: if a number is out of range, or the type unknown.
    """

    num_leaves: int
    leaves_to_search: int = 0
    reorder_factor: int = 20
    dimensions_per_block: int = 2
    anisotropic_threshold: float = 0.2
    training_sample: int = _TRAINING_SAMPLE
    reorder_dtype: str = FLOAT32

    def __post_init__(self) -> None:
        if self.reorder_dtype not in REORDER_DTYPES:
            raise InputError(
                f"reorder_dtype must be one of {', '.join(REORDER_DTYPES)} "
                f"(got {self.reorder_dtype!r})"
            )
        if self.num_leaves < 0:
            raise InputError(f"num_leaves must be 0 (brute force) or more (got {self.num_leaves})")
        if self.num_leaves and not 1 <= self.leaves_to_search <= self.num_leaves:
            raise InputError(
                f"leaves_to_search must be in [1, num_leaves = {self.num_leaves}] "
                f"(got {self.leaves_to_search})"
            )
        check_positive(
            reorder_factor=self.reorder_factor,
            dimensions_per_block=self.dimensions_per_block,
            training_sample=self.training_sample,
        )


def choose_scann_params(num_items: int, dim: int, reorder_dtype: str = FLOAT32) -> ScannParams:
    """Parameters to build an index with; `ScannSearch.build` then finds out how much to search.

    Brute force up to 20,000 items. Beyond, leaves of 250 items, of 125 from half a million items
    on, but no more than 8 sqrt(num_items), each of whose centres every query is compared with.

    Args:
      num_items: size of the corpus.
      dim: width of the embeddings.
      reorder_dtype: what the index keeps of the items; brute force keeps float32 all the same.

    Raises:
      InputError: if a number is below 1.
    """
    check_positive(num_items=num_items, dim=dim)
    if num_items <= MAX_BRUTE_FORCE_ITEMS:
        return ScannParams(num_leaves=0)
    is_large = num_items >= _LARGE_CORPUS
    num_leaves = min(
        num_items // (_ITEMS_PER_LEAF_OF_LARGE if is_large else _ITEMS_PER_LEAF),
        _MAX_LEAVES_PER_ROOT * math.isqrt(num_items),
    )
    return ScannParams(
        num_leaves=num_leaves,
        leaves_to_search=num_leaves,
        dimensions_per_block=min(2, dim),
        training_sample=min(num_items, max(_TRAINING_SAMPLE, _SAMPLE_PER_LEAF * num_leaves)),
        reorder_dtype=reorder_dtype,
    )


# Parameters, `[num_queries, dim]` queries and k to the `[num_queries, k]` float32 scores of the
# items found, -inf for none.
TriedSearch = Callable[[ScannParams, npt.NDArray[np.float32], int], npt.NDArray[np.float32]]


def calibrate(
    params: ScannParams,
    items: npt.NDArray[np.float32],
    search: TriedSearch,
    queries: npt.NDArray[np.float32] | None = None,
) -> ScannParams:
    """Chooses the cheapest search of an index that reaches the recall aimed at.

    It is measured on 1,000 queries, the same ones for the same arrays.

    Args:
      params: how the index was built.
      items: `[num_items, dim]` float32.
      search: searches the index with parameters that it is given.
      queries: `[num_queries, dim]` float32 to sample from; if None or empty, items with noise
        added stand for queries.

    Returns:
      `params` with `leaves_to_search` and `reorder_factor` chosen; all leaves and the largest
      factor where nothing reaches the recall.
    """
    queries = _sample_queries(items, queries)
    exact_scores, _ = ExactSearch(items).search(queries, _SAMPLE_K)
    lowest = exact_scores[:, -1:] - _SCORE_TOLERANCE

    def reaches(tried: ScannParams) -> bool:
        scores = search(tried, queries, _SAMPLE_K)
        return float(np.mean(scores >= lowest)) >= _AIMED_RECALL

    def cost(tried: ScannParams) -> float:
        """Number of items scored in the leaves, the candidates scored again among them."""
        share = tried.leaves_to_search / tried.num_leaves
        return share * len(items) + _SAMPLE_K * tried.reorder_factor * _REORDER_COST

    best = dataclasses.replace(
        params, leaves_to_search=params.num_leaves, reorder_factor=_REORDER_FACTORS[-1]
    )
    for factor in reversed(_REORDER_FACTORS):
        choices = [
            dataclasses.replace(best, leaves_to_search=leaves, reorder_factor=factor)
            for leaves in _leaf_counts(best.num_leaves)
        ]
        cheaper = [tried for tried in choices if cost(tried) < cost(best)]
        first = bisect.bisect_left(cheaper, True, key=reaches)  # more leaves find more
        if first < len(cheaper):
            best = cheaper[first]
    return best


def _sample_queries(
    items: npt.NDArray[np.float32], queries: npt.NDArray[np.float32] | None
) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(_SAMPLE_SEED)
    if queries is not None and len(queries):
        return queries[rng.permutation(len(queries))[:_SAMPLED_QUERIES]]
    chosen = items[rng.integers(0, len(items), _SAMPLED_QUERIES)]
    noise = rng.standard_normal(chosen.shape, np.float32)
    noisy = chosen + _SAMPLE_NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return noisy / np.maximum(np.linalg.norm(noisy, axis=1, keepdims=True), 1e-9)


def _leaf_counts(num_leaves: int) -> list[int]:
    """1 .. num_leaves, ascending in steps of some 15%."""
    counts, count = [], 1
    while count < num_leaves:
        counts.append(count)
        count = math.ceil(count * _LEAF_STEP)
    return [*counts, num_leaves]
