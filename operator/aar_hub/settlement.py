"""A Job has ended: score what came, pay for what ran, once."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from aar_api import money
from aar_api.experiment import ExperimentSpec
from aar_api.wire import ExperimentView, FeedEvent, Settlement

from aar_hub import baselines, purse, records, requests, scorer, views
from aar_hub.admission import verifies
from aar_hub.domain import ledger
from aar_hub.domain.scoring import UndefinedPgr
from aar_hub.hub import Hub
from aar_hub.records import UNSETTLED, Exp
from aar_hub.store import tables


def settle(hub: Hub, name: str, settlement: Settlement) -> ExperimentView:
    """Settle an experiment; what is settled stays as it is."""
    with hub.db.write() as tx:
        campaign = records.campaign(tx)
        exp = records.find_experiment(tx, name)
        if exp is None:
            return ExperimentView(
                name=name,
                purpose="Exploration",
                submitted_by=requests.OWNER,
                task=campaign.spec.task.name,
                label="",
                state="cancelled",
                reason="Cancelled",
                message="It ended before the hub had admitted it.",
            )
        if exp.state in UNSETTLED:
            unpaid = _pay(tx, hub, exp, settlement)
            _note_missing(tx, exp, settlement)
            _end(tx, hub, records.experiment(tx, name), settlement)
            if unpaid:
                told = records.experiment(tx, name).message
                records.change(tx, name, message=f"{told} {unpaid}".strip())
            records.emit(tx, FeedEvent(cursor=0, kind="experiment-updated", experiment=name).dump())
        view = views.experiment(tx, campaign, records.experiment(tx, name))
    hub.wake.set()
    return view


def _pay(tx: sa.Connection, hub: Hub, exp: Exp, settlement: Settlement) -> str:
    """What ran is paid for, whatever came of it, as far as money was held; a sentence on the rest."""
    resources = ExperimentSpec.model_validate(exp.spec).resources
    costs = [ledger.split_cost(one.seconds, resources, hub.prices) for one in settlement.indexes]
    cpu, gpu = sum(cost[0] for cost in costs), sum(cost[1] for cost in costs)
    campaign = records.campaign(tx)
    verifying = campaign.stage == "verifying" and not campaign.verified
    to_verification = verifying and verifies(exp, records.task(tx, exp.task))
    paid = purse.settle(tx, exp.name, exp.reserved, cpu, gpu, to_verification=to_verification)
    job = {"name": settlement.job_name, "uid": settlement.job_uid, "image": settlement.image}
    held = sum(one.seconds for one in settlement.indexes)
    used = {
        "cpu_seconds": held * float(ledger.cores(resources.cpu)),
        "gpu_seconds": held * resources.gpus,
        "run_seconds": max((one.seconds for one in settlement.indexes), default=0.0),
    }
    records.change(tx, exp.name, cost=paid, job=job, ended=Hub.now(), **used)
    if paid == cpu + gpu:
        return ""
    return (
        f"It ran for {money.format_usd(cpu + gpu)} USD, but {money.format_usd(paid)} USD of what was held for it could pay for that: "
        "the rest is in no sum, so that no limit is passed."
    )


def _note_missing(tx: sa.Connection, exp: Exp, settlement: Settlement) -> None:
    """An index that posted nothing is entered as the cluster saw it; a failure that was posted says more, and stays."""
    posted = records.outputs(tx, exp.name)
    seen = {one.index: one for one in settlement.indexes}
    for index in range(len(exp.drawn)):
        one = seen.get(index)
        if index in posted:
            if one is not None and posted[index]["seconds"] == 0.0:
                where = (tables.outputs.c.experiment == exp.name, tables.outputs.c.seed_index == index)
                tx.execute(sa.update(tables.outputs).where(*where).values(seconds=one.seconds))
            continue
        values: Mapping[str, object] = {
            "ok": False,
            "reason": (one.reason if one is not None else "") or "JobFailed",
            "message": (one.message if one is not None else "") or "It ended without posting an output.",
            "seconds": one.seconds if one is not None else 0.0,
        }
        tx.execute(sa.insert(tables.outputs).values(experiment=exp.name, seed_index=index, **values))


def _end(tx: sa.Connection, hub: Hub, exp: Exp, settlement: Settlement) -> None:
    if settlement.outcome == "cancelled":
        _close(tx, exp, "cancelled", "Cancelled", "It was cancelled.")
    elif settlement.outcome == "lost":
        _close(
            tx, exp, "failed", "JobFailed", "Its Job was deleted again and again, so it was given up: submit it again."
        )
    elif exp.state != "admitted":
        _close(tx, exp, "failed", "JobFailed", "Its Job ended although the hub had not admitted it.")
    elif not _failed(tx, exp):
        _succeed(tx, hub, exp, settlement.image)


def _failed(tx: sa.Connection, exp: Exp) -> bool:
    """Whether a seed is missing: then there is no score, since crashing on bad seeds would be a way to pick seeds."""
    bad = [row for row in records.outputs(tx, exp.name).values() if not row["ok"]]
    if not bad:
        return False
    first = bad[0]
    invalid = first["reason"] in ("PredictionsInvalid", "InvalidPredictions")
    lost = all(row["reason"] in ("JobFailed", "Internal") for row in bad)
    reason = "PredictionsInvalid" if invalid else "JobFailed" if lost else "SeedFailed"
    message = f"{len(bad)} of {exp.seeds} seeds gave no result. Index {first['seed_index']}, {first['reason']}: {first['message']}"
    _close(tx, exp, "failed", reason, message)
    return True


def _succeed(tx: sa.Connection, hub: Hub, exp: Exp, image: str) -> None:
    records.change(tx, exp.name, state="scored")
    if exp.purpose == "Baseline":
        baselines.settled(tx, hub, exp)
    elif exp.purpose != "Smoke":
        try:
            scorer.score(tx, hub, exp, image)
        except UndefinedPgr as error:
            _close(tx, exp, "failed", "PreparationFailed", str(error))


def _close(tx: sa.Connection, exp: Exp, state: str, reason: str, message: str) -> None:
    records.change(tx, exp.name, state=state, reason=reason, message=message)
