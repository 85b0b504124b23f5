"""Conditions of an experiment, written in one place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aar_api.conditions import ExperimentCondition, Reason, set_condition
from aar_api.experiment import Experiment, ExperimentPhase, ExperimentStatus


@dataclass(frozen=True)
class Verdict:
    """One condition to write."""

    kind: ExperimentCondition
    holds: bool
    reason: Reason
    message: str


def stamp(now: datetime) -> str:
    """A moment as Kubernetes writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def write(experiment: Experiment, phase: ExperimentPhase, now: datetime, *verdicts: Verdict) -> ExperimentStatus:
    """The status with a phase and conditions replaced; the rest is kept."""
    generation = experiment.metadata.generation
    conditions = experiment.status.conditions
    for one in verdicts:
        conditions = set_condition(conditions, one.kind, one.holds, one.reason, one.message, stamp(now), generation)
    known = {"phase": phase, "conditions": conditions, "observed_generation": generation}
    return experiment.status.model_copy(update=known)
