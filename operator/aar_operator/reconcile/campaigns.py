"""One campaign: observe its children and its hub, plan, apply."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime

from aar_api import labels, names
from aar_api.campaign import ResearchCampaign
from aar_api.wire import CampaignOpening, ErrorBody

from aar_operator.cluster import Cluster, Foreign, Invalid, Manifest, Ref
from aar_operator.hubs import HubDown, HubRefused
from aar_operator.plan.acceptance import name_taken, not_made
from aar_operator.plan.campaign import plan_campaign
from aar_operator.plan.model import FINISHED, CampaignSeen
from aar_operator.reconcile.lines import Lines
from aar_operator.reconcile.orphans import settle_orphans
from aar_operator.reconcile.outcome import Outcome, carry_out, report
from aar_operator.reconcile.pool import HubPool, Line
from aar_operator.reconcile.reading import Reading
from aar_operator.reconcile.surroundings import Surroundings
from aar_operator.rotation import Rotating
from aar_operator.settings import Settings

TOKEN_BYTES = 32


class CampaignReconciler:
    """See Reconciler."""

    def __init__(self, cluster: Cluster, pool: HubPool, reading: Reading, lines: Lines, settings: Settings) -> None:
        self._cluster, self._pool, self._reading, self._lines = cluster, pool, reading, lines
        self._settings = Rotating(settings)
        self._surroundings = Surroundings(cluster, reading, lines, settings)

    async def gone(self, ref: Ref) -> Outcome:
        """Its finalizer let it go only when nothing was left; what somebody forced out of that goes now. Others may have room."""
        await self._bury(ref, "")
        others = await self._cluster.find("ResearchCampaign", namespace=ref.namespace)
        return Outcome(wake=tuple(Ref.of(one) for one in others))

    async def _bury(self, ref: Ref, uid: str) -> None:
        """Remove the namespaces of a campaign of that name that is no more. Whether it is, only the server knows: a cache may
        have heard of the namespaces first.
        """
        marks = {labels.CAMPAIGN: ref.name, labels.CAMPAIGN_NAMESPACE: ref.namespace}
        spaces = await self._cluster.find("Namespace", marks)
        if all(one["metadata"]["labels"].get(labels.CAMPAIGN_UID) == uid for one in spaces):
            return
        there = await self._cluster.look(ref)
        alive = "" if there is None else there["metadata"]["uid"]
        for one in spaces:
            if one["metadata"]["labels"].get(labels.CAMPAIGN_UID) != alive:
                await self._cluster.delete(Ref.of(one), one["metadata"]["uid"])

    async def reconcile(self, ref: Ref, read: Manifest, now: datetime) -> Outcome:
        """Observe, plan, apply."""
        campaign = self._reading.campaign(read)
        if labels.FINALIZER not in campaign.metadata.finalizers:
            await self._bury(ref, campaign.metadata.uid)
        line = await self._pool.line(campaign)
        seen = await self._observe(campaign, line, now)
        fresh = secrets.token_urlsafe(TOKEN_BYTES)
        plan = plan_campaign(campaign, seen, fresh, now, self._settings.now())
        try:
            await carry_out(self._cluster, plan)
        except Foreign as error:
            plan = name_taken(campaign, str(error), now)
        except Invalid as error:
            plan = not_made(campaign, str(error), now)
        if line is not None:
            await settle_orphans(self._cluster, campaign, line, seen, now)
        moved = await report(self._cluster, ref, read, plan.campaign_status, plan)
        if plan.stage is not None and line is not None:
            # After the reason was written, which nobody could tell any more.
            line.summary = await line.hub.stage(*plan.stage)
        if campaign.metadata.deletion_timestamp is not None and plan.requeue is None:
            await self._pool.drop(campaign.metadata.uid)
        wake = self._wake(campaign, line, plan.stage is not None)
        return Outcome(0.0 if moved else plan.requeue, wake)

    def _wake(self, campaign: ResearchCampaign, line: Line | None, moved: bool) -> tuple[Ref, ...]:
        """A campaign that moves on, whose hub answers again, that ends or is changed, suspended for example, concerns all its
        experiments that are not over.
        """
        meta, status = campaign.metadata, campaign.status
        back = line is not None and line.answers and not line.told
        if not (moved or back or status.phase in FINISHED or status.observed_generation != meta.generation):
            return ()
        if line is not None:
            line.told = line.answers
        return tuple(Ref("Experiment", meta.namespace, name) for name in self._lines.of(meta.namespace, meta.name))

    async def _observe(self, campaign: ResearchCampaign, line: Line | None, now: datetime) -> CampaignSeen:
        around = await self._surroundings.seen(campaign, now)
        known = replace(
            around,
            operator_token=await self._pool.token(campaign),
            sandbox_url=None if line is None else line.sandbox_url,
        )
        if line is None:
            return known
        try:
            return await self._ask(campaign, line, known)
        except HubDown:
            line.silent()
            return known

    async def _ask(self, campaign: ResearchCampaign, line: Line, known: CampaignSeen) -> CampaignSeen:
        """What the hub says; it is given the campaign first, if it has not got it as it is now and there is room for that."""
        leaving = campaign.metadata.deletion_timestamp is not None
        if line.opened != campaign.metadata.generation and not leaving and not known.over_quota:
            meta = campaign.metadata
            opening = CampaignOpening(name=meta.name, namespace=meta.namespace, uid=meta.uid, spec=campaign.spec)
            try:
                await line.hub.open(opening)
            except HubRefused as refused:
                refusal = ErrorBody(reason=refused.reason, message=str(refused))
                return replace(known, refusal=refusal)
            line.opened = meta.generation
        line.summary, line.asked = await line.hub.summary(), True
        if not line.summary.opened:
            line.opened, line.told = 0, False
            line.tokens.clear()
        if leaving:
            return replace(known, summary=line.summary)
        researching = line.summary.stage == "researching"
        parts = [names.researcher(index) for index in range(campaign.spec.researchers.count)] if researching else []
        for part in parts:
            if part not in line.tokens:
                line.tokens[part] = await line.hub.token("researcher", part)
        return replace(
            known,
            summary=line.summary,
            feed=await line.hub.feed(campaign.status.feed_cursor),
            researcher_tokens={part: line.tokens[part] for part in parts},
        )
