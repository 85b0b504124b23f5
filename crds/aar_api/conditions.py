"""Conditions: the closed list of types and reasons, and the one way to write one."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from aar_api.base import Model


class CampaignCondition(StrEnum):
    """Condition types of a ResearchCampaign."""

    ACCEPTED = "Accepted"
    READY = "Ready"
    NETWORK_ISOLATED = "NetworkIsolated"
    BUDGET_AVAILABLE = "BudgetAvailable"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


class ExperimentCondition(StrEnum):
    """Condition types of an Experiment."""

    ACCEPTED = "Accepted"
    QUOTA_RESERVED = "QuotaReserved"
    BUDGET_RESERVED = "BudgetReserved"
    SUSPENDED = "Suspended"
    SCORED = "Scored"
    AUDITED = "Audited"
    COMPLETE = "Complete"
    FAILED = "Failed"


class Reason(StrEnum):
    """Every reason a condition may give."""

    # Accepted
    VALID = "Valid"
    WAITING_FOR_PLACE = "WaitingForPlace"
    INVALID_SPEC = "InvalidSpec"
    INVALID_TASK = "InvalidTask"
    INVALID_METHOD = "InvalidMethod"
    UNKNOWN_MODEL = "UnknownModel"
    UNKNOWN_CAMPAIGN = "UnknownCampaign"
    QUOTA_EXCEEDED = "QuotaExceeded"
    BUDGET_EXCEEDED = "BudgetExceeded"
    SUBMISSIONS_EXCEEDED = "SubmissionsExceeded"
    DUPLICATE = "Duplicate"
    SNAPSHOT_MISSING = "SnapshotMissing"
    CAMPAIGN_FINISHED = "CampaignFinished"
    UNKNOWN_QUEUE = "UnknownQueue"
    NAMESPACE_TAKEN = "NamespaceTaken"
    CLUSTER_REFUSED = "ClusterRefused"
    # QuotaReserved
    WAITING_FOR_QUOTA = "WaitingForQuota"
    QUOTA_RESERVED = "QuotaReserved"
    # Ready, NetworkIsolated
    HUB_PENDING = "HubPending"
    PREPARING = "Preparing"
    RESEARCHERS_RUNNING = "ResearchersRunning"
    PROVIDER_FAILING = "ProviderFailing"
    VERIFYING = "Verifying"
    FINISHED = "Finished"
    NOT_VERIFIED = "NotVerified"
    PROBE_BLOCKED = "ProbeBlocked"
    PROBE_CONNECTED = "ProbeConnected"
    # BudgetAvailable, BudgetReserved
    WITHIN_BUDGET = "WithinBudget"
    WARNING = "Warning"
    EXHAUSTED = "Exhausted"
    RESERVED = "Reserved"
    WAITING_FOR_BUDGET = "WaitingForBudget"
    SETTLED = "Settled"
    # Suspended
    USER_REQUESTED = "UserRequested"
    RESUMED = "Resumed"
    # Complete and Failed of a campaign
    TARGET_REACHED = "TargetReached"
    MAX_EXPERIMENTS = "MaxExperiments"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    RESEARCHERS_FINISHED = "ResearchersFinished"
    BUDGET_EXHAUSTED = "BudgetExhausted"
    PREPARATION_FAILED = "PreparationFailed"
    # Complete and Failed of an experiment, Scored, Audited
    SCORE_RECORDED = "ScoreRecorded"
    OUTPUT_RECORDED = "OutputRecorded"
    WAITING_FOR_SCORER = "WaitingForScorer"
    SEED_FAILED = "SeedFailed"
    JOB_FAILED = "JobFailed"
    PREDICTIONS_INVALID = "PredictionsInvalid"
    CANCELLED = "Cancelled"
    CLEAN = "Clean"
    SUSPECT = "Suspect"


MAX_MESSAGE = 32768
"""Characters of a message that the API takes."""


class Condition(Model):
    """A metav1.Condition."""

    type: str = Field(max_length=316, description="What the condition is about.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(max_length=1024, min_length=1, description="One word from a closed list.")
    message: str = Field(max_length=MAX_MESSAGE, description="One sentence for a person.")
    last_transition_time: str = Field(
        json_schema_extra={"format": "date-time"}, description="When the status last changed."
    )
    observed_generation: int | None = Field(
        default=None, ge=0, description="Generation of the spec this was computed from."
    )


def set_condition(
    existing: tuple[Condition, ...],
    kind: str,
    holds: bool | None,
    reason: Reason,
    message: str,
    now: str,
    generation: int | None,
) -> tuple[Condition, ...]:
    """Conditions with one replaced; the transition time moves only when the status does. Sorted by type.

    A message longer than the API takes is cut, and says so.
    """
    status: Literal["True", "False", "Unknown"] = "Unknown" if holds is None else "True" if holds else "False"
    before = next((c for c in existing if c.type == kind), None)
    since = before.last_transition_time if before is not None and before.status == status else now
    fresh = Condition(
        type=kind,
        status=status,
        reason=reason,
        message=_cut(message),
        last_transition_time=since,
        observed_generation=generation,
    )
    return tuple(sorted((*(c for c in existing if c.type != kind), fresh), key=lambda c: c.type))


def _cut(message: str) -> str:
    if len(message) <= MAX_MESSAGE:
        return message
    sign = f" … (cut here: it has {len(message)} characters, and {MAX_MESSAGE} are kept)"
    return message[: MAX_MESSAGE - len(sign)] + sign


def is_true(conditions: tuple[Condition, ...], kind: str) -> bool:
    """Whether the condition is present with status True."""
    return any(c.type == kind and c.status == "True" for c in conditions)
