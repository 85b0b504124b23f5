"""Prometheus metrics, read from the database when they are asked for, so that a restart loses none.

Law: base units, and labels whose values are a closed list or named by the campaign's spec: researchers, tasks, reference lines.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from aar_hub import records
from aar_hub.hub import Hub
from aar_hub.metrics import experiments, llm, money, research, science


class HubCollector(Collector):
    """The figures of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """Every family; none before the campaign is opened."""
        with self._hub.db.read() as tx:
            campaign = records.find_campaign(tx)
            if campaign is not None:
                yield from money.families(tx, campaign)
                yield from experiments.families(tx, campaign)
                yield from llm.families(tx, self._hub, campaign)
                yield from research.families(tx, campaign)
                yield from science.families(tx, self._hub, campaign)


def page(hub: Hub) -> bytes:
    """Everything in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HubCollector(hub))
    return generate_latest(registry)
