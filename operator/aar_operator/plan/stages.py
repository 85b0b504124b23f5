"""What a campaign that its hub took on does in each stage, from preparing until it is complete."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from aar_api.campaign import CampaignStatus, ResearchCampaign
from aar_api.conditions import CampaignCondition, Reason
from aar_api.wire import Summary

from aar_operator.plan import ending, isolation, requests, researchers
from aar_operator.plan.acceptance import accepted
from aar_operator.plan.model import CampaignSeen, Note, Plan
from aar_operator.plan.verdicts import Verdict, write_campaign
from aar_operator.settings import Settings


def by_stage(
    campaign: ResearchCampaign,
    seen: CampaignSeen,
    summary: Summary,
    ground: Plan,
    status: CampaignStatus,
    now: datetime,
    settings: Settings,
) -> Plan:
    """What the hub asks for, the walls, and the stage that it is in, on top of the ground; `status` is what was observed."""
    status = accepted(campaign, seen, status, now)
    carried, cursor = requests.carry_out(campaign, seen)
    status = status.model_copy(update={"feed_cursor": cursor})
    plan = replace(ground, create=(*ground.create, *carried.create), merge=(*ground.merge, *carried.merge))
    if summary.failed:
        return ending.failed(campaign, plan, status, Reason.PREPARATION_FAILED, summary.failed, now)
    if campaign.spec.suspend:
        return _suspended(campaign, seen, plan, status, now)
    status = _resumed(campaign, status, now)
    walls = isolation.judge(campaign, seen, settings, now)
    plan = replace(plan, apply=(*plan.apply, *walls.probes), delete=walls.old)
    isolated = Verdict(CampaignCondition.NETWORK_ISOLATED, walls.holds, walls.reason, walls.message)
    status = write_campaign(campaign, status, status.phase, now, isolated)
    if summary.stage == "preparing":
        begins = summary.prepared and walls.research
        return _preparing(campaign, plan, status, begins, now)
    if summary.stage == "researching":
        return _researching(campaign, seen, summary, plan, status, now, settings)
    if summary.stage == "verifying":
        return _verifying(campaign, seen, summary, plan, status, now)
    return ending.complete(campaign, seen, summary, plan, status, now)


def _suspended(
    campaign: ResearchCampaign, seen: CampaignSeen, plan: Plan, status: CampaignStatus, now: datetime
) -> Plan:
    verdict = Verdict(CampaignCondition.SUSPENDED, True, Reason.USER_REQUESTED, "spec.suspend is true.")
    ready = Verdict(CampaignCondition.READY, False, Reason.USER_REQUESTED, "It is suspended.")
    status = write_campaign(campaign, status, "Suspended", now, verdict, ready)
    stopped = researchers.stopped(campaign, seen)
    return replace(plan, merge=(*plan.merge, *stopped), campaign_status=status)


def _resumed(campaign: ResearchCampaign, status: CampaignStatus, now: datetime) -> CampaignStatus:
    if not any(c.type == CampaignCondition.SUSPENDED for c in status.conditions):
        return status
    verdict = Verdict(CampaignCondition.SUSPENDED, False, Reason.RESUMED, "spec.suspend is false.")
    return write_campaign(campaign, status, status.phase, now, verdict)


def _preparing(campaign: ResearchCampaign, plan: Plan, status: CampaignStatus, begins: bool, now: datetime) -> Plan:
    if ending.deadline_passed(campaign, now):
        limit = campaign.spec.active_deadline_seconds
        message = (
            f"The {limit} s of spec.activeDeadlineSeconds passed before research began: see its other conditions and its "
            "experiments for what it waited for, delete it, and apply it again with more time."
        )
        return ending.failed(campaign, plan, status, Reason.DEADLINE_EXCEEDED, message, now)
    message = "Weak labels, floor and ceiling are being made."
    ready = Verdict(CampaignCondition.READY, False, Reason.PREPARING, message)
    status = write_campaign(campaign, status, "Preparing", now, ready)
    return replace(plan, campaign_status=status, stage=("researching", "") if begins else None)


def _researching(
    campaign: ResearchCampaign,
    seen: CampaignSeen,
    summary: Summary,
    plan: Plan,
    status: CampaignStatus,
    now: datetime,
    settings: Settings,
) -> Plan:
    told = campaign.status.research_end_reason  # and the stage was not moved yet
    reason = Reason(told) if told else ending.research_over(campaign, seen, summary, now)
    if reason is not None:
        status = status.model_copy(update={"phase": "Researching", "research_end_reason": str(reason)})
        note = Note("Normal", "ResearchEnded", f"Research ended: {reason}. Winners are verified.")
        return replace(plan, campaign_status=status, stage=("verifying", str(reason)), notes=(note,))
    status = write_campaign(campaign, status, "Researching", now, _at_work(summary))
    team = researchers.objects(campaign, seen, settings)
    return replace(
        plan,
        apply=(*plan.apply, *team),
        merge=(*plan.merge, *researchers.held(campaign, seen, settings)),
        delete=(*plan.delete, *researchers.surplus(campaign, seen)),
        campaign_status=status,
        notes=_provider_note(campaign, summary),
    )


def _at_work(summary: Summary) -> Verdict:
    if summary.provider_fault:
        return Verdict(CampaignCondition.READY, False, Reason.PROVIDER_FAILING, summary.provider_fault)
    return Verdict(CampaignCondition.READY, True, Reason.RESEARCHERS_RUNNING, "Researchers are at work.")


def _provider_note(campaign: ResearchCampaign, summary: Summary) -> tuple[Note, ...]:
    """Once each time that it begins to be told."""
    told = any(c.reason == Reason.PROVIDER_FAILING for c in campaign.status.conditions)
    if not summary.provider_fault or told:
        return ()
    return (Note("Warning", str(Reason.PROVIDER_FAILING), summary.provider_fault),)


def _verifying(
    campaign: ResearchCampaign, seen: CampaignSeen, summary: Summary, plan: Plan, status: CampaignStatus, now: datetime
) -> Plan:
    ready = Verdict(CampaignCondition.READY, True, Reason.VERIFYING, "Winners are run again on fresh seeds.")
    status = write_campaign(campaign, status, "Verifying", now, ready)
    gone = researchers.jobs(campaign, seen)
    return replace(plan, delete=gone, campaign_status=status, stage=("done", "") if summary.verified else None)
