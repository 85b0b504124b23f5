"""From the name of a task to a bundle with weak labels, floor and ceiling: build, then baselines one after another, from the cache if it has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import sqlalchemy as sa
from aar_api import digest
from aar_api.campaign import TaskRef
from aar_api.errors import AarError

from aar_hub import bundles, records, requests, tasks
from aar_hub.domain import ledger
from aar_hub.hub import Hub
from aar_hub.records import Campaign, TaskRow
from aar_hub.store import tables

FEATURES, TEACHER, CEILING = "features", "teacher", "ceiling"


def add(tx: sa.Connection, ref: TaskRef, main: bool) -> str:
    """Have a task prepared; its key."""
    key = digest.of_json(ref.dump())
    known = tx.execute(sa.select(tables.tasks.c.key).where(tables.tasks.c.key == key)).first()
    if known is None:
        tx.execute(sa.insert(tables.tasks).values(key=key, ref=ref.dump(), main=main, blobs={}))
    return key


def advance(hub: Hub) -> None:
    """Take every task as far as it goes without a baseline that is still running."""
    with hub.db.read() as tx:
        campaign, todo = records.find_campaign(tx), [row for row in records.all_tasks(tx) if not row.failed]
    if campaign is None:
        return
    for row in todo:
        if not row.built:
            _build(hub, row)
        if not row.ready:
            _baselines(hub, campaign, row.key)


def _build(hub: Hub, row: TaskRow) -> None:
    try:
        info, content = bundles.build(tasks.resolve(row.ref.name, row.ref.params))
    except AarError as error:
        _write(hub, row.key, failed=str(error))
        return
    blobs = {name: hub.blobs.put(data) for name, data in content.items()}
    _write(hub, row.key, built=True, info=info.dump(), blobs=blobs, sealed=digest.of_json(blobs))


def _write(hub: Hub, key: str, **values: Any) -> None:
    with hub.db.write() as tx:
        tx.execute(sa.update(tables.tasks).where(tables.tasks.c.key == key).values(**values))


def _baselines(hub: Hub, campaign: Campaign, key: str) -> None:
    with hub.db.read() as tx:
        row = records.task(tx, key)
    if row.info is None:
        return
    wanted = {TEACHER: ledger.weak_sets(campaign.spec), CEILING: campaign.spec.evaluation.baseline_seeds}
    if row.info.head == "probe":
        wanted = {FEATURES: 1} | wanted
    for role, seeds in wanted.items():
        if role in row.blobs:
            continue
        cached = hub.cache.get(_cache_key(hub, row, role, seeds))
        if cached is not None:
            keep(hub, key, role, cached)
            continue
        with hub.db.write() as tx:
            requests.baseline(tx, campaign, row, role, seeds)
        if role == FEATURES:
            return  # the others train on the features
    with hub.db.read() as tx:
        done = set(wanted) <= set(records.task(tx, key).blobs)
    if done:
        _write(hub, key, ready=True)


def settled(hub: Hub, key: str, role: str, arrays: list[dict[str, Any]]) -> None:
    """Keep what the seeds of a baseline posted, here and in the cache."""
    names = arrays[0]
    data = bundles.npz(names if role == FEATURES else {name: np.stack([one[name] for one in arrays]) for name in names})
    with hub.db.read() as tx:
        row = records.task(tx, key)
    hub.cache.put(_cache_key(hub, row, role, len(arrays)), data)
    keep(hub, key, role, data)


def keep(hub: Hub, key: str, role: str, data: bytes) -> None:
    """Add a baseline's output to its task."""
    more = {role: hub.blobs.put(data)}
    if role == FEATURES:
        strong, weak = bundles.features(bundles.load(data))
        more |= {"features.npz": hub.blobs.put(strong), "sealed/weak_features.npz": hub.blobs.put(weak)}
    with hub.db.write() as tx:
        blobs = dict(records.task(tx, key).blobs) | more
        tx.execute(sa.update(tables.tasks).where(tables.tasks.c.key == key).values(blobs=blobs))


def _cache_key(hub: Hub, row: TaskRow, role: str, seeds: int) -> list[Any]:
    return ["baseline", row.info.digest if row.info else "", role, seeds, hub.settings.lab_version]
