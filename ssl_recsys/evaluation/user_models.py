"""Simple recommenders for queries that are users or their histories.

Each is fitted to the matrix of users and items of the training pairs. A query is scored by its
profile: the items of its history, or where the dataset keeps none, those of its user's training
pairs.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.sparse

from ssl_recsys import schema
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.evaluation.hybrid import HybridEvidence, fitted_scorer
from ssl_recsys.evaluation.simple_models import Scorer, fitted, tfidf


@dataclasses.dataclass(frozen=True)
class UserEvidence:
    """What the models are fitted to.

    Attributes:
      users: `[num_users, num_items]` sparse float32, 1 where a training pair joins the two.
      user_of_query: `[num_queries]` rows of `users`.
      profiles: `[num_queries, num_items]` sparse float32, 1 for each item of a query's profile.
      content: `[num_items, num_values]` sparse float32, see `simple_models.tfidf`.
      hybrid: gathers what `Hybrid` is fitted to, which no other model needs.
    """

    users: scipy.sparse.csr_matrix
    user_of_query: npt.NDArray[np.integer]
    profiles: scipy.sparse.csr_matrix
    content: scipy.sparse.csr_matrix
    hybrid: Callable[[], HybridEvidence]

    @classmethod
    def of(cls, dataset: Dataset, train: Pairs) -> UserEvidence:
        """Gathers the evidence of a dataset."""
        items = dataset.catalog(schema.ITEM)
        owner = dataset.catalog(schema.QUERY).users()
        shape = (int(owner.max(initial=-1)) + 1, items.num_items)
        users = _ones(owner[train.query_row], train.item_row, shape)
        profiles = _histories(dataset)
        if profiles is None:
            profiles = users[owner]
        content = tfidf(items, dataset.features(schema.ITEM))
        hybrid = functools.cache(lambda: HybridEvidence.of(dataset, train))
        return cls(users, owner, profiles, content, hybrid)

    @functools.cached_property
    def together(self) -> scipy.sparse.csr_matrix:
        """`[num_items, num_items]` sparse float32, how many users have both items; 0 for one."""
        counts = (self.users.T @ self.users).tolil()
        counts.setdiag(0)
        return counts.tocsr()


def _ones(
    rows: npt.NDArray[np.integer], columns: npt.NDArray[np.integer], shape: tuple[int, int]
) -> scipy.sparse.csr_matrix:
    """Sparse float32 with 1 at the places, which may repeat."""
    matrix = scipy.sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape)
    matrix.data[:] = 1
    return matrix


def _histories(dataset: Dataset) -> scipy.sparse.csr_matrix | None:
    """`[num_queries, num_items]` the items of the queries' histories; None without histories.

    A history is a bag that reads the table of a categorical item feature with one item for each id.
    """
    items, queries = dataset.catalog(schema.ITEM), dataset.catalog(schema.QUERY)
    for spec in dataset.features(schema.QUERY):
        if spec.table not in items.features or not spec.is_pooled:
            continue
        item_id = items.features[spec.table][:, 0]
        row_of = np.full(spec.vocab_size, -1)
        row_of[item_id] = np.arange(items.num_items)
        row_of[0] = -1
        if np.bincount(item_id, minlength=1)[1:].max(initial=0) > 1:
            continue
        query, place = np.nonzero(queries.features[spec.name])
        rows = row_of[queries.features[spec.name][query, place]]
        known = rows >= 0
        return _ones(query[known], rows[known], (queries.num_items, items.num_items))
    return None


@dataclasses.dataclass(frozen=True)
class ItemCoOccurrence:
    """How many users have an item of the profile and the candidate.

    Attributes:
      cosine: divide by the root of the product of how many have each (item-based neighbours).
    """

    cosine: bool = True

    def memory(self, num_items: int) -> int:
        """Nothing that grows faster than the pairs."""
        return 0

    def fit(self, evidence: UserEvidence) -> Scorer:
        """The scorer."""
        counts = evidence.together
        if self.cosine:
            times = np.asarray(evidence.users.sum(axis=0)).ravel()
            scale = scipy.sparse.diags((1 / np.sqrt(np.maximum(times, 1))).astype(np.float32))
            counts = (scale @ counts @ scale).tocsr()
        return lambda queries: (evidence.profiles[queries] @ counts).toarray()


@dataclasses.dataclass(frozen=True)
class ContentProfile:
    """Cosine of a candidate's TF-IDF vector with the sum of the profile's; knows no pairs."""

    def memory(self, num_items: int) -> int:
        """Nothing that grows faster than the values."""
        return 0

    def fit(self, evidence: UserEvidence) -> Scorer:
        """The scorer."""
        content, transposed = evidence.content, evidence.content.T.tocsr()
        return lambda queries: (evidence.profiles[queries] @ content @ transposed).toarray()


@dataclasses.dataclass(frozen=True)
class UserALS:
    """Matrix factorization (Hu, Koren, Volinsky 2008) by `implicit`; profiles are folded in.

    Attributes:
      factors: width of the factors.
      regularization: L2 weight.
    """

    factors: int = 64
    regularization: float = 1.0

    def memory(self, num_items: int) -> int:
        """Bytes of the items' factors."""
        return 4 * self.factors * num_items

    def fit(self, evidence: UserEvidence) -> Scorer:
        """The scorer."""
        import implicit.cpu.als

        model = fitted(
            lambda: implicit.cpu.als.AlternatingLeastSquares(
                factors=self.factors, regularization=self.regularization, random_state=0
            ),
            evidence.users,
        )

        def scores(queries: npt.NDArray[np.integer]) -> npt.NDArray[np.floating]:
            profiles = evidence.profiles[queries]
            factors = model.recalculate_user(np.arange(len(queries)), profiles)
            return factors @ model.item_factors.T

        return scores


@dataclasses.dataclass(frozen=True)
class BayesianPersonalizedRanking:
    """BPR (Rendle et al. 2009) by `implicit`, by user: it knows nothing of a history.

    A user without training pairs gets every item's bias, which follows popularity.

    Attributes:
      factors: width of the factors.
      iterations: passes over the pairs.
    """

    factors: int = 64
    iterations: int = 100

    def memory(self, num_items: int) -> int:
        """Bytes of the items' factors."""
        return 4 * (self.factors + 1) * num_items

    def fit(self, evidence: UserEvidence) -> Scorer:
        """The scorer."""
        import implicit.cpu.bpr

        model = fitted(
            lambda: implicit.cpu.bpr.BayesianPersonalizedRanking(
                factors=self.factors, iterations=self.iterations, random_state=0, num_threads=1
            ),
            evidence.users,
        )
        # The last column is the items' bias, for which users have a 1.
        nobody = np.zeros_like(model.user_factors[0])
        nobody[-1] = 1
        known = np.asarray(evidence.users.sum(axis=1)).ravel() > 0
        factors = np.where(known[:, np.newaxis], model.user_factors, nobody)
        return lambda queries: factors[evidence.user_of_query[queries]] @ model.item_factors.T


@dataclasses.dataclass(frozen=True)
class EASE:
    """A linear model of items by items with zero diagonal, in closed form (Steck 2019).

    Attributes:
      regularization: L2 weight lambda.
    """

    regularization: float = 100.0

    def memory(self, num_items: int) -> int:
        """Bytes of the Gram matrix, its inverse and a copy."""
        return 3 * 4 * num_items**2

    def fit(self, evidence: UserEvidence) -> Scorer:
        """The scorer."""
        gram = np.asarray((evidence.users.T @ evidence.users).todense(), np.float32)
        gram[np.diag_indices_from(gram)] += self.regularization
        inverse = np.linalg.inv(gram)
        del gram
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        return lambda queries: evidence.profiles[queries] @ weights


@dataclasses.dataclass(frozen=True)
class Hybrid:
    """Factors that are sums over features (LightFM, Kula 2015) with the WARP loss.

    A query is its features, its user's id and history among them where the dataset has them; a new
    item is scored by the values that it shares with others.

    Attributes:
      factors: width of the factors.
      epochs: passes over the pairs.
    """

    factors: int = 32
    epochs: int = 10

    def memory(self, num_items: int) -> int:
        """Bytes of the items' factors, and of their own values' with AdaGrad's sums and momenta."""
        return 4 * 4 * (self.factors + 1) * num_items

    def fit(self, evidence: UserEvidence) -> Scorer:
        """The scorer."""
        return fitted_scorer(evidence.hybrid(), self.factors, self.epochs)


UserModel = (
    ItemCoOccurrence | ContentProfile | UserALS | BayesianPersonalizedRanking | EASE | Hybrid
)


def known_items(
    evidence: UserEvidence,
) -> Callable[[npt.NDArray[np.integer]], tuple[npt.NDArray[np.integer], ...]]:
    """Places in a block of scores of the items of the queries' training pairs."""
    return lambda queries: evidence.users[evidence.user_of_query[queries]].nonzero()
