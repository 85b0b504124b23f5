"""Carrying out a plan, and what is left to do after it."""

from __future__ import annotations

from dataclasses import dataclass

from aar_api.base import Model

from aar_operator.cluster import Cluster, Foreign, Manifest, Ref
from aar_operator.plan.model import Plan, Target

UNCHANGING = ("Job", "PersistentVolumeClaim")
"""Kinds whose specs cannot change: applying them anew after an upgrade of the operator would be refused for ever."""


@dataclass(frozen=True)
class Outcome:
    """When to look again, and at what else."""

    again: float | None = None
    """Seconds; none: when something changes."""
    wake: tuple[Ref, ...] = ()
    """Objects whose turn may have come."""
    news: tuple[Ref, ...] = ()
    """Objects that count this one: they hear of many such at once."""


@dataclass(frozen=True)
class Written:
    """What a look did to an object's status."""

    changed: bool
    moved: bool
    """Whether that begins a new phase."""


def ref_of(target: Target) -> Ref:
    """The name of a plan's target."""
    return Ref(target.kind, target.namespace, target.name)


async def carry_out(cluster: Cluster, plan: Plan) -> dict[Ref, str]:
    """Objects first, in the plan's order; statuses and notes are the caller's, after what else it has to do. Experiments whose names
    others have, with a sentence: these names a hub chose, so that nothing else hangs on them, and what has them is left alone.

    Raises:
        Foreign: another name is taken.
    """
    taken: dict[Ref, str] = {}
    for manifest in plan.apply:
        await _make(cluster, manifest)
    for manifest in plan.create:
        try:
            await cluster.create(manifest)
        except Foreign as error:
            if error.kind != "Experiment":
                raise
            taken[Ref.of(manifest)] = str(error)
    for target, patch in plan.merge:
        if ref_of(target) not in taken:
            await cluster.merge(ref_of(target), patch)
    for target in plan.delete:
        await cluster.delete(ref_of(target))
    for target, patch in plan.release:
        await cluster.merge(ref_of(target), patch)
    return taken


async def _make(cluster: Cluster, manifest: Manifest) -> None:
    """A Namespace is created, never taken over; after that its labels are kept as they should be."""
    if manifest["kind"] in (*UNCHANGING, "Namespace"):
        made = await cluster.create(manifest)
        if made or manifest["kind"] in UNCHANGING:
            return
    await cluster.apply(manifest)


async def report(cluster: Cluster, ref: Ref, read: Manifest, status: Model | None, plan: Plan) -> Written:
    """Write the status if it differs from what was read, then the notes.

    Raises:
        Conflict: somebody else wrote meanwhile.
    """
    before, after = read.get("status", {}), {} if status is None else status.dump()
    changed = status is not None and after != before
    if changed:
        now = await cluster.get(ref)
        same = now is not None and now.get("status", {}) == before
        version = (now if now is not None and same else read)["metadata"]["resourceVersion"]
        await cluster.patch_status(ref, after, version)
    for note in plan.notes:
        await cluster.emit(ref, note.kind, note.reason, note.message)
    return Written(changed, changed and after.get("phase") != before.get("phase"))
