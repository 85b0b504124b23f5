"""Campaigns that are over, on a real API server: they go when their time is over, and what still runs of them ends."""

from __future__ import annotations

import pytest
from aar_api import labels
from aar_api.campaign import Spend
from aar_operator.cluster import Conflict
from aar_operator.plan import letting_go
from kube import world
from kube.hubdouble import Hubs
from kube.inside import Faults, Inside
from kube.plane import Plane
from kube.world import Api, Kubelet, condition, part, phase


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


def test_a_hub_that_can_write_nothing_more_does_not_hold_a_deleted_campaign(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letting_go, "UNSETTLED_SECONDS", 4.0)
    kubelet.ends = lambda pod: 0 if job_name(pod) == "isolation" else None
    inside = Inside(plane.kubeconfig, space, hubs.url)
    found = api.create(world.campaign(space)).json()
    assert inside.live(lambda: phase(campaign(api, space)) == "Researching", 120)
    hub = hubs.of(part(found, "hub"))
    hub.ask_for("c-1", {"campaignRef": "c", "method": {"builtin": "hard-labels"}})
    assert inside.live(lambda: phase(api.get("Experiment", space, "c-1")) == "Running", 120)
    hub.full = True
    api.delete("ResearchCampaign", space, "c")
    assert inside.live(lambda: campaign(api, space) == {}, 180)
    assert hub.settled == {}


def test_what_was_cancelled_at_the_end_is_counted(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str
) -> None:
    """It is paid for after the campaign failed, and a month's sum of the namespace is made of what stands there."""
    kubelet.ends = lambda pod: 0 if job_name(pod) == "isolation" else None
    inside = Inside(plane.kubeconfig, space, hubs.url)
    found = api.create(world.campaign(space)).json()
    hub = hubs.of(part(found, "hub"))
    hub.failed = "The task cannot be built."
    assert inside.live(lambda: phase(campaign(api, space)) == "Failed", 120)
    hub.spend = Spend(total_usd="0.40")
    assert inside.live(lambda: (campaign(api, space)["status"].get("spend") or {}).get("totalUSD") == "0.40", 60)
    assert list(campaign(api, space)["status"]["spendByMonth"].values()) == ["0.40"]
    assert phase(campaign(api, space)) == "Failed"


def test_why_research_ended_outlives_a_conflict(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str
) -> None:
    """The hub is told after that was written: it would not tell it again."""
    kubelet.ends = lambda pod: None if job_name(pod) == "researcher" else 0
    faults = Faults()
    inside = Inside(plane.kubeconfig, space, hubs.url, faults)
    found = api.create(world.campaign(space)).json()
    assert inside.live(lambda: phase(campaign(api, space)) == "Researching", 120)
    met: list[str] = []

    def conflict(method: str, path: str) -> None:
        if method == "PATCH" and path.endswith("/researchcampaigns/c/status") and not met:
            met.append(path)
            raise Conflict("Somebody wrote meanwhile.")

    faults.before = conflict
    hubs.of(part(found, "hub")).target_reached = True
    assert inside.live(lambda: phase(campaign(api, space)) == "Complete", 120)
    assert met
    assert condition(campaign(api, space), "Complete")[1] == "TargetReached"


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
