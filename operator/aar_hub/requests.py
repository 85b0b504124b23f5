"""Asking the operator for an experiment: a row and an event in the feed, in one transaction."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from aar_api import digest
from aar_api.experiment import ExperimentSpec, Method, SubmittedBy
from aar_api.wire import FeedEvent

from aar_hub import records
from aar_hub.hub import Hub
from aar_hub.records import Campaign, TaskRow
from aar_hub.store import tables

HUB = "hub"
OWNER = "owner"


def spec_of(campaign: Campaign, task: TaskRow, method: Method, by: SubmittedBy, **more: Any) -> ExperimentSpec:
    """An Experiment of this campaign, with compute and deadline written out, so that a later change of the campaign leaves it as it is."""
    limits = campaign.spec.experiments
    return ExperimentSpec(
        campaign_ref=campaign.name,
        method=method,
        task=None if task.main else task.ref,
        submitted_by=by,
        resources=limits.resources,
        active_deadline_seconds=limits.active_deadline_seconds,
        **more,
    )


def insert(tx: sa.Connection, name: str, spec: ExperimentSpec, task: TaskRow, part: str, **more: Any) -> None:
    """The row of an experiment."""
    by, deadline = spec.submitted_by, spec.active_deadline_seconds
    assert by is not None, "it is always written out"
    assert deadline is not None, "it is always written out"
    values: dict[str, Any] = {
        "name": name,
        "purpose": spec.purpose,
        "researcher": by.researcher,
        "key": by.key,
        "task": task.key,
        "snapshot": spec.method.snapshot,
        "builtin": spec.method.builtin,
        "config": dict(spec.method.config),
        "seeds": spec.seeds,
        "control": spec.control,
        "replicates": spec.replicates,
        "spec": spec.dump(),
        "content": content(spec, task.key),
        "state": "submitted",
        "drawn": [],
        "part": part,
        "deadline": deadline,
        "created": Hub.now(),
    }
    tx.execute(sa.insert(tables.experiments).values(values | more))


def request(tx: sa.Connection, name: str, spec: ExperimentSpec, task: TaskRow, part: str, **more: Any) -> None:
    """The row, and the event that has the operator create the Experiment; nothing if it is there already."""
    if records.find_experiment(tx, name) is None:
        insert(tx, name, spec, task, part, **more)
        event = FeedEvent(cursor=0, kind="experiment-requested", experiment=name, spec=spec)
        records.emit(tx, event.dump())


def content(spec: ExperimentSpec, task: str) -> str:
    """Digest of what makes two experiments the same question."""
    method = spec.method
    return digest.of_json(
        [
            task,
            method.snapshot,
            method.builtin,
            dict(method.config),
            spec.seeds,
            spec.purpose,
            spec.control,
            spec.replicates,
        ]
    )
