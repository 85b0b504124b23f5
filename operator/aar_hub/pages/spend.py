"""Where the money goes, from the ledger."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa
from aar_api import money
from starlette.responses import Response

from aar_hub import purse
from aar_hub.pages import disclosure
from aar_hub.pages._page import Visit
from aar_hub.records import Campaign
from aar_hub.store import tables

OUTSIDE = "language model calls"
"""Payments that belong to no experiment."""
KINDS = {"llm": "language model", "gpu": "GPU", "cpu": "CPU"}
DEAREST = 10
"""Experiments listed by their cost."""


def show(visit: Visit, tx: sa.Connection, campaign: Campaign) -> Response:
    """The purse; what was paid by kind, purpose and researcher; what is held; the dearest experiments."""
    lines = disclosure.lines(tx, campaign)
    known = {line.exp.name: line.exp for line in lines}
    kinds, purposes, researchers = Counter[str](), Counter[str](), Counter[str]()
    for account, experiment, micros in paid(tx):
        exp = known.get(experiment or "")
        kinds[KINDS.get(account, account)] += micros
        purposes[exp.purpose if exp else OUTSIDE] += micros
        if exp is not None:
            researchers[exp.researcher] += micros
    researchers.update(called(tx))
    return visit.answer(
        "spend.html",
        campaign,
        balance=purse.balance(tx, campaign),
        warn_micros=warning(campaign),
        tables=[
            ("kind", kinds.most_common()),
            ("purpose", purposes.most_common()),
            ("researcher", researchers.most_common()),
        ],
        dearest=sorted((line for line in lines if line.exp.cost), key=lambda line: -line.exp.cost)[:DEAREST],
        holding=[line for line in lines if line.exp.state == "admitted"],
    )


def warning(campaign: Campaign) -> int:
    """Micro-dollars at which the campaign warns."""
    budget = campaign.spec.budget
    return money.parse_usd(budget.limit_usd) * budget.warn_percent // 100


def called(tx: sa.Connection) -> dict[str, int]:
    """Researcher -> micro-dollars of its language model calls."""
    calls = tables.llm_calls.c
    query = sa.select(calls.researcher, sa.func.sum(calls.cost)).group_by(calls.researcher)
    return {who: int(micros) for who, micros in tx.execute(query) if micros}


def paid(tx: sa.Connection) -> list[tuple[str, str | None, int]]:
    """(account, experiment, micro-dollars) of everything settled."""
    table = tables.ledger.c
    query = (
        sa.select(table.account, table.experiment, sa.func.sum(table.micros))
        .where(table.entry == "settle")
        .group_by(table.account, table.experiment)
    )
    return [(account, experiment, int(micros)) for account, experiment, micros in tx.execute(query)]
