"""Where objects live and are carried out.

Law: a home of the cluster does what it is told. `Cluster` is all that reconciling knows; what the homes differ in stays here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple, Protocol

from aar_api import labels
from aar_api.errors import AarError

Manifest = dict[str, Any]


class ClusterError(AarError):
    """The cluster did not do what it was asked to do."""


class Conflict(ClusterError):
    """The object changed since it was read: read it again and decide again."""


class Exists(Conflict):
    """The name is taken."""


class Foreign(ClusterError):
    """An object of that name is there, and it isn't ours: it is never taken over."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Missing(ClusterError):
    """There is no such object, or no such kind."""


class Expired(ClusterError):
    """A list cannot be continued: begin it again."""


class Invalid(ClusterError):
    """The cluster refuses the object as it is."""


class Denied(Invalid):
    """The cluster does not allow it, or does not yet: a quota, a missing permission, an admission policy."""


class Unavailable(ClusterError):
    """The cluster does not answer, or asks to come back later."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Ref(NamedTuple):
    """The name of an object; cluster-wide kinds have the namespace ''."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Ref:
        """The name under which a manifest is stored."""
        meta = manifest["metadata"]
        return cls(manifest["kind"], "" if manifest["kind"] == "Namespace" else meta["namespace"], meta["name"])


class Cluster(Protocol):
    """What reconciling needs of a cluster. Objects it gives are read, never changed in place."""

    async def get(self, ref: Ref) -> Manifest | None:
        """The object, or none."""

    async def look(self, ref: Ref) -> Manifest | None:
        """The object as it is at this moment, or none, where what is remembered of it is not enough."""

    async def find(
        self, kind: str, marks: Mapping[str, str] | None = None, namespace: str | None = None, fresh: bool = False
    ) -> list[Manifest]:
        """Objects of a kind that carry all the labels, by namespace and name; `fresh`: what is not heard of yet is asked for too."""

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply: make the object so, creating it if need be.

        Raises:
            Invalid: the cluster refuses it.
        """

    async def create(self, manifest: Manifest) -> bool:
        """Make the object once; false if ours of that name is there already.

        Raises:
            Foreign: one that belongs to somebody else is there.
            Invalid: the cluster refuses it.
        """

    async def merge(self, ref: Ref, patch: Manifest) -> None:
        """JSON merge patch (RFC 7396) of metadata or spec, if the object is there.

        Raises:
            Conflict: it is gone, and was to be held.
        """

    async def delete(self, ref: Ref, uid: str | None = None) -> None:
        """Delete the object and what it owns, if it is there and has that UID."""

    async def patch_status(self, ref: Ref, status: Manifest, resource_version: str) -> None:
        """Replace the status.

        Raises:
            Conflict: the object is no longer at that version.
        """

    async def emit(self, about: Ref, kind: str, reason: str, message: str) -> None:
        """Record an event about an object; `kind` is Normal or Warning."""

    def watch(self) -> AsyncIterator[Ref]:
        """Names of objects as they change, the present ones first."""

    def follow(self, kind: str, follower: Callable[[Ref, Manifest | None], None]) -> None:
        """Have a function told of every object of a kind: at once of the present ones, then of each that changes, or with none goes."""


def holds_on(patch: Mapping[str, Any]) -> bool:
    """Whether a patch sets our finalizer: whatever is made next counts on that."""
    return labels.FINALIZER in (patch.get("metadata", {}).get("finalizers") or ())


OWNERS = (labels.CAMPAIGN_UID, labels.EXPERIMENT_UID)


def same_owner(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two objects belong to the same campaign and the same experiment."""
    marks, others = one["metadata"].get("labels", {}), other["metadata"].get("labels", {})
    return all(marks.get(key) == others.get(key) for key in OWNERS)


def foreign(manifest: Mapping[str, Any]) -> Foreign:
    """Why an object isn't made."""
    ref = Ref.of(manifest)
    where = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
    way_out = "delete it and this campaign and apply that again, or apply it under another name."
    if ref.kind == "Experiment":
        way_out = "the experiment that was asked for under this name is cancelled."
    return Foreign(
        ref.kind,
        f"There is a {ref.kind} {where} that does not belong to this campaign, and what isn't ours is never taken over: {way_out}",
    )
