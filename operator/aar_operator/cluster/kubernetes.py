"""A Kubernetes cluster: objects go to the API server, reading is from a cache of what it said."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from aar_api import labels

from aar_operator.cluster import (
    ClusterError,
    Conflict,
    Exists,
    Foreign,
    Manifest,
    Missing,
    Ref,
    foreign,
    intent,
    kinds,
    same_owner,
)
from aar_operator.cluster.cache import JOB_NAME, Cache
from aar_operator.cluster.client import Client
from aar_operator.cluster.journal import Journal
from aar_operator.cluster.kinds import Kind
from aar_operator.cluster.remains import Remains

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Sent:
    """What was applied last, and what the server made of it."""

    manifest: Manifest
    held: Manifest


class KubernetesCluster:
    """See Cluster. `saw` and `relist` feed the cache."""

    def __init__(self, client: Client, with_queues: bool = False) -> None:
        self._client = client
        self._kinds = {kind.name: kind for kind in (*kinds.ALL, *(kinds.QUEUES if with_queues else ()))}
        self._journal = Journal(client)
        self._sent: dict[Ref, _Sent] = {}
        self._remains = Remains()
        self._listeners: list[Callable[[Ref, Manifest], None]] = []
        self.cache = Cache(self._changed)

    @property
    def kept(self) -> list[Kind]:
        """Kinds that the cache holds and that have to be watched."""
        return [kind for kind in self._kinds.values() if kind.kept != "none"]

    # What feeds the cache.

    def listen(self, listener: Callable[[Ref, Manifest], None]) -> None:
        """Have a function told of every object that changes or goes, with what is last known of it."""
        self._listeners.append(listener)

    def saw(self, event: str | None, manifest: Manifest) -> None:
        """A watch event."""
        if event == "DELETED":
            self.cache.drop(manifest)
        else:
            self.cache.put(manifest)

    async def relist(self) -> None:
        """Replace the cache by what there is.

        Raises:
            ClusterError: the lists could not be read.
        """
        for kind in self.kept:
            items, version = await self._client.items(kind.path(), kind.selector)
            # A list names the kind once, for all.
            named = [{"apiVersion": kind.api_version, "kind": kind.name, **one} for one in items]
            self.cache.replace(kind.name, named, version)

    def _changed(self, ref: Ref, manifest: Manifest) -> None:
        if self.cache.get(ref) is None:
            self._sent.pop(ref, None)
            self._remains.note(self.cache, ref, manifest)
        for listener in self._listeners:
            listener(ref, manifest)

    # What reconciling uses.

    async def get(self, ref: Ref) -> Manifest | None:
        """See Cluster."""
        kind = self._kinds[ref.kind]
        known = self.cache.get(ref)
        if known is not None or (kind.kept != "none" and not kind.foreign):
            return known
        return await self._read(ref)

    async def find(
        self, kind: str, marks: Mapping[str, str] | None = None, namespace: str | None = None
    ) -> list[Manifest]:
        """See Cluster."""
        known = self._kinds[kind]
        if known.kept != "none":
            found = self.cache.find(kind, marks or {}, namespace)
            if kind == "Pod" and namespace is not None and JOB_NAME in (marks or {}):
                found += self._remains.of(namespace, (marks or {})[JOB_NAME])
            return found
        selector = ",".join(f"{key}={value}" for key, value in (marks or {}).items())
        items, _ = await self._client.items(known.path(namespace or ""), selector)
        return [{"apiVersion": known.api_version, "kind": kind, **one} for one in items]

    async def apply(self, manifest: Manifest) -> Manifest:
        """See Cluster. Nothing is sent when the server still has what was last sent, by this process or, to the letter, by another."""
        wanted, ref = intent.as_stored(manifest), Ref.of(manifest)
        last, known = self._sent.get(ref), self.cache.get(ref)
        if known is not None and _holds(wanted, last, known):
            return known
        got = await self._client.apply(self._path(ref), wanted, labels.FIELD_MANAGER)
        self._sent[ref] = _Sent(wanted, intent.part_of(wanted, got))
        self.cache.put(got)
        return got

    async def create(self, manifest: Manifest) -> bool:
        """See Cluster."""
        ref = Ref.of(manifest)
        there = self.cache.get(ref)
        if there is None:
            try:
                path = self._kinds[ref.kind].path(ref.namespace)
                wanted = intent.as_stored(manifest)
                self.cache.put(await self._client.create(path, wanted, fieldManager=labels.FIELD_MANAGER))
            except Exists:
                there = await self._read(ref)
                if there is None:
                    raise Conflict(f"{ref.kind} {ref.namespace}/{ref.name} was there and is gone: try again.") from None
            else:
                return True
        if not same_owner(manifest, there):
            raise Foreign(foreign(manifest))
        self.cache.put(there)
        return False

    async def merge(self, ref: Ref, patch: Manifest) -> None:
        """See Cluster. A patch of the finalizers, which are a list that others write too, holds only for the version that was read."""
        known = self.cache.get(ref)
        if known is not None and intent.holds(known, patch):
            return
        if known is not None and "finalizers" in patch.get("metadata", {}):
            version = {"resourceVersion": known["metadata"]["resourceVersion"]}
            patch = {**patch, "metadata": {**patch["metadata"], **version}}
        try:
            got = await self._client.merge(self._path(ref), patch, fieldManager=labels.FIELD_MANAGER)
        except Missing:
            return
        if "deletionTimestamp" in got["metadata"] and not got["metadata"].get("finalizers"):
            self.cache.drop(got)
        else:
            self.cache.put(got)

    async def delete(self, ref: Ref, uid: str | None = None) -> None:
        """See Cluster. Nothing is sent for what is not there or is on its way out."""
        kind, known = self._kinds[ref.kind], self.cache.get(ref)
        if kind.kept != "none" and not kind.foreign and known is None:
            return
        if known is not None and "deletionTimestamp" in known["metadata"]:
            return
        there = uid or (known or {"metadata": {}})["metadata"].get("uid")
        try:
            got = await self._client.delete(self._path(ref), there)
        except (Missing, Conflict):  # it is gone, or another has its name now
            if known is not None:
                await self._refresh(ref, known)
            return
        if got.get("kind") == ref.kind and got["metadata"].get("deletionTimestamp"):
            self.cache.put(got)
        elif known is not None:
            self.cache.drop(known)

    async def patch_status(self, ref: Ref, status: Manifest, resource_version: str) -> None:
        """See Cluster."""
        old = (self.cache.get(ref) or {}).get("status", {})
        patch = {"metadata": {"resourceVersion": resource_version}, "status": intent.replacement(old, status)}
        try:
            got = await self._client.merge(self._path(ref, "status"), patch, fieldManager=labels.FIELD_MANAGER)
        except Missing as error:
            raise Conflict(f"{ref.kind} {ref.namespace}/{ref.name} is gone: read again.") from error
        self.cache.put(got)

    async def emit(self, about: Ref, kind: str, reason: str, message: str) -> None:
        """See Cluster. An event is a courtesy: one that cannot be recorded stops nothing."""
        known = self.cache.get(about)
        if known is None:
            return
        try:
            await self._journal.record(known, kind, reason, message)
        except ClusterError as error:
            log.warning("The event %s of %s %s was not recorded: %s", reason, about.kind, about.name, error)

    async def watch(self) -> AsyncIterator[Ref]:
        """See Cluster."""
        queue: asyncio.Queue[Ref] = asyncio.Queue()

        def tell(ref: Ref, manifest: Manifest) -> None:
            queue.put_nowait(ref)

        self._listeners.append(tell)
        try:
            for kind in self.kept:
                for one in self.cache.find(kind.name, {}, None):
                    yield Ref.of(one)
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(tell)

    def _path(self, ref: Ref, part: str = "") -> str:
        return kinds.path(self._kinds[ref.kind], ref, part)

    async def _read(self, ref: Ref) -> Manifest | None:
        try:
            return await self._client.get(self._path(ref))
        except Missing:
            return None

    async def _refresh(self, ref: Ref, known: Manifest) -> None:
        """The cache was wrong about an object: ask."""
        there = await self._read(ref)
        if there is None:
            self.cache.drop(known)
        else:
            self.cache.put(there)


def _holds(wanted: Manifest, last: _Sent | None, known: Manifest) -> bool:
    if last is None:
        return intent.stands(wanted, known)
    return last.manifest == wanted and last.held == intent.part_of(wanted, known)
