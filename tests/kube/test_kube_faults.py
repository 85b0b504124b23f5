"""Whatever happens to the operator or its requests: nothing is made twice, and it comes to the same end."""

from __future__ import annotations

from collections import Counter

import pytest
from aar_operator.cluster import Conflict, Expired
from kube import world
from kube.hubdouble import Hubs, OneHub
from kube.inside import Faults, Inside, unavailable
from kube.plane import Plane
from kube.world import Api, Kubelet, part, phase

ASKED = {"campaignRef": "c", "method": {"builtin": "hard-labels"}, "submittedBy": {"researcher": "r0", "key": "1"}}


def researchers_run(pod: dict) -> int | None:
    return None if pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "researcher" else 0


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


def test_killed_after_every_write(plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str) -> None:
    kubelet.ends = researchers_run
    found, hub = begin(api, hubs, space)
    faults = Faults()
    inside = Inside(plane.kubeconfig, space, hubs.url, faults)
    lives = 0
    while True:
        faults.writes_left = 1
        lives += 1
        assert lives < 120, Counter(faults.sent).most_common(6)
        if inside.live(lambda: scored(api, space)):
            break
    assert lives > 40, "every life ended at its first write"
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
