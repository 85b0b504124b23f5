"""What is shown of an experiment; the private half to nobody before the verdicts. API, report, pages and metrics all read it here."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from aar_api import money
from aar_api.wire import ExperimentView, LeaderboardRow, ScoreView, SeedView

from aar_hub import records
from aar_hub.domain import ladder
from aar_hub.domain.selection import LEVEL
from aar_hub.records import Campaign, Exp
from aar_hub.store import tables

SEALED = "Its score is sealed until verification ends."


def experiment(tx: sa.Connection, campaign: Campaign, exp: Exp) -> ExperimentView:
    """One experiment; its score as it may be shown. An audit can name the score, so it is sealed with it."""
    sealed = campaign.sealed(exp)
    posted = records.outputs(tx, exp.name)
    seeds = tuple(_seed(index, seed, posted.get(index)) for index, seed in enumerate(exp.drawn))
    return ExperimentView(
        name=exp.name,
        purpose=exp.purpose,
        submitted_by=exp.researcher,
        task=records.task(tx, exp.task).ref.name,
        label=exp.label,
        snapshot=exp.snapshot,
        builtin=exp.builtin,
        config=exp.config,
        control=exp.control,
        replicates=exp.replicates,
        state=exp.state,
        reason=exp.reason,
        message=SEALED if sealed and exp.state == "scored" else exp.message,
        seeds=seeds,
        score=None if sealed else score(records.score(tx, exp.name)),
        audit=None if sealed else exp.audit,
        audit_message="" if sealed else exp.audit_message,
        cost_usd=money.format_usd(exp.cost),
        reserved_usd=money.format_usd(exp.reserved if exp.state == "admitted" else 0),
        duplicate_of=exp.duplicate_of,
    )


def _seed(index: int, seed: int, row: sa.RowMapping | None) -> SeedView:
    if row is None:
        return SeedView(index=index, seed=seed)
    said = {name: row[name] for name in ("ok", "reason", "message", "log_tail", "seconds")}
    return SeedView(index=index, seed=seed, **said)


def score(row: sa.RowMapping | None) -> ScoreView | None:
    """A score: on the feedback half what the ladder tells, on the private half the figure itself."""
    if row is None:
        return None
    return ScoreView(
        pgr=row["shown"],
        stderr=stderr(row["split"], row["stderr"]),
        split=row["split"],
        n_seeds=row["n_seeds"],
        receipt=row["receipt"],
    )


def stderr(split: str, exact: float) -> float:
    """A standard error as it may be shown: on the feedback half coarse, since four digits of it tell how many items are right."""
    return ladder.coarse(exact) if split == "Feedback" else round(exact, 4)


def leaderboard(tx: sa.Connection) -> list[LeaderboardRow]:
    """What exploration has scored, best first by what was shown; of equals, the earlier."""
    exps, scores = tables.experiments.c, tables.scores.c
    query = (
        sa.select(exps.name, exps.researcher, exps.label, exps.builtin, exps.snapshot, exps.config)
        .add_columns(scores.shown, scores.stderr, scores.n_seeds)
        .join_from(tables.experiments, tables.scores, exps.name == scores.experiment)
        .where(exps.purpose == "Exploration")
        .order_by(scores.shown.desc(), scores.position)
    )
    found = records.find_campaign(tx)
    confirmed = _confirmed({} if found is None else found.verdicts)
    return [
        LeaderboardRow(
            rank=rank,
            experiment=row.name,
            researcher=row.researcher,
            label=row.label or row.builtin or "",
            snapshot=row.snapshot,
            config=row.config,
            pgr=row.shown,
            stderr=stderr("Feedback", row.stderr),
            n_seeds=row.n_seeds,
            confirmed=confirmed.get(row.name),
        )
        for rank, row in enumerate(tx.execute(query), start=1)
    ]


def unconfirmed(campaign: Campaign) -> str:
    """Why no winner was confirmed, one reason each; empty if one was, or while that may still come."""
    verdicts = campaign.verdicts
    if "confirmed" not in verdicts or verdicts["confirmed"]:
        return ""
    if not verdicts["selected"]:
        return "none was verified"
    if verdicts.get("unjudged"):
        return f"{', '.join(verdicts['selected'])}: {verdicts['unjudged']}"
    return "; ".join(f"{name}: {_refuted(verdicts, name)}" for name in verdicts["selected"])


def overruled(verdicts: dict[str, Any], name: str) -> str:
    """Why a winner's run confirms nothing, beyond its figure; empty if there is no such reason."""
    return str(verdicts.get("spoiled", {}).get(name) or verdicts.get("unjudged", ""))


def _refuted(verdicts: dict[str, Any], name: str) -> str:
    if why := overruled(verdicts, name):
        return why
    tail = verdicts["p"].get(name)
    if tail is None:
        return "its run has no score"
    return f"does not beat the plain method by enough (p = {tail:.3f}, level {LEVEL} over all by Holm)"


def _confirmed(verification: dict[str, object]) -> dict[str, bool]:
    verdicts = verification.get("confirmed")
    selected = verification.get("selected")
    if not isinstance(verdicts, list) or not isinstance(selected, list):
        return {}
    return {name: name in verdicts for name in selected}
