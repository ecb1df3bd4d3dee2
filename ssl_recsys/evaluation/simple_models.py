"""Simple recommenders, without a neural network.

Each is fitted to the training pairs and the catalog and scores the whole corpus for a query. They
are baselines: they hold sparse `[num_items, num_items]` matrices, and a query costs the time of a
dense row of scores. Rows of scores are made in blocks of bounded memory; `check_memory` refuses
models whose own arrays would not be.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse

from ssl_recsys.data.catalog import Catalog
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.data.statistics import value_counts
from ssl_recsys.errors import InputError
from ssl_recsys.features import FeatureSpec

_BLOCK_ROWS = 512
_NEIGHBOUR_ROWS = 1 << 16  # of items whose neighbours are found at once
MOST_NEIGHBOURS = 100

# Of a block of scores; a score takes 4 bytes dense, 12 sparse, and copies of them.
_BLOCK_BYTES = 1 << 30
_BYTES_OF_A_SCORE = 40
# Of a sparse matrix that saves time only.
_PRODUCT_BYTES = 1 << 32
_SPARSE_BYTES = 12  # of an entry
# Of what a model must hold.
MOST_BYTES = 1 << 33

# `[n]` query rows -> `[n, num_items]` scores, higher is better.
Scorer = Callable[[npt.NDArray[np.integer]], npt.NDArray[np.floating]]


def block_rows(num_items: int, most: int = _BLOCK_ROWS) -> int:
    """How many rows of `num_items` scores are made at once: at most `most`, within a gigabyte."""
    return max(1, min(most, _BLOCK_BYTES // (_BYTES_OF_A_SCORE * num_items)))


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What the models are fitted to.

    Attributes:
      pairs: `[num_items, num_items]` sparse float32, how often a training pair joins query and
        item.
      content: `[num_items, num_values]` sparse float32 TF-IDF vectors of unit length, or zero for
        an item that shares no feature value with another.
    """

    pairs: scipy.sparse.csr_matrix
    content: scipy.sparse.csr_matrix

    @classmethod
    def of(cls, catalog: Catalog, features: Sequence[FeatureSpec], train: Pairs) -> Evidence:
        """Gathers the evidence of a dataset, see `pair_counts` and `tfidf`."""
        return cls(pair_counts(train, catalog.num_items), tfidf(catalog, features))

    @functools.cached_property
    def nearest(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Each item's `MOST_NEIGHBOURS` nearest ones by content, see `nearest_neighbours`."""
        return nearest_neighbours(self.content, MOST_NEIGHBOURS)


def pair_counts(train: Pairs, num_items: int) -> scipy.sparse.csr_matrix:
    """`[num_items, num_items]` number of training pairs of each query and item."""
    counts = np.ones(len(train.item_row), np.float32)
    return scipy.sparse.csr_matrix((counts, tuple(train)), shape=(num_items, num_items))


def tfidf(catalog: Catalog, features: Sequence[FeatureSpec]) -> scipy.sparse.csr_matrix:
    """TF-IDF vectors of the items' categorical and bag values.

    Values of one item only, such as its id, join nothing and are left out; dense features are
    not used. Inverse document frequencies are smoothed and vectors have unit length
    (scikit-learn's TfidfTransformer).

    Args:
      catalog: all items.
      features: the dataset's features.

    Returns:
      `[num_items, num_values]` sparse float32.
    """
    from sklearn.feature_extraction.text import TfidfTransformer

    parts = []
    for spec in features:
        if not spec.is_embedded:
            continue
        counts = value_counts(catalog.features[spec.name], spec.vocab_size)
        num_items_with = np.asarray((counts > 0).sum(axis=0)).ravel()
        parts.append(counts[:, num_items_with > 1])
    joined = scipy.sparse.hstack(parts, format="csr", dtype=np.float32)
    if joined.shape[1] == 0:
        return joined
    return scipy.sparse.csr_matrix(TfidfTransformer().fit_transform(joined), dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class CoOccurrence:
    """Item co-occurrence: how often training pairs join query and item.

    Attributes:
      both_directions: count pairs (item, query) as well.
    """

    both_directions: bool = True

    def memory(self, num_items: int) -> int:
        """Nothing that grows faster than the pairs."""
        return 0

    def fit(self, evidence: Evidence) -> Scorer:
        """The scorer."""
        counts = evidence.pairs
        if self.both_directions:
            counts = (counts + counts.T).tocsr()
        return lambda queries: counts[queries].toarray()


@dataclasses.dataclass(frozen=True)
class ContentCosine:
    """Cosine of TF-IDF vectors of the features; knows no pairs."""

    def memory(self, num_items: int) -> int:
        """Nothing that grows faster than the values."""
        return 0

    def fit(self, evidence: Evidence) -> Scorer:
        """The scorer."""
        content, transposed = evidence.content, evidence.content.T.tocsr()
        return lambda queries: (content[queries] @ transposed).toarray()


@dataclasses.dataclass(frozen=True)
class ContentNeighbours:
    """Training pairs propagated to items of similar content.

    With S the cosines of each item with its nearest neighbours and itself, and A the counts of
    training pairs, scores are S A S^T: an item is good if items like the query were paired with
    items like it. With `item_side` off they are S A, which knows no item without a pair.

    Attributes:
      num_neighbours: neighbours of an item, besides itself; at most `MOST_NEIGHBOURS`.
      power: cosines are raised to it.
      item_side: propagate on the item side, too.
      content_weight: weight of the cosine of query and item, which is added.
    """

    num_neighbours: int = 30
    power: float = 1.0
    item_side: bool = True
    content_weight: float = 0.5

    def memory(self, num_items: int) -> int:
        """Bytes of the neighbours, their similarities and those scaled."""
        entries = min(self.num_neighbours, MOST_NEIGHBOURS) + 1
        return num_items * (8 * MOST_NEIGHBOURS + 2 * _SPARSE_BYTES * entries)

    def fit(self, evidence: Evidence) -> Scorer:
        """The scorer."""
        similar = similarities(*evidence.nearest, self.num_neighbours, self.power)
        if self.item_side:
            # Each candidate's weights sum to 1, or items with many neighbours would always win.
            sums = np.asarray(similar.sum(axis=1)).ravel()
            items = (scipy.sparse.diags(1.0 / sums) @ similar).T.tocsr()
        else:
            items = None
        pairs = evidence.pairs
        if items is not None and _product_entries(pairs, items) * _SPARSE_BYTES <= _PRODUCT_BYTES:
            pairs, items = (pairs @ items).tocsr(), None  # once instead of in every block
        cosine = ContentCosine().fit(evidence)

        def scores(queries: npt.NDArray[np.integer]) -> npt.NDArray[np.floating]:
            sparse = similar[queries] @ pairs
            found = (sparse if items is None else sparse @ items).toarray()
            return found + self.content_weight * cosine(queries) if self.content_weight else found

        return scores


def _product_entries(left: scipy.sparse.csr_matrix, right: scipy.sparse.csr_matrix) -> int:
    """The most entries that `left @ right` can have."""
    return int(np.diff(right.indptr).astype(np.int64)[left.indices].sum())


def nearest_neighbours(
    content: scipy.sparse.csr_matrix, num_neighbours: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Each item's nearest other items, the nearest first.

    Args:
      content: `[num_items, num_values]` vectors of unit length or zero, no number below 0.
      num_neighbours: kept for each item, fewer where there are not as many items.

    Returns:
      `[num_items, kept]` the neighbours' rows and their cosines; cosines of 0 where fewer items
      share a value with the item.
    """
    from sparse_dot_topn import sp_matmul_topn

    num_items = content.shape[0]
    kept = min(num_neighbours, num_items - 1)
    transposed = content.T.tocsr()
    rows = np.zeros((num_items, kept), np.int32)
    cosines = np.zeros((num_items, kept), np.float32)
    for begin in range(0, num_items if kept else 0, _NEIGHBOUR_ROWS):
        block = content[begin : begin + _NEIGHBOUR_ROWS]
        found = sp_matmul_topn(block, transposed, top_n=kept + 1, sort=True)
        item = np.repeat(np.arange(block.shape[0]), np.diff(found.indptr))
        # An item is among its own nearest ones, unless more than `kept` others equal it.
        other = found.indices != begin + item
        before = np.concatenate([[0], np.cumsum(other)])
        place = before[:-1] - before[found.indptr[item]]
        chosen = other & (place < kept)
        where = (begin + item[chosen], place[chosen])
        rows[where], cosines[where] = found.indices[chosen], found.data[chosen]
    return rows, cosines


def similarities(
    rows: npt.NDArray[np.int32], cosines: npt.NDArray[np.float32], num_neighbours: int, power: float
) -> scipy.sparse.csr_matrix:
    """Cosines, raised to `power`, of each item with its nearest neighbours; with itself 1.

    Args:
      rows: `[num_items, kept]` the neighbours, the nearest first.
      cosines: `[num_items, kept]`.
      num_neighbours: how many of them to take.
      power: exponent.

    Returns:
      `[num_items, num_items]` sparse float32.
    """
    num_items = len(rows)
    columns, values = rows[:, :num_neighbours], cosines[:, :num_neighbours] ** power
    own_rows = np.repeat(np.arange(num_items), columns.shape[1])
    similar = scipy.sparse.csr_matrix(
        (values.ravel(), (own_rows, columns.ravel())), shape=(num_items, num_items)
    )
    similar.eliminate_zeros()
    return (similar + scipy.sparse.identity(num_items, np.float32)).tocsr()


@dataclasses.dataclass(frozen=True)
class AlternatingLeastSquares:
    """Matrix factorization of the pair counts (Hu, Koren, Volinsky 2008), by `implicit`.

    An item without a training pair on its side has factors of zero.

    Attributes:
      factors: width of the factors.
      regularization: L2 weight.
    """

    factors: int = 64
    regularization: float = 1.0

    def memory(self, num_items: int) -> int:
        """Bytes of both sides' factors."""
        return 2 * 4 * self.factors * num_items

    def fit(self, evidence: Evidence) -> Scorer:
        """The scorer."""
        import implicit.cpu.als

        model = fitted(
            lambda: implicit.cpu.als.AlternatingLeastSquares(
                factors=self.factors, regularization=self.regularization, random_state=0
            ),
            evidence.pairs,
        )
        return lambda queries: model.user_factors[queries] @ model.item_factors.T


SimpleModel = CoOccurrence | ContentCosine | ContentNeighbours | AlternatingLeastSquares


def fitted(make: Callable[[], Any], matrix: scipy.sparse.csr_matrix) -> Any:
    """A model of `implicit`, which `make` makes, fitted to a sparse matrix of users and items."""
    import threadpoolctl

    # implicit's threads call BLAS; threads within those would only fight.
    with threadpoolctl.threadpool_limits(1, "blas"):
        model = make()
        model.fit(matrix, show_progress=False)
    return model


class _Model(Protocol):
    def memory(self, num_items: int) -> int: ...


def check_memory(name: str, models: Sequence[_Model], num_items: int) -> None:
    """Refuses a method of which a model would hold more than `MOST_BYTES`.

    Raises:
      InputError: with the method's name and what to do.
    """
    needed = max(model.memory(num_items) for model in models)
    if needed > MOST_BYTES:
        raise InputError(
            f"{name} would hold {needed / 1e9:.1f} GB for {num_items:,} items, and more than "
            f"{MOST_BYTES / 1e9:.1f} is refused; leave it out of --methods, or give it smaller "
            "--settings"
        )
