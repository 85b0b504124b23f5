"""What an experiment needs now. Deciding takes up to two steps: what was observed, then what the hub said to it."""

from __future__ import annotations

from datetime import datetime

from aar_api import labels
from aar_api.campaign import ResearchCampaign
from aar_api.conditions import ExperimentCondition, Reason
from aar_api.experiment import Experiment, ExperimentStatus
from aar_api.wire import AdmissionAnswer, AdmissionRequest

from aar_operator.manifests import experiment as manifest
from aar_operator.plan.letting_go import children, deleted, held, over
from aar_operator.plan.line import OVER
from aar_operator.plan.model import ExperimentSeen, Note, Plan
from aar_operator.plan.running import resumed, running, suspended
from aar_operator.plan.settling import settlement, unscored, without_score
from aar_operator.plan.verdicts import Verdict, known_reason, write
from aar_operator.plan.waits import AGAIN_SECONDS, MISSING_SECONDS, SELDOM_SECONDS
from aar_operator.settings import Settings

MAX_JOBS = 3
"""Jobs made for one experiment before it counts as lost: somebody keeps deleting them."""
RESEARCH = ("Exploration", "Smoke")
WAITS = "It waits again."
NO_PLACE = (
    "It waits for a place: experiments that run, or whose turn is before its own, take all that the campaign's "
    "experiments.parallelism and experiments.maxGPUs allow."
)
"""Without their number: a sentence that changes with every neighbour would be a write for each."""


def plan_experiment(experiment: Experiment, seen: ExperimentSeen, now: datetime, settings: Settings) -> Plan:
    """The first step."""
    if experiment.status.phase in OVER:
        return over(experiment, seen, settings)
    if experiment.metadata.deletion_timestamp is not None:
        return deleted(experiment, seen, now)
    campaign = seen.campaign
    if campaign is None:
        message = f"There is no campaign {experiment.spec.campaign_ref!r} in this namespace: apply it, or correct campaignRef."
        verdict = Verdict(ExperimentCondition.ACCEPTED, False, Reason.UNKNOWN_CAMPAIGN, message)
        return _waiting(experiment, verdict, now, SELDOM_SECONDS)
    if seen.summary is None or not seen.summary.opened or seen.sandbox_url is None:
        return _unanswered(experiment, campaign, seen, now)
    if seen.job is not None and seen.job.finished:
        return Plan(settle=settlement(seen, "finished"))
    if _unwanted(experiment, campaign, seen):
        return Plan(settle=settlement(seen, "cancelled"))
    if _stopped(experiment, campaign):
        return suspended(experiment, seen, now)
    if seen.job is not None:
        return running(experiment, seen, now)
    if experiment.status.job_ref is not None and experiment.status.attempts >= MAX_JOBS:
        return Plan(settle=settlement(seen, "lost"))
    if seen.missing:
        verdict = Verdict(ExperimentCondition.ACCEPTED, False, Reason.INVALID_METHOD, seen.missing)
        return _waiting(experiment, verdict, now, MISSING_SECONDS)
    return _next_in_line(experiment, campaign, seen, now)


def after_admission(
    experiment: Experiment, seen: ExperimentSeen, answer: AdmissionAnswer, now: datetime, settings: Settings
) -> Plan:
    """The second step, when the hub was asked to admit the experiment."""
    if answer.verdict == "wait":
        verdict = Verdict(ExperimentCondition.BUDGET_RESERVED, False, Reason.WAITING_FOR_BUDGET, answer.message)
        mended = _mended(experiment, Reason.WAITING_FOR_BUDGET, "It waits for money: see BudgetReserved.")
        return _waiting(experiment, verdict, now, AGAIN_SECONDS, *mended)
    if answer.verdict == "refused":
        reason = known_reason(answer.reason, Reason.INVALID_SPEC)
        refused = Verdict(ExperimentCondition.ACCEPTED, False, reason, answer.message)
        status = write(experiment, "Failed", now, refused, *without_score(reason, answer.message))
        return Plan(experiment_status=status, notes=(Note("Warning", str(reason), answer.message),))
    assert seen.campaign is not None, "the first step asks only then"
    assert seen.sandbox_url is not None, "the first step asks only then"
    attempt = experiment.status.attempts + 1
    secret, job = manifest.build(seen.campaign, experiment, answer, attempt, seen.sandbox_url, settings)
    return Plan(apply=(secret,), create=(job,), requeue=0.0)


def idle(status: ExperimentStatus) -> bool:
    """Whether the experiment neither runs nor waits."""
    return status.phase in OVER


def _unwanted(experiment: Experiment, campaign: ResearchCampaign, seen: ExperimentSeen) -> bool:
    if experiment.spec.desired_state == "Cancelled" or campaign.metadata.deletion_timestamp is not None:
        return True
    if campaign.status.phase in ("Failed", "Complete"):
        return True
    over = seen.summary is not None and seen.summary.stage in ("verifying", "done")
    return over and experiment.spec.purpose in RESEARCH and (_started(experiment, seen) or _stuck(experiment, seen))


def _started(experiment: Experiment, seen: ExperimentSeen) -> bool:
    """Begun, or asked for by a researcher: one that a person applies too late is not cancelled, but refused by the hub."""
    return seen.job is not None or experiment.status.job_ref is not None or experiment.spec.submitted_by is not None


def _stuck(experiment: Experiment, seen: ExperimentSeen) -> bool:
    """The hub may know it and would wait for its end, but it will not be asked about it again: so it is told."""
    held = labels.FINALIZER in experiment.metadata.finalizers
    return held and (experiment.spec.desired_state == "Suspended" or bool(seen.missing))


def _stopped(experiment: Experiment, campaign: ResearchCampaign) -> bool:
    return experiment.spec.desired_state == "Suspended" or campaign.spec.suspend


def _next_in_line(experiment: Experiment, campaign: ResearchCampaign, seen: ExperimentSeen, now: datetime) -> Plan:
    limits, gpus = campaign.spec.experiments, experiment.spec.resources.gpus
    if gpus > limits.max_gpus:
        return _too_large(experiment, campaign, now)
    at_once = gpus * manifest.at_once(experiment.spec.seeds, gpus, limits.max_gpus)
    if seen.before >= limits.parallelism or (gpus > 0 and seen.gpus_before + at_once > limits.max_gpus):
        waits = Verdict(ExperimentCondition.ACCEPTED, None, Reason.WAITING_FOR_PLACE, NO_PLACE)
        return Plan(experiment_status=write(experiment, "Queued", now, waits, *resumed(experiment, WAITS)))
    asked = AdmissionRequest(uid=experiment.metadata.uid, spec=experiment.spec, max_attempts=manifest.MAX_RUNS)
    return Plan(merge=held(experiment), ask=asked)


def _too_large(experiment: Experiment, campaign: ResearchCampaign, now: datetime) -> Plan:
    """Refused for good if a person asked; what the campaign had made before its limit was lowered waits for a higher one."""
    limit, gpus = campaign.spec.experiments.max_gpus, experiment.spec.resources.gpus
    message = (
        f"spec.resources.gpus is {gpus} for one seed, but experiments.maxGPUs of campaign {campaign.metadata.name!r} is {limit}: "
        "ask for fewer, or raise it."
    )
    refused = Verdict(ExperimentCondition.ACCEPTED, False, Reason.INVALID_SPEC, message)
    if experiment.spec.submitted_by is not None or labels.FINALIZER in experiment.metadata.finalizers:
        return _waiting(experiment, refused, now, SELDOM_SECONDS)
    status = write(experiment, "Failed", now, refused, *without_score(Reason.INVALID_SPEC, message))
    return Plan(experiment_status=status, notes=(Note("Warning", str(Reason.INVALID_SPEC), message),))


def _mended(experiment: Experiment, reason: Reason, message: str) -> tuple[Verdict, ...]:
    """What takes the place of a refusal that no longer holds; nothing if there is none."""
    refused = any(c.type == ExperimentCondition.ACCEPTED and c.status == "False" for c in experiment.status.conditions)
    return (Verdict(ExperimentCondition.ACCEPTED, None, reason, message),) if refused else ()


def _unanswered(experiment: Experiment, campaign: ResearchCampaign, seen: ExperimentSeen, now: datetime) -> Plan:
    """Without a hub nothing can be admitted or scored; a campaign that will never have one is over."""
    if campaign.status.phase == "Failed" and not seen.unasked:
        message = f"Campaign {campaign.metadata.name!r} failed, so nothing runs in it: see its conditions."
        status = write(experiment, "Failed", now, *without_score(Reason.CAMPAIGN_FINISHED, message))
        return Plan(experiment_status=status, delete=children(seen))
    if seen.job is not None and seen.job.finished and not seen.unasked:
        status = unscored(experiment, seen, "Its campaign's hub does not answer yet.", now)
        return Plan(experiment_status=status, requeue=SELDOM_SECONDS)
    mended = _mended(experiment, Reason.HUB_PENDING, "It waits for its campaign's hub.")
    resumes = () if _stopped(experiment, campaign) else resumed(experiment, WAITS)
    status = write(experiment, experiment.status.phase, now, *mended, *resumes)
    return Plan(experiment_status=status, requeue=SELDOM_SECONDS)


def _waiting(experiment: Experiment, verdict: Verdict, now: datetime, again: float, *more: Verdict) -> Plan:
    status = write(experiment, "Queued", now, verdict, *resumed(experiment, WAITS), *more)
    return Plan(experiment_status=status, requeue=again)
