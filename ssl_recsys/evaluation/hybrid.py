"""A hybrid of factors and features (LightFM, Kula 2015) for queries that are users or histories.

The package `lightfm-next` keeps the library `lightfm` building; it is the optional extra `hybrid`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse

from ssl_recsys import schema
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.data.statistics import value_counts
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import HYBRID_REMEDY
from ssl_recsys.evaluation.simple_models import Scorer
from ssl_recsys.features import FeatureSpec


@dataclasses.dataclass(frozen=True)
class HybridEvidence:
    """What the hybrid is fitted to.

    Attributes:
      train: the training pairs.
      queries: `[num_queries, num_query_values]` sparse float32, see `value_shares`.
      items: `[num_items, num_item_values]` sparse float32; the items of training pairs have a
        value of their own besides those of their features.
    """

    train: Pairs
    queries: scipy.sparse.csr_matrix
    items: scipy.sparse.csr_matrix

    @classmethod
    def of(cls, dataset: Dataset, train: Pairs) -> HybridEvidence:
        """Gathers the evidence of a dataset.

        A query is its categorical and bag features, as for the towers: its user's id and its
        history where the dataset has them. Only values of training pairs are kept, because no
        other is fitted; of an item's, only those that another item has, because its own value
        stands for the rest.
        """
        queries, items = dataset.catalog(schema.QUERY), dataset.catalog(schema.ITEM)
        is_fitted = np.bincount(train.query_row, minlength=queries.num_items) > 0
        of_queries = [
            counts[:, _items_with(counts[is_fitted]) > 0]
            for counts in _counts(queries, dataset.features(schema.QUERY))
        ]
        is_warm = np.bincount(train.item_row, minlength=items.num_items) > 0
        of_items = [scipy.sparse.identity(items.num_items, np.float32, "csr")[:, is_warm]]
        for counts in _counts(items, dataset.features(schema.ITEM)):
            of_items.append(
                counts[:, (_items_with(counts[is_warm]) > 0) & (_items_with(counts) > 1)]
            )
        return cls(
            train,
            value_shares(of_queries, queries.num_items),
            value_shares(of_items, items.num_items),
        )


def value_shares(
    counts: Sequence[scipy.sparse.csr_matrix], num_rows: int
) -> scipy.sparse.csr_matrix:
    """Counts of values side by side, each row divided by its sum as the library does by default.

    Args:
      counts: `[num_rows, num_values]` sparse, one for each feature.
      num_rows: their rows.

    Returns:
      `[num_rows, sum of num_values]` sparse float32; a row without values is 0.
    """
    empty = scipy.sparse.csr_matrix((num_rows, 0), dtype=np.float32)
    joined = scipy.sparse.hstack([empty, *counts], format="csr", dtype=np.float32)
    total = np.asarray(joined.sum(axis=1)).ravel()
    shares = scipy.sparse.diags(1 / np.maximum(total, 1)) @ joined
    return scipy.sparse.csr_matrix(shares, dtype=np.float32)


def fitted_scorer(evidence: HybridEvidence, factors: int, epochs: int) -> Scorer:
    """The scorer of a model that is fitted with the WARP loss, seed 0 and one thread.

    Only items of training pairs are fitted, so none is a negative for want of pairs.

    Raises:
      InputError: if the library is not installed or does not load.
    """
    try:
        import lightfm
    except ImportError as error:
        raise InputError(f"lightfm cannot be loaded ({error}): {HYBRID_REMEDY}") from error
    queries, query = np.unique(evidence.train.query_row, return_inverse=True)
    items, item = np.unique(evidence.train.item_row, return_inverse=True)
    ones = np.ones(len(query), np.float32)
    pairs = scipy.sparse.coo_matrix((ones, (query, item)), shape=(len(queries), len(items)))
    model = lightfm.LightFM(no_components=factors, loss="warp", random_state=0)
    model.fit(
        pairs,
        user_features=evidence.queries[queries],
        item_features=evidence.items[items],
        epochs=epochs,
        num_threads=1,
    )
    item_factors = (evidence.items @ model.item_embeddings).T
    biases = evidence.items @ model.item_biases
    return lambda rows: evidence.queries[rows] @ model.user_embeddings @ item_factors + biases


def _counts(catalog: Catalog, features: Sequence[FeatureSpec]) -> list[scipy.sparse.csr_matrix]:
    return [
        value_counts(catalog.features[spec.name], spec.vocab_size)
        for spec in features
        if spec.is_embedded
    ]


def _items_with(counts: scipy.sparse.csr_matrix) -> npt.NDArray[np.integer]:
    """`[num_values]` how many rows have each value."""
    return np.asarray((counts > 0).sum(axis=0)).ravel()
