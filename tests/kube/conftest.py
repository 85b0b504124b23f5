"""One control plane and one set of hubs for all tests here; a namespace for each."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kube.hubdouble import Hubs, serving
from kube.inside import NO_NODE
from kube.plane import Plane, lack_of_kubernetes, running
from kube.world import ROOT, Api, Kubelet, until


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A control plane and an operator beside other work need more time than a test of one module."""
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(420))


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    if "kubernetes" in os.environ.get("TESTS_REQUIRE", "").split():
        lack_of_kubernetes()
    with running(tmp_path_factory.mktemp("plane")) as plane:
        yield plane


@pytest.fixture(scope="session")
def api(plane: Plane) -> Api:
    api = plane.api()
    install_crds(api)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "warm", "namespace": "default"}}
    api.create(quota | {"spec": {"hard": {"pods": "1"}}})
    until("quotas are counted", lambda: (api.get("ResourceQuota", "default", "warm") or {})["status"].get("hard"))
    return api


def install_crds(api: Api) -> None:
    for name in ("researchcampaigns.yaml", "experiments.yaml"):
        crd = yaml.safe_load((ROOT / "crds" / name).read_text())
        answer = api.create(crd)
        assert answer.status_code in (201, 409), answer.text
        until("the CRD is served", lambda crd=crd: _established(api, crd["metadata"]["name"]))


def _established(api: Api, name: str) -> bool:
    crd = api.get("CustomResourceDefinition", None, name)
    return any(c["type"] == "Established" and c["status"] == "True" for c in (crd["status"].get("conditions") or []))


@pytest.fixture(scope="session")
def hubs() -> Iterator[Hubs]:
    with serving() as hubs:
        yield hubs


@pytest.fixture
def kubelet(api: Api) -> Iterator[Kubelet]:
    with Kubelet(api) as kubelet:
        yield kubelet


@pytest.fixture
def space(plane: Plane, api: Api) -> Iterator[str]:
    """A namespace of a user, and one for the operator beside it, by name + "-op"."""
    name = f"t{uuid.uuid4().hex[:8]}"
    for one in (name, f"{name}-op"):
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}})
    yield name
    for kind in ("Experiment", "ResearchCampaign"):
        for one in api.list(kind, name):
            api.patch(kind, name, one["metadata"]["name"], {"metadata": {"finalizers": None}})
            api.delete(kind, name, one["metadata"]["name"])
    for one in api.list("Namespace", selector=f"aar.dev/campaign-namespace={name}"):
        api.delete("Namespace", None, one["metadata"]["name"])
    for one in (name, f"{name}-op") if plane.lasting else ():
        api.delete("Namespace", None, one)


@pytest.fixture
def kubernetes(plane: Plane) -> None:
    """For what the double does not do."""
    if not plane.real:
        lack_of_kubernetes()


@pytest.fixture
def environment(hubs: Hubs, space: str) -> dict[str, str]:
    return {
        "AAR_OPERATOR_NAMESPACE": f"{space}-op",
        "AAR_HUB_URL_TEMPLATE": hubs.url + "/{namespace}",
        "AAR_RELIST_SECONDS": "20",
        "AAR_NODE_SELECTOR": json.dumps(NO_NODE),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
