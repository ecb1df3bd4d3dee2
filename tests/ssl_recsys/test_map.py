"""The plane of a catalogue: neighbours stay neighbours, and it is computed once."""

import asyncio
import threading

import numpy as np
import pytest

from ssl_recsys.serving.map import Layout, Layouts, groups_of, lay_out, region_names

CLUSTERS, EACH = 4, 30


def clusters(seed: int = 0) -> np.ndarray:
    """`[120, 8]` normalised embeddings; rows 30 c to 30 c + 29 are alike."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(np.eye(8)[:CLUSTERS], EACH, axis=0)
    embeddings = centres + rng.normal(scale=0.1, size=centres.shape)
    return (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def layout() -> Layout:
    return lay_out(clusters())


def test_neighbours_on_the_plane_are_alike(layout: Layout) -> None:
    assert sorted(layout.rows) == [*range(CLUSTERS * EACH)]
    assert layout.places.min() == -1
    assert layout.places.max() == 1
    np.testing.assert_array_equal(layout.embeddings, clusters()[layout.rows])
    distance = np.linalg.norm(layout.places[:, None] - layout.places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    cluster = layout.rows // EACH
    assert (cluster[distance.argmin(axis=1)] == cluster).all()


def test_it_is_the_same_each_time_and_a_smaller_sample_is_its_beginning(layout: Layout) -> None:
    again = lay_out(clusters())
    np.testing.assert_array_equal(again.places, layout.places)
    np.testing.assert_array_equal(again.regions, layout.regions)
    np.testing.assert_array_equal(lay_out(clusters(), most=20).rows, layout.rows[:20])


def test_what_is_not_in_the_sample_comes_among_its_like(layout: Layout) -> None:
    others = clusters(seed=1)
    distance = np.linalg.norm(layout.place(others)[:, None] - layout.places[None], axis=2)
    nearest = layout.rows[distance.argmin(axis=1)] // EACH
    np.testing.assert_array_equal(nearest, np.arange(len(others)) // EACH)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 12])
def test_small_catalogues(count: int) -> None:
    embeddings = clusters()[:count]
    found = lay_out(embeddings)
    assert found.places.shape == (count, 2)
    assert np.isfinite(found.places).all()
    assert np.abs(found.places).max(initial=0) <= 1
    assert found.place(clusters()[:3]).shape == (3, 2)
    assert lay_out(embeddings[:, :1]).places.shape == (count, 2)


def test_a_layout_is_computed_once_for_all_who_wait() -> None:
    calls: list[int] = []
    go_on = threading.Event()
    one, other = object(), object()

    def embeddings() -> np.ndarray:
        go_on.wait(10)
        calls.append(1)
        return clusters()[:5]

    async def run() -> None:
        layouts = Layouts()
        waiting = [asyncio.create_task(layouts.get(one, embeddings)) for _ in range(3)]
        gone = asyncio.create_task(layouts.get(one, embeddings))
        await asyncio.sleep(0.01)
        gone.cancel()  # who stops waiting stops nobody else
        go_on.set()
        first, *others = await asyncio.gather(*waiting)
        assert all(found is first for found in others)
        assert len(calls) == 1
        assert await layouts.get(other, embeddings) is not first
        assert await layouts.get(one, embeddings) is first
        assert len(calls) == 2
        layouts.close()

    asyncio.run(run())


def test_what_failed_is_tried_again() -> None:
    async def run() -> None:
        layouts, build = Layouts(), object()
        with pytest.raises(OSError, match="gone"):
            await layouts.get(build, fail)
        assert len((await layouts.get(build, lambda: clusters()[:3])).rows) == 3
        layouts.close()

    def fail() -> np.ndarray:
        raise OSError("gone")

    asyncio.run(run())


def test_groups_are_the_most_frequent_values() -> None:
    values = [["b", "a"], ["b"], ["c", "a"], ["c", "b"], [], ["d"]]
    # b: 3; a and c: 2, a first by name; d: 1.
    assert groups_of(values, most=2) == ["b", "b", "a", "b", None, None]


def test_regions_are_named_by_what_tells_them_apart() -> None:
    regions = np.array([0] * 4 + [1] * 4 + [2] * 4)
    more = [["x"]] * 4 + [["y", "x"]] * 3 + [["x"]] + [["z"]] * 2 + [[]] * 2
    values = [["all", *texts] for texts in more]
    # x has 4 log(4/4 / (8/12)) = 1.6 in regions 0 and 1; y has 3 log(3/4 / (3/12)) = 3.3 in region
    # 1; z holds for too few, and what all have tells nothing.
    assert region_names(regions, values) == {1: ("y", [4, 5, 6]), 0: ("x", [0, 1, 2, 3])}
