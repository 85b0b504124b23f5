"""What stands around a campaign in the cluster: children, probes, queues, and what its namespace has left."""

from __future__ import annotations

from datetime import datetime, timedelta

from aar_api import labels, names
from aar_api.campaign import ResearchCampaign

from aar_operator.cluster import Cluster, Manifest, Ref
from aar_operator.cluster.cache import JOB_NAME
from aar_operator.cluster.observe import job_state, no_pods, probe_view
from aar_operator.manifests import book, hub, isolation, researcher
from aar_operator.manifests.common import part_namespace
from aar_operator.plan import isolation as walls
from aar_operator.plan import quota
from aar_operator.plan.acceptance import over
from aar_operator.plan.model import CampaignSeen, Probe, ResearcherState, Target
from aar_operator.reconcile.lines import Lines
from aar_operator.reconcile.reading import Reading
from aar_operator.settings import Settings


class Surroundings:
    """Looks at the cluster; the hub is asked elsewhere."""

    def __init__(self, cluster: Cluster, reading: Reading, lines: Lines, settings: Settings) -> None:
        self._cluster, self._reading, self._lines, self._settings = cluster, reading, lines, settings
        self._childless: set[str] = set()
        """UIDs of campaigns that have to go of which the server has said that they have no experiment."""

    async def seen(self, campaign: ResearchCampaign, asked: ResearchCampaign, now: datetime) -> CampaignSeen:
        """Everything but what the hub says, around a campaign as it is in force and as it is asked for."""
        cluster_queue, no_queue = await self._queue(campaign)
        line = self._lines.of(campaign.metadata.namespace, campaign.metadata.name)
        return CampaignSeen(
            phases=dict(line.phases),
            exploring=line.exploring,
            children=await self._children(campaign),
            outdated=await self._outdated(campaign, now),
            researchers=await self._researchers(campaign),
            namespaces=await self._namespaces(campaign),
            hub_refused=await self._refused(campaign),
            hub_address=await self._address(campaign),
            probes=await self._probes(campaign),
            over_quota=await self._over_quota(asked, now),
            cluster_queue=cluster_queue,
            no_queue=no_queue,
        )

    async def _children(self, campaign: ResearchCampaign) -> tuple[Target, ...]:
        """Looked for only when they have to go. That there are none is the server's to say: nothing holds their namespaces then."""
        meta = campaign.metadata
        if meta.deletion_timestamp is None:
            return ()
        ours = await self._experiments(campaign)
        if not ours and meta.uid not in self._childless:
            ours = await self._experiments(campaign, fresh=True)
            if not ours:
                self._childless.add(meta.uid)
        return tuple(Target("Experiment", meta.namespace, name) for name in ours)

    async def _experiments(self, campaign: ResearchCampaign, fresh: bool = False) -> list[str]:
        meta = campaign.metadata
        found = await self._cluster.find("Experiment", namespace=meta.namespace, fresh=fresh)
        return [one["metadata"]["name"] for one in found if one["spec"].get("campaignRef") == meta.name]

    async def exploring(self, campaign: ResearchCampaign) -> bool:
        """Whether anything that was asked for is under way, with what the server has and nobody here has heard of yet."""
        await self._experiments(campaign, fresh=True)
        return self._lines.of(campaign.metadata.namespace, campaign.metadata.name).exploring

    async def _namespaces(self, campaign: ResearchCampaign) -> tuple[str, ...]:
        """That a campaign that has to go has none left is the server's to say: nothing holds it then."""
        marks = {labels.CAMPAIGN_UID: campaign.metadata.uid}
        found = await self._cluster.find("Namespace", marks)
        if not found and campaign.metadata.deletion_timestamp is not None:
            found = await self._cluster.find("Namespace", marks, fresh=True)
            if not found:
                self._childless.discard(campaign.metadata.uid)  # it goes
        return tuple(one["metadata"]["name"] for one in found)

    async def _researchers(self, campaign: ResearchCampaign) -> dict[str, ResearcherState]:
        """Those that it has no more included: what is left of them has still to end."""
        spaces = await self._cluster.find("Namespace", {labels.CAMPAIGN_UID: campaign.metadata.uid})
        parts = {one["metadata"]["labels"].get(labels.PART, "") for one in spaces} - set(names.RESERVED_PARTS)
        parts |= {names.researcher(index) for index in range(campaign.spec.researchers.count)}
        jobs = {part: await self._job(campaign, part, researcher.NAME) for part in sorted(parts)}
        return {part: job_state(job) for part, job in jobs.items() if job is not None}

    async def _probes(self, campaign: ResearchCampaign) -> dict[str, Probe]:
        found: dict[str, Probe] = {}
        for part in walls.parts(campaign):
            job = await self._job(campaign, part, isolation.NAME)
            if job is not None and "deletionTimestamp" not in job["metadata"]:
                marks = {JOB_NAME: isolation.NAME}
                pods = await self._cluster.find("Pod", marks, part_namespace(campaign, part))
                found[part] = probe_view(job, pods)
        return found

    async def _job(self, campaign: ResearchCampaign, part: str, name: str) -> Manifest | None:
        return await self._cluster.get(Ref("Job", part_namespace(campaign, part), name))

    async def _refused(self, campaign: ResearchCampaign) -> str:
        found = await self._cluster.get(Ref("Deployment", part_namespace(campaign, "hub"), hub.NAME))
        return "" if found is None else no_pods(found)

    async def _address(self, campaign: ResearchCampaign) -> str | None:
        """Of the Service; if that is gone, of the one there was."""
        namespace = part_namespace(campaign, "hub")
        service = await self._cluster.get(Ref("Service", namespace, hub.NAME))
        if service is not None:
            address: str | None = service["spec"].get("clusterIP")
            return address
        space = await self._cluster.get(Ref("Namespace", "", namespace))
        kept: dict[str, str] = (space or {}).get("metadata", {}).get("annotations") or {}
        return kept.get(labels.HUB_ADDRESS)

    async def _over_quota(self, campaign: ResearchCampaign, now: datetime) -> str:
        namespace = campaign.metadata.namespace
        limits = quota.limits_of(namespace, self._settings.namespace_limits)
        if limits is None or over(campaign):
            return ""
        others = self._reading.campaigns(await self._cluster.find("ResearchCampaign", namespace=namespace))
        gone = book.spent(await self._book(namespace), now.strftime("%Y-%m"), {one.metadata.uid for one in others})
        return quota.exceeded(campaign, others, gone, limits, now)

    async def _outdated(self, campaign: ResearchCampaign, now: datetime) -> tuple[str, ...]:
        """The month before counts still: it may not be over on every clock. Those that are here enter theirs again and again."""
        meta = campaign.metadata
        if meta.deletion_timestamp is None:
            return ()
        before = (now.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
        others = await self._cluster.find("ResearchCampaign", namespace=meta.namespace)
        here = {one["metadata"]["uid"] for one in others}
        return tuple(uid for uid in book.outdated(await self._book(meta.namespace), before) if uid not in here)

    async def _book(self, namespace: str) -> dict[str, str]:
        books = await self._cluster.find("ConfigMap", book.marks(namespace), self._settings.operator_namespace)
        return {uid: months for one in books for uid, months in (one.get("data") or {}).items()}

    async def _queue(self, campaign: ResearchCampaign) -> tuple[str, str]:
        """(ClusterQueue, sentence on what is missing)."""
        wanted, configured = campaign.spec.queue_name, self._settings.cluster_queue
        if wanted is None or self._settings.one_machine:
            return configured, ""
        if not configured:
            return "", (
                f"queueName is {wanted!r}, and this operator queues nothing with Kueue: have the Helm value kueue.clusterQueue set, "
                "or delete the campaign and apply it without queueName."
            )
        found = await self._cluster.get(Ref("LocalQueue", campaign.metadata.namespace, wanted))
        if found is None:
            return (
                "",
                f"There is no LocalQueue {wanted!r} in this namespace: have it made, or delete the campaign and apply it without queueName.",
            )
        return str(found["spec"]["clusterQueue"]), ""
