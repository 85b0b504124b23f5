"""Snapshots of method code, named by their content."""

from __future__ import annotations

import json
from collections.abc import Mapping

import sqlalchemy as sa
from aar_api import digest
from aar_api.errors import InvalidInput
from aar_api.wire import Snapshot, SnapshotRef, SnapshotUpload

from aar_hub import records
from aar_hub.domain import snapshot
from aar_hub.errors import NotFound, Refused
from aar_hub.hub import Hub
from aar_hub.store import tables

SPARE = 1000
"""Snapshots of up to 1 MiB that a researcher may keep beside those that it can submit: smoke runs and second thoughts, 1 GiB at worst."""


def put(tx: sa.Connection, hub: Hub, upload: SnapshotUpload, author: str) -> SnapshotRef:
    """Keep a snapshot; the same files are kept once, under their first author and parents.

    Raises:
        Refused: it cannot run, names a parent that is not here, or is one too many.
    """
    for parent in upload.parents:
        if not exists(tx, parent):
            raise Refused(
                "SnapshotMissing", f"The parent {parent} is not in this hub: upload it first, or leave it out."
            )
    limit = SPARE + records.campaign(tx).spec.evaluation.submissions_per_researcher
    return _store(tx, hub, upload.files, upload.parents, author, limit)


def put_inline(tx: sa.Connection, hub: Hub, source: str, author: str) -> str:
    """Digest of a method's file that came inside an Experiment."""
    return _store(tx, hub, {"method.py": source}, (), author).digest


def _store(
    tx: sa.Connection,
    hub: Hub,
    files: Mapping[str, str],
    parents: tuple[str, ...],
    author: str,
    limit: int | None = None,
) -> SnapshotRef:
    try:
        snapshot.check(files)
    except InvalidInput as error:
        raise Refused("InvalidMethod", str(error)) from error
    address = digest.of_files(files)
    if exists(tx, address):
        return SnapshotRef(digest=address, new=False)
    count = sa.select(sa.func.count()).select_from(tables.snapshots).where(tables.snapshots.c.author == author)
    if limit is not None and tx.execute(count).scalar_one() >= limit:
        raise Refused(
            "QuotaExceeded", f"{author} keeps {limit} snapshots, and no more are taken: submit those that are there."
        )
    blob = hub.blobs.put(digest.canonical_json(dict(files)))
    values = {"digest": address, "blob": blob, "parents": list(parents), "author": author, "created": Hub.now()}
    tx.execute(sa.insert(tables.snapshots).values(values))
    return SnapshotRef(digest=address, new=True)


def exists(tx: sa.Connection, address: str) -> bool:
    """Whether the hub holds it."""
    return (
        tx.execute(sa.select(tables.snapshots.c.digest).where(tables.snapshots.c.digest == address)).first() is not None
    )


def get(tx: sa.Connection, hub: Hub, address: str) -> Snapshot:
    """A snapshot with its files.

    Raises:
        NotFound: the hub does not hold it.
    """
    row = tx.execute(sa.select(tables.snapshots).where(tables.snapshots.c.digest == address)).mappings().first()
    if row is None:
        raise NotFound(
            "SnapshotMissing", f"No snapshot has the digest {address} here: upload it, or correct the digest."
        )
    files = json.loads(hub.blobs.get(row["blob"]))
    return Snapshot(digest=address, files=files, parents=tuple(row["parents"]), author=row["author"])
