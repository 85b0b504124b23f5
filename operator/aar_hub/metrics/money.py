"""What a campaign may spend, holds and has spent, in US dollars."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from aar_api import money
from prometheus_client.core import Metric

from aar_hub import purse
from aar_hub.metrics.families import counters, gauge
from aar_hub.records import Campaign


def families(tx: sa.Connection, campaign: Campaign) -> Iterator[Metric]:
    """The purse."""
    balance, spend = purse.balance(tx, campaign), purse.spend(tx)
    paid = {("llm",): spend.llm_usd, ("gpu",): spend.gpu_usd, ("cpu",): spend.cpu_usd}
    yield counters(
        "aar_cost_usd",
        "Settled cost in US dollars.",
        campaign,
        ["kind"],
        {kind: float(amount) for kind, amount in paid.items()},
    )
    yield gauge("aar_budget_limit_usd", "Limit of the budget.", campaign, balance.limit / money.MICRO)
    yield gauge(
        "aar_budget_reserved_usd", "Held for what runs and for verification.", campaign, balance.reserved / money.MICRO
    )
    yield gauge("aar_budget_left_usd", "Neither spent nor reserved.", campaign, balance.free / money.MICRO)
