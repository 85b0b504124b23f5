"""Who is at work while a campaign is prepared and researches: by its walls, its number of researchers and its time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aar_api import names
from aar_api.wire import Summary
from aar_operator.cluster.observe import no_pods
from aar_operator.plan.campaign import plan_campaign
from aar_operator.plan.model import CampaignSeen, Plan, Probe, ResearcherState
from aar_operator.settings import Settings
from plan.test_plan_limits import campaign

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
EVERYWHERE = ("baseline", "verify", "r0", "r1")
CLOSED = {part: Probe("succeeded") for part in EVERYWHERE}
OPEN = Probe("failed", True, "1.1.1.1:443 answered.")


def planned(
    probes: dict[str, Probe], researchers: dict[str, ResearcherState], count: int = 2, isolation: Any = "Required"
) -> Plan:
    seen = CampaignSeen(
        sandbox_url="http://10.0.0.1:8080",
        operator_token="t",
        summary=Summary(opened=True, stage="researching"),
        researchers=researchers,
        researcher_tokens={names.researcher(index): "t" for index in range(count)},
        probes=probes,
    )
    one = campaign("x", researchers={"count": count}, status={"startTime": "2026-03-04T11:00:00Z"})
    return plan_campaign(one, seen, "t", NOW, Settings(isolation=isolation))


def made(plan: Plan) -> set[str]:
    jobs = [one for one in plan.apply if one["kind"] == "Job" and one["metadata"]["name"] == "researcher"]
    return {one["metadata"]["labels"]["aar.dev/part"] for one in jobs}


def patched(plan: Plan) -> dict[str, bool]:
    return {target.namespace.rpartition("-")[2]: patch["spec"]["suspend"] for target, patch in plan.merge}


WALLS: dict[str, tuple[dict[str, Probe], dict[str, ResearcherState], str, set[str], dict[str, bool]]] = {
    "all closed": (CLOSED, {}, "Required", {"r0", "r1"}, {}),
    "one that came later is not probed yet": (
        {part: one for part, one in CLOSED.items() if part != "r1"}, {"r0": "active"}, "Required", {"r0"}, {}),
    "one that came later is being probed": (CLOSED | {"r1": Probe("active")}, {"r0": "active"}, "Required", {"r0"}, {}),
    "one that came later is open": (CLOSED | {"r1": OPEN}, {"r0": "active"}, "Required", {"r0"}, {}),
    "one at work is open": (
        CLOSED | {"r0": OPEN}, {"r0": "active", "r1": "active"}, "Required", {"r1"}, {"r0": True}),
    "one at work is probed again": (
        CLOSED | {"r0": Probe("active")}, {"r0": "active", "r1": "active"}, "Required", {"r1"}, {}),
    "one at work could not be probed": (
        CLOSED | {"r0": Probe("failed")}, {"r0": "active", "r1": "active"}, "Required", {"r1"}, {}),
    "one that was stopped is closed": (
        CLOSED, {"r0": "suspended", "r1": "active"}, "Required", {"r0", "r1"}, {"r0": False}),
    "one that was stopped is still open": (
        CLOSED | {"r0": OPEN}, {"r0": "suspended", "r1": "active"}, "Required", {"r1"}, {}),
    "open walls are only told": (
        CLOSED | {"r0": OPEN}, {"r0": "suspended", "r1": "active"}, "Reported", {"r0", "r1"}, {"r0": False}),
}  # fmt: skip


@pytest.mark.parametrize("case", WALLS)
def test_walls(case: str) -> None:
    probes, researchers, isolation, wanted, patches = WALLS[case]
    plan = planned(probes, researchers, isolation=isolation)
    assert (made(plan), patched(plan)) == (wanted, patches)


NUMBERS: dict[str, tuple[dict[str, ResearcherState], set[str]]] = {
    "as many as there are": ({"r0": "active"}, set()),
    "one too many": ({"r0": "active", "r1": "active"}, {"r1"}),
    "one too many that is stopped": ({"r0": "active", "r1": "suspended"}, {"r1"}),
    "one too many that ended": ({"r0": "active", "r1": "succeeded"}, set()),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_fewer_researchers(case: str) -> None:
    researchers, gone = NUMBERS[case]
    plan = planned(CLOSED, researchers, count=1)
    assert {target.namespace.rpartition("-")[2] for target in plan.delete} == gone


def test_a_hub_whose_pod_is_refused_is_told_of() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: sandbox."}
    seen = CampaignSeen(
        hub_refused=no_pods({"status": {"conditions": [{"type": "Available", "status": "False"}, failure]}})
    )
    status = plan_campaign(campaign("x", status={"phase": "Pending"}), seen, "t", NOW, Settings()).campaign_status
    assert status is not None
    assert [(c.reason, "exceeded quota: sandbox." in c.message) for c in status.conditions if c.type == "Ready"] == [
        ("ClusterRefused", True)
    ]
    assert no_pods({"status": {"conditions": [failure | {"status": "False"}]}}) == ""


def test_an_outage_of_the_provider_is_told_once() -> None:
    fault = "No LLM call has succeeded since 2026-03-04T11:50:00Z. It refuses the hub's key."
    status: dict[str, Any] = {"startTime": "2026-03-04T11:00:00Z", "phase": "Researching"}
    told = []
    for said in ("", fault, fault, ""):
        seen = CampaignSeen(
            summary=Summary(opened=True, stage="researching", provider_fault=said),
            sandbox_url="http://10.0.0.1:8080",
            operator_token="t",
        )
        plan = plan_campaign(campaign("x", status=status), seen, "t", NOW, Settings())
        assert plan.campaign_status is not None
        status = plan.campaign_status.dump()
        ready = next(c for c in plan.campaign_status.conditions if c.type == "Ready")
        told.append((ready.status, ready.reason, [(note.kind, note.message) for note in plan.notes]))
    working = ("True", "ResearchersRunning", [])
    assert told == [
        working,
        ("False", "ProviderFailing", [("Warning", fault)]),
        ("False", "ProviderFailing", []),
        working,
    ]


def test_those_that_a_person_stopped_have_finished() -> None:
    seen = CampaignSeen(
        summary=Summary(opened=True, stage="verifying", researchers_finished=("r0", "r1")),
        sandbox_url="http://10.0.0.1:8080",
        operator_token="t",
        researchers={"r0": "failed"},
    )
    status = plan_campaign(campaign("x", researchers={"count": 2}), seen, "t", NOW, Settings()).campaign_status
    assert status is not None
    assert (status.researchers.finished, status.researchers.failed, status.researchers.active) == (1, 1, 0)


@pytest.mark.parametrize(("limit", "phase"), [(3600, "Failed"), (3601, "Preparing"), (None, "Preparing")])
def test_time_is_up_in_preparation(limit: int | None, phase: str) -> None:
    """With walls that stay open, or a baseline that no node takes, it would wait for ever."""
    summary = Summary(opened=True, stage="preparing", prepared=True)
    seen = CampaignSeen(summary=summary, sandbox_url="http://10.0.0.1:8080", operator_token="t", probes={"r0": OPEN})
    spec: dict[str, Any] = {} if limit is None else {"activeDeadlineSeconds": limit}
    one = campaign("x", status={"phase": "Preparing", "startTime": "2026-03-04T11:00:00Z"}, **spec)
    plan = plan_campaign(one, seen, "t", NOW, Settings())
    assert plan.campaign_status is not None
    assert plan.campaign_status.phase == phase
    assert plan.stage is None
    failed = [c for c in plan.campaign_status.conditions if c.type == "Failed"]
    assert [(c.reason, "3600 s of spec.activeDeadlineSeconds" in c.message) for c in failed] == (
        [("DeadlineExceeded", True)] if phase == "Failed" else []
    )
