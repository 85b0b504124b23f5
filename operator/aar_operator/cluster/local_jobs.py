"""The Job controller of the local home, as a pure function: a Job and its pods in, pods to make and to stop and a status out.

Semantics of batch/v1: Indexed completion, parallelism, backoffLimit, backoffLimitPerIndex, podFailurePolicy (onExitCodes with FailIndex,
FailJob, Ignore, Count; onPodConditions DisruptionTarget), activeDeadlineSeconds, suspend.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aar_operator.cluster import Manifest, observe
from aar_operator.cluster.observe import INDEX_LABEL

BACKOFF_SECONDS = 1.0
"""First delay before an index is tried again; doubled each time. Kubernetes waits 10 s; one machine's faults pass sooner."""


@dataclass
class JobPlan:
    """What a Job needs now."""

    create: list[Manifest] = field(default_factory=list)
    stop: list[str] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    again_in: float | None = None


@dataclass(frozen=True)
class Index:
    """The pods of one index, told apart by how they ended."""

    number: int
    active: tuple[Manifest, ...]
    succeeded: bool
    failures: int
    fails_index: bool
    fails_job: bool
    last_end: float | None
    pods: int


def plan_job(job: Manifest, pods: list[Manifest], now: datetime) -> JobPlan:
    """The whole intent for one Job at one moment."""
    status = job.get("status", {})
    if _finished(status):
        return JobPlan(stop=[_name(pod) for pod in pods if _active(pod)], status=status)
    if job["spec"].get("suspend"):
        return _suspended(status, pods)
    start = status.get("startTime") or _stamp(now)
    indexes = [_index(job, number, pods) for number in range(job["spec"].get("completions", 1))]
    plan = JobPlan()
    age = now.timestamp() - datetime.fromisoformat(start).timestamp()
    deadline = job["spec"].get("activeDeadlineSeconds")
    late = deadline is not None and age >= deadline
    done = [index for index in indexes if index.succeeded]
    lost = [index for index in indexes if _is_lost(job, index)]
    plan.status = {"startTime": start, "succeeded": len(done), "completedIndexes": _ranges(done)}
    if lost:
        plan.status["failedIndexes"] = _ranges(lost)
    plan.status["failed"] = sum(index.failures for index in indexes)
    settled = len(done) + len(lost) == len(indexes)
    whole_job_fails = any(index.fails_job for index in indexes) or _over_backoff(job, indexes)
    if late or settled or whole_job_fails:
        plan.stop = [_name(pod) for index in indexes for pod in index.active]
        plan.status["active"] = 0
        plan.status["conditions"] = [_ending(job, late, whole_job_fails, bool(lost), _stamp(now))]
        plan.status["completionTime"] = _stamp(now)
        return plan
    _start_pods(job, indexes, now.timestamp(), plan)
    if deadline is not None:
        plan.again_in = min(plan.again_in or deadline - age, deadline - age)
    return plan


def _start_pods(job: Manifest, indexes: list[Index], now: float, plan: JobPlan) -> None:
    active = sum(1 for index in indexes if index.active)
    room = job["spec"].get("parallelism", 1) - active
    for index in indexes:
        if room <= 0:
            break
        if index.active or index.succeeded or _is_lost(job, index):
            continue
        delay = 0.0 if index.last_end is None or not index.failures else BACKOFF_SECONDS * 2 ** (index.failures - 1)
        wait = 0.0 if index.last_end is None else index.last_end + delay - now
        if wait > 0:
            plan.again_in = wait if plan.again_in is None else min(plan.again_in, wait)
            continue
        plan.create.append(_pod(job, index.number, index.pods))
        room -= 1
        active += 1
    plan.status["active"] = active


def _suspended(status: dict[str, Any], pods: list[Manifest]) -> JobPlan:
    kept = {key: value for key, value in status.items() if key not in ("startTime", "active", "conditions")}
    condition = {"type": "Suspended", "status": "True", "reason": "JobSuspended"}
    return JobPlan(
        stop=[_name(pod) for pod in pods if _active(pod)], status={**kept, "active": 0, "conditions": [condition]}
    )


def _finished(status: dict[str, Any]) -> bool:
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in status.get("conditions", []))


def _ending(job: Manifest, late: bool, whole_job_fails: bool, any_lost: bool, now: str) -> dict[str, str]:
    if late:
        seconds = job["spec"]["activeDeadlineSeconds"]
        return _condition("Failed", "DeadlineExceeded", f"Job was active longer than its deadline of {seconds} s", now)
    if whole_job_fails:
        return _condition("Failed", "BackoffLimitExceeded", "Job has reached the backoff limit", now)
    if any_lost:
        return _condition("Failed", "FailedIndexes", "Job has failed indexes", now)
    return _condition("Complete", "CompletionsReached", "Reached expected number of succeeded pods", now)


def _condition(kind: str, reason: str, message: str, now: str) -> dict[str, str]:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}


def _index(job: Manifest, number: int, pods: list[Manifest]) -> Index:
    own = [pod for pod in pods if pod["metadata"]["labels"].get(INDEX_LABEL) == str(number)]
    verdicts = [_verdict(job, pod) for pod in own if _phase(pod) == "Failed"]
    ends = [end for pod in own if (end := observe.ended(pod)) is not None]
    return Index(
        number=number,
        active=tuple(pod for pod in own if _active(pod)),
        succeeded=any(_phase(pod) == "Succeeded" for pod in own),
        failures=sum(1 for verdict in verdicts if verdict != "Ignore"),
        fails_index="FailIndex" in verdicts,
        fails_job="FailJob" in verdicts,
        last_end=max(ends, default=None),
        pods=len(own),
    )


def _verdict(job: Manifest, pod: Manifest) -> str:
    for rule in job["spec"].get("podFailurePolicy", {}).get("rules", []):
        if _matches_exit(rule.get("onExitCodes"), pod) or _matches_condition(rule.get("onPodConditions"), pod):
            return str(rule["action"])
    return "Count"


def _matches_exit(rule: dict[str, Any] | None, pod: Manifest) -> bool:
    if rule is None:
        return False
    wanted = rule.get("containerName")
    ended = [code for name, code in observe.exit_codes(pod).items() if wanted in (None, name) and code != 0]
    inside: bool = any(code in rule["values"] for code in ended)
    return inside if rule["operator"] == "In" else bool(ended and not inside)


def _matches_condition(rule: list[dict[str, Any]] | None, pod: Manifest) -> bool:
    held = {c["type"] for c in pod["status"].get("conditions", []) if c["status"] == "True"}
    return any(one["type"] in held for one in rule or [])


def _is_lost(job: Manifest, index: Index) -> bool:
    limit = job["spec"].get("backoffLimitPerIndex")
    return not index.succeeded and (index.fails_index or bool(limit is not None and index.failures > limit))


def _over_backoff(job: Manifest, indexes: list[Index]) -> bool:
    if job["spec"].get("backoffLimitPerIndex") is not None:
        return False
    return sum(index.failures for index in indexes) > int(job["spec"].get("backoffLimit", 6))


def _pod(job: Manifest, number: int, serial: int) -> Manifest:
    template, meta = job["spec"]["template"], job["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"], "controller": True}
    labels = {
        **template.get("metadata", {}).get("labels", {}),
        "batch.kubernetes.io/job-name": meta["name"],
        INDEX_LABEL: str(number),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{meta['name']}-{number}-{serial}",
            "namespace": meta["namespace"],
            "labels": labels,
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
    }


def _ranges(indexes: list[Index]) -> str:
    """Indexes as Kubernetes writes them: "0,2-4"."""
    numbers = sorted(index.number for index in indexes)
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _name(pod: Manifest) -> str:
    return str(pod["metadata"]["name"])


def _phase(pod: Manifest) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def _active(pod: Manifest) -> bool:
    return _phase(pod) in ("Pending", "Running") and "deletionTimestamp" not in pod["metadata"]


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
