"""A campaign that is over: what of it still runs ends, and it stays for as long as it asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aar_api.names import namespace
from aar_api.wire import Summary, SummaryBest
from aar_operator.plan.acceptance import name_taken, not_made
from aar_operator.plan.campaign import plan_campaign
from aar_operator.plan.ending import complete
from aar_operator.plan.model import CampaignSeen, Plan, Probe, ResearcherState
from aar_operator.settings import Settings
from plan.test_plan_limits import campaign

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
ENDED = "2026-03-04T11:59:00Z"
OWN = ("ResearchCampaign", "n", "x")
CLUSTER, MACHINE = Settings(), Settings(one_machine=True)
KEPT: dict[str, tuple[str, int | None, Settings, list[tuple[str, str, str]], float | None]] = {
    "for ever": ("Complete", None, CLUSTER, [], None),
    "for another minute": ("Complete", 120, CLUSTER, [], 60.0),
    "no longer": ("Complete", 60, CLUSTER, [OWN], None),
    "not at all": ("Complete", 0, CLUSTER, [OWN], None),
    "one that failed goes too": ("Failed", 60, CLUSTER, [OWN], None),
    "on one machine it is its folder": ("Complete", 0, MACHINE, [], None),
}


@pytest.mark.parametrize("case", KEPT)
def test_kept(case: str) -> None:
    phase, ttl, settings, deleted, again = KEPT[case]
    spec: dict[str, Any] = {} if ttl is None else {"ttlSecondsAfterFinished": ttl}
    one = campaign("x", status={"phase": phase, "completionTime": ENDED}, **spec)
    plan = plan_campaign(one, CampaignSeen(), "t", NOW, settings)
    assert [(target.kind, target.namespace, target.name) for target in plan.delete] == deleted
    assert plan.requeue == again
    assert not plan.apply


def test_one_that_goes_on_is_never_too_old() -> None:
    one = campaign("x", ttlSecondsAfterFinished=0, status={"phase": "Verifying", "completionTime": None})
    assert not plan_campaign(one, CampaignSeen(), "t", NOW, CLUSTER).delete


STATES: dict[ResearcherState, bool] = {"active": True, "suspended": True, "succeeded": False, "failed": False}


@pytest.mark.parametrize("state", STATES)
def test_what_still_runs_of_one_that_failed_ends(state: ResearcherState) -> None:
    """A probe whose campaign failed would else try again until it is deleted."""
    seen = CampaignSeen(probes={"verify": Probe(state)}, researchers={"r0": state})
    one = campaign("x", status={"phase": "Failed", "completionTime": ENDED})
    deleted = plan_campaign(one, seen, "t", NOW, CLUSTER).delete
    spaces = {part: namespace("x", "x", part) for part in ("verify", "r0")}
    wanted = {("Job", spaces["verify"], "isolation"), ("Job", spaces["r0"], "researcher")}
    assert {(target.kind, target.namespace, target.name) for target in deleted} == (wanted if STATES[state] else set())


def test_one_whose_name_is_taken_is_refused_once() -> None:
    one = campaign("x", status={"phase": "Pending"})
    refused = name_taken(one, "There is a Namespace that isn't ours.", NOW).campaign_status
    assert refused is not None
    assert refused.phase == "Failed"
    again = plan_campaign(
        one.model_copy(update={"status": refused}), CampaignSeen(), "t", NOW + timedelta(hours=1), CLUSTER
    )
    assert (again.campaign_status, again.notes, again.apply) == (None, (), ())


def test_one_that_the_cluster_does_not_take_yet_is_tried_again_though_it_was_refused_before() -> None:
    accepted = {
        "type": "Accepted",
        "status": "False",
        "reason": "InvalidSpec",
        "message": "no",
        "lastTransitionTime": ENDED,
    }
    one = campaign("x", status={"phase": "Failed", "observedGeneration": 0, "conditions": [accepted]})
    status = not_made(one, "forbidden: status unknown for quota", NOW).campaign_status
    again = plan_campaign(one.model_copy(update={"status": status}), CampaignSeen(), "t", NOW, CLUSTER)
    assert again.apply, "its ground is asked for again"


WINNERS: dict[str, tuple[dict[str, Any] | None, str]] = {
    "none": (None, "no winner was confirmed (e: its run has no score)."),
    "a hope": ({"confirmed": False, "not_held_on": ("code",)}, "no winner was confirmed (e: its run has no score)."),
    "no other task": ({}, "a winner was confirmed."),
    "on every task": ({"held_on": ("code", "math")}, "a winner was confirmed, and on code, math."),
    "on some": (
        {"held_on": ("code",), "not_held_on": ("math",)},
        "a winner was confirmed, and on code, but not on math.",
    ),
    "on no other": (
        {"not_held_on": ("code", "math")},
        "a winner was confirmed, but on no unseen task (not on code, math).",
    ),
}


@pytest.mark.parametrize("case", WINNERS)
def test_the_end_says_what_was_confirmed_and_where(case: str) -> None:
    found, said = WINNERS[case]
    best = {"experiment": "e", "method": "m", "pgr": 0.5, "stderr": 0.1, "confirmed": True}
    summary = Summary(
        opened=True,
        stage="done",
        best=None if found is None else SummaryBest.model_validate(best | found),
        unconfirmed="e: its run has no score" if "no winner" in said else "",
    )
    one = campaign("x", status={"phase": "Verifying"})
    plan = complete(one, CampaignSeen(), summary, Plan(), one.status, NOW)
    assert plan.campaign_status is not None
    (told,) = [item.message for item in plan.campaign_status.conditions if item.type == "Complete"]
    assert told == f"Research ended (ResearchersFinished); {said}"
    assert [note.message for note in plan.notes] == [told]
