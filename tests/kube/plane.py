"""The control plane of a test run: one of its own (etcd, kube-apiserver and kube-controller-manager as processes, no node) where
KUBEBUILDER_ASSETS names their folder, else the cluster that KUBECONFIG names, else the double.

Pods are never run: tests play the kubelet and write how a pod ended (`world.Kubelet`), and no pod fits a node that is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from kube.apidouble.process import Double, kubeconfig
from kube.world import Api
from needs import lacking
from ports import free_ports

TOKEN = "test-admin"
START_SECONDS = 240.0
"""A bound on a hang."""
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")


class Plane(Protocol):
    real: bool
    """Whether it is Kubernetes."""
    lasting: bool
    """Whether it outlives the test run, so that nothing may be left in it."""
    kubeconfig: Path

    def api(self) -> Api:
        """A client of an administrator."""

    def kill_api(self) -> None:
        """The API server is gone at once; `start_api` and `wait` bring it back."""

    def start_api(self) -> None: ...

    def wait(self) -> None: ...

    def compact(self) -> None:
        """Versions of the past can no longer be asked for."""


class Processes:
    """A control plane of its own."""

    real, lasting = True, False

    def __init__(self, assets: Path, folder: Path) -> None:
        self.assets, self.folder = assets, folder
        self.etcd_port, self.peer_port, self.port = free_ports(3)
        self.url = f"https://127.0.0.1:{self.port}"
        self.kubeconfig = folder / "kubeconfig"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        key = self.folder / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        self.kubeconfig.write_text(json.dumps(kubeconfig(self.url, TOKEN, **{"insecure-skip-tls-verify": True})))
        self.start_etcd()
        self.start_api()
        self.wait()  # the controller manager gives up after 10 s
        self.run(
            "kube-controller-manager", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0",
            f"--service-account-private-key-file={key}", "--controllers=*,-nodeipam", "--concurrent-job-syncs=10",
            "--kube-api-qps=200", "--kube-api-burst=400",
        )  # fmt: skip

    def start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        self.run(
            "etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--log-level=error",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        )  # fmt: skip

    def start_api(self) -> None:
        key = self.folder / "sa.key"
        self.run(
            "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.etcd_port}", f"--secure-port={self.port}",
            "--bind-address=127.0.0.1", f"--cert-dir={self.folder / 'certs'}", "--service-cluster-ip-range=10.96.0.0/16",
            f"--token-auth-file={self.folder / 'tokens.csv'}", "--authorization-mode=RBAC", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--service-account-issuer=https://kubernetes.default.svc",
            "--profiling=false", "--event-ttl=1h",
        )  # fmt: skip

    def run(self, program: str, *arguments: object) -> None:
        log = (self.folder / f"{program}.log").open("ab")
        command = ["nice", "-n", "5", str(self.assets / program), *map(str, arguments)]
        self.processes[program] = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        log.close()

    def wait(self) -> None:
        context = ssl._create_unverified_context()
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            ended = [name for name, one in self.processes.items() if one.poll() is not None]
            assert not ended, f"{ended} ended: see {self.folder}"
            request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(request, context=context, timeout=5).status == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"the API server does not start: see {self.folder / 'kube-apiserver.log'}")

    def api(self) -> Api:
        return Api(self.url, TOKEN)

    def kill_api(self) -> None:
        self.kill("kube-apiserver")

    def kill(self, program: str) -> None:
        process = self.processes[program]
        process.kill()
        process.wait()

    def compact(self) -> None:
        """By etcd's JSON gateway."""
        version = self.api().send("GET", "/api/v1/namespaces").json()["metadata"]["resourceVersion"]
        asked = json.dumps({"revision": version, "physical": True}).encode()
        url = f"http://127.0.0.1:{self.etcd_port}/v3/kv/compaction"
        urllib.request.urlopen(urllib.request.Request(url, asked), timeout=30).close()

    def stop(self) -> None:
        for name in reversed(PROGRAMS):
            process = self.processes.get(name)
            if process is not None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)


class Given:
    """The cluster of a kubeconfig."""

    real, lasting = True, True

    def __init__(self, path: Path, folder: Path) -> None:
        self.kubeconfig, self._folder = path, folder

    def api(self) -> Api:
        return Api.of(self.kubeconfig, self._folder)

    def kill_api(self) -> None:
        pytest.skip("the cluster of KUBECONFIG is not this test run's to kill")

    start_api = wait = compact = kill_api


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Plane]:
    """The best there is."""
    if "KUBEBUILDER_ASSETS" not in os.environ and "KUBECONFIG" in os.environ:
        yield Given(Path(os.environ["KUBECONFIG"]), folder)
        return
    own = started(folder) if "KUBEBUILDER_ASSETS" in os.environ else doubled(folder)
    with own as plane:
        yield plane


def lack_of_kubernetes() -> None:
    """Skip or fail where only the double is there."""
    if not {"KUBEBUILDER_ASSETS", "KUBECONFIG"} & os.environ.keys():
        lacking(
            "kubernetes",
            "neither KUBEBUILDER_ASSETS (a folder with etcd, kube-apiserver and kube-controller-manager) nor KUBECONFIG is set.",
        )


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Plane]:
    plane = Processes(Path(os.environ["KUBEBUILDER_ASSETS"]), folder)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@contextlib.contextmanager
def doubled(folder: Path) -> Iterator[Plane]:
    double = Double(folder)
    double.start()
    try:
        yield double
    finally:
        double.stop()
