"""The campaign at a glance."""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from aar_hub import forum, progress, purse, report, views
from aar_hub.pages import chart, disclosure, spend
from aar_hub.pages._page import Visit
from aar_hub.pages.disclosure import Line
from aar_hub.records import VERIFYING, Campaign

COUNTED = {
    "submitted": "queued",
    "waiting": "queued",
    "admitted": "running",
    "scored": "scored",
    "failed": "failed",
    "refused": "failed",
    "cancelled": "failed",
}
"""State in the hub -> what the campaign's status counts it as."""


def show(visit: Visit, tx: sa.Connection, campaign: Campaign) -> Response:
    """Stage, floor and ceiling, the best, counts, money, time, the chart and verification."""
    lines = disclosure.lines(tx, campaign)
    ending = campaign.stage not in ("preparing", "researching")
    return visit.answer(
        "campaign.html",
        campaign,
        stages=progress.STAGES,
        baselines=report.baselines(tx, visit.hub),
        not_run=report.not_run(tx),
        best=progress.best(tx, visit.hub, campaign),
        counts=Counter(COUNTED[line.exp.state] for line in lines),
        explored=sum(line.exp.purpose == "Exploration" for line in lines),
        balance=purse.balance(tx, campaign),
        seconds_left=None if ending or campaign.failed else progress.seconds_left(campaign),
        finished=len(forum.finished(tx)),
        chart=draw(campaign, lines),
        winners=winners(campaign, lines),
        running=[line for line in lines if COUNTED[line.exp.state] == "running"],
        warn_micros=spend.warning(campaign),
    )


def draw(campaign: Campaign, lines: list[Line]) -> chart.Chart:
    """Exploration in the order of its scores, then what verification found on the campaign's own task."""
    main = campaign.spec.task.name
    explored = sorted((line for line in lines if line.exp.purpose == "Exploration"), key=lambda line: line.position)
    again = [line for line in lines if line.exp.purpose == "Replication" and line.task == main]
    references = [(line.name, float(line.pgr)) for line in campaign.spec.reference_lines]
    return chart.draw(_points(campaign, explored), _points(campaign, again), references)


def _points(campaign: Campaign, lines: list[Line]) -> list[chart.Point]:
    return [_point(campaign, line) for line in lines if line.score is not None]


def _point(campaign: Campaign, line: Line) -> chart.Point:
    score = line.score
    assert score is not None, "only scored experiments are drawn"
    title = f"{line.method}: PGR {score.pgr:.2f} ± {score.stderr:.2f}, {score.split} half, by {line.exp.researcher}"
    series = line.exp.researcher if line.exp.purpose == "Exploration" else _verdict(campaign, line.exp.replicates)
    return chart.Point(line.exp.name, title, score.pgr, score.stderr, series)


def _verdict(campaign: Campaign, original: str | None) -> str:
    if original is None:
        return "vanilla"
    return "confirmed" if original in (campaign.verdicts.get("confirmed") or []) else "refuted"


def winners(campaign: Campaign, lines: list[Line]) -> list[dict[str, Any]]:
    """Those selected for verification: what exploration had reported, and what came of each run since; vanilla last."""
    plan = campaign.verification
    by_name = {line.exp.name: line for line in lines}
    verdicts = campaign.verdicts.get("confirmed")
    found: list[dict[str, Any]] = []
    for name in plan.get("selected") or []:
        runs = [line for line in lines if line.exp.replicates == name]
        verdict = "running" if verdicts is None else "confirmed" if name in verdicts else "not confirmed"
        p = (campaign.verdicts.get("p") or {}).get(name)
        why = views.overruled(campaign.verdicts, name)
        found.append({"line": by_name[name], "verdict": verdict, "why": why, "p": p, "runs": runs})
    plainest = [line for line in lines if line.exp.purpose in VERIFYING and line.exp.replicates is None]
    last = {"line": None, "verdict": "baseline", "why": "", "p": None, "runs": plainest}
    return found + ([last] if found and plainest else [])
