"""Many campaigns at once whose Experiments go through Kueue, with hubs that score at once."""

from __future__ import annotations

import asyncio
import time

from benchmarks.operatorbench import gauge, report
from benchmarks.operatorbench.ground import standing
from benchmarks.operatorbench.load import Timeline, apply
from tests.kube import world

QUEUE = "cluster-queue"
KUEUE = {"AAR_CLUSTER_QUEUE": QUEUE, "AAR_TOLERATIONS": '[{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]'}
RATE = 100.0
LOOK_SECONDS = 15.0
STUCK_SECONDS = 600.0
HEAD = (
    "Experiments",
    "campaigns",
    "minutes",
    "Experiments/s",
    "RSS MB, begin",
    "RSS MB, end",
    "peak MB",
    "KB each",
    "CPU ms each",
    "requests each",
)


async def measure(number: int, campaigns: int, parallelism: int) -> None:
    """Apply them all, dealt out in turn, and wait until the last is scored."""
    async with standing() as ground, ground.operator(**KUEUE) as process:
        port, pid = await asyncio.to_thread(process.port), process.process.pid
        names = [f"c{index}" for index in range(campaigns)]
        for name in names:
            await ground.campaign(name, parallelism)
        empty, cpu, before = gauge.rss_kb(pid), gauge.cpu_seconds(pid), gauge.counts(port)
        bodies = [world.experiment(ground.space, f"e{n}", campaignRef=names[n % campaigns]) for n in range(number)]
        began = time.monotonic()
        load = asyncio.create_task(apply(ground.bare, bodies, RATE, Timeline()))
        await _scored(port, pid, number, began)
        await load
        seconds, used = time.monotonic() - began, gauge.rss_kb(pid)
        row = [
            str(number),
            str(campaigns),
            f"{seconds / 60:.1f}",
            f"{number / seconds:.1f}",
            f"{empty / 1024:.0f}",
            f"{used / 1024:.0f}",
            f"{gauge.peak_kb(pid) / 1024:.0f}",
            f"{(used - empty) / number:.1f}",
            f"{1e3 * (gauge.cpu_seconds(pid) - cpu) / number:.1f}",
            f"{sum((gauge.counts(port).requests - before.requests).values()) / number:.1f}",
        ]
    report.write("Many campaigns through Kueue", report.table(HEAD, [row]))


async def _scored(port: int, pid: int, number: int, began: float) -> None:
    """Says now and then how far they are."""
    last, since = -1, time.monotonic()
    while last < number:
        phases = (await asyncio.to_thread(gauge.counts, port)).phases
        if phases["Complete"] != last:
            last, since = phases["Complete"], time.monotonic()
        told = ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items()) if count)
        print(f"{time.monotonic() - began:6.0f} s: {told}; {gauge.rss_kb(pid) / 1024:.0f} MB", flush=True)
        assert time.monotonic() - since < STUCK_SECONDS, f"no Experiment was scored for {STUCK_SECONDS:.0f} s"
        await asyncio.sleep(min(LOOK_SECONDS, 1.0 + number / 1000))
