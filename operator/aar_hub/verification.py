"""After research: the best configurations again on fresh seeds and the private half, beside vanilla; then controls and other tasks.

A plan in the campaign's row says how far it is: `selected` (experiments by name), `reported` (of each, the mean PGR that it was selected
for), `vanilla` (the replication of the plain method), `p` and `confirmed`, and `transfer` (the last two by task). Each step is taken in one transaction and only once, so a kill between two changes nothing.
"""

from __future__ import annotations

from typing import Any, get_args

import sqlalchemy as sa
from aar_api import names
from aar_api.experiment import Control, Method, SubmittedBy

from aar_hub import baselines, catalogue, purse, records, scorer
from aar_hub.domain import ledger, selection
from aar_hub.hub import Hub
from aar_hub.records import UNSETTLED, VERIFYING, Campaign, Exp, TaskRow
from aar_hub.requests import HUB, request, spec_of
from aar_hub.store import tables

PART = "verify"
VANILLA = "hard-labels"
"""The plain method that winners have to beat: training on the weak labels as they are."""
EXPS = tables.experiments.c


def advance(tx: sa.Connection, hub: Hub, campaign: Campaign) -> None:
    """Take every step that can be taken now."""
    if campaign.stage != "verifying" or campaign.verified:
        return
    plan = dict(campaign.verification)
    if "selected" not in plan:
        if records.experiments(tx, EXPS.purpose.in_(("Exploration", "Smoke")), EXPS.state.in_(UNSETTLED)):
            return
        plan |= _select(tx, hub, campaign)
    if "confirmed" not in plan:
        if _unsettled(tx):
            records.change_campaign(tx, verification=plan)
            return
        plan |= judge(tx, hub, plan["selected"], records.all_tasks(tx)[0], "replication")
        if campaign.spec.evaluation.controls:
            _request_controls(tx, hub, campaign, plan["confirmed"])
    finished = _transfer(tx, hub, campaign, plan["confirmed"]) if plan["confirmed"] else True
    records.change_campaign(tx, verification=plan)
    if finished and not _unsettled(tx):
        ready = [row for row in _transfer_tasks(tx, campaign) if row.ready]
        if campaign.spec.evaluation.controls:
            plan["spoiled"] = spoiled(tx, hub, campaign, plan["confirmed"])
            plan["confirmed"] = [name for name in plan["confirmed"] if name not in plan["spoiled"]]
        plan["transfer"] = {row.key: judge(tx, hub, plan["confirmed"], row, "transfer") for row in ready}
        records.change_campaign(tx, verification=plan, verified=True)
        purse.release_verification(tx, campaign)


def _unsettled(tx: sa.Connection) -> bool:
    return bool(records.experiments(tx, EXPS.purpose.in_(VERIFYING), EXPS.state.in_(UNSETTLED)))


def candidates(tx: sa.Connection) -> list[selection.Candidate]:
    """Every scored exploration, with its exact score on the feedback half."""
    found = []
    for exp in records.experiments(tx, EXPS.purpose == "Exploration", EXPS.state == "scored"):
        row = records.score(tx, exp.name)
        if row is not None:
            found.append(selection.Candidate(exp.name, exp.snapshot, exp.builtin, exp.config, row["pgr"]))
    return found


def _select(tx: sa.Connection, hub: Hub, campaign: Campaign) -> dict[str, Any]:
    best = selection.distinct(candidates(tx))[: campaign.spec.evaluation.replication.top_k]
    chosen = [one.experiment for one, _ in best]
    plan: dict[str, Any] = {"selected": chosen, "vanilla": None}
    plan["reported"] = {one.experiment: mean for one, mean in best}
    if chosen:
        task = records.all_tasks(tx)[0]
        for name in chosen:
            _again(tx, hub, campaign, records.experiment(tx, name), task, "replication")
        if catalogue.find(tx, VANILLA) is not None:
            plan["vanilla"] = _again(tx, hub, campaign, None, task, "replication")
    return plan


def run_name(hub: Hub, campaign: str, kind: str, task: str, original: str) -> str:
    """Name of the run of that kind of an experiment, or of vanilla.

    A secret is in it: else a researcher could look for a key that gives a submission this name (32 bits), and have it stand in for the run.
    """
    return names.experiment(campaign, kind, task, original, hub.keys.derive("names").hex())


def _again(
    tx: sa.Connection,
    hub: Hub,
    campaign: Campaign,
    exp: Exp | None,
    task: TaskRow,
    kind: str,
    control: Control | None = None,
) -> str:
    """Ask for a method once more, on weak labels and seeds of verification's own; vanilla if no experiment is given."""
    original = VANILLA if exp is None else exp.name
    name = run_name(hub, campaign.name, kind if control is None else control, task.key, original)
    method = (
        Method(builtin=VANILLA)
        if exp is None
        else Method(snapshot=exp.snapshot, builtin=exp.builtin, config=exp.config)
    )
    purpose = "Control" if control is not None else "Replication" if kind == "replication" else "Transfer"
    spec = spec_of(
        campaign,
        task,
        method,
        SubmittedBy(researcher=HUB, key=name),
        purpose=purpose,
        seeds=ledger.CONTROL_SEEDS if control is not None else campaign.spec.evaluation.replication.seeds,
        control=control,
        replicates=None if exp is None else exp.name,
    )
    label = VANILLA if exp is None else exp.label or exp.builtin or ""
    request(tx, name, spec, task, PART, label=label, weak_offset=campaign.spec.experiments.seeds)
    return name


def judge(tx: sa.Connection, hub: Hub, selected: list[str], task: TaskRow, kind: str) -> dict[str, Any]:
    """Which of the selected beat vanilla on the private half of a task, corrected for how many were tried (Holm).

    Without a vanilla run (its method is gone, or it failed) a winner has to beat the floor instead.
    """
    campaign = records.campaign(tx)
    stick = scorer.yardstick(hub, task)
    vanilla = _scored(tx, run_name(hub, campaign.name, kind, task.key, VANILLA))
    tails: dict[str, float] = {}
    for name in selected:
        run = _scored(tx, run_name(hub, campaign.name, kind, task.key, name))
        if run is None:
            continue
        found = scorer.predictions(tx, hub, run)
        if vanilla is None:
            lead = stick.pgr(found, "Private")
        else:
            lead = stick.lead(found, scorer.predictions(tx, hub, vanilla), "Private")
        tails[name] = selection.p_value(lead.value, lead.stderr)
    rejected = selection.holm(tails)
    return {"p": tails, "confirmed": [name for name in selected if name in rejected]}


def _scored(tx: sa.Connection, name: str) -> Exp | None:
    found = records.find_experiment(tx, name)
    return found if found is not None and found.state == "scored" else None


def _request_controls(tx: sa.Connection, hub: Hub, campaign: Campaign, confirmed: list[str]) -> None:
    task = records.all_tasks(tx)[0]
    for name in confirmed:
        for control in get_args(Control):
            _again(tx, hub, campaign, records.experiment(tx, name), task, "control", control)


def spoiled(tx: sa.Connection, hub: Hub, campaign: Campaign, confirmed: list[str]) -> dict[str, str]:
    """Winners that do not need the weak labels, each with the control that shows it: they recover no gap of supervision.

    A winner has to beat itself on permuted weak labels, and itself without any, each at `selection.LEVEL`. The first has to have a
    score, since no method can tell permuted labels from real ones; without labels an honest method may fail.
    """
    task = records.all_tasks(tx)[0]
    stick = scorer.yardstick(hub, task)
    found: dict[str, str] = {}
    for name in confirmed:
        winner = _scored(tx, run_name(hub, campaign.name, "replication", task.key, name))
        assert winner is not None, "only a scored replication is confirmed"
        real = scorer.predictions(tx, hub, winner)
        for control in get_args(Control):
            run = _scored(tx, run_name(hub, campaign.name, control, task.key, name))
            if run is None:
                beaten = control != "PermutedWeakLabels"
            else:
                lead = stick.lead(real, scorer.predictions(tx, hub, run), "Private")
                beaten = selection.p_value(lead.value, lead.stderr) <= selection.LEVEL
            if not beaten:
                found.setdefault(name, control)
    return found


def _transfer_tasks(tx: sa.Connection, campaign: Campaign) -> list[TaskRow]:
    """Those that the campaign names now; one that was taken out of it is no longer paid for."""
    named = campaign.spec.evaluation.transfer_tasks
    return [row for row in records.all_tasks(tx) if not row.main and row.ref in named]


def _transfer(tx: sa.Connection, hub: Hub, campaign: Campaign, confirmed: list[str]) -> bool:
    """Baselines of the transfer tasks, then the confirmed there; whether all that can be asked for has been."""
    done = True
    for row in _transfer_tasks(tx, campaign):
        if row.failed:
            continue
        baselines.advance(tx, hub, campaign, row.key)
        now = records.task(tx, row.key)
        done &= bool(now.ready or now.failed)
        if now.ready:
            for name in confirmed:
                _again(tx, hub, campaign, records.experiment(tx, name), now, "transfer")
            if catalogue.find(tx, VANILLA) is not None:
                _again(tx, hub, campaign, None, now, "transfer")
    return done
