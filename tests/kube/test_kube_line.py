"""Experiments that wait in their campaign's line, with the operator as it runs: everything has to come by events."""

from __future__ import annotations

from pathlib import Path

from kube import world
from kube.hubdouble import Hubs
from kube.plane import Plane
from kube.world import Api, Kubelet, part, phase, until


def test_who_waits_begins_when_there_is_a_place(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, environment: dict[str, str], folder: Path, space: str
) -> None:
    runs = {"researcher", "e1-1", "e2-1", "e3-1"}
    kubelet.ends = lambda pod: None if pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] in runs else 0
    found = api.create(world.campaign(space, experiments={"parallelism": 1})).json()
    job = lambda name: api.get("Job", part(found, "r0"), f"{name}-1")  # noqa: E731
    see = lambda name: phase(api.get("Experiment", space, name))  # noqa: E731
    with world.operator(plane.kubeconfig, folder, environment):
        for name in ("e1", "e2", "e3"):
            api.create(world.experiment(space, name))
            until(f"{name} is seen", lambda name=name: see(name) in ("Running", "Queued"))
        until(
            "the first runs and the others wait",
            lambda: [see(n) for n in ("e1", "e2", "e3")] == ["Running", "Queued", "Queued"],
        )

        api.patch("ResearchCampaign", space, "c", {"spec": {"experiments": {"parallelism": 2}}})
        until("a place that is added is taken", lambda: job("e2"))
        assert job("e3") is None

        runs.discard("e1-1")
        until("a place that becomes free is taken", lambda: job("e3"))

        api.patch("ResearchCampaign", space, "c", {"spec": {"suspend": True}})
        until(
            "all stop with their campaign",
            lambda: job("e2")["spec"].get("suspend") and job("e3")["spec"].get("suspend"),
        )
        api.patch("ResearchCampaign", space, "c", {"spec": {"suspend": False}})
        until(
            "and go on with it", lambda: not job("e2")["spec"].get("suspend") and not job("e3")["spec"].get("suspend")
        )
