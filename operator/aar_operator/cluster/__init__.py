"""Where objects live and are carried out.

Law: a home of the cluster does what it is told. `Cluster` is all that reconciling knows; what the homes differ in stays here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aar_api.errors import AarError

Manifest = dict[str, Any]


class ClusterError(AarError):
    """The cluster did not do what it was asked to do."""


class Conflict(ClusterError):
    """The object changed since it was read: read it again and decide again."""


class Invalid(ClusterError):
    """The cluster refuses the object as it is."""


@dataclass(frozen=True, order=True)
class Ref:
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
    """What reconciling needs of a cluster."""

    async def get(self, ref: Ref) -> Manifest | None:
        """The object, or none."""

    async def find(
        self, kind: str, labels: Mapping[str, str] | None = None, namespace: str | None = None
    ) -> list[Manifest]:
        """Objects of a kind that carry all the labels, by namespace and name."""

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply: make the object so, creating it if need be.

        Raises:
            Invalid: the cluster refuses it.
        """

    async def create(self, manifest: Manifest) -> bool:
        """Make the object once; false if one of that name is there already."""

    async def merge(self, ref: Ref, patch: Manifest) -> None:
        """JSON merge patch (RFC 7396) of metadata or spec, if the object is there."""

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
