"""What the purse allows. At any moment spent + reserved <= limit; amounts are micro-dollars."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from aar_api import money
from aar_api.campaign import CampaignSpec, Resources

Verdict = Literal["yes", "wait", "no"]

ATTEMPTS = 2
"""Times that an index may run: the Jobs of experiments have a back-off limit of 1, and both runs are paid for."""
CONTROLS = ("PermutedWeakLabels", "NoWeakLabels")


@dataclass(frozen=True)
class Prices:
    """US dollars an hour."""

    cpu: str
    gpu: str


@dataclass(frozen=True)
class Pot:
    """Money with a limit, at one moment."""

    limit: int
    spent: int
    reserved: int
    """All reservations, the one for verification included."""
    verification: int
    """Held for verification; it never frees money for exploration while research goes on."""

    @property
    def free(self) -> int:
        """What can be reserved now."""
        return self.limit - self.spent - self.reserved

    def decide(self, amount: int) -> Verdict:
        """Whether an amount can be reserved: now, once running experiments are settled, or never."""
        if amount <= self.free:
            return "yes"
        return "wait" if self.spent + self.verification + amount <= self.limit else "no"


UNLIMITED = Pot(1 << 62, 0, 0, 0)
"""A pot without a limit of its own: no ledger adds up to so much."""


@dataclass(frozen=True)
class Balance(Pot):
    """The purse at one moment."""

    llm_spent: int = 0
    """The part of `spent` that LLM calls cost."""
    llm_reserved: int = 0
    """The part of `reserved` that LLM calls under way hold."""
    gpu: Pot = UNLIMITED
    """The part of all this that is for GPUs, under its own limit."""

    def afford(self, amount: int, gpu: int) -> Verdict:
        """Whether an amount can be reserved of which so much is for GPUs: both limits have to allow it."""
        both = self.decide(amount), self.gpu.decide(gpu) if gpu else "yes"
        return "no" if "no" in both else "wait" if "wait" in both else "yes"


def cores(cpu: str) -> Decimal:
    """CPU cores as Kubernetes writes them: "2", "0.5" or "500m"."""
    return Decimal(cpu[:-1]) / 1000 if cpu.endswith("m") else Decimal(cpu)


def split_cost(seconds: float, resources: Resources, prices: Prices) -> tuple[int, int]:
    """(CPU, GPU) price of one seed's resources for that long."""
    cpu = money.cost_micros(seconds, prices.cpu, float(cores(resources.cpu)))
    gpu = money.cost_micros(seconds, prices.gpu, resources.gpus) if resources.gpus else 0
    return cpu, gpu


def worst_case(seeds: int, deadline: int, resources: Resources, prices: Prices, attempts: int = ATTEMPTS) -> int:
    """Price of an experiment whose every seed runs to the deadline, in every attempt."""
    return attempts * seeds * sum(split_cost(deadline, resources, prices))


def within(cpu: int, gpu: int, held: int, for_gpus: int) -> tuple[int, int]:
    """What is paid of a (CPU, GPU) price: no more than was held, and for GPUs no more than was held for them. Else spent + reserved
    could pass a limit, since what was held is all that was ever known to fit.
    """
    gpu = min(gpu, for_gpus)
    return min(cpu, held - gpu), gpu


def weak_sets(spec: CampaignSpec) -> int:
    """Sets of weak labels: one a seed of exploration, and fresh ones for verification."""
    verification = spec.evaluation.replication.seeds if spec.evaluation.replication.top_k else 0
    return spec.experiments.seeds + verification


def verification_runs(spec: CampaignSpec) -> int:
    """Seeds that verification runs at most: winners and vanilla, controls, and the same again with baselines on every transfer task."""
    evaluation = spec.evaluation
    k, v = evaluation.replication.top_k, evaluation.replication.seeds
    if k == 0:
        return 0
    replication = (k + 1) * v
    controls = k * len(CONTROLS) * v if evaluation.controls else 0
    baselines = 1 + weak_sets(spec) + evaluation.baseline_seeds
    return replication + controls + len(evaluation.transfer_tasks) * (replication + baselines)


def worst_gpu(seeds: int, deadline: int, resources: Resources, prices: Prices, attempts: int = ATTEMPTS) -> int:
    """The part of `worst_case` that is for GPUs."""
    return attempts * seeds * split_cost(deadline, resources, prices)[1]


def verification_reserve(spec: CampaignSpec, prices: Prices) -> int:
    """Worst case of the whole verification."""
    experiments = spec.experiments
    return worst_case(verification_runs(spec), experiments.active_deadline_seconds, experiments.resources, prices)


def start_seeds(spec: CampaignSpec) -> int:
    """Seeds of the dearest baseline, or of one experiment."""
    return max(weak_sets(spec), spec.evaluation.baseline_seeds, 1)


def smallest_start(spec: CampaignSpec, prices: Prices) -> int:
    """What must be free beside verification for research to make sense: the dearest baseline, or one experiment."""
    seeds = start_seeds(spec)
    return worst_case(seeds, spec.experiments.active_deadline_seconds, spec.experiments.resources, prices)
