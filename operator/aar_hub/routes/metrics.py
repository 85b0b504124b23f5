"""Prometheus metrics, read from the database when they are asked for, so that a restart loses none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import sqlalchemy as sa
from aar_api import money
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aar_hub import forum, purse, records, scorer
from aar_hub.hub import Hub
from aar_hub.records import Campaign
from aar_hub.store import tables

NAME = "campaign"


class Collector:
    """The figures of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """Every family; none before the campaign is opened."""
        with self._hub.db.read() as tx:
            campaign = records.find_campaign(tx)
            if campaign is not None:
                yield from _money(tx, campaign)
                yield from _experiments(tx, campaign)
                yield from _scores(tx, campaign)
                yield from _llm(tx, self._hub, campaign)
                yield from _yardsticks(tx, self._hub, campaign)
                yield _gauge(
                    "aar_researchers_finished", "Researchers that are done.", campaign, len(forum.finished(tx))
                )
                count = tx.execute(sa.select(sa.func.count()).select_from(tables.findings)).scalar_one()
                yield _gauge("aar_findings", "Posts in the forum.", campaign, count)


def _gauge(name: str, doc: str, campaign: Campaign, value: float) -> Metric:
    family = GaugeMetricFamily(name, doc, labels=[NAME])
    family.add_metric([campaign.name], value)
    return family


def _money(tx: sa.Connection, campaign: Campaign) -> Iterator[Metric]:
    balance, spend = purse.balance(tx, campaign), purse.spend(tx)
    cost = CounterMetricFamily("aar_cost_usd", "Settled cost in US dollars.", labels=[NAME, "kind"])
    for kind, amount in (("llm", spend.llm_usd), ("gpu", spend.gpu_usd), ("cpu", spend.cpu_usd)):
        cost.add_metric([campaign.name, kind], float(amount))
    yield cost
    yield _gauge("aar_budget_limit_usd", "Limit of the budget.", campaign, balance.limit / money.MICRO)
    yield _gauge(
        "aar_budget_reserved_usd", "Held for what runs and for verification.", campaign, balance.reserved / money.MICRO
    )
    yield _gauge("aar_budget_left_usd", "Neither spent nor reserved.", campaign, balance.free / money.MICRO)


def _experiments(tx: sa.Connection, campaign: Campaign) -> Iterator[Metric]:
    counts = Counter((exp.purpose, exp.state) for exp in records.experiments(tx))
    family = GaugeMetricFamily(
        "aar_experiments", "Experiments by purpose and state.", labels=[NAME, "purpose", "state"]
    )
    for (purpose, state), count in sorted(counts.items()):
        family.add_metric([campaign.name, purpose, state], count)
    yield family


def _scores(tx: sa.Connection, campaign: Campaign) -> Iterator[Metric]:
    exps, scores = tables.experiments.c, tables.scores.c
    query = (
        sa.select(exps.researcher, scores.split, sa.func.max(scores.shown))
        .join_from(tables.experiments, tables.scores, exps.name == scores.experiment)
        .where(exps.purpose.in_(("Exploration", "Replication")))
        .group_by(exps.researcher, scores.split)
    )
    doc = "Best performance gap recovered so far."
    family = GaugeMetricFamily("aar_gap_recovered_ratio", doc, labels=[NAME, "researcher", "split"])
    for researcher, split, best in tx.execute(query):
        family.add_metric([campaign.name, researcher, split.lower()], best)
    yield family


TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


def _llm(tx: sa.Connection, hub: Hub, campaign: Campaign) -> Iterator[Metric]:
    calls = tables.llm_calls.c
    sums = [sa.func.sum(calls[kind]).label(kind) for kind in TOKENS]
    query = sa.select(
        calls.model, calls.outcome, sa.func.count().label("number"), sa.func.sum(calls.cost).label("cost")
    )
    rows = tx.execute(query.add_columns(*sums).group_by(calls.model, calls.outcome)).all()
    tokens = CounterMetricFamily("aar_llm_tokens", "LLM tokens by kind.", labels=[NAME, "model", "kind"])
    counts = CounterMetricFamily("aar_llm_calls", "LLM calls passed on, by outcome.", labels=[NAME, "model", "outcome"])
    cost = CounterMetricFamily("aar_llm_cost_usd", "Settled cost of LLM calls in US dollars.", labels=[NAME, "model"])
    for row in rows:
        counts.add_metric([campaign.name, row.model, row.outcome], row.number)
    for model in sorted({row.model for row in rows}):
        mine = [row for row in rows if row.model == model]
        cost.add_metric([campaign.name, model], sum(int(row.cost) for row in mine) / money.MICRO)
        for kind in TOKENS:
            tokens.add_metric([campaign.name, model, kind], sum(int(getattr(row, kind)) for row in mine))
    refused = CounterMetricFamily("aar_llm_refusals", "LLM calls answered by the gateway.", labels=[NAME, "status"])
    for status, count in sorted(hub.llm_refusals.items()):
        refused.add_metric([campaign.name, str(status)], count)
    yield from (tokens, counts, cost, refused)


def _yardsticks(tx: sa.Connection, hub: Hub, campaign: Campaign) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "aar_accuracy_ratio", "Accuracy of weak floor and strong ceiling.", labels=[NAME, "task", "model"]
    )
    for row in records.all_tasks(tx):
        if row.ready:
            stick = scorer.yardstick(hub, row)
            family.add_metric([campaign.name, row.ref.name, "weak"], stick.floor("Feedback").value)
            family.add_metric([campaign.name, row.ref.name, "ceiling"], stick.top("Feedback").value)
    yield family


async def _metrics(request: Request) -> Response:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(request.app.state.hub))
    return Response(await run_in_threadpool(generate_latest, registry), media_type=CONTENT_TYPE_LATEST)


ROUTES = [Route("/metrics", _metrics)]
