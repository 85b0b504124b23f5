"""A campaign's status as far as it only tells what was seen: counts, money and the best."""

from __future__ import annotations

from datetime import datetime

from aar_api import money
from aar_api.campaign import CampaignStatus, ResearchCampaign
from aar_api.conditions import CampaignCondition, Reason
from aar_api.wire import Summary

from aar_operator.plan import counting, quota
from aar_operator.plan.model import CampaignSeen
from aar_operator.plan.verdicts import Verdict, write_campaign


def observed(campaign: ResearchCampaign, seen: CampaignSeen, now: datetime) -> CampaignStatus:
    """The status brought up to date; what is not known keeps its last value, and the phase is not touched."""
    known = {
        "observed_generation": campaign.metadata.generation,
        "experiments": counting.experiments(seen),
        "researchers": counting.researchers(campaign, seen, seen.summary),
    }
    status = campaign.status.model_copy(update=known)
    if seen.summary is None or not seen.summary.opened:
        return status
    spend = seen.summary.spend
    known = {
        "spend": spend,
        "spend_by_month": quota.by_month(campaign, spend.total_usd, now),
        "best": counting.best(seen.summary),
    }
    budget = _budget(campaign, seen.summary)
    return write_campaign(campaign, status, status.phase, now, budget).model_copy(update=known)


def _budget(campaign: ResearchCampaign, summary: Summary) -> Verdict:
    spent, limit = money.parse_usd(summary.spend.total_usd), money.parse_usd(campaign.spec.budget.limit_usd)
    percent = 100 * spent // limit
    if summary.purse_empty:
        holds, reason = False, Reason.EXHAUSTED
    else:
        holds, reason = True, Reason.WARNING if percent >= campaign.spec.budget.warn_percent else Reason.WITHIN_BUDGET
    message = f"{summary.spend.total_usd} of {campaign.spec.budget.limit_usd} USD spent, {summary.spend.reserved_usd} reserved."
    return Verdict(CampaignCondition.BUDGET_AVAILABLE, holds, reason, message)
