"""Objects as the cluster holds them, and what their conditions say: nothing that stands in them makes the operator stumble."""

from __future__ import annotations

from typing import Any

import pytest
from aar_api.campaign import parse
from aar_api.conditions import MAX_MESSAGE, CampaignCondition, Reason, set_condition
from aar_operator.reconcile.reading import Reading
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


def test_an_experiment_with_a_field_of_a_newer_schema_is_read_too() -> None:
    spec = {"campaignRef": "c", "method": {"builtin": "hard-labels", "since": "v2"}, "colour": "blue"}
    assert Reading().experiment(manifest(kind="Experiment", spec=spec)).spec.method.builtin == "hard-labels"
