"""Where a campaign stands, what its researchers do, and how different their ideas are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import sqlalchemy as sa
from aar_api import names
from prometheus_client.core import Metric

from aar_hub import forum, progress, requests, submissions
from aar_hub.domain import diversity
from aar_hub.metrics.families import Rows, counters, epoch, gauge, gauges
from aar_hub.records import Campaign, Exp
from aar_hub.store import tables

FAILED = "failed"


def families(tx: sa.Connection, campaign: Campaign) -> Iterator[Metric]:
    """Stage, researchers, ideas."""
    now = FAILED if campaign.failed else campaign.stage
    stages: Rows = {(stage,): float(stage == now) for stage in (*progress.STAGES, FAILED)}
    yield gauges("aar_campaign_stage", "1 for the stage that the campaign is at.", campaign, ["stage"], stages)
    if campaign.researching is not None:
        start = epoch(campaign.researching)
        yield gauge(
            "aar_research_start_timestamp_seconds", "When research began, in seconds since 1970.", campaign, start
        )
    explored = submissions.counted(tx)
    yield from _activity(tx, campaign, explored)
    ideas = Counter(_ideas(tx, explored))
    yield gauge(
        "aar_ideas", "Ideas tried: built-in methods, and lines of code by their first snapshot.", campaign, len(ideas)
    )
    spread = diversity.effective_number(ideas.values())
    yield gauge("aar_ideas_effective", "Equally common ideas that would be as diverse.", campaign, spread)


def _activity(tx: sa.Connection, campaign: Campaign, explored: list[Exp]) -> Iterator[Metric]:
    team = campaign.spec.researchers.count
    done = len(forum.finished(tx))
    yield gauges(
        "aar_researchers",
        "Researchers of the campaign that are at work and that are done.",
        campaign,
        ["state"],
        {("active",): max(0, team - done), ("finished",): done},
    )
    everyone = [*(names.researcher(index) for index in range(team)), requests.OWNER]
    posts = tx.execute(sa.select(tables.findings.c.author, tables.findings.c.created)).all()
    submitted, posted = Counter(exp.researcher for exp in explored), Counter(post.author for post in posts)
    doc = "Exploration experiments submitted."
    yield counters("aar_submissions", doc, campaign, ["researcher"], {(who,): submitted[who] for who in everyone})
    yield counters(
        "aar_findings", "Posts in the forum.", campaign, ["researcher"], {(who,): posted[who] for who in everyone}
    )
    seen: dict[tuple[str, ...], float] = {}
    for who, when in [*((exp.researcher, exp.created) for exp in explored), *((p.author, p.created) for p in posts)]:
        if who in everyone:
            seen[who,] = max(seen.get((who,), 0.0), epoch(when))
    doc = "When a researcher last submitted or posted, in seconds since 1970."
    yield gauges("aar_researcher_last_activity_timestamp_seconds", doc, campaign, ["researcher"], seen)


def _ideas(tx: sa.Connection, explored: list[Exp]) -> Iterator[str]:
    parents = {row.digest: row.parents for row in tx.execute(sa.select(tables.snapshots))}
    for exp in explored:
        yield exp.builtin or diversity.origin(exp.snapshot or "", parents)
