"""Experiments: the list, and one of them with where its score comes from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, get_args

import sqlalchemy as sa
from aar_api.experiment import Purpose
from starlette.responses import Response

from aar_hub import records, served, views
from aar_hub.errors import NotFound
from aar_hub.hub import Hub
from aar_hub.pages import disclosure
from aar_hub.pages._page import Visit
from aar_hub.records import Campaign, Exp
from aar_hub.store import tables
from aar_hub.store.blobs import BlobMissing


@dataclass(frozen=True)
class Step:
    """One link of the chain from a finding to a score."""

    name: str
    values: tuple[str, ...]
    href: str = ""
    note: str = ""


def show_all(visit: Visit, tx: sa.Connection, campaign: Campaign) -> Response:
    """All experiments, or those of one purpose, the last first."""
    purposes = get_args(Purpose)
    chosen = visit.query("purpose")
    if chosen and chosen not in purposes:
        raise NotFound("NotFound", f"No purpose is called {chosen!r}: choose one of {', '.join(purposes)}.")
    where = [tables.experiments.c.purpose == chosen] if chosen else []
    lines = disclosure.lines(tx, campaign, *where)
    return visit.answer("experiments.html", campaign, part=visit.part(lines[::-1]), purposes=purposes, chosen=chosen)


def show(visit: Visit, tx: sa.Connection, campaign: Campaign) -> Response:
    """One experiment."""
    name = visit.path("name")
    exp = records.find_experiment(tx, name)
    if exp is None:
        raise NotFound(
            "NotFound", f"No experiment is named {name!r} in this campaign: the list of experiments has all."
        )
    return visit.answer(
        "experiment.html",
        campaign,
        exp=exp,
        method=disclosure.method(exp),
        view=views.experiment(tx, campaign, exp),
        sealed=campaign.sealed(exp),
        again=disclosure.lines(tx, campaign, tables.experiments.c.replicates == name),
        findings=mentions(tx, name),
        chain=chain(tx, visit.hub, exp),
    )


def mentions(tx: sa.Connection, name: str) -> list[sa.RowMapping]:
    """Posts that name an experiment."""
    table = tables.findings.c
    query = sa.select(table.id, table.title, table.author, table.experiments).order_by(table.id)
    return [row for row in tx.execute(query).mappings() if name in row["experiments"]]


def chain(tx: sa.Connection, hub: Hub, exp: Exp) -> list[Step]:
    """From the code to the predictions. A scored experiment's comes from its receipt, which is what its digest says or is not shown."""
    score = records.score(tx, exp.name)
    if score is None:
        return _steps(_so_far(tx, hub, exp), "")
    try:
        return _steps(json.loads(hub.blobs.get(score["receipt"])), score["receipt"])
    except BlobMissing as error:
        return [Step("receipt", (score["receipt"],), note=str(error))]


def _so_far(tx: sa.Connection, hub: Hub, exp: Exp) -> dict[str, Any]:
    """What the receipt would say, as far as it is known."""
    task, posted = records.task(tx, exp.task), records.outputs(tx, exp.name)
    return {
        "snapshot": exp.snapshot,
        "builtin": exp.builtin,
        "image": (exp.job or {}).get("image", ""),
        "bundle": served.info(hub, task, served.half(exp)).digest if task.built else "",
        "baselines": {},
        "seeds": exp.drawn,
        "weakSets": [exp.weak_offset + index for index in range(exp.seeds)] if exp.role == "method" else [],
        "job": exp.job,
        "predictions": [row["blob"] for _, row in sorted(posted.items()) if row["blob"]],
    }


def _steps(said: dict[str, Any], receipt: str) -> list[Step]:
    """The links that there are; of the score itself only what the page shows elsewhere."""
    code, job = said["snapshot"], said["job"] or {}
    steps = [
        Step("snapshot", (code,), href=f"/snapshots/{code}", note="the code that ran")
        if code
        else Step("method", (said["builtin"] or "",), note="shipped in the lab's image"),
        Step("image", (said["image"],), note="the lab that ran it"),
        Step("lab", (said.get("lab", ""),), note="the image, or version, that the hub was told to expect"),
        Step("hub", (said.get("hub", ""),), note="version of the hub that scored it"),
        Step("compute", _compute(said), note="what each seed had"),
        Step("bundle", (said["bundle"],), note="texts and weak labels that the lab saw"),
        Step("baselines", tuple(f"{name} {blob}" for name, blob in sorted(said["baselines"].items()))),
        Step("seeds", tuple(map(str, said["seeds"])), note="drawn by the hub once the code was fixed"),
        Step("weak label sets", tuple(map(str, said["weakSets"])), note="which weak teacher each seed learnt from"),
        Step("Job", tuple(filter(None, (job.get("name"), job.get("uid")))), note="name and UID in the cluster"),
        Step("predictions", tuple(said["predictions"]), note="as the Job's own token posted them, one a seed"),
        Step("compared with", (said.get("comparedWith") or "",), note="the score that fixed what was told of this one"),
        Step(
            "receipt",
            (receipt,),
            note="digest over all of the above, the true labels, the rows that were scored, the score and the cost; its content was read and agrees",
        ),
    ]
    return [step for step in steps if any(step.values)]


def _compute(said: dict[str, Any]) -> tuple[str, ...]:
    """Resources and time of a seed, in words; receipts from before they were in them have none."""
    words = tuple(f"{name} {value}" for name, value in sorted(said.get("resources", {}).items()))
    deadline = said.get("deadlineSeconds")
    return (*words, f"at most {deadline} s") if deadline else words
