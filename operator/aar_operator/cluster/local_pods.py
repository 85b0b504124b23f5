"""The kubelet of the local home: a pod's containers as processes, init containers first and in order."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aar_api import labels

from aar_operator.cluster import Conflict, Manifest, Ref, leftovers, shim
from aar_operator.cluster.local_code import image_id
from aar_operator.cluster.local_node import Node, Share
from aar_operator.cluster.local_store import Store
from aar_operator.cluster.observe import INDEX_LABEL

NO_SPACE_RETRY_SECONDS = 5.0
KILLED = 137
"""Exit code of a process that SIGKILL ended, as a shell tells it."""


class Pods:
    """Runs pods; each has one task from its scheduling to its end."""

    def __init__(
        self,
        store: Store,
        root: Path,
        node: Node,
        host_environment: Mapping[str, str],
        port_of: Callable[[Manifest, str], str],
    ) -> None:
        self._store, self._root, self._node = store, root, node
        self._host, self._port_of = dict(host_environment), port_of
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._refs: dict[str, Ref] = {}

    def forget_lost(self, when: float) -> None:
        """At start: what an earlier run left unfinished died with it, at `when`. A disruption is no failure of the pod."""
        leftovers.end(self._root / "work")
        shutil.rmtree(self._root / "work", ignore_errors=True)
        for pod in self._store.find("Pod"):
            if pod.get("status", {}).get("phase", "Pending") in ("Pending", "Running"):
                status = {**pod.get("status", {}), "phase": "Failed", "conditions": [disrupted(when)]}
                self._store.patch_status(Ref.of(pod), status)

    def sync(self, ref: Ref) -> None:
        """Start a new pod; stop one that is deleted."""
        pod = self._store.get(ref)
        for uid, known in list(self._refs.items()):
            if known == ref and (pod is None or pod["metadata"]["uid"] != uid):
                self._tasks[uid].cancel()
        if pod is None or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return
        uid = pod["metadata"]["uid"]
        if uid not in self._tasks:
            self._refs[uid] = ref
            self._tasks[uid] = asyncio.create_task(self._live(ref, pod))

    async def stop_all(self) -> None:
        """Stop every process, together; the pods stay as they are and count as disrupted at the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _live(self, ref: Ref, pod: Manifest) -> None:
        uid = pod["metadata"]["uid"]
        try:
            while not self._node.fits(pod):
                await asyncio.sleep(
                    3600
                )  # Pending for good, as on a cluster without such a node; the Job's deadline ends it
            share = await self._node.take(pod)
            try:
                await self._run(ref, pod, share)
            finally:
                self._node.give_back(share)
        finally:
            self._tasks.pop(uid, None)
            self._refs.pop(uid, None)

    async def _run(self, ref: Ref, pod: Manifest, share: Share) -> None:
        place = Place(self._root, pod)
        status: dict[str, Any] = {"phase": "Running", "startTime": stamp()}
        try:
            self._report(ref, status)
            self._prepare(place, pod)
            self._report(ref, await self._steps(place, pod, share, status))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            await asyncio.sleep(NO_SPACE_RETRY_SECONDS)
            message = f"The disk that holds {self._root} is full: free some space."
            self._report(ref, {**status, "phase": "Failed", "conditions": [disrupted()], "message": message})
        finally:
            shutil.rmtree(place.folder, ignore_errors=True)

    async def _steps(self, place: Place, pod: Manifest, share: Share, status: dict[str, Any]) -> dict[str, Any]:
        """Run the containers in order up to the first that fails; the pod's last status."""
        for field, containers in (
            ("initContainerStatuses", pod["spec"].get("initContainers", [])),
            ("containerStatuses", pod["spec"]["containers"]),
        ):
            for container in containers:
                began, image = stamp(), image_id(container.get("command", []))
                code = await self._container(place, pod, container, share)
                ended = {"exitCode": code, "startedAt": began, "finishedAt": stamp()}
                one = {"name": container["name"], "imageID": image, "state": {"terminated": ended}}
                status = {**status, field: [*status.get(field, []), one]}
                if code != 0:
                    return {**status, "phase": "Failed"}
        return {**status, "phase": "Succeeded"}

    def _report(self, ref: Ref, status: dict[str, Any]) -> None:
        with contextlib.suppress(Conflict):
            self._store.patch_status(ref, status)

    def _prepare(self, place: Place, pod: Manifest) -> None:
        place.logs.mkdir(parents=True, exist_ok=True)
        place.temporary.mkdir(parents=True, exist_ok=True)
        for volume in pod["spec"].get("volumes", []):
            folder = place.volume(volume)
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in self._projected(volume, pod["metadata"]["namespace"]).items():
                (folder / name).write_text(content)

    def _projected(self, volume: dict[str, Any], namespace: str) -> dict[str, str]:
        if "configMap" in volume:
            found = self._store.need(Ref("ConfigMap", namespace, volume["configMap"]["name"]))
            return dict(found.get("data", {}))
        return {}

    async def _container(self, place: Place, pod: Manifest, container: dict[str, Any], share: Share) -> int:
        command = [*container.get("command", []), *container.get("args", [])]
        command = [sys.executable if word == "python" else word for word in command]
        record = place.folder / f"{container['name']}.json"
        log = place.logs / f"{container['name']}.log"
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", shim.__file__, str(os.getpid()), str(record), str(log), "--", *command,
            env=self._environment(place, pod, container, share), cwd=place.temporary, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await started.wait()
        except asyncio.CancelledError:
            await _end(started)
            raise
        finally:
            leftovers.end(place.folder)
        # The shim died without a record only if somebody killed it.
        return int(json.loads(record.read_text())["exitCode"]) if record.exists() else KILLED

    def _environment(self, place: Place, pod: Manifest, container: dict[str, Any], share: Share) -> dict[str, str]:
        """What the manifest says, with mount paths and ports of this machine, over the few variables any program needs."""
        env = {**self._host, "HOME": str(place.temporary), "TMPDIR": str(place.temporary)}
        env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, share.gpus))
        threads = str(max(1, round(share.millicores / 1000)))
        env |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        if INDEX_LABEL in pod["metadata"].get("labels", {}):
            env[labels.ENV_INDEX] = pod["metadata"]["labels"][INDEX_LABEL]
        mounts = {one["mountPath"]: one["name"] for one in container.get("volumeMounts", [])}
        volumes = {one["name"]: one for one in pod["spec"].get("volumes", [])}
        for entry in container.get("env", []):
            value = self._value(entry, pod["metadata"]["namespace"])
            if value in mounts:
                # Only a mount path itself is one: a folder of this machine may well begin like one, as those under /tmp do.
                value = str(place.volume(volumes[mounts[value]]))
            env[entry["name"]] = self._port_of(pod, value)
        return env

    def _value(self, entry: dict[str, Any], namespace: str) -> str:
        if "value" in entry:
            return str(entry["value"])
        reference = entry["valueFrom"]["secretKeyRef"]
        return self._secret(namespace, reference["name"], reference["key"])

    def _secret(self, namespace: str, name: str, key: str) -> str:
        secret = self._store.need(Ref("Secret", namespace, name))
        if key in secret.get("stringData", {}):
            return str(secret["stringData"][key])
        return base64.b64decode(secret["data"][key]).decode()


class Place:
    """Where a pod's files are on this machine."""

    def __init__(self, root: Path, pod: Manifest) -> None:
        meta = pod["metadata"]
        self._root, self._namespace = root, meta["namespace"]
        self.folder = root / "work" / meta["uid"]
        self.temporary = self.folder / "tmp"
        self.logs = root / "pods" / meta["namespace"] / meta["name"]

    def volume(self, volume: dict[str, Any]) -> Path:
        """The folder of a volume: a claim's is kept, any other goes with the pod."""
        if "persistentVolumeClaim" in volume:
            return Path(self._root, "volumes", self._namespace, volume["persistentVolumeClaim"]["claimName"])
        return Path(self.folder, "volumes", volume["name"])


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask, wait a little longer than the shim's own grace, and kill."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), shim.GRACE_SECONDS + 1)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def stamp(when: float | None = None) -> str:
    """A moment, or now; with microseconds, which an API server would cut off, since steps here take fractions of a second."""
    moment = datetime.now(UTC) if when is None else datetime.fromtimestamp(when, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def disrupted(when: float | None = None) -> dict[str, str]:
    """The condition of a pod that ended through no fault of its own."""
    since = stamp(when)
    return {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "lastTransitionTime": since}
