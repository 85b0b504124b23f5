"""The Jobs and pods of an experiment, as far as they are believed.

Anybody who may make a Job in some namespace can give it our labels, so a label alone says nothing. What counts is in a namespace that was
made for the campaign, which its own labels say: only the operator may write those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from aar_api import labels, names
from aar_api.experiment import Experiment

from aar_operator.cluster import Cluster, Manifest, Ref
from aar_operator.cluster.cache import JOB_NAME
from aar_operator.cluster.observe import job_view, seconds_by_index
from aar_operator.plan.model import JobView


@dataclass(frozen=True)
class Attempts:
    """What is there of an experiment's attempts."""

    number: int = 0
    """Of the newest whose Job is there and not on its way out; 0 for none."""
    job: JobView | None = None
    ran: dict[int, float] = field(default_factory=dict)
    """Index -> seconds that pods of all other attempts ran."""


class Jobs:
    """Looks for them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._heard: set[str] = set()
        """UIDs of campaigns of which the server has said all Jobs."""

    def forget(self) -> None:
        """From now on anything may have happened unheard of."""
        self._heard.clear()

    async def hear(self, campaign_uid: str) -> bool:
        """Have the server say once which Jobs the campaign has, and in which namespaces; whether that was now."""
        if campaign_uid in self._heard:
            return False
        await self._ask({labels.CAMPAIGN_UID: campaign_uid})
        self._heard.add(campaign_uid)
        return True

    async def of(self, experiment: Experiment, campaign_uid: str | None, now: datetime) -> Attempts:
        """The attempts of an experiment; those of another campaign than the given one, if it is known, are not its own."""
        uid, name = experiment.metadata.uid, experiment.metadata.name
        jobs = [
            one
            for one in await self._cluster.find("Job", {labels.EXPERIMENT_UID: uid})
            if "deletionTimestamp" not in one["metadata"] and await self._believed(one, experiment, campaign_uid)
        ]
        newest = max(jobs, key=lambda one: _attempt(name, one), default=None)
        pods = [
            one
            for one in await self._cluster.find("Pod", {labels.EXPERIMENT_UID: uid})
            if await self._made_for(one, experiment.metadata.namespace, campaign_uid)
        ]
        if newest is None:
            return Attempts(ran=seconds_by_index(pods, now))
        job = newest["metadata"]["name"]
        own = [one for one in pods if one["metadata"]["labels"].get(JOB_NAME) == job]
        others = [one for one in pods if one["metadata"]["labels"].get(JOB_NAME) != job]
        view = job_view(newest, own, now, await self._workload(newest))
        return Attempts(_attempt(name, newest), view, seconds_by_index(others, now))

    async def reread(self, experiment: Experiment) -> None:
        """Have the server say which Jobs the experiment has, and in which namespaces: a watch that broke tells of none, and a second
        one must not be made.
        """
        await self._ask({labels.EXPERIMENT_UID: experiment.metadata.uid})

    async def _ask(self, marks: dict[str, str]) -> None:
        for one in await self._cluster.find("Job", marks, fresh=True):
            space = Ref("Namespace", "", one["metadata"]["namespace"])
            if await self._cluster.get(space) is None:
                await self._cluster.look(space)
        await self._cluster.find("Pod", marks, fresh=True)  # they tell how long it ran

    async def left(self, ref: Ref, uid: str) -> list[Manifest]:
        """Jobs of an experiment of that name that is no more; `uid` is of the one that is there, empty for none."""
        marks = {labels.EXPERIMENT: ref.name, labels.CAMPAIGN_NAMESPACE: ref.namespace}
        found = [
            one
            for one in await self._cluster.find("Job", marks)
            if _uid(one) != uid and _attempt(ref.name, one) > 0 and await self._made_for(one, ref.namespace, None)
        ]
        if not found:
            return []
        # What is known may be older than the Job: a list reads Experiments before Jobs.
        there = await self._cluster.look(ref)
        return [one for one in found if there is None or _uid(one) != there["metadata"]["uid"]]

    async def _believed(self, job: Manifest, experiment: Experiment, campaign_uid: str | None) -> bool:
        meta = experiment.metadata
        return _attempt(meta.name, job) > 0 and await self._made_for(job, meta.namespace, campaign_uid)

    async def _made_for(self, one: Manifest, namespace: str, campaign_uid: str | None) -> bool:
        """Whether it lies in a namespace made for its campaign, which is in that namespace and, if given, has that UID."""
        space = await self._cluster.get(Ref("Namespace", "", one["metadata"]["namespace"]))
        marks = ((space or {}).get("metadata") or {}).get("labels") or {}
        says = (one["metadata"].get("labels") or {}).get(labels.CAMPAIGN_UID)
        wanted = (namespace, says, campaign_uid or says)
        held = marks.get(labels.CAMPAIGN_UID)
        return says is not None and (marks.get(labels.CAMPAIGN_NAMESPACE), held, held) == wanted

    async def _workload(self, job: Manifest) -> Manifest | None:
        """Kueue's object for a Job, if it is in a queue."""
        if labels.QUEUE not in job["metadata"].get("labels", {}):
            return None
        meta = job["metadata"]
        found = await self._cluster.find("Workload", {labels.WORKLOAD_JOB: meta["uid"]}, meta["namespace"])
        return next(iter(found), None)


def _uid(job: Manifest) -> str | None:
    uid: str | None = job["metadata"]["labels"].get(labels.EXPERIMENT_UID)
    return uid


def _attempt(experiment: str, job: Manifest) -> int:
    """Which attempt of the experiment the Job is, by its name; 0 if it is none."""
    name = job["metadata"]["name"]
    number = name.rpartition("-")[2]
    attempt = int(number) if number.isdecimal() else 0
    return attempt if attempt > 0 and names.job(experiment, attempt) == name else 0
