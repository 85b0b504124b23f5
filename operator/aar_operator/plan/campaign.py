"""What a campaign needs now."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from aar_api import labels, money, names
from aar_api.campaign import CampaignStatus, ResearchCampaign
from aar_api.conditions import CampaignCondition, Reason, set_condition
from aar_api.wire import Summary

from aar_operator.manifests import hub, namespace, researcher
from aar_operator.manifests.common import part_namespace
from aar_operator.plan import counting, ending, requests
from aar_operator.plan.model import CampaignSeen, Manifest, Note, Plan, Target
from aar_operator.settings import Settings

POLL_SECONDS = 0.7
"""How often the hub is asked for news: what a person waits for at most between a submission and its Job."""
FINISHED = ("Complete", "Failed")


def plan_campaign(
    campaign: ResearchCampaign, seen: CampaignSeen, fresh_token: str, now: datetime, settings: Settings
) -> Plan:
    """The whole intent; `fresh_token` is used only where the hub has no token yet."""
    if campaign.metadata.deletion_timestamp is not None:
        return plan_deletion(campaign, seen)
    if campaign.status.phase in FINISHED and not _reconsidered(campaign):
        return Plan(delete=_researcher_jobs(campaign, seen))
    ground = _ground(campaign, seen, fresh_token, settings)
    status = _status(campaign, seen, now)
    if seen.refusal is not None:
        return _refused(campaign, ground, status, seen.refusal.reason, seen.refusal.message, now)
    if seen.summary is None or not seen.summary.opened or seen.sandbox_url is None:
        return replace(
            ground, campaign_status=_ready(campaign, status, False, Reason.HUB_PENDING, "The hub is starting.", now)
        )
    return _by_stage(campaign, seen, seen.summary, ground, status, now, settings)


def _reconsidered(campaign: ResearchCampaign) -> bool:
    """A refused campaign whose spec was changed since gets another chance."""
    refused = any(c.type == CampaignCondition.ACCEPTED and c.status == "False" for c in campaign.status.conditions)
    return refused and campaign.status.observed_generation != campaign.metadata.generation


def plan_deletion(campaign: ResearchCampaign, seen: CampaignSeen) -> Plan:
    """Remove everything that carries the campaign's UID, then let go."""
    children = tuple(Target("Experiment", e.metadata.namespace, e.metadata.name) for e in seen.experiments)
    spaces = tuple(Target("Namespace", "", name) for name in seen.namespaces)
    if children or spaces:
        return Plan(delete=(*children, *spaces), requeue=POLL_SECONDS)
    kept = tuple(f for f in campaign.metadata.finalizers if f != labels.FINALIZER)
    return Plan(merge=(_finalizers(campaign, kept),))


def _ground(campaign: ResearchCampaign, seen: CampaignSeen, fresh_token: str, settings: Settings) -> Plan:
    """What every living campaign has: finalizer, namespaces, hub."""
    parts = [*names.RESERVED_PARTS, *(names.researcher(i) for i in range(campaign.spec.researchers.count))]
    objects: list[Manifest] = [one for part in parts for one in namespace.build(campaign, part)]
    finalizers = campaign.metadata.finalizers
    return Plan(
        apply=(*objects, *hub.build(campaign, settings)),
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
    status = _accepted(campaign, status, now)
    carried, cursor = requests.carry_out(campaign, seen)
    status = status.model_copy(update={"feed_cursor": cursor})
    plan = replace(ground, create=(*ground.create, *carried.create), merge=(*ground.merge, *carried.merge))
    if summary.failed:
        return _failed(campaign, plan, status, Reason.PREPARATION_FAILED, summary.failed, now)
    if campaign.spec.suspend:
        return _suspended(campaign, seen, plan, status, now, settings)
    status = _resumed(campaign, status, now)
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
        return replace(plan, campaign_status=ready, stage=("researching", "") if summary.prepared else None)
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
    team = _researchers(campaign, seen, False, settings)
    return replace(plan, apply=(*plan.apply, *team), campaign_status=ready)


def _researchers(campaign: ResearchCampaign, seen: CampaignSeen, suspend: bool, settings: Settings) -> list[Manifest]:
    """Objects of the researchers that have a token; the Job of one that ended is not made again."""
    objects: list[Manifest] = []
    for index in range(campaign.spec.researchers.count):
        part = names.researcher(index)
        token = seen.researcher_tokens.get(part)
        if token is None or seen.sandbox_url is None or seen.researchers.get(part) in ("succeeded", "failed"):
            continue
        *before, job = researcher.build(campaign, index, seen.sandbox_url, token, settings)
        job["spec"]["suspend"] = suspend
        objects += [*before, job]
    return objects


def _researcher_jobs(campaign: ResearchCampaign, seen: CampaignSeen) -> tuple[Target, ...]:
    return tuple(
        Target("Job", part_namespace(campaign, part), researcher.NAME)
        for part, s in seen.researchers.items()
        if s == "active"
    )


def _suspended(
    campaign: ResearchCampaign,
    seen: CampaignSeen,
    plan: Plan,
    status: CampaignStatus,
    now: datetime,
    settings: Settings,
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
    running = tuple(_researchers(campaign, seen, True, settings)) if seen.researchers else ()
    return replace(plan, apply=(*plan.apply, *running), campaign_status=status)


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


def _accepted(campaign: ResearchCampaign, status: CampaignStatus, now: datetime) -> CampaignStatus:
    conditions = set_condition(
        status.conditions,
        CampaignCondition.ACCEPTED,
        True,
        Reason.VALID,
        "The hub took it on.",
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
    return status.model_copy(
        update={"spend": seen.summary.spend, "best": counting.best(seen.summary), "conditions": conditions}
    )


def _budget(campaign: ResearchCampaign, status: CampaignStatus, summary: Summary, now: datetime):  # type: ignore[no-untyped-def]
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
