"""Campaigns that are over, on a real API server: they go when their time is over, and what still runs of them ends."""

from __future__ import annotations

import pytest
from aar_api import labels
from kube import world
from kube.hubdouble import Hubs
from kube.inside import Inside
from kube.plane import Plane
from kube.world import Api, Kubelet, part, phase


def job_name(pod: dict) -> str:
    return pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]


def campaign(api: Api, space: str) -> dict:
    return api.get("ResearchCampaign", space, "c") or {}


def test_campaign_goes_some_time_after_its_end(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str
) -> None:
    kubelet.ends = lambda pod: None if job_name(pod) == "researcher" else 0
    inside = Inside(plane.kubeconfig, space, hubs.url)
    found = api.create(world.campaign(space, ttlSecondsAfterFinished=5)).json()
    hubs.of(part(found, "hub")).finished = ("r0",)
    assert inside.live(lambda: phase(campaign(api, space)) == "Complete", 120)
    assert inside.live(lambda: campaign(api, space) == {}, 180)
    assert api.list("Namespace", selector=f"{labels.CAMPAIGN_UID}={found['metadata']['uid']}") == []


@pytest.mark.parametrize("code", [None, 1], ids=["that run", "that try again"])
def test_probes_of_one_that_fails_end(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str, code: int | None
) -> None:
    kubelet.ends = lambda pod: code if job_name(pod) == "isolation" else None
    inside = Inside(plane.kubeconfig, space, hubs.url)
    found = api.create(world.campaign(space)).json()
    spaces = [part(found, name) for name in ("baseline", "verify", "r0")]
    probes = lambda: [api.get("Job", one, "isolation") for one in spaces]  # noqa: E731
    assert inside.live(lambda: all(probes()), 120)
    hubs.of(part(found, "hub")).failed = "The task cannot be built."
    assert inside.live(lambda: phase(campaign(api, space)) == "Failed", 120)
    assert inside.live(lambda: not any(probes()), 60)
