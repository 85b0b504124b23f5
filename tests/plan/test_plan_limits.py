"""Limits of a namespace, walls and queues: tables of what is seen and what is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aar_api.campaign import ResearchCampaign, parse
from aar_api.wire import IndexOutcome, Summary
from aar_operator.manifests import book
from aar_operator.plan import isolation, quota
from aar_operator.plan.campaign import plan_campaign
from aar_operator.plan.experiment import plan_experiment
from aar_operator.plan.model import CampaignSeen, ExperimentSeen, JobView, Probe
from aar_operator.settings import NamespaceLimits, Settings
from plan.test_plan_experiment import CAMPAIGN, experiment

NOW = datetime(2026, 3, 4, tzinfo=UTC)
ACCEPTED = {
    "type": "Accepted",
    "status": "True",
    "reason": "Valid",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


def campaign(uid: str, age: str = "2026-01-02T00:00:00Z", accepted: bool = False, **more: Any) -> ResearchCampaign:
    status = {"phase": "Researching", "conditions": [ACCEPTED] if accepted else []} | more.pop("status", {})
    spec = {"task": {"name": "chat"}, "budget": {"limitUSD": "10"}, "experiments": {"maxGPUs": 2}} | more
    meta = {"name": uid, "namespace": "n", "uid": uid, "creationTimestamp": age, "finalizers": ["aar.dev/cleanup"]}
    return parse({"kind": "ResearchCampaign", "apiVersion": "aar.dev/v1alpha1", "metadata": meta, "spec": spec, "status": status})  # fmt: skip


def leaving(one: ResearchCampaign) -> ResearchCampaign:
    """On its way out."""
    return one.model_copy(update={"metadata": one.metadata.model_copy(update={"deletion_timestamp": OLD})})


OLD = "2026-01-01T00:00:00Z"
NO_QUEUE = {"conditions": [ACCEPTED | {"status": "False", "reason": "UnknownQueue"}]}
LIMITS = NamespaceLimits(campaigns=2, gpus=5, usd_per_month="25")
CASES: dict[str, tuple[list[ResearchCampaign], list[str], NamespaceLimits, str]] = {
    "alone": ([], [], LIMITS, ""),
    "one older": ([campaign("a", OLD)], [], LIMITS, ""),
    "two older": ([campaign("a", OLD), campaign("b", OLD)], [], LIMITS, "3 campaigns, but its limit is 2"),
    "two younger wait for this one": ([campaign("y"), campaign("z")], [], LIMITS, ""),
    "two younger that were accepted first": (
        [campaign("y", accepted=True), campaign("z", accepted=True)], [], LIMITS, "3 campaigns"),
    "two that are over": ([campaign("a", OLD, status={"phase": "Complete"})] * 2, [], LIMITS, ""),
    "GPUs": ([campaign("a", OLD, experiments={"maxGPUs": 4})], [], LIMITS, "6 GPUs, but its limit is 5"),
    "dollars promised": (
        [campaign("a", OLD, budget={"limitUSD": "16"})], [], LIMITS, "26.00 USD in 2026-03, but its limit is 25 USD"),
    "dollars spent in months before leave room": (
        [campaign("a", OLD, budget={"limitUSD": "16"}, status={"spendByMonth": {"2026-02": "1.00"}})], [], LIMITS, ""),
    "dollars of what is over, this month": (
        [campaign("a", OLD, status={"phase": "Failed", "spendByMonth": {"2026-03": "15.01"}})], [], LIMITS, "25.01 USD"),
    "dollars of what is over, a month before": (
        [campaign("a", OLD, status={"phase": "Failed", "spendByMonth": {"2026-02": "99"}})], [], LIMITS, ""),
    "dollars of what is gone": ([], ["15.01"], LIMITS, "25.01 USD"),
    "of two that wait, the older has room": ([campaign("y", budget={"limitUSD": "25"})], [], LIMITS, ""),
    "dollars that one has spent, though it lowered its limit": (
        [campaign("a", OLD, True, budget={"limitUSD": "0.01"}, status={"spendByMonth": {"2026-03": "15.01"}})], [], LIMITS, "25.01 USD"),
    "dollars that one still holds, though it lowered its limit": (
        [campaign("a", OLD, True, budget={"limitUSD": "0.01"}, status={"spend": {"reservedUSD": "15.01"}})], [], LIMITS, "25.01 USD"),
    "dollars of what is in force, not of a change": (
        [campaign("a", OLD, True, budget={"limitUSD": "0.01"}, status={"inForce": {"limitUSD": "15.01", "maxGPUs": 0}})],
        [], LIMITS, "25.01 USD"),
    "a change of an older one comes first": (
        [campaign("a", OLD, True, experiments={"maxGPUs": 4}, status={"inForce": {"limitUSD": "10", "maxGPUs": 0}})],
        [], LIMITS, "6 GPUs"),
    "a change of a younger one comes later": (
        [campaign("y", "2026-02-01T00:00:00Z", True, experiments={"maxGPUs": 4}, status={"inForce": {"limitUSD": "10", "maxGPUs": 0}})],
        [], LIMITS, ""),
    "one older that can never fit": ([campaign("a", OLD, experiments={"maxGPUs": 6})], [], LIMITS, ""),
    "one older whose queue is not there": ([campaign("a", OLD, experiments={"maxGPUs": 4}, status=NO_QUEUE)], [], LIMITS, ""),
    "one older that leaves before it was accepted": ([leaving(campaign("a", OLD, experiments={"maxGPUs": 4}))], [], LIMITS, ""),
    "one that was accepted and leaves": ([leaving(campaign("y", accepted=True, experiments={"maxGPUs": 4}))], [], LIMITS, "6 GPUs"),
    "no limit": ([campaign("a", OLD)] * 9, ["999"], NamespaceLimits(), ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_room(case: str) -> None:
    others, gone, limits, words = CASES[case]
    said = quota.exceeded(campaign("x"), others, gone, limits, NOW)
    assert (words in said) if words else said == ""


IN_FORCE = {"inForce": {"limitUSD": "10", "maxGPUs": 2}}
OTHER = campaign("y", accepted=True, budget={"limitUSD": "15"}, experiments={"maxGPUs": 3})
CHANGES: dict[str, tuple[dict[str, Any], NamespaceLimits, str]] = {
    "none": ({}, LIMITS, ""),
    "more dollars than are left": ({"budget": {"limitUSD": "25"}}, LIMITS, "40.00 USD in 2026-03, but its limit is 25 USD"),
    "more GPUs than are left": ({"experiments": {"maxGPUs": 3}}, LIMITS, "6 GPUs, but its limit is 5"),
    "fewer dollars under a limit that was lowered": (
        {"budget": {"limitUSD": "9"}}, NamespaceLimits(campaigns=1, gpus=1, usd_per_month="1"), ""),
    "more GPUs under a limit of dollars that was lowered": (
        {"experiments": {"maxGPUs": 3}}, NamespaceLimits(usd_per_month="1"), ""),
    "more of both": ({"budget": {"limitUSD": "11"}, "experiments": {"maxGPUs": 3}}, NamespaceLimits(gpus=6, usd_per_month="26"), ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_room_for_a_change_of_one_that_was_accepted_first(case: str) -> None:
    """The other is younger and was accepted too: what it has is taken all the same."""
    spec, limits, words = CHANGES[case]
    said = quota.exceeded(campaign("x", OLD, accepted=True, status=IN_FORCE, **spec), [OTHER], [], limits, NOW)
    assert (words in said) if words else said == ""


def test_one_that_leaves_is_entered_in_the_book_and_counts_once() -> None:
    entered = {"a": '{"2026-02": "9.00", "2026-03": "1.50"}', "b": '{"2026-03": "2.00"}', "c": "{}"}
    assert book.spent(entered, "2026-03", {"b"}) == ["1.50", "0"]
    assert book.outdated(entered, "2026-03") == ("c",)
    assert book.outdated(entered, "2026-04") == ("a", "b", "c")


def test_months_add_up_to_the_total() -> None:
    before = campaign("a", status={"spendByMonth": {"2026-01": "1.50", "2026-03": "0.10"}})
    assert quota.by_month(before, "2.75", NOW) == {"2026-01": "1.50", "2026-03": "1.25"}


def test_without_room_nothing_is_made_and_with_room_everything_is() -> None:
    full = plan_campaign(campaign("x"), CampaignSeen(over_quota="No room."), "t", NOW, Settings())
    assert (full.apply, full.create, full.merge) == ((), (), ())
    assert full.campaign_status is not None
    assert [(c.type, c.status, c.reason) for c in full.campaign_status.conditions] == [
        ("Accepted", "False", "QuotaExceeded")
    ]
    assert plan_campaign(campaign("x"), CampaignSeen(), "t", NOW, Settings()).apply


PARTS = ("baseline", "verify", "r0")
BLOCKED, LEAKS, RUNS = Probe("succeeded"), Probe("failed", True, "1.1.1.1:443 answers."), Probe("active")
WALLS: dict[str, tuple[dict[str, Probe], Settings, bool | None, bool, int]] = {
    "no probe yet": ({}, Settings(), None, False, 3),
    "some run": ({"baseline": BLOCKED, "verify": RUNS, "r0": RUNS}, Settings(), None, False, 0),
    "all blocked": (dict.fromkeys(PARTS, BLOCKED), Settings(), True, True, 0),
    "one leaks": (dict.fromkeys(PARTS, BLOCKED) | {"r0": LEAKS}, Settings(), False, False, 0),
    "one leaks, only reported": ({"r0": LEAKS}, Settings(isolation="Reported"), False, True, 2),
    "none yet, only reported": ({}, Settings(isolation="Reported"), None, True, 3),
    "one machine": ({}, Settings(one_machine=True), False, True, 0),
}


@pytest.mark.parametrize("case", WALLS)
def test_walls(case: str) -> None:
    probes, settings, holds, research, made = WALLS[case]
    seen = CampaignSeen(probes=probes, sandbox_url="http://10.0.0.1:8080")
    verdict = isolation.judge(campaign("x"), seen, settings, NOW)
    assert (verdict.holds, verdict.research, len(verdict.probes)) == (holds, research, made)


ENDS: dict[str, tuple[Probe, str, str, bool]] = {
    "something answered": (Probe("failed", True, "It answered.", "2026-03-03T00:00:00Z"), "ProbeConnected", "not closed", False),
    "nobody knows, just now": (Probe("failed", ended="2026-03-03T23:55:01Z"), "NotVerified", "could not be probed", False),
    "nobody knows, some time ago": (Probe("failed", ended="2026-03-03T23:55:00Z"), "NotVerified", "probed again 5 min", True),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDS)
def test_a_probe_that_found_out_nothing_is_made_again(case: str) -> None:
    """A slow image or a node that has to be made first is no way out; what answered is, until a person has seen to it."""
    probe, reason, words, again = ENDS[case]
    seen = CampaignSeen(probes=dict.fromkeys(PARTS, BLOCKED) | {"r0": probe}, sandbox_url="http://10.0.0.1:8080")
    verdict = isolation.judge(campaign("x"), seen, Settings(), NOW)
    assert (verdict.holds, str(verdict.reason), words in verdict.message) == (False, reason, True), verdict.message
    assert [(one.kind, one.name) for one in verdict.old] == ([("Job", "isolation")] if again else [])
    status = replace(seen, summary=Summary(opened=True, stage="preparing"), operator_token="t")
    assert plan_campaign(campaign("x"), status, "t", NOW, Settings()).delete == verdict.old


@pytest.mark.parametrize(
    ("probes", "begins"), [({}, False), (dict.fromkeys(PARTS, BLOCKED), True)], ids=["waits", "begins"]
)
def test_research_waits_for_the_walls(probes: dict[str, Probe], begins: bool) -> None:
    summary = Summary(opened=True, stage="preparing", prepared=True)
    seen = CampaignSeen(probes=probes, sandbox_url="http://10.0.0.1:8080", summary=summary, operator_token="t")
    plan = plan_campaign(campaign("x"), seen, "t", NOW, Settings())
    assert (plan.stage == ("researching", "")) is begins


QUEUED = JobView(
    "e-1", "c-r0", "u-j", False, False, True, "", "", (IndexOutcome(index=0, succeeded=False),), queued=True, workload="w"
)  # fmt: skip
STOP = {"desiredState": "Suspended"}
QUEUES: dict[str, tuple[dict[str, Any], JobView, list[tuple[str, Any]], str]] = {
    "waits in the queue": ({}, replace(QUEUED, waiting="no quota left"), [], "Queued"),
    "is let run": ({}, replace(QUEUED, suspended=False), [], "Running"),
    "is suspended through its Workload": (STOP, replace(QUEUED, suspended=False), [("Workload", {"active": False})], "Running"),
    "stays suspended": (STOP, replace(QUEUED, workload_active=False), [], "Running"),
    "goes on through its Workload": ({}, replace(QUEUED, workload_active=False), [("Workload", {"active": True})], "Queued"),
    "has no Workload yet": (STOP, replace(QUEUED, workload=""), [], "Running"),
    "without a queue its Job is suspended": (STOP, replace(QUEUED, queued=False, suspended=False), [("Job", {"suspend": True})], "Running"),
}  # fmt: skip


@pytest.mark.parametrize("case", QUEUES)
def test_queued_jobs_are_never_unsuspended_by_us(case: str) -> None:
    spec, job, merges, phase = QUEUES[case]
    status = {"phase": "Running", "attempts": 1, "jobRef": {"name": "e-1", "uid": "u-j"}}
    open_hub = Summary(opened=True, stage="researching")
    seen = ExperimentSeen(campaign=CAMPAIGN, summary=open_hub, sandbox_url="http://h:1", job=job, attempt=1)
    plan = plan_experiment(experiment(spec, status), seen, NOW, Settings())
    assert [(target.kind, patch["spec"]) for target, patch in plan.merge] == merges
    assert plan.experiment_status is not None
    assert plan.experiment_status.phase == phase
    if case == "waits in the queue":
        assert "no quota left" in {c.message for c in plan.experiment_status.conditions}


OPEN_HUB = Summary(opened=True, stage="preparing")
TURNS: dict[str, tuple[str, Summary, dict[str, Any], list[str]]] = {
    "accepted": ("Pending", OPEN_HUB, {}, ["Preparing"]),
    "still prepares": ("Preparing", OPEN_HUB, {}, []),
    "begins research": ("Preparing", Summary(opened=True, stage="researching"), {}, ["Researching"]),
    "research is over": (
        "Researching", Summary(opened=True, stage="researching", target_reached=True), {}, ["ResearchEnded"]),
    "verifies": ("Researching", Summary(opened=True, stage="verifying"), {}, ["Verifying"]),
    "suspended": ("Researching", Summary(opened=True, stage="researching"), {"suspend": True}, ["Suspended"]),
    "goes on": ("Suspended", Summary(opened=True, stage="researching"), {}, ["Researching"]),
    "over": ("Verifying", Summary(opened=True, stage="done"), {}, ["Complete"]),
    "the hub is away": ("Researching", Summary(opened=False, stage="preparing"), {}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", TURNS)
def test_turning_points_are_recorded_once(case: str) -> None:
    phase, summary, spec, reasons = TURNS[case]
    seen = CampaignSeen(
        probes=dict.fromkeys(PARTS, BLOCKED),
        sandbox_url="http://10.0.0.1:8080",
        summary=summary,
        operator_token="t",
    )
    plan = plan_campaign(
        campaign("x", accepted=True, status={"phase": phase, "startTime": OLD}, **spec), seen, "t", NOW, Settings()
    )
    assert [note.reason for note in plan.notes] == reasons
    if case == "the hub is away":
        assert plan.campaign_status is not None
        assert plan.campaign_status.phase == phase
