"""The chart on a real API server: every object is valid, an upgrade upgrades the kinds, an uninstallation keeps the campaigns."""

from __future__ import annotations

import copy
import threading
from pathlib import Path

import pytest
from helm.apiserver import Api
from helm.charttools import CHART, render, run

VALUE_FILES = [None, *sorted((CHART / "ci").glob("*.yaml"))]
MONITORS = {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}


def namespace(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@pytest.fixture(scope="module")
def cluster(api: Api) -> Api:
    """With a namespace, and with kinds of the Prometheus operator that take anything: promtool judges what is in them."""
    api.must(namespace("aar-system"))
    for kind, plural in MONITORS.items():
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"kind": kind, "plural": plural, "singular": kind.lower()}
        spec = {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": names, "versions": [version]}
        name = f"{plural}.monitoring.coreos.com"
        kinds = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
        api.must({**kinds, "metadata": {"name": name}, "spec": spec})
    return api


@pytest.mark.parametrize("values", VALUE_FILES, ids=lambda path: "defaults" if path is None else path.stem)
def test_every_object_is_valid(cluster: Api, values: Path | None) -> None:
    objects = render(*([] if values is None else ["--values", values]))
    assert objects
    for one in objects:
        answer = cluster.apply(one, dryRun="All")
        assert answer.is_success, f"{one['kind']} {one['metadata']['name']}: {answer.text}"


def _helm(api: Api, *arguments: str | Path, ok: bool = True) -> str:
    done = run(*arguments, "--namespace", "aar-life", kubeconfig=api.kubeconfig)
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout + done.stderr


CAMPAIGN = {
    "apiVersion": "aar.dev/v1alpha1",
    "kind": "ResearchCampaign",
    "metadata": {"name": "kept", "namespace": "aar-life"},
    "spec": {"task": {"name": "chat"}, "budget": {"limitUSD": "1.00"}},
}
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/researchcampaigns.aar.dev"
JOB = "/apis/batch/v1/namespaces/aar-life/jobs/aar-uninstall"
DEPLOYMENTS = "/apis/apps/v1/namespaces/aar-life/deployments"
TIME = "2026-01-01T00:00:00Z"
ENDS = {
    "Failed": {"failed": 1},
    "Complete": {"succeeded": 1, "completionTime": TIME},
}
BEFORE = {"Failed": "FailureTarget", "Complete": "SuccessCriteriaMet"}


def _uninstall(api: Api, hook: str) -> str:
    """Uninstall while the test plays the Job controller, which nothing here runs: the hook ends as told.

    What is in the hook is run by tests/helm/test_helm_uninstall.py.
    """
    ended = [
        {"type": one, "status": "True", "reason": "Test", "lastTransitionTime": TIME} for one in (BEFORE[hook], hook)
    ]
    status = {"status": {"startTime": TIME, "conditions": ended, **ENDS[hook]}}
    stop = threading.Event()

    def controller() -> None:
        while not stop.wait(0.2):
            job = api.call("GET", JOB)
            if job.is_success and not job.json()["status"].get("conditions"):
                answer = api.call("PATCH", f"{JOB}/status", status)
                assert answer.is_success, answer.text

    thread = threading.Thread(target=controller)
    thread.start()
    try:
        return _helm(api, "uninstall", "aar", "--timeout", "60s", ok=hook == "Complete")
    finally:
        stop.set()
        thread.join()


def test_install_upgrade_uninstall_install(cluster: Api) -> None:
    cluster.must(namespace("aar-life"))
    _helm(cluster, "install", "aar", CHART)
    made = cluster.call("GET", CRD).json()
    older = copy.deepcopy(made)
    older["spec"]["versions"][0]["additionalPrinterColumns"] = []
    assert cluster.call("PUT", CRD, older).is_success
    _helm(cluster, "upgrade", "aar", CHART, "--force-conflicts")
    assert cluster.call("GET", CRD).json()["spec"] == made["spec"]
    assert cluster.apply(CAMPAIGN).is_success
    _uninstall(cluster, "Failed")
    assert len(cluster.call("GET", DEPLOYMENTS).json()["items"]) == 1
    _helm(cluster, "rollback", "aar")
    assert "STATUS: deployed" in _helm(cluster, "status", "aar")
    _uninstall(cluster, "Complete")
    assert cluster.call("GET", DEPLOYMENTS).json()["items"] == []
    path = "/apis/aar.dev/v1alpha1/namespaces/aar-life/researchcampaigns/kept"
    assert cluster.call("GET", path).is_success
    _helm(cluster, "install", "aar", CHART)
    assert cluster.call("GET", path).is_success
