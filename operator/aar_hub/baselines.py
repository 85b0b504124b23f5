"""Features, weak teacher and ceiling of a task: requested in that order, taken from the cache where it has them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from aar_api import names
from aar_api.experiment import Method, SubmittedBy

from aar_hub import arrays, catalogue, purse, records, scorer, served
from aar_hub.domain import halves, ledger
from aar_hub.domain.scoring import UndefinedPgr
from aar_hub.hub import Hub
from aar_hub.records import Campaign, Exp, TaskRow
from aar_hub.requests import HUB, request, spec_of
from aar_hub.store import tables

PART = "baseline"


def advance(tx: sa.Connection, hub: Hub, campaign: Campaign, key: str) -> None:
    """Bring a task one step nearer to being ready; called again whenever something has changed."""
    row = records.task(tx, key)
    if row.ready or row.failed or not row.built:
        return
    for role in _next_roles(row):
        _obtain(tx, hub, campaign, row, role)
    row = records.task(tx, key)
    if not row.failed and not _next_roles(row):
        _finish(tx, hub, row)


def _next_roles(row: TaskRow) -> list[str]:
    """What is missing and can be made now."""
    assert row.info is not None, "a built task has it"
    if row.info.head == "probe" and "features" not in row.blobs:
        return ["features"]
    return [role for role in ("teacher", "ceiling") if f"{role}:0" not in row.blobs]


def _obtain(tx: sa.Connection, hub: Hub, campaign: Campaign, row: TaskRow, role: str) -> None:
    exp = _asked_for(tx, row, role)
    if exp is not None:
        if exp.state in ("failed", "refused", "cancelled"):
            fail(tx, row, f"The baseline {role!r} of task {row.ref.name!r} ({exp.name}) {exp.state}: {exp.message}")
        return
    # With a secret, as in the names of verification's runs: else a researcher could look for a key that takes the name first.
    name = names.experiment(campaign.name, PART, role, row.key, hub.keys.derive("names").hex())
    count = _count(campaign, role)
    cached = _cached(tx, hub, row, role, count)
    if cached is not None:
        store(tx, hub, row, role, cached)
        return
    spec = spec_of(
        campaign, row, Method(builtin=role), SubmittedBy(researcher=HUB, key=name), purpose="Baseline", seeds=count
    )
    request(tx, name, spec, row, PART, role=role, label=role)


def _asked_for(tx: sa.Connection, row: TaskRow, role: str) -> Exp | None:
    """The baseline of that role, by what it is and not by its name: only the hub sets a purpose of Baseline."""
    exps = tables.experiments.c
    found = records.experiments(tx, exps.purpose == "Baseline", exps.task == row.key, exps.role == role)
    return found[0] if found else None


def _count(campaign: Campaign, role: str) -> int:
    counts = {
        "features": 1,
        "teacher": ledger.weak_sets(campaign.spec),
        "ceiling": campaign.spec.evaluation.baseline_seeds,
    }
    return counts[role]


def _cache_key(hub: Hub, row: TaskRow, role: str, index: int) -> Any:
    assert row.info is not None
    return {
        "lab": hub.settings.lab_version,
        "bundle": row.info.digest,
        "labels": row.sealed,
        "role": role,
        "index": index,
    }


def _cached(tx: sa.Connection, hub: Hub, row: TaskRow, role: str, count: int) -> list[bytes] | None:
    """All outputs of a baseline, or none; and only if the methods are known too, since its Job would tell them."""
    if not catalogue.load_cached(tx, hub):
        return None
    found = [hub.cache.get(_cache_key(hub, row, role, index)) for index in range(count)]
    return None if None in found else [data for data in found if data is not None]


def settled(tx: sa.Connection, hub: Hub, exp: Exp) -> None:
    """Take over what a baseline Job has posted, and keep it for the next campaign."""
    row, posted = records.task(tx, exp.task), records.outputs(tx, exp.name)
    data = [hub.blobs.get(posted[index]["blob"]) for index in range(exp.seeds)]
    store(tx, hub, row, exp.role, data)
    for index, one in enumerate(data):
        hub.cache.put(_cache_key(hub, row, exp.role, index), one)


def store(tx: sa.Connection, hub: Hub, row: TaskRow, role: str, outputs: list[bytes]) -> None:
    """Enter the outputs into the task."""
    found = {f"{role}:{index}": hub.blobs.put(data) for index, data in enumerate(outputs)}
    if role == "features":
        found = _split_features(hub, row, outputs[0])
    blobs = dict(records.task(tx, row.key).blobs) | found
    tx.execute(sa.update(tables.tasks).where(tables.tasks.c.key == row.key).values(blobs=blobs))


def _split_features(hub: Hub, row: TaskRow, data: bytes) -> dict[str, str]:
    every = arrays.unpack(data)
    parts = {"features": "strong_", "weak_features": "weak_"}
    found = {
        name: {key.removeprefix(prefix): array for key, array in every.items() if key.startswith(prefix)}
        for name, prefix in parts.items()
    }
    blobs = {name: hub.blobs.put(arrays.pack(some)) for name, some in found.items()}
    return blobs | served.of_features(hub, row, found["features"])


def _finish(tx: sa.Connection, hub: Hub, row: TaskRow) -> None:
    """Ready, if there is a gap to recover on both halves."""
    try:
        yardstick = scorer.yardstick(hub, row)
        for split in halves.SPLITS:
            yardstick.check_gap(split)
    except UndefinedPgr as error:
        fail(tx, row, f"Task {row.ref.name!r} cannot be scored. {error}")
        return
    tx.execute(sa.update(tables.tasks).where(tables.tasks.c.key == row.key).values(ready=True))


def fail(tx: sa.Connection, row: TaskRow, message: str) -> None:
    """Give a task up; without its own task a campaign is over."""
    tx.execute(sa.update(tables.tasks).where(tables.tasks.c.key == row.key).values(failed=message))
    if row.main:
        records.change_campaign(tx, failed=message)
        purse.release_verification(tx, records.campaign(tx))
