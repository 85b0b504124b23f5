"""A cluster that outlives the tests: they go where its kubeconfig leads, leave nothing, and touch nobody else's."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aar_api import labels
from kube import world
from kube.apidouble.process import Double
from kube.conftest import install_crds, namespaces
from kube.plane import Given
from kube.world import Kubelet, part, phase, until

GRANTS = "import json; print(json.dumps({{'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential', 'status': {{'token': '{}'}}}}))"
"""What a cloud's plug-in does."""


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    double = Double(tmp_path_factory.mktemp("double"))
    double.start()
    install_crds(double.api())
    yield double
    double.stop()


def runs_a_program(token: str) -> dict[str, Any]:
    called = {"command": sys.executable, "args": ["-c", GRANTS.format(token)], "interactiveMode": "Never"}
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", **called}}


@pytest.mark.parametrize("user", [lambda token: {"token": token}, runs_a_program], ids=["token", "program"])
def test_the_current_context_leads(double: Double, tmp_path: Path, user: Any) -> None:
    clusters = {"other": "http://127.0.0.1:9", "ours": double.url}
    users = {"nobody": {"token": "none"}, "we": user(double.token)}
    contexts = {"first": ("other", "nobody"), "chosen": ("ours", "we")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url}} for name, url in clusters.items()],
        "users": [{"name": name, "user": known} for name, known in users.items()],
        "contexts": [{"name": n, "context": {"cluster": c, "user": u}} for n, (c, u) in contexts.items()],
        "current-context": "chosen",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    found = Given(path, tmp_path).api().list("Namespace")
    assert "default" in [one["metadata"]["name"] for one in found]


def test_nothing_is_left(double: Double) -> None:
    """Campaigns that hold on to themselves, in both namespaces, and what was made for them."""
    api = double.api()
    before = {one["metadata"]["name"] for one in api.list("Namespace")}
    with namespaces(api, "left", lasting=True) as space:
        for user in (space, f"{space}-op"):
            held = world.campaign(user)
            held["metadata"]["finalizers"] = [labels.FINALIZER]
            found = api.create(held).json()
            marks = {labels.CAMPAIGN_NAMESPACE: user}
            meta = {"name": part(found, "hub"), "labels": marks}
            assert api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}).is_success
    until("all is gone", lambda: {one["metadata"]["name"] for one in api.list("Namespace")} == before)
    assert api.list("ResearchCampaign") == []


def test_a_kubelet_leaves_other_campaigns_alone(double: Double) -> None:
    api = double.api()
    with namespaces(api, "k", lasting=True) as space, Kubelet(api, space):
        for user in (f"{space}-op", space):
            marks = {labels.MANAGED_BY: labels.FIELD_MANAGER, labels.CAMPAIGN_NAMESPACE: user}
            meta = {"name": user, "namespace": space, "labels": {**marks, "batch.kubernetes.io/job-name": "j"}}
            spec = {"containers": [{"name": "c", "image": "i"}]}
            assert api.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}).is_success
        until("ours ended", lambda: phase(api.get("Pod", space, space)) == "Succeeded")
        assert phase(api.get("Pod", space, f"{space}-op")) in ("", "Pending")
