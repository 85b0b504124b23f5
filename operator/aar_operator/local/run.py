"""Drives one campaign to its end: objects in, a queue that follows every change, a report out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aar_api import labels
from aar_api.campaign import ResearchCampaign, stored
from aar_api.conditions import Reason

from aar_operator.cluster import ClusterError, Manifest, Ref
from aar_operator.cluster.local import LocalCluster
from aar_operator.hubs import HubError
from aar_operator.local import load, space
from aar_operator.local.errors import HubDoesNotStart
from aar_operator.local.voice import EXIT_COMPLETE, EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED, Voice
from aar_operator.manifests import hub as hub_manifest
from aar_operator.reconcile import Reconciler
from aar_operator.settings import Settings
from aar_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.7
"""How often the hub is asked for what a person may want to see."""
HUB_FALLS = 5
"""Times the hub may end before the run gives up."""
LAST_WORD_SECONDS = 5.0
"""For the report of a run that is interrupted: somebody waits."""
REPORT_SECONDS = 120.0
LOG_TAIL = 2000


@dataclass
class LocalRun:
    """One run; `finish` is its exit code."""

    folder: Path
    cluster: LocalCluster
    settings: Settings
    voice: Voice

    def __post_init__(self) -> None:
        self._queue = WorkQueue()
        self._reconciler = Reconciler(self.cluster, self.settings)
        self._jobs: dict[Ref, Ref] = {}
        self._falls: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, objects: list[Manifest], stop: asyncio.Event) -> int:
        """Carry the campaign out until it is over or `stop` is set; the exit code.

        Raises:
            InvalidInput: the directory holds another campaign.
            LocalError, ClusterError: the machine does not let it go on.
        """
        await self._apply(objects)
        self._campaign = Ref.of(objects[0])
        await self.cluster.start()
        self._tasks = [asyncio.create_task(one) for one in (self._follow(), self._work(), self._look())]
        stopped = asyncio.create_task(stop.wait())
        ended = asyncio.create_task(self._ended())
        controllers = [] if self.cluster.failed is None else [self.cluster.failed]
        every = [*self._tasks, *controllers, stopped, ended]
        done, _ = await asyncio.wait(every, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # a task that broke breaks the run
        return await self._last_word(interrupted=ended not in done)

    async def close(self) -> None:
        """Stop every process; what was done so far is kept."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.cluster.stop()
        await self._reconciler.close()

    async def _apply(self, objects: list[Manifest]) -> None:
        held = await self.cluster.find("ResearchCampaign")
        load.continues(objects[0], held[0] if held else None, self.folder)
        for one in [*objects[1:], objects[0]]:
            await self.cluster.apply(one)

    async def _follow(self) -> None:
        """Every change of an object to the campaign or experiment that it concerns."""
        async for ref in self.cluster.watch():
            concerned = await self._concerned(ref)
            if concerned is not None:
                self._queue.add(concerned)

    async def _concerned(self, ref: Ref) -> Ref | None:
        if ref.kind in ("ResearchCampaign", "Experiment"):
            return ref
        if ref.kind != "Job":
            await self._watch_hub(ref)
            return None
        job = await self.cluster.get(ref)
        if job is None:
            return self._jobs.pop(ref, None)
        marks = job["metadata"].get("labels", {})
        if labels.EXPERIMENT in marks:
            self._jobs[ref] = Ref("Experiment", self._campaign.namespace, marks[labels.EXPERIMENT])
        else:
            self._jobs[ref] = self._campaign
        return self._jobs[ref]

    async def _watch_hub(self, ref: Ref) -> None:
        if ref.kind != "Pod" or not ref.name.startswith(f"{hub_manifest.NAME}-"):
            return
        pod = await self.cluster.get(ref)
        if pod is None or pod.get("status", {}).get("phase") != "Failed" or _disrupted(pod):
            return
        self._falls.add(pod["metadata"]["uid"])
        if len(self._falls) >= HUB_FALLS:
            path = self.folder / "pods" / ref.namespace / ref.name / f"{hub_manifest.NAME}.log"
            tail = path.read_text(errors="replace")[-LOG_TAIL:].strip() if path.exists() else ""
            raise HubDoesNotStart(f"The hub ended {HUB_FALLS} times. The end of its log, {path}:\n{tail}")

    async def _work(self) -> None:
        while True:
            ref = await self._queue.get()
            try:
                outcome = await self._reconciler.reconcile(ref)
            except (ClusterError, HubError) as error:
                seconds = self._queue.failed(ref)
                log.info("%s %s: %s Again in %.1f s.", ref.kind, ref.name, error, seconds)
                continue
            self._queue.done(ref, outcome.again)
            self._queue.spread(outcome.wake, outcome.news)

    async def _look(self) -> None:
        """Say what changed."""
        while True:
            space.check(self.folder)
            await self._tell()
            await asyncio.sleep(LOOK_SECONDS)

    async def _tell(self) -> None:
        read = await self.cluster.get(self._campaign)
        if read is None:
            return
        line = await self._reconciler.pool.line(stored(read))
        self.voice.status(read, None if line is None else line.summary)
        for one in read.get("status", {}).get("conditions", []):
            if one["type"] == "Accepted" and one["status"] == "True" and one["reason"] != Reason.VALID:
                self.voice.unchanged(one["message"])
        if line is None or line.summary is None:
            return
        self._falls.clear()
        self.voice.url(line.url)
        with contextlib.suppress(HubError):  # it starts again; the next look succeeds
            views = await line.hub.experiments()
            for view in views:
                self.voice.experiment(view)
            await self._tell_refused({view.name for view in views})

    async def _tell_refused(self, known: set[str]) -> None:
        """A person's Experiment that the hub never took up has no view of the hub's: its condition says why."""
        for one in await self.cluster.find("Experiment"):
            name, conditions = one["metadata"]["name"], one.get("status", {}).get("conditions", [])
            why = [c["message"] for c in conditions if c["type"] == "Accepted" and c["status"] == "False"]
            if why and name not in known:
                self.voice.refused(name, why[0])

    async def _ended(self) -> None:
        while True:
            read = await self.cluster.get(self._campaign)
            if read is not None and _over(read):
                return
            await asyncio.sleep(LOOK_SECONDS / 2)

    async def _last_word(self, interrupted: bool) -> int:
        """Report, then say how it ended."""
        read = await self.cluster.get(self._campaign)
        campaign = stored(read or {})
        with contextlib.suppress(HubError, TimeoutError):
            await asyncio.wait_for(self._report(campaign), LAST_WORD_SECONDS if interrupted else REPORT_SECONDS)
        if interrupted:
            self.voice.done("Interrupted", "Stopped. The same command goes on from here.")
            return EXIT_INTERRUPTED
        conditions = {c.type: c for c in campaign.status.conditions}
        phase = campaign.status.phase
        told = conditions.get(phase)
        self.voice.done(phase, "" if told is None else told.message)
        if phase == "Complete":
            return EXIT_COMPLETE
        accepted = conditions.get("Accepted")
        return EXIT_INPUT if accepted is not None and accepted.status == "False" else EXIT_FAILED

    async def _report(self, campaign: ResearchCampaign) -> None:
        line = await self._reconciler.pool.line(campaign)
        if line is None or line.summary is None:
            return
        await self._tell()
        report = await line.hub.report()
        draft = self.folder / "report.json.draft"
        draft.write_text(report.model_dump_json(by_alias=True, indent=2))
        draft.replace(self.folder / "report.json")


def _over(campaign: Manifest) -> bool:
    """Ended, and not with a spec that has been corrected since."""
    status = campaign.get("status", {})
    known = status.get("observedGeneration") == campaign["metadata"]["generation"]
    return known and status.get("phase") in ("Complete", "Failed")


def _disrupted(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "DisruptionTarget" for c in pod["status"].get("conditions", []))
