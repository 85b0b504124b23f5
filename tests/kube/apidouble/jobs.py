"""The Job controller in miniature: pods for indexes, what became of them, and when a Job is over."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from kube.apidouble import kinds
from kube.apidouble.refusal import Refused
from kube.apidouble.store import Store, stamp

TRACKED = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
COUNTED, IGNORED = "batch.kubernetes.io/job-index-failure-count", "batch.kubernetes.io/job-index-ignored-failure-count"
ENDED = ("Succeeded", "Failed")
WORDS = {
    "BackoffLimitExceeded": "Job has reached the specified backoff limit",
    "DeadlineExceeded": "Job was active longer than specified deadline",
    "FailedIndexes": "Job has failed indexes",
    "MaxFailedIndexesExceeded": "Job has exceeded the specified maximal number of failed indexes",
    "CompletionsReached": "Reached expected number of succeeded pods",
}


class Jobs:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._counted: dict[str, set[str]] = defaultdict(set)
        self._faults: dict[str, Counter[int]] = defaultdict(Counter)
        self._failed: dict[str, Counter[tuple[int, str]]] = defaultdict(Counter)

    def step(self) -> None:
        pods: dict[str, list[dict]] = defaultdict(list)
        for pod in self._store.list(kinds.POD):
            pods[_owner(pod)].append(pod)
        for job in self._store.list(kinds.JOB):
            own = pods.pop(job["metadata"]["uid"], [])
            if "deletionTimestamp" not in job["metadata"]:
                self._sync(job, own)
        for pod in (one for own in pods.values() for one in own):  # of Jobs that are gone
            self._let_go(pod)

    def _sync(self, job: dict, pods: list[dict]) -> None:
        spec, status = job["spec"], dict(job.get("status", {}))
        if _over(status):
            for pod in pods:
                self._let_go(pod)
            self._expire(job)
            return
        live = [one for one in pods if "deletionTimestamp" not in one["metadata"] and _phase(one) not in ENDED]
        if spec["suspend"]:
            status |= {"conditions": _with(status, "Suspended", "True", "JobSuspended", "Job suspended"), "active": 0}
            status.pop("startTime", None)
            self._stop(job, live)
            self._report(job, status)
            return
        if "startTime" not in status:
            status["startTime"] = stamp()
            if any(one["type"] == "Suspended" for one in status.get("conditions", [])):
                status["conditions"] = _with(status, "Suspended", "False", "JobResumed", "Job resumed")
        verdict = self._count(job, status, pods) or self._verdict(job, status)
        if verdict:
            self._stop(job, live)
            self._report(job, _ended(status, verdict))
            return
        status["active"] = len(live) + self._start(job, status, live)
        self._report(job, status)

    def _count(self, job: dict, status: dict, pods: list[dict]) -> tuple[str, str] | None:
        """Enter the pods that ended; how the Job ends if a rule says so."""
        uid, known = job["metadata"]["uid"], self._counted[job["metadata"]["uid"]]
        verdict = None
        for pod in pods:
            leaving = "deletionTimestamp" in pod["metadata"]
            if pod["metadata"]["uid"] in known or not (leaving or _phase(pod) in ENDED):
                if leaving:
                    self._let_go(pod)
                continue
            known.add(pod["metadata"]["uid"])
            self._let_go(pod)
            if _phase(pod) == "Succeeded":
                done = indexes(status.get("completedIndexes", "")) | {_index(pod)}
                status |= {"succeeded": status.get("succeeded", 0) + 1, "completedIndexes": runs(done)}
                continue
            action, words = _rule(job, pod)
            self._failed[uid][_index(pod), IGNORED if action == "Ignore" else COUNTED] += 1
            if action == "Ignore":
                continue
            status["failed"] = status.get("failed", 0) + 1
            self._faults[uid][_index(pod)] += 10**6 if action == "FailIndex" else 1
            if action == "FailJob":
                verdict = ("PodFailurePolicy", words)
        if job["spec"]["completionMode"] != "Indexed":
            status.pop("completedIndexes", None)
        return verdict

    def _verdict(self, job: dict, status: dict) -> tuple[str, str] | None:
        spec, reason = job["spec"], ""
        per_index = spec.get("backoffLimitPerIndex")
        faults = self._faults[job["metadata"]["uid"]]
        limit = spec.get("activeDeadlineSeconds")
        if per_index is not None:
            lost = {index for index, count in faults.items() if count > per_index}
            done = indexes(status.get("completedIndexes", ""))
            status["failedIndexes"] = runs(lost - done)
            if len(lost) > spec.get("maxFailedIndexes", spec["completions"]):
                reason = "MaxFailedIndexesExceeded"
            elif len(lost | done) == spec["completions"]:
                reason = "FailedIndexes" if lost else "CompletionsReached"
        elif faults.total() > spec["backoffLimit"]:
            reason = "BackoffLimitExceeded"
        elif status.get("succeeded", 0) >= spec["completions"]:
            reason = "CompletionsReached"
        if not reason and limit is not None and _age(status["startTime"]) >= limit:
            reason = "DeadlineExceeded"
        return (reason, WORDS[reason]) if reason else None

    def _start(self, job: dict, status: dict, live: list[dict]) -> int:
        """Make the pods that are missing; how many were made."""
        spec, made = job["spec"], 0
        settled = indexes(status.get("completedIndexes", "")) | indexes(status.get("failedIndexes", ""))
        wanted = [index for index in range(spec["completions"]) if index not in settled]
        if spec["completionMode"] != "Indexed":
            wanted = list(range(spec["completions"] - status.get("succeeded", 0)))
        room = spec["parallelism"] - len(live)
        running, failed = {_index(one) for one in live}, self._failed[job["metadata"]["uid"]]
        for index in [one for one in wanted if one not in running][: max(0, room)]:
            try:
                self._store.create(kinds.POD, job["metadata"]["namespace"], _pod(job, index, failed))
            except Refused:  # a quota, a namespace that ends: tried again whenever something changes
                break
            made += 1
        return made

    def _stop(self, job: dict, live: list[dict]) -> None:
        for pod in live:
            self._counted[job["metadata"]["uid"]].add(pod["metadata"]["uid"])
            self._store.delete(kinds.POD, pod["metadata"]["namespace"], pod["metadata"]["name"], {})
            left = self._store.find(kinds.POD, pod["metadata"]["namespace"], pod["metadata"]["name"])
            if left is not None:
                self._let_go(left)

    def _let_go(self, pod: dict) -> None:
        if TRACKED in pod["metadata"].get("finalizers", []):
            self._store.finalized(kinds.POD, pod, TRACKED)

    def _report(self, job: dict, status: dict) -> None:
        if status != job.get("status", {}):
            self._store.update(kinds.JOB, job, {**job, "status": status}, "status")

    def _expire(self, job: dict) -> None:
        keep, meta = job["spec"].get("ttlSecondsAfterFinished"), job["metadata"]
        end = next(one for one in job["status"]["conditions"] if one["type"] in ("Complete", "Failed"))
        if keep is not None and _age(end["lastTransitionTime"]) >= keep:
            options = {"propagationPolicy": "Background"}
            self._store.delete(kinds.JOB, meta["namespace"], meta["name"], options)


def _owner(pod: dict) -> str:
    owners = [one["uid"] for one in pod["metadata"].get("ownerReferences", []) if one.get("controller")]
    return owners[0] if owners else ""


def _phase(pod: dict) -> str:
    return str(pod.get("status", {}).get("phase", ""))


def _index(pod: dict) -> int:
    return int(pod["metadata"]["labels"].get(INDEX, 0))


def _over(status: dict) -> bool:
    return any(one["type"] in ("Complete", "Failed") for one in status.get("conditions", []))


def _age(text: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()


def _with(status: dict, kind: str, value: str, reason: str, message: str) -> list[dict]:
    before = status.get("conditions", [])
    if any((one["type"], one["status"]) == (kind, value) for one in before):
        return list(before)
    told = {"type": kind, "status": value, "reason": reason, "message": message, "lastTransitionTime": stamp()}
    return [*(one for one in before if one["type"] != kind), told]


def _ended(status: dict, verdict: tuple[str, str]) -> dict:
    well = verdict[0] == "CompletionsReached"
    for kind in ("SuccessCriteriaMet", "Complete") if well else ("FailureTarget", "Failed"):
        status = {**status, "conditions": _with(status, kind, "True", *verdict)}
    return {**status, "active": 0} | ({"completionTime": stamp()} if well else {})


def _rule(job: dict, pod: dict) -> tuple[str, str]:
    """What the Job's pod failure policy says to a pod that failed."""
    status = pod.get("status", {})
    for number, rule in enumerate(job["spec"].get("podFailurePolicy", {}).get("rules", [])):
        for wanted in rule.get("onPodConditions", []):
            told = ((one["type"], one["status"]) for one in status.get("conditions") or [])
            if (wanted["type"], wanted.get("status", "True")) in told:
                return rule[
                    "action"
                ], f"Pod has condition {wanted['type']} matching {rule['action']} rule at index {number}"
        codes = rule.get("onExitCodes")
        for one in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])] if codes else []:
            code = one.get("state", {}).get("terminated", {}).get("exitCode", 0)
            named = codes.get("containerName") in (None, one["name"])
            if named and code != 0 and (code in codes["values"]) is (codes["operator"] == "In"):
                where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
                told = f"Container {one['name']} for pod {where} failed with exit code {code}"
                return rule["action"], f"{told} matching {rule['action']} rule at index {number}"
    return "Count", ""


def _pod(job: dict, index: int, failed: Counter[tuple[int, str]]) -> dict:
    meta, template = job["metadata"], job["spec"]["template"]
    inside = template.get("metadata", {})
    indexed = job["spec"]["completionMode"] == "Indexed"
    marks = {INDEX: str(index)} if indexed else {}
    before = {COUNTED: failed[index, COUNTED], IGNORED: failed[index, IGNORED]} if indexed else {}
    told = {name: str(count) for name, count in before.items() if count or name == COUNTED}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"]}
    name = f"{meta['name']}-{index}" if indexed else meta["name"]
    return {
        "metadata": {
            **inside,
            "name": f"{name}-{uuid.uuid4().hex[:5]}",
            "labels": {**inside.get("labels", {}), **marks},
            "annotations": {**inside.get("annotations", {}), **marks, **told},
            "finalizers": [TRACKED],
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "spec": template["spec"],
    }


def indexes(text: str) -> set[int]:
    """Of "0,2-4"."""
    found: set[int] = set()
    for run in filter(None, text.split(",")):
        first, _, last = run.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def runs(found: Iterable[int]) -> str:
    """As Kubernetes writes them: two in a row with a comma, more with a dash."""
    parts: list[list[int]] = []
    for one in sorted(found):
        if parts and parts[-1][-1] == one - 1:
            parts[-1].append(one)
        else:
            parts.append([one])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 2 else ",".join(map(str, part)) for part in parts)
