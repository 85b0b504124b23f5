"""What the operator counts. Names have the prefix aar_ and base units; every label's values are a closed set."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

Phases = Callable[[], Iterator[tuple[str, str, str]]]
"""(namespace, campaign, phase) of every object there is."""

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: a reconcile that only looks takes milliseconds, one that has a hub score takes seconds."""
WAITS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)


class Metrics:
    """The operator's registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "aar_reconcile", "Objects looked at, by how that went.", ["kind", "result"], registry=self.registry
        )
        self.duration = Histogram(
            "aar_reconcile_duration_seconds", "Time of one look.", ["kind"], buckets=BUCKETS, registry=self.registry
        )
        self.depth = Gauge("aar_workqueue_depth", "Objects that wait to be looked at now.", registry=self.registry)
        self.requests = Counter(
            "aar_api_requests",
            "Requests to the API server; code 0 is no answer.",
            ["verb", "code"],
            registry=self.registry,
        )
        self.request_duration = Histogram(
            "aar_api_request_duration_seconds",
            "Time of one request.",
            ["verb"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.events = Counter("aar_watch_events", "Events that watches brought.", ["kind"], registry=self.registry)
        self.leader = Gauge("aar_leader", "1 if this replica is at work, 0 if it waits.", registry=self.registry)
        self.to_job = Histogram(
            "aar_experiment_submit_to_job_seconds",
            "From an Experiment's creation to that of its first Job, by whole seconds.",
            buckets=WAITS,
            registry=self.registry,
        )

    def counted(self, verb: str, code: int, seconds: float) -> None:
        """A request was answered."""
        self.requests.labels(verb, str(code)).inc()
        self.request_duration.labels(verb).observe(seconds)

    def phases(self, campaigns: Phases, experiments: Phases) -> None:
        """Have campaigns and experiments counted whenever somebody asks."""
        self.registry.register(_Phases(campaigns, experiments))

    def text(self) -> bytes:
        """The metrics in Prometheus's text format."""
        return generate_latest(self.registry)


class _Phases(Collector):
    """Counts objects by phase at the time of the question."""

    def __init__(self, campaigns: Phases, experiments: Phases) -> None:
        self._campaigns, self._experiments = campaigns, experiments

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One sample for each combination that exists."""
        by_phase = GaugeMetricFamily("aar_campaigns", "Campaigns by phase.", labels=["namespace", "phase"])
        for (namespace, phase), count in Tally((space, phase) for space, _, phase in self._campaigns()).items():
            by_phase.add_metric([namespace, phase], count)
        yield by_phase
        own = GaugeMetricFamily("aar_experiments", "Experiments by phase.", labels=["namespace", "campaign", "phase"])
        for key, number in Tally(self._experiments()).items():
            own.add_metric(list(key), number)
        yield own
