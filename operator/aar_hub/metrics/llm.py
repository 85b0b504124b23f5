"""Calls of the researchers' language model: how many, their tokens and what they cost."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from aar_api import money
from prometheus_client.core import Metric

from aar_hub.hub import Hub
from aar_hub.metrics.families import Rows, counters
from aar_hub.records import Campaign
from aar_hub.store import tables

TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


def families(tx: sa.Connection, hub: Hub, campaign: Campaign) -> Iterator[Metric]:
    """What was passed on, by model, and what the gateway answered itself."""
    calls = tables.llm_calls.c
    sums = [sa.func.sum(calls[kind]).label(kind) for kind in (*TOKENS, "cost")]
    by_model = {row.model: row for row in tx.execute(sa.select(calls.model, *sums).group_by(calls.model))}
    tokens: Rows = {(model, kind): int(getattr(row, kind)) for model, row in by_model.items() for kind in TOKENS}
    yield counters("aar_llm_tokens", "LLM tokens by kind.", campaign, ("model", "kind"), tokens)
    paid: Rows = {(model,): int(row.cost) / money.MICRO for model, row in by_model.items()}
    yield counters("aar_llm_cost_usd", "Settled cost of LLM calls in US dollars.", campaign, ("model",), paid)
    query = sa.select(calls.model, calls.outcome, sa.func.count()).group_by(calls.model, calls.outcome)
    counts: Rows = {(model, outcome): count for model, outcome, count in tx.execute(query)}
    yield counters("aar_llm_calls", "LLM calls passed on, by outcome.", campaign, ("model", "outcome"), counts)
    refused: Rows = {(str(status),): count for status, count in sorted(hub.llm_refusals.items())}
    yield counters("aar_llm_refusals", "LLM calls answered by the gateway.", campaign, ("status",), refused)
