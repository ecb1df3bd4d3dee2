"""A bounded queue whose jobs are done together, and titles by prefix."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_recsys.serving.batches import Batches, QueueFullError
from ssl_recsys.serving.suggest import Suggestions, fold, has_prefix


def test_what_comes_meanwhile_is_the_next_batch() -> None:
    seen: list[list[int]] = []
    go_on = threading.Event()

    def work(jobs: Sequence[int]) -> list[int]:
        seen.append([*jobs])
        go_on.wait(10)
        return [10 * job for job in jobs]

    async def run() -> None:
        batches = Batches(work, batch_size=3, queue_size=4)
        first = asyncio.create_task(batches.submit(0))
        while not seen:
            await asyncio.sleep(0.001)
        more = [asyncio.create_task(batches.submit(job)) for job in (1, 2, 3, 4)]
        await asyncio.sleep(0.01)
        assert len(batches) == 4
        with pytest.raises(QueueFullError):
            await batches.submit(5)
        more.pop(1).cancel()  # whoever gives up is not computed for
        go_on.set()
        assert await asyncio.gather(first, *more) == [0, 10, 30, 40]
        assert len(batches) == 0
        await batches.close()

    asyncio.run(run())
    assert seen == [[0], [1, 3], [4]]


def test_a_job_that_fails_fails_alone() -> None:
    def work(jobs: Sequence[int]) -> list[float]:
        return [1 / job for job in jobs]

    async def run() -> list[float | BaseException]:
        batches = Batches(work, batch_size=8, queue_size=8, wait_seconds=0.02)
        results = await asyncio.gather(*map(batches.submit, (1, 0, 2)), return_exceptions=True)
        await batches.close()
        return results

    one, failed, half = asyncio.run(run())
    assert (one, half) == (1.0, 0.5)
    assert isinstance(failed, ZeroDivisionError)


def test_what_waits_at_the_end_is_cancelled() -> None:
    go_on = threading.Event()

    async def run() -> list[bool | BaseException]:
        batches = Batches(lambda jobs: [go_on.wait(10) for _ in jobs], batch_size=1, queue_size=4)
        tasks = [asyncio.create_task(batches.submit(None)) for _ in range(2)]
        await asyncio.sleep(0.01)
        go_on.set()
        await batches.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert any(isinstance(one, asyncio.CancelledError) for one in asyncio.run(run()))


TITLES = ["Alan Turing", "The Turing machine", "Turin", "alan", "Tu", "Ångström turing"]


def shown(prefix: str, limit: int = 10, hidden: tuple[int, ...] = ()) -> list[str]:
    found = Suggestions(TITLES, np.array([5, 9, 1, 7, 1, 0]))
    return [TITLES[row] for row in found.rows(prefix, limit, lambda row: row not in hidden)]


def test_titles_with_the_prefix_come_first_the_popular_before_others() -> None:
    # Counts: Turin 1, Tu 1 by title; of those with a later word 9, 5, 0.
    by_word = ["The Turing machine", "Alan Turing", "Ångström turing"]
    assert shown("TU") == ["Tu", "Turin", *by_word]
    assert shown("tur", 2) == ["Turin", "The Turing machine"]
    assert shown("tur", 2, hidden=(2, 1)) == ["Alan Turing", "Ångström turing"]
    assert shown("alan") == ["alan", "Alan Turing"]
    assert shown("turing m") == ["The Turing machine"]
    assert shown("ång") == ["Ångström turing"]
    assert shown("x") == []


TEXTS = st.text("aA b-ßİ", max_size=6)


@given(st.lists(TEXTS, max_size=8), TEXTS, st.integers(1, 9), st.randoms())
def test_suggestions_are_those_of_a_look_at_every_title(titles, prefix, limit, random) -> None:
    counts = np.array([random.randrange(3) for _ in titles], np.int64)
    folded = fold(prefix)
    by_title = [row for row, one in enumerate(titles) if fold(one).startswith(folded)]
    by_word = [
        row
        for row, one in enumerate(titles)
        if row not in by_title and has_prefix(fold(one), folded)
    ]
    found = Suggestions(titles, counts).rows(prefix, limit, lambda row: True)
    assert len(found) == min(limit, len(by_title) + len(by_word))
    groups = [row for row in found if row in by_title], [row for row in found if row in by_word]
    assert found == groups[0] + groups[1]
    for group, whole in zip(groups, (by_title, by_word), strict=True):
        kept = sorted(-counts[row] for row in whole)[: len(group)]
        assert [-counts[row] for row in group] == kept
