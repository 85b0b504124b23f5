"""Whether a campaign is taken on: by its namespace's limits, by its hub and by the cluster."""

from __future__ import annotations

from datetime import datetime

from aar_api.campaign import CampaignStatus, InForce, ResearchCampaign
from aar_api.conditions import CampaignCondition, Reason, is_true

from aar_operator.plan.ending import failed
from aar_operator.plan.model import FINISHED, CampaignSeen, Note, Plan
from aar_operator.plan.verdicts import Verdict, known_reason, stamp, write_campaign

REFUSALS = (Reason.INVALID_SPEC, Reason.INVALID_TASK, Reason.UNKNOWN_MODEL, Reason.BUDGET_EXCEEDED)
"""Reasons for which a hub does not take a campaign as it is: whatever else it answers says nothing of the campaign."""
REFUSED_SECONDS = 3.0
"""Before the cluster is asked again to take what it refused: a new namespace refuses until its quota was counted."""
WAIT_SECONDS = 15.0
"""How often a campaign without room looks whether there is some; the end of another tells it at once."""


def no_room(campaign: ResearchCampaign, reason: Reason, message: str, now: datetime) -> Plan:
    """Not accepted for now: nothing is made, and it looks again."""
    kind = CampaignCondition.ACCEPTED
    status = write_campaign(campaign, campaign.status, "Pending", now, Verdict(kind, False, reason, message))
    told = any(c.type == kind and c.message == message for c in campaign.status.conditions)
    notes = () if told else (Note("Warning", str(reason), message),)
    return Plan(campaign_status=status, notes=notes, requeue=WAIT_SECONDS)


def accepted(campaign: ResearchCampaign, seen: CampaignSeen, status: CampaignStatus, now: datetime) -> CampaignStatus:
    """Accepted, also where the last change of the spec is not taken: it goes on as it was."""
    reason, message = Reason.VALID, "The hub took it on."
    if (kept := _not_taken(seen)) is not None:
        reason, message = kept[0], f"It goes on as it was accepted, without the last change. {kept[1]}"
    elif seen.no_queue:
        reason, message = Reason.UNKNOWN_QUEUE, f"It was accepted, but: {seen.no_queue}"
    verdict = Verdict(CampaignCondition.ACCEPTED, True, reason, message)
    status = write_campaign(campaign, status, status.phase, now, verdict)
    in_force = InForce(limit_usd=campaign.spec.budget.limit_usd, max_gpus=campaign.spec.experiments.max_gpus)
    return status.model_copy(update={"start_time": status.start_time or stamp(now), "in_force": in_force})


def _not_taken(seen: CampaignSeen) -> tuple[Reason, str] | None:
    """Why the last change is not in force."""
    if seen.mistakes:
        return Reason.INVALID_SPEC, seen.mistakes
    if seen.over_quota:
        return Reason.QUOTA_EXCEEDED, seen.over_quota
    return None if seen.refusal is None else (Reason(seen.refusal.reason), seen.refusal.message)


def warned(before: CampaignStatus, after: CampaignStatus | None) -> tuple[Note, ...]:
    """What is recorded when a change is not taken, once a change and reason: the numbers in the message may move."""
    told = {(c.reason, c.observed_generation) for c in before.conditions if c.type == CampaignCondition.ACCEPTED}
    now = () if after is None else after.conditions
    kept = [c for c in now if c.type == CampaignCondition.ACCEPTED and c.status == "True" and c.reason != Reason.VALID]
    return tuple(Note("Warning", c.reason, c.message) for c in kept if (c.reason, c.observed_generation) not in told)


def refused(
    campaign: ResearchCampaign, plan: Plan, status: CampaignStatus, reason: str, message: str, now: datetime
) -> Plan:
    """Not accepted for good, unless its spec is changed; a reason that is not in the list says that the spec is wrong."""
    known = known_reason(reason, Reason.INVALID_SPEC)
    verdict = Verdict(CampaignCondition.ACCEPTED, False, known, message)
    return failed(campaign, plan, write_campaign(campaign, status, status.phase, now, verdict), known, message, now)


def reconsidered(campaign: ResearchCampaign) -> bool:
    """A refused campaign whose spec was changed since gets another chance."""
    turned_down = any(c.type == CampaignCondition.ACCEPTED and c.status == "False" for c in campaign.status.conditions)
    return turned_down and campaign.status.observed_generation != campaign.metadata.generation


def over(campaign: ResearchCampaign) -> bool:
    """Whether it has ended and stays so."""
    return campaign.status.phase in FINISHED and not reconsidered(campaign)


def begun_again(campaign: ResearchCampaign, now: datetime) -> ResearchCampaign:
    """A campaign that goes on has not failed, though it had with the spec that it had before."""
    status = campaign.status
    if not is_true(status.conditions, CampaignCondition.FAILED):
        return campaign
    verdict = Verdict(CampaignCondition.FAILED, False, Reason.RESUMED, "Its spec was corrected since.")
    status = write_campaign(campaign, status, status.phase, now, verdict)
    return campaign.model_copy(update={"status": status.model_copy(update={"completion_time": None})})


def name_taken(campaign: ResearchCampaign, why: str, now: datetime) -> Plan:
    """Something that isn't ours has the name of something the campaign needs: it cannot be."""
    return refused(campaign, Plan(), campaign.status, Reason.NAMESPACE_TAKEN, why, now)


def not_made(campaign: ResearchCampaign, why: str, now: datetime) -> Plan:
    """The cluster does not take what the campaign needs: it says so and tries again; until then its spec counts as not seen."""
    ready = Verdict(CampaignCondition.READY, False, Reason.CLUSTER_REFUSED, why)
    status = write_campaign(campaign, campaign.status, campaign.status.phase, now, ready)
    known = {"observed_generation": campaign.status.observed_generation}
    return Plan(campaign_status=status.model_copy(update=known), requeue=REFUSED_SECONDS)
