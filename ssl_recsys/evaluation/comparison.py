"""Simple recommenders under the evaluation that the two-tower models have.

The same pairs, corpus and slices, a query's own item left out where queries are items. One rule
favours the simple models: equal scores are put in order of popularity instead of counting against
them (a co-occurrence count ties nearly everywhere).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from ssl_recsys.evaluation.recommended import LISTED
from ssl_recsys.evaluation.simple_models import (
    Evidence,
    Scorer,
    SimpleModel,
    block_rows,
    check_memory,
)
from ssl_recsys.evaluation.simple_settings import describe
from ssl_recsys.evaluation.summary import RankedPairs, summarize
from ssl_recsys.evaluation.user_models import UserEvidence, UserModel, known_items

_QUERIES_AT_ONCE = 256
_CHOSEN_BY = 50

Note = Callable[[str], None]
AnyModel = SimpleModel | UserModel
LeftOutPlaces = Callable[[npt.NDArray[np.integer]], tuple[npt.NDArray[np.integer], ...]]


def compare(
    dataset: Dataset,
    settings: Mapping[str, Sequence[AnyModel]],
    split: str,
    max_queries: int = 0,
    note: Note = lambda line: None,
    *,
    exclude_known: bool = False,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Metrics of simple recommenders on the pairs that `evaluate` takes, one after the other.

    Args:
      dataset: the dataset.
      settings: method -> the settings to try, see `simple_settings.chosen`.
      split: `test` or `validation`.
      max_queries: evaluate on a seeded sample of this many queries; 0 takes all.
      note: is told what was tried, in a line, as soon as it is.
      exclude_known: leave the items of a user's training pairs out; only where queries are users.

    Raises:
      InputError: if the dataset has no pairs of the split, or none to train on, or a method
        would need too much memory for so many items.
    """
    for name, models in settings.items():
        check_memory(name, models, dataset.info.num_items)
    names = dict.fromkeys((schema.TRAIN, split, schema.VALIDATION))
    pairs = {name: dataset.pairs(name) for name in names}
    for name in (schema.TRAIN, split):
        if not pairs[name]:
            raise InputError(f"{dataset.data_dir} has no {name} pairs")
    evidence: Any
    left_out: LeftOutPlaces | None = own_items
    query_count = None
    if dataset.info.queries:
        evidence = UserEvidence.of(dataset, pairs[schema.TRAIN])
        left_out = known_items(evidence) if exclude_known else None
        query_count = dataset.catalog(schema.QUERY).train_count
    else:
        items = dataset.catalog(schema.ITEM)
        evidence = Evidence.of(items, dataset.info.features, pairs[schema.TRAIN])
    return Comparison(
        dataset.info,
        dataset.catalog(schema.ITEM),
        evidence,
        validation=evaluation.sample_queries(pairs[schema.VALIDATION], max_queries),
        evaluated=evaluation.sample_queries(pairs[split], max_queries),
        split=split,
        note=note,
        left_out=left_out,
        query_count=query_count,
        known_excluded=exclude_known,
    ).results(settings)


def own_items(queries: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.integer], ...]:
    """Places in a block of scores of the items that the queries themselves are."""
    return np.arange(len(queries)), queries


def ranks_by_score(
    scorer: Scorer,
    pairs: Pairs,
    train_count: npt.NDArray[np.integer],
    left_out: LeftOutPlaces | None = own_items,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Ranks of the pairs' items, and the queries' best items, by a scorer.

    Args:
      scorer: scores of the whole corpus for a block of queries.
      pairs: the pairs.
      train_count: `[num_items]`; of equal scores the more frequent item comes first, then the
        lower row.
      left_out: from `[n]` query rows to the places in `[n, num_items]` scores that do not count,
        unless it is the pair's item; None: all count.

    Returns:
      `[num_pairs]` int64 ranks from 1, and `[num_queries, LISTED]` int64 rows of each distinct
      query's best items in no order, fewer columns where there are fewer items.
    """
    popularity = metrics.popularity_ranks(train_count)
    by_popularity = np.argsort(popularity)
    ranks = np.empty(len(pairs.item_row), np.int64)
    distinct, query_of_pair = pairs.distinct_queries()
    lists = np.empty((len(distinct), min(LISTED, len(train_count) - 1)), np.int64)
    order = np.argsort(query_of_pair, kind="stable")
    bounds = np.searchsorted(query_of_pair[order], np.arange(len(distinct) + 1))
    size = block_rows(len(train_count), _QUERIES_AT_ONCE)
    for begin in range(0, len(distinct), size):
        queries = distinct[begin : begin + size]
        scores = np.asarray(scorer(queries), np.float32)
        hidden = scores
        if left_out is not None:
            hidden = scores.copy()
            hidden[left_out(queries)] = -np.inf
        for number, row in enumerate(hidden, start=begin):
            mine = order[bounds[number] : bounds[number + 1]]
            items = pairs.item_row[mine]
            own, ascending = scores[number - begin, items], np.sort(row)
            better = len(row) - np.searchsorted(ascending, own, side="right")
            ranks[mine] = 1 + better + _equal_before(row, own, items, popularity)
            lists[number] = best_items(row, ascending, by_popularity, lists.shape[1])
    return ranks, lists


def _equal_before(
    row: npt.NDArray[np.float32],
    own: npt.NDArray[np.float32],
    items: npt.NDArray[np.integer],
    popularity: npt.NDArray[np.integer],
) -> npt.NDArray[np.intp]:
    """`[n]` how many of all items have a pair's own score and are more popular than its item."""
    counts = np.zeros(len(own), np.intp)
    for score in np.unique(own):
        mine = np.flatnonzero(own == score)
        equal = popularity[row == score]
        counts[mine] = [np.count_nonzero(equal < popularity[item]) for item in items[mine]]
    return counts


def best_items(
    scores: npt.NDArray[np.floating],
    ascending: npt.NDArray[np.floating],
    by_popularity: npt.NDArray[np.integer],
    k: int,
) -> npt.NDArray[np.integer]:
    """The `[k]` rows of the highest of `[num_items]` scores, in no order.

    Of equal scores those that come first in `by_popularity`, `[num_items]` rows, are taken.
    `ascending` has the scores sorted.
    """
    if k == 0:
        return np.empty(0, np.int64)
    last = ascending[-k]
    above = np.flatnonzero(scores > last)
    equal = by_popularity[scores[by_popularity] == last]
    return np.concatenate([above, equal[: k - len(above)]])


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The pairs that simple models are chosen by and compared on.

    Attributes:
      info: the dataset's description.
      catalog: all items.
      evidence: what the models are fitted to.
      validation: pairs that choose a model's settings.
      evaluated: pairs that the metrics are of.
      split: name of the split that these are.
      note: is told what was tried, in a line.
      left_out: see `ranks_by_score`.
      query_count: `[num_queries]` training pairs of each query's user, where queries are users.
      known_excluded: whether the items of the queries' training pairs are left out.
    """

    info: schema.DatasetInfo
    catalog: Catalog
    evidence: Any
    validation: Pairs
    evaluated: Pairs
    split: str
    note: Note = lambda line: None
    left_out: LeftOutPlaces | None = own_items
    query_count: npt.NDArray[np.integer] | None = None
    known_excluded: bool = False

    def results(
        self, settings: Mapping[str, Sequence[AnyModel]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Metrics of each method at those of its settings that validate best.

        Yields:
          Name, and the fields of `summary.summarize` with `settings`, those chosen by
          Recall@50 on the validation pairs, and `tried`, all settings with that metric.
        """
        for name, models in settings.items():
            yield name, self._result(name, models)

    def _result(self, name: str, models: Sequence[AnyModel]) -> dict[str, Any]:
        tried = []
        if len(models) > 1 and self.validation:
            for model in models:
                recall = self._recall(name, model, self.validation, schema.VALIDATION)
                tried.append((recall, model))
        chosen = max(tried, key=lambda one: one[0])[1] if tried else models[0]
        begin = time.monotonic()
        ranks, lists = self._ranks(chosen, self.evaluated)
        self._note(name, chosen, ranks, self.split, begin)
        queries, query_of_pair = self.evaluated.distinct_queries()
        ranked = RankedPairs(
            ranks=ranks,
            query_of_pair=query_of_pair,
            item_row=self.evaluated.item_row,
            recommended=lists,
            split=self.split,
            head=self.info.head,
            train_count=self.catalog.train_count,
            item_counts=self.catalog.train_count,
            query_excluded=not self.info.queries,
            known_excluded=self.known_excluded,
            query_count=None if self.query_count is None else self.query_count[queries],
        )
        return {
            **summarize(ranked),
            "settings": dataclasses.asdict(chosen),
            "tried": [
                {"settings": dataclasses.asdict(model), f"validation_recall@{_CHOSEN_BY}": recall}
                for recall, model in tried
            ],
        }

    def _recall(self, name: str, model: AnyModel, pairs: Pairs, split: str) -> float:
        begin = time.monotonic()
        ranks, _ = self._ranks(model, pairs)
        self._note(name, model, ranks, split, begin)
        return metrics.recall_at(ranks, _CHOSEN_BY)

    def _note(
        self, name: str, model: AnyModel, ranks: npt.NDArray[np.int64], split: str, begin: float
    ) -> None:
        recall = metrics.recall_at(ranks, _CHOSEN_BY)
        self.note(
            f"{describe(name, model)}  Recall@{_CHOSEN_BY} {recall:.4f} on {split} pairs  "
            f"{time.monotonic() - begin:.1f} s"
        )

    def _ranks(
        self, model: AnyModel, pairs: Pairs
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        scorer = model.fit(self.evidence)
        return ranks_by_score(scorer, pairs, self.catalog.train_count, self.left_out)
