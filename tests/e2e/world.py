"""A person at a cluster: kubectl and helm, as the documentation says."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from kube import world

from helm import charttools

HERE = Path(__file__).parent
CHART = charttools.CHART
SYSTEM = "aar-system"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
PATIENCE = 3000.0
"""Seconds for a whole campaign: machines that run this are shared and slow."""


@dataclass(frozen=True)
class World:
    """The cluster that KUBECONFIG names, and the images that its nodes have."""

    kubeconfig: Path
    registry: str
    tag: str

    def image(self, part: str) -> str:
        return f"{self.registry}/aar-{part}:{self.tag}"

    def run(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, timeout=120)

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        done = self.run(*arguments, given=given)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(objects))

    def helm(self, *arguments: str) -> None:
        done = charttools.run(*arguments, "--namespace", SYSTEM, kubeconfig=self.kubeconfig)
        assert done.returncode == 0, done.stdout + done.stderr

    def install(self) -> None:
        self.run("create", "namespace", SYSTEM)
        self.kubectl("label", "namespace", SYSTEM, RESTRICTED, "--overwrite")
        chosen = {"images.registry": self.registry} | {
            f"images.{part}.tag": self.tag for part in ("operator", "agent", "lab")
        }
        settings = [word for name, text in chosen.items() for word in ("--set", f"{name}={text}")]
        # Not an upgrade: a release that somebody uses would be uninstalled at the end.
        self.helm("install", "aar", str(CHART), *settings)
        self.kubectl("-n", SYSTEM, "rollout", "status", "deployment/aar", "--timeout=110s")

    @contextlib.contextmanager
    def forwarded(self, namespace: str, target: str, port: int) -> Iterator[str]:
        """URL of a port of a Service, by kubectl port-forward."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            local = free.getsockname()[1]
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", "-n", namespace, "port-forward", target]
        process = subprocess.Popen([*command, f"{local}:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until("the port is forwarded", lambda: _answers(f"http://127.0.0.1:{local}/healthz"), 60)
            yield f"http://127.0.0.1:{local}"
        finally:
            process.terminate()
            process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def until(what: str, look: Callable[[], Any], patience: float, about: Callable[[], object] = str) -> Any:
    """As in other tests of the cluster, but once a second: each look is a process."""
    return world.until(what, look, patience, about, pause=1.0)


def found() -> World | str:
    """The cluster, or why there is none."""
    kubeconfig, tag = os.environ.get("KUBECONFIG"), os.environ.get("AAR_E2E_TAG")
    if not tag:
        return "AAR_E2E_TAG is not set: `make e2e` sets it; it installs the chart in the cluster that KUBECONFIG names"
    if not kubeconfig:
        return "KUBECONFIG is not set: name a cluster with nodes, a default StorageClass and NetworkPolicies that are enforced"
    return World(Path(kubeconfig), os.environ.get("AAR_E2E_REGISTRY", "localhost"), tag)
