"""From an Experiment to its Job, at a given rate: the operator beside the floor, in one run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.operatorbench import gauge, report
from benchmarks.operatorbench.bare import Object
from benchmarks.operatorbench.ground import Ground, kubeconfig, standing, until
from benchmarks.operatorbench.load import JOBS, Timeline, apply, experiments, observed, percentile
from tests.kube import world
from tests.kube.world import PLURALS

JOBSET = {10.0: (9.0, 21.0, 10.0, 6.0), 50.0: (None, 18_000.0, 26.0, 6.0)}
"""p50 ms, p99 ms, Jobs/s and CPU ms of JobSet's controller by rate, on two cores, from an earlier run with the same kind of load."""
SETTLE_SECONDS = 6.0
"""Between two rounds, for what the last one left to do."""
HEAD = (
    "rate",
    "who",
    "Jobs",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "Jobs/s",
    "of the floor",
    "of JobSet",
    "requests each",
    "CPU ms each",
)


@dataclass(frozen=True)
class Round:
    """One load carried out by one of the two."""

    rate: float
    who: str
    waits: list[float]
    jobs_a_second: float
    cpu_seconds: float
    requests: int | None

    def row(self, floor: Round | None) -> list[str]:
        """A row of the table; ratios are of Jobs/s."""
        known, number = JOBSET.get(self.rate), len(self.waits)
        return [
            f"{self.rate:.0f}/s",
            self.who,
            str(number),
            *(f"{1e3 * percentile(self.waits, share):.0f}" for share in (0.5, 0.95, 0.99)),
            f"{self.jobs_a_second:.1f}",
            "" if floor is None else f"{self.jobs_a_second / floor.jobs_a_second:.2f}",
            "" if floor is None or known is None else f"{self.jobs_a_second / known[2]:.2f}",
            "1.0" if self.requests is None else f"{self.requests / number:.1f}",
            f"{1e3 * self.cpu_seconds / number:.1f}",
        ]


async def measure(loads: list[tuple[float, int]]) -> None:
    """Every load, (rate, number): first the floor, then the operator."""
    rows: list[list[str]] = []
    async with standing() as ground:
        pattern = await _pattern(ground)
        for rate, number in loads:
            floor = await _floor(ground, pattern, rate, number)
            rows.append(_say(floor.row(None)))
            rows.append(_say((await _operator(ground, rate, number)).row(floor)))
    for rate, _ in loads:
        if (known := JOBSET.get(rate)) is not None:
            p50, p99, jobs, cpu = known
            rows.append(
                [
                    f"{rate:.0f}/s",
                    "JobSet, earlier",
                    "",
                    f"{p50 or ''}",
                    "",
                    f"{p99:.0f}",
                    f"{jobs:.1f}",
                    "",
                    "1",
                    "",
                    f"{cpu}",
                ]
            )
    report.write("From an Experiment to its Job", report.table(HEAD, rows))


def _say(row: list[str]) -> list[str]:
    print(" | ".join(row), flush=True)
    return row


async def _pattern(ground: Ground) -> Object:
    """The Job that the operator makes, without what makes it the operator's."""
    async with ground.operator():
        await ground.campaign("c")
        await ground.bare.need("POST", experiments(ground.space), world.experiment(ground.space, "pattern"))

        async def look() -> Object | None:
            found, _ = await ground.bare.items(JOBS, labelSelector="aar.dev/experiment=pattern")
            return found[0] if found else None

        job = await until("the pattern has a Job", look)
    meta, spec = job["metadata"], job["spec"]
    template = {"metadata": {"labels": {"floor": "yes"}}, "spec": spec["template"]["spec"]}
    left_out = ("selector", "template", "suspend", "manualSelector")
    plain = {key: value for key, value in spec.items() if key not in left_out}
    about = {"namespace": meta["namespace"], "labels": {"floor": "yes"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": about, "spec": {**plain, "template": template}}


def _bodies(space: str, prefix: str, number: int) -> list[Object]:
    return [world.experiment(space, f"{prefix}{index}") for index in range(number)]


async def _floor(ground: Ground, pattern: Object, rate: float, number: int) -> Round:
    space, prefix, timeline = f"{ground.space}-floor", f"floor-{rate:.0f}-", Timeline()
    with _following(ground, space, pattern) as pid:
        before = gauge.cpu_seconds(pid)
        async with observed(ground.bare, timeline, prefix):
            await apply(ground.bare, _bodies(space, prefix, number), rate, timeline)
        used = gauge.cpu_seconds(pid) - before
    for path in (
        experiments(space),
        f"{PLURALS['Job'].format('namespaces/{}/')}".format(pattern["metadata"]["namespace"]),
    ):
        selector = {"labelSelector": "floor=yes"} if path.endswith("jobs") else {}
        await ground.bare.need("DELETE", path, propagationPolicy="Background", **selector)

    async def gone() -> bool:
        pods, _ = await ground.bare.items(PLURALS["Pod"].format(""), labelSelector="floor=yes")
        return not pods

    await until("pods of the floor are gone", gone)
    await asyncio.sleep(SETTLE_SECONDS)
    return Round(rate, "floor", timeline.waits(), timeline.jobs_a_second(), used, None)


@contextlib.contextmanager
def _following(ground: Ground, space: str, pattern: Object) -> Iterator[int]:
    """The floor's process id, once it watches."""
    script = Path(__file__).with_name("floor.py")
    command = [sys.executable, str(script), str(kubeconfig()), str(ground.folder), space]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(pattern))
        process.stdin.close()
        try:
            assert process.stdout.readline().strip() == "watching"
            yield process.pid
        finally:
            process.terminate()


async def _operator(ground: Ground, rate: float, number: int) -> Round:
    prefix, timeline = f"e{rate:.0f}-", Timeline()
    async with ground.operator() as process:
        port, pid = await asyncio.to_thread(process.port), process.process.pid
        await until("the operator leads", partial(_leads, port))
        await asyncio.sleep(SETTLE_SECONDS)
        requests, cpu = gauge.counts(port).requests, gauge.cpu_seconds(pid)
        async with observed(ground.bare, timeline, prefix):
            await apply(ground.bare, _bodies(ground.space, prefix, number), rate, timeline)
        await until("every Experiment is over", partial(_over, ground, prefix, number))
        sent = sum((gauge.counts(port).requests - requests).values())
        used = gauge.cpu_seconds(pid) - cpu
    return Round(rate, "operator", timeline.waits(), timeline.jobs_a_second(), used, sent)


async def _leads(port: int) -> bool:
    return (await asyncio.to_thread(gauge.counts, port)).leads


async def _over(ground: Ground, prefix: str, number: int) -> bool:
    """Whether all are scored and nothing holds them any more."""
    found, _ = await ground.bare.items(experiments(ground.space))
    ours = [one for one in found if one["metadata"]["name"].startswith(prefix)]
    return sum(world.phase(one) == "Complete" and not one["metadata"].get("finalizers") for one in ours) == number
