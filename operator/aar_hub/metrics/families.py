"""The four shapes of a family, each with the campaign as its first label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from aar_hub.records import Campaign

CAMPAIGN = "campaign"
Rows = Mapping[tuple[str, ...], float]


def gauge(name: str, doc: str, campaign: Campaign, value: float) -> Metric:
    """One figure of the campaign."""
    return gauges(name, doc, campaign, (), {(): value})


def gauges(name: str, doc: str, campaign: Campaign, labels: Sequence[str], rows: Rows) -> Metric:
    """Figures by labels."""
    family = GaugeMetricFamily(name, doc, labels=[CAMPAIGN, *labels])
    for values, figure in rows.items():
        family.add_metric([campaign.name, *values], figure)
    return family


def counters(name: str, doc: str, campaign: Campaign, labels: Sequence[str], rows: Rows) -> Metric:
    """Sums that only grow, by labels; `_total` is added to the name."""
    family = CounterMetricFamily(name, doc, labels=[CAMPAIGN, *labels])
    for values, figure in rows.items():
        family.add_metric([campaign.name, *values], figure)
    return family


def histogram(
    name: str, doc: str, campaign: Campaign, label: str, bounds: Sequence[float], rows: Mapping[str, Iterable[float]]
) -> Metric:
    """Distributions of values by one label."""
    family = HistogramMetricFamily(name, doc, labels=[CAMPAIGN, label])
    for value, drawn in rows.items():
        figures = list(drawn)
        buckets = [(str(bound), float(sum(1 for one in figures if one <= bound))) for bound in map(float, bounds)]
        buckets.append(("+Inf", float(len(figures))))
        family.add_metric([campaign.name, value], buckets=buckets, sum_value=sum(figures))
    return family


def epoch(text: str) -> float:
    """A time as the database keeps it, in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()
