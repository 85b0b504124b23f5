"""Pods that are gone before what they ran was settled: an eviction, a suspension or the end of their Job removes them, but it is owed."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime

from aar_api import labels

from aar_operator.cluster import Manifest, Ref
from aar_operator.cluster.cache import JOB_NAME, Cache
from aar_operator.cluster.observe import end_is_known, is_over, seconds
from aar_operator.plan.line import OVER

END = "DisruptionTarget"


class Remains:
    """The last that was known of them: those of an experiment until it is over or gone, others until their Job is. Kept by this
    process only.
    """

    def __init__(self) -> None:
        self._pods: dict[str | Ref, dict[str, Manifest]] = defaultdict(dict)

    def note(self, cache: Cache, ref: Ref, manifest: Manifest) -> None:
        """An object changed, or is gone, with what is last known of it."""
        gone = cache.get(ref) is None
        if ref.kind == "Experiment" and (gone or _is_over(manifest)):
            self._pods.pop(manifest["metadata"]["uid"], None)
        elif ref.kind == "Job" and gone:
            self._pods.pop(ref, None)
        elif ref.kind == "Pod" and gone:
            key = _owed_to(cache, ref, manifest)
            if key is not None:
                self._pods[key][manifest["metadata"]["uid"]] = _ended(manifest)

    def of(self, key: str | Ref) -> list[Manifest]:
        """Those of one experiment, by its UID, or of one Job that is no experiment's."""
        return list(self._pods.get(key, {}).values())


def _owed_to(cache: Cache, ref: Ref, pod: Manifest) -> str | Ref | None:
    """The UID of the experiment that the pod ran for, else its Job; none if that is not there or over."""
    marks = pod["metadata"].get("labels") or {}
    uid: str | None = marks.get(labels.EXPERIMENT_UID)
    if uid is None:
        job = Ref("Job", ref.namespace, marks.get(JOB_NAME, ""))
        return job if cache.get(job) is not None else None
    one = cache.get(Ref("Experiment", marks.get(labels.CAMPAIGN_NAMESPACE, ""), marks.get(labels.EXPERIMENT, "")))
    return uid if one is not None and one["metadata"]["uid"] == uid and not _is_over(one) else None


def _is_over(experiment: Manifest) -> bool:
    return experiment.get("status", {}).get("phase") in OVER


def _ended(pod: Manifest) -> Manifest:
    """The pod, ended now if it had not ended when it was seen last, or nobody wrote when it did."""
    status, now = pod.get("status", {}), datetime.now(UTC)
    told = end_is_known(pod) or "deletionTimestamp" in pod["metadata"]
    if is_over(pod) and told and seconds(pod, now) > 0:
        return pod
    disrupted = {"type": END, "status": "True", "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
    conditions = [one for one in status.get("conditions") or [] if one["type"] != END]
    return {**pod, "status": {**status, "phase": "Failed", "conditions": [*conditions, disrupted]}}
