"""The operator's memory by number of Experiments, and what a new process does before it is idle."""

from __future__ import annotations

import asyncio
import math
import time

from benchmarks.operatorbench import gauge, report
from benchmarks.operatorbench.ground import Ground, end, standing
from benchmarks.operatorbench.load import Timeline, apply
from tests.kube import world

NOWHERE = {"AAR_NODE_SELECTOR": '{"aar.dev/benchmark": "nowhere"}'}
"""No node takes the pods, so that what was begun stays begun."""
STATES = {"running": 1000, "waiting": 1}
"""Parallelism of the campaigns. Running: each Experiment has its Job, pod and Secret. Waiting: one has, the others are told to wait."""
RATE = 200.0
STILL_SECONDS = 4.0
"""Nothing looked at and nothing in the queue for so long is idle; campaigns are looked at all the time."""
GIVE_UP_SECONDS = 1200.0
HEAD = ("Experiments", "state", "RSS MB", "peak MB", "KB each")
AGAIN = ("Experiments", "state", "seconds to idle", "CPU seconds", "objects looked at", "writes", "RSS MB")


async def measure(state: str, numbers: list[int], restart: bool) -> None:
    """RSS at every number of Experiments; then, if wanted, of a new process and what it did."""
    rows: list[list[str]] = []
    async with standing() as ground, ground.operator(**NOWHERE) as process:
        port, pid = await asyncio.to_thread(process.port), process.process.pid
        campaigns = [f"c{index}" for index in range(math.ceil(max(numbers) / 1000) if state == "running" else 1)]
        for name in campaigns:
            await ground.campaign(name, STATES[state])
        await _idle(port)
        empty, there = gauge.rss_kb(pid), 0
        rows.append(_say(["0", state, f"{empty / 1024:.0f}", f"{gauge.peak_kb(pid) / 1024:.0f}", ""]))
        for number in numbers:
            await _more(ground, campaigns, there, number)
            there = number
            await _idle(port)
            used = gauge.rss_kb(pid)
            each = f"{(used - empty) / number:.1f}"
            rows.append(_say([str(number), state, f"{used / 1024:.0f}", f"{gauge.peak_kb(pid) / 1024:.0f}", each]))
        await asyncio.to_thread(end, process)
        again = await _restarted(ground, state, there) if restart else []
    report.write(f"Memory, {state} Experiments", report.table(HEAD, rows))
    if again:
        report.write(f"A new process, {state} Experiments", report.table(AGAIN, [again]))


def _say(row: list[str]) -> list[str]:
    print(time.strftime("%H:%M:%S"), " | ".join(row), flush=True)
    return row


async def _more(ground: Ground, campaigns: list[str], first: int, last: int) -> None:
    bodies = [
        world.experiment(ground.space, f"e{index}", campaignRef=campaigns[index % len(campaigns)])
        for index in range(first, last)
    ]
    await apply(ground.bare, bodies, RATE, Timeline())


async def _restarted(ground: Ground, state: str, number: int) -> list[str]:
    began = time.monotonic()
    async with ground.operator(**NOWHERE) as process:
        port, pid = await asyncio.to_thread(process.port), process.process.pid
        seconds = await _idle(port) - began
        counts = gauge.counts(port)
        row = [
            str(number),
            state,
            f"{seconds:.1f}",
            f"{gauge.cpu_seconds(pid):.1f}",
            str(counts.reconciles["Experiment"]),
            str(counts.writes),
            f"{gauge.rss_kb(pid) / 1024:.0f}",
        ]
        return _say(row)


async def _idle(port: int) -> float:
    """When it had done everything, once nothing came after it."""
    before, since, began = -1, time.monotonic(), time.monotonic()
    while time.monotonic() - since < STILL_SECONDS:
        assert time.monotonic() - began < GIVE_UP_SECONDS, f"the operator is not idle after {GIVE_UP_SECONDS:.0f} s"
        await asyncio.sleep(0.2)
        counts = await asyncio.to_thread(gauge.counts, port)
        looked = counts.reconciles["Experiment"]
        if looked != before or not counts.leads or counts.waiting > 0:
            before, since = looked, time.monotonic()
    return since
