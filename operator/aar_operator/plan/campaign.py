"""What a campaign needs now."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from aar_api.campaign import CampaignStatus, Phase, ResearchCampaign
from aar_api.conditions import CampaignCondition, Reason, is_true

from aar_operator.plan import acceptance, cleanup
from aar_operator.plan.ground import ground, held
from aar_operator.plan.model import FINISHED, CampaignSeen, Note, Plan
from aar_operator.plan.stages import by_stage
from aar_operator.plan.status import observed
from aar_operator.plan.verdicts import Verdict, write_campaign
from aar_operator.settings import Settings

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
    plan = replace(plan, notes=(*plan.notes, *acceptance.warned(campaign.status, plan.campaign_status)))
    phase = campaign.status.phase if plan.campaign_status is None else plan.campaign_status.phase
    if phase == campaign.status.phase or phase not in TURNS:
        return plan
    return replace(plan, notes=(*plan.notes, Note("Normal", phase, TURNS[phase])))


def _plan(campaign: ResearchCampaign, seen: CampaignSeen, fresh_token: str, now: datetime, settings: Settings) -> Plan:
    if campaign.metadata.deletion_timestamp is not None:
        return cleanup.deleted(campaign, seen, now, settings)
    if acceptance.over(campaign):
        return cleanup.over(campaign, seen, now, settings)
    campaign = acceptance.begun_again(campaign, now)
    if not is_true(campaign.status.conditions, CampaignCondition.ACCEPTED):
        if seen.over_quota:
            return acceptance.no_room(campaign, Reason.QUOTA_EXCEEDED, seen.over_quota, now)
        if seen.no_queue:
            return acceptance.no_room(campaign, Reason.UNKNOWN_QUEUE, seen.no_queue, now)
    first = held(campaign)
    if first is not None:
        return first
    plan = ground(campaign, seen, fresh_token, settings)
    status = observed(campaign, seen, now)
    opened = seen.summary is not None and seen.summary.opened
    if seen.refusal is not None and not opened:
        return acceptance.refused(campaign, plan, status, seen.refusal.reason, seen.refusal.message, now)
    if seen.summary is None or not opened or seen.sandbox_url is None:
        return replace(plan, campaign_status=_no_hub(campaign, seen, status, now))
    return by_stage(campaign, seen, seen.summary, plan, status, now, settings)


def _no_hub(campaign: ResearchCampaign, seen: CampaignSeen, status: CampaignStatus, now: datetime) -> CampaignStatus:
    """A hub that is away for a while sets nothing back."""
    began = status.start_time is not None and campaign.status.phase not in FINISHED
    message = "The hub does not answer; the campaign goes on when it does." if began else "The hub is starting."
    message += f" It says: {seen.trouble}" if seen.trouble else ""
    reason = Reason.HUB_PENDING
    if seen.hub_refused:
        reason = Reason.CLUSTER_REFUSED
        message = (
            f"The cluster does not take the hub's pod: {seen.hub_refused} Allow it there; it is tried again by itself."
        )
    phase: Phase = campaign.status.phase if began else "Pending"
    ready = Verdict(CampaignCondition.READY, False, reason, message)
    return write_campaign(campaign, status, phase, now, ready)
