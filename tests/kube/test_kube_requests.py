"""What the operator costs the API server: few requests an experiment, none for what stands."""

from __future__ import annotations

from kube import world
from kube.hubdouble import Hubs
from kube.inside import Faults, Inside
from kube.plane import Plane
from kube.world import Api, Kubelet, part, phase

ASKED = {"campaignRef": "c", "method": {"builtin": "hard-labels"}, "submittedBy": {"researcher": "r0", "key": "1"}}
TO_JOB, IN_ALL = 4, 9
"""Requests of an experiment until its Job is made, and from its arrival until it is over."""


def test_requests_of_an_experiment_and_of_a_new_process(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str
) -> None:
    names = ("researcher", "e-1", "c-1-1")
    kubelet.ends = lambda pod: None if pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] in names else 0
    found = api.create(world.campaign(space)).json()
    hub, faults = hubs.of(part(found, "hub")), Faults()
    inside = Inside(plane.kubeconfig, space, hubs.url, faults)
    assert inside.live(lambda: api.get("Job", part(found, "r0"), "researcher"), 120)
    status = lambda: api.get("ResearchCampaign", space, "c")["status"]  # noqa: E731
    assert inside.live(lambda: status()["researchers"]["active"] == 1, 120)

    faults.sent.clear()
    rounds = iter(range(8))
    assert inside.live(lambda: next(rounds, None) is None, 120)
    assert faults.sent == [], "a new process sends nothing for what stands as it should"

    hub.ask_for("c-1", ASKED)
    api.create(world.experiment(space, "e"))
    jobs = [part(found, "r0"), "c-1-1"], [part(found, "r0"), "e-1"]
    assert inside.live(lambda: all(api.get("Job", *job) for job in jobs), 120)
    for name in ("c-1", "e"):
        sent = of(faults, name)
        until_job = next(i for i, (method, path) in enumerate(sent) if method == "POST" and path.endswith("/jobs")) + 1
        assert until_job <= TO_JOB, sent
    kubelet.ends = lambda pod: 0

    def over(name: str) -> bool:
        one = api.get("Experiment", space, name)
        return phase(one) == "Complete" and not one["metadata"].get("finalizers")

    assert inside.live(lambda: over("c-1") and over("e"), 120)
    for name in ("c-1", "e"):
        assert len(of(faults, name)) <= IN_ALL, of(faults, name)
        print(name, of(faults, name))


def of(faults: Faults, name: str) -> list[tuple[str, str]]:
    """Requests about one experiment, its Job and its Secret; the creations of its Job and itself are by collection."""
    return [(method, path) for method, path, about in faults.about if about in (name, f"{name}-1")]
