"""What an experiment needs now. Deciding takes up to two steps: what was observed, then what the hub said to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from aar_api import labels
from aar_api.campaign import ResearchCampaign
from aar_api.conditions import ExperimentCondition, Reason
from aar_api.experiment import Cost, Experiment, ExperimentStatus, JobRef, Score, SeedOutcome
from aar_api.wire import AdmissionAnswer, AdmissionRequest, ExperimentView, IndexOutcome, Settlement

from aar_operator.manifests import experiment as manifest
from aar_operator.plan.line import OVER
from aar_operator.plan.model import ExperimentSeen, JobView, Note, Plan, Target
from aar_operator.plan.verdicts import Verdict, stamp, write
from aar_operator.settings import Settings

MAX_IMAGE = 500
"""Characters of what is told of images: one has some 100, and more than one ran only if a tag was moved meanwhile."""
MAX_JOBS = 3
"""Jobs made for one experiment before it counts as lost: somebody keeps deleting them."""
AGAIN_SECONDS = 1.0
"""When to look again for what nobody announces, and only the hub knows: money that came back."""
MISSING_SECONDS = 5.0
"""When to look again for a ConfigMap, which nobody announces either: each look is a request."""
SELDOM_SECONDS = 30.0
"""When to look again, for certainty, at what the campaign wakes its experiments for: that it is there, that its hub answers."""
SILENCE_SECONDS = 60.0
"""How long a hub may be silent, while it starts again for example, before an experiment that has to go is let go unpaid."""
UNSETTLED_SECONDS = 120.0
"""How long the deletion of a campaign waits for a hub that answers but settles nothing."""
RESEARCH = ("Exploration", "Smoke")
POD_SECONDS = 30.0
"""How long a Job that may run has no pod before that is told: pods are made within a second, if they can be."""
NO_PLACE = (
    "It waits for a place: experiments that run, or whose turn is before its own, take all that the campaign's "
    "experiments.parallelism and experiments.maxGPUs allow."
)
"""Without their number: a sentence that changes with every neighbour would be a write for each."""


def plan_experiment(experiment: Experiment, seen: ExperimentSeen, now: datetime, settings: Settings) -> Plan:
    """The first step."""
    if experiment.status.phase in OVER:
        return _over(experiment, seen, settings)
    if experiment.metadata.deletion_timestamp is not None:
        return _deleted(experiment, seen, now)
    campaign = seen.campaign
    if campaign is None:
        message = f"There is no campaign {experiment.spec.campaign_ref!r} in this namespace: apply it, or correct campaignRef."
        verdict = Verdict(ExperimentCondition.ACCEPTED, False, Reason.UNKNOWN_CAMPAIGN, message)
        return _waiting(experiment, verdict, now, SELDOM_SECONDS)
    if seen.summary is None or not seen.summary.opened or seen.sandbox_url is None:
        return _unanswered(experiment, campaign, seen, now)
    if seen.job is not None and seen.job.finished:
        return Plan(settle=_settlement(seen, "finished"))
    if _unwanted(experiment, campaign, seen):
        return Plan(settle=_settlement(seen, "cancelled"))
    if _stopped(experiment, campaign):
        return _suspended(experiment, seen, now)
    if seen.job is not None:
        return _running(experiment, seen, now)
    if experiment.status.job_ref is not None and experiment.status.attempts >= MAX_JOBS:
        return Plan(settle=_settlement(seen, "lost"))
    if seen.missing:
        verdict = Verdict(ExperimentCondition.ACCEPTED, False, Reason.INVALID_METHOD, seen.missing)
        return _waiting(experiment, verdict, now, MISSING_SECONDS)
    return _next_in_line(experiment, campaign, seen, now)


def _over(experiment: Experiment, seen: ExperimentSeen, settings: Settings) -> Plan:
    """Its Secret goes, and its Job, at once or after the time for which its log is kept; then nothing holds the object."""
    release = _released(experiment)
    if seen.job is None:
        return Plan(release=release)
    keep = settings.job_ttl_seconds if not settings.one_machine else 0
    if keep == 0 or not seen.job.finished or experiment.metadata.deletion_timestamp is not None:
        return Plan(delete=_children(seen), release=release)
    if seen.job.expires:
        return Plan(delete=(_secret(seen),) if release else (), release=release)
    expiry = (_job(seen), {"spec": {"ttlSecondsAfterFinished": keep}})
    return Plan(merge=(expiry,), delete=(_secret(seen),), release=release)


def _deleted(experiment: Experiment, seen: ExperimentSeen, now: datetime) -> Plan:
    """What ran is paid for and scored like a cancelled one, if there is still a hub to say it to; then nothing is left of it."""
    if labels.FINALIZER not in experiment.metadata.finalizers:
        return Plan(delete=_children(seen))
    campaign, let_go = seen.campaign, Plan(delete=_children(seen), release=_released(experiment))
    if campaign is None:
        return let_go
    if seen.summary is not None:
        return Plan(settle=_settlement(seen, "cancelled")) if seen.summary.opened else let_go
    if campaign.status.phase != "Failed" and campaign.metadata.deletion_timestamp is None:
        return Plan(requeue=SELDOM_SECONDS)
    # Nobody will have the hub answer again: what ran is lost if it does not soon.
    since = (now - datetime.fromisoformat(str(experiment.metadata.deletion_timestamp))).total_seconds()
    return Plan(requeue=AGAIN_SECONDS) if seen.unasked or since < SILENCE_SECONDS else let_go


def without_settlement(experiment: Experiment, seen: ExperimentSeen, now: datetime) -> Plan | None:
    """The second step, when the hub does not settle the experiment, as one whose volume is full: none while that may still come. The
    deletion of a campaign is not held up by it for ever.
    """
    campaign = seen.campaign
    if campaign is None or experiment.metadata.deletion_timestamp is None:
        return None
    deleted = campaign.metadata.deletion_timestamp
    if deleted is None or (now - datetime.fromisoformat(deleted)).total_seconds() < UNSETTLED_SECONDS:
        return None
    return Plan(delete=_children(seen), release=_released(experiment))


def _released(experiment: Experiment) -> tuple[tuple[Target, dict[str, Any]], ...]:
    """The patch that lets a deleted object go, if it is still held."""
    kept = [one for one in experiment.metadata.finalizers if one != labels.FINALIZER]
    if len(kept) == len(experiment.metadata.finalizers):
        return ()
    return ((_own(experiment), {"metadata": {"finalizers": kept}}),)


def _held(experiment: Experiment) -> tuple[tuple[Target, dict[str, Any]], ...]:
    """The patch that holds an object from before money is reserved for it until that is settled, if it is not held yet."""
    finalizers = experiment.metadata.finalizers
    if labels.FINALIZER in finalizers:
        return ()
    return ((_own(experiment), {"metadata": {"finalizers": [*finalizers, labels.FINALIZER]}}),)


def _own(experiment: Experiment) -> Target:
    return Target("Experiment", experiment.metadata.namespace, experiment.metadata.name)


def after_admission(
    experiment: Experiment, seen: ExperimentSeen, answer: AdmissionAnswer, now: datetime, settings: Settings
) -> Plan:
    """The second step, when the hub was asked to admit the experiment."""
    if answer.verdict == "wait":
        verdict = Verdict(ExperimentCondition.BUDGET_RESERVED, False, Reason.WAITING_FOR_BUDGET, answer.message)
        mended = _mended(experiment, Reason.WAITING_FOR_BUDGET, "It waits for money: see BudgetReserved.")
        return _waiting(experiment, verdict, now, AGAIN_SECONDS, *mended)
    if answer.verdict == "refused":
        reason = _known(answer.reason, Reason.INVALID_SPEC)
        refused = Verdict(ExperimentCondition.ACCEPTED, False, reason, answer.message)
        failed = Verdict(ExperimentCondition.FAILED, True, reason, answer.message)
        status = write(experiment, "Failed", now, refused, failed)
        return Plan(experiment_status=status, notes=(Note("Warning", str(reason), answer.message),))
    assert seen.campaign is not None, "the first step asks only then"
    assert seen.sandbox_url is not None, "the first step asks only then"
    attempt = experiment.status.attempts + 1
    secret, job = manifest.build(seen.campaign, experiment, answer, attempt, seen.sandbox_url, settings)
    return Plan(apply=(secret,), create=(job,), requeue=0.0)


def after_settlement(experiment: Experiment, seen: ExperimentSeen, view: ExperimentView, now: datetime) -> Plan:
    """The second step, when the hub scored the experiment and settled its money."""
    known = {
        "seeds": _settled_seeds(view),
        "cost": Cost(reserved_usd=view.reserved_usd, total_usd=view.cost_usd),
        "audit": view.audit,
        "completion_time": stamp(now),
        "attempts": max(experiment.status.attempts, seen.attempt),
    }
    if view.score is not None:
        known["score"] = Score(
            pgr=f"{view.score.pgr:.4f}",
            stderr=f"{view.score.stderr:.4f}",
            split=view.score.split,
            receipt=view.score.receipt,
        )
    phase: Literal["Complete", "Failed", "Cancelled"]
    phase, verdicts = _ending(view)
    verdicts += _audited(view)
    if any(c.type == ExperimentCondition.BUDGET_RESERVED for c in experiment.status.conditions):
        told = f"{view.cost_usd} USD were paid; what was held is free again."
        verdicts += (Verdict(ExperimentCondition.BUDGET_RESERVED, False, Reason.SETTLED, told),)
    # A Job that ended before anybody saw it run is told of here for the first time.
    status = write(_with_job(experiment, seen, now), phase, now, *verdicts).model_copy(update=known)
    return Plan(experiment_status=status)


def _audited(view: ExperimentView) -> tuple[Verdict, ...]:
    if view.audit == "Suspect":
        return (
            Verdict(
                ExperimentCondition.AUDITED, False, Reason.SUSPECT, view.audit_message or "An audit found something."
            ),
        )
    clean = Verdict(ExperimentCondition.AUDITED, True, Reason.CLEAN, "No audit found anything.")
    return (clean,) if view.audit == "Clean" else ()


def refused_job(experiment: Experiment, seen: ExperimentSeen, why: str) -> Settlement:
    """What the hub is told of a Job that the cluster will never take."""
    told = [
        IndexOutcome(index=index, succeeded=False, reason=str(Reason.CLUSTER_REFUSED), message=why[:2000])
        for index in range(experiment.spec.seeds)
    ]
    return Settlement(job_name="", job_uid="", outcome="finished", indexes=_paid(tuple(told), seen))


def _ending(view: ExperimentView) -> tuple[Literal["Complete", "Failed", "Cancelled"], tuple[Verdict, ...]]:
    if view.state == "scored":
        scored = view.score is not None
        reason = Reason.SCORE_RECORDED if scored else Reason.OUTPUT_RECORDED
        pgr = f"PGR {view.score.pgr:.3f} ± {view.score.stderr:.3f}." if view.score else ""
        message = " ".join(filter(None, (pgr, view.message)))
        message = message or "The output was recorded."
        done = Verdict(ExperimentCondition.COMPLETE, True, reason, message)
        return "Complete", (done, Verdict(ExperimentCondition.SCORED, scored, reason, message))
    if view.state == "cancelled":
        message = view.message or "It was cancelled."
        return "Cancelled", (Verdict(ExperimentCondition.FAILED, True, Reason.CANCELLED, message),)
    reason = _known(view.reason, Reason.JOB_FAILED)
    return "Failed", (Verdict(ExperimentCondition.FAILED, True, reason, view.message or "It failed."),)


def _settled_seeds(view: ExperimentView) -> tuple[SeedOutcome, ...]:
    return tuple(
        SeedOutcome(
            index=one.index,
            seed=one.seed,
            state="Succeeded" if one.ok else "Failed",
            reason=one.reason[:64],
            message=one.message[:2048],
        )
        for one in view.seeds
    )


def _settlement(seen: ExperimentSeen, outcome: Literal["finished", "cancelled", "lost"]) -> Settlement:
    if seen.job is None:
        return Settlement(job_name="", job_uid="", outcome=outcome, indexes=_paid((), seen))
    indexes = _paid(seen.job.indexes, seen)
    job = seen.job
    return Settlement(job_name=job.name, job_uid=job.uid, image=job.image[:MAX_IMAGE], outcome=outcome, indexes=indexes)


def _paid(indexes: tuple[IndexOutcome, ...], seen: ExperimentSeen) -> tuple[IndexOutcome, ...]:
    """The outcomes of the newest Job with what earlier ones ran, which is owed too."""
    known = {one.index: one for one in indexes}
    for index, ran in seen.ran.items():
        one = known.get(index, IndexOutcome(index=index, succeeded=False))
        known[index] = one.model_copy(update={"seconds": one.seconds + ran})
    return tuple(known[index] for index in sorted(known))


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


def _suspended(experiment: Experiment, seen: ExperimentSeen, now: datetime) -> Plan:
    verdict = Verdict(ExperimentCondition.SUSPENDED, True, Reason.USER_REQUESTED, "It is suspended.")
    status = write(_with_job(experiment, seen, now), experiment.status.phase, now, verdict)
    return Plan(merge=_run(seen, False), experiment_status=status)


def _run(seen: ExperimentSeen, wanted: bool) -> tuple[tuple[Target, dict[str, Any]], ...]:
    """The patch that stops a Job or lets it go on; that of a queued Job is written to Kueue's object for it."""
    job = seen.job
    if job is None:
        return ()
    if job.queued:
        if not job.workload or job.workload_active == wanted:
            return ()
        return ((Target("Workload", job.namespace, job.workload), {"spec": {"active": wanted}}),)
    return () if job.suspended != wanted else ((_job(seen), {"spec": {"suspend": not wanted}}),)


def _running(experiment: Experiment, seen: ExperimentSeen, now: datetime) -> Plan:
    assert seen.job is not None
    refused, again = _without_pods(seen.job, now)
    verdicts = [
        refused or Verdict(ExperimentCondition.ACCEPTED, True, Reason.VALID, "The hub admitted it."),
        Verdict(ExperimentCondition.BUDGET_RESERVED, True, Reason.RESERVED, "Money for it is held."),
    ]
    if any(c.type == ExperimentCondition.SUSPENDED for c in experiment.status.conditions):
        verdicts.append(Verdict(ExperimentCondition.SUSPENDED, False, Reason.RESUMED, "It runs on."))
    if seen.job.queued:
        verdicts.append(_queue_verdict(seen.job))
    waits = seen.job.queued and seen.job.suspended
    status = write(_with_job(experiment, seen, now), "Queued" if waits else "Running", now, *verdicts)
    notes: tuple[Note, ...] = ()
    if refused is not None and not _says(experiment, refused):
        notes = (Note("Warning", str(refused.reason), refused.message),)
    return Plan(experiment_status=status, merge=_run(seen, True), notes=notes, requeue=again)


def _says(experiment: Experiment, verdict: Verdict) -> bool:
    return any(c.type == verdict.kind and c.reason == verdict.reason for c in experiment.status.conditions)


def _without_pods(job: JobView, now: datetime) -> tuple[Verdict | None, float | None]:
    """What to say of a Job whose pods the cluster refuses, which it tells in Events alone, and when to look again."""
    if not job.bare:
        return None, None
    left = POD_SECONDS - (now - datetime.fromisoformat(job.started)).total_seconds()
    if left > 0:
        return None, left
    message = (
        f"No pod of Job {job.name} could be made in namespace {job.namespace}; a quota, a LimitRange, a priority class or a RuntimeClass "
        f"may forbid it: `kubectl -n {job.namespace} describe job {job.name}` says which."
    )
    return Verdict(ExperimentCondition.ACCEPTED, False, Reason.CLUSTER_REFUSED, message), None


def _queue_verdict(job: JobView) -> Verdict:
    if not job.suspended:
        return Verdict(ExperimentCondition.QUOTA_RESERVED, True, Reason.QUOTA_RESERVED, "Kueue lets it run.")
    message = job.waiting or "Kueue has not looked at it yet."
    return Verdict(ExperimentCondition.QUOTA_RESERVED, False, Reason.WAITING_FOR_QUOTA, message)


def _with_job(experiment: Experiment, seen: ExperimentSeen, now: datetime) -> Experiment:
    """The experiment with its newest Job in the status."""
    if seen.job is None:
        return experiment
    known = {
        "job_ref": JobRef(name=seen.job.name, uid=seen.job.uid),
        "attempts": max(experiment.status.attempts, seen.attempt),
        "start_time": experiment.status.start_time or seen.job.created or stamp(now),
        "cost": experiment.status.cost.model_copy(update={"reserved_usd": seen.job.reserved_usd}),
    }
    return experiment.model_copy(update={"status": experiment.status.model_copy(update=known)})


def _next_in_line(experiment: Experiment, campaign: ResearchCampaign, seen: ExperimentSeen, now: datetime) -> Plan:
    limits, gpus = campaign.spec.experiments, experiment.spec.resources.gpus
    if gpus > limits.max_gpus:
        return _too_large(experiment, campaign, now)
    at_once = gpus * manifest.at_once(experiment.spec.seeds, gpus, limits.max_gpus)
    if seen.before >= limits.parallelism or (gpus > 0 and seen.gpus_before + at_once > limits.max_gpus):
        waits = Verdict(ExperimentCondition.ACCEPTED, None, Reason.WAITING_FOR_PLACE, NO_PLACE)
        return Plan(experiment_status=write(experiment, "Queued", now, waits))
    asked = AdmissionRequest(uid=experiment.metadata.uid, spec=experiment.spec, max_attempts=manifest.MAX_RUNS)
    return Plan(merge=_held(experiment), ask=asked)


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
    failed = Verdict(ExperimentCondition.FAILED, True, Reason.INVALID_SPEC, message)
    status = write(experiment, "Failed", now, refused, failed)
    return Plan(experiment_status=status, notes=(Note("Warning", str(Reason.INVALID_SPEC), message),))


def _mended(experiment: Experiment, reason: Reason, message: str) -> tuple[Verdict, ...]:
    """What takes the place of a refusal that no longer holds; nothing if there is none."""
    refused = any(c.type == ExperimentCondition.ACCEPTED and c.status == "False" for c in experiment.status.conditions)
    return (Verdict(ExperimentCondition.ACCEPTED, None, reason, message),) if refused else ()


def _unanswered(experiment: Experiment, campaign: ResearchCampaign, seen: ExperimentSeen, now: datetime) -> Plan:
    """Without a hub nothing can be admitted or scored; a campaign that will never have one is over."""
    if campaign.status.phase == "Failed":
        message = f"Campaign {campaign.metadata.name!r} failed, so nothing runs in it: see its conditions."
        verdict = Verdict(ExperimentCondition.FAILED, True, Reason.CAMPAIGN_FINISHED, message)
        return Plan(experiment_status=write(experiment, "Failed", now, verdict), delete=_children(seen))
    mended = _mended(experiment, Reason.HUB_PENDING, "It waits for its campaign's hub.")
    return Plan(experiment_status=write(experiment, experiment.status.phase, now, *mended), requeue=SELDOM_SECONDS)


def _waiting(experiment: Experiment, verdict: Verdict, now: datetime, again: float, *more: Verdict) -> Plan:
    return Plan(experiment_status=write(experiment, "Queued", now, verdict, *more), requeue=again)


def _children(seen: ExperimentSeen) -> tuple[Target, ...]:
    """The Job last: without it nobody would know of the Secret. That goes by its name alone: it is an attempt's of one Experiment, in a
    namespace that is ours, and no other writes there.
    """
    if seen.job is None:
        return ()
    return (_secret(seen), _job(seen))


def _secret(seen: ExperimentSeen) -> Target:
    return replace(_job(seen), kind="Secret")


def _job(seen: ExperimentSeen) -> Target:
    assert seen.job is not None
    return Target("Job", seen.job.namespace, seen.job.name)


def _known(reason: str, otherwise: Reason) -> Reason:
    return Reason(reason) if reason in set(Reason) else otherwise


def idle(status: ExperimentStatus) -> bool:
    """Whether the experiment neither runs nor waits."""
    return status.phase in OVER
