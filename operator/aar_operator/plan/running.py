"""What an experiment with a Job needs: to be let run or stopped, and a status that says how it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aar_api.conditions import ExperimentCondition, Reason
from aar_api.experiment import Experiment, JobRef

from aar_operator.plan.model import ExperimentSeen, JobView, Note, Plan, Target
from aar_operator.plan.verdicts import Verdict, stamp, write

POD_SECONDS = 30.0
"""How long a Job that may run has no pod before that is told: pods are made within a second, if they can be."""


def running(experiment: Experiment, seen: ExperimentSeen, now: datetime) -> Plan:
    """Its Job is let run, unless Kueue decides that."""
    assert seen.job is not None
    refused, again = _without_pods(seen.job, now)
    verdicts = [
        refused or Verdict(ExperimentCondition.ACCEPTED, True, Reason.VALID, "The hub admitted it."),
        Verdict(ExperimentCondition.BUDGET_RESERVED, True, Reason.RESERVED, "Money for it is held."),
    ]
    verdicts += resumed(experiment, "It runs on.")
    if any(c.type == ExperimentCondition.SCORED for c in experiment.status.conditions):
        told = "It is scored once its Job has ended."
        verdicts.append(Verdict(ExperimentCondition.SCORED, False, Reason.WAITING_FOR_SCORER, told))
    if seen.job.queued:
        verdicts.append(_queue_verdict(seen.job))
    waits = seen.job.queued and seen.job.suspended
    status = write(with_job(experiment, seen, now), "Queued" if waits else "Running", now, *verdicts)
    notes: tuple[Note, ...] = ()
    if refused is not None and not _says(experiment, refused):
        notes = (Note("Warning", str(refused.reason), refused.message),)
    return Plan(experiment_status=status, merge=_run(seen, True), notes=notes, requeue=again)


def resumed(experiment: Experiment, message: str) -> tuple[Verdict, ...]:
    """What is said of one that was suspended and is no more; nothing of others."""
    was = any(c.type == ExperimentCondition.SUSPENDED for c in experiment.status.conditions)
    if not was or experiment.spec.desired_state == "Suspended":
        return ()
    return (Verdict(ExperimentCondition.SUSPENDED, False, Reason.RESUMED, message),)


def suspended(experiment: Experiment, seen: ExperimentSeen, now: datetime) -> Plan:
    """Its Job, if there is one, is stopped; its phase stays."""
    verdict = Verdict(ExperimentCondition.SUSPENDED, True, Reason.USER_REQUESTED, "It is suspended.")
    status = write(with_job(experiment, seen, now), experiment.status.phase, now, verdict)
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
    return () if job.suspended != wanted else ((job_of(seen), {"spec": {"suspend": not wanted}}),)


def with_job(experiment: Experiment, seen: ExperimentSeen, now: datetime) -> Experiment:
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


def job_of(seen: ExperimentSeen) -> Target:
    """The Job, which has to be there."""
    assert seen.job is not None
    return Target("Job", seen.job.namespace, seen.job.name)
