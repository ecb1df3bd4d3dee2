"""Whether self-supervision is likely to pay on a dataset: what its pairs and features say.

Self-supervision moves recall to items that the pairs say little about, by what their features share
with others. So it can pay where many of the pairs to come lead to such items and their content
leads to them. Everything is computed from training pairs, validation pairs and the catalog; test
pairs are not read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys import schema
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.data.statistics import value_counts
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation.comparison import Note, compare
from ssl_recsys.evaluation.metrics import OVERALL, TOP_POPULAR
from ssl_recsys.evaluation.simple_models import (
    ContentCosine,
    ContentNeighbours,
    CoOccurrence,
    SimpleModel,
)
from ssl_recsys.features import FeatureSpec

PAYS, MAY_PAY, UNLIKELY = VERDICTS = ("pays", "may_pay", "unlikely")
# Training pairs of an item that the pairs say little about, at most.
FEW_PAIRS = 3
# Content neighbours compare all items that share a value.
MOST_ITEMS_COMPARED = 300_000
_K = 50
_METRIC = f"recall@{_K}"
# Shares of the validation pairs on items without a training pair.
_MANY_UNSEEN, _FEW_UNSEEN = 0.15, 0.05
# Content leads to such an item if it finds this many times what chance does, and this share.
_ABOVE_CHANCE, _LEAST_FOUND = 5.0, 0.05
# Fewer pairs choose a setting by chance.
_FEW_EVALUATED = 500


@dataclasses.dataclass(frozen=True)
class Seen:
    """What was measured on a catalogue: the ground that the advice stands on.

    Attributes:
      name: of the catalogue.
      unseen: share of its validation pairs on items without a training pair.
      overall: gain of Recall@10 over the baseline from FD, all pairs.
      tail: the same, tail.
      setting: the FD that was compared.
    """

    name: str
    unseen: float
    overall: float
    tail: float
    setting: str


# docs/results.md has the tables.
EVIDENCE = (
    Seen("Wikipedia, 100 MB of 2006", 0.53, 0.05, 0.23, "alpha 1"),
    Seen("the same, all link targets", 0.49, 0.53, 15.5, "head and tail, alpha 0.1"),
    Seen("Debian packages", 0.28, 0.00, 0.09, "head and tail, alpha 0.1"),
    Seen("the same, whole packages held out", 0.63, 0.12, 0.36, "alpha 0.3"),
    Seen("Myket app installs", 0.03, -0.05, 0.41, "alpha 1"),
    Seen("the same", 0.03, 0.00, 0.11, "head and tail, alpha 0.13"),
)


@dataclasses.dataclass(frozen=True)
class FeatureFacts:
    """One categorical or bag feature.

    Attributes:
      name: of the feature.
      filled: share of the items that have a value.
      shared: share of the items that have a value of another item.
      bits: entropy of its values' occurrences.
      unseen_reached: share of the items without a training pair that have a value of an item with
        one; None if there are no such items.
    """

    name: str
    filled: float
    shared: float
    bits: float
    unseen_reached: float | None


def advise(dataset: Dataset, max_queries: int, note: Note = lambda line: None) -> dict[str, Any]:
    """The figures of a dataset and what they suggest.

    Args:
      dataset: the dataset.
      max_queries: simple recommenders are tried on a sample of this many validation queries; 0:
        all.
      note: is told what was tried, in a line.

    Returns:
      `pairs`, `features`, `simple` (see `pair_facts`, `FeatureFacts`, `_try_simple`), `verdict`,
      one of `VERDICTS`, and `reasons`, sentences.

    Raises:
      InputError: if there are no training or validation pairs, or queries are no items.
    """
    if dataset.info.queries:
        raise InputError(
            f"the queries of {dataset.data_dir} are no items; the advice is for datasets of items"
        )
    catalog = dataset.catalog(schema.ITEM)
    train, validation = (dataset.pairs(name) for name in (schema.TRAIN, schema.VALIDATION))
    if not validation:
        raise InputError(
            f"{dataset.data_dir} has no validation pairs, which the advice is drawn from; make the "
            "dataset with --validation_fraction above 0"
        )
    pairs = pair_facts(catalog, train, validation)
    features = [
        feature_facts(spec, catalog) for spec in dataset.features(schema.ITEM) if spec.is_embedded
    ]
    simple = _try_simple(dataset, max_queries, note)
    verdict, reasons = judge(pairs, features, simple, catalog.num_items)
    return {
        "pairs": pairs,
        "features": [dataclasses.asdict(facts) for facts in features],
        "simple": simple,
        "verdict": verdict,
        "reasons": reasons,
    }


def pair_facts(catalog: Catalog, train: Pairs, validation: Pairs) -> dict[str, Any]:
    """Figures of the pairs.

    Args:
      catalog: all items.
      train: the training pairs.
      validation: the validation pairs, at least one.

    Returns:
      Counts, `pairs_per_item`, the shares of the validation pairs whose item has no training pair
      (`unseen`) or 1 to `FEW_PAIRS` (`few`), whose query is in no training pair
      (`unseen_query`), or that are training pairs themselves (`known`), and the share of the
      training pairs that repeat another (`repeated`).
    """
    counts = catalog.train_count[validation.item_row]
    known = np.unique(_keys(train, catalog.num_items))
    is_query = np.zeros(catalog.num_items, bool)
    is_query[train.query_row] = True
    return {
        "items": catalog.num_items,
        "training_pairs": len(train.item_row),
        "validation_pairs": len(counts),
        "pairs_per_item": len(train.item_row) / catalog.num_items,
        "unseen": float(np.mean(counts == 0)),
        "few": float(np.mean((counts > 0) & (counts <= FEW_PAIRS))),
        "unseen_query": float(np.mean(~is_query[validation.query_row])),
        "known": float(np.mean(np.isin(_keys(validation, catalog.num_items), known))),
        "repeated": 1 - len(known) / max(1, len(train.item_row)),
    }


def feature_facts(spec: FeatureSpec, catalog: Catalog) -> FeatureFacts:
    """Figures of a categorical or bag feature."""
    has_value = value_counts(catalog.features[spec.name], spec.vocab_size) > 0
    counts = np.asarray(has_value.sum(axis=0)).ravel()
    is_seen = catalog.train_count > 0
    in_training = np.asarray(has_value[is_seen].sum(axis=0)).ravel() > 0
    share = counts[counts > 0] / max(1, counts.sum())
    reached = _has_any(has_value, in_training)[~is_seen]
    return FeatureFacts(
        name=spec.name,
        filled=float(np.mean(_has_any(has_value, counts > 0))),
        shared=float(np.mean(_has_any(has_value, counts > 1))),
        bits=float((share * -np.log2(share)).sum()),
        unseen_reached=float(np.mean(reached)) if len(reached) else None,
    )


def judge(
    pairs: Mapping[str, Any],
    features: Sequence[FeatureFacts],
    simple: Mapping[str, Mapping[str, float | None]],
    num_items: int,
) -> tuple[str, list[str]]:
    """One of `VERDICTS`, and the reasons.

    Args:
      pairs: from `pair_facts`.
      features: of the catalog.
      simple: recommender -> `overall` and `unseen` recall.
      num_items: items of the catalog.
    """
    unseen = pairs["unseen"]
    found = max((simple[name]["unseen"] or 0.0 for name in simple), default=0.0)
    chance = min(1.0, _K / num_items)
    is_reached = found >= max(_LEAST_FOUND, min(_ABOVE_CHANCE * chance, 0.5))
    reasons = [
        f"{unseen:.0%} of the validation pairs lead to an item without a training pair, "
        f"{pairs['few']:.0%} to one with 1 to {FEW_PAIRS}."
    ]
    if not any(facts.shared for facts in features):
        return UNLIKELY, [*reasons, "No two items share a value: their features lead nowhere."]
    if unseen:
        reasons.append(
            f"The features alone find {found:.1%} of these items among the first {_K}, chance "
            f"{chance:.1%}."
        )
    if pairs["known"] > 0.1:
        reasons.append(
            f"{pairs['known']:.0%} of the validation pairs are training pairs as well: what was "
            "chosen before is chosen again, which an item's id remembers best."
        )
    if unseen < _FEW_UNSEEN:
        verdict = UNLIKELY
    else:
        verdict = PAYS if unseen >= _MANY_UNSEEN and is_reached else MAY_PAY
    if pairs["validation_pairs"] < _FEW_EVALUATED:
        reasons.append(
            f"{pairs['validation_pairs']:,} validation pairs are few: a difference in recall below "
            f"{1.4 / np.sqrt(pairs['validation_pairs']):.2f} can be chance."
        )
    return verdict, reasons


def _try_simple(
    dataset: Dataset, max_queries: int, note: Note
) -> dict[str, dict[str, float | None]]:
    """Recall@50 of simple recommenders, of all pairs and of those on items without a pair."""
    models: dict[str, Sequence[SimpleModel]] = {
        "co_occurrence": (CoOccurrence(),),
        "tfidf": (ContentCosine(),),
    }
    if dataset.info.num_items <= MOST_ITEMS_COMPARED:
        models["content_knn"] = (ContentNeighbours(),)
    found: dict[str, dict[str, float | None]] = {}
    for name, result in compare(dataset, models, schema.VALIDATION, max_queries, note):
        if not found:
            popular = result["baselines"][TOP_POPULAR][OVERALL][_METRIC]
            found[TOP_POPULAR] = {"overall": popular, "unseen": 0.0}
        first = result["by_frequency"][0]
        unseen = first[_METRIC] if first["max_count"] == 0 else None
        found[name] = {"overall": result[OVERALL][_METRIC], "unseen": unseen}
    return found


def _keys(pairs: Pairs, num_items: int) -> npt.NDArray[np.int64]:
    return pairs.query_row.astype(np.int64) * num_items + pairs.item_row


def _has_any(has_value: Any, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """`[num_items]` whether a row of `[num_items, num_values]` has one of the wanted values."""
    return np.asarray(has_value @ wanted.astype(np.int64)) > 0
