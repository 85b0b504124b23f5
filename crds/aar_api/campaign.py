"""ResearchCampaign: what a researcher asks for, and what the operator reports."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from aar_api import labels, money, names
from aar_api.base import Model, Parameters, PluginName, Usd
from aar_api.conditions import Condition

Phase = Literal["Pending", "Preparing", "Researching", "Verifying", "Complete", "Suspended", "Failed"]
Decimal = Annotated[str, Field(pattern=r"^-?\d{1,6}(\.\d{1,6})?$", max_length=16)]


class TaskRef(Model):
    """A task by name, with its parameters."""

    name: PluginName = Field(description="Name of a task the hub ships: `aar tasks` lists them.")
    params: Parameters = Field(
        default_factory=dict,
        max_length=32,
        description="Parameters of the task that differ from its defaults: nTrain, weakModel, head and others. `aar tasks` lists them.",
    )


class Objective(Model):
    """What is maximised."""

    metric: Literal["pgr"] = Field(default="pgr", description="Performance gap recovered, (A - W) / (C - W).")
    target: Decimal | None = Field(default=None, description="Stop research once a reported PGR reaches this.")


class Resources(Model):
    """Compute of one pod."""

    cpu: str = Field(
        default="1",
        pattern=r"^\d{1,4}(\.\d{1,3}|m)?$",
        max_length=8,
        description="CPU cores, as Kubernetes writes them.",
    )
    memory: str = Field(
        default="2Gi", pattern=r"^\d{1,6}(Ki|Mi|Gi)$", max_length=10, description="Memory, as Kubernetes writes it."
    )
    gpus: int = Field(default=0, ge=0, le=16, description="Whole GPUs of one seed.")


class ResearcherResources(Resources):
    """Compute of a researcher, which thinks and does not train."""

    gpus: int = Field(default=0, ge=0, le=0, description="None: GPUs are for experiments.")


class Researchers(Model):
    """The team."""

    kind: PluginName = Field(
        default="search", description="`search` (Bayesian search, no LLM), `random` (no LLM) or `claude`."
    )
    model: str | None = Field(
        default=None, min_length=1, max_length=128, description="LLM of the researchers of kind `claude`."
    )
    count: int = Field(default=1, ge=1, le=64, description="Researchers side by side, each in its own sandbox.")
    directions: tuple[Annotated[str, Field(max_length=2048)], ...] = Field(
        default=(), max_length=64, description="A short vague starting idea each, dealt out in turn."
    )
    max_turns: int | None = Field(default=None, ge=1, le=100000, description="Most turns of an LLM researcher.")
    resources: ResearcherResources = Field(
        default=ResearcherResources(cpu="100m", memory="512Mi"),
        description="Compute of one researcher's pod; it has no GPU.",
    )

    @model_validator(mode="after")
    def _has_a_model(self) -> Self:
        if self.kind == "claude" and self.model is None:
            raise ValueError(
                "researchers.kind is 'claude', but it needs an LLM: set researchers.model, for example claude-sonnet-5-5."
            )
        return self


class Experiments(Model):
    """Limits on what the team may run."""

    parallelism: int = Field(default=2, ge=1, le=1000, description="Experiments that run at once.")
    max_count: int = Field(default=200, ge=1, le=100000, description="Exploration experiments in all.")
    max_gpus: int = Field(default=0, ge=0, le=4096, description="GPUs in use at once by the whole campaign.")
    seeds: int = Field(default=1, ge=1, le=8, description="Most seeds of one exploration experiment.")
    active_deadline_seconds: int = Field(
        default=1800, ge=10, le=604800, description="Wall-clock seconds after which an experiment is stopped."
    )
    resources: Resources = Field(default=Resources(), description="Compute of one seed.")

    @model_validator(mode="after")
    def _gpus_suffice(self) -> Self:
        if self.resources.gpus > self.max_gpus:
            raise ValueError(
                f"experiments.resources.gpus is {self.resources.gpus} for each seed, but the whole campaign may use {self.max_gpus} at once: "
                "raise experiments.maxGPUs, or ask for fewer."
            )
        return self


class Budget(Model):
    """Dollars: at any moment spent plus reserved stays at or below the limit."""

    limit_usd: Usd = Field(description="US dollars for the whole campaign.")
    llm_limit_usd: Usd | None = Field(default=None, description="Of these, at most this for LLM calls.")
    gpu_limit_usd: Usd | None = Field(default=None, description="Of these, at most this for GPUs.")
    warn_percent: int = Field(default=80, ge=1, le=100, description="Share of the limit at which a warning is given.")
    on_exceeded: Literal["Suspend", "Stop"] = Field(
        default="Stop", description="Suspend: wait for a higher limit. Stop: end research and verify what there is."
    )

    @model_validator(mode="after")
    def _within_limit(self) -> Self:
        limit = money.parse_usd(self.limit_usd)
        if limit <= 0:
            raise ValueError(
                f"budget.limitUSD is {self.limit_usd!r}, but it must be greater than 0: write for example '5.00'."
            )
        for name, part in (("llmLimitUSD", self.llm_limit_usd), ("gpuLimitUSD", self.gpu_limit_usd)):
            if part is not None and money.parse_usd(part) > limit:
                raise ValueError(
                    f"budget.{name} is {part!r}, but it cannot exceed limitUSD ({self.limit_usd!r}): lower it."
                )
        return self


class Replication(Model):
    """Winners run again."""

    top_k: int = Field(
        default=3, ge=0, le=50, description="How many of the best are run again; 0 turns verification off."
    )
    seeds: int = Field(default=5, ge=2, le=20, description="Fresh hub-drawn seeds each.")


class Evaluation(Model):
    """How much feedback is given and how winners are checked."""

    submissions_per_researcher: int = Field(
        default=50, ge=1, le=10000, description="Scored submissions of one researcher."
    )
    baseline_seeds: int = Field(default=5, ge=2, le=20, description="Seeds of the weak floor and the strong ceiling.")
    replication: Replication = Field(
        default=Replication(), description="Fresh-seed runs of the winners, scored on the private half."
    )
    controls: bool = Field(
        default=True,
        description="Run confirmed winners with weak labels permuted and with none, on as many seeds as replication has.",
    )
    transfer_tasks: tuple[TaskRef, ...] = Field(
        default=(), max_length=8, description="Unseen tasks on which confirmed winners are run."
    )


class ReferenceLine(Model):
    """A published figure to draw in every chart."""

    name: str = Field(min_length=1, max_length=63, description="Label of the line.")
    pgr: Decimal = Field(description="Its PGR.")


class CampaignSpec(Model):
    """The desired campaign."""

    suspend: bool = Field(default=False, description="Stop starting work and stop what runs; true to false resumes.")
    task: TaskRef = Field(description="What is researched; immutable.")
    objective: Objective = Field(default=Objective(), description="What is maximised; immutable.")
    researchers: Researchers = Field(
        default=Researchers(), description="The team: automated researchers, each in a sandbox of its own."
    )
    experiments: Experiments = Field(
        default=Experiments(), description="What the team may run, and how much of it at once."
    )
    budget: Budget = Field(
        description="US dollars that the campaign may cost: spent plus reserved never exceeds a limit."
    )
    evaluation: Evaluation = Field(
        default=Evaluation(), description="How much feedback researchers get, and how winners are verified."
    )
    reference_lines: tuple[ReferenceLine, ...] = Field(
        default=(), max_length=16, description="Published figures drawn in every chart."
    )
    queue_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Kueue LocalQueue of this namespace, whose ClusterQueue the experiments wait in; immutable. "
        "Without Kueue the campaign is not accepted; on one machine it means nothing.",
    )
    priority_class_name: str | None = Field(
        default=None,
        max_length=253,
        description="Priority class of the pods, of those that the cluster's administrator lets campaigns name.",
    )
    active_deadline_seconds: int | None = Field(
        default=None,
        ge=10,
        description="Wall-clock seconds of preparation and research together, from acceptance and with what it is suspended for; "
        "verification follows.",
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        description="Seconds after its end at which the campaign is deleted, with its scores, records and snapshots; absent: it "
        "stays. On one machine it always stays.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.experiments.parallelism > self.experiments.max_count:
            raise ValueError(
                f"experiments.parallelism is {self.experiments.parallelism}, but it cannot exceed experiments.maxCount "
                f"({self.experiments.max_count}): lower the one or raise the other."
            )
        return self


class Counts(Model):
    """Experiments of a campaign by state; never lists of names."""

    total: int = Field(default=0, ge=0, description="All, of every purpose.")
    queued: int = Field(default=0, ge=0, description="Waiting for budget, parallelism or compute.")
    running: int = Field(default=0, ge=0, description="With a Job.")
    scored: int = Field(default=0, ge=0, description="Complete.")
    failed: int = Field(default=0, ge=0, description="Failed or cancelled.")


class ResearcherCounts(Model):
    """Researchers of a campaign by state."""

    desired: int = Field(default=0, ge=0, description="Asked for.")
    active: int = Field(default=0, ge=0, description="Running.")
    finished: int = Field(default=0, ge=0, description="Finished their work.")
    failed: int = Field(default=0, ge=0, description="Ended with an error.")


class Spend(Model):
    """Money of a campaign, exact."""

    total_usd: str = Field(default="0.00", max_length=24, description="Settled, all kinds.")
    reserved_usd: str = Field(default="0.00", max_length=24, description="Reserved for what runs and for verification.")
    llm_usd: str = Field(default="0.00", max_length=24, description="Settled for LLM calls.")
    gpu_usd: str = Field(default="0.00", max_length=24, description="Settled for GPUs.")
    cpu_usd: str = Field(default="0.00", max_length=24, description="Settled for CPUs.")


class InForce(Model):
    """What of the spec that is in force counts in the limits of the namespace."""

    limit_usd: Usd = Field(description="US dollars for the whole campaign.")
    max_gpus: int = Field(ge=0, description="GPUs in use at once.")


class Best(Model):
    """The best result so far."""

    experiment_name: str = Field(max_length=253, description="Which Experiment.")
    method: str = Field(max_length=253, description="Its method.")
    pgr: str = Field(max_length=24, description="Performance gap recovered.")
    stderr: str = Field(max_length=24, description="Its standard error: seeds, test sampling, floor and ceiling.")
    confirmed: bool = Field(description="Whether fresh seeds on the private half confirmed it.")


class CampaignStatus(Model):
    """The observed campaign."""

    observed_generation: int | None = Field(
        default=None, ge=0, description="Generation of the spec this was computed from."
    )
    phase: Phase = Field(default="Pending", description="For display; the conditions are normative.")
    start_time: str | None = Field(
        default=None, json_schema_extra={"format": "date-time"}, description="When it was accepted."
    )
    completion_time: str | None = Field(
        default=None, json_schema_extra={"format": "date-time"}, description="When it ended."
    )
    research_end_reason: str | None = Field(default=None, max_length=64, description="Why research ended.")
    researchers: ResearcherCounts = Field(default=ResearcherCounts(), description="Researchers by state.")
    experiments: Counts = Field(default=Counts(), description="Experiments by state.")
    spend: Spend = Field(default=Spend(), description="Money.")
    spend_by_month: dict[str, Annotated[str, Field(max_length=24)]] = Field(
        default_factory=dict, max_length=240, description="Settled US dollars by calendar month (UTC)."
    )
    in_force: InForce | None = Field(
        default=None,
        description="Of the spec that is in force, what counts in the limits of the namespace. A change that is refused is not in "
        "force: condition Accepted says why.",
    )
    best: Best | None = Field(default=None, description="Best result so far.")
    feed_cursor: int = Field(
        default=0, ge=0, description="Position in the hub's feed up to which everything is carried out."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description="What holds.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


class Metadata(Model):
    """The part of object metadata that is read; the rest passes through the cluster untouched."""

    model_config = ConfigDict(**{**Model.model_config, "extra": "ignore"})

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 1
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()


class ResearchCampaign(Model):
    """A campaign as a resource."""

    api_version: Literal["aar.dev/v1alpha1"] = labels.API_VERSION  # type: ignore[assignment]
    kind: Literal["ResearchCampaign"] = "ResearchCampaign"
    metadata: Metadata
    spec: CampaignSpec
    status: CampaignStatus = CampaignStatus()

    @model_validator(mode="after")
    def _name_fits(self) -> Self:
        name = self.metadata.name
        if len(name) > names.MAX_CAMPAIGN or not names.is_dns_label(name):
            raise ValueError(
                f"metadata.name is {name!r} ({len(name)} characters), but it must be a lower-case RFC 1035 label of at most "
                f"{names.MAX_CAMPAIGN} characters: letters, digits and hyphens, starting with a letter."
            )
        return self


def parse(manifest: dict[str, Any]) -> ResearchCampaign:
    """Read a manifest that a person wrote. Raises pydantic.ValidationError with one entry a mistake."""
    return ResearchCampaign.model_validate(manifest)


def stored(manifest: dict[str, Any]) -> ResearchCampaign:
    """Read an object of the cluster: fields that are not known here are those of a newer schema, and no mistake of anybody's.

    Raises:
        pydantic.ValidationError: with one entry a mistake.
    """
    return ResearchCampaign.model_validate(manifest, extra="ignore")
