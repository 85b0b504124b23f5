"""The operator's process on a cluster: one cache and one watch in every replica, and work in the one that leads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Iterator
from datetime import datetime

from aar_api import labels

from aar_operator.cluster import ClusterError, Manifest, Ref
from aar_operator.cluster.client import Client
from aar_operator.cluster.kubernetes import KubernetesCluster
from aar_operator.cluster.lease import Lease, LeaseLost
from aar_operator.handlers.pages import Pages
from aar_operator.handlers.watching import Watching
from aar_operator.handlers.workers import Workers
from aar_operator.metrics import Metrics
from aar_operator.reconcile import Reconciler
from aar_operator.settings import Settings
from aar_operator.workqueue import AHEAD_SECONDS, WorkQueue

log = logging.getLogger(__name__)
OWN = ("ResearchCampaign", "Experiment")
QUIET_KINDS = ("Pod", "Secret", "ServiceAccount")
"""Kinds whose changes alone call for nothing: a pod's end shows in its Job, and the others change only by our own hand. They
are looked at with whatever else calls for a look, and when they vanish."""
AGAIN_SECONDS = 5.0
RECENT_SECONDS = 30.0
"""A list as old as that is made anew, beside the work, when a term begins."""
STALE_LISTS = 4
"""Lists that may fail in a row before the process counts as ill."""


class Operator:
    """One replica."""

    def __init__(self, settings: Settings, client: Client, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self.cluster = KubernetesCluster(client, with_queues=bool(settings.cluster_queue))
        self._reconciler = Reconciler(self.cluster, settings)
        self._hold_nothing()
        self._lease = Lease(client, settings.operator_namespace, settings.operator_identity)
        self._watching = Watching(self._saw)
        self._pages = Pages(metrics, self._healthy, self._ready)
        self._listed = 0.0
        self._doubted = asyncio.Event()
        self._timed: set[Ref] = set()
        self.cluster.listen(self._changed)
        metrics.phases(self._campaigns, self._experiments)
        metrics.depth.set_function(lambda: self._queue.depth)
        self.cluster.follow("Experiment", self._time_to_job)

    async def run(self, stop: asyncio.Event) -> None:
        """Work whenever this replica leads, until `stop`."""
        port = await self._pages.start(self._settings.metrics_port)
        log.info("Metrics and health are at port %d.", port)
        stopping = asyncio.create_task(stop.wait())
        leading = asyncio.create_task(self._lead())
        try:
            done, _ = await asyncio.wait({stopping, leading}, return_when=asyncio.FIRST_COMPLETED)
            if leading in done:
                leading.result()
        finally:
            stopping.cancel()
            await self._end(leading)

    async def _lead(self) -> None:
        await self._fill()
        self._watching.start()
        listing = asyncio.create_task(self._list_again())
        try:
            while True:
                await self._term()
        finally:
            listing.cancel()

    async def _term(self) -> None:
        """Wait for the lead and work until it is lost, as it is when the API server is away; then what was under way is dropped."""
        await self._lease.acquire()
        self._metrics.leader.set(1)
        self._leading = True
        if time.monotonic() - self._listed > RECENT_SECONDS:
            self._doubted.set()
        self._add_all()
        self._workers.start(self._settings.workers)
        try:
            await self._lease.keep()
        except LeaseLost as error:
            log.warning("%s", error)
        self._metrics.leader.set(0)
        await self._workers.stop()
        self._hold_nothing()
        await self._reconciler.close()
        self._doubted.set()  # watches tell nothing of what was deleted while they were broken

    def _hold_nothing(self) -> None:
        """As before the first term: whoever is at work notes what is to be looked at, and begins with everything."""
        self._leading = False
        self._queue = WorkQueue()
        self._workers = Workers(self._queue, self._reconciler, self._metrics)

    async def _end(self, leading: asyncio.Task[None]) -> None:
        """Let what is under way end, then let another replica begin."""
        await self._workers.drain()
        await self._workers.stop()
        led, self._leading = self._leading, False
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
        if led:
            await self._lease.release()
        self._metrics.leader.set(0)
        await self._watching.stop()
        await self._reconciler.close()
        await self._pages.stop()

    async def _fill(self) -> None:
        """The first list; without it nothing can be decided."""
        while not await self._list():
            await asyncio.sleep(AGAIN_SECONDS)

    async def _list_again(self) -> None:
        """Now and then, and at once where the cache is in doubt. Work goes on meanwhile: a busy server takes minutes for a list."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.relist_seconds * random.uniform(0.9, 1.1)):
                    await self._doubted.wait()
            self._doubted.clear()
            while not await self._list():
                await asyncio.sleep(AGAIN_SECONDS)

    async def _list(self) -> bool:
        try:
            await self.cluster.relist()
        except ClusterError as error:
            log.warning("The cluster could not be listed: %s", error)
            return False
        self._listed = time.monotonic()
        return True

    def _saw(self, event: str | None, manifest: Manifest) -> None:
        self._metrics.events.labels(manifest["kind"]).inc()
        self.cluster.saw(event, manifest)

    def _add_all(self) -> None:
        for kind in OWN:
            for one in self.cluster.cache.find(kind, {}, None):
                self._queue.add(Ref.of(one))
        for kind in ("Namespace", "Job"):  # of what may be gone meanwhile
            for one in self.cluster.cache.find(kind, {}, None):
                self._changed(Ref.of(one), one)

    def _changed(self, ref: Ref, manifest: Manifest) -> None:
        concerned = self._concerned(ref, manifest) if self._leading else None
        if concerned is not None:
            fresh = ref.kind == "Experiment" and "status" not in manifest
            self._queue.add(concerned, AHEAD_SECONDS if fresh else 0.0)

    def _concerned(self, ref: Ref, manifest: Manifest) -> Ref | None:
        """The campaign or experiment that a change is about."""
        if ref.kind in OWN:
            return ref
        there = self.cluster.cache.get(ref) is not None
        marks = self._marks(ref, manifest)
        if (there and ref.kind in QUIET_KINDS) or labels.CAMPAIGN not in marks:
            return None
        space = marks.get(labels.CAMPAIGN_NAMESPACE, "")
        if labels.EXPERIMENT in marks:
            return Ref("Experiment", space, marks[labels.EXPERIMENT])
        return Ref("ResearchCampaign", space, marks[labels.CAMPAIGN])

    def _marks(self, ref: Ref, manifest: Manifest) -> dict[str, str]:
        """Labels that say whose an object is; Kueue's has none of ours, but its Job has."""
        for owner in manifest["metadata"].get("ownerReferences", []) if ref.kind == "Workload" else []:
            job = self.cluster.cache.get(Ref(owner["kind"], ref.namespace, owner["name"]))
            manifest = job or manifest
        marks: dict[str, str] = manifest["metadata"].get("labels") or {}
        return marks

    def _time_to_job(self, ref: Ref, manifest: Manifest | None) -> None:
        """Once for an Experiment, by the replica that made the Job."""
        status = {} if manifest is None else manifest.get("status", {})
        if manifest is None:
            self._timed.discard(ref)
        elif "startTime" in status and ref not in self._timed:
            self._timed.add(ref)
            if self._leading:
                made, created = status["startTime"], manifest["metadata"]["creationTimestamp"]
                took = datetime.fromisoformat(made) - datetime.fromisoformat(created)
                self._metrics.to_job.observe(max(0.0, took.total_seconds()))

    def _healthy(self) -> str:
        age = time.monotonic() - self._listed
        if self._listed and age > STALE_LISTS * self._settings.relist_seconds:
            return f"The cluster could not be listed for {age:.0f} s."
        return "" if self._watching.alive or not self._listed else "Nothing is watched any more."

    def _ready(self) -> str:
        return "" if self._listed else "The cluster was not listed yet."

    def _counted(self, kind: str) -> list[Manifest]:
        """Of the replica that leads alone: every one knows all of them, and a sum over replicas would count each twice."""
        return self.cluster.cache.find(kind, {}, None) if self._leading else []

    def _campaigns(self) -> Iterator[tuple[str, str, str]]:
        for one in self._counted("ResearchCampaign"):
            meta = one["metadata"]
            yield meta["namespace"], meta["name"], one.get("status", {}).get("phase", "Pending")

    def _experiments(self) -> Iterator[tuple[str, str, str]]:
        known = {(space, name) for space, name, _ in self._campaigns()}
        for one in self._counted("Experiment"):
            phase = one.get("status", {}).get("phase", "Pending")
            space, campaign = one["metadata"]["namespace"], one["spec"].get("campaignRef", "")
            # Anybody may write any campaignRef: what names no campaign is no value of a label.
            yield space, campaign if (space, campaign) in known else "", phase
