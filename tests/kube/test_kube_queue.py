"""Experiments in Kueue's queues, on a cluster that has Kueue and a ClusterQueue `cluster-queue`: KUBECONFIG names it.

Its nodes may be fake (KWOK), but pods of Jobs must come to an end by themselves.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from kube import world
from kube.conftest import install_crds
from kube.hubdouble import Hubs
from kube.world import Api, condition, part, phase, until

QUEUE = "cluster-queue"


@pytest.fixture(scope="module")
def kubeconfig() -> Path:
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG does not name a cluster with Kueue")
    return Path(os.environ["KUBECONFIG"])


@pytest.fixture(scope="module")
def queued(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Api:
    api = Api.of(kubeconfig, tmp_path_factory.mktemp("client"))
    if api.get("ClusterQueue", None, QUEUE) is None:
        pytest.skip(f"the cluster of KUBECONFIG has no ClusterQueue {QUEUE!r}")
    install_crds(api)
    return api


@pytest.fixture
def where(queued: Api, hubs: Hubs, kubeconfig: Path, tmp_path: Path) -> Iterator[str]:
    name = f"q{uuid.uuid4().hex[:8]}"
    for one in (name, f"{name}-op"):
        queued.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}})
    environment = {
        "AAR_OPERATOR_NAMESPACE": f"{name}-op",
        "AAR_HUB_URL_TEMPLATE": hubs.url + "/{namespace}",
        "AAR_CLUSTER_QUEUE": QUEUE,
        "AAR_TOLERATIONS": '[{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]',
    }
    with world.operator(kubeconfig, tmp_path, environment) as process:
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
