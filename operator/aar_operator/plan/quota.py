"""What all campaigns of one namespace together may use: campaigns, GPUs, dollars a month."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import datetime

from aar_api import money
from aar_api.campaign import ResearchCampaign
from aar_api.conditions import CampaignCondition, Reason, is_true

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
    """A sentence with the numbers if the namespace's limits leave no room for what the campaign asks; else empty.

    Every accepted campaign that is not over has what is in force of it. What is over takes what it spent this month, and so do
    campaigns that are gone (`gone`, US dollars). Whoever asks for more, to be accepted or by a change, comes in order of age;
    who does not fit keeps nobody from coming after it.
    """
    month = now.strftime("%Y-%m")
    others = [one for one in others if one.metadata.uid != campaign.metadata.uid]
    over = [one for one in others if one.status.phase in FINISHED]
    every = [*(one for one in others if one.status.phase not in FINISHED), campaign]
    used = sum((_held(one, month) for one in every), _Room())
    used += _Room(micros=sum(_spent(one, month) for one in over) + sum(map(_micros, gone)))
    for one in sorted((one for one in every if _asks(one) and _age(one) < _age(campaign)), key=_age):
        more = _wanted(one, month).beyond(_held(one, month))
        if not _refusal(used, more, limits, one.metadata.namespace, month):
            used += more
    more = _wanted(campaign, month).beyond(_held(campaign, month))
    return _refusal(used, more, limits, campaign.metadata.namespace, month)


@dataclass(frozen=True)
class _Room:
    """What of a namespace's limits is taken."""

    campaigns: int = 0
    gpus: int = 0
    micros: int = 0

    def __add__(self, other: _Room) -> _Room:
        return _Room(self.campaigns + other.campaigns, self.gpus + other.gpus, self.micros + other.micros)

    def beyond(self, other: _Room) -> _Room:
        """What this has more than the other."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return _Room(*(max(0, mine - theirs) for mine, theirs in pairs))


def _refusal(used: _Room, more: _Room, limits: NamespaceLimits, namespace: str, month: str) -> str:
    """Why the limits have no room for so much more; what does not grow is not looked at."""
    then = used + more
    if limits.campaigns is not None and more.campaigns and then.campaigns > limits.campaigns:
        return _sentence(f"{then.campaigns} campaigns", f"{limits.campaigns}", namespace, "wait until one is over")
    if limits.gpus is not None and more.gpus and then.gpus > limits.gpus:
        return _sentence(f"{then.gpus} GPUs", f"{limits.gpus}", namespace, "lower experiments.maxGPUs or wait")
    if limits.usd_per_month is None or not more.micros or then.micros <= _micros(limits.usd_per_month):
        return ""
    dollars = f"{money.format_usd(then.micros)} USD in {month}"
    return _sentence(dollars, f"{limits.usd_per_month} USD", namespace, "lower budget.limitUSD or wait")


def _held(campaign: ResearchCampaign, month: str) -> _Room:
    """What is in force of a campaign."""
    if not is_true(campaign.status.conditions, CampaignCondition.ACCEPTED):
        return _Room()
    known = campaign.status.in_force
    if known is None:
        return _wanted(campaign, month)
    return _Room(1, known.max_gpus, _promised(campaign, known.limit_usd, month))


def _wanted(campaign: ResearchCampaign, month: str) -> _Room:
    """What a campaign's spec asks for."""
    spec = campaign.spec
    return _Room(1, spec.experiments.max_gpus, _promised(campaign, spec.budget.limit_usd, month))


def _promised(campaign: ResearchCampaign, limit_usd: str, month: str) -> int:
    """Micro-dollars that a campaign may come to cost in a month: never less than it spent and holds, though its limit is lowered."""
    earlier = sum(_micros(usd) for name, usd in campaign.status.spend_by_month.items() if name < month)
    return max(_micros(limit_usd) - earlier, _spent(campaign, month) + _micros(campaign.status.spend.reserved_usd))


def _spent(campaign: ResearchCampaign, month: str) -> int:
    return _micros(campaign.status.spend_by_month.get(month, "0"))


def _asks(campaign: ResearchCampaign) -> bool:
    """Whether it may come to take more than it has: one that leaves, or whose queue is not there, does not."""
    unknown_queue = any(
        c.type == CampaignCondition.ACCEPTED and c.status == "False" and c.reason == Reason.UNKNOWN_QUEUE
        for c in campaign.status.conditions
    )
    return campaign.metadata.deletion_timestamp is None and not unknown_queue


def by_month(campaign: ResearchCampaign, total_usd: str, now: datetime) -> dict[str, str]:
    """Settled dollars by month, with the present month brought up to the total."""
    month = now.strftime("%Y-%m")
    known = {name: usd for name, usd in campaign.status.spend_by_month.items() if name < month}
    rest = _micros(total_usd) - sum(map(_micros, known.values()))
    return known | ({month: money.format_usd(rest)} if rest > 0 else {})


def _age(campaign: ResearchCampaign) -> tuple[str, str]:
    return campaign.metadata.creation_timestamp or "", campaign.metadata.uid


def _sentence(wanted: str, limit: str, namespace: str, way_out: str) -> str:
    return f"With this campaign namespace {namespace!r} would take {wanted}, but its limit is {limit}: {way_out}."


def _micros(usd: str) -> int:
    return money.parse_usd(usd)
