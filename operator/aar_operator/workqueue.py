"""Names of objects to look at: each once, one run at a time a name, later ones when they are due, failures with back-off."""

from __future__ import annotations

import asyncio
import random
import time

from aar_operator.cluster import Ref

FIRST_SECONDS = 0.25
MOST_SECONDS = 30.0


class WorkQueue:
    """A deduplicating queue with delays, after the work queue of client-go."""

    def __init__(self) -> None:
        self._due: dict[Ref, float] = {}
        self._running: set[Ref] = set()
        self._again: set[Ref] = set()
        self._failures: dict[Ref, int] = {}
        self._news = asyncio.Event()

    def add(self, ref: Ref, delay: float = 0.0) -> None:
        """Look at it in `delay` seconds, or earlier if that was asked for already."""
        if ref in self._running and delay == 0.0:
            self._again.add(ref)
            return
        due = time.monotonic() + delay
        self._due[ref] = min(due, self._due.get(ref, due))
        self._news.set()

    @property
    def depth(self) -> int:
        """Names that could be looked at now."""
        now = time.monotonic()
        return sum(due <= now for ref, due in self._due.items() if ref not in self._running)

    async def get(self) -> Ref:
        """The next name that is due; it is not given to another until `done`."""
        while True:
            self._news.clear()
            ready = {ref: due for ref, due in self._due.items() if ref not in self._running}
            first = min(ready, key=lambda ref: ready[ref], default=None)
            wait = None if first is None else ready[first] - time.monotonic()
            if first is not None and wait is not None and wait <= 0:
                del self._due[first]
                self._running.add(first)
                return first
            try:
                await asyncio.wait_for(self._news.wait(), wait)
            except TimeoutError:
                continue

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

    def _finish(self, ref: Ref) -> None:
        self._running.discard(ref)
        if ref in self._again:
            self._again.discard(ref)
            self.add(ref)
        self._news.set()
