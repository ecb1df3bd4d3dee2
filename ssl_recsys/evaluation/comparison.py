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
from ssl_recsys.evaluation import metrics
from ssl_recsys.evaluation import pairs as evaluation
from ssl_recsys.evaluation.simple_models import SETTINGS, Evidence, Pairs, Scorer, SimpleModel

_QUERIES_AT_ONCE = 256
_CHOSEN_BY = 50


def ranks_by_score(
    scorer: Scorer, pairs: Pairs, train_count: npt.NDArray[np.integer]
) -> npt.NDArray[np.int64]:
    """Ranks of the pairs' items by a scorer.

    Args:
      scorer: scores of the whole corpus for a block of queries.
      pairs: `(query_rows, item_rows)`, `[num_pairs]` each.
      train_count: `[num_items]`; of equal scores the more frequent item comes first, then the
        lower row.

    Returns:
      `[num_pairs]` int64 from 1; the query's own item does not count.
    """
    query_rows, item_rows = pairs
    popularity = metrics.popularity_ranks(train_count)
    ranks = np.empty(len(query_rows), np.int64)
    distinct, query_of_pair = np.unique(query_rows, return_inverse=True)
    order = np.argsort(query_of_pair, kind="stable")
    bounds = np.searchsorted(query_of_pair[order], np.arange(len(distinct) + 1))
    for begin in range(0, len(distinct), _QUERIES_AT_ONCE):
        queries = distinct[begin : begin + _QUERIES_AT_ONCE]
        scores = np.asarray(scorer(queries), np.float32)
        scores[np.arange(len(queries)), queries] = -np.inf
        for number, row in enumerate(scores, start=begin):
            mine = order[bounds[number] : bounds[number + 1]]
            items = item_rows[mine]
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
        if len(settings) > 1 and len(self.validation[0]):
            chosen = max(settings, key=lambda model: self._validate(model, evidence))
        ranks = self._ranks(chosen, evidence, self.evaluated)
        head = metrics.head_items(self.info.head, self.catalog.train_count)[self.evaluated[1]]
        popular = metrics.top_popular_ranks(self.catalog.train_count, self.evaluated[1])
        return {
            "split": self.split,
            "retrieval": "exact",
            "num_items": self.catalog.num_items,
            "num_pairs": len(ranks),
            "query_excluded": True,
            **metrics.slice_metrics(ranks, head),
            "baselines": {evaluation.TOP_POPULAR: metrics.slice_metrics(popular, head)},
            "settings": dataclasses.asdict(chosen),
        }

    def _validate(self, model: SimpleModel, evidence: Evidence) -> float:
        return metrics.recall_at(self._ranks(model, evidence, self.validation), _CHOSEN_BY)

    def _ranks(self, model: SimpleModel, evidence: Evidence, pairs: Pairs) -> npt.NDArray[np.int64]:
        return ranks_by_score(model.fit(evidence), pairs, self.catalog.train_count)
