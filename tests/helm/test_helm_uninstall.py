"""What runs before the operator is taken away, as the program that the chart's hook starts, against a real API server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helm.apiserver import Api
from helm.charttools import only, render

FINALIZER = "aar.dev/cleanup"
NAMES = ("one", "two")
HELM_SECONDS = 300
"""How long `helm uninstall` waits unless it is told otherwise."""
RBAC = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding")


def campaign(name: str) -> dict:
    return {
        "apiVersion": "aar.dev/v1alpha1",
        "kind": "ResearchCampaign",
        "metadata": {"name": name, "namespace": "leaving", "finalizers": [FINALIZER]},
        "spec": {"task": {"name": "chat"}, "budget": {"limitUSD": "1.00"}},
    }


def path(name: str) -> str:
    return f"/apis/aar.dev/v1alpha1/namespaces/leaving/researchcampaigns/{name}"


@pytest.fixture(scope="module")
def account(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a pod of the operator's account finds mounted: the chart's rules must be enough."""
    for name in ("aar-system", "leaving"):
        api.must({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for one in render():
        if one["kind"] in (*RBAC, "CustomResourceDefinition"):
            api.must(one)
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = api.call("POST", "/api/v1/namespaces/aar-system/serviceaccounts/aar/token", asked)
    assert answer.is_success, answer.text
    folder = tmp_path_factory.mktemp("account")
    (folder / "token").write_text(answer.json()["status"]["token"])
    (folder / "ca.crt").write_bytes(api.ca.read_bytes())
    return folder


@pytest.fixture
def campaigns(api: Api, account: Path) -> Iterator[None]:
    """Two of them, as the operator keeps them."""
    until = time.monotonic() + 30
    for name in NAMES:
        while not api.apply(campaign(name)).is_success:
            assert time.monotonic() < until
            time.sleep(0.2)
    yield
    for name in NAMES:
        api.call("PATCH", path(name), {"metadata": {"finalizers": None}})
        api.call("DELETE", path(name))


def run(api: Api, account: Path, *more: str) -> tuple[int, str]:
    """Exit code and what it said, as the hook starts it."""
    container = only(render(), "Job")["spec"]["template"]["spec"]["containers"][0]
    assert container["command"][:2] == ["python", "-m"]
    command = [sys.executable, *container["command"][1:], *container["args"], *more]
    command += ["--server", api.url, "--account", str(account)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def test_refuses_while_there_are_campaigns(api: Api, account: Path, campaigns: None) -> None:
    code, said = run(api, account)
    assert code == 1
    assert "2 campaigns (leaving/one, leaving/two) would be left with the finalizer aar.dev/cleanup" in said
    assert "kubectl delete researchcampaigns" in said
    assert all("deletionTimestamp" not in api.call("GET", path(name)).json()["metadata"] for name in NAMES)


def test_deletes_them_and_waits(api: Api, account: Path, campaigns: None) -> None:
    """The operator's part, taking the finalizer off, is played by the test."""
    ended = threading.Event()

    def operator() -> None:
        while not ended.is_set():
            for name in NAMES:
                seen = api.call("GET", path(name))
                if seen.is_success and "deletionTimestamp" in seen.json()["metadata"]:
                    api.call("PATCH", path(name), {"metadata": {"finalizers": None}})
            ended.wait(0.2)

    thread = threading.Thread(target=operator)
    thread.start()
    try:
        code, said = run(api, account, "--campaigns=Delete")
    finally:
        ended.set()
        thread.join()
    assert (code, said) == (0, "No campaign is left: the operator can go.\n")
    assert all(api.call("GET", path(name)).status_code == 404 for name in NAMES)


def test_says_what_does_not_go(api: Api, account: Path, campaigns: None) -> None:
    code, said = run(api, account, "--campaigns=Delete", "--wait-seconds=0")
    assert code == 1
    assert "2 campaigns (leaving/one, leaving/two) were deleted but are not gone after 0 seconds" in said


EXPERIMENTS = "/apis/aar.dev/v1alpha1/namespaces/leaving/experiments"


@pytest.fixture
def orphan(api: Api, account: Path) -> Iterator[str]:
    """An experiment whose campaign was forced away, and one that nothing holds; the path of the first."""
    for name, held in (("orphan", [FINALIZER]), ("free", [])):
        meta = {"name": name, "namespace": "leaving", "finalizers": held}
        spec = {"campaignRef": "gone", "method": {"builtin": "hard-labels"}}
        one = {"apiVersion": "aar.dev/v1alpha1", "kind": "Experiment", "metadata": meta, "spec": spec}
        until = time.monotonic() + 30
        while not (answer := api.create(one)).is_success:
            assert time.monotonic() < until, answer.text
            time.sleep(0.2)
    yield f"{EXPERIMENTS}/orphan"
    api.call("PATCH", f"{EXPERIMENTS}/orphan", {"metadata": {"finalizers": None}})
    for name in ("orphan", "free"):
        api.call("DELETE", f"{EXPERIMENTS}/{name}")


def test_an_experiment_without_its_campaign_counts_too(api: Api, account: Path, orphan: str) -> None:
    code, said = run(api, account)
    assert code == 1
    assert "1 experiment (leaving/orphan) would be left with the finalizer" in said
    assert "kubectl delete experiments" in said
    assert run(api, account, "--campaigns=Delete", "--wait-seconds=0")[0] == 1
    assert "deletionTimestamp" in api.call("GET", orphan).json()["metadata"]


def test_the_hook_ends_before_helm_does() -> None:
    job = only(render(), "Job")
    assert job["spec"]["activeDeadlineSeconds"] <= HELM_SECONDS


def test_nothing_to_do(api: Api, account: Path) -> None:
    assert run(api, account)[0] == 0
