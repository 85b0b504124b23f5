"""Planner of experiments: a table of what is seen, and what is to be done."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aar_api.campaign import parse as parse_campaign
from aar_api.experiment import Experiment, parse
from aar_api.wire import AdmissionAnswer, ExperimentView, IndexOutcome, ScoreView, Summary
from aar_operator.cluster.observe import job_view
from aar_operator.plan.experiment import after_admission, plan_experiment
from aar_operator.plan.model import ExperimentSeen, JobView, Plan
from aar_operator.plan.settling import after_settlement
from aar_operator.settings import Settings

ONE_MACHINE = Settings(one_machine=True)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
API = {"apiVersion": "aar.dev/v1alpha1"}
CAMPAIGN = parse_campaign(
    API
    | {
        "kind": "ResearchCampaign",
        "metadata": {"name": "c", "namespace": "n", "uid": "u-c"},
        "spec": {
            "task": {"name": "chat"},
            "budget": {"limitUSD": "1"},
            "experiments": {"parallelism": 2, "maxGPUs": 4},
        },
    }
)
OPEN = Summary(opened=True, stage="researching")
JOB = JobView("e-1", "c-r0", "u-j", False, False, False, "", "", (IndexOutcome(index=0, succeeded=False, seconds=3.0),))


def experiment(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **meta: Any) -> Experiment:
    body = {"campaignRef": "c", "method": {"builtin": "hard-labels"}} | (spec or {})
    metadata = {"name": "e", "namespace": "n", "uid": "u-e"} | meta
    return parse(API | {"kind": "Experiment", "metadata": metadata, "spec": body, "status": status or {}})


def suspended(campaign: Any) -> Any:
    return campaign.model_copy(update={"spec": campaign.spec.model_copy(update={"suspend": True})})


def did(plan: Plan) -> str:
    """The plan in one word."""
    if plan.ask is not None:
        return "ask"
    if plan.settle is not None:
        return f"settle {plan.settle.outcome}"
    if plan.delete:
        return "delete " + ",".join(t.kind for t in plan.delete)
    if plan.merge:
        return f"merge {plan.merge[0][1]['spec']}"
    status = plan.experiment_status
    return "nothing" if status is None else f"{status.phase} {plan.requeue}"


SEEN = ExperimentSeen(campaign=CAMPAIGN, summary=OPEN, sandbox_url="http://h:1")
FAILED = CAMPAIGN.model_copy(update={"status": CAMPAIGN.status.model_copy(update={"phase": "Failed"})})
RUNS = {"jobRef": {"name": "e-1", "uid": "u-j"}, "attempts": 1, "phase": "Running"}
CASES = {
    "new one asks the hub": (experiment(), SEEN, "ask"),
    "no campaign": (experiment(), ExperimentSeen(), "Queued 30.0"),
    "method's ConfigMap is missing": (experiment(), replace(SEEN, missing="There is no ConfigMap."), "Queued 5.0"),
    "method's ConfigMap is gone while its Job runs": (
        experiment(status=RUNS),
        replace(SEEN, job=JOB, missing="There is no ConfigMap."),
        "Running None",
    ),
    "method's ConfigMap is gone, its Job ended": (
        experiment(status=RUNS),
        replace(SEEN, job=replace(JOB, finished=True), missing="There is no ConfigMap."),
        "settle finished",
    ),
    "method's ConfigMap is gone, cancelled": (
        experiment({"desiredState": "Cancelled"}),
        replace(SEEN, missing="There is no ConfigMap."),
        "settle cancelled",
    ),
    "method's ConfigMap is gone, suspended": (
        experiment({"desiredState": "Suspended"}),
        replace(SEEN, missing="There is no ConfigMap."),
        "Pending None",
    ),
    "hub does not answer": (experiment(), replace(SEEN, summary=None), "Pending 30.0"),
    "hub was not asked yet, the campaign failed": (
        experiment(status=RUNS),
        replace(SEEN, job=JOB, summary=None, unasked=True, campaign=FAILED),
        "Running 30.0",
    ),
    "hub does not answer, the campaign failed": (
        experiment(status=RUNS),
        replace(SEEN, job=JOB, summary=None, campaign=FAILED),
        "delete Secret,Job",
    ),
    "hub has no address": (experiment(), replace(SEEN, sandbox_url=None), "Pending 30.0"),
    "parallelism is used up": (experiment(), replace(SEEN, before=2), "Queued None"),
    "one place is left": (experiment(), replace(SEEN, before=1), "ask"),
    "GPUs are used up": (experiment({"resources": {"gpus": 2}}), replace(SEEN, gpus_before=3), "Queued None"),
    "GPUs suffice": (experiment({"resources": {"gpus": 2}}), replace(SEEN, gpus_before=2), "ask"),
    "GPUs of many seeds, as many at once as may be": (
        experiment({"resources": {"gpus": 1}, "seeds": 8}),
        SEEN,
        "ask",
    ),
    "GPUs of many seeds, another has one": (
        experiment({"resources": {"gpus": 1}, "seeds": 8}),
        replace(SEEN, gpus_before=1),
        "Queued None",
    ),
    "a seed needs more GPUs than there may be": (experiment({"resources": {"gpus": 5}}), SEEN, "Failed None"),
    "a seed needs more GPUs than there may be now": (
        experiment({"resources": {"gpus": 5}, "submittedBy": {"researcher": "r0", "key": "1"}}),
        SEEN,
        "Queued 30.0",
    ),
    "no GPU wanted": (experiment(), replace(SEEN, gpus_before=9), "ask"),
    "job runs": (experiment(status=RUNS), replace(SEEN, job=JOB, attempt=1), "Running None"),
    "job made, crash before the status": (experiment(), replace(SEEN, job=JOB, attempt=1), "Running None"),
    "job ended": (experiment(status=RUNS), replace(SEEN, job=replace(JOB, finished=True)), "settle finished"),
    "job deleted by hand": (experiment(status=RUNS), SEEN, "ask"),
    "job deleted again and again": (experiment(status=RUNS | {"attempts": 3}), SEEN, "settle lost"),
    "cancelled while it runs": (
        experiment({"desiredState": "Cancelled"}, RUNS),
        replace(SEEN, job=JOB),
        "settle cancelled",
    ),
    "cancelled before": (experiment({"desiredState": "Cancelled"}), SEEN, "settle cancelled"),
    "ended, then cancelled": (
        experiment({"desiredState": "Cancelled"}, RUNS),
        replace(SEEN, job=replace(JOB, finished=True)),
        "settle finished",
    ),
    "research is over": (
        experiment(status=RUNS),
        replace(SEEN, job=JOB, summary=Summary(opened=True, stage="verifying")),
        "settle cancelled",
    ),
    "research is over, replication": (
        experiment({"purpose": "Replication"}, RUNS),
        replace(SEEN, job=JOB, summary=Summary(opened=True, stage="verifying")),
        "Running None",
    ),
    "research is over, suspended before it began, known to the hub": (
        experiment({"desiredState": "Suspended"}, finalizers=["aar.dev/cleanup"]),
        replace(SEEN, summary=Summary(opened=True, stage="verifying")),
        "settle cancelled",
    ),
    "research is over, suspended before the hub knew it": (
        experiment({"desiredState": "Suspended"}),
        replace(SEEN, summary=Summary(opened=True, stage="verifying")),
        "Pending None",
    ),
    "applied by a person too late": (experiment(), replace(SEEN, summary=Summary(opened=True, stage="done")), "ask"),
    "suspended before it began": (experiment({"desiredState": "Suspended"}), SEEN, "Pending None"),
    "suspended while it runs": (
        experiment({"desiredState": "Suspended"}, RUNS),
        replace(SEEN, job=JOB),
        "merge {'suspend': True}",
    ),
    "campaign is suspended": (
        experiment(status=RUNS),
        replace(SEEN, job=JOB, campaign=suspended(CAMPAIGN)),
        "merge {'suspend': True}",
    ),
    "resumed": (experiment(status=RUNS), replace(SEEN, job=replace(JOB, suspended=True)), "merge {'suspend': False}"),
    "over: Job and Secret go": (experiment(status={"phase": "Complete"}), replace(SEEN, job=JOB), "delete Secret,Job"),
    "over and cleaned up": (experiment(status={"phase": "Failed"}), SEEN, "nothing"),
    "deleted": (experiment(deletionTimestamp="2026-01-01T00:00:00Z"), replace(SEEN, job=JOB), "delete Secret,Job"),
}


@pytest.mark.parametrize("seen", [replace(SEEN, before=2), replace(SEEN, missing="There is no ConfigMap.")])
def test_one_that_was_resumed_and_waits_is_not_suspended(seen: ExperimentSeen) -> None:
    when = {"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}
    was = {"type": "Suspended", "status": "True", "reason": "UserRequested", "message": "", **when}
    plan = plan_experiment(experiment(status={"phase": "Queued", "conditions": [was]}), seen, NOW, ONE_MACHINE)
    assert plan.experiment_status is not None
    held = {one.type: (one.status, one.reason) for one in plan.experiment_status.conditions}
    assert held["Suspended"] == ("False", "Resumed")


HELD = {"finalizers": ["aar.dev/cleanup"], "deletionTimestamp": "2026-01-02T03:04:00Z"}
"""Deleted five seconds ago, and still held."""
LONG = HELD | {"deletionTimestamp": "2026-01-02T03:03:00Z"}
LEAVING = CAMPAIGN.model_copy(
    update={"metadata": CAMPAIGN.metadata.model_copy(update={"deletion_timestamp": "2026-01-02T03:03:00Z"})}
)
SILENT = replace(SEEN, summary=None)
DELETED = {
    "the hub answers": (HELD, replace(SEEN, job=JOB), "settle cancelled"),
    "the hub answers, the campaign goes": (HELD, replace(SEEN, campaign=LEAVING), "settle cancelled"),
    "the hub never had the campaign": (HELD, replace(SEEN, summary=Summary(opened=False, stage="preparing")), "let go"),
    "the hub is silent": (LONG, SILENT, "again in 30.0"),
    "the hub is silent, the campaign goes": (HELD, replace(SILENT, campaign=LEAVING), "again in 1.0"),
    "the hub is silent for long, the campaign goes": (LONG, replace(SILENT, campaign=LEAVING), "let go"),
    "the hub is silent for long, the campaign failed": (LONG, replace(SILENT, campaign=FAILED), "let go"),
    "nobody asked the hub yet, the campaign goes": (LONG, replace(SILENT, campaign=LEAVING, unasked=True), "again in 1.0"),
    "the campaign is gone": (HELD, ExperimentSeen(), "let go"),
}  # fmt: skip


@pytest.mark.parametrize("case", DELETED)
def test_deleted_one_is_paid_for_before_it_is_let_go(case: str) -> None:
    meta, seen, wanted = DELETED[case]
    plan = plan_experiment(experiment(**meta), seen, NOW, ONE_MACHINE)
    settles = None if plan.settle is None else f"settle {plan.settle.outcome}"
    assert (settles or ("let go" if plan.release else f"again in {plan.requeue}")) == wanted


@pytest.mark.parametrize("case", CASES)
def test_first_step(case: str) -> None:
    one, seen, wanted = CASES[case]
    assert did(plan_experiment(one, seen, NOW, ONE_MACHINE)) == wanted


def told(plan: Plan, kind: str) -> tuple[str, str, str]:
    """A condition of the status that is to be written."""
    assert plan.experiment_status is not None
    return next((c.status, c.reason, c.message) for c in plan.experiment_status.conditions if c.type == kind)


def test_who_waits_for_a_place_is_told_so_alike_whoever_is_before_it() -> None:
    first = plan_experiment(experiment(), replace(SEEN, before=2), NOW, ONE_MACHINE)
    later = plan_experiment(experiment(), replace(SEEN, before=7, gpus_before=3), NOW, ONE_MACHINE)
    assert told(first, "Accepted")[:2] == ("Unknown", "WaitingForPlace")
    assert "experiments.parallelism" in told(first, "Accepted")[2]
    assert first.experiment_status == later.experiment_status


REFUSED = {
    "type": "Accepted", "status": "False", "reason": "UnknownCampaign", "message": "There is no campaign.",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}  # fmt: skip


def test_what_was_missing_and_is_there_is_not_said_to_be_missing() -> None:
    back = experiment(status={"phase": "Queued", "conditions": [REFUSED]})
    silent = plan_experiment(back, replace(SEEN, summary=None), NOW, ONE_MACHINE)
    full = plan_experiment(back, replace(SEEN, before=2), NOW, ONE_MACHINE)
    poor = after_admission(back, SEEN, AdmissionAnswer(verdict="wait", message="later"), NOW, Settings())
    assert [told(one, "Accepted")[:2] for one in (silent, full, poor)] == [
        ("Unknown", "HubPending"),
        ("Unknown", "WaitingForPlace"),
        ("Unknown", "WaitingForBudget"),
    ]


def test_a_job_that_ended_while_the_hub_is_away_waits_to_be_scored() -> None:
    ended = replace(SEEN, job=replace(JOB, finished=True), summary=None)
    plan = plan_experiment(experiment(status=RUNS), ended, NOW, ONE_MACHINE)
    assert plan.experiment_status is not None
    assert plan.experiment_status.phase == "Scoring"
    assert told(plan, "Scored")[:2] == ("False", "WaitingForScorer")
    unasked = plan_experiment(experiment(status=RUNS), replace(ended, unasked=True), NOW, ONE_MACHINE)
    assert unasked.experiment_status is not None
    assert unasked.experiment_status.phase == "Running"


def test_what_earlier_attempts_ran_is_paid_with_the_last() -> None:
    ran = {0: 5.0, 2: 1.5}
    for seen, wanted in (
        (replace(SEEN, job=replace(JOB, finished=True), ran=ran), [(0, 8.0), (2, 1.5)]),
        (replace(SEEN, ran=ran), [(0, 5.0), (2, 1.5)]),
    ):
        status = RUNS | ({"attempts": 3} if seen.job is None else {})
        settlement = plan_experiment(experiment(status=status), seen, NOW, ONE_MACHINE).settle
        assert settlement is not None
        assert [(one.index, one.seconds) for one in settlement.indexes] == wanted


BARE = replace(JOB, started="2026-01-02T03:03:50Z", bare=True)
"""Let run 15 s ago, and no pod of it was seen."""
LONG_BARE = replace(BARE, started="2026-01-02T03:03:05Z")


def test_a_job_whose_pods_the_cluster_refuses_is_told_once() -> None:
    runs = experiment(status=RUNS)
    early = plan_experiment(runs, replace(SEEN, job=BARE), NOW, ONE_MACHINE)
    assert (told(early, "Accepted")[0], early.requeue, early.notes) == ("True", 15.0, ())
    late = plan_experiment(runs, replace(SEEN, job=LONG_BARE), NOW, ONE_MACHINE)
    assert told(late, "Accepted")[:2] == ("False", "ClusterRefused")
    assert "kubectl -n c-r0 describe job e-1" in told(late, "Accepted")[2]
    assert ([one.kind for one in late.notes], late.requeue) == (["Warning"], None)
    again = runs.model_copy(update={"status": late.experiment_status})
    assert plan_experiment(again, replace(SEEN, job=LONG_BARE), NOW, ONE_MACHINE).notes == ()
    made = plan_experiment(again, replace(SEEN, job=JOB), NOW, ONE_MACHINE)
    assert told(made, "Accepted")[:2] == ("True", "Valid")


def test_the_hub_is_told_what_ran() -> None:
    ended = replace(SEEN, job=replace(JOB, finished=True, image="lab@sha256:1"))
    settlement = plan_experiment(experiment(status=RUNS), ended, NOW, ONE_MACHINE).settle
    assert settlement is not None
    assert settlement.image == "lab@sha256:1"


@pytest.mark.parametrize(("attempts", "name"), [(0, "e-1"), (1, "e-2")], ids=["first", "made again"])
def test_admitted_makes_a_job_with_an_index_a_seed(attempts: int, name: str) -> None:
    answer = AdmissionAnswer(verdict="admitted", seeds=(5, 6), fetch_token="f", post_token="p", part="r0")
    plan = after_admission(experiment(status={"attempts": attempts}), SEEN, answer, NOW, Settings())
    (job,) = plan.create
    assert (job["kind"], job["metadata"]["name"], job["spec"]["completions"]) == ("Job", name, 2)
    assert plan.apply[0]["stringData"] == {"fetch": "f", "post": "p"}


def test_the_train_step_holds_no_token() -> None:
    answer = AdmissionAnswer(verdict="admitted", seeds=(5,), fetch_token="f", post_token="p", part="r0")
    (job,) = after_admission(experiment(), SEEN, answer, NOW, Settings()).create
    fetch, train = job["spec"]["template"]["spec"]["initContainers"]
    assert "AAR_TOKEN" in {one["name"] for one in fetch["env"]}
    assert not {"AAR_TOKEN", "AAR_HUB_URL"} & {one["name"] for one in train["env"]}


def test_waits_for_money() -> None:
    plan = after_admission(experiment(), SEEN, AdmissionAnswer(verdict="wait", message="later"), NOW, Settings())
    assert did(plan) == "Queued 1.0"


def test_refusal_is_final_and_says_why() -> None:
    answer = AdmissionAnswer(verdict="refused", reason="Duplicate", message="Run before as x.")
    status = after_admission(experiment(), SEEN, answer, NOW, Settings()).experiment_status
    assert status is not None
    told = {c.type: (c.status, c.reason, c.message) for c in status.conditions}
    assert status.phase == "Failed"
    assert told["Accepted"] == ("False", "Duplicate", "Run before as x.")


VIEW = ExperimentView(name="e", purpose="Exploration", submitted_by="r0", task="chat", label="m", state="scored")
SCORE = ScoreView(pgr=0.5, stderr=0.1, split="Feedback", n_seeds=1, receipt="sha256:" + "0" * 64)


@pytest.mark.parametrize(
    ("view", "phase", "reason"),
    [
        (VIEW.model_copy(update={"score": SCORE}), "Complete", "ScoreRecorded"),
        (VIEW, "Complete", "OutputRecorded"),
        (VIEW.model_copy(update={"purpose": "Replication", "message": "Sealed."}), "Complete", "OutputRecorded"),
        (VIEW.model_copy(update={"state": "failed", "reason": "SeedFailed", "message": "NaN"}), "Failed", "SeedFailed"),
        (VIEW.model_copy(update={"state": "failed", "reason": "Odd"}), "Failed", "JobFailed"),
        (VIEW.model_copy(update={"state": "cancelled"}), "Cancelled", "Cancelled"),
    ],
    ids=["scored", "baseline", "sealed", "failed", "unknown reason", "cancelled"],
)
def test_settled(view: ExperimentView, phase: str, reason: str) -> None:
    status = after_settlement(experiment(status=RUNS), SEEN, view, NOW).experiment_status
    assert status is not None
    assert status.phase == phase
    assert reason in {c.reason for c in status.conditions}
    assert (status.score is not None) is (view.score is not None)
    assert view.message in {"", *(c.message for c in status.conditions)}


AUDITS = {
    "clean": ({"audit": "Clean"}, [("True", "Clean", "No audit found anything.")]),
    "suspect": ({"audit": "Suspect", "audit_message": "It reads ids."}, [("False", "Suspect", "It reads ids.")]),
    "none": ({}, []),
    "under way": ({"audit": "Pending"}, []),
}


@pytest.mark.parametrize("case", AUDITS)
def test_what_audits_found_is_a_condition(case: str) -> None:
    known, wanted = AUDITS[case]
    view = VIEW.model_copy(update={"score": SCORE} | known)
    status = after_settlement(experiment(status=RUNS), SEEN, view, NOW).experiment_status
    assert status is not None
    assert [(c.status, c.reason, c.message) for c in status.conditions if c.type == "Audited"] == wanted


RESERVED = {
    "type": "BudgetReserved", "status": "True", "reason": "Reserved", "message": "Money for it is held.",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}  # fmt: skip


def test_what_is_held_is_told_while_it_runs() -> None:
    answer = AdmissionAnswer(
        verdict="admitted", seeds=(5,), fetch_token="f", post_token="p", part="r0", reserved_usd="0.25"
    )
    (made,) = after_admission(experiment(), SEEN, answer, NOW, Settings()).create
    stored = {"metadata": made["metadata"] | {"uid": "u-j"}, "spec": made["spec"]}
    runs = plan_experiment(experiment(), replace(SEEN, job=job_view(stored, [], NOW), attempt=1), NOW, ONE_MACHINE)
    assert runs.experiment_status is not None
    assert runs.experiment_status.cost.reserved_usd == "0.25"
    paid = VIEW.model_copy(update={"cost_usd": "0.20"})
    over = experiment(status=runs.experiment_status.dump())
    ended = after_settlement(over, SEEN, paid, NOW).experiment_status
    assert ended is not None
    assert (ended.cost.reserved_usd, ended.cost.total_usd) == ("0.00", "0.20")


def test_money_is_not_said_to_be_held_after_it_was_settled() -> None:
    status = after_settlement(experiment(status=RUNS | {"conditions": [RESERVED]}), SEEN, VIEW, NOW).experiment_status
    assert status is not None
    assert ("BudgetReserved", "False", "Settled") in [(c.type, c.status, c.reason) for c in status.conditions]


def test_a_job_that_ended_before_anybody_saw_it_run_is_named() -> None:
    seen = replace(SEEN, attempt=1, job=replace(JOB, created="2026-01-02T03:04:00Z"))
    view = ExperimentView(name="e", purpose="Exploration", submitted_by="r0", task="chat", label="", state="failed")
    status = after_settlement(experiment(), seen, view, NOW).experiment_status
    assert status is not None
    assert status.job_ref is not None
    assert (status.job_ref.name, status.job_ref.uid) == ("e-1", "u-j")
    assert (status.start_time, status.completion_time) == ("2026-01-02T03:04:00Z", "2026-01-02T03:04:05Z")
