"""Raw objects to the few facts that deciding needs: frozen, parsed apart from the call that read them."""

from __future__ import annotations

import contextlib
import signal
from datetime import UTC, datetime
from typing import Any

from aar_api import labels
from aar_api.wire import IndexOutcome

from aar_operator.cluster.slim import NO_PODS
from aar_operator.plan.model import JobView, Probe, ResearcherState

INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
INDEX_TRIES = ("batch.kubernetes.io/job-index-failure-count", "batch.kubernetes.io/job-index-ignored-failure-count")
"""How many pods of its index went before a pod, written on it by the Job controller: those that count and those that don't."""
INDEX_FAILED = ("FailedIndexes", "BackoffLimitExceeded")
LATE = "DeadlineExceeded"
SHELL_SIGNAL = 128
STATUSES = ("initContainerStatuses", "containerStatuses")


def job_view(
    job: dict[str, Any], pods: list[dict[str, Any]], now: datetime, workload: dict[str, Any] | None = None
) -> JobView:
    """Read a Job, its pods and Kueue's object for it; pods that run count up to now."""
    status = job.get("status", {})
    ending = _ending(job)
    done = parse_indexes(status.get("completedIndexes", ""))
    failed = ending is not None and ending["type"] == "Failed"
    outcomes = tuple(
        IndexOutcome(
            index=index,
            succeeded=index in done,
            reason="" if index in done or not failed else _reason(ending, own),
            message="" if index in done or not failed else _message(ending, own),
            seconds=sum(seconds(pod, now) for pod in own) + unseen_seconds(job, index, own, now),
        )
        for index in range(job["spec"].get("completions", 1))
        for own in [[pod for pod in pods if pod["metadata"].get("labels", {}).get(INDEX_LABEL) == str(index)]]
    )
    meta = job["metadata"]
    return JobView(
        name=meta["name"],
        namespace=meta["namespace"],
        uid=meta["uid"],
        finished=ending is not None,
        succeeded=ending is not None and not failed,
        suspended=bool(job["spec"].get("suspend")),
        reason=str((ending or {}).get("reason", "")),
        message=str((ending or {}).get("message", "")),
        indexes=outcomes,
        image=_image(pods),
        created=meta.get("creationTimestamp") or "",
        started=status.get("startTime") or "",
        bare=ending is None and not pods and _is_bare(job),
        reserved_usd=(meta.get("annotations") or {}).get(labels.RESERVED_USD, "0.00"),
        expires=job["spec"].get("ttlSecondsAfterFinished") is not None,
        queued=labels.QUEUE in meta.get("labels", {}),
        workload="" if workload is None else workload["metadata"]["name"],
        workload_active=workload is None or workload["spec"].get("active", True),
        waiting="" if workload is None else _waiting(workload),
    )


def _is_bare(job: dict[str, Any]) -> bool:
    """Whether a Job that was let run has counted no pod yet."""
    status = job.get("status", {})
    runs = bool(status.get("startTime")) and not job["spec"].get("suspend")
    return runs and not any(status.get(word) for word in ("active", "terminating", "succeeded", "failed"))


def seconds_by_index(pods: list[dict[str, Any]], now: datetime) -> dict[int, float]:
    """Seconds that pods of indexed Jobs ran, by index; those that run count up to now."""
    found: dict[int, float] = {}
    for pod in pods:
        index = pod["metadata"].get("labels", {}).get(INDEX_LABEL, "")
        ran = seconds(pod, now)
        if index.isdecimal() and ran > 0:
            found[int(index)] = found.get(int(index), 0.0) + ran
    return found


def _image(pods: list[dict[str, Any]]) -> str:
    """The images that ran, as nodes name them: by digest, which a tag is not."""
    ran = (one for pod in pods for field in STATUSES for one in pod.get("status", {}).get(field) or [])
    return ", ".join(sorted({one["imageID"] for one in ran if one.get("imageID")}))


def _ending(job: dict[str, Any]) -> dict[str, Any] | None:
    """The condition with which a Job ended; none while it goes on."""
    conditions = job.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"), None)


def _waiting(workload: dict[str, Any]) -> str:
    """What Kueue says to why it has not admitted a Job."""
    told = {c["type"]: c for c in workload.get("status", {}).get("conditions", [])}
    held = told.get("QuotaReserved", {})
    return str(held.get("message", "")) if held.get("status") == "False" else ""


def probe_view(job: dict[str, Any], pods: list[dict[str, Any]]) -> Probe:
    """Read the Job of an isolation probe and the last word of its pods."""
    ends = [ended for pod in sorted(pods, key=_started) for ended in _terminated(pod).values()]
    message = str(ends[-1].get("message", "")).strip() if ends else ""
    connected = any(int(ended["exitCode"]) == labels.EXIT_NOT_ISOLATED for ended in ends)
    return Probe(job_state(job), connected, message, str((_ending(job) or {}).get("lastTransitionTime") or ""))


def job_state(job: dict[str, Any]) -> ResearcherState:
    """How far a Job of one pod is."""
    held = {c["type"] for c in job.get("status", {}).get("conditions", []) if c["status"] == "True"}
    if "Complete" in held or "Failed" in held:
        return "succeeded" if "Complete" in held else "failed"
    return "suspended" if job["spec"].get("suspend") else "active"


def no_pods(deployment: dict[str, Any]) -> str:
    """Why the cluster takes no pod of a Deployment; empty while it does."""
    told = deployment.get("status", {}).get("conditions") or []
    return next((str(c.get("message", "")) for c in told if c["type"] == NO_PODS and c["status"] == "True"), "")


def _started(pod: dict[str, Any]) -> str:
    return str(pod.get("status", {}).get("startTime", ""))


def _reason(ending: dict[str, Any] | None, pods: list[dict[str, Any]]) -> str:
    """Why an index failed: what a container says (OOMKilled) before what the Job says."""
    for pod in pods:
        for terminated in _terminated(pod).values():
            if terminated.get("reason") == "OOMKilled":
                return "OutOfMemory"
    if _never_scheduled(ending, pods):
        return "NeverScheduled"
    late = any(pod.get("status", {}).get("reason") == LATE for pod in pods)
    return LATE if late else str((ending or {}).get("reason", ""))


def _never_scheduled(ending: dict[str, Any] | None, pods: list[dict[str, Any]]) -> bool:
    """Whether the Job's time was over before a node took any of these pods: the method is not to blame."""
    late = (ending or {}).get("reason") == LATE
    return late and bool(pods) and not any(pod.get("status", {}).get("startTime") for pod in pods)


def _message(ending: dict[str, Any] | None, pods: list[dict[str, Any]]) -> str:
    """The step that broke, and how, where the Job only says that an index failed."""
    told = str((ending or {}).get("message", ""))
    if _never_scheduled(ending, pods):
        return "No node took its pod before the time of its Job was over: ask for less compute, or have room made."
    broken = [(name, code) for pod in sorted(pods, key=_age) for name, code in exit_codes(pod).items() if code != 0]
    if not broken or (ending or {}).get("reason") not in INDEX_FAILED:
        return told
    name, code = broken[-1]
    return (
        f"Its step {name!r} ended with {_how(code)} and left no report, the last of {len(broken)} tries: "
        "see the log of its pod, correct the method and submit it again."
    )


def _age(pod: dict[str, Any]) -> str:
    return str(pod["metadata"].get("creationTimestamp") or pod["metadata"].get("name", ""))


def _how(code: int) -> str:
    """An exit code as a person knows it; above 128 it is a signal (POSIX shells)."""
    with contextlib.suppress(ValueError):
        return signal.Signals(code - SHELL_SIGNAL).name
    return f"exit code {code}"


def parse_indexes(text: str) -> frozenset[int]:
    """Indexes as Kubernetes writes them, "0,2-4", as numbers."""
    found: set[int] = set()
    for run in filter(None, text.split(",")):
        first, _, last = run.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _terminated(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Container name -> how it ended, for those that did."""
    statuses = [one for field in STATUSES for one in pod.get("status", {}).get(field, [])]
    return {one["name"]: one["state"]["terminated"] for one in statuses if "terminated" in one.get("state", {})}


def exit_codes(pod: dict[str, Any]) -> dict[str, int]:
    """Container name -> exit code, for those that ended."""
    return {name: int(ended["exitCode"]) for name, ended in _terminated(pod).items()}


def epoch(text: str) -> float:
    """A timestamp of an object in seconds since 1970."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def ended(pod: dict[str, Any]) -> float | None:
    """When the pod ended, in seconds since 1970; none while it has not, or nobody saw it."""
    return max(_ends(pod), default=None) if is_over(pod) else None


def end_is_known(pod: dict[str, Any]) -> bool:
    """Whether somebody wrote when it was disrupted, or when each of its containers ended that did."""
    ran = _terminated(pod).values()
    return bool(_disruptions(pod)) or (bool(ran) and all(one.get("finishedAt") for one in ran))


def _disruptions(pod: dict[str, Any]) -> list[float]:
    told = [c for c in pod.get("status", {}).get("conditions") or [] if c["type"] == "DisruptionTarget"]
    return [epoch(one["lastTransitionTime"]) for one in told if one.get("lastTransitionTime")]


def is_over(pod: dict[str, Any]) -> bool:
    """Whether the pod ended. One that is Pending may be long at work: its first steps are init containers."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _ends(pod: dict[str, Any]) -> list[float]:
    """When its containers ended; a node that lost sight of one writes null."""
    return [epoch(one["finishedAt"]) for one in _terminated(pod).values() if one.get("finishedAt")]


def seconds(pod: dict[str, Any], now: datetime) -> float:
    """Wall-clock seconds the pod was at work: up to now until it ends, up to the disruption if there was one, and where nobody
    wrote when it ended up to the time by which it was told to.
    """
    start = _began(pod)
    if start is None:
        return 0.0
    if not is_over(pod):
        return max(0.0, now.timestamp() - start)
    ends = _ends(pod) + _disruptions(pod)
    told = pod["metadata"].get("deletionTimestamp")
    if told and not end_is_known(pod):
        ends.append(epoch(told))
    return max(0.0, max(ends, default=start) - start)


def _began(pod: dict[str, Any]) -> float | None:
    """When its first container began, none if none did: what comes before, the fetching of an image above all, is not the method's.

    Of a container that is known to have run, but not since when, as of a node that lost sight of it: when the node took the pod.
    """
    status = pod.get("status", {})
    if not status.get("startTime"):
        return None
    taken = epoch(status["startTime"])
    states = [one.get("state") or {} for field in STATUSES for one in status.get(field) or []]
    ran = [state[word] or {} for state in states for word in ("running", "terminated") if word in state]
    if not ran:
        return None if states or status.get("phase", "Pending") == "Pending" else taken
    return min(epoch(one["startedAt"]) if one.get("startedAt") else taken for one in ran)


def unseen_seconds(job: dict[str, Any], index: int, pods: list[dict[str, Any]], now: datetime) -> float:
    """Seconds that are owed for pods of an index that nobody saw end, as when every replica of the operator was away.

    All the time from the Job's start to the index's newest pod, or to its end if no pod is left, that no known pod accounts for,
    waiting for a node included: pods of an index follow one another, so it was no more.
    """
    status = job.get("status", {})
    ran = parse_indexes(status.get("completedIndexes", "")) | parse_indexes(status.get("failedIndexes", ""))
    dated = [pod for pod in pods if pod["metadata"].get("creationTimestamp")]
    newest = max(dated, key=_age, default=None)
    if newest is not None and len(pods) <= _tries(newest):
        end = newest["metadata"]["creationTimestamp"]
    elif not pods and index in ran:
        end = (_ending(job) or {}).get("lastTransitionTime")
    else:
        return 0.0
    if not end or not status.get("startTime"):
        return 0.0
    known = sum(seconds(pod, now) for pod in pods if pod is not newest)
    return max(0.0, epoch(end) - epoch(status["startTime"]) - known)


def _tries(pod: dict[str, Any]) -> int:
    """Pods of its index that were there before."""
    told = pod["metadata"].get("annotations") or {}
    return sum(int(told.get(name) or 0) for name in INDEX_TRIES)
