"""Simple recommenders under the evaluation that the two-tower models have.

The same pairs, corpus and slices, a query's own item left out. One rule favours the simple
models: equal scores are put in order of popularity instead of counting against them (a
co-occurrence count ties nearly everywhere).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys import schema
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import metrics
from ssl_recsys.evaluation import pairs as evaluation
from ssl_recsys.evaluation.simple_models import SETTINGS, Evidence, Scorer, SimpleModel

_QUERIES_AT_ONCE = 256
_CHOSEN_BY = 50


def compare(
    dataset: Dataset, methods: Sequence[str], split: str, max_queries: int = 0
) -> dict[str, dict[str, Any]]:
    """Metrics of simple recommenders on the pairs that `evaluate` takes.

    Args:
      dataset: the dataset.
      methods: names of `simple_models.SETTINGS`.
      split: `test` or `validation`.
      max_queries: evaluate on a seeded sample of this many queries; 0 takes all.

    Raises:
      InputError: if the dataset has no pairs of the split, or none to train on.
    """
    names = dict.fromkeys((schema.TRAIN, split, schema.VALIDATION))
    pairs = {name: dataset.pairs(name) for name in names}
    for name in (schema.TRAIN, split):
        if not pairs[name]:
            raise InputError(f"{dataset.data_dir} has no {name} pairs")
    return Comparison(
        dataset.info,
        dataset.catalog(schema.ITEM),
        train=pairs[schema.TRAIN],
        validation=evaluation.sample_queries(pairs[schema.VALIDATION], max_queries),
        evaluated=evaluation.sample_queries(pairs[split], max_queries),
        split=split,
    ).results(methods)


def ranks_by_score(
    scorer: Scorer, pairs: Pairs, train_count: npt.NDArray[np.integer]
) -> npt.NDArray[np.int64]:
    """Ranks of the pairs' items by a scorer.

    Args:
      scorer: scores of the whole corpus for a block of queries.
      pairs: the pairs.
      train_count: `[num_items]`; of equal scores the more frequent item comes first, then the
        lower row.

    Returns:
      `[num_pairs]` int64 from 1; the query's own item does not count.
    """
    popularity = metrics.popularity_ranks(train_count)
    ranks = np.empty(len(pairs.item_row), np.int64)
    distinct, query_of_pair = pairs.distinct_queries()
    order = np.argsort(query_of_pair, kind="stable")
    bounds = np.searchsorted(query_of_pair[order], np.arange(len(distinct) + 1))
    for begin in range(0, len(distinct), _QUERIES_AT_ONCE):
        queries = distinct[begin : begin + _QUERIES_AT_ONCE]
        scores = np.asarray(scorer(queries), np.float32)
        scores[np.arange(len(queries)), queries] = -np.inf
        for number, row in enumerate(scores, start=begin):
            mine = order[bounds[number] : bounds[number + 1]]
            items = pairs.item_row[mine]
            own = row[items, np.newaxis]
            is_before = row > own
            is_before |= (row == own) & (popularity < popularity[items, np.newaxis])
            ranks[mine] = 1 + is_before.sum(axis=1)
    return ranks


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The pairs that simple models are chosen by and compared on.

    Attributes:
      info: the dataset's description.
      catalog: all items.
      train: training pairs.
      validation: pairs that choose a model's settings.
      evaluated: pairs that the metrics are of.
      split: name of the split that these are.
    """

    info: schema.DatasetInfo
    catalog: Catalog
    train: Pairs
    validation: Pairs
    evaluated: Pairs
    split: str

    def results(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Metrics of the named models, each at the settings that validate best.

        Returns:
          Name -> the fields of `evaluation.evaluate_pairs`, and `settings`, those chosen by
          Recall@50 on the validation pairs.
        """
        evidence = Evidence.of(self.catalog, self.info.features, self.train)
        return {name: self._result(SETTINGS[name], evidence) for name in names}

    def _result(self, settings: Sequence[SimpleModel], evidence: Evidence) -> dict[str, Any]:
        chosen = settings[0]
        if len(settings) > 1 and self.validation:
            chosen = max(settings, key=lambda model: self._validate(model, evidence))
        ranks = self._ranks(chosen, evidence, self.evaluated)
        train_count = self.catalog.train_count
        return {
            **evaluation.summarize(
                ranks,
                self.evaluated.item_row,
                split=self.split,
                head=self.info.head,
                train_count=train_count,
                item_counts=train_count,
                query_excluded=True,
            ),
            "settings": dataclasses.asdict(chosen),
        }

    def _validate(self, model: SimpleModel, evidence: Evidence) -> float:
        return metrics.recall_at(self._ranks(model, evidence, self.validation), _CHOSEN_BY)

    def _ranks(self, model: SimpleModel, evidence: Evidence, pairs: Pairs) -> npt.NDArray[np.int64]:
        return ranks_by_score(model.fit(evidence), pairs, self.catalog.train_count)
