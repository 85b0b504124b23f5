"""Whatever happens to the operator or its requests: nothing is made twice, and it comes to the same end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from aar_api import labels
from aar_operator.cluster import Conflict, Expired, Ref, Unavailable
from aar_operator.cluster.kubernetes import KubernetesCluster
from aar_operator.handlers.workers import COMPLAIN_AFTER, Workers
from aar_operator.metrics import Metrics
from aar_operator.reconcile import Reconciler
from aar_operator.workqueue import WorkQueue
from kube import world
from kube.hubdouble import Hubs, OneHub
from kube.inside import Faults, FaultyClient, Inside, unavailable
from kube.plane import Plane
from kube.world import Api, Kubelet, part, phase

ASKED = {"campaignRef": "c", "method": {"builtin": "hard-labels"}, "submittedBy": {"researcher": "r0", "key": "1"}}


def job_name(pod: dict) -> str:
    return str(pod["metadata"]["labels"]["batch.kubernetes.io/job-name"])


def researchers_run(pod: dict) -> int | None:
    return None if job_name(pod) == "researcher" else 0


def begin(api: Api, hubs: Hubs, space: str) -> tuple[dict, OneHub]:
    found = api.create(world.campaign(space)).json()
    hub = hubs.of(part(found, "hub"))
    hub.ask_for("c-1", ASKED)
    hub.ask_for("c-2", ASKED | {"seeds": 2})
    return found, hub


def scored(api: Api, space: str) -> bool:
    every = api.list("Experiment", space)
    return len(every) == 2 and all(phase(one) == "Complete" and not one["metadata"].get("finalizers") for one in every)


def check(found: dict, hub: OneHub, faults: Faults) -> None:
    """Nothing was made twice; every experiment was settled for the one Job that it had."""
    assert {name: count for name, count in faults.made.items() if count > 1 and "/events/" not in name} == {}
    jobs = sorted(name.rsplit("/", 1)[1] for name in faults.made if "/jobs/c-" in name)
    assert jobs == ["c-1-1", "c-2-1"]
    for name in ("c-1", "c-2"):
        assert len({one.job_uid for one in hub.settled[name]}) == 1
        assert len(set(hub.admitted[name])) == 1


Stage = tuple[Callable[[], object], Callable[[], bool], int]
"""What a person does or what happens, what the operator has to come to, and in how many lives at most."""


def whole_life(api: Api, kubelet: Kubelet, found: dict, hub: OneHub, space: str) -> dict[str, Stage]:
    """A campaign from its arrival to its deletion; one of its experiments runs until it was suspended and went on."""
    uid = found["metadata"]["uid"]
    run = {"researcher", "c-2-1"}
    kubelet.ends = lambda pod: None if job_name(pod) in run else 0
    seen = lambda: api.get("ResearchCampaign", space, "c") or {}  # noqa: E731
    jobs = lambda: [api.get("Job", part(found, "r0"), name) or {} for name in ("researcher", "c-2-1")]  # noqa: E731
    see = lambda name: phase(api.get("Experiment", space, name))  # noqa: E731

    def suspend(wanted: bool) -> Stage:
        def done() -> bool:
            stopped = [one.get("spec", {}).get("suspend", False) for one in jobs()]
            return phase(seen()) == ("Suspended" if wanted else "Researching") and stopped == [wanted, wanted]

        return lambda: api.patch("ResearchCampaign", space, "c", {"spec": {"suspend": wanted}}), done, 30

    def nothing() -> bool:
        left = api.list("Experiment", space) or api.list("Namespace", selector=f"{labels.CAMPAIGN_UID}={uid}")
        return not left and seen() == {}

    return {
        "runs": (lambda: None, lambda: (see("c-1"), see("c-2")) == ("Complete", "Running"), 120),
        "suspended": suspend(True),
        "resumed": suspend(False),
        "scored": (lambda: run.discard("c-2-1"), lambda: scored(api, space), 30),
        "complete": (lambda: setattr(hub, "finished", ("r0",)), lambda: phase(seen()) == "Complete", 30),
        "gone": (lambda: api.delete("ResearchCampaign", space, "c"), nothing, 60),
    }


@pytest.mark.parametrize("before_the_next", [False, True], ids=["after each", "before the next"])
def test_killed_between_every_two_writes(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str, before_the_next: bool
) -> None:
    """A life is one write; it ends with that, or only when there is another to make and the hub may have been asked."""
    found, hub = begin(api, hubs, space)
    faults = Faults(before_the_next=before_the_next)
    inside = Inside(plane.kubeconfig, space, hubs.url, faults)
    lives = Counter[str]()
    for name, (act, enough, most) in whole_life(api, kubelet, found, hub, space).items():
        act()
        over = False
        while not over:
            faults.writes_left = 1
            lives[name] += 1
            assert lives[name] < most, (lives, Counter(faults.sent).most_common(6))
            over = inside.live(enough, 120)
    print(lives)
    assert lives["runs"] > 40, "every life ended at its first write"
    assert all(count > 1 for count in lives.values()), lives
    check(found, hub, faults)


@pytest.mark.parametrize("every", [3, 7], ids=["every third fails", "every seventh fails"])
def test_server_that_fails_now_and_then(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str, every: int
) -> None:
    kubelet.ends = researchers_run
    found, hub = begin(api, hubs, space)
    faults = Faults(before=unavailable(every))
    assert Inside(plane.kubeconfig, space, hubs.url, faults).live(lambda: scored(api, space), 240)
    check(found, hub, faults)


@pytest.mark.parametrize(
    ("error", "method"),
    [(Conflict("the object has been modified"), "PATCH"), (Expired("too old resource version"), "GET")],
    ids=["conflicts", "expired lists"],
)
def test_answers_409_and_410(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str, error: Exception, method: str
) -> None:
    kubelet.ends = researchers_run
    found, hub = begin(api, hubs, space)
    count = 0

    def before(sent: str, path: str) -> None:
        nonlocal count
        count += sent == method
        if sent == method and count % 4 == 0:
            raise error

    faults = Faults(before=before)
    assert Inside(plane.kubeconfig, space, hubs.url, faults).live(lambda: scored(api, space), 240)
    assert count > 8
    check(found, hub, faults)


def test_what_fails_again_and_again_is_told_once(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str
) -> None:
    """As when a webhook of somebody else's is broken: the API server answers 500 to the creation of every Job."""
    kubelet.ends = researchers_run
    inside = Inside(plane.kubeconfig, space, hubs.url)
    api.create(world.campaign(space))
    assert inside.live(lambda: phase(api.get("ResearchCampaign", space, "c")) == "Researching", 120)
    api.create(world.experiment(space))
    told = lambda: [one for one in api.list("Event", space) if one["reason"] == "TriedAgain"]  # noqa: E731

    def broken(method: str, path: str) -> None:
        if method == "POST" and path.endswith("/jobs"):
            raise Unavailable("The API server answered 500: failed calling webhook mjob.kb.io")

    async def run() -> None:
        FaultyClient.faults = Faults(before=broken)
        client = await FaultyClient.connect(kubeconfig=str(plane.kubeconfig))
        cluster = KubernetesCluster(client)
        reconciler, queue = Reconciler(cluster, inside.settings), WorkQueue()
        await cluster.relist()
        await reconciler.reconcile(Ref("ResearchCampaign", space, "c"))
        workers, ref = Workers(queue, reconciler, Metrics()), Ref("Experiment", space, "e")
        queue.add(ref)
        workers.start(1)
        while queue.failures(ref) < COMPLAIN_AFTER:
            assert told() == [], "not what may pass by itself"
            await asyncio.sleep(0.2)
        while queue.failures(ref) == COMPLAIN_AFTER:
            await asyncio.sleep(0.2)
        await workers.stop()
        await reconciler.close()
        await client.close()

    asyncio.run(run())
    (event,) = told()
    assert (event["type"], event["regarding"]["name"]) == ("Warning", "e")
    assert "failed calling webhook mjob.kb.io" in event["note"]
