"""Takes names from the queue and has each looked at, several side by side, no name twice at once."""

from __future__ import annotations

import asyncio
import logging
import time

from aar_operator.cluster import ClusterError, Conflict, Ref
from aar_operator.hubs import HubError
from aar_operator.metrics import Metrics
from aar_operator.reconcile import Reconciler
from aar_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)
COMPLAIN_AFTER = 6
"""Looks at an object that fail in a row before it is told as an Event of that: after eight seconds, since less passes by itself."""
DRAIN_SECONDS = 10.0
"""What is under way at the end gets this long; Kubernetes waits 30 s before it kills."""


class Workers:
    """The loops that do the work."""

    def __init__(self, queue: WorkQueue, reconciler: Reconciler, metrics: Metrics) -> None:
        self._queue, self._reconciler, self._metrics = queue, reconciler, metrics
        self._tasks: list[asyncio.Task[None]] = []
        self._busy: set[asyncio.Task[None]] = set()

    def start(self, number: int) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._work()) for _ in range(number)]

    async def drain(self) -> None:
        """Take up nothing more and wait for what is under way."""
        for task in self._tasks:
            if task not in self._busy:
                task.cancel()
        if self._busy:
            await asyncio.wait(set(self._busy), timeout=DRAIN_SECONDS)

    async def stop(self) -> None:
        """End at once; anything can be taken up again later."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        own = asyncio.current_task()
        assert own is not None
        while True:
            ref = await self._queue.get()
            self._busy.add(own)
            try:
                await self._look(ref)
            finally:
                self._busy.discard(own)

    async def _look(self, ref: Ref) -> None:
        began = time.monotonic()
        result = "error"
        try:
            outcome = await self._reconciler.reconcile(ref)
            result = "ok"
            self._queue.done(ref, outcome.again)
            self._queue.spread(outcome.wake, outcome.news)
        except Conflict as error:
            result = "conflict"
            await self._again(ref, error, logging.DEBUG)
        except ClusterError as error:
            result = "cluster"
            await self._again(ref, error, logging.WARNING)
        except HubError as error:
            result = "hub"
            await self._again(ref, error, logging.INFO)
        except Exception as error:
            # The outermost loop: a mistake of ours about one object must not stop the work on all others.
            log.exception("%s %s/%s was not looked at to the end.", ref.kind, ref.namespace, ref.name)
            await self._again(ref, error, logging.ERROR)
        finally:
            seconds = time.monotonic() - began
            self._metrics.reconciles.labels(ref.kind, result).inc()
            self._metrics.duration.labels(ref.kind).observe(seconds)

    async def _again(self, ref: Ref, error: Exception, level: int) -> None:
        seconds, failures = self._queue.failed(ref), self._queue.failures(ref)
        about = {"kind": ref.kind, "namespace": ref.namespace, "object": ref.name}
        log.log(level, "%s Again in %.1f s.", error, seconds, extra=about)
        if failures == COMPLAIN_AFTER and not isinstance(error, Conflict):
            await self._reconciler.complain(ref, error)
