"""What all campaigns of one namespace together may use: campaigns, GPUs, dollars a month."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from aar_api import money
from aar_api.campaign import ResearchCampaign
from aar_api.conditions import CampaignCondition, is_true

from aar_operator.plan.model import FINISHED
from aar_operator.settings import NamespaceLimits

EVERY = "*"


def limits_of(namespace: str, limits: Mapping[str, NamespaceLimits]) -> NamespaceLimits | None:
    """The limits of a namespace, by its name or by `*`."""
    return limits.get(namespace, limits.get(EVERY))


def exceeded(
    campaign: ResearchCampaign,
    others: Iterable[ResearchCampaign],
    gone: Iterable[str],
    limits: NamespaceLimits,
    now: datetime,
) -> str:
    """A sentence with the numbers if the namespace's limits leave no room for the campaign; else empty.

    Room is taken by campaigns that were accepted, or came earlier, and are not over. Each takes what it may still spend
    this month: its limit without what it spent in months before. What is over takes what it spent this month, and so do
    campaigns that are gone (`gone`, US dollars).
    """
    others = [one for one in others if one.metadata.uid != campaign.metadata.uid]
    before = [one for one in others if one.status.phase not in FINISHED and _first(one, campaign)]
    namespace = campaign.metadata.namespace
    if limits.campaigns is not None and len(before) + 1 > limits.campaigns:
        return _sentence(f"{len(before) + 1} campaigns", f"{limits.campaigns}", namespace, "wait until one is over")
    gpus = sum(one.spec.experiments.max_gpus for one in before) + campaign.spec.experiments.max_gpus
    if limits.gpus is not None and gpus > limits.gpus:
        return _sentence(f"{gpus} GPUs", f"{limits.gpus}", namespace, "lower experiments.maxGPUs or wait")
    if limits.usd_per_month is None:
        return ""
    month = now.strftime("%Y-%m")
    over = [one for one in others if one.status.phase in FINISHED]
    taken = sum(promised(one, month) for one in [*before, campaign])
    taken += sum(_micros(one.status.spend_by_month.get(month, "0")) for one in over)
    taken += sum(_micros(amount) for amount in gone)
    if taken > money.parse_usd(limits.usd_per_month):
        dollars = f"{money.format_usd(taken)} USD in {month}"
        return _sentence(dollars, f"{limits.usd_per_month} USD", namespace, "lower budget.limitUSD or wait")
    return ""


def promised(campaign: ResearchCampaign, month: str) -> int:
    """Micro-dollars that a campaign may come to cost in a month."""
    earlier = sum(_micros(usd) for name, usd in campaign.status.spend_by_month.items() if name < month)
    return max(0, money.parse_usd(campaign.spec.budget.limit_usd) - earlier)


def by_month(campaign: ResearchCampaign, total_usd: str, now: datetime) -> dict[str, str]:
    """Settled dollars by month, with the present month brought up to the total."""
    month = now.strftime("%Y-%m")
    known = {name: usd for name, usd in campaign.status.spend_by_month.items() if name < month}
    rest = _micros(total_usd) - sum(map(_micros, known.values()))
    return known | ({month: money.format_usd(rest)} if rest > 0 else {})


def _first(one: ResearchCampaign, campaign: ResearchCampaign) -> bool:
    """Whether it takes room before the campaign does."""
    taken, asked = (is_true(each.status.conditions, CampaignCondition.ACCEPTED) for each in (one, campaign))
    return taken if taken != asked else _age(one) < _age(campaign)


def _age(campaign: ResearchCampaign) -> tuple[str, str]:
    return campaign.metadata.creation_timestamp or "", campaign.metadata.uid


def _sentence(wanted: str, limit: str, namespace: str, way_out: str) -> str:
    return f"With this campaign namespace {namespace!r} would take {wanted}, but its limit is {limit}: {way_out}."


def _micros(usd: str) -> int:
    return money.parse_usd(usd)
