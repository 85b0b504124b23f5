"""The queue of names: order, one run at a time, delays, back-off, and workers that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aar_operator.cluster import Ref
from aar_operator.workqueue import AHEAD_SECONDS, WorkQueue


def ref(name: str) -> Ref:
    return Ref("Experiment", "n", name)


A, B, C = ref("a"), ref("b"), ref("c")
Step = Callable[[WorkQueue], None]


async def drained(queue: WorkQueue) -> list[str]:
    """Names that can be had now, each being looked at when the next is asked for."""
    names = []
    while True:
        try:
            names.append((await asyncio.wait_for(queue.get(), 0.02)).name)
        except TimeoutError:
            return names


ORDER: dict[str, tuple[list[Step], list[str]]] = {
    "as they came": ([lambda q: q.add(B), lambda q: q.add(A)], ["b", "a"]),
    "each once": ([lambda q: q.add(A), lambda q: q.add(A)], ["a"]),
    "not before its time": ([lambda q: q.add(A, 60), lambda q: q.add(B)], ["b"]),
    "the earlier of two times": ([lambda q: q.add(A, 60), lambda q: q.add(A)], ["a"]),
    "a later time changes nothing": ([lambda q: q.add(A), lambda q: q.add(A, 60)], ["a"]),
    "ahead of what came before": ([lambda q: q.add(B), lambda q: q.add(A, AHEAD_SECONDS)], ["a", "b"]),
    "news later than what is woken": ([lambda q: q.spread([A], [B])], ["a"]),
}


@pytest.mark.parametrize("case", ORDER)
def test_order(case: str) -> None:
    async def play() -> list[str]:
        queue = WorkQueue()
        for step in ORDER[case][0]:
            step(queue)
        return await drained(queue)

    assert asyncio.run(play()) == ORDER[case][1]


AFTER: dict[str, tuple[list[Step], list[str]]] = {
    "nothing more": ([lambda q: q.done(A)], []),
    "came meanwhile, but it is under way": ([lambda q: q.add(A)], []),
    "came meanwhile": ([lambda q: q.add(A), lambda q: q.done(A)], ["a"]),
    "came meanwhile for later": ([lambda q: q.add(A, 60), lambda q: q.done(A)], []),
    "due meanwhile": ([lambda q: q.add(A, 1e-9), lambda q: q.done(A)], ["a"]),
    "again at once": ([lambda q: q.done(A, 0.0)], ["a"]),
    "again later": ([lambda q: q.done(A, 60)], []),
    "failed": ([lambda q: q.failed(A) and None], []),
}


@pytest.mark.parametrize("case", AFTER)
def test_after_a_look(case: str) -> None:
    async def play() -> list[str]:
        queue = WorkQueue()
        queue.add(A)
        assert await queue.get() == A
        for step in AFTER[case][0]:
            step(queue)
        return await drained(queue)

    assert asyncio.run(play()) == AFTER[case][1]


def test_failures_come_later_and_later_until_one_success() -> None:
    async def play() -> list[float]:
        queue, waits = WorkQueue(), []
        for _ in range(9):
            waits.append(queue.failed(A))
        queue.done(A)
        return [*waits, queue.failed(A)]

    waits = asyncio.run(play())
    assert all(waits[i] < waits[i + 2] for i in range(5))
    assert max(waits) <= 36
    assert waits[-1] < 0.4


async def _one_each(queue: WorkQueue) -> None:
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for one in (A, B, C):
        queue.add(one)
    assert {one.name for one in await asyncio.gather(*workers)} == {"a", "b", "c"}


async def _at_its_time(queue: WorkQueue) -> None:
    workers = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add(A, 0.05)
    queue.add(B, 0.02)
    assert {one.name for one in await asyncio.gather(*workers)} == {"a", "b"}


async def _whoever_goes_is_replaced(queue: WorkQueue) -> None:
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(A)
    first.cancel()
    assert await second == A


async def _comes_late(queue: WorkQueue) -> None:
    queue.add(A, 0.03)
    assert await queue.get() == A


@pytest.mark.parametrize(
    "play", [_one_each, _at_its_time, _whoever_goes_is_replaced, _comes_late], ids=lambda one: one.__name__.strip("_")
)
def test_workers_that_wait(play: Callable[[WorkQueue], Awaitable[None]]) -> None:
    async def within() -> None:
        await asyncio.wait_for(play(WorkQueue()), 30)

    asyncio.run(within())


def test_depth_counts_what_is_due_and_not_under_way() -> None:
    async def play() -> tuple[int, int]:
        queue = WorkQueue()
        for one, delay in ((A, 0.0), (B, 0.0), (C, 60.0)):
            queue.add(one, delay)
        before = queue.depth
        await queue.get()
        return before, queue.depth

    assert asyncio.run(play()) == (2, 1)
