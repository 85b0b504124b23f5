"""Experiments applied at a fixed rate, and when each had its Job."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aar_api import labels

from benchmarks.operatorbench.bare import Bare, Object
from tests.kube.world import PLURALS

JOBS = PLURALS["Job"].format("")
PATIENCE = 240.0
"""Seconds without a new Job after which the rest counts as lost."""


@dataclass
class Timeline:
    """Seconds on one clock, by the name of the experiment."""

    sent: dict[str, float] = field(default_factory=dict)
    made: dict[str, float] = field(default_factory=dict)

    def waits(self) -> list[float]:
        """Seconds from sending an Experiment to seeing its Job, shortest first."""
        return sorted(self.made[name] - begun for name, begun in self.sent.items())

    def jobs_a_second(self) -> float:
        """Jobs made, by the time from the first Experiment to the last Job."""
        return len(self.made) / (max(self.made.values()) - min(self.sent.values()))


def percentile(ordered: list[float], share: float) -> float:
    """Nearest rank."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def experiments(space: str) -> str:
    """Path of the collection."""
    return PLURALS["Experiment"].format(f"namespaces/{space}/")


@contextlib.asynccontextmanager
async def observed(bare: Bare, timeline: Timeline, prefix: str) -> AsyncIterator[None]:
    """Note Jobs of experiments whose names begin so, as a watch tells of them."""
    _, version = await bare.items(JOBS, labelSelector=labels.EXPERIMENT)

    async def watch() -> None:
        async for job in bare.added(JOBS, version, labelSelector=labels.EXPERIMENT):
            name = job["metadata"]["labels"][labels.EXPERIMENT]
            if name.startswith(prefix):
                timeline.made.setdefault(name, time.monotonic())

    task = asyncio.create_task(watch())
    try:
        yield
        await _all_made(timeline, task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _all_made(timeline: Timeline, task: asyncio.Task[None]) -> None:
    number, since = -1, time.monotonic()
    while len(timeline.made) < len(timeline.sent):
        if task.done():
            task.result()
            raise AssertionError("the watch of Jobs ended")
        if len(timeline.made) != number:
            number, since = len(timeline.made), time.monotonic()
        missing = len(timeline.sent) - number
        assert time.monotonic() - since < PATIENCE, f"{missing} Experiments got no Job in {PATIENCE:.0f} s"
        await asyncio.sleep(0.05)


async def apply(bare: Bare, bodies: list[Object], rate: float, timeline: Timeline) -> None:
    """Send each at its time, whether or not those before were answered."""
    start = time.monotonic()

    async def one(number: int, body: Object) -> None:
        meta = body["metadata"]
        await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
        timeline.sent[meta["name"]] = time.monotonic()
        await bare.need("POST", experiments(meta["namespace"]), body)

    await asyncio.gather(*(one(number, body) for number, body in enumerate(bodies)))
