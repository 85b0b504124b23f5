"""Experiment: a method on a task with N seeds, and what came of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from aar_api import digest, labels, names
from aar_api.base import Model, Parameters, PluginName
from aar_api.campaign import Metadata, Resources, TaskRef
from aar_api.conditions import Condition

Purpose = Literal["Smoke", "Baseline", "Exploration", "Replication", "Control", "Transfer"]
ExperimentPhase = Literal["Pending", "Queued", "Running", "Scoring", "Complete", "Failed", "Cancelled"]
DesiredState = Literal["Active", "Suspended", "Cancelled"]
SeedState = Literal["Succeeded", "Failed"]
Control = Literal["PermutedWeakLabels", "NoWeakLabels"]

MAX_SEEDS = 32
"""Seeds of one experiment: per-seed outcomes stand in the status, which etcd bounds."""


class ConfigMapKey(Model):
    """A key of a ConfigMap in the Experiment's namespace."""

    name: str = Field(min_length=1, max_length=253, description="Name of the ConfigMap.")
    key: str = Field(default="method.py", min_length=1, max_length=253, description="Key that holds the method's file.")


class Method(Model):
    """What trains: exactly one of builtin, snapshot, inline and configMap."""

    builtin: PluginName | None = Field(
        default=None, description="Name of a method the lab ships: `aar methods` lists them."
    )
    snapshot: Annotated[str, Field(pattern=digest.DIGEST_PATTERN, max_length=71)] | None = Field(
        default=None, description="Digest of a snapshot the hub holds."
    )
    inline: Annotated[str, Field(min_length=1, max_length=262144)] | None = Field(
        default=None, description="The method's file itself, with `def train(lab)`."
    )
    config_map: ConfigMapKey | None = Field(default=None, description="A ConfigMap that holds the method's file.")
    config: Parameters = Field(
        default_factory=dict,
        max_length=64,
        description="Hyper-parameters: a number, a text, true or false for each name.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [n for n in ("builtin", "snapshot", "inline", "config_map") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                f"method has {given or 'none'} of builtin, snapshot, inline and configMap: give exactly one."
            )
        return self


class SubmittedBy(Model):
    """Who asked for it; written by the operator alone."""

    researcher: str = Field(
        max_length=63,
        description="Part name of the researcher, `owner` for a person, `hub` for baselines and verification.",
    )
    key: str = Field(max_length=128, description="The submitter's idempotency key.")


class ExperimentSpec(Model):
    """The desired experiment."""

    campaign_ref: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        description="Name of the campaign, in the same namespace."
    )
    purpose: Purpose = Field(
        default="Exploration",
        description="What it is for; a person may set Exploration, and Smoke for a try, and the operator alone the others.",
    )
    submitted_by: SubmittedBy | None = Field(
        default=None, description="Who asked for it; only the operator may set it."
    )
    method: Method = Field(description="What trains: exactly one of builtin, snapshot, inline and configMap.")
    task: TaskRef | None = Field(default=None, description="Another task than the campaign's; for transfer.")
    seeds: int = Field(default=1, ge=1, le=MAX_SEEDS, description="How many seeds; the hub draws which.")
    control: Control | None = Field(
        default=None, description="How the weak labels are spoiled; only the operator may set it."
    )
    replicates: str | None = Field(default=None, max_length=63, description="Experiment whose method this runs again.")
    resources: Resources = Field(default=Resources(), description="Compute of one seed.")
    active_deadline_seconds: int | None = Field(
        default=None,
        ge=10,
        le=604800,
        description="Wall-clock seconds of its method; those of the campaign's experiments if absent.",
    )
    desired_state: DesiredState = Field(
        default="Active", description="Suspended stops its Job until it is Active again; Cancelled is final."
    )
    hypothesis: str = Field(default="", max_length=8192, description="What the submitter expects and why.")


class SeedOutcome(Model):
    """One seed of an experiment."""

    index: int = Field(ge=0, description="Index in the Job.")
    seed: int = Field(ge=0, description="The seed the hub drew.")
    state: SeedState = Field(description="How it ended.")
    reason: str = Field(default="", max_length=64, description="Why it failed.")
    message: str = Field(default="", max_length=2048, description="One sentence for a person.")


class JobRef(Model):
    """The Job that runs, or ran, the experiment."""

    name: str = Field(max_length=63, description="Name of the Job.")
    uid: str = Field(max_length=64, description="UID of the Job: a Job made again by hand is another.")


class Cost(Model):
    """Money of one experiment."""

    reserved_usd: str = Field(default="0.00", max_length=24, description="Held while it runs.")
    total_usd: str = Field(default="0.00", max_length=24, description="Settled.")


class Score(Model):
    """What the hub computed; absent for baselines."""

    pgr: str = Field(max_length=24, description="Performance gap recovered.")
    stderr: str = Field(max_length=24, description="Its standard error.")
    split: Literal["Feedback", "Private"] = Field(description="Test half it was computed on.")
    receipt: str = Field(max_length=71, description="Digest of the receipt.")


class ExperimentStatus(Model):
    """The observed experiment."""

    observed_generation: int | None = Field(
        default=None, ge=0, description="Generation of the spec this was computed from."
    )
    phase: ExperimentPhase = Field(default="Pending", description="For display; the conditions are normative.")
    job_ref: JobRef | None = Field(default=None, description="The current Job.")
    attempts: int = Field(default=0, ge=0, description="Jobs made so far.")
    start_time: str | None = Field(
        default=None, json_schema_extra={"format": "date-time"}, description="When its Job was made."
    )
    completion_time: str | None = Field(
        default=None, json_schema_extra={"format": "date-time"}, description="When it ended."
    )
    seeds: tuple[SeedOutcome, ...] = Field(
        default=(), max_length=MAX_SEEDS, description="Outcome of each seed, once the experiment has ended."
    )
    cost: Cost = Field(default=Cost(), description="Money.")
    score: Score | None = Field(default=None, description="The score.")
    audit: Literal["Pending", "Clean", "Suspect"] | None = Field(
        default=None, description="Verdict of the audits: Suspect if one found something."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description="What holds.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


class Experiment(Model):
    """An experiment as a resource."""

    api_version: Literal["aar.dev/v1alpha1"] = labels.API_VERSION  # type: ignore[assignment]
    kind: Literal["Experiment"] = "Experiment"
    metadata: Metadata
    spec: ExperimentSpec
    status: ExperimentStatus = ExperimentStatus()

    @model_validator(mode="after")
    def _name_fits(self) -> Self:
        name = self.metadata.name
        if len(name) > names.MAX_EXPERIMENT or not names.is_dns_label(name):
            raise ValueError(
                f"metadata.name is {name!r} ({len(name)} characters), but it must be a lower-case RFC 1035 label of at most "
                f"{names.MAX_EXPERIMENT} characters: letters, digits and hyphens, starting with a letter."
            )
        return self


def parse(manifest: dict[str, Any]) -> Experiment:
    """Read a manifest that a person wrote. Raises pydantic.ValidationError with one entry a mistake."""
    return Experiment.model_validate(manifest)


def stored(manifest: dict[str, Any]) -> Experiment:
    """Read an object of the cluster: fields that are not known here are those of a newer schema, and no mistake of anybody's.

    Raises:
        pydantic.ValidationError: with one entry a mistake.
    """
    return Experiment.model_validate(manifest, extra="ignore")
