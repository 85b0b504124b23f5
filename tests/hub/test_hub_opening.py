"""What is refused when a campaign is opened or changed: before it costs anything, with the value, the rule and the way out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hub.hubworld import REVIEWS, SMALL, World, spec


def math(**params: Any) -> dict[str, Any]:
    return {"name": "math", "params": SMALL | params}


@pytest.mark.parametrize(
    ("wanted", "reason", "told"),
    [
        pytest.param(
            spec(task={"name": "chess", "params": {}}), "InvalidTask", "No task is named 'chess'. Known: chat, code, math, reviews.",
            id="unknown task",
        ),
        pytest.param(
            spec(task=math(nTest=5)), "InvalidTask",
            "Parameter nTest of task 'math' is 5, but it must be greater than or equal to 20: change or remove it.",
            id="parameter too small",
        ),
        pytest.param(
            spec(task=math(nTest="many")), "InvalidTask",
            "Parameter nTest of task 'math' is 'many', but it must be a valid integer: change or remove it.",
            id="parameter of another kind",
        ),
        pytest.param(
            spec(task=math(ntest=50)), "InvalidTask", "Task 'math' has no parameter 'ntest'. Known: batchSize, dataSeed,",
            id="unknown parameter",
        ),
        pytest.param(
            spec(evaluation={"transferTasks": [{"name": "go", "params": {}}]}), "InvalidTask", "No task is named 'go'. Known:",
            id="unknown transfer task",
        ),
        pytest.param(
            # 17 runs of verification and 5 of the dearest baseline; 60 s x 0.05 / 3600 = 834 micro-dollars, rounded up, and each may run twice.
            spec(budget={"limitUSD": "0.03"}), "BudgetExceeded",
            "budget.limitUSD is 0.03, but verification needs up to 0.035028, what else is spent or running 0.00 and the dearest baseline "
            "0.00834 USD: raise the limit to 0.043368, or lower experiments.activeDeadlineSeconds, replication.topK or its seeds.",
            id="budget",
        ),
        pytest.param(spec(budget={"limitUSD": "0"}), "InvalidRequest", "must be greater than 0: write for example", id="nothing"),
        pytest.param(spec(researchers={"count": 65}), "InvalidRequest", "spec.researchers.count: Input should be less", id="team"),
    ],
)  # fmt: skip
def test_refused_at_once(worlds: Callable[..., World], wanted: dict[str, Any], reason: str, told: str) -> None:
    world = worlds()
    answer = world.open(wanted)
    assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    assert told in answer.json()["message"]
    assert not world.summary()["opened"]


def test_the_way_out_of_a_small_budget_works(worlds: Callable[..., World]) -> None:
    world = worlds()
    told = world.open(spec(budget={"limitUSD": "0.03"})).json()["message"]
    enough = re.search(r"raise the limit to ([0-9.]+),", told)
    assert enough is not None
    less = f"{float(enough[1]) - 1e-6:.6f}"
    assert world.open(spec(budget={"limitUSD": less})).status_code == 422
    assert world.open(spec(budget={"limitUSD": enough[1]})).status_code == 204


def test_too_few_rows_end_the_campaign_with_a_sentence(worlds: Callable[..., World]) -> None:
    world = worlds()
    assert world.open(spec(task=math(nTrain=100_000))).status_code == 204
    failed = world.until(lambda: world.summary()["failed"])
    assert re.fullmatch(
        r"Task 'math' was asked for 100220 rows .* but its data gives at most \d+ with these parameters: ask for fewer\.",
        failed,
    )
    assert world.events() == []


def test_before_a_campaign_is_open(worlds: Callable[..., World]) -> None:
    world = worlds()
    assert world.summary() == world.summary() | {
        "opened": False,
        "stage": "preparing",
        "spend": world.summary()["spend"],
    }
    answer = world.ask("GET", "/v1/operator/report")
    assert (answer.status_code, answer.json()["reason"]) == (409, "HubPending")


@pytest.mark.parametrize(
    ("changed", "uid", "told"),
    [
        pytest.param({}, "uid-2", "with UID uid-1, not uid-2: a campaign made again gets a hub of its own", id="made again"),
        pytest.param({"task": REVIEWS}, "uid-1", "spec.task was changed, but it is immutable", id="task"),
        pytest.param({"task": math(nTest=201)}, "uid-1", "spec.task was changed", id="parameters"),
        pytest.param({"objective": {"target": "0.9"}}, "uid-1", "spec.objective was changed", id="objective"),
        pytest.param(
            {"experiments": {"seeds": 1}, "evaluation": {"replication": {"topK": 2, "seeds": 4}}}, "uid-1",
            "experiments.seeds was 2 and is now 1, but verification would get weak labels that exploration may have seen", id="weak labels seen",
        ),
        pytest.param(
            {"experiments": {"seeds": 3}}, "uid-1",
            "experiments.seeds plus replication.seeds was 5 and is now 6, but weak labels are made once", id="weak labels",
        ),
        pytest.param({"budget": {"limitUSD": "0.02"}}, "uid-1", "budget.limitUSD is 0.02, but verification needs", id="budget"),
        pytest.param(
            {"evaluation": {"transferTasks": [{"name": "go", "params": {}}]}}, "uid-1", "No task is named 'go'", id="transfer",
        ),
    ],
)  # fmt: skip
def test_changes_that_are_refused(world: World, changed: dict[str, Any], uid: str, told: str) -> None:
    before, in_force = world.summary(), world.must("GET", "/v1/operator/campaign")
    answer = world.open(spec(**changed), uid)
    assert answer.status_code == 422
    assert told in answer.json()["message"]
    assert world.summary() == before
    assert world.must("GET", "/v1/operator/campaign") == in_force


def test_changes_that_are_taken(world: World) -> None:
    held = world.summary()["spend"]["reservedUSD"]
    assert world.open(spec()).status_code == 204
    assert world.summary()["spend"]["reservedUSD"] == held, "the same spec again changes nothing"
    assert world.open(spec(budget={"limitUSD": "20.00"})).status_code == 204
    assert world.summary()["limitUSD"] == "20.00"
    # One more winner: three seeds again and two controls of three, each of them twice 834 micro-dollars.
    assert world.open(spec(evaluation={"replication": {"topK": 3, "seeds": 3}})).status_code == 204
    more = float(world.summary()["spend"]["reservedUSD"]) - float(held)
    assert more == pytest.approx((3 + 2 * 3) * 2 * 834e-6)
    assert world.open(spec()).status_code == 204
    assert world.summary()["spend"]["reservedUSD"] == held


def test_what_was_taken_stays_in_force_though_prices_have_risen(world: World) -> None:
    """At these prices verification could not be held anew; it need not."""
    held = world.summary()["spend"]["reservedUSD"]
    world.restart(cpu_usd_per_hour="1000")
    assert world.open(spec()).status_code == 204
    assert world.open(spec(suspend=True)).status_code == 204
    assert world.must("GET", "/v1/operator/campaign")["spec"]["suspend"]
    assert world.summary()["spend"]["reservedUSD"] == held
    answer = world.open(spec(experiments={"parallelism": 5}))
    assert (answer.status_code, answer.json()["reason"]) == (422, "BudgetExceeded")


@pytest.mark.parametrize(
    ("stages", "status"),
    [
        (["researching"], 200),
        (["verifying", "researching"], 409),
        (["done", "done"], 200),
        (["done", "verifying"], 409),
    ],
    ids=["the same", "back", "end twice", "after the end"],
)
def test_stages_go_forward_only(world: World, stages: list[str], status: int) -> None:
    assert [world.stage(stage).status_code for stage in stages][-1] == status


def test_research_waits_for_preparation(preparing: World) -> None:
    answer = preparing.stage("researching")
    assert (answer.status_code, answer.json()["reason"]) == (409, "Preparing")
