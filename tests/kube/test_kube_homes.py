"""What reconciling may count on, in both homes of the cluster: one table, run on one machine and on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aar_operator.cluster import Cluster, Conflict, Foreign, Ref
from aar_operator.cluster.client import Client
from aar_operator.cluster.kubernetes import KubernetesCluster
from aar_operator.cluster.local import LocalCluster
from kube import world
from kube.plane import Plane
from kube.world import Api

OURS = {"app.kubernetes.io/managed-by": "aar-operator", "aar.dev/campaign-uid": "u1"}


def config(space: str, name: str = "m", owner: str = "u1", **data: str) -> dict:
    meta = {"name": name, "namespace": space, "labels": OURS | {"aar.dev/campaign-uid": owner}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


async def applied_twice_is_one(home: Cluster, space: str) -> None:
    first = await home.apply(config(space, a="1"))
    second = await home.apply(config(space, a="1"))
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


async def apply_replaces_what_it_said_before(home: Cluster, space: str) -> None:
    await home.apply(config(space, a="1", b="2"))
    await home.apply(config(space, a="3"))
    found = await home.get(Ref("ConfigMap", space, "m"))
    assert found is not None
    assert found["data"] == {"a": "3"}


async def created_once(home: Cluster, space: str) -> None:
    assert await home.create(config(space, a="1")) is True
    assert await home.create(config(space, a="2")) is False
    found = await home.get(Ref("ConfigMap", space, "m"))
    assert found is not None
    assert found["data"] == {"a": "1"}


async def never_taken_over(home: Cluster, space: str) -> None:
    await home.create(config(space, owner="u2"))
    with pytest.raises(Foreign, match="never taken over"):
        await home.create(config(space))


async def found_by_labels(home: Cluster, space: str) -> None:
    for name, owner in (("b", "u1"), ("a", "u1"), ("c", "u2")):
        await home.create(config(space, name, owner))
    found = await home.find("ConfigMap", {"aar.dev/campaign-uid": "u1"}, space)
    assert [one["metadata"]["name"] for one in found] == ["a", "b"]


async def merged_and_nulled(home: Cluster, space: str) -> None:
    await home.create(config(space, a="1", b="2"))
    await home.merge(Ref("ConfigMap", space, "m"), {"data": {"a": None, "c": "3"}})
    found = await home.get(Ref("ConfigMap", space, "m"))
    assert found is not None
    assert found["data"] == {"b": "2", "c": "3"}


async def merging_what_is_gone_is_nothing(home: Cluster, space: str) -> None:
    await home.merge(Ref("ConfigMap", space, "nobody"), {"data": {"a": "1"}})
    assert await home.get(Ref("ConfigMap", space, "nobody")) is None


async def deleted_and_deleted_again(home: Cluster, space: str) -> None:
    await home.create(config(space))
    for _ in range(2):
        await home.delete(Ref("ConfigMap", space, "m"))
        assert await home.get(Ref("ConfigMap", space, "m")) is None
    assert await home.create(config(space)) is True


async def another_of_that_name_is_not_deleted(home: Cluster, space: str) -> None:
    await home.create(config(space))
    await home.delete(Ref("ConfigMap", space, "m"), uid="somebody-else")
    assert await home.get(Ref("ConfigMap", space, "m")) is not None


async def status_is_replaced_and_needs_the_version(home: Cluster, space: str) -> None:
    ref = Ref("Experiment", space, "e")
    assert await home.create(world.experiment(space))
    read = await home.get(ref)
    assert read is not None
    await home.patch_status(ref, {"phase": "Queued", "attempts": 1}, read["metadata"]["resourceVersion"])
    with pytest.raises(Conflict):
        await home.patch_status(ref, {"phase": "Running"}, read["metadata"]["resourceVersion"])
    read = await home.get(ref)
    assert read is not None
    await home.patch_status(ref, {"phase": "Running"}, read["metadata"]["resourceVersion"])
    read = await home.get(ref)
    assert read is not None
    assert (read["status"]["phase"], read["status"].get("attempts") or 0) == ("Running", 0)
    assert read["metadata"]["generation"] == 1


async def held_by_a_finalizer(home: Cluster, space: str) -> None:
    ref = Ref("Experiment", space, "e")
    one = world.experiment(space)
    one["metadata"]["finalizers"] = ["aar.dev/cleanup"]
    await home.create(one)
    await home.delete(ref)
    read = await home.get(ref)
    assert read is not None
    assert "deletionTimestamp" in read["metadata"]
    await home.merge(ref, {"metadata": {"finalizers": []}})
    assert await home.get(ref) is None


async def watched(home: Cluster, space: str) -> None:
    await home.create(config(space, "before"))
    seen = home.watch()
    names = set()
    while "before" not in names:
        names.add((await asyncio.wait_for(anext(seen), 30)).name)
    await home.create(config(space, "after"))
    while "after" not in names:
        names.add((await asyncio.wait_for(anext(seen), 30)).name)
    await seen.aclose()  # type: ignore[attr-defined]


CASES: list[Callable[[Cluster, str], Awaitable[None]]] = [
    applied_twice_is_one,
    apply_replaces_what_it_said_before,
    created_once,
    never_taken_over,
    found_by_labels,
    merged_and_nulled,
    merging_what_is_gone_is_nothing,
    deleted_and_deleted_again,
    another_of_that_name_is_not_deleted,
    status_is_replaced_and_needs_the_version,
    held_by_a_finalizer,
    watched,
]
IDS = [case.__name__ for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_on_one_machine(tmp_path: Path, case: Callable[[Cluster, str], Awaitable[None]]) -> None:
    async def run() -> None:
        home = LocalCluster(tmp_path, cores=1, gpus=0, host_environment={})
        await home.start()
        try:
            await case(home, "s")
        finally:
            await home.stop()

    asyncio.run(run())


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_on_kubernetes(plane: Plane, api: Api, space: str, case: Callable[[Cluster, str], Awaitable[None]]) -> None:
    async def run() -> None:
        client = await Client.connect(kubeconfig=str(plane.kubeconfig))
        home = KubernetesCluster(client)
        try:
            await home.relist()
            await case(home, space)
        finally:
            await client.close()

    asyncio.run(run())
