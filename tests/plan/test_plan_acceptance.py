"""Objects as the cluster holds them, and what their conditions say: nothing that stands in them makes the operator stumble."""

from __future__ import annotations

from typing import Any

import pytest
from aar_api.campaign import parse
from aar_api.conditions import MAX_MESSAGE, CampaignCondition, Reason, set_condition
from aar_api.wire import ErrorBody, Summary
from aar_operator.plan.campaign import plan_campaign
from aar_operator.plan.model import CampaignSeen
from aar_operator.reconcile.reading import Malformed, Reading
from aar_operator.settings import Settings
from plan.test_plan_limits import NOW, campaign
from pydantic import ValidationError

SPEC: dict[str, Any] = {"task": {"name": "chat"}, "budget": {"limitUSD": "1"}}


def manifest(**parts: Any) -> dict[str, Any]:
    meta = {"name": "c", "namespace": "n", "uid": "u", "resourceVersion": "1"}
    return {"kind": "ResearchCampaign", "apiVersion": "aar.dev/v1alpha1", "metadata": meta, "spec": SPEC} | parts


@pytest.mark.parametrize(
    ("length", "kept", "end"),
    [(MAX_MESSAGE, MAX_MESSAGE, "x"), (MAX_MESSAGE + 1, MAX_MESSAGE, "it has 32769 characters, and 32768 are kept)")],
    ids=["fits", "too long"],
)
def test_a_message_is_cut_to_what_the_api_takes(length: int, kept: int, end: str) -> None:
    now = "2026-01-01T00:00:00Z"
    (one,) = set_condition((), CampaignCondition.ACCEPTED, False, Reason.INVALID_SPEC, "x" * length, now, 1)
    assert len(one.message) == kept
    assert one.message.endswith(end)


NEWER = {
    "in the spec": {"spec": {**SPEC, "colour": "blue"}},
    "deep in the spec": {"spec": {**SPEC, "budget": {"limitUSD": "1", "currency": "EUR"}}},
    "in the status": {"status": {"phase": "Researching", "spend": {"totalUSD": "0.10", "tpuUSD": "0.05"}}},
    "at the top": {"scale": {}},
}


@pytest.mark.parametrize("case", NEWER)
def test_a_field_of_a_newer_schema_is_passed_over_in_the_cluster_and_refused_in_a_file(case: str) -> None:
    one = manifest(**NEWER[case])
    assert Reading().campaign(one).spec.budget.limit_usd == "1"
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        parse(one)


SPOILED: dict[str, tuple[dict[str, Any], int | None]] = {
    "a list in a transfer task": ({"evaluation": {"transferTasks": [{"name": "x", "params": {"a": []}}]}}, 3),
    "two parts": ({"evaluation": {"controls": "maybe"}, "referenceLines": 7}, 3),
    "parts that do not go together": ({"experiments": {"parallelism": 9, "maxCount": 1}}, 1),
    "the task": ({"task": {"name": "x", "params": {"a": []}}}, None),
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_is_left_of_one_with_mistakes(case: str) -> None:
    """As much of it as is one, so that what it has can be counted, and what it spends can be stopped."""
    wrong, count = SPOILED[case]
    reading, one = Reading(), manifest(spec=SPEC | {"suspend": True, "researchers": {"count": 3}} | wrong)
    with pytest.raises(Malformed):
        reading.campaign(one)
    left = [(rest.spec.suspend, rest.spec.researchers.count) for rest in reading.campaigns([one])]
    assert left == ([] if count is None else [(True, count)])


def test_a_change_that_is_not_taken_is_warned_of_once() -> None:
    """Though the numbers in the sentence move with what others spend."""
    body = {"phase": "Preparing", "startTime": "2026-01-01T00:00:00Z"}
    one = campaign("x", accepted=True, status=body)
    summary, told = Summary(opened=True, stage="preparing"), []
    for spent in ("1.00", "1.01", "1.02"):
        refusal = ErrorBody(reason="BudgetExceeded", message=f"Spent: {spent}.")
        seen = CampaignSeen(summary=summary, refusal=refusal, sandbox_url="http://h:1", operator_token="t")
        plan = plan_campaign(one, seen, "t", NOW, Settings())
        assert plan.campaign_status is not None
        one = one.model_copy(update={"status": plan.campaign_status})
        told += [note.message for note in plan.notes]
        assert one.status.phase == "Preparing"
    assert told == ["It goes on as it was accepted, without the last change. Spent: 1.00."]


def test_an_experiment_with_a_field_of_a_newer_schema_is_read_too() -> None:
    spec = {"campaignRef": "c", "method": {"builtin": "hard-labels", "since": "v2"}, "colour": "blue"}
    assert Reading().experiment(manifest(kind="Experiment", spec=spec)).spec.method.builtin == "hard-labels"
