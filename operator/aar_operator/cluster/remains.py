"""Pods of Jobs that are gone before their Job was settled: an eviction or a suspension removes them, but what they ran is owed."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime

from aar_operator.cluster import Manifest, Ref
from aar_operator.cluster.cache import JOB_NAME, Cache
from aar_operator.cluster.observe import end_is_known, is_over, seconds

END = "DisruptionTarget"


class Remains:
    """The last that was known of them, until their Job is gone too. Kept by this process only."""

    def __init__(self) -> None:
        self._pods: dict[Ref, dict[str, Manifest]] = defaultdict(dict)

    def note(self, cache: Cache, ref: Ref, gone: Manifest) -> None:
        """An object is gone."""
        if ref.kind == "Job":
            self._pods.pop(ref, None)
        name = (gone["metadata"].get("labels") or {}).get(JOB_NAME)
        if ref.kind != "Pod" or name is None:
            return
        job = Ref("Job", ref.namespace, name)
        if cache.get(job) is not None:
            self._pods[job][gone["metadata"]["uid"]] = _ended(gone)

    def of(self, namespace: str, job: str) -> list[Manifest]:
        """Those of one Job."""
        return list(self._pods.get(Ref("Job", namespace, job), {}).values())


def _ended(pod: Manifest) -> Manifest:
    """The pod, ended now if it had not ended when it was seen last, or nobody wrote when it did."""
    status, now = pod.get("status", {}), datetime.now(UTC)
    told = end_is_known(pod) or "deletionTimestamp" in pod["metadata"]
    if is_over(pod) and told and seconds(pod, now) > 0:
        return pod
    disrupted = {"type": END, "status": "True", "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
    conditions = [one for one in status.get("conditions") or [] if one["type"] != END]
    return {**pod, "status": {**status, "phase": "Failed", "conditions": [*conditions, disrupted]}}
