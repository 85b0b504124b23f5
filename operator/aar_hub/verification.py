"""After research: the best configurations again on fresh seeds and the private half, beside vanilla; then controls and other tasks.

A plan in the campaign's row says how far it is: `selected` (experiments by name), `reported` (of each, the mean PGR that it was selected
for), `vanilla` (the replication of the plain method), `p`, `confirmed` and `unjudged` (why there is no verdict), `spoiled` (winners that a
control took back, with the reason), and `transfer` (verdicts by task). Each step is taken in one transaction and only once, so a kill between
two changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, get_args

import sqlalchemy as sa
from aar_api import names
from aar_api.base import Scalar
from aar_api.experiment import Control, Method, SubmittedBy

from aar_hub import baselines, catalogue, purse, records, scorer, snapshots
from aar_hub.domain import selection, snapshot
from aar_hub.hub import Hub
from aar_hub.records import UNSETTLED, VERIFYING, Campaign, Exp, TaskRow
from aar_hub.requests import HUB, request, spec_of
from aar_hub.store import tables

PART = "verify"
VANILLA = "hard-labels"
"""The plain method that winners have to beat: training on the weak labels as they are."""
CONTROLS: dict[Control, str] = {
    "PermutedWeakLabels": "weak labels permuted",
    "NoWeakLabels": "no weak labels",
}
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
        main = records.all_tasks(tx)[0]
        if _unsettled(tx) or (
            plan["vanilla"] is not None and _retried(tx, hub, campaign, Run(None, main, "replication"))
        ):
            records.change_campaign(tx, verification=plan)
            return
        plan |= judge(tx, hub, plan["selected"], main, "replication")
        if campaign.spec.evaluation.controls:
            _request_controls(tx, hub, campaign, plan["confirmed"])
    finished = _transfer(tx, hub, campaign, plan["confirmed"]) if plan["confirmed"] else True
    records.change_campaign(tx, verification=plan)
    if finished and not _unsettled(tx) and not _any_retried(tx, hub, campaign, plan["confirmed"]):
        ready = [row for row in _transfer_tasks(tx, campaign) if row.ready]
        if campaign.spec.evaluation.controls:
            plan["spoiled"] = spoiled(tx, hub, campaign, plan["confirmed"])
            plan["confirmed"] = [name for name in plan["confirmed"] if name not in plan["spoiled"]]
        plan["transfer"] = {row.key: judge(tx, hub, plan["confirmed"], row, "transfer") for row in ready}
        records.change_campaign(tx, verification=plan, verified=True)
        purse.release_verification(tx, campaign)


def _unsettled(tx: sa.Connection) -> bool:
    return bool(records.experiments(tx, EXPS.purpose.in_(VERIFYING), EXPS.state.in_(UNSETTLED)))


def candidates(tx: sa.Connection, hub: Hub) -> list[selection.Candidate]:
    """Every scored exploration that is no near-duplicate of an earlier one, with its exact score on the feedback half."""
    found = []
    where = (EXPS.purpose == "Exploration", EXPS.state == "scored", EXPS.duplicate_of.is_(None))
    for exp in records.experiments(tx, *where):
        row = records.score(tx, exp.name)
        if row is not None:
            code, config = _method(tx, hub, exp)
            found.append(selection.Candidate(exp.name, code, exp.builtin, config, row["pgr"]))
    return found


def _method(tx: sa.Connection, hub: Hub, exp: Exp) -> tuple[str | None, Mapping[str, Scalar]]:
    """What an experiment's code does, and the hyper-parameters that it can read."""
    if exp.snapshot is None:
        return None, exp.config
    files = snapshots.get(tx, hub, exp.snapshot).files
    return snapshot.essence(files), exp.config if snapshot.reads_config(files) else {}


def _select(tx: sa.Connection, hub: Hub, campaign: Campaign) -> dict[str, Any]:
    best = selection.distinct(candidates(tx, hub))[: campaign.spec.evaluation.replication.top_k]
    chosen = [one.experiment for one, _ in best]
    plan: dict[str, Any] = {"selected": chosen, "vanilla": None}
    plan["reported"] = {one.experiment: mean for one, mean in best}
    if chosen:
        task = records.all_tasks(tx)[0]
        for name in chosen:
            _again(tx, hub, campaign, Run(records.experiment(tx, name), task, "replication"))
        if catalogue.find(tx, VANILLA) is not None:
            plan["vanilla"] = _again(tx, hub, campaign, Run(None, task, "replication"))
    return plan


@dataclass(frozen=True)
class Run:
    """A method once more on a task: an experiment's, or vanilla if none is given."""

    exp: Exp | None
    task: TaskRow
    kind: str
    """replication, transfer or control."""
    control: Control | None = None

    def name(self, hub: Hub, campaign: Campaign, again: bool = False) -> str:
        """Its own; or that of the one that takes its place."""
        original = VANILLA if self.exp is None else self.exp.name
        return run_name(hub, campaign.name, self.control or self.kind, self.task.key, original, again)


def run_name(hub: Hub, campaign: str, kind: str, task: str, original: str, again: bool = False) -> str:
    """Name of the run of that kind of an experiment, or of vanilla; or of the one that took its place.

    A secret is in it: else a researcher could look for a key that gives a submission this name (32 bits), and have it stand in for the run.
    """
    more = ("again",) if again else ()
    return names.experiment(campaign, kind, task, original, hub.keys.derive("names").hex(), *more)


def _again(tx: sa.Connection, hub: Hub, campaign: Campaign, run: Run, again: bool = False) -> str:
    """Ask for a method once more, on weak labels and seeds of verification's own."""
    name, exp, control = run.name(hub, campaign, again), run.exp, run.control
    method = (
        Method(builtin=VANILLA)
        if exp is None
        else Method(snapshot=exp.snapshot, builtin=exp.builtin, config=exp.config)
    )
    purpose = "Control" if control is not None else "Replication" if run.kind == "replication" else "Transfer"
    spec = spec_of(
        campaign,
        run.task,
        method,
        SubmittedBy(researcher=HUB, key=name),
        purpose=purpose,
        seeds=campaign.spec.evaluation.replication.seeds,
        control=control,
        replicates=None if exp is None else exp.name,
    )
    label = VANILLA if exp is None else exp.label or exp.builtin or ""
    request(tx, name, spec, run.task, PART, label=label, weak_offset=campaign.spec.experiments.seeds)
    return name


def judge(tx: sa.Connection, hub: Hub, selected: list[str], task: TaskRow, kind: str) -> dict[str, Any]:
    """Which of the selected beat vanilla on the private half of a task, corrected for how many were tried (Holm).

    Without a vanilla run nothing is confirmed: the floor is a lower bar, and whoever stops the run would choose it.
    """
    campaign = records.campaign(tx)
    stick = scorer.yardstick(hub, task)
    vanilla = _latest(tx, hub, campaign, kind, task, VANILLA)
    if selected and not _is_scored(vanilla):
        return {"p": {}, "confirmed": [], "unjudged": f"vanilla, which it has to beat, {_end(vanilla)}"}
    tails: dict[str, float] = {}
    for name in selected:
        run = _latest(tx, hub, campaign, kind, task, name)
        if _is_scored(run) and _is_scored(vanilla):
            lead = stick.lead(scorer.predictions(tx, hub, run), scorer.predictions(tx, hub, vanilla), "Private")
            tails[name] = selection.p_value(lead)
    rejected = selection.holm(tails)
    return {"p": tails, "confirmed": [name for name in selected if name in rejected]}


def _latest(tx: sa.Connection, hub: Hub, campaign: Campaign, kind: str, task: TaskRow, original: str) -> Exp | None:
    """The run of that kind that counts: the second, where there is one."""
    named = (run_name(hub, campaign.name, kind, task.key, original, again) for again in (True, False))
    return next((exp for exp in (records.find_experiment(tx, name) for name in named) if exp is not None), None)


def _is_scored(exp: Exp | None) -> TypeGuard[Exp]:
    return exp is not None and exp.state == "scored"


def _end(exp: Exp | None) -> str:
    """How a run ended that has no score, for a sentence; what a method said about it stays on the run's own page."""
    return "was not run" if exp is None else f"has no result: {exp.state}, {exp.reason}"


def _retried(tx: sa.Connection, hub: Hub, campaign: Campaign, run: Run) -> bool:
    """Whether a run had to be asked for once more, and now has been: one that a person or the cluster ended, and vanilla's in any case.

    A method that failed is not run again: that would be a second draw of seeds.
    """
    first = records.find_experiment(tx, run.name(hub, campaign))
    if first is None or first.state not in ("failed", "refused", "cancelled"):
        return False
    if records.find_experiment(tx, run.name(hub, campaign, again=True)) is not None:
        return False
    if run.exp is not None and first.state == "failed" and first.reason != "JobFailed":
        return False
    _again(tx, hub, campaign, run, again=True)
    return True


def _any_retried(tx: sa.Connection, hub: Hub, campaign: Campaign, confirmed: list[str]) -> bool:
    """Controls, and vanilla on the transfer tasks: all that had to be asked for once more."""
    main, asked = records.all_tasks(tx)[0], []
    if campaign.spec.evaluation.controls:
        for name in confirmed:
            exp = records.experiment(tx, name)
            asked += [_retried(tx, hub, campaign, Run(exp, main, "control", control)) for control in get_args(Control)]
    asked += [
        _retried(tx, hub, campaign, Run(None, row, "transfer")) for row in _transfer_tasks(tx, campaign) if row.ready
    ]
    return any(asked)


def _request_controls(tx: sa.Connection, hub: Hub, campaign: Campaign, confirmed: list[str]) -> None:
    task = records.all_tasks(tx)[0]
    for name in confirmed:
        for control in get_args(Control):
            _again(tx, hub, campaign, Run(records.experiment(tx, name), task, "control", control))


def spoiled(tx: sa.Connection, hub: Hub, campaign: Campaign, confirmed: list[str]) -> dict[str, str]:
    """Winners that were not shown to need the weak labels, each with the reason: they recover no gap of supervision.

    A winner has to beat itself on permuted weak labels, and itself without any, each at `selection.LEVEL`. A control that has no score is
    not beaten: a method that gives up when the labels say nothing would choose its own verdict. One that notices the control and answers
    badly on purpose passes: what a control shows is that a method's answers depend on the labels, not that it learns from nothing else.
    """
    task = records.all_tasks(tx)[0]
    stick = scorer.yardstick(hub, task)
    found: dict[str, str] = {}
    for name in confirmed:
        winner = _latest(tx, hub, campaign, "replication", task, name)
        assert winner is not None, "only a scored replication is confirmed"
        real = scorer.predictions(tx, hub, winner)
        for control in get_args(Control):
            run = _latest(tx, hub, campaign, control, task, name)
            if not _is_scored(run):
                found.setdefault(name, f"its run with {CONTROLS[control]} {_end(run)}")
                continue
            lead = stick.lead(real, scorer.predictions(tx, hub, run), "Private")
            if selection.p_value(lead) > selection.LEVEL:
                found.setdefault(name, f"not told apart from its run with {CONTROLS[control]}")
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
                _again(tx, hub, campaign, Run(records.experiment(tx, name), now, "transfer"))
            if catalogue.find(tx, VANILLA) is not None:
                _again(tx, hub, campaign, Run(None, now, "transfer"))
    return done
