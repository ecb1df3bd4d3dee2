"""A catalogue as a plane: where items lie so that those with similar embeddings are neighbours.

A layout belongs to a build of an index and is computed once, by t-SNE (van der Maaten & Hinton
2008) over a sample. What is added later, or not in the sample, is put among the items of the
sample that are most like it, so that the plane does not change with every item.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import dataclasses
import math
import os
import threading
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

MOST_POINTS = 1500
MOST_GROUPS = 8
_SEED = 0
_PERPLEXITY, _ITERATIONS = 30.0, 500
_ANGLE = 0.8  # of Barnes-Hut: half the time of 0.5, and neighbours as true
_FEWEST_FOR_TSNE = 10
_NEIGHBOURS = 5
_MOST_REGIONS, _FEWEST_OF_REGION = 16, 40
_FEWEST_NAMED = 3  # items of a region that a name of it holds for
_MOST_LAYOUTS = 4
_NICENESS = 10  # of the thread that computes, so that requests come first


@dataclasses.dataclass(frozen=True)
class Layout:
    """Places of items.

    Attributes:
      rows: `[points]` int64 rows of the build, in an order drawn once: any first part of them is a
        sample too.
      places: `[points, 2]` float32 between -1 and 1.
      regions: `[points]` number of the part of the plane that each point is in.
      embeddings: `[points, dim]` float32, L2-normalised.
    """

    rows: npt.NDArray[np.int64]
    places: npt.NDArray[np.float32]
    regions: npt.NDArray[np.int64]
    embeddings: npt.NDArray[np.float32]

    def place(self, embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """`[items, 2]` places of other items: among the points that are most like them.

        Args:
          embeddings: `[items, dim]` float32, L2-normalised.
        """
        if not len(self.rows):
            return np.zeros((len(embeddings), 2), np.float32)
        scores = embeddings @ self.embeddings.T
        nearest = np.argsort(-scores, axis=1, kind="stable")[:, :_NEIGHBOURS]
        found = np.take_along_axis(scores, nearest, 1)
        weights = np.exp(8 * (found - found.max(axis=1, keepdims=True)))
        weights /= weights.sum(axis=1, keepdims=True)
        return np.einsum("in,ind->id", weights, self.places[nearest]).astype(np.float32)


def lay_out(embeddings: npt.NDArray[np.float32], most: int = MOST_POINTS) -> Layout:
    """Lays out a sample of at most `most` of `[items, dim]` embeddings; the same at each call."""
    import threadpoolctl

    rows = np.random.default_rng(_SEED).permutation(len(embeddings))[:most]
    chosen = np.ascontiguousarray(embeddings[rows], np.float32)
    # Two threads of OpenMP that wait for each other take ten times as long on a busy machine.
    with threadpoolctl.threadpool_limits(limits=1, user_api="openmp"):
        places = _plane(chosen)
        regions = _regions(places)
    return Layout(rows, places, regions, chosen)


def _plane(embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`[points, 2]` float32, both coordinates from -1 to 1."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    count, dim = embeddings.shape
    places = np.zeros((count, 2))
    if count >= _FEWEST_FOR_TSNE and dim > 1:
        tsne = TSNE(
            perplexity=min(_PERPLEXITY, (count - 1) / 3),
            max_iter=_ITERATIONS,
            init="pca",
            random_state=_SEED,
            angle=_ANGLE,
            n_jobs=1,
        )
        places = tsne.fit_transform(embeddings)
    elif count > 1:
        wide = min(2, count, dim)
        places[:, :wide] = PCA(wide, random_state=_SEED).fit_transform(embeddings)
    low, high = places.min(axis=0, initial=0), places.max(axis=0, initial=0)
    scaled = (2 * places - low - high) / np.maximum(high - low, 1e-9)
    return np.clip(scaled, -1, 1).astype(np.float32)


def _regions(places: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    from sklearn.cluster import KMeans

    count = min(_MOST_REGIONS, len(places) // _FEWEST_OF_REGION)
    if count < 2:
        return np.zeros(len(places), np.int64)
    return KMeans(count, n_init=3, random_state=_SEED).fit_predict(places).astype(np.int64)


class Layouts:
    """Layouts by the build that they belong to: each computed once, outside of event loops.

    Those of the latest few builds are kept. One is computed at a time, on a thread that gives way
    to others.
    """

    def __init__(self) -> None:
        # Builds hold arrays and so cannot be keys; of equal ones each is its own.
        self._kept: list[tuple[object, concurrent.futures.Future[Layout]]] = []
        self._lock = threading.Lock()
        self._thread = concurrent.futures.ThreadPoolExecutor(
            1, thread_name_prefix="map", initializer=_give_way
        )

    async def get(self, build: object, embeddings: Callable[[], np.ndarray]) -> Layout:
        """The layout of a build.

        Args:
          build: what it belongs to.
          embeddings: gives the `[items, dim]` float32 embeddings.
        """
        with self._lock:
            others = [one for one in self._kept if one[0] is not build]
            same = [one for one in self._kept if one[0] is build]
            if not same or (same[0][1].done() and same[0][1].exception()):
                same = [(build, self._thread.submit(lambda: lay_out(embeddings())))]
            self._kept = [*same, *others][:_MOST_LAYOUTS]
        # Who stops waiting does not stop the computation, for which others may wait.
        return await asyncio.shield(asyncio.wrap_future(same[0][1]))

    def close(self) -> None:
        """Computes no further layout."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _give_way() -> None:
    # On Linux a thread has a niceness of its own.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def groups_of(values: Sequence[Sequence[str]], most: int = MOST_GROUPS) -> list[str | None]:
    """For each item the most frequent of its values, if that is among the `most` frequent ones.

    Args:
      values: of each item, its texts.
      most: number of groups.
    """
    counts = collections.Counter(value for texts in values for value in texts)
    # Of equally frequent values the first by name.
    ranked = sorted(counts, key=lambda value: (-counts[value], value))[:most]
    rank = {value: place for place, value in enumerate(ranked)}
    return [
        min((value for value in texts if value in rank), key=rank.__getitem__, default=None)
        for texts in values
    ]


def region_names(
    regions: npt.NDArray[np.int64], values: Sequence[Sequence[str]]
) -> dict[int, tuple[str, list[int]]]:
    """Names of regions: of each the value that tells it best from the others.

    That is the one with the largest `n log(p / q)`: n items of the region have it, which are a
    share p of the region, and a share q of all items have it.

    Args:
      regions: `[points]` number of the region of each point.
      values: of each point, its texts.

    Returns:
      Region -> its name and the places of its points that have it; a region in which no value is
      that of several items, more often than elsewhere, has none. No name comes twice.
    """
    counts = collections.Counter(value for texts in values for value in {*texts})
    found = []
    for region in np.unique(regions).tolist():
        inside = np.flatnonzero(regions == region).tolist()
        having: dict[str, list[int]] = {}
        for point in inside:
            for value in {*values[point]}:
                having.setdefault(value, []).append(point)
        found += [
            (len(points) * math.log(len(points) * len(values) / len(inside) / counts[value]),
             value, region, points)
            for value, points in having.items()
            if len(points) >= _FEWEST_NAMED
        ]  # fmt: skip
    names: dict[int, tuple[str, list[int]]] = {}
    taken = set()
    for score, value, region, points in sorted(found, key=lambda one: (-one[0], one[1])):
        if score > 0 and region not in names and value not in taken:
            names[region] = (value, points)
            taken.add(value)
    return names
