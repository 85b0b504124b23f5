"""What a campaign needs now."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from aar_api import labels, money, names
from aar_api.campaign import CampaignStatus, ResearchCampaign
from aar_api.conditions import CampaignCondition, Condition, Reason, is_true, set_condition
from aar_api.wire import Summary

from aar_operator.manifests import book, hub, namespace, queue, researcher
from aar_operator.manifests.common import part_namespace
from aar_operator.plan import counting, ending, isolation, quota, requests
from aar_operator.plan.model import FINISHED, CampaignSeen, Manifest, Note, Plan, ResearcherState, Target
from aar_operator.settings import Settings

POLL_SECONDS = 0.7
"""How often the hub is asked for news: what a person waits for at most between a submission and its Job."""
REFUSED_SECONDS = 3.0
"""Before the cluster is asked again to take what it refused: a new namespace refuses until its quota was counted."""
WAIT_SECONDS = 15.0
"""How often a campaign without room looks whether there is some; the end of another tells it at once."""


TURNS = {
    "Preparing": "The campaign was accepted: weak labels, floor and ceiling are being made.",
    "Researching": "Researchers are at work.",
    "Verifying": "Winners are run again on fresh seeds.",
    "Suspended": "The campaign is suspended.",
}
"""What is recorded as an Event when a phase begins; the ends have words of their own."""


def plan_campaign(
    campaign: ResearchCampaign, seen: CampaignSeen, fresh_token: str, now: datetime, settings: Settings
) -> Plan:
    """The whole intent; `fresh_token` is used only where the hub has no token yet."""
    plan = _plan(campaign, seen, fresh_token, now, settings)
    phase = campaign.status.phase if plan.campaign_status is None else plan.campaign_status.phase
    if phase == campaign.status.phase or phase not in TURNS:
        return plan
    return replace(plan, notes=(*plan.notes, Note("Normal", phase, TURNS[phase])))


def _plan(campaign: ResearchCampaign, seen: CampaignSeen, fresh_token: str, now: datetime, settings: Settings) -> Plan:
    if campaign.metadata.deletion_timestamp is not None:
        return plan_deletion(campaign, seen, now, settings)
    if campaign.status.phase in FINISHED and not _reconsidered(campaign):
        return _over(campaign, seen, now, settings)
    if not is_true(campaign.status.conditions, CampaignCondition.ACCEPTED):
        if seen.over_quota:
            return _no_room(campaign, Reason.QUOTA_EXCEEDED, seen.over_quota, now)
        if seen.no_queue:
            return _no_room(campaign, Reason.UNKNOWN_QUEUE, seen.no_queue, now)
    ground = _ground(campaign, seen, fresh_token, settings)
    status = _status(campaign, seen, now)
    if seen.refusal is not None:
        return _refused(campaign, ground, status, seen.refusal.reason, seen.refusal.message, now)
    if seen.summary is None or not seen.summary.opened or seen.sandbox_url is None:
        return replace(ground, campaign_status=_no_hub(campaign, status, now))
    return _by_stage(campaign, seen, seen.summary, ground, status, now, settings)


def _no_hub(campaign: ResearchCampaign, status: CampaignStatus, now: datetime) -> CampaignStatus:
    """A hub that is away for a while sets nothing back."""
    began = status.start_time is not None and campaign.status.phase not in FINISHED
    message = "The hub does not answer; the campaign goes on when it does." if began else "The hub is starting."
    phase = campaign.status.phase if began else "Pending"
    return _ready(campaign, status, False, Reason.HUB_PENDING, message, now, phase)


def _reconsidered(campaign: ResearchCampaign) -> bool:
    """A refused campaign whose spec was changed since gets another chance."""
    refused = any(c.type == CampaignCondition.ACCEPTED and c.status == "False" for c in campaign.status.conditions)
    return refused and campaign.status.observed_generation != campaign.metadata.generation


def _over(campaign: ResearchCampaign, seen: CampaignSeen, now: datetime, settings: Settings) -> Plan:
    """What still runs ends; the campaign goes when its time is over, but not on one machine, where it is its folder."""
    left = None if settings.one_machine else ending.seconds_kept(campaign, now)
    if left is not None and left <= 0:
        meta = campaign.metadata
        return Plan(delete=(Target("ResearchCampaign", meta.namespace, meta.name),))
    return Plan(delete=(*_researcher_jobs(campaign, seen), *_probe_jobs(campaign, seen)), requeue=left)


def plan_deletion(campaign: ResearchCampaign, seen: CampaignSeen, now: datetime, settings: Settings) -> Plan:
    """First what spends, while the hub can still settle it; then enter what was spent; then the namespaces; then let go."""
    if labels.FINALIZER not in campaign.metadata.finalizers:
        return Plan()
    status = _status(campaign, seen, now)
    if seen.children:
        jobs = _researcher_jobs(campaign, seen)
        return Plan(delete=(*seen.children, *jobs), campaign_status=status, requeue=POLL_SECONDS)
    spaces = tuple(Target("Namespace", "", name) for name in seen.namespaces)
    if not spaces:
        kept = tuple(f for f in campaign.metadata.finalizers if f != labels.FINALIZER)
        return Plan(merge=(_finalizers(campaign, kept),))
    return Plan(
        **_entered(campaign.model_copy(update={"status": status}), settings),
        delete=spaces,
        campaign_status=status,
        requeue=POLL_SECONDS,
    )


def _entered(campaign: ResearchCampaign, settings: Settings) -> dict[str, Any]:
    """What keeps a deleted campaign's spend in its namespace's book."""
    if settings.one_machine or not campaign.status.spend_by_month:
        return {}
    empty = book.build(campaign.metadata.namespace, settings)
    meta = empty["metadata"]
    return {
        "create": (empty,),
        "merge": ((Target("ConfigMap", meta["namespace"], meta["name"]), book.entry(campaign)),),
    }


def _no_room(campaign: ResearchCampaign, reason: Reason, message: str, now: datetime) -> Plan:
    """Not accepted for now: nothing is made, and it looks again."""
    generation = campaign.metadata.generation
    kind = CampaignCondition.ACCEPTED
    conditions = set_condition(campaign.status.conditions, kind, False, reason, message, _stamp(now), generation)
    known = {"conditions": conditions, "observed_generation": generation}
    status = _phase(campaign.status.model_copy(update=known), "Pending")
    told = any(c.type == kind and c.message == message for c in campaign.status.conditions)
    notes = () if told else (Note("Warning", str(reason), message),)
    return Plan(campaign_status=status, notes=notes, requeue=WAIT_SECONDS)


def _ground(campaign: ResearchCampaign, seen: CampaignSeen, fresh_token: str, settings: Settings) -> Plan:
    """What every living campaign has: finalizer, namespaces, hub."""
    parts = [*names.RESERVED_PARTS, *(names.researcher(i) for i in range(campaign.spec.researchers.count))]
    address = seen.hub_address
    objects: list[Manifest] = [one for part in parts for one in namespace.build(campaign, part, settings, address)]
    if seen.cluster_queue:
        objects += [queue.build(campaign, part, seen.cluster_queue) for part in parts if part != "hub"]
    finalizers = campaign.metadata.finalizers
    return Plan(
        apply=(*objects, *hub.build(campaign, settings, address)),
        create=() if seen.operator_token else (hub.secret(campaign, fresh_token),),
        merge=() if labels.FINALIZER in finalizers else (_finalizers(campaign, (*finalizers, labels.FINALIZER)),),
        requeue=POLL_SECONDS,
    )


def _finalizers(campaign: ResearchCampaign, wanted: tuple[str, ...]) -> tuple[Target, Manifest]:
    meta = campaign.metadata
    return Target("ResearchCampaign", meta.namespace, meta.name), {"metadata": {"finalizers": list(wanted)}}


def _by_stage(
    campaign: ResearchCampaign,
    seen: CampaignSeen,
    summary: Summary,
    ground: Plan,
    status: CampaignStatus,
    now: datetime,
    settings: Settings,
) -> Plan:
    status = _accepted(campaign, seen, status, now)
    carried, cursor = requests.carry_out(campaign, seen)
    status = status.model_copy(update={"feed_cursor": cursor})
    plan = replace(ground, create=(*ground.create, *carried.create), merge=(*ground.merge, *carried.merge))
    if summary.failed:
        return _failed(campaign, plan, status, Reason.PREPARATION_FAILED, summary.failed, now)
    if campaign.spec.suspend:
        return _suspended(campaign, seen, plan, status, now)
    status = _resumed(campaign, status, now)
    walls = isolation.judge(campaign, seen, settings)
    plan = replace(plan, apply=(*plan.apply, *walls.probes))
    status = _isolated(campaign, status, walls, now)
    if summary.stage == "preparing":
        ready = _ready(
            campaign,
            status,
            False,
            Reason.PREPARING,
            "Weak labels, floor and ceiling are being made.",
            now,
            "Preparing",
        )
        begins = summary.prepared and walls.research
        return replace(plan, campaign_status=ready, stage=("researching", "") if begins else None)
    if summary.stage == "researching":
        return _researching(campaign, seen, summary, plan, status, now, settings)
    if summary.stage == "verifying":
        ready = _ready(
            campaign, status, True, Reason.VERIFYING, "Winners are run again on fresh seeds.", now, "Verifying"
        )
        over = Plan(stage=("done", "") if summary.verified else None)
        return replace(plan, delete=_researcher_jobs(campaign, seen), campaign_status=ready, stage=over.stage)
    return _complete(campaign, seen, summary, plan, status, now)


def _researching(
    campaign: ResearchCampaign,
    seen: CampaignSeen,
    summary: Summary,
    plan: Plan,
    status: CampaignStatus,
    now: datetime,
    settings: Settings,
) -> Plan:
    reason = ending.research_over(campaign, seen, summary, now)
    if reason is not None:
        status = status.model_copy(update={"research_end_reason": str(reason)})
        note = Note("Normal", "ResearchEnded", f"Research ended: {reason}. Winners are verified.")
        return replace(
            plan, campaign_status=_phase(status, "Researching"), stage=("verifying", str(reason)), notes=(note,)
        )
    ready = _ready(campaign, status, True, Reason.RESEARCHERS_RUNNING, "Researchers are at work.", now, "Researching")
    team = _researchers(campaign, seen, settings)
    resumed = _suspend(campaign, seen, "suspended", False)
    return replace(plan, apply=(*plan.apply, *team), merge=(*plan.merge, *resumed), campaign_status=ready)


def _researchers(campaign: ResearchCampaign, seen: CampaignSeen, settings: Settings) -> list[Manifest]:
    """Objects of the researchers that have a token; the Job of one that ended is not made again."""
    objects: list[Manifest] = []
    for index in range(campaign.spec.researchers.count):
        part = names.researcher(index)
        token = seen.researcher_tokens.get(part)
        if token is None or seen.sandbox_url is None or seen.researchers.get(part) in ("succeeded", "failed"):
            continue
        objects += researcher.build(campaign, index, seen.sandbox_url, token, settings)
    return objects


def _suspend(
    campaign: ResearchCampaign, seen: CampaignSeen, state: ResearcherState, wanted: bool
) -> tuple[tuple[Target, Manifest], ...]:
    """Stop or go on with the researchers in that state."""
    parts = [part for part, found in seen.researchers.items() if found == state]
    targets = [Target("Job", part_namespace(campaign, part), researcher.NAME) for part in parts]
    return tuple((target, {"spec": {"suspend": wanted}}) for target in targets)


def _researcher_jobs(campaign: ResearchCampaign, seen: CampaignSeen) -> tuple[Target, ...]:
    return tuple(
        Target("Job", part_namespace(campaign, part), researcher.NAME)
        for part, s in seen.researchers.items()
        if s in ("active", "suspended")
    )


def _probe_jobs(campaign: ResearchCampaign, seen: CampaignSeen) -> tuple[Target, ...]:
    """Probes that would go on trying."""
    return tuple(
        Target("Job", part_namespace(campaign, part), isolation.PROBE)
        for part, probe in seen.probes.items()
        if probe.state in ("active", "suspended")
    )


def _suspended(
    campaign: ResearchCampaign,
    seen: CampaignSeen,
    plan: Plan,
    status: CampaignStatus,
    now: datetime,
) -> Plan:
    conditions = set_condition(
        status.conditions,
        CampaignCondition.SUSPENDED,
        True,
        Reason.USER_REQUESTED,
        "spec.suspend is true.",
        _stamp(now),
        campaign.metadata.generation,
    )
    status = _phase(status.model_copy(update={"conditions": conditions}), "Suspended")
    stopped = _suspend(campaign, seen, "active", True)
    return replace(plan, merge=(*plan.merge, *stopped), campaign_status=status)


def _isolated(
    campaign: ResearchCampaign, status: CampaignStatus, walls: isolation.Verdict, now: datetime
) -> CampaignStatus:
    kind, generation = CampaignCondition.NETWORK_ISOLATED, campaign.metadata.generation
    known = set_condition(status.conditions, kind, walls.holds, walls.reason, walls.message, _stamp(now), generation)
    return status.model_copy(update={"conditions": known})


def _resumed(campaign: ResearchCampaign, status: CampaignStatus, now: datetime) -> CampaignStatus:
    if not any(c.type == CampaignCondition.SUSPENDED for c in status.conditions):
        return status
    conditions = set_condition(
        status.conditions,
        CampaignCondition.SUSPENDED,
        False,
        Reason.RESUMED,
        "spec.suspend is false.",
        _stamp(now),
        campaign.metadata.generation,
    )
    return status.model_copy(update={"conditions": conditions})


def _complete(
    campaign: ResearchCampaign, seen: CampaignSeen, summary: Summary, plan: Plan, status: CampaignStatus, now: datetime
) -> Plan:
    reason = Reason(campaign.status.research_end_reason or Reason.RESEARCHERS_FINISHED)
    confirmed = summary.best is not None and summary.best.confirmed
    message = f"Research ended ({reason}); {'a winner was confirmed' if confirmed else 'no winner was confirmed'}."
    conditions = set_condition(
        status.conditions, CampaignCondition.COMPLETE, True, reason, message, _stamp(now), campaign.metadata.generation
    )
    status = status.model_copy(update={"conditions": conditions, "completion_time": _stamp(now)})
    status = _ready(campaign, status, False, Reason.FINISHED, "The campaign is over.", now, "Complete")
    note = Note("Normal", "Complete", message)
    return replace(plan, delete=_researcher_jobs(campaign, seen), campaign_status=status, notes=(note,), requeue=None)


def name_taken(campaign: ResearchCampaign, why: str, now: datetime) -> Plan:
    """Something that isn't ours has the name of something the campaign needs: it cannot be."""
    return _refused(campaign, Plan(), campaign.status, Reason.NAMESPACE_TAKEN, why, now)


def not_made(campaign: ResearchCampaign, why: str, now: datetime) -> Plan:
    """The cluster does not take what the campaign needs: it says so and tries again."""
    ready = _ready(campaign, campaign.status, False, Reason.CLUSTER_REFUSED, why, now)
    return Plan(campaign_status=_phase(ready, campaign.status.phase), requeue=REFUSED_SECONDS)


def _refused(
    campaign: ResearchCampaign, plan: Plan, status: CampaignStatus, reason: str, message: str, now: datetime
) -> Plan:
    known = Reason(reason) if reason in set(Reason) else Reason.INVALID_SPEC
    conditions = set_condition(
        status.conditions, CampaignCondition.ACCEPTED, False, known, message, _stamp(now), campaign.metadata.generation
    )
    return _failed(campaign, plan, status.model_copy(update={"conditions": conditions}), known, message, now)


def _failed(
    campaign: ResearchCampaign, plan: Plan, status: CampaignStatus, reason: Reason, message: str, now: datetime
) -> Plan:
    conditions = set_condition(
        status.conditions, CampaignCondition.FAILED, True, reason, message, _stamp(now), campaign.metadata.generation
    )
    status = status.model_copy(update={"conditions": conditions, "completion_time": _stamp(now)})
    note = Note("Warning", str(reason), message)
    return replace(plan, campaign_status=_phase(status, "Failed"), notes=(note,), requeue=None)


def _accepted(campaign: ResearchCampaign, seen: CampaignSeen, status: CampaignStatus, now: datetime) -> CampaignStatus:
    """Accepted, also where a change of the spec asks for more than there is: it goes on as it was."""
    message = "The hub took it on."
    if seen.over_quota:
        message = f"It goes on as it was accepted; the change has no room. {seen.over_quota}"
    conditions = set_condition(
        status.conditions,
        CampaignCondition.ACCEPTED,
        True,
        Reason.QUOTA_EXCEEDED if seen.over_quota else Reason.VALID,
        message,
        _stamp(now),
        campaign.metadata.generation,
    )
    return status.model_copy(update={"conditions": conditions, "start_time": status.start_time or _stamp(now)})


def _status(campaign: ResearchCampaign, seen: CampaignSeen, now: datetime) -> CampaignStatus:
    """Counts, money and the best, from what was seen; what is not known keeps its last value."""
    known = {
        "observed_generation": campaign.metadata.generation,
        "experiments": counting.experiments(seen),
        "researchers": counting.researchers(campaign, seen, seen.summary),
    }
    status = campaign.status.model_copy(update=known)
    if seen.summary is None or not seen.summary.opened:
        return status
    conditions = _budget(campaign, status, seen.summary, now)
    spend = seen.summary.spend
    known = {
        "spend": spend,
        "spend_by_month": quota.by_month(campaign, spend.total_usd, now),
        "best": counting.best(seen.summary),
        "conditions": conditions,
    }
    return status.model_copy(update=known)


def _budget(
    campaign: ResearchCampaign, status: CampaignStatus, summary: Summary, now: datetime
) -> tuple[Condition, ...]:
    spent, limit = money.parse_usd(summary.spend.total_usd), money.parse_usd(campaign.spec.budget.limit_usd)
    percent = 100 * spent // limit
    if summary.purse_empty:
        holds, reason = False, Reason.EXHAUSTED
    else:
        holds, reason = True, Reason.WARNING if percent >= campaign.spec.budget.warn_percent else Reason.WITHIN_BUDGET
    message = f"{summary.spend.total_usd} of {campaign.spec.budget.limit_usd} USD spent, {summary.spend.reserved_usd} reserved."
    kind = CampaignCondition.BUDGET_AVAILABLE
    return set_condition(status.conditions, kind, holds, reason, message, _stamp(now), campaign.metadata.generation)


def _ready(
    campaign: ResearchCampaign,
    status: CampaignStatus,
    holds: bool,
    reason: Reason,
    message: str,
    now: datetime,
    phase: str = "Pending",
) -> CampaignStatus:
    conditions = set_condition(
        status.conditions, CampaignCondition.READY, holds, reason, message, _stamp(now), campaign.metadata.generation
    )
    return _phase(status.model_copy(update={"conditions": conditions}), phase)


def _phase(status: CampaignStatus, phase: str) -> CampaignStatus:
    return status.model_copy(update={"phase": phase})


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
