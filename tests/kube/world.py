"""What a test of the operator on a cluster needs: a plain client, a kubelet that writes how pods ended, the operator as a process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from aar_api import labels, names
from kubernetes.client.configuration import Configuration
from kubernetes.config import load_kube_config

ROOT = Path(__file__).parents[2]
PLURALS = {
    "ResearchCampaign": "/apis/aar.dev/v1alpha1/{}researchcampaigns",
    "Experiment": "/apis/aar.dev/v1alpha1/{}experiments",
    "Namespace": "/api/v1/namespaces",
    "Pod": "/api/v1/{}pods",
    "Secret": "/api/v1/{}secrets",
    "Service": "/api/v1/{}services",
    "ConfigMap": "/api/v1/{}configmaps",
    "ResourceQuota": "/api/v1/{}resourcequotas",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/{}networkpolicies",
    "Deployment": "/apis/apps/v1/{}deployments",
    "Job": "/apis/batch/v1/{}jobs",
    "Lease": "/apis/coordination.k8s.io/v1/{}leases",
    "Event": "/apis/events.k8s.io/v1/{}events",
    "ClusterQueue": "/apis/kueue.x-k8s.io/v1beta1/clusterqueues",
    "LocalQueue": "/apis/kueue.x-k8s.io/v1beta1/{}localqueues",
    "Workload": "/apis/kueue.x-k8s.io/v1beta1/{}workloads",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}
PATIENCE = 120.0
"""Seconds until a test gives up waiting: machines that run tests are slow."""


class Way(NamedTuple):
    """To an API server: where it is, whom to trust and be, and a token if it wants one."""

    url: str
    context: ssl.SSLContext
    token: str


def way_in(kubeconfig: Path, folder: Path) -> Way:
    """By the current context of a kubeconfig, as the operator itself goes; certificates are unpacked in the folder."""
    found = Configuration()
    load_kube_config(
        str(kubeconfig), client_configuration=found, persist_config=False, temp_file_path=str(folder.absolute())
    )
    context = ssl.create_default_context(cafile=found.ssl_ca_cert)
    if not found.verify_ssl:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if found.cert_file:
        context.load_cert_chain(found.cert_file, found.key_file)
    bearer = found.get_api_key_with_prefix("BearerToken") or ""
    return Way(found.host, context, bearer.removeprefix("Bearer "))


class Api:
    """Plain requests, as an administrator."""

    def __init__(self, url: str, token: str = "", verify: ssl.SSLContext | bool = False) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=url, headers=headers, verify=verify, timeout=30, trust_env=False)

    @classmethod
    def of(cls, kubeconfig: Path, folder: Path) -> Api:
        """By a kubeconfig."""
        way = way_in(kubeconfig, folder)
        return cls(way.url, way.token, way.context)

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request; a server that is busy is asked again."""
        for _ in range(30):
            answer = self.http.request(method, path, **more)
            if answer.status_code not in (429, 503):
                break
            time.sleep(1)
        return answer

    def path(self, kind: str, namespace: str | None, name: str = "") -> str:
        where = PLURALS[kind].format(f"namespaces/{namespace}/" if namespace else "")
        return f"{where}/{name}" if name else where

    def get(self, kind: str, namespace: str | None, name: str) -> dict | None:
        answer = self.send("GET", self.path(kind, namespace, name))
        return None if answer.status_code == 404 else answer.raise_for_status().json()

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> list[dict]:
        answer = self.send("GET", self.path(kind, namespace), params={"labelSelector": selector})
        return answer.raise_for_status().json()["items"]

    def create(self, manifest: dict) -> httpx.Response:
        namespace = manifest["metadata"].get("namespace")
        return self.send("POST", self.path(manifest["kind"], namespace), json=manifest)

    def patch(self, kind: str, namespace: str | None, name: str, patch: dict, part: str = "") -> httpx.Response:
        headers = {"Content-Type": "application/merge-patch+json"}
        path = self.path(kind, namespace, name) + (f"/{part}" if part else "")
        return self.send("PATCH", path, json=patch, headers=headers)

    def delete(self, kind: str, namespace: str | None, name: str) -> httpx.Response:
        params = {"propagationPolicy": "Background"}
        return self.send("DELETE", self.path(kind, namespace, name), params=params)


def until(
    what: str,
    look: Callable[[], Any],
    patience: float = PATIENCE,
    about: Callable[[], object] = str,
    pause: float = 0.1,
) -> Any:
    """The first true answer; `about` is asked for what to say if there is none."""
    end = time.monotonic() + patience
    while True:
        got = look()
        if got:
            return got
        assert time.monotonic() < end, f"not in {patience} s: {what}. {about()}"
        time.sleep(pause)


class Kubelet:
    """Writes the end of every pod of a Job: `ends` maps a pod to exit code 0, another, or none to have it run on.

    Of campaigns in the namespaces that are named only: those of another operator in the same cluster have a kubelet.
    """

    def __init__(self, api: Api, *spaces: str) -> None:
        self.api = api
        self._selector = (
            f"{labels.MANAGED_BY}={labels.FIELD_MANAGER},{labels.CAMPAIGN_NAMESPACE} in ({','.join(spaces)})"
        )
        self.ends: Callable[[dict], int | None] = lambda pod: 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Kubelet:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.15):
            with contextlib.suppress(httpx.HTTPError):
                for pod in self.api.list("Pod", selector=self._selector):
                    self._look(pod)

    def _look(self, pod: dict) -> None:
        meta, phase = pod["metadata"], pod["status"].get("phase", "Pending")
        if phase in ("Succeeded", "Failed") or "batch.kubernetes.io/job-name" not in meta["labels"]:
            return
        if meta.get("deletionTimestamp"):
            self.api.http.delete(
                self.api.path("Pod", meta["namespace"], meta["name"]), params={"gracePeriodSeconds": 0}
            )
            return
        code = self.ends(pod)
        if code is None:
            if phase != "Running":
                self._write(pod, {"phase": "Running", "startTime": _now()})
            return
        self._write(pod, ended(pod, code))

    def _write(self, pod: dict, status: dict) -> None:
        self.api.patch("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], {"status": status}, "status")


def ended(pod: dict, code: int, reason: str = "", message: str = "") -> dict:
    """Status of a pod whose last container ended."""
    name = pod["spec"]["containers"][-1]["name"]
    reason = reason or ("Completed" if code == 0 else "Error")
    terminated = {"exitCode": code, "reason": reason, "startedAt": _now(), "finishedAt": _now(), "message": message}
    status = {
        "name": name,
        "image": "x",
        "imageID": "x",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": terminated},
    }
    start = pod["status"].get("startTime") or _now()
    return {"phase": "Failed" if code else "Succeeded", "startTime": start, "containerStatuses": [status]}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class OperatorProcess:
    """`python -m aar_operator.main kubernetes`."""

    def __init__(self, kubeconfig: Path, folder: Path, environment: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "operator.log"
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
        paths = os.pathsep.join(str(ROOT / name) for name in ("crds", "operator"))
        known = {"KUBECONFIG": str(kubeconfig), "PYTHONPATH": paths, "AAR_METRICS_PORT": "0", "AAR_LOG_FORMAT": "text"}
        out = self.log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "aar_operator.main", "kubernetes"], stdout=out, stderr=out, env=keep | known | environment
        )  # fmt: skip
        out.close()

    def port(self) -> int:
        """Port of its metrics."""
        mark = "Metrics and health are at port "
        text = until("the operator says its port", lambda: mark in self.log.read_text() and self.log.read_text())
        return int(str(text).split(mark)[1].split(".")[0])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


@contextlib.contextmanager
def operator(kubeconfig: Path, folder: Path, environment: dict[str, str]) -> Iterator[OperatorProcess]:
    process = OperatorProcess(kubeconfig, folder, environment)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.stop(signal.SIGKILL)


def campaign(namespace: str, name: str = "c", **spec: object) -> dict:
    body = {"task": {"name": "chat"}, "budget": {"limitUSD": "1"}} | spec
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "aar.dev/v1alpha1", "kind": "ResearchCampaign", "metadata": meta, "spec": body}


def experiment(namespace: str, name: str = "e", **spec: object) -> dict:
    body = {"campaignRef": "c", "method": {"builtin": "hard-labels"}} | spec
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "aar.dev/v1alpha1", "kind": "Experiment", "metadata": meta, "spec": body}


def part(found: dict, name: str) -> str:
    """Namespace of a part of a campaign."""
    return names.namespace(found["metadata"]["name"], found["metadata"]["uid"], name)


def condition(found: dict | None, kind: str) -> tuple[str, str, str]:
    for one in (found or {}).get("status", {}).get("conditions", []):
        if one["type"] == kind:
            return one["status"], one["reason"], one["message"]
    return "", "", ""


def status(api: Api, kind: str, namespace: str, name: str) -> str:
    """For a message: how far an object is."""
    return json.dumps((api.get(kind, namespace, name) or {}).get("status"), indent=1)


def phase(found: dict | None) -> str:
    return (found or {}).get("status", {}).get("phase", "")
