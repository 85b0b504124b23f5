"""When research and the campaign are over, why, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from aar_api import names
from aar_api.campaign import CampaignStatus, ResearchCampaign
from aar_api.conditions import CampaignCondition, Reason
from aar_api.wire import Summary

from aar_operator.plan import researchers
from aar_operator.plan.model import CampaignSeen, Note, Plan
from aar_operator.plan.verdicts import Verdict, stamp, write_campaign


def research_over(campaign: ResearchCampaign, seen: CampaignSeen, summary: Summary, now: datetime) -> Reason | None:
    """The reason, or none while research goes on. What is under way counts unless time is up or the target is reached."""
    if deadline_passed(campaign, now):
        return Reason.DEADLINE_EXCEEDED
    if summary.target_reached:
        return Reason.TARGET_REACHED
    if seen.exploring:
        return None
    if seen.feed is not None and any(event.kind == "experiment-requested" for event in seen.feed.events):
        return None
    if summary.exploration_limit_reached:
        return Reason.MAX_EXPERIMENTS
    if summary.purse_empty:
        return Reason.BUDGET_EXHAUSTED if campaign.spec.budget.on_exceeded == "Stop" else None
    everyone = [names.researcher(index) for index in range(campaign.spec.researchers.count)]
    if all(done(part, seen, summary) for part in everyone):
        return Reason.RESEARCHERS_FINISHED
    return None


def done(part: str, seen: CampaignSeen, summary: Summary) -> bool:
    """Whether a researcher has ended, well or badly."""
    return part in summary.researchers_finished or seen.researchers.get(part) in ("succeeded", "failed")


def deadline_passed(campaign: ResearchCampaign, now: datetime) -> bool:
    """Whether the campaign's time for preparation and research is used up."""
    limit, start = campaign.spec.active_deadline_seconds, campaign.status.start_time
    if limit is None or start is None:
        return False
    return (now - datetime.fromisoformat(start)).total_seconds() >= limit


def complete(
    campaign: ResearchCampaign, seen: CampaignSeen, summary: Summary, plan: Plan, status: CampaignStatus, now: datetime
) -> Plan:
    """The good end, with or without a winner; researchers that still run go."""
    reason = Reason(campaign.status.research_end_reason or Reason.RESEARCHERS_FINISHED)
    best = summary.best
    if best and best.confirmed:
        verdict = f"a winner was confirmed{best.elsewhere}"
    else:
        verdict = "no winner was confirmed" + (f" ({summary.unconfirmed})" if summary.unconfirmed else "")
    message = f"Research ended ({reason}); {verdict}."
    over = Verdict(CampaignCondition.COMPLETE, True, reason, message)
    ready = Verdict(CampaignCondition.READY, False, Reason.FINISHED, "The campaign is over.")
    status = write_campaign(campaign, status, "Complete", now, over, ready)
    status = status.model_copy(update={"completion_time": stamp(now)})
    note = Note("Normal", "Complete", message)
    return replace(plan, delete=researchers.jobs(campaign, seen), campaign_status=status, notes=(note,), requeue=None)


def failed(
    campaign: ResearchCampaign, plan: Plan, status: CampaignStatus, reason: Reason, message: str, now: datetime
) -> Plan:
    """The bad end: it was refused, or could not be prepared, or not in time."""
    verdict = Verdict(CampaignCondition.FAILED, True, reason, message)
    status = write_campaign(campaign, status, "Failed", now, verdict)
    status = status.model_copy(update={"completion_time": stamp(now)})
    note = Note("Warning", str(reason), message)
    return replace(plan, campaign_status=status, notes=(note,), requeue=None)


def seconds_kept(campaign: ResearchCampaign, now: datetime) -> float | None:
    """How much longer a campaign that is over stays, 0 or less if it has to go; none if it stays until somebody deletes it."""
    ttl, end = campaign.spec.ttl_seconds_after_finished, campaign.status.completion_time
    if ttl is None or end is None:
        return None
    return ttl - (now - datetime.fromisoformat(end)).total_seconds()
