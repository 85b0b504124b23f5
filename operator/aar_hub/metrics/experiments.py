"""Experiments by state, what they used, and how long they waited and ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import get_args

import sqlalchemy as sa
from aar_api.experiment import Purpose
from aar_api.wire import HubState
from prometheus_client.core import Metric

from aar_hub import records
from aar_hub.metrics.families import Rows, counters, epoch, gauges, histogram
from aar_hub.records import Campaign, Exp

SECONDS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600)
"""From a probe on a laptop to the longest deadline that a campaign may set."""
VERDICTS = ("Pending", "Clean", "Suspect")


def families(tx: sa.Connection, campaign: Campaign) -> Iterator[Metric]:
    """All of a campaign's experiments."""
    every = records.experiments(tx)
    counts = Counter((exp.purpose, exp.state) for exp in every)
    known: Rows = {
        (purpose, state): counts[purpose, state] for purpose in get_args(Purpose) for state in get_args(HubState)
    }
    yield gauges(
        "aar_hub_experiments",
        "Experiments that the hub knows, by purpose and state.",
        campaign,
        ["purpose", "state"],
        known,
    )
    audited = Counter(exp.audit for exp in every if not campaign.sealed(exp))
    verdicts: Rows = {(verdict,): audited[verdict] for verdict in VERDICTS}
    yield gauges("aar_audited_experiments", "Experiments by verdict of the audits.", campaign, ["verdict"], verdicts)
    yield counters(
        "aar_cpu_seconds", "Seconds of CPU cores held.", campaign, [], {(): sum(exp.cpu_seconds for exp in every)}
    )
    yield counters(
        "aar_gpu_seconds", "Seconds of GPUs held.", campaign, [], {(): sum(exp.gpu_seconds for exp in every)}
    )
    yield from _times(campaign, every)


def _times(campaign: Campaign, every: list[Exp]) -> Iterator[Metric]:
    ran: dict[str, list[Exp]] = {purpose: [] for purpose in get_args(Purpose)}
    for exp in every:
        if exp.run_seconds > 0:
            ran[exp.purpose].append(exp)
    waits = {purpose: [_waited(exp) for exp in exps] for purpose, exps in ran.items()}
    runs = {purpose: [exp.run_seconds for exp in exps] for purpose, exps in ran.items()}
    doc = (
        "Seconds between submission and end in which an experiment did not run: for budget, for its turn, for compute."
    )
    yield histogram("aar_experiment_queue_seconds", doc, campaign, "purpose", SECONDS, waits)
    doc = "Seconds that the longest seed of an experiment ran."
    yield histogram("aar_experiment_run_seconds", doc, campaign, "purpose", SECONDS, runs)


def _waited(exp: Exp) -> float:
    assert exp.ended is not None, "what has run seconds was settled"
    return max(0.0, epoch(exp.ended) - epoch(exp.created) - exp.run_seconds)
