"""A queue of bounded length whose jobs are done several at a time.

One batch is computed at a time, in a thread; what comes meanwhile is the next batch. So batches
grow with the load by themselves, and a single job waits for nobody.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class QueueFullError(Exception):
    """More jobs are waiting than may."""


class Batches(Generic[Job, Result]):
    """Does jobs in batches; made and used in one event loop.

    Args:
      work: a batch of jobs to their results, in order. Where it fails, each job is done by itself,
        so that only one that fails alone has the error.
      batch_size: number of jobs in a batch, at most.
      queue_size: number of jobs that wait, at most.
      wait_seconds: how long a batch that is not full waits for more jobs.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Job]], Sequence[Result]],
        *,
        batch_size: int,
        queue_size: int,
        wait_seconds: float = 0.0,
    ):
        self._work = work
        self._batch_size, self._queue_size = batch_size, queue_size
        self._wait_seconds = wait_seconds
        self._waiting: collections.deque[tuple[Job, asyncio.Future[Result]]] = collections.deque()
        self._has_come = asyncio.Event()
        self._is_closing = False
        self._pool = concurrent.futures.ThreadPoolExecutor(1, "batches")
        self._worker = asyncio.create_task(self._run())

    def __len__(self) -> int:
        """Number of jobs that wait."""
        return len(self._waiting)

    async def submit(self, job: Job) -> Result:
        """The job's result.

        Raises:
          QueueFullError: if too many jobs wait already.
        """
        if len(self._waiting) >= self._queue_size:
            raise QueueFullError
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        self._has_come.set()
        return await future

    async def close(self) -> None:
        """Finishes the batch that is computed; jobs that wait are cancelled."""
        for _, future in self._waiting:
            future.cancel()
        self._is_closing = True
        self._has_come.set()
        await self._worker
        self._pool.shutdown()

    async def _run(self) -> None:
        while not self._is_closing:
            await self._has_come.wait()
            if self._wait_seconds and len(self._waiting) < self._batch_size:
                await asyncio.sleep(self._wait_seconds)
            size = min(len(self._waiting), self._batch_size)
            taken = [self._waiting.popleft() for _ in range(size)]
            if not self._waiting:
                self._has_come.clear()
            # Of a request that was given up nobody waits for the result.
            batch = [(job, future) for job, future in taken if not future.done()]
            if batch:
                await self._do(batch)

    async def _do(self, batch: Sequence[tuple[Job, asyncio.Future[Result]]]) -> None:
        jobs, futures = zip(*batch, strict=True)
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._pool, self._work, jobs)
        except Exception as error:
            if len(batch) > 1:
                for one in batch:
                    await self._do([one])
            elif not futures[0].done():
                futures[0].set_exception(error)
            return
        for future, result in zip(futures, results, strict=True):
            if not future.done():
                future.set_result(result)
