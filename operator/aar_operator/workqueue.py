"""Names of objects to look at: each once, one run at a time a name, later ones when they are due, failures with back-off."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections import deque
from collections.abc import Iterable

from aar_operator.cluster import Ref

FIRST_SECONDS = 0.25
MOST_SECONDS = 30.0
AHEAD_SECONDS = -30.0
"""What may start a Job goes before what may end one: a GPU that waits costs more than a score that does. Bounded, so that scores
come at all while experiments arrive faster than they can be looked at."""
NEWS_SECONDS = 0.5
"""A campaign that was looked at for each of its experiments would be most of the work when many end at once."""


class WorkQueue:
    """A deduplicating queue with delays, after the work queue of client-go.

    `_due` is the truth; the heap has it in order, and in it entries that no longer hold, until they come up.
    """

    def __init__(self) -> None:
        self._due: dict[Ref, float] = {}
        self._heap: list[tuple[float, Ref]] = []
        self._running: set[Ref] = set()
        self._again: set[Ref] = set()
        self._failures: dict[Ref, int] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    def add(self, ref: Ref, delay: float = 0.0) -> None:
        """Look at it in `delay` seconds, or earlier if that was asked for already; below 0: before what came that much earlier."""
        if ref in self._running and delay <= 0.0:
            self._again.add(ref)
            return
        due, known = time.monotonic() + delay, self._due.get(ref)
        if known is None or due < known:
            self._due[ref] = due
            if ref not in self._running:
                self._push(ref)

    @property
    def depth(self) -> int:
        """Names that could be looked at now."""
        now = time.monotonic()
        return sum(due <= now for ref, due in self._due.items() if ref not in self._running)

    async def get(self) -> Ref:
        """The next name that is due; it is not given to another until `done`."""
        while (ref := self._take()) is None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            self._call()
            try:
                await waiter
            except asyncio.CancelledError:
                self._call()  # it may have been called already, for a name that nobody looks at then
                raise
        return ref

    def done(self, ref: Ref, again: float | None = None) -> None:
        """It was looked at; look again in `again` seconds, if given."""
        self._failures.pop(ref, None)
        self._finish(ref)
        if again is not None:
            self.add(ref, again)

    def failed(self, ref: Ref) -> float:
        """Looking failed: try again later and later, each time with jitter. The seconds until then."""
        count = self._failures.get(ref, 0)
        self._failures[ref] = count + 1
        delay = min(MOST_SECONDS, FIRST_SECONDS * 2.0**count) * random.uniform(0.8, 1.2)
        self._finish(ref)
        self.add(ref, delay)
        return delay

    def failures(self, ref: Ref) -> int:
        """How many looks at it failed in a row."""
        return self._failures.get(ref, 0)

    def spread(self, wake: Iterable[Ref], news: Iterable[Ref]) -> None:
        """Look at some now, and at others after what else may concern them had time to happen."""
        for ref in wake:
            self.add(ref, AHEAD_SECONDS)
        for ref in news:
            self.add(ref, NEWS_SECONDS)

    def _finish(self, ref: Ref) -> None:
        self._running.discard(ref)
        if ref in self._due:
            self._push(ref)
        if ref in self._again:
            self._again.discard(ref)
            self.add(ref)

    def _push(self, ref: Ref) -> None:
        heapq.heappush(self._heap, (self._due[ref], ref))
        self._call()

    def _take(self) -> Ref | None:
        due = self._next_due()
        if due is None or due > time.monotonic():
            return None
        _, ref = heapq.heappop(self._heap)
        del self._due[ref]
        self._running.add(ref)
        self._call()
        return ref

    def _next_due(self) -> float | None:
        """When the first is due; what no longer holds, since it runs or is due at another time, is dropped before it."""
        while self._heap:
            due, ref = self._heap[0]
            if ref not in self._running and self._due.get(ref) == due:
                return due
            heapq.heappop(self._heap)
        return None

    def _call(self) -> None:
        """Have one waiter take what is due, or be called when it is: to call all of them for each name would cost more than the look."""
        due = self._next_due()
        if due is None:
            return
        wait = due - time.monotonic()
        if wait <= 0:
            while self._waiters:
                waiter = self._waiters.popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    return
        elif self._alarm is None or self._alarm.when() > due:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._call()
