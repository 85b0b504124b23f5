"""Objects that break the models: refused in their status, once, and let go when they are deleted."""

from __future__ import annotations

from datetime import datetime

from aar_api import labels
from aar_api.conditions import CampaignCondition, Condition, Reason, set_condition

from aar_operator.cluster import Cluster, Manifest, Ref
from aar_operator.manifests import book
from aar_operator.settings import Settings


async def refuse(cluster: Cluster, ref: Ref, read: Manifest, why: str, now: datetime, settings: Settings) -> None:
    """Write `Accepted=False` and `Failed=True` with the mistakes, whoever's they are."""
    if "deletionTimestamp" in read["metadata"]:
        await _let_go(cluster, ref, read, settings)
        return
    status = read.get("status", {})
    conditions = tuple(Condition.model_validate(one) for one in status.get("conditions", []))
    stamp, generation = now.strftime("%Y-%m-%dT%H:%M:%SZ"), read["metadata"]["generation"]
    for kind, holds in ((CampaignCondition.ACCEPTED, False), (CampaignCondition.FAILED, True)):
        conditions = set_condition(conditions, kind, holds, Reason.INVALID_SPEC, why, stamp, generation)
    written = {
        **status,
        "phase": "Failed",
        "observedGeneration": generation,
        "conditions": [one.dump() for one in conditions],
    }
    if written == status:
        return
    await cluster.patch_status(ref, written, read["metadata"]["resourceVersion"])
    await cluster.emit(ref, "Warning", str(Reason.INVALID_SPEC), why)


async def _let_go(cluster: Cluster, ref: Ref, read: Manifest, settings: Settings) -> None:
    """What it spent while it was well-formed is entered in the book; then its namespaces go, and it."""
    months = read.get("status", {}).get("spendByMonth")
    if months and not settings.one_machine:
        empty = book.build(ref.namespace, settings)
        await cluster.create(empty)
        await cluster.merge(Ref.of(empty), book.entry(read["metadata"]["uid"], months))
    for space in await cluster.find("Namespace", {labels.CAMPAIGN_UID: read["metadata"]["uid"]}):
        await cluster.delete(Ref.of(space))
    kept = [one for one in read["metadata"].get("finalizers", []) if one != labels.FINALIZER]
    await cluster.merge(ref, {"metadata": {"finalizers": kept}})
