"""A Kubernetes cluster: objects go to the API server, reading is from a cache of what it said."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import NamedTuple

from aar_api import labels

from aar_operator.cluster import (
    ClusterError,
    Conflict,
    Exists,
    Manifest,
    Missing,
    Ref,
    foreign,
    holds_on,
    intent,
    kinds,
    same_owner,
)
from aar_operator.cluster.cache import JOB_NAME, Cache
from aar_operator.cluster.client import Client
from aar_operator.cluster.journal import Journal
from aar_operator.cluster.kinds import Kind
from aar_operator.cluster.remains import Remains
from aar_operator.cluster.slim import slim

log = logging.getLogger(__name__)
LOOK_SECONDS = 10.0
"""How long an object is on its way out before it is asked for: its end is what a watch can lose."""


class _Sent(NamedTuple):
    """What was applied last, and what the server made of it: digests, since whole objects would be kept twice."""

    mark: str
    held: str
    version: str
    """At which the object was last seen to hold it."""


class KubernetesCluster:
    """See Cluster. `saw` and `relist` feed the cache."""

    def __init__(self, client: Client, with_queues: bool = False) -> None:
        self._client = client
        self._kinds = {kind.name: kind for kind in kinds.known(with_queues)}
        self._kept = kinds.kept(with_queues)
        self._journal = Journal(client)
        self._sent: dict[Ref, _Sent] = {}
        self._leaving: dict[Ref, float] = {}
        self._remains = Remains()
        self._listeners: list[Callable[[Ref, Manifest], None]] = []
        self._followers: list[Callable[[Ref, Manifest], None]] = []
        self._own = False
        self.cache = Cache(self._changed)

    # What feeds the cache.

    def listen(self, listener: Callable[[Ref, Manifest], None]) -> None:
        """Have a function told of every object that changes or goes, with what is last known of it; not of statuses that we write."""
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
        for kind in self._kept:
            items, version = await self._client.items(kind.path(), kind.selector, partial(_named, kind))
            self.cache.replace(kind.name, items, version)

    def _changed(self, ref: Ref, manifest: Manifest) -> None:
        if self.cache.get(ref) is None:
            self._sent.pop(ref, None)
            self._leaving.pop(ref, None)
        self._remains.note(self.cache, ref, manifest)
        for follower in self._followers:
            follower(ref, manifest)
        for listener in self._listeners if not self._own else ():
            listener(ref, manifest)

    # What reconciling uses.

    async def get(self, ref: Ref) -> Manifest | None:
        """See Cluster."""
        kind = self._kinds[ref.kind]
        known = self.cache.get(ref)
        if known is not None or (kind.kept != "none" and not kind.foreign):
            return known
        return await self._read(ref)

    async def look(self, ref: Ref) -> Manifest | None:
        """See Cluster. What is remembered is mended by it."""
        known = self.cache.get(ref)
        there = await self._read(ref)
        if there is not None:
            self._keep(there)
        elif known is not None:
            self.cache.drop(known)
        return there

    async def find(
        self, kind: str, marks: Mapping[str, str] | None = None, namespace: str | None = None, fresh: bool = False
    ) -> list[Manifest]:
        """See Cluster. Of pods also those that are gone, as long as what they ran is owed."""
        known, marks = self._kinds[kind], marks or {}
        selector = ",".join(f"{key}={value}" for key, value in marks.items())
        if known.kept != "none":
            if fresh:
                wanted = ",".join(filter(None, (known.selector, selector)))
                items, _ = await self._client.items(known.path(namespace or ""), wanted, partial(_named, known))
                for one in items:
                    self.cache.put(one)
            return self.cache.find(kind, marks, namespace) + (self._gone(marks, namespace) if kind == "Pod" else [])
        items, _ = await self._client.items(known.path(namespace or ""), selector)
        return [{"apiVersion": known.api_version, "kind": kind, **one} for one in items]

    def _gone(self, marks: Mapping[str, str], namespace: str | None) -> list[Manifest]:
        """Pods that are owed for, of an experiment or of a Job that is no experiment's."""
        if labels.EXPERIMENT_UID in marks:
            owed = self._remains.of(marks[labels.EXPERIMENT_UID])
            return [one for one in owed if namespace in (None, one["metadata"]["namespace"])]
        return [] if namespace is None else self._remains.of(Ref("Job", namespace, marks.get(JOB_NAME, "")))

    async def apply(self, manifest: Manifest) -> Manifest:
        """See Cluster. Nothing is sent when the server still has what was last sent, by this process or, to the letter, by another."""
        wanted, ref = intent.as_stored(manifest), Ref.of(manifest)
        known = self.cache.get(ref)
        if known is None and not self._kinds[ref.kind].keeps(wanted):
            known = await self._made(ref, wanted)
        if known is not None and self._stands(ref, wanted, known):
            return known
        got = await self._client.apply(self._path(ref), wanted, labels.FIELD_MANAGER)
        if self._keep(got):
            self._remember(ref, wanted, got)
        return got

    async def _made(self, ref: Ref, wanted: Manifest) -> Manifest | None:
        """Of what the cache does not hold: the object, if it is there, made now if need be. It is hardly ever there."""
        try:
            path = self._kinds[ref.kind].path(ref.namespace)
            return await self._client.create(path, wanted, fieldManager=labels.FIELD_MANAGER)
        except Exists:
            return await self._read(ref)

    def _stands(self, ref: Ref, wanted: Manifest, known: Manifest) -> bool:
        last = self._sent.get(ref)
        if last is not None and last.mark == intent.mark_of(wanted) and last.version == _version(known):
            return True
        if last is None:
            stands = intent.stands(wanted, known)
        else:
            stands = (last.mark, last.held) == (intent.mark_of(wanted), intent.digest(intent.part_of(wanted, known)))
        if stands and self._kinds[ref.kind].keeps(known):
            self._remember(ref, wanted, known)
        return stands

    def _remember(self, ref: Ref, wanted: Manifest, held: Manifest) -> None:
        self._sent[ref] = _Sent(intent.mark_of(wanted), intent.digest(intent.part_of(wanted, held)), _version(held))

    async def create(self, manifest: Manifest) -> bool:
        """See Cluster."""
        ref = Ref.of(manifest)
        there = self.cache.get(ref)
        if there is not None and not same_owner(manifest, there):
            there = await self.look(ref)  # it may be gone by now
        if there is None:
            try:
                path = self._kinds[ref.kind].path(ref.namespace)
                wanted = intent.as_stored(manifest)
                self._keep(await self._client.create(path, wanted, fieldManager=labels.FIELD_MANAGER))
            except Exists:
                there = await self._read(ref)
                if there is None:
                    raise Conflict(f"{ref.kind} {ref.namespace}/{ref.name} was there and is gone: try again.") from None
            else:
                return True
        if not same_owner(manifest, there):
            raise foreign(manifest)
        self._keep(there)
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
            if known is not None:
                self.cache.drop(known)
            if holds_on(patch):
                raise Conflict(f"{ref.kind} {ref.namespace}/{ref.name} is gone: read again.") from None
            return
        if "deletionTimestamp" in got["metadata"] and not got["metadata"].get("finalizers"):
            self.cache.drop(got)
        else:
            self._keep(got)

    async def delete(self, ref: Ref, uid: str | None = None) -> None:
        """See Cluster. Nothing is sent for what is not there; what is on its way out for long is only looked at."""
        kind, known = self._kinds[ref.kind], self.cache.get(ref)
        if kind.whole and known is None:
            return
        if known is not None and "deletionTimestamp" in known["metadata"]:
            await self._look_at_times(ref)
            return
        there = uid or (known or {"metadata": {}})["metadata"].get("uid")
        try:
            got = await self._client.delete(self._path(ref), there)
        except (Missing, Conflict):  # it is gone, or another has its name now
            if known is not None:
                await self.look(ref)
            return
        if got.get("kind") == ref.kind and got["metadata"].get("deletionTimestamp"):
            self._keep(got)
        elif known is not None:
            self.cache.drop(known)

    async def patch_status(self, ref: Ref, status: Manifest, resource_version: str) -> None:
        """See Cluster."""
        known = self.cache.get(ref)
        old = (known or {}).get("status", {})
        patch = {"metadata": {"resourceVersion": resource_version}, "status": intent.replacement(old, status)}
        try:
            got = await self._client.merge(self._path(ref, "status"), patch, fieldManager=labels.FIELD_MANAGER)
        except Missing as error:
            if known is not None:
                self.cache.drop(known)
            raise Conflict(f"{ref.kind} {ref.namespace}/{ref.name} is gone: read again.") from error
        self._own = True
        try:
            self.cache.put(got)
        finally:
            self._own = False

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

        self._followers.append(tell)
        try:
            for kind in self._kept:
                for one in self.cache.find(kind.name, {}, None):
                    yield Ref.of(one)
            while True:
                yield await queue.get()
        finally:
            self._followers.remove(tell)

    def follow(self, kind: str, follower: Callable[[Ref, Manifest | None], None]) -> None:
        """See Cluster."""

        def tell(ref: Ref, manifest: Manifest) -> None:
            if ref.kind == kind:
                follower(ref, self.cache.get(ref))

        for one in self.cache.find(kind, {}, None):
            tell(Ref.of(one), one)
        self._followers.append(tell)

    def _keep(self, manifest: Manifest) -> bool:
        """Whether it is one that the cache holds; then it does."""
        keeps: bool = self._kinds[manifest["kind"]].keeps(manifest)
        if keeps:
            self.cache.put(manifest)
        return keeps

    def _path(self, ref: Ref, part: str = "") -> str:
        return kinds.path(self._kinds[ref.kind], ref, part)

    async def _read(self, ref: Ref) -> Manifest | None:
        try:
            return await self._client.get(self._path(ref))
        except Missing:
            return None

    async def _look_at_times(self, ref: Ref) -> None:
        """Ask now and then whether it is still there."""
        now = time.monotonic()
        if now - self._leaving.setdefault(ref, now) >= LOOK_SECONDS:
            self._leaving[ref] = now
            await self.look(ref)


def _named(kind: Kind, one: Manifest) -> Manifest:
    """What is kept of an object of a list, which names the kind once, for all."""
    return slim({"apiVersion": kind.api_version, "kind": kind.name, **one})


def _version(manifest: Manifest) -> str:
    return str(manifest["metadata"]["resourceVersion"])
