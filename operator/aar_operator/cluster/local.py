"""One machine as a cluster: the same objects, carried out as processes. It is no sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from aar_operator.cluster import Conflict, Manifest, Ref, foreign, holds_on, same_owner
from aar_operator.cluster.local_jobs import plan_job
from aar_operator.cluster.local_node import Node
from aar_operator.cluster.local_pods import Pods
from aar_operator.cluster.local_ports import LOOPBACK, PortTaken, free_port, is_free
from aar_operator.cluster.local_store import Store

MOVES = "operator"
"""The port of pages and metrics, which may be another at each start; that for sandboxes stands in the Jobs that wait or run."""
BEAT_SECONDS = 1.0
RESTART_SECONDS = 1.0
"""Before a Deployment's pod that ended is started again."""


class LocalCluster:
    """Objects in SQLite under a folder, and the controllers that a cluster would run."""

    def __init__(
        self,
        folder: Path,
        *,
        cores: int,
        gpus: int,
        host_environment: Mapping[str, str],
        fixed_ports: Mapping[str, int] | None = None,
    ) -> None:
        self._store = Store(folder / "cluster.sqlite", self._changed)
        self._pods = Pods(self._store, folder, Node(cores, gpus), host_environment, self._host_port)
        self._fixed = dict(fixed_ports or {})
        self._watchers: list[asyncio.Queue[Ref]] = []
        self._followers: list[tuple[str, Callable[[Ref, Manifest | None], None]]] = []
        self._due: asyncio.Queue[Ref] = asyncio.Queue()
        self._queued: set[Ref] = set()
        self._alive = folder / "alive"
        self._loop: asyncio.Task[None] | None = None
        self._pulse: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what is stored.

        Raises:
            PortTaken: another program listens where the hub's experiments expect it.
        """
        self._pods.forget_lost(self._alive.stat().st_mtime if self._alive.exists() else time.time())
        self._readdress()
        self._loop = asyncio.create_task(self._control())
        self._pulse = asyncio.create_task(self._beat())
        for ref in self._store.refs():
            self._enqueue(ref)

    async def stop(self) -> None:
        """Stop every process and close the store; everything can be taken up again."""
        for task in filter(None, (self._loop, self._pulse)):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._pods.stop_all()
        self._store.close()

    @property
    def failed(self) -> asyncio.Task[None] | None:
        """The controllers' task: done only if they broke."""
        return self._loop

    # What reconciling uses.

    async def get(self, ref: Ref) -> Manifest | None:
        """See Cluster."""
        return self._store.get(ref)

    async def look(self, ref: Ref) -> Manifest | None:
        """See Cluster."""
        return self._store.get(ref)

    async def find(
        self, kind: str, marks: Mapping[str, str] | None = None, namespace: str | None = None, fresh: bool = False
    ) -> list[Manifest]:
        """See Cluster."""
        return self._store.find(kind, marks, namespace)

    async def apply(self, manifest: Manifest) -> Manifest:
        """See Cluster."""
        return self._store.apply(self._admitted(manifest))

    async def create(self, manifest: Manifest) -> bool:
        """See Cluster."""
        made = self._store.create(self._admitted(manifest))
        there = None if made else self._store.get(Ref.of(manifest))
        if there is not None and not same_owner(manifest, there):
            raise foreign(manifest)
        return made

    async def merge(self, ref: Ref, patch: Manifest) -> None:
        """See Cluster."""
        if holds_on(patch):
            self._store.need(ref)
        self._store.merge(ref, patch)

    async def delete(self, ref: Ref, uid: str | None = None) -> None:
        """See Cluster."""
        self._store.delete(ref, uid)

    async def patch_status(self, ref: Ref, status: Manifest, resource_version: str) -> None:
        """See Cluster."""
        self._store.patch_status(ref, status, resource_version)

    async def emit(self, about: Ref, kind: str, reason: str, message: str) -> None:
        """See Cluster."""
        self._store.record_event(about, kind, reason, message)

    async def watch(self) -> AsyncIterator[Ref]:
        """See Cluster."""
        queue: asyncio.Queue[Ref] = asyncio.Queue()
        self._watchers.append(queue)
        try:
            for ref in self._store.refs():
                yield ref
            while True:
                yield await queue.get()
        finally:
            self._watchers.remove(queue)

    def follow(self, kind: str, follower: Callable[[Ref, Manifest | None], None]) -> None:
        """See Cluster."""
        for one in self._store.find(kind):
            follower(Ref.of(one), one)
        self._followers.append((kind, follower))

    # What a cluster does by itself.

    def _admitted(self, manifest: Manifest) -> Manifest:
        """A Service gets its address here, as an API server gives it one; the ports are host ports and are kept."""
        if manifest["kind"] != "Service":
            return manifest
        spec = manifest["spec"]
        ports = [
            {**port, "port": self._store.port(_key(manifest), port["name"], partial(self._choose, port["name"]))}
            for port in spec["ports"]
        ]
        return {**manifest, "spec": {**spec, "clusterIP": LOOPBACK, "ports": ports}}

    def _choose(self, name: str) -> int:
        wanted = self._fixed.get(name, 0)
        return wanted or free_port()

    def _readdress(self) -> None:
        """Before anything runs: a port that was taken meanwhile, or is wanted elsewhere now, is chosen anew if it may move."""
        for service in self._store.find("Service"):
            for name in [port["name"] for port in service["spec"]["ports"]]:
                held = self._store.held_port(_key(service), name)
                if held is None or (is_free(held) and self._fixed.get(name, held) == held):
                    continue
                if name != MOVES:
                    raise PortTaken(
                        f"Port {held} is in use by another program, but this run's experiments know the hub by it: stop that program "
                        "and run the same command again."
                    )
                self._store.forget_port(_key(service), name)
            self._store.apply(self._admitted(service))

    def _host_port(self, pod: Manifest, value: str) -> str:
        """A value that is the target port of a Service which selects the pod becomes that Service's host port."""
        meta = pod["metadata"]
        for service in self._store.find("Service", namespace=meta["namespace"]):
            if service["spec"]["selector"].items() <= meta.get("labels", {}).items():
                for port in service["spec"]["ports"]:
                    if value == str(port["targetPort"]):
                        return str(port["port"])
        return value

    def _changed(self, ref: Ref) -> None:
        for kind, follower in self._followers:
            if kind == ref.kind:
                follower(ref, self._store.get(ref))
        for queue in self._watchers:
            queue.put_nowait(ref)
        self._enqueue(ref)

    def _enqueue(self, ref: Ref) -> None:
        if ref.kind in ("Job", "Pod", "Deployment") and ref not in self._queued:
            self._queued.add(ref)
            self._due.put_nowait(ref)

    async def _beat(self) -> None:
        """Keep a mark of the last moment at which processes ran: after a kill, their time is paid for up to then."""
        while True:
            with contextlib.suppress(OSError):  # a full disk is reported where it does harm
                self._alive.touch()
            await asyncio.sleep(BEAT_SECONDS)

    async def _control(self) -> None:
        while True:
            ref = await self._due.get()
            self._queued.discard(ref)
            with contextlib.suppress(Conflict):  # it changed meanwhile, and so is queued again
                self._sync(ref)

    def _sync(self, ref: Ref) -> None:
        if ref.kind == "Job":
            self._sync_job(ref)
        elif ref.kind == "Deployment":
            self._sync_deployment(ref)
        else:
            self._pods.sync(ref)
            pod = self._store.get(ref)
            for owner in (pod or {"metadata": {}})["metadata"].get("ownerReferences", []):
                self._enqueue(Ref(owner["kind"], ref.namespace, owner["name"]))

    def _owned(self, owner: Manifest) -> list[Manifest]:
        pods = self._store.find("Pod", namespace=owner["metadata"]["namespace"])
        uid = owner["metadata"]["uid"]
        return [pod for pod in pods if any(o["uid"] == uid for o in pod["metadata"].get("ownerReferences", []))]

    def _sync_job(self, ref: Ref) -> None:
        job = self._store.get(ref)
        if job is None or "deletionTimestamp" in job["metadata"]:
            return
        plan = plan_job(job, self._owned(job), datetime.now(UTC))
        for name in plan.stop:
            self._store.delete(Ref("Pod", ref.namespace, name))
        for pod in plan.create:
            self._store.create(pod)
        self._store.patch_status(ref, plan.status)
        if plan.again_in is not None:
            asyncio.get_running_loop().call_later(max(plan.again_in, 0.05), self._enqueue, ref)

    def _sync_deployment(self, ref: Ref) -> None:
        deployment = self._store.get(ref)
        if deployment is None or "deletionTimestamp" in deployment["metadata"]:
            return
        running = 0
        for pod in self._owned(deployment):
            if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
                self._store.delete(Ref.of(pod))
                asyncio.get_running_loop().call_later(RESTART_SECONDS, self._enqueue, ref)
                return
            running += 1
        if running == 0 and deployment["spec"].get("replicas", 1) > 0:
            self._store.create(_deployed(deployment))
        self._store.patch_status(ref, {"replicas": running, "readyReplicas": running})


def _deployed(deployment: Manifest) -> Manifest:
    meta, template = deployment["metadata"], deployment["spec"]["template"]
    owner = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{meta['name']}-0",
            "namespace": meta["namespace"],
            "labels": template["metadata"].get("labels", {}),
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
    }


def _key(service: Manifest) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"
