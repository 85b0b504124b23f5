"""What of an object is kept: the rest is never looked at, and thousands of whole ones would be most of the operator's memory. Pure."""

from __future__ import annotations

import sys
from typing import Any

from aar_operator.cluster import Manifest

UNREAD = frozenset({"managedFields", "generateName", "selfLink"})
"""Fields of metadata."""
STATUS = frozenset({"ResearchCampaign", "Experiment", "Job", "Pod", "Workload"})
"""Kinds whose status is read. That of a ResourceQuota, for example, changes with every pod."""
NO_PODS = "ReplicaFailure"
"""Condition of a Deployment."""
JOB_SPEC = ("completions", "suspend", "ttlSecondsAfterFinished")
"""A Job is made once and compared with nothing afterwards, so that its template need not be known."""
SHARED = 64
"""Strings up to this length are kept once for all objects: words of the API, labels, names and UIDs, which children repeat."""


def slim(manifest: Manifest) -> Manifest:
    """The object without what nobody reads, its short strings shared."""
    shared: Manifest = _shared(cut(manifest))
    return shared


def cut(manifest: Manifest) -> Manifest:
    """The object without what nobody reads."""
    kept = {**manifest, "metadata": {key: one for key, one in manifest["metadata"].items() if key not in UNREAD}}
    if manifest["kind"] not in STATUS:
        status = kept.pop("status", None) or {}
        told = _refused(status) if manifest["kind"] == "Deployment" else {}
        kept |= {"status": told} if told else {}
    if manifest["kind"] == "Pod":
        kept.pop("spec", None)
    elif manifest["kind"] == "Job":
        spec = manifest.get("spec", {})
        kept["spec"] = {key: spec[key] for key in JOB_SPEC if key in spec}
    return kept


def _refused(status: Manifest) -> Manifest:
    """Of a Deployment only that its pods are not taken: the rest changes with each of them."""
    told = [c for c in status.get("conditions") or [] if c["type"] == NO_PODS]
    return {"conditions": told} if told else {}


def same(one: Manifest, other: Manifest) -> bool:
    """Whether two versions of an object differ in nothing that is kept."""
    metas = [{**manifest["metadata"], "resourceVersion": ""} for manifest in (one, other)]
    return metas[0] == metas[1] and {**one, "metadata": None} == {**other, "metadata": None}


def _shared(value: Any) -> Any:
    if isinstance(value, str):
        return sys.intern(value) if len(value) <= SHARED else value
    if isinstance(value, dict):
        return {sys.intern(key): _shared(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_shared(one) for one in value]
    return value
