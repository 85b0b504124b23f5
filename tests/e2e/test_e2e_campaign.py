"""A campaign on real pods, from `kubectl apply` to a PGR in the status, and nothing left after `kubectl delete`."""

from __future__ import annotations

import re
from decimal import Decimal

import httpx
from e2e.conftest import Campaign
from e2e.world import PATIENCE, World, until


def test_sandboxes_are_probed_before_research(campaign: Campaign) -> None:
    condition = until("probes ended", lambda: _settled(campaign, "NetworkIsolated"), PATIENCE, campaign.about)
    assert (condition["status"], condition["reason"]) == ("True", "ProbeBlocked"), condition
    jobs = [campaign.world.get("-n", campaign.part(part), "job", "isolation") for part in ("r0", "r1", "baseline")]
    assert all(job["status"].get("succeeded") == 1 for job in jobs)


def test_the_hub_serves_its_pages_to_who_has_a_token(world: World, campaign: Campaign) -> None:
    hub = campaign.part("hub")
    until("the hub serves", lambda: _settled(campaign, "Accepted"), PATIENCE, campaign.about)
    bearer = {"Authorization": f"Bearer {campaign.secret('hub', 'hub', 'operatorToken')}"}
    with world.forwarded(hub, "service/hub", 8081) as url, httpx.Client(base_url=url, trust_env=False) as person:
        assert person.get("/").status_code == 401
        token = person.get("/v1/operator/tokens/viewer/ann", headers=bearer).json()["token"]
        page = person.get("/", params={"token": token}, follow_redirects=True)
        assert page.status_code == 200
        assert campaign.name in page.text
        assert person.get("/researchers").status_code == 200  # by the cookie that the token was traded for


def test_it_completes_with_a_pgr(world: World, campaign: Campaign) -> None:
    until("the campaign ended", lambda: campaign.phase() in ("Complete", "Failed"), PATIENCE, campaign.about)
    status = campaign.get()["status"]
    assert status["phase"] == "Complete", status
    assert Decimal(status["best"]["pgr"]).is_finite()
    assert Decimal(status["best"]["stderr"]) > 0
    assert 0 < Decimal(status["spend"]["totalUSD"]) <= Decimal("2.00")
    assert status["spend"]["reservedUSD"] == "0.00"
    experiments = campaign.experiments()
    ended = {one["metadata"]["name"]: one["status"]["phase"] for one in experiments}
    assert set(ended.values()) == {"Complete"}, ended
    purposes = {one["spec"].get("purpose", "Exploration") for one in experiments}
    assert {"Baseline", "Exploration", "Replication"} <= purposes


def test_kubectl_tells_what_became_of_it(world: World, campaign: Campaign) -> None:
    """As a person looks who knows only the kinds: what this prints stands in docs/e2e.md."""
    inside = ("-n", campaign.space)
    world.kubectl(*inside, "wait", "--for=condition=Complete", f"rcamp/{campaign.name}", "--timeout=5s")
    listed = world.kubectl(*inside, "get", "rcamp,rexp")
    described = world.kubectl(*inside, "describe", "rcamp", campaign.name)
    explained = world.kubectl("explain", "rcamp.spec.budget")
    for printed in (listed, described, explained):
        print(f"\n{printed}")
    best = campaign.get()["status"]["best"]
    assert best["pgr"] in listed
    assert all(f"/{one['metadata']['name']} " in listed for one in campaign.experiments())
    assert {"Accepted", "NetworkIsolated", "Complete"} <= set(re.findall(r"Type: +(\w+)", described))
    assert {"Preparing", "Researching", "Verifying"} <= set(re.findall(r"Normal +(\w+)", described)), "its events"
    assert {"limitUSD", "llmLimitUSD", "onExceeded"} <= set(explained.split())


def test_nothing_is_left_after_its_deletion(world: World, campaign: Campaign) -> None:
    assert len(campaign.spaces()) == 5
    world.kubectl("-n", campaign.space, "delete", "rcamp", campaign.name, "--wait=false")
    until("the campaign is gone", lambda: not _there(campaign), PATIENCE)
    until("its namespaces are gone", lambda: not campaign.spaces(), PATIENCE, campaign.spaces)
    assert world.get("-n", campaign.space, "experiments")["items"] == []


def _there(campaign: Campaign) -> bool:
    return not campaign.world.run("-n", campaign.space, "get", "rcamp", campaign.name).returncode


def _settled(campaign: Campaign, kind: str) -> dict | None:
    found = campaign.condition(kind) if campaign.phase() else {}
    return found if found.get("status") in ("True", "False") else None
