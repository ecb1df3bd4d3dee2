"""What the catalog says about its features before training: frequencies and dependence."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse

from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import IDF
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.identities import identities, vector_deltas
from ssl_recsys.features import VECTOR, FeatureSpec
from ssl_recsys.schema import SIDES

_QUANTILES = 10
# A mark that fewer of the training items have is left out of the model.
MIN_MISSING_SHARE = 0.01

# Feature name -> [num_items, width] ids or floats.
FeatureArrays = Mapping[str, npt.NDArray[np.generic]]


@dataclasses.dataclass(frozen=True)
class CatalogStatistics:
    """What a model may need to know of the catalogs besides their features.

    Attributes:
      idf: feature name -> `[vocab_size]` weights of a bag's values, or None.
      correlated_masks: side -> `[num_features, num_features]` bool, see `correlated_masks`.
      missing_shares: feature name -> share of the training items that lack the number, for features
        with a mark, see `missing_share`.
      deltas: name of a vector -> that of the feature whose ids its trained part is looked up by.
      id_counts: table of a side's identities -> `[vocab_size]` training pairs that each id is in,
        see `id_counts`; for `--id_min_count`.
    """

    idf: Mapping[str, npt.NDArray[np.float32]] | None = None
    correlated_masks: Mapping[str, npt.NDArray[np.bool_]] = dataclasses.field(default_factory=dict)
    missing_shares: Mapping[str, float] = dataclasses.field(default_factory=dict)
    deltas: Mapping[str, str] = dataclasses.field(default_factory=dict)
    id_counts: Mapping[str, npt.NDArray[np.int64]] = dataclasses.field(default_factory=dict)

    @property
    def unread_marks(self) -> frozenset[str]:
        """The features whose mark the model does not read: hardly any training item has it.

        What a mark of a few items stands for cannot be learned from them: it would make all items
        that lack the number alike.
        """
        return frozenset(
            name for name, share in self.missing_shares.items() if share < MIN_MISSING_SHARE
        )


def statistics_for(
    config: RunConfig, dataset: Dataset, row_counts: Mapping[str, npt.NDArray[np.int64]]
) -> CatalogStatistics:
    """The statistics that the configuration uses; no others are computed.

    Args:
      config: the run's.
      dataset: what it trains on.
      row_counts: side -> `[rows of its catalog]` training pairs of each row.
    """
    idf = None
    masks = {}
    if config.tower.value_weights == IDF:
        idf = {
            spec.name: inverse_document_frequency(
                dataset.catalog(side).features[spec.name], spec.vocab_size
            )
            for side in SIDES
            for spec in dataset.features(side)
            if spec.is_pooled
        }
    if config.ssl.view_masking == "correlated":
        for side in config.ssl.sides:
            features = dataset.catalog(side).features
            masks[side] = correlated_masks(mutual_information(features, dataset.features(side)))
    shares = {
        spec.name: missing_share(
            dataset.catalog(side).features[spec.name], dataset.catalog(side).train_count
        )
        for side in SIDES
        for spec in dataset.features(side)
        if spec.has_mark
    }
    deltas = vector_deltas(dataset.info) if config.tower.vector_delta else {}
    counts = id_counts(dataset, row_counts) if config.tower.id_min_count else {}
    return CatalogStatistics(idf, masks, shares, deltas, counts)


def id_counts(
    dataset: Dataset, row_counts: Mapping[str, npt.NDArray[np.int64]]
) -> dict[str, npt.NDArray[np.int64]]:
    """Table of a side's identities -> `[vocab_size]` training pairs that each id is in.

    A pair counts for its query and for its item, each on its side; where both sides' ids are in one
    table, an id has the sum.

    Args:
      dataset: the dataset.
      row_counts: side -> `[rows of its catalog]` training pairs of each row.
    """
    counts: dict[str, npt.NDArray[np.int64]] = {}
    for side, spec in identities(dataset.info).items():
        ids = dataset.catalog(side).features[spec.name][:, 0]
        of_side = np.bincount(ids, row_counts[side], minlength=spec.vocab_size).astype(np.int64)
        counts[spec.table_name] = counts.get(spec.table_name, 0) + of_side
    return counts


def missing_share(values: npt.NDArray[np.floating], train_count: npt.NDArray[np.integer]) -> float:
    """Share of the training items whose number is missing; of all items if none has a pair.

    Args:
      values: `[num_items, 2]` numbers and marks.
      train_count: `[num_items]` training pairs by their item.
    """
    is_missing = values[:, -1] != 0
    training = train_count > 0
    return float(np.mean(is_missing[training] if training.any() else is_missing))


def inverse_document_frequency(
    values: npt.NDArray[np.integer], vocab_size: int
) -> npt.NDArray[np.float32]:
    """Smoothed idf of a feature's values, `log((1 + n) / (1 + df)) + 1`, scaled to mean 1.

    The formula is scikit-learn's TfidfTransformer's; the mean is over the values' occurrences, so
    that weighted bags are as long as unweighted ones on average.

    Args:
      values: `[n, max_values]` ids, 0 being no value.
      vocab_size: number of ids.

    Returns:
      `[vocab_size]` positive weights.
    """
    num_items_with = _has_value(values, vocab_size).sum(axis=0)
    counts = np.asarray(num_items_with, np.float64).ravel()
    weights = np.log((1 + len(values)) / (1 + counts)) + 1
    occurrences = counts[1:].sum()
    mean = (weights * counts)[1:].sum() / occurrences if occurrences else 1.0
    return (weights / mean).astype(np.float32)


def value_counts(values: npt.NDArray[np.integer], vocab_size: int) -> scipy.sparse.csr_matrix:
    """`[n, vocab_size]` sparse float32, how often each item has each value.

    Args:
      values: `[n, max_values]` ids, 0 being no value.
      vocab_size: number of ids.
    """
    rows, columns = np.nonzero(values)
    entries = (np.ones(len(rows), np.float32), (rows, values[rows, columns]))
    return scipy.sparse.csr_matrix(entries, shape=(len(values), vocab_size))


def mutual_information(
    features: FeatureArrays, specs: Sequence[FeatureSpec]
) -> npt.NDArray[np.float64]:
    """Mutual information of every two features, in nats (paper v4, correlated feature masking).

    `sum P(a, b) log(P(a, b) / (P(a) P(b)))` over the values a and b of the two features. An item
    with several values spreads its probability evenly over its pairs of them; a missing value is
    a value, id 0. A dense feature is taken by its first column's deciles, a vector by those of its
    projection on the direction in which vectors differ most.

    Args:
      features: feature name -> `[num_items, width]` ids or floats.
      specs: the features; they give the order of rows and columns.

    Returns:
      `[num_features, num_features]` symmetric, with the entropies on the diagonal.
    """
    values = [_distributions(features[spec.name], spec) for spec in specs]
    result = np.zeros((len(specs), len(specs)))
    for i, j in itertools.combinations_with_replacement(range(len(specs)), 2):
        result[i, j] = result[j, i] = _mutual_information(values[i], values[j], same=i == j)
    return result


def correlated_masks(information: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """For each feature as seed, the half of all features to be masked together.

    Correlated feature masking (paper v4): the seed and those that share most information with it,
    `num_features // 2` in all.

    Args:
      information: `[num_features, num_features]`, see `mutual_information`.

    Returns:
      `[num_features, num_features]` bool; row s is the mask of seed s, True for masked.
    """
    num_features = len(information)
    others = np.array(information, np.float64)
    np.fill_diagonal(others, np.inf)  # the seed itself comes first
    order = np.argsort(-others, axis=1, kind="stable")
    masks = np.zeros((num_features, num_features), bool)
    np.put_along_axis(masks, order[:, : num_features // 2], True, axis=1)
    return masks


def _has_value(values: npt.NDArray[np.integer], vocab_size: int) -> scipy.sparse.csr_matrix:
    """`[n, vocab_size]` 1 where an item has a value; an item without any has id 0."""
    has_value = (value_counts(values, vocab_size) > 0).astype(np.float64)
    empty = np.flatnonzero(has_value.getnnz(axis=1) == 0)
    entries = (np.ones(len(empty)), (empty, np.zeros_like(empty)))
    return has_value + scipy.sparse.csr_matrix(entries, shape=has_value.shape)


def _distributions(values: npt.NDArray[np.generic], spec: FeatureSpec) -> scipy.sparse.csr_matrix:
    """`[n, num_values]` each item's values as a distribution."""
    if not spec.is_embedded:
        first = np.asarray(values[:, 0], np.float64)
        if spec.kind == VECTOR:
            first = _first_component(np.asarray(values, np.float32))
        edges = np.unique(np.quantile(first, np.linspace(0, 1, _QUANTILES + 1)[1:-1]))
        bins = np.searchsorted(edges, first, side="right")[:, np.newaxis]
        return _has_value(bins, len(edges) + 1)
    has_value = _has_value(np.asarray(values, np.int64), spec.vocab_size)
    return scipy.sparse.diags(1.0 / np.asarray(has_value.sum(axis=1)).ravel()) @ has_value


def _first_component(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """`[n]` projections of `[n, size]` vectors on their first principal component."""
    centred = values - values.mean(axis=0)
    _, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    return centred @ directions[:, -1]


def _mutual_information(
    left: scipy.sparse.csr_matrix, right: scipy.sparse.csr_matrix, *, same: bool
) -> float:
    if same:
        share = np.asarray(left.mean(axis=0)).ravel()
        share = share[share > 0]
        return float(-(share * np.log(share)).sum())
    joint = (left.T @ right).tocoo()
    joint_share = joint.data / left.shape[0]
    left_share = np.asarray(left.mean(axis=0)).ravel()[joint.row]
    right_share = np.asarray(right.mean(axis=0)).ravel()[joint.col]
    return float((joint_share * np.log(joint_share / (left_share * right_share))).sum())
