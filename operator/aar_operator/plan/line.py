"""Who comes before whom, among a campaign's experiments that run or wait."""

from __future__ import annotations

from aar_api.experiment import Experiment, Purpose

TURN: dict[Purpose, int] = {
    "Baseline": 0,
    "Exploration": 1,
    "Smoke": 1,
    "Replication": 2,
    "Control": 2,
    "Transfer": 2,
}
"""Exploration cannot begin before its baselines, so that, however old, it must not stand in their way."""


def age(experiment: Experiment) -> tuple[str, str]:
    """The older comes first; of one second, by name."""
    return experiment.metadata.creation_timestamp or "", experiment.metadata.name


def ahead(one: Experiment, experiment: Experiment) -> bool:
    """Whether it holds a place, or waits and its turn is earlier."""
    return one.status.job_ref is not None or _place(one) < _place(experiment)


def _place(experiment: Experiment) -> tuple[int, tuple[str, str]]:
    return TURN[experiment.spec.purpose], age(experiment)
