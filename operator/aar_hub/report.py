"""What a person reads: baselines, every scored run in one table, and the order in which the scores came."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import sqlalchemy as sa
from aar_api import money
from aar_api.wire import BaselineRow, Report, ReportRow

from aar_hub import progress, records, scorer, views
from aar_hub.domain.halves import SPLITS, Split
from aar_hub.hub import Hub
from aar_hub.records import Campaign, Exp
from aar_hub.store import tables
from aar_hub.verification import CONTROLS

Verdict = Literal["confirmed", "not confirmed", "exploration", "control", "baseline"]


def report(hub: Hub) -> Report:
    """Everything so far; what is sealed joins it with the verdicts."""
    summary = progress.summary(hub)
    with hub.db.read() as tx:
        campaign = records.campaign(tx)
        shown = [exp for exp in records.experiments(tx) if not campaign.sealed(exp)]
        scored = [exp for exp in shown if records.score(tx, exp.name) is not None]
        explored = [exp for exp in scored if exp.purpose == "Exploration"]
        return Report(
            campaign=campaign.name,
            task=campaign.spec.task.name,
            stage=campaign.stage,
            summary=summary,
            baselines=baselines(tx, hub),
            rows=tuple(_row(tx, campaign, exp) for exp in scored),
            not_run=not_run(tx),
            reference_lines=tuple((line.name, float(line.pgr)) for line in campaign.spec.reference_lines),
            timeline=tuple(_timeline(tx, explored)),
            methods_seen=dict(Counter(_method(exp) for exp in explored)),
        )


def not_run(tx: sa.Connection) -> tuple[tuple[str, str], ...]:
    """(task, why) of the transfer tasks that could not be prepared: the result on the campaign's own task stands without them."""
    return tuple((row.ref.name, row.failed) for row in records.all_tasks(tx) if row.failed and not row.main)


def baselines(tx: sa.Connection, hub: Hub) -> tuple[BaselineRow, ...]:
    """W and C of every task that has them, on both halves."""
    found = []
    for row in records.all_tasks(tx):
        if row.ready:
            stick = scorer.yardstick(hub, row)
            found += [_baseline(row.ref.name, stick, split) for split in SPLITS]
    return tuple(found)


def _baseline(task: str, stick: scorer.Yardstick, split: Split) -> BaselineRow:
    weak, ceiling = stick.floor(split), stick.top(split)
    return BaselineRow(
        task=task,
        split=split,
        weak=weak.value,
        weak_stderr=weak.stderr,
        ceiling=ceiling.value,
        ceiling_stderr=ceiling.stderr,
        n_test=int(stick.mask(split).sum()),
        seeds=len(stick.ceiling),
    )


def _method(exp: Exp) -> str:
    return exp.label or exp.builtin or exp.name


def _row(tx: sa.Connection, campaign: Campaign, exp: Exp) -> ReportRow:
    row = records.score(tx, exp.name)
    assert row is not None, "only scored experiments are rows"
    return ReportRow(
        method=_method(exp),
        config=exp.config,
        task=records.task(tx, exp.task).ref.name,
        purpose=exp.purpose,
        pgr=row["shown"],
        stderr=row["stderr"],
        split=row["split"],
        n_seeds=row["n_seeds"],
        cost_usd=money.format_usd(exp.cost),
        verdict=_verdict(campaign, exp),
        experiment=exp.name,
        researcher=exp.researcher,
        reported_pgr=campaign.verification.get("reported", {}).get(exp.replicates),
        note="; ".join(filter(None, (CONTROLS.get(exp.control, ""), doubt(campaign, exp), exp.audit_message))),
    )


def doubt(campaign: Campaign, exp: Exp) -> str:
    """Why a winner's run confirms nothing, beyond its figure; "" if there is no such reason."""
    if exp.purpose not in ("Replication", "Transfer") or exp.replicates is None:
        return ""
    return views.overruled(_verdicts(campaign, exp), exp.replicates)


def _verdict(campaign: Campaign, exp: Exp) -> Verdict:
    if exp.purpose == "Control":
        return "control"
    if exp.purpose not in ("Replication", "Transfer"):
        return "exploration"
    if exp.replicates is None:
        return "baseline"
    confirmed = _verdicts(campaign, exp).get("confirmed") or []
    return "confirmed" if exp.replicates in confirmed else "not confirmed"


def _verdicts(campaign: Campaign, exp: Exp) -> dict[str, Any]:
    """Those of the task that a run is on."""
    verdicts = campaign.verdicts
    return verdicts.get("transfer", {}).get(exp.task, {}) if exp.purpose == "Transfer" else verdicts


def _timeline(tx: sa.Connection, explored: list[Exp]) -> list[dict[str, Any]]:
    query = sa.select(tables.scores.c.experiment, tables.scores.c.position)
    order: dict[str, int] = {row.experiment: row.position for row in tx.execute(query)}
    found = []
    for exp in sorted(explored, key=lambda one: order[one.name]):
        row = records.score(tx, exp.name)
        assert row is not None, "only scored experiments are here"
        values = {"order": order[exp.name], "experiment": exp.name, "pgr": row["shown"], "stderr": row["stderr"]}
        found.append(
            values | {"researcher": exp.researcher, "cost": money.format_usd(exp.cost), "method": _method(exp)}
        )
    return found
