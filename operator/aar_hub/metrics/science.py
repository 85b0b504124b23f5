"""What was found: gap recovered by researcher and half of the test set, beside floor, ceiling and published figures."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from prometheus_client.core import Metric

from aar_hub import records, scorer
from aar_hub.domain.halves import SPLITS
from aar_hub.hub import Hub
from aar_hub.metrics.families import Rows, epoch, gauge, gauges, histogram
from aar_hub.records import VERIFYING, Campaign
from aar_hub.store import tables

RATIOS = (-0.5, -0.2, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
"""Gap recovered: below 0 a method harms, above 1 it beats the ceiling."""


def families(tx: sa.Connection, hub: Hub, campaign: Campaign) -> Iterator[Metric]:
    """Scores and yardsticks."""
    yield from _scores(tx, campaign)
    stick: dict[tuple[str, ...], float] = {}
    for row in records.all_tasks(tx):
        if row.ready:
            found = scorer.yardstick(hub, row)
            stick[row.ref.name, "weak"] = found.floor("Feedback").value
            stick[row.ref.name, "ceiling"] = found.top("Feedback").value
    yield gauges("aar_accuracy_ratio", "Accuracy of weak floor and strong ceiling.", campaign, ["task", "model"], stick)
    lines: Rows = {(line.name,): float(line.pgr) for line in campaign.spec.reference_lines}
    yield gauges("aar_reference_gap_recovered_ratio", "Published figures.", campaign, ["reference"], lines)


def _scores(tx: sa.Connection, campaign: Campaign) -> Iterator[Metric]:
    exps, scores, original = tables.experiments.c, tables.scores.c, tables.experiments.alias()
    purposes = {"Exploration", "Replication"} - (set() if campaign.verified else set(VERIFYING))
    query = (
        sa.select(sa.func.coalesce(original.c.researcher, exps.researcher), exps.ended, scores.split, scores.shown)
        .join_from(tables.experiments, tables.scores, exps.name == scores.experiment)
        .outerjoin(original, original.c.name == exps.replicates)
        .where(exps.purpose.in_(purposes))
    )
    best: dict[tuple[str, ...], float] = {}
    drawn: dict[str, list[float]] = {split.lower(): [] for split in SPLITS}
    last = 0.0
    for who, ended, split, shown in tx.execute(query):
        key = who, split.lower()
        best[key] = max(best.get(key, shown), shown)
        drawn[split.lower()].append(shown)
        last = max(last, epoch(ended))
    doc = "Best performance gap recovered so far, as it is shown; the private half after the verdicts, by whose method ran again."
    yield gauges("aar_gap_recovered_ratio", doc, campaign, ["researcher", "split"], best)
    doc = "Performance gap recovered of each scored experiment."
    yield histogram("aar_experiment_gap_recovered_ratio", doc, campaign, "split", RATIOS, drawn)
    if last:
        yield gauge(
            "aar_last_score_timestamp_seconds",
            "When the last experiment was scored, in seconds since 1970.",
            campaign,
            last,
        )
