"""Rows of the database as frozen values, and the few ways to find them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa
from aar_api.base import Scalar
from aar_api.campaign import CampaignSpec, TaskRef
from aar_api.files import BundleInfo

from aar_hub.errors import Conflict, NotFound
from aar_hub.store import tables

UNSETTLED = ("submitted", "waiting", "admitted")
VERIFYING = ("Replication", "Control", "Transfer")


@dataclass(frozen=True)
class Campaign:
    """The campaign of this hub."""

    name: str
    namespace: str
    uid: str
    spec: CampaignSpec
    stage: str
    stage_reason: str
    failed: str
    verification: dict[str, Any]
    verified: bool
    opened: str
    researching: str | None

    @property
    def verdicts(self) -> dict[str, Any]:
        """What verification has found, once it is final: until then a control may still take a confirmation back."""
        return self.verification if self.verified else {}

    def sealed(self, exp: Exp) -> bool:
        """Whether the experiment's score and audit are nobody's to see yet: they come from the private half, and it may not be chosen by."""
        return exp.purpose in VERIFYING and not self.verified


@dataclass(frozen=True)
class TaskRow:
    """A task on its way from a name to a bundle with baselines."""

    key: str
    ref: TaskRef
    main: bool
    built: bool
    ready: bool
    failed: str
    info: BundleInfo | None
    sealed: str | None
    blobs: Mapping[str, str]


@dataclass(frozen=True)
class Exp:
    """An experiment."""

    seq: int
    name: str
    uid: str
    purpose: Any
    role: Any
    researcher: str
    key: str
    task: str
    label: str
    snapshot: str | None
    builtin: str | None
    config: dict[str, Scalar]
    seeds: int
    weak_offset: int
    control: Any
    replicates: str | None
    spec: dict[str, Any]
    content: str
    state: Any
    reason: str
    message: str
    drawn: list[int]
    part: str
    deadline: int
    reserved: int
    cost: int
    cpu_seconds: float
    gpu_seconds: float
    run_seconds: float
    job: dict[str, Any] | None
    duplicate_of: str | None
    audit: Any
    audit_message: str
    created: str
    ended: str | None


_EXP = [tables.experiments.c[field.name] for field in fields(Exp)]


def find_campaign(tx: sa.Connection) -> Campaign | None:
    """The campaign, if it has been opened."""
    row = tx.execute(sa.select(tables.campaigns)).mappings().first()
    if row is None:
        return None
    values = {field.name: row[field.name] for field in fields(Campaign)}
    return Campaign(
        **values | {"spec": CampaignSpec.model_validate(row["spec"]), "verification": row["verification"] or {}}
    )


def campaign(tx: sa.Connection) -> Campaign:
    """The campaign.

    Raises:
        Conflict: none has been opened yet.
    """
    found = find_campaign(tx)
    if found is None:
        raise Conflict("HubPending", "This hub has no campaign yet: the operator opens it; ask again later.")
    return found


def all_tasks(tx: sa.Connection) -> list[TaskRow]:
    """Every task, the campaign's own first."""
    rows = tx.execute(sa.select(tables.tasks).order_by(tables.tasks.c.main.desc(), tables.tasks.c.key)).mappings()
    return [_task(row) for row in rows]


def task(tx: sa.Connection, key: str) -> TaskRow:
    """A task by its key."""
    return _task(tx.execute(sa.select(tables.tasks).where(tables.tasks.c.key == key)).mappings().one())


def _task(row: sa.RowMapping) -> TaskRow:
    info = BundleInfo.model_validate(row["info"]) if row["info"] else None
    values = {field.name: row[field.name] for field in fields(TaskRow)}
    return TaskRow(**values | {"ref": TaskRef.model_validate(row["ref"]), "info": info})


def experiments(tx: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Exp]:
    """Experiments in the order in which they came."""
    query = sa.select(*_EXP).where(*where).order_by(tables.experiments.c.seq)
    return [Exp(**row) for row in tx.execute(query).mappings()]


def find_experiment(tx: sa.Connection, name: str) -> Exp | None:
    """The experiment of that name."""
    found = experiments(tx, tables.experiments.c.name == name)
    return found[0] if found else None


def experiment(tx: sa.Connection, name: str) -> Exp:
    """The experiment of that name.

    Raises:
        NotFound: there is none.
    """
    found = find_experiment(tx, name)
    if found is None:
        raise NotFound("NotFound", f"No experiment is named {name!r} here: GET /v1/experiments lists them.")
    return found


def change(tx: sa.Connection, name: str, **values: Any) -> None:
    """Change columns of an experiment."""
    tx.execute(sa.update(tables.experiments).where(tables.experiments.c.name == name).values(**values))


def change_campaign(tx: sa.Connection, **values: Any) -> None:
    """Change columns of the campaign."""
    tx.execute(sa.update(tables.campaigns).values(**values))


def outputs(tx: sa.Connection, name: str) -> dict[int, sa.RowMapping]:
    """What the lab posted for an experiment, by index."""
    rows = tx.execute(sa.select(tables.outputs).where(tables.outputs.c.experiment == name)).mappings()
    return {row["seed_index"]: row for row in rows}


def score(tx: sa.Connection, name: str) -> sa.RowMapping | None:
    """The score of an experiment."""
    return tx.execute(sa.select(tables.scores).where(tables.scores.c.experiment == name)).mappings().first()


def emit(tx: sa.Connection, event: Mapping[str, Any]) -> None:
    """Append to the feed. Cursors are milliseconds since 1970, or one more than the last: what a hub says whose volume was put back to
    what it once held is then news, too, to whoever had read on since.
    """
    last = tx.execute(sa.select(sa.func.max(tables.feed.c.cursor))).scalar() or 0
    cursor = max(last + 1, time.time_ns() // 10**6)
    tx.execute(sa.insert(tables.feed).values(cursor=cursor, event=dict(event)))
