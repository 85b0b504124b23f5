"""Experiments in Kueue's queues, on a cluster that has Kueue and a ClusterQueue `cluster-queue`: KUBECONFIG names it.

Its nodes may be fake (KWOK), but pods of Jobs must come to an end by themselves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kube import world
from kube.conftest import install_crds, namespaces
from kube.hubdouble import Hubs
from kube.world import Api, condition, part, phase, until
from needs import lacking

QUEUE = "cluster-queue"


@pytest.fixture(scope="module")
def kubeconfig() -> Path:
    if not os.environ.get("KUBECONFIG"):
        lacking("kueue", "KUBECONFIG does not name a cluster with Kueue.")
    return Path(os.environ["KUBECONFIG"])


@pytest.fixture(scope="module")
def queued(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Api:
    api = Api.of(kubeconfig, tmp_path_factory.mktemp("client"))
    if api.get("ClusterQueue", None, QUEUE) is None:
        lacking("kueue", f"the cluster of KUBECONFIG has no ClusterQueue {QUEUE!r}.")
    install_crds(api)
    return api


@pytest.fixture
def where(queued: Api, hubs: Hubs, kubeconfig: Path, tmp_path: Path) -> Iterator[str]:
    environment = {
        "AAR_HUB_URL_TEMPLATE": hubs.url + "/{namespace}",
        "AAR_CLUSTER_QUEUE": QUEUE,
        "AAR_TOLERATIONS": '[{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]',
    }
    with (
        namespaces(queued, "q", lasting=True) as name,
        world.operator(kubeconfig, tmp_path, environment | {"AAR_OPERATOR_NAMESPACE": f"{name}-op"}) as process,
    ):
        yield name
        queued.delete("ResearchCampaign", name, "c")
        until("it is gone", lambda: queued.get("ResearchCampaign", name, "c") is None)
        assert process.stop() == 0
        print(process.log.read_text()[-4000:])


def stop_policy(api: Api, policy: str) -> None:
    assert api.patch("ClusterQueue", None, QUEUE, {"spec": {"stopPolicy": policy}}).is_success


def test_queued_suspended_and_run(queued: Api, hubs: Hubs, where: str) -> None:
    found = queued.create(world.campaign(where)).json()
    see = lambda: queued.get("Experiment", where, "e")  # noqa: E731
    until("it researches", lambda: phase(queued.get("ResearchCampaign", where, "c")) == "Researching")
    stop_policy(queued, "Hold")
    try:
        queued.create(world.experiment(where))
        until(
            "it waits", lambda: phase(see()) == "Queued" and condition(see(), "QuotaReserved")[1] == "WaitingForQuota"
        )
        until("it is said why", lambda: "inactive" in condition(see(), "QuotaReserved")[2] or "stopped" in condition(see(), "QuotaReserved")[2],
              about=lambda: condition(see(), "QuotaReserved"))  # fmt: skip
        queued.patch("Experiment", where, "e", {"spec": {"desiredState": "Suspended"}})
        space = part(found, "r0")
        work = lambda: queued.list("Workload", space)[0]["spec"].get("active", True)  # noqa: E731
        until("its Workload is stopped", lambda: work() is False)
    finally:
        stop_policy(queued, "None")
    queued.patch("Experiment", where, "e", {"spec": {"desiredState": "Active"}})
    until("it is scored", lambda: phase(see()) == "Complete", about=lambda: see().get("status"))
    assert condition(see(), "QuotaReserved")[0] == "True"


def holding(api: Api, space: str) -> list[str]:
    """Jobs whose Workloads hold quota now."""
    found = []
    for one in api.list("Workload", space):
        told = {c["type"] for c in one.get("status", {}).get("conditions") or [] if c["status"] == "True"}
        if "QuotaReserved" in told and "Finished" not in told:
            found.append(one["metadata"]["ownerReferences"][0]["name"])
    return found


def test_a_quota_smaller_than_the_demand(queued: Api, hubs: Hubs, where: str) -> None:
    """Three experiments of 3 cores each and a quota of 4: one runs after another, and those that wait say for what."""
    found = queued.create(world.campaign(where)).json()
    until("it researches", lambda: phase(queued.get("ResearchCampaign", where, "c")) == "Researching")
    groups = queued.get("ClusterQueue", None, QUEUE)["spec"]["resourceGroups"]
    cpu = next(one for one in groups[0]["flavors"][0]["resources"] if one["name"] == "cpu")
    before, cpu["nominalQuota"] = cpu["nominalQuota"], "4"
    assert queued.patch("ClusterQueue", None, QUEUE, {"spec": {"resourceGroups": groups}}).is_success
    names = ("e", "f", "g")
    held: list[list[str]] = []
    waits: set[str] = set()

    def over() -> bool:
        held.append(holding(queued, part(found, "r0")))
        every = {one["metadata"]["name"]: one for one in queued.list("Experiment", where)}
        for one in every.values():
            status, reason, message = condition(one, "QuotaReserved")
            if (phase(one), status, reason) == ("Queued", "False", "WaitingForQuota"):
                waits.add(message)
        return [phase(every.get(name)) for name in names] == ["Complete"] * 3

    try:
        for name in names:
            queued.create(world.experiment(where, name, resources={"cpu": "3"}))
        until("all are scored", over, about=lambda: (held[-1], waits))
    finally:
        cpu["nominalQuota"] = before
        assert queued.patch("ClusterQueue", None, QUEUE, {"spec": {"resourceGroups": groups}}).is_success
    assert max(map(len, held)) == 1, held
    assert any("insufficient unused quota for cpu" in message for message in waits), waits


def test_a_queue_that_is_not_there(queued: Api, where: str) -> None:
    queued.create(world.campaign(where, queueName="team"))
    see = lambda: queued.get("ResearchCampaign", where, "c")  # noqa: E731
    until("it waits", lambda: condition(see(), "Accepted")[1] == "UnknownQueue")
    local = {
        "apiVersion": "kueue.x-k8s.io/v1beta1",
        "kind": "LocalQueue",
        "metadata": {"name": "team", "namespace": where},
    }
    assert queued.create(local | {"spec": {"clusterQueue": QUEUE}}).is_success
    until("it is accepted", lambda: condition(see(), "Accepted")[0] == "True")
    queue = queued.get("LocalQueue", part(see(), "r0"), "team")
    assert queue["spec"]["clusterQueue"] == QUEUE
