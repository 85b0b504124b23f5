"""A control plane of its own for a test run: etcd, kube-apiserver and kube-controller-manager as processes, no node.

Pods are never run: tests play the kubelet and write how a pod ended (`world.Kubelet`).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

TOKEN = "test-admin"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Plane:
    def __init__(self, assets: Path, folder: Path) -> None:
        self.assets, self.folder = assets, folder
        self.etcd_port, self.peer_port, self.port = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.kubeconfig = folder / "kubeconfig"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        key = self.folder / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        self.kubeconfig.write_text(json.dumps(self._config()))
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        self.run(
            "etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--log-level=error",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        )  # fmt: skip
        self.start_api()
        self.wait()  # the controller manager gives up after 10 s
        self.run(
            "kube-controller-manager", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0",
            f"--service-account-private-key-file={key}", "--controllers=*,-nodeipam", "--concurrent-job-syncs=10",
            "--kube-api-qps=200", "--kube-api-burst=400",
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
        for _ in range(600):
            request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(request, context=context, timeout=5).status == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"the API server does not start: see {self.folder / 'kube-apiserver.log'}")

    def kill_api(self) -> None:
        process = self.processes["kube-apiserver"]
        process.kill()
        process.wait()

    def stop(self) -> None:
        for name in reversed(PROGRAMS):
            process = self.processes.get(name)
            if process is not None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def _config(self) -> dict:
        cluster = {"server": self.url, "insecure-skip-tls-verify": True}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Plane]:
    plane = Plane(Path(os.environ["KUBEBUILDER_ASSETS"]), folder)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
