"""A real API server for tests: etcd and kube-apiserver from KUBEBUILDER_ASSETS, as controller-runtime's envtest names the folder."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import httpx
import yaml
from ports import free_ports

TOKEN = "admin-of-a-test"
START_SECONDS = 90
PLURALS = {"NetworkPolicy": "networkpolicies", "ValidatingAdmissionPolicy": "validatingadmissionpolicies"}
CLUSTER_WIDE = {
    "Namespace",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


def path_of(manifest: dict, namespace: str | None = None) -> str:
    """The collection that an object belongs to."""
    version, kind = manifest["apiVersion"], manifest["kind"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = PLURALS.get(kind, f"{kind.lower()}s")
    if kind in CLUSTER_WIDE:
        return f"{base}/{plural}"
    return f"{base}/namespaces/{namespace or manifest['metadata']['namespace']}/{plural}"


class Api:
    """Requests as an administrator, or as anybody else."""

    def __init__(self, url: str, ca: Path, kubeconfig: Path) -> None:
        self.url, self.ca, self.kubeconfig = url, ca, kubeconfig
        self._client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, verify=_trust(ca), trust_env=False, timeout=30
        )

    def close(self) -> None:
        self._client.close()

    def call(
        self, method: str, path: str, body: object = None, *, user: str | None = None, **query: str
    ) -> httpx.Response:
        """One request; `user` is impersonated, with the group of all users."""
        headers = {} if user is None else {"Impersonate-User": user, "Impersonate-Group": "system:authenticated"}
        if method == "PATCH":
            kind = "apply-patch+yaml" if "fieldManager" in query else "merge-patch+json"
            headers["Content-Type"] = f"application/{kind}"
        return self._client.request(method, path, json=body, headers=headers, params=query)

    def create(self, manifest: dict, *, user: str | None = None, **query: str) -> httpx.Response:
        """Create an object."""
        return self.call("POST", path_of(manifest), manifest, user=user, **query)

    def apply(self, manifest: dict, **query: str) -> httpx.Response:
        """Server-side apply; unknown fields are refused."""
        path = f"{path_of(manifest)}/{manifest['metadata']['name']}"
        return self.call("PATCH", path, manifest, fieldManager="test", force="true", fieldValidation="Strict", **query)

    def must(self, manifest: dict) -> None:
        """Apply, and fail if that is refused."""
        answer = self.apply(manifest)
        assert answer.is_success, answer.text


def _trust(ca: Path) -> object:
    import ssl

    return ssl.create_default_context(cafile=ca)


class Server:
    """Both processes and their folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._started = folder, []
        binaries = Path(os.environ["KUBEBUILDER_ASSETS"])
        peer, client, secure = free_ports(3)
        key = folder / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        self._start(
            binaries / "etcd",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{client}",
            f"--advertise-client-urls=http://127.0.0.1:{client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
            "--log-level=error",
        )
        self._start(
            binaries / "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{client}",
            f"--secure-port={secure}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={folder}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16",
        )
        self.api = self._wait(f"https://127.0.0.1:{secure}")

    def _start(self, program: Path, *arguments: str) -> None:
        log = (self.folder / f"{program.name}.log").open("wb")
        with log:
            self._started.append(subprocess.Popen([program, *arguments], stdout=log, stderr=log, cwd=self.folder))

    def _wait(self, url: str) -> Api:
        ca, until = self.folder / "apiserver.crt", time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            for process in self._started:
                assert process.poll() is None, (self.folder / f"{Path(process.args[0]).name}.log").read_text()[-3000:]
            if ca.exists():
                api = Api(url, ca, self._kubeconfig(url, ca))
                try:
                    # The default namespace comes last of what a server makes for itself.
                    ready = api.call("GET", "/readyz").is_success
                    if ready and api.call("GET", "/api/v1/namespaces/default").is_success:
                        return api
                except httpx.TransportError:
                    pass
                api.close()
            time.sleep(0.3)
        raise AssertionError((self.folder / "kube-apiserver.log").read_text()[-3000:])

    def _kubeconfig(self, url: str, ca: Path) -> Path:
        path = self.folder / "kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(ca)}}],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def stop(self) -> None:
        """End both; nothing is kept."""
        if hasattr(self, "api"):
            self.api.close()
        for process in reversed(self._started):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
