"""One campaign: observe its children and its hub, plan, apply."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from aar_api import labels, names
from aar_api.campaign import CampaignSpec, ResearchCampaign
from aar_api.conditions import CampaignCondition, is_true
from aar_api.wire import CampaignOpening, ErrorBody

from aar_operator.cluster import Cluster, Conflict, Foreign, Invalid, Manifest, Ref
from aar_operator.hubs import HubError, HubRefused
from aar_operator.plan.acceptance import REFUSALS, WAIT_SECONDS, name_taken, not_made
from aar_operator.plan.campaign import plan_campaign
from aar_operator.plan.model import FINISHED, CampaignSeen, Plan
from aar_operator.reconcile.lines import Lines
from aar_operator.reconcile.orphans import LOST, settle_orphans
from aar_operator.reconcile.outcome import Outcome, carry_out, ref_of, report
from aar_operator.reconcile.pool import HubPool, Line, Refusal
from aar_operator.reconcile.reading import Malformed, Reading
from aar_operator.reconcile.surroundings import Surroundings
from aar_operator.rotation import Rotating
from aar_operator.settings import Settings

TOKEN_BYTES = 32

T = TypeVar("T")


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
        asked, mistakes = self._read(read)
        if labels.FINALIZER not in asked.metadata.finalizers:
            await self._bury(ref, asked.metadata.uid)
        line = await self._pool.line(asked)
        before = None if line is None else line.in_force
        seen = await self._observe(asked, mistakes, line, now)
        campaign = asked if line is None else line.plan_by(asked)
        fresh = secrets.token_urlsafe(TOKEN_BYTES)
        plan = plan_campaign(campaign, seen, fresh, now, self._settings.now())
        if plan.stage is not None and plan.stage[0] == "verifying" and not seen.exploring:
            # Whatever is under way is cancelled then, and a watch may be behind.
            seen = replace(seen, exploring=await self._surroundings.exploring(campaign))
            plan = plan_campaign(campaign, seen, fresh, now, self._settings.now())
        if any(target.kind == "ResearchCampaign" for target in plan.delete):
            await self._is_newest(asked)  # its owner may keep it longer by now
        try:
            taken = await carry_out(self._cluster, await self._among_own(campaign, plan))
            if line is not None:
                await self._give_up(line, ref, taken)
        except Foreign as error:
            plan = name_taken(campaign, str(error), now)
        except Invalid as error:
            plan = not_made(campaign, str(error), now)
        if line is not None:
            await settle_orphans(self._cluster, campaign, line, seen, now)
        written = await report(self._cluster, ref, read, plan.campaign_status, plan)
        if plan.stage is not None and line is not None:
            # After the reason was written, which nobody could tell any more.
            line.summary = await line.hub.stage(*plan.stage)
        if campaign.metadata.deletion_timestamp is not None and plan.requeue is None:
            await self._pool.drop(campaign.metadata.uid)
        changed = line is not None and line.in_force is not before
        wake = self._wake(campaign, line, changed or plan.stage is not None)
        return Outcome(0.0 if written.moved else plan.requeue, wake)

    async def _among_own(self, campaign: ResearchCampaign, plan: Plan) -> Plan:
        """The plan without changes to experiments that are not the campaign's: the hub knows them by their names alone."""
        merge = []
        for target, patch in plan.merge:
            there = await self._cluster.get(ref_of(target)) if target.kind == "Experiment" else None
            marks = {} if there is None else there["metadata"].get("labels") or {}
            if there is None or marks.get(labels.CAMPAIGN_UID) == campaign.metadata.uid:
                merge.append((target, patch))
        return replace(plan, merge=tuple(merge))

    async def _give_up(self, line: Line, ref: Ref, taken: dict[Ref, str]) -> None:
        """Have the hub cancel what it asked for under names that others have."""
        for one, why in taken.items():
            await line.hub.settle(one.name, LOST)
            await self._cluster.emit(ref, "Warning", "NameTaken", why)

    def _wake(self, campaign: ResearchCampaign, line: Line | None, moved: bool) -> tuple[Ref, ...]:
        """A campaign that moves on or takes a change, whose hub answers again, that ends or is changed, suspended for example,
        concerns all its experiments that are not over.
        """
        meta, status = campaign.metadata, campaign.status
        back = line is not None and line.answers and not line.told
        if not (moved or back or status.phase in FINISHED or status.observed_generation != meta.generation):
            return ()
        if line is not None:
            line.told = line.answers
        return tuple(Ref("Experiment", meta.namespace, name) for name in self._lines.of(meta.namespace, meta.name))

    def _read(self, read: Manifest) -> tuple[ResearchCampaign, str]:
        """The campaign that is asked for, and what is wrong with it: mistakes in a change do no harm to one that was accepted.

        Raises:
            Malformed: it is none, and there is nothing that could come to harm.
        """
        try:
            return self._reading.campaign(read), ""
        except Malformed as error:
            rest = error.rest
            if rest is None:
                raise
            accepted = is_true(rest.status.conditions, CampaignCondition.ACCEPTED)
            if not accepted and rest.metadata.deletion_timestamp is None:
                raise
            return rest, str(error)

    async def _observe(self, asked: ResearchCampaign, mistakes: str, line: Line | None, now: datetime) -> CampaignSeen:
        known = line is not None and await self._hear(line, self._learn(line))
        campaign = asked if line is None else line.plan_by(asked)
        around = replace(
            await self._surroundings.seen(campaign, asked, now),
            operator_token=await self._pool.token(campaign),
            sandbox_url=None if line is None else line.sandbox_url,
            mistakes=mistakes,
        )
        if line is None:
            return around
        seen = await self._hear(line, self._ask(asked, line, around, now)) if known else None
        return seen or replace(around, trouble=line.trouble)

    async def _hear(self, line: Line, asking: Awaitable[T]) -> T | None:
        """What the hub says; none if it does not answer, or not as it should."""
        try:
            return await asking
        except HubError as error:
            line.silent(error)
            return None

    async def _learn(self, line: Line) -> bool:
        """Hear what is in force of a campaign that an operator before this one took on; whether the hub says it."""
        if line.in_force is None:
            opening = await line.hub.campaign()
            line.in_force = None if opening is None else opening.spec
        return True

    async def _ask(self, asked: ResearchCampaign, line: Line, around: CampaignSeen, now: datetime) -> CampaignSeen:
        """What the hub says; it is given the campaign first, if it has not got it as it is now and there is room for that."""
        leaving = asked.metadata.deletion_timestamp is not None
        refusal = None if leaving else await self._offer(asked, line, around, now)
        line.summary, line.asked = await line.hub.summary(), True
        line.trouble = ""
        seen = replace(around, refusal=refusal, summary=line.summary)
        if not line.summary.opened:
            line.forget()
            return seen
        if leaving:
            return seen
        campaign = line.plan_by(asked)
        researching = line.summary.stage == "researching"
        parts = [names.researcher(index) for index in range(campaign.spec.researchers.count)] if researching else []
        for part in parts:
            if part not in line.tokens:
                line.tokens[part] = await line.hub.token("researcher", part)
        return replace(
            seen,
            feed=await line.hub.feed(campaign.status.feed_cursor),
            researcher_tokens={part: line.tokens[part] for part in parts},
        )

    async def _offer(
        self, asked: ResearchCampaign, line: Line, around: CampaignSeen, now: datetime
    ) -> ErrorBody | None:
        """Give the hub what is asked for, if that may be and it has not taken it yet; why it does not take it."""
        refusal = line.refused(asked.metadata.generation, now, WAIT_SECONDS)
        due = line.opened != asked.metadata.generation and refusal is None
        if due and not around.mistakes and not around.over_quota:
            await self._is_newest(asked)
            refusal = await self._open(asked, line, now)
        if line.in_force is not None and line.in_force.suspend != asked.spec.suspend:
            # Whatever else is asked for, that counts.
            await self._is_newest(asked)
            spec = line.plan_by(asked).spec
            await line.hub.open(_opening(asked, spec))
            line.in_force = spec
        return refusal

    async def _is_newest(self, asked: ResearchCampaign) -> None:
        """What a later spec was asked for must not be undone by this one.

        Raises:
            Conflict: it is not what the server has.
        """
        meta = asked.metadata
        there = await self._cluster.look(Ref("ResearchCampaign", meta.namespace, meta.name))
        if there is None or (there["metadata"]["uid"], there["metadata"]["generation"]) != (meta.uid, meta.generation):
            raise Conflict(f"ResearchCampaign {meta.namespace}/{meta.name} was changed: read again.")

    async def _open(self, asked: ResearchCampaign, line: Line, now: datetime) -> ErrorBody | None:
        """Why the hub does not take what is asked for.

        Raises:
            HubError: it says something else, or nothing: it is not the hub that it should be yet.
        """
        try:
            await line.hub.open(_opening(asked, asked.spec))
        except HubRefused as refused:
            if refused.reason not in REFUSALS:
                raise
            body = ErrorBody(reason=refused.reason, message=str(refused))
            line.refusal = Refusal(asked.metadata.generation, body, now)
            return body
        line.took(asked.spec, asked.metadata.generation)
        return None


def _opening(campaign: ResearchCampaign, spec: CampaignSpec) -> CampaignOpening:
    meta = campaign.metadata
    return CampaignOpening(name=meta.name, namespace=meta.namespace, uid=meta.uid, spec=spec)
