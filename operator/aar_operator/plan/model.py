"""The whole intent of one reconcile, as data, and what deciding looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aar_api.campaign import CampaignStatus, ResearchCampaign
from aar_api.experiment import ExperimentStatus
from aar_api.wire import AdmissionRequest, ErrorBody, FeedPage, IndexOutcome, Settlement, Stage, Summary

Manifest = dict[str, Any]
ResearcherState = Literal["active", "suspended", "succeeded", "failed"]
FINISHED = ("Complete", "Failed")
"""Phases of a campaign that is over."""


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
    image: str = ""
    """What ran, by digest, as the nodes of its pods said; empty if nobody did."""
    created: str = ""
    """When it was made."""
    started: str = ""
    """When it was let run; empty while it was not."""
    bare: bool = False
    """Whether it may run, but no pod of it was ever seen."""
    reserved_usd: str = "0.00"
    """US dollars that are held for it."""
    expires: bool = False
    """Whether it goes of its own accord some time after its end."""
    queued: bool = False
    """Whether Kueue says when it runs; its `suspend` is then not ours to write."""
    workload: str = ""
    """Kueue's object for it; empty while there is none."""
    workload_active: bool = True
    waiting: str = ""
    """Why Kueue has it wait."""


@dataclass(frozen=True)
class Probe:
    """An isolation probe as deciding sees it."""

    state: ResearcherState
    connected: bool = False
    """Whether it failed because something answered."""
    message: str = ""
    ended: str = ""
    """When its Job ended; empty while that goes on."""


@dataclass(frozen=True)
class Note:
    """A Kubernetes Event to record."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """What to do, in this order: apply, create, merge, delete, release, status, notes, move the stage; then ask the hub, and plan again."""

    apply: tuple[Manifest, ...] = ()
    """Made so; Namespaces only where they are ours, and what cannot change (Jobs, claims) only once."""
    create: tuple[Manifest, ...] = ()
    """Made once and never touched again; one that is there is left as it is."""
    merge: tuple[tuple[Target, Manifest], ...] = ()
    """JSON merge patches."""
    delete: tuple[Target, ...] = ()
    release: tuple[tuple[Target, Manifest], ...] = ()
    """The patch that lets an object go, once nothing is left to do for it."""
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
    """Why the hub does not take what is asked for, now."""
    mistakes: str = ""
    """What is wrong with what is asked for, if it can be read in part only."""
    trouble: str = ""
    """What the hub says in place of an answer."""
    summary: Summary | None = None
    """None while the hub does not answer."""
    feed: FeedPage | None = None
    phases: Mapping[str, int] = field(default_factory=dict)
    """Phase -> experiments of the campaign."""
    exploring: bool = False
    """Whether an experiment runs or waits that a researcher or a person asked for."""
    children: tuple[Target, ...] = ()
    """Its experiments, if the campaign is to go."""
    outdated: tuple[str, ...] = ()
    """Entries of its namespace's book of which no sum is made any more, if the campaign is to go."""
    researchers: dict[str, ResearcherState] = field(default_factory=dict)
    researcher_tokens: dict[str, str] = field(default_factory=dict)
    namespaces: tuple[str, ...] = ()
    """Namespaces that carry the campaign's UID."""
    hub_refused: str = ""
    """What the cluster says to why it does not take the hub's pod."""
    hub_address: str | None = None
    """Address of the hub's Service, or the one it had."""
    probes: dict[str, Probe] = field(default_factory=dict)
    """Isolation probes by part."""
    over_quota: str = ""
    """A sentence, if the namespace's limits leave no room."""
    cluster_queue: str = ""
    """Kueue's ClusterQueue for the campaign; empty: none."""
    no_queue: str = ""
    """A sentence, if the campaign names a queue that isn't there."""


@dataclass(frozen=True)
class ExperimentSeen:
    """The world around an experiment."""

    campaign: ResearchCampaign | None = None
    summary: Summary | None = None
    """None while the hub does not answer."""
    unasked: bool = False
    """Whether there is a hub that nobody asked yet: its silence says nothing."""
    sandbox_url: str | None = None
    attempt: int = 0
    """Number of the newest Job that is there; 0 for none."""
    job: JobView | None = None
    ran: Mapping[int, float] = field(default_factory=dict)
    """Index -> seconds that pods of other attempts ran, whose Jobs somebody deleted."""
    before: int = 0
    """Experiments of the campaign that run, or wait and are older."""
    gpus_before: int = 0
    """GPUs that those hold or wait for."""
    missing: str = ""
    """A sentence, if something that the spec names is not there."""
