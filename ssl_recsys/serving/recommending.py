"""Recommendations for a batch of requests: embeddings, search, items left out or kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_recsys.serving.index import Columns
from ssl_recsys.serving.live_model import LiveModel

_SCORE_DIGITS = 6
_Found = Sequence[tuple[float, int]]


@dataclasses.dataclass(frozen=True)
class Query:
    """What is asked of a model.

    Attributes:
      live: the version of the model that answers.
      rows: the index's rows of the query items; several count as the mean of their embeddings.
      raw: instead, a query item's raw features.
      k: number of items.
      left_out: rows that are not recommended.
      only: ascending rows, if nothing else is recommended.
    """

    live: LiveModel
    rows: tuple[int, ...]
    raw: Columns | None
    k: int
    left_out: frozenset[int]
    only: np.ndarray | None = None


def recommend(queries: Sequence[Query]) -> list[list[dict[str, Any]]]:
    """For each query its items, the best first, as answers have them."""
    answers: dict[int, list[dict[str, Any]]] = {}
    for place_by_live in _by_version(queries):
        chosen = [queries[place] for place in place_by_live]
        for place, answer in zip(place_by_live, _of_one_version(chosen), strict=True):
            answers[place] = answer
    return [answers[place] for place in range(len(queries))]


def _by_version(queries: Sequence[Query]) -> list[list[int]]:
    """Places of queries, those that one version of one model answers together."""
    places: dict[int, list[int]] = {}
    for place, query in enumerate(queries):
        places.setdefault(id(query.live), []).append(place)
    return [*places.values()]


def _of_one_version(queries: Sequence[Query]) -> list[list[dict[str, Any]]]:
    live = queries[0].live
    embeddings = query_embeddings(live, queries)
    free = [place for place, query in enumerate(queries) if query.only is None]
    found: dict[int, _Found] = {}
    if free:
        most = max(queries[place].k + len(queries[place].left_out) for place in free)
        scores, rows = live.index.search(embeddings[free], most)
        found = {
            place: [*zip(scores[number].tolist(), rows[number].tolist(), strict=True)]
            for number, place in enumerate(free)
        }
    return [
        _described(live, query, found[place] if query.only is None else _among(query, embedding))
        for place, (query, embedding) in enumerate(zip(queries, embeddings, strict=True))
    ]


def query_embeddings(live: LiveModel, queries: Sequence[Query]) -> npt.NDArray[np.float32]:
    """`[queries, dim]` float32, L2-normalised; of several rows the normalised mean."""
    rows = [row for query in queries for row in query.rows]
    raw = [query.raw for query in queries if query.raw is not None]
    embeddings = live.query_embeddings(rows, raw)
    of_rows, of_raw = embeddings[: len(rows)], iter(embeddings[len(rows) :])
    ends = np.cumsum([len(query.rows) for query in queries])
    parts = [
        mean(of_rows[end - len(query.rows) : end]) if query.raw is None else next(of_raw)
        for query, end in zip(queries, ends, strict=True)
    ]
    return np.stack(parts)


def mean(embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`[dim]`, the mean of `[n, dim]` normalised embeddings, normalised again.

    A single embedding stays as it is, bit for bit.
    """
    if len(embeddings) == 1:
        return embeddings[0]
    whole = embeddings.mean(axis=0)
    length = float(np.linalg.norm(whole))
    return whole / length if length else whole


def _among(query: Query, embedding: npt.NDArray[np.float32]) -> _Found:
    """The rows that alone are asked for, by their exact scores."""
    assert query.only is not None
    scores = query.live.index.embeddings(query.only) @ embedding
    order = np.argsort(-scores, kind="stable")[: query.k + len(query.left_out)]
    return [*zip(scores[order].tolist(), query.only[order].tolist(), strict=True)]


def _described(live: LiveModel, query: Query, found: _Found) -> list[dict[str, Any]]:
    hidden = query.left_out | {-1}  # ScaNN fills up with -1
    kept = [(score, row) for score, row in found if row not in hidden][: query.k]
    return [item(live, rank, score, row) for rank, (score, row) in enumerate(kept, start=1)]


def item(live: LiveModel, rank: int, score: float, row: int) -> dict[str, Any]:
    """A recommended item as answers have it."""
    return {"rank": rank, "score": round(score, _SCORE_DIGITS), **live.described(row)}
