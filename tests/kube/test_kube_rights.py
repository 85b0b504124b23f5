"""The operator with the rights that the chart gives it and behind the chart's policies: a campaign from its beginning to its end, with queues."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from helm.charttools import NoHelm, helm_path, render
from kube import world
from kube.conftest import install_crds
from kube.hubdouble import Hubs
from kube.inside import NO_NODE
from kube.plane import Plane, started
from kube.test_kube_life import ASKED, begun, researchers_run
from kube.world import Api, Kubelet, OperatorProcess, part, phase, until
from needs import lacking

OWN, PEOPLE, QUEUE = "aar-system", "people", "cluster-queue"
GIVEN = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
WORK = {"apiVersion": "kueue.x-k8s.io/v1beta1", "kind": "Workload"}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """One of the module's own: policies are for a whole cluster, and other tests run the operator as an administrator."""
    if "KUBEBUILDER_ASSETS" not in os.environ:
        if "KUBECONFIG" in os.environ:
            pytest.skip("the chart's policies would bind whoever else uses the cluster of KUBECONFIG")
        lacking("kubernetes", "KUBEBUILDER_ASSETS is not set: what a role allows only an API server knows.")
    with started(tmp_path_factory.mktemp("rights")) as plane:
        yield plane


@pytest.fixture(scope="module")
def api(plane: Plane) -> Api:
    """With what the chart makes, and with Kueue's kinds, which nobody here acts on."""
    try:
        helm_path()
    except NoHelm as reason:
        lacking("helm", str(reason))
    api = plane.api()
    install_crds(api)
    for kind in ("LocalQueue", "Workload"):
        api.create(_kueue(kind))
        until("Kueue's kinds are served", lambda kind=kind: api.send("GET", api.path(kind, None)).is_success)
    for name in (OWN, PEOPLE):
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    objects = render("--set", f"kueue.clusterQueue={QUEUE}")
    for one in sorted(objects, key=lambda one: one["kind"] in POLICIES):
        if one["kind"] in (*GIVEN, *POLICIES):
            _apply(api, one)
    return api


def _kueue(kind: str) -> dict:
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    spec = {"group": "kueue.x-k8s.io", "scope": "Namespaced", "names": names, "versions": [version]}
    meta = {"name": f"{plural}.kueue.x-k8s.io"}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": meta, "spec": spec}


def _apply(api: Api, one: dict) -> None:
    group = f"/apis/{one['apiVersion']}" if "/" in one["apiVersion"] else f"/api/{one['apiVersion']}"
    namespace = one["metadata"].get("namespace")
    where = f"{group}/namespaces/{namespace}" if namespace else group
    plural = one["kind"].lower().removesuffix("y") + ("ies" if one["kind"].endswith("y") else "s")
    path, headers = f"{where}/{plural}/{one['metadata']['name']}", {"Content-Type": "application/apply-patch+yaml"}
    answer = api.send("PATCH", path, json=one, headers=headers, params={"fieldManager": "test", "force": "true"})
    assert answer.is_success, answer.text


def _as_the_operator(plane: Plane, api: Api, folder: Path) -> Path:
    """A kubeconfig with a token of the operator's account."""
    path = f"/api/v1/namespaces/{OWN}/serviceaccounts/aar/token"
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
    answer = api.send("POST", path, json=asked)
    assert answer.is_success, answer.text
    config = json.loads(plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": answer.json()["status"]["token"]}
    own = folder / "kubeconfig"
    own.write_text(json.dumps(config))
    return own


@pytest.fixture
def kubelet(api: Api) -> Iterator[Kubelet]:
    with Kubelet(api, PEOPLE) as kubelet:
        yield kubelet


@pytest.fixture
def limited(plane: Plane, api: Api, hubs: Hubs, folder: Path) -> Iterator[OperatorProcess]:
    environment = {
        "AAR_OPERATOR_NAMESPACE": OWN,
        "AAR_HUB_URL_TEMPLATE": hubs.url + "/{namespace}",
        "AAR_RELIST_SECONDS": "3600",
        "AAR_NODE_SELECTOR": json.dumps(NO_NODE),
        "AAR_CLUSTER_QUEUE": QUEUE,
        "AAR_PULL_SECRETS": json.dumps({"registry": str(folder / "registry")}),
    }
    (folder / "registry").write_text('{"auths": {}}')
    with world.operator(_as_the_operator(plane, api, folder), folder, environment) as process:
        yield process
        print(process.log.read_text()[-6000:])


def _page(process: OperatorProcess) -> str:
    return httpx.get(f"http://127.0.0.1:{process.port()}/metrics", trust_env=False, timeout=60).text


def test_what_the_chart_allows_is_enough(api: Api, hubs: Hubs, kubelet: Kubelet, limited: OperatorProcess) -> None:
    """Lists are an hour apart, so that only watches can tell; a right that is missing is a request answered with 403."""
    kubelet.ends = researchers_run
    found, hub = begun(api, hubs, PEOPLE)
    space = part(found, "r0")
    assert {str(one["spec"]["imagePullSecrets"]) for one in api.list("Pod", space)} == {"[{'name': 'pull-registry'}]"}
    assert api.get("Secret", space, "pull-registry")["type"] == "kubernetes.io/dockerconfigjson"
    hub.ask_for("c-1", ASKED)
    job = until("its Job", lambda: api.get("Job", space, "c-1-1"))
    _queued(api, job)
    seen = 'aar_watch_events_total{kind="Workload"}'
    until("a Workload is seen", lambda: seen in _page(limited), about=lambda: limited.log.read_text()[-2000:])
    api.patch("ResearchCampaign", PEOPLE, "c", {"spec": {"suspend": True}})
    until("it is held", lambda: api.list("Workload", space)[0]["spec"].get("active") is False)
    api.patch("ResearchCampaign", PEOPLE, "c", {"spec": {"suspend": False}})
    until("it may go on", lambda: api.list("Workload", space)[0]["spec"].get("active") is True)
    api.patch("Job", space, "c-1-1", {"spec": {"suspend": False}})
    until("it is scored", lambda: phase(api.get("Experiment", PEOPLE, "c-1")) == "Complete")
    api.delete("ResearchCampaign", PEOPLE, "c")
    until("it is gone", lambda: api.get("ResearchCampaign", PEOPLE, "c") is None)
    assert 'code="403"' not in _page(limited)
    assert "Watching ended" not in limited.log.read_text()
    assert limited.stop() == 0


def _queued(api: Api, job: dict) -> None:
    """As Kueue would: a Workload that its Job owns."""
    meta = job["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"], "controller": True}
    marks = {"kueue.x-k8s.io/job-uid": meta["uid"]}
    about = {"name": f"job-{meta['name']}", "namespace": meta["namespace"], "labels": marks, "ownerReferences": [owner]}
    answer = api.create(WORK | {"metadata": about, "spec": {"active": True}})
    assert answer.is_success, answer.text
