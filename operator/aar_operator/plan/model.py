"""The whole intent of one reconcile, as data, and what deciding looks at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from aar_api.campaign import CampaignStatus, ResearchCampaign
from aar_api.experiment import Experiment, ExperimentStatus
from aar_api.wire import AdmissionRequest, ErrorBody, FeedPage, IndexOutcome, Settlement, Stage, Summary

Manifest = dict[str, Any]
ResearcherState = Literal["active", "succeeded", "failed"]


@dataclass(frozen=True)
class Target:
    """An object to delete."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True)
class JobView:
    """A Job as deciding sees it."""

    name: str
    namespace: str
    uid: str
    finished: bool
    succeeded: bool
    suspended: bool
    reason: str
    message: str
    indexes: tuple[IndexOutcome, ...]


@dataclass(frozen=True)
class Note:
    """A Kubernetes Event to record."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """What to do, in this order: apply, create, merge, delete, move the stage, status, notes; then ask the hub, and plan again."""

    apply: tuple[Manifest, ...] = ()
    create: tuple[Manifest, ...] = ()
    """Made once and never touched again; one that is there is left as it is."""
    merge: tuple[tuple[Target, Manifest], ...] = ()
    """JSON merge patches."""
    delete: tuple[Target, ...] = ()
    stage: tuple[Stage, str] | None = None
    campaign_status: CampaignStatus | None = None
    experiment_status: ExperimentStatus | None = None
    notes: tuple[Note, ...] = ()
    ask: AdmissionRequest | None = None
    """Have the hub decide about an experiment, then plan again with its answer."""
    settle: Settlement | None = None
    """Have the hub score and pay for an experiment, then plan again with what it says."""
    requeue: float | None = None
    """Seconds after which to look again without being told."""


@dataclass(frozen=True)
class CampaignSeen:
    """The world around a campaign."""

    operator_token: str | None = None
    sandbox_url: str | None = None
    """Where sandboxes reach the hub; none until its Service has an address."""
    refusal: ErrorBody | None = None
    summary: Summary | None = None
    """None while the hub does not answer."""
    feed: FeedPage | None = None
    experiments: tuple[Experiment, ...] = ()
    researchers: dict[str, ResearcherState] = field(default_factory=dict)
    researcher_tokens: dict[str, str] = field(default_factory=dict)
    namespaces: tuple[str, ...] = ()
    """Namespaces that carry the campaign's UID."""


@dataclass(frozen=True)
class ExperimentSeen:
    """The world around an experiment."""

    campaign: ResearchCampaign | None = None
    summary: Summary | None = None
    """None while the hub does not answer."""
    sandbox_url: str | None = None
    attempt: int = 0
    """Number of the newest Job that is there; 0 for none."""
    job: JobView | None = None
    before: int = 0
    """Experiments of the campaign that run, or wait and are older."""
    gpus_before: int = 0
    """GPUs that those hold or wait for."""
    missing: str = ""
    """A sentence, if something that the spec names is not there."""
