"""One control plane and one set of hubs for all tests here; a namespace for each."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from aar_api import labels
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
    with namespaces(api, "warm", plane.lasting) as space:
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "warm", "namespace": space}}
        assert api.create(quota | {"spec": {"hard": {"pods": "1"}}}).is_success
        until("quotas are counted", lambda: (api.get("ResourceQuota", space, "warm") or {})["status"].get("hard"))
    return api


@contextlib.contextmanager
def namespaces(api: Api, prefix: str, lasting: bool) -> Iterator[str]:
    """A namespace of a user, and one for the operator beside it, by name + "-op". Nothing made in them or for them is left."""
    name = f"{prefix}{uuid.uuid4().hex[:8]}"
    both = (name, f"{name}-op")
    for one in both:
        assert api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}}).is_success
    try:
        yield name
    finally:
        for one in both:
            _clear(api, one)
        for one in both if lasting else ():
            api.delete("Namespace", None, one)


def _clear(api: Api, space: str) -> None:
    """What no operator looks after any more."""
    for kind in ("Experiment", "ResearchCampaign"):
        for one in api.list(kind, space):
            api.patch(kind, space, one["metadata"]["name"], {"metadata": {"finalizers": None}})
            api.delete(kind, space, one["metadata"]["name"])
    for one in api.list("Namespace", selector=f"{labels.CAMPAIGN_NAMESPACE}={space}"):
        api.delete("Namespace", None, one["metadata"]["name"])


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
def space(plane: Plane, api: Api) -> Iterator[str]:
    with namespaces(api, "t", plane.lasting) as name:
        yield name


@pytest.fixture
def kubelet(api: Api, space: str) -> Iterator[Kubelet]:
    with Kubelet(api, space, f"{space}-op") as kubelet:
        yield kubelet


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
