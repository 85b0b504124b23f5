"""One campaign: observe its children and its hub, plan, apply."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime

from aar_api import labels, names
from aar_api.campaign import ResearchCampaign, parse
from aar_api.experiment import Experiment
from aar_api.experiment import parse as parse_experiment
from aar_api.wire import CampaignOpening, ErrorBody

from aar_operator.cluster import Cluster, Manifest, Ref
from aar_operator.hubs import HubDown, HubRefused
from aar_operator.manifests import researcher
from aar_operator.manifests.common import part_namespace
from aar_operator.plan.campaign import plan_campaign
from aar_operator.plan.model import CampaignSeen, ResearcherState
from aar_operator.reconcile.outcome import Outcome, carry_out, report
from aar_operator.reconcile.pool import HubPool, Line
from aar_operator.settings import Settings

TOKEN_BYTES = 32


class CampaignReconciler:
    """See Reconciler."""

    def __init__(self, cluster: Cluster, pool: HubPool, settings: Settings) -> None:
        self._cluster, self._pool, self._settings = cluster, pool, settings

    async def reconcile(self, ref: Ref, now: datetime) -> Outcome:
        """Observe, plan, apply."""
        read = await self._cluster.get(ref)
        if read is None:
            return Outcome()
        campaign = parse(read)
        line = await self._pool.line(campaign)
        seen = await self._observe(campaign, line)
        fresh = secrets.token_urlsafe(TOKEN_BYTES)
        plan = plan_campaign(campaign, seen, fresh, now, self._settings)
        await carry_out(self._cluster, plan)
        if plan.stage is not None and line is not None:
            await line.hub.stage(*plan.stage)
        await report(self._cluster, ref, read, plan.campaign_status, plan)
        if campaign.metadata.deletion_timestamp is not None and plan.requeue is None:
            await self._pool.drop(campaign.metadata.uid)
        return Outcome(plan.requeue, _wake(campaign, seen, plan.stage is not None))

    async def _observe(self, campaign: ResearchCampaign, line: Line | None) -> CampaignSeen:
        known = CampaignSeen(
            operator_token=await self._pool.token(campaign),
            experiments=await self._experiments(campaign),
            researchers=await self._researchers(campaign),
            namespaces=await self._namespaces(campaign),
        )
        if line is None or campaign.metadata.deletion_timestamp is not None:
            return known
        try:
            return await self._ask(campaign, line, known)
        except HubDown:
            line.summary = None
            return known

    async def _ask(self, campaign: ResearchCampaign, line: Line, known: CampaignSeen) -> CampaignSeen:
        """What the hub says; it is given the campaign first, if it has not got it as it is now."""
        if line.opened != campaign.metadata.generation:
            meta = campaign.metadata
            opening = CampaignOpening(name=meta.name, namespace=meta.namespace, uid=meta.uid, spec=campaign.spec)
            try:
                await line.hub.open(opening)
            except HubRefused as refused:
                refusal = ErrorBody(reason=refused.reason, message=str(refused))
                return replace(known, refusal=refusal, sandbox_url=line.sandbox_url)
            line.opened = meta.generation
        line.summary = await line.hub.summary()
        if not line.summary.opened:
            line.opened = 0
        tokens: dict[str, str] = {}
        if line.summary.stage == "researching":
            parts = [names.researcher(index) for index in range(campaign.spec.researchers.count)]
            tokens = {part: await line.hub.token("researcher", part) for part in parts}
        return replace(
            known,
            sandbox_url=line.sandbox_url,
            summary=line.summary,
            feed=await line.hub.feed(campaign.status.feed_cursor),
            researcher_tokens=tokens,
        )

    async def _experiments(self, campaign: ResearchCampaign) -> tuple[Experiment, ...]:
        found = await self._cluster.find("Experiment", namespace=campaign.metadata.namespace)
        every = [parse_experiment(one) for one in found]
        return tuple(one for one in every if one.spec.campaign_ref == campaign.metadata.name)

    async def _namespaces(self, campaign: ResearchCampaign) -> tuple[str, ...]:
        found = await self._cluster.find("Namespace", {labels.CAMPAIGN_UID: campaign.metadata.uid})
        return tuple(one["metadata"]["name"] for one in found)

    async def _researchers(self, campaign: ResearchCampaign) -> dict[str, ResearcherState]:
        states: dict[str, ResearcherState] = {}
        for index in range(campaign.spec.researchers.count):
            part = names.researcher(index)
            job = await self._cluster.get(Ref("Job", part_namespace(campaign, part), researcher.NAME))
            if job is not None:
                states[part] = _state(job)
        return states


def _state(job: Manifest) -> ResearcherState:
    held = {c["type"] for c in job.get("status", {}).get("conditions", []) if c["status"] == "True"}
    return "succeeded" if "Complete" in held else "failed" if "Failed" in held else "active"


def _wake(campaign: ResearchCampaign, seen: CampaignSeen, moved: bool) -> tuple[Ref, ...]:
    """A campaign that moves on, ends or is suspended concerns all its experiments that are not over."""
    over = campaign.status.phase in ("Complete", "Failed")
    if not (moved or over or campaign.spec.suspend):
        return ()
    open_ones = [e for e in seen.experiments if e.status.phase not in ("Complete", "Failed", "Cancelled")]
    return tuple(Ref("Experiment", e.metadata.namespace, e.metadata.name) for e in open_ones)
