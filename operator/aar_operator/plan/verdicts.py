"""Conditions of campaigns and experiments, written in one place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aar_api.campaign import CampaignStatus, Phase, ResearchCampaign
from aar_api.conditions import CampaignCondition, Condition, ExperimentCondition, Reason, set_condition
from aar_api.experiment import Experiment, ExperimentPhase, ExperimentStatus


@dataclass(frozen=True)
class Verdict:
    """One condition to write."""

    kind: CampaignCondition | ExperimentCondition
    holds: bool | None
    """None while nobody knows."""
    reason: Reason
    message: str


def stamp(now: datetime) -> str:
    """A moment as Kubernetes writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def known_reason(reason: str, otherwise: Reason) -> Reason:
    """A reason that somebody else gave, if it is one of the list."""
    return Reason(reason) if reason in set(Reason) else otherwise


def write(experiment: Experiment, phase: ExperimentPhase, now: datetime, *verdicts: Verdict) -> ExperimentStatus:
    """The status with a phase and conditions replaced; the rest is kept."""
    generation = experiment.metadata.generation
    conditions = _replaced(experiment.status.conditions, generation, now, verdicts)
    known = {"phase": phase, "conditions": conditions, "observed_generation": generation}
    return experiment.status.model_copy(update=known)


def write_campaign(
    campaign: ResearchCampaign, status: CampaignStatus, phase: Phase, now: datetime, *verdicts: Verdict
) -> CampaignStatus:
    """That status of the campaign with a phase and conditions replaced; the rest is kept."""
    generation = campaign.metadata.generation
    conditions = _replaced(status.conditions, generation, now, verdicts)
    known = {"phase": phase, "conditions": conditions, "observed_generation": generation}
    return status.model_copy(update=known)


def _replaced(
    conditions: tuple[Condition, ...], generation: int, now: datetime, verdicts: tuple[Verdict, ...]
) -> tuple[Condition, ...]:
    for one in verdicts:
        conditions = set_condition(conditions, one.kind, one.holds, one.reason, one.message, stamp(now), generation)
    return conditions
