"""Submitting, admitting and paying for experiments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aar_api import money
from aar_hub import purse, records
from hub.hubworld import MATH, METHOD, REVIEWS, World, npz, spec

EACH = 2 * 834  # micro-dollars of one seed in the worst case: twice 60 s of a core at 0.05 USD an hour, rounded up


# Submitting


def test_the_same_key_gives_the_same_experiment(world: World) -> None:
    one, other = world.researcher("r0"), world.researcher("r1")
    first = one.submit(key="k").json()
    again = one.submit(key="k", config={"x": 9}).json()
    assert again == first
    assert other.submit(key="k", config={"x": 9}).json()["name"] != first["name"]
    assert len(world.requested()) == 2
    assert [row["name"] for row in one.get("/v1/experiments")] == [first["name"]]


@pytest.mark.parametrize(
    ("changed", "status", "reason", "told"),
    [
        pytest.param(
            {"snapshot": "sha256:" + "0" * 64}, 422, "SnapshotMissing", "upload it first", id="no such snapshot"
        ),
        pytest.param({"snapshot": "method.py"}, 422, "InvalidRequest", "snapshot: String should match", id="no digest"),
        pytest.param(
            {"seeds": 3}, 422, "InvalidSpec", "seeds is 3, but experiments.seeds allows at most 2", id="seeds"
        ),
        pytest.param({"seeds": 0}, 422, "InvalidRequest", "seeds: Input should be greater", id="no seed"),
        pytest.param({"key": "a b"}, 422, "InvalidRequest", "key: String should match", id="key"),
        pytest.param({"purpose": "Replication"}, 422, "InvalidRequest", "purpose: Extra inputs", id="purpose"),
        pytest.param({"config": {"x": [1]}}, 422, "InvalidRequest", "config.x", id="config"),
    ],
)
def test_submissions_that_are_refused(
    world: World, changed: dict[str, Any], status: int, reason: str, told: str
) -> None:
    answer = world.researcher().submit(**changed)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert told in answer.json()["message"]
    assert world.events() == []


def test_the_same_question_again_is_refused_whoever_asks(world: World) -> None:
    first = world.researcher("r0").submit(config={"x": 1}).json()["name"]
    for researcher, changed, status in (
        ("r0", {"config": {"x": 1}}, 422),
        ("r1", {"config": {"x": 1}, "label": "mine", "hypothesis": "h"}, 422),
        ("r1", {"config": {"x": 2}}, 200),
        ("r1", {"config": {"x": 1}, "seeds": 1}, 200),
        ("r1", {"config": {"x": 1}, "smoke": True}, 200),
    ):
        who = world.researcher(researcher)
        answer = who.submit(key=f"again-{changed}".replace(" ", "").translate(str.maketrans("{}',", "...:")), **changed)
        assert answer.status_code == status, answer.text
        assert status == 200 or f"is experiment {first} (submitted)" in answer.json()["message"]


def test_counts_are_limited(worlds: Callable[..., World], researched: World) -> None:
    world = worlds(like=researched)
    assert world.open(spec(evaluation={"submissionsPerResearcher": 2}, experiments={"maxCount": 4})).status_code == 204
    one, other, third = (world.researcher(name) for name in ("r0", "r1", "r2"))
    assert [one.submit(config={"r0": i}).status_code for i in range(3)] == [200, 200, 422]
    assert one.submit(config={"r0": 9}).json()["reason"] == "SubmissionsExceeded"
    smoke = [one.submit(config={"r0": i}, smoke=True) for i in range(3)]
    assert [answer.status_code for answer in smoke] == [200, 200, 422], (
        "smoke runs have no score, and are counted by themselves"
    )
    assert smoke[2].json()["reason"] == "SubmissionsExceeded"
    assert "has made 2 smoke runs, as many as evaluation.submissionsPerResearcher" in smoke[2].json()["message"]
    assert [other.submit(config={"r1": i}).status_code for i in range(2)] == [200, 200]
    last = third.submit(config={"r2": 1})
    assert (last.status_code, last.json()["reason"]) == (422, "QuotaExceeded")
    purse = one.get("/v1/brief")["purse"]
    assert (purse["submissionsLeft"], purse["experimentsLeft"]) == (0, 0)
    assert world.summary()["explorationLimitReached"]


def test_cancelling(world: World) -> None:
    one, other = world.researcher("r0"), world.researcher("r1")
    name = one.submit().json()["name"]
    assert other.post(f"/v1/experiments/{name}/cancel").status_code == 404, "a colleague's"
    assert other.world.call("GET", f"/v1/experiments/{name}", other.token).status_code == 404
    assert one.post(f"/v1/experiments/{name}/cancel").json()["state"] == "submitted"
    assert [event["kind"] for event in world.events()] == ["experiment-requested", "cancel-requested"]
    assert world.settle(name, 0, "cancelled")["state"] == "cancelled"
    assert one.post(f"/v1/experiments/{name}/cancel").json()["state"] == "cancelled"
    assert [event["kind"] for event in world.events()] == ["experiment-updated"], (
        "what has ended is not cancelled again"
    )
    assert one.get("/v1/brief")["purse"]["submissionsLeft"] == 90, "it never ran"


@pytest.mark.parametrize(
    ("stage", "status", "reason"), [("verifying", 401, "CampaignFinished"), ("done", 401, "CampaignFinished")]
)
def test_no_submission_after_research(world: World, stage: str, status: int, reason: str) -> None:
    one = world.researcher()
    world.stage(stage)
    answer = one.submit(snapshot="sha256:" + "0" * 64)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


def test_no_submission_before_research(preparing: World) -> None:
    answer = preparing.researcher().submit()
    assert (answer.status_code, answer.json()["reason"]) == (409, "Preparing")


def test_snapshots_are_kept_once_with_their_parents(world: World) -> None:
    one, other = world.researcher("r0"), world.researcher("r1")
    parent = one.upload("def train(lab): return 1\n")
    child = other.upload("def train(lab): return 2\n", parents=[parent])
    found = one.get(f"/v1/snapshots/{child}")
    assert (found["author"], found["parents"]) == ("r1", [parent])
    again = one.post("/v1/snapshots", {"files": found["files"]})
    assert again.json() == {"digest": child, "new": False}
    assert one.get(f"/v1/snapshots/{child}")["author"] == "r1", "the first author stays"
    refused = one.post("/v1/snapshots", {"files": found["files"], "parents": ["sha256:" + "0" * 64]})
    assert (refused.status_code, refused.json()["reason"]) == (422, "SnapshotMissing")
    broken = one.post("/v1/snapshots", {"files": {"method.py": "def train(lab:"}})
    assert (broken.status_code, broken.json()["reason"]) == (422, "InvalidMethod")


# Admission


def test_seeds_are_drawn_once_and_for_that_code(world: World) -> None:
    one = world.researcher()
    names = [one.submit(config={"x": i}).json()["name"] for i in range(3)]
    world.events()
    assert one.get(f"/v1/experiments/{names[0]}")["seeds"] == [], "no seed before it is admitted"
    admitted = [world.admit(name) for name in names]
    assert len({seed for answer in admitted for seed in answer["seeds"]}) == 6
    assert [world.admit(name) for name in names] == admitted, "asked again, the same seeds and tokens"
    world.restart()
    assert [world.admit(name) for name in names] == admitted
    assert (admitted[0]["part"], admitted[0]["baseline"]) == ("r0", False)


def test_money_is_held_and_waited_for(world: World) -> None:
    # Verification holds 21 seeds; four seeds fit beside it, which is two experiments of two.
    spent = money.parse_usd(world.summary()["spend"]["totalUSD"])
    limit = money.format_usd(spent + 25 * EACH)
    assert world.open(spec(budget={"limitUSD": limit})).status_code == 204
    one = world.researcher()
    first, second, third = (one.submit(config={"x": i}).json()["name"] for i in range(3))
    world.events()
    assert [world.admit(name)["verdict"] for name in (first, second)] == ["admitted", "admitted"]
    waits = world.admit(third)
    assert (waits["verdict"], waits["reason"]) == ("wait", "WaitingForBudget")
    assert waits["message"] == "0.003336 USD have to be free; running experiments hold them."
    assert one.get(f"/v1/experiments/{third}")["state"] == "waiting"
    assert one.get("/v1/brief")["purse"]["leftUsd"] == "0.00"
    world.settle(first, 2, "cancelled", seconds=0.0)
    assert world.admit(third)["verdict"] == "admitted", "the money is free again"
    world.settle(second, 2, "cancelled", seconds=60.0)
    world.settle(third, 2, "cancelled", seconds=60.0)
    # Of four seeds in the worst case, two were used: one more experiment fits in what is left only if it is smaller.
    assert not world.summary()["purseEmpty"]
    fourth = one.submit(config={"x": 4}).json()["name"]
    world.events()
    assert world.admit(fourth)["verdict"] == "admitted"
    world.settle(fourth, 2, "cancelled", seconds=100.0)
    refused = one.submit(config={"x": 5})
    assert (refused.status_code, refused.json()["reason"]) == (422, "BudgetExceeded")
    assert "held for verification: ask for fewer seeds, or have budget.limitUSD raised." in refused.json()["message"]
    assert world.summary()["purseEmpty"]


GPU_EACH = 2 * 41_667
"""Micro-dollars of one seed's GPU in the worst case: twice 60 s at 2.50 USD an hour, rounded up."""
GPU_USED = 69_445
"""The same of 100 s."""


def test_money_for_gpus_has_a_limit_of_its_own(gpus: World) -> None:
    """Verification holds 21 seeds of 27; six fit beside it, which is three experiments of two."""
    world, one = gpus, gpus.researcher()
    names = [one.submit(config={"x": i}).json()["name"] for i in range(4)]
    world.events()
    assert [world.admit(name)["verdict"] for name in names[:3]] == ["admitted"] * 3
    waits = world.admit(names[3])
    assert (waits["verdict"], waits["reason"]) == ("wait", "WaitingForBudget")
    assert (
        waits["message"]
        == f"{usd(2 * GPU_EACH)} USD of budget.gpuLimitUSD have to be free; running experiments hold them."
    )
    world.settle(names[0], 2, "cancelled", seconds=0.0)
    assert world.admit(names[3])["verdict"] == "admitted", "the money is free again"
    late = one.submit(config={"x": 9}).json()["name"]
    world.events()
    assert world.admit(late)["verdict"] == "wait"
    for name in names[1:]:
        world.settle(name, 2, "cancelled", seconds=100.0)  # 100 of 120 seconds that were held
    refused = world.admit(late)
    assert (refused["verdict"], refused["reason"]) == ("refused", "BudgetExceeded")
    assert refused["message"] == (
        f"The experiment's GPUs may cost {usd(2 * GPU_EACH)} USD, but of budget.gpuLimitUSD, {usd(27 * GPU_EACH)} USD, only "
        f"{usd(6 * GPU_EACH - 6 * GPU_USED)} are free: raise it, or lower seeds or activeDeadlineSeconds."
    )
    told = one.submit(config={"x": 10})
    assert (told.status_code, told.json()["reason"]) == (422, "BudgetExceeded")
    held = f"{usd(6 * GPU_USED)} are spent and {usd(21 * GPU_EACH)} held for verification: ask for fewer seeds, or have budget.gpuLimitUSD"
    assert held in told.json()["message"]
    assert not world.summary()["purseEmpty"], "one seed fits"
    # What verification holds for GPUs is there for it, and comes back.
    world.stage("verifying")
    world.until(lambda: world.summary()["verified"])
    with world.hub.db.read() as tx:
        balance = purse.balance(tx, records.campaign(tx))
    assert (balance.gpu.reserved, balance.gpu.spent) == (0, 6 * GPU_USED)


def test_verification_may_use_all_that_it_holds_for_gpus(gpus: World) -> None:
    one = gpus.researcher()
    one.explore(0.85)
    limit = usd(21 * GPU_EACH + money.parse_usd(gpus.summary()["spend"]["gpuUSD"]))
    assert gpus.open(gpu_spec(limit)).status_code == 204
    gpus.stage("verifying")
    done = gpus.verify(lambda wanted: 0.55 if "control" in wanted or "builtin" in wanted["method"] else 0.85)
    assert {one["purpose"] for one in done} == {"Replication", "Control"}
    assert gpus.summary()["best"]["confirmed"]


def test_a_gpu_limit_below_verification_is_refused_with_a_way_out(world: World) -> None:
    refused = world.open(gpu_spec(usd(21 * GPU_EACH - 1)))
    assert (refused.status_code, refused.json()["reason"]) == (422, "BudgetExceeded")
    assert refused.json()["message"].startswith(
        f"budget.gpuLimitUSD is {usd(21 * GPU_EACH - 1)}, but verification needs up to {usd(21 * GPU_EACH)} for GPUs, what else is spent or "
        f"running 0.00 and the dearest baseline {usd(5 * GPU_EACH)} USD: raise that limit to {usd(26 * GPU_EACH)},"
    )


def usd(micros: int) -> str:
    return money.format_usd(micros)


def gpu_spec(limit: str) -> dict[str, Any]:
    experiments = {"resources": {"cpu": "1", "gpus": 1}, "maxGPUs": 23}
    return spec(experiments=experiments, budget={"gpuLimitUSD": limit})


@pytest.fixture
def gpus(world: World) -> World:
    """Research with one GPU a seed, and money for the GPUs of 27 seeds."""
    opened = world.open(gpu_spec(usd(27 * GPU_EACH)))
    assert opened.status_code == 204, opened.text
    return world


def test_a_waiting_experiment_that_can_no_longer_be_paid_is_refused(world: World) -> None:
    spent = money.parse_usd(world.summary()["spend"]["totalUSD"])
    assert world.open(spec(budget={"limitUSD": money.format_usd(spent + 23 * EACH)})).status_code == 204
    one = world.researcher()
    first, second = (one.submit(config={"x": i}).json()["name"] for i in range(2))
    world.events()
    assert [world.admit(name)["verdict"] for name in (first, second)] == ["admitted", "wait"]
    world.settle(first, 2, "cancelled", seconds=60.0)
    refused = world.admit(second)
    assert (refused["verdict"], refused["reason"]) == ("refused", "BudgetExceeded")
    assert "raise budget.limitUSD, or lower seeds or activeDeadlineSeconds" in refused["message"]
    assert world.admit(second) == refused, "and stays so"


def test_never_more_than_the_limit(world: World) -> None:
    """Whatever comes in whatever order, spent and reserved together stay within the limit, and all is free at the end."""
    spent = money.parse_usd(world.summary()["spend"]["totalUSD"])
    limit = spent + 34 * EACH
    assert world.open(spec(budget={"limitUSD": money.format_usd(limit)})).status_code == 204
    rng, one, open_ = np.random.default_rng(5), world.researcher(), []
    for turn in range(45):
        action = rng.integers(3)
        if action == 0:
            answer = one.submit(config={"turn": turn}, seeds=int(rng.integers(1, 3)))
            open_ += [answer.json()["name"]] if answer.is_success else []
            world.events()
        elif action == 1 and open_:
            world.admit(open_[rng.integers(len(open_))])
        elif open_:
            name = open_.pop(rng.integers(len(open_)))
            ran = len(one.get(f"/v1/experiments/{name}")["seeds"])
            world.settle(name, ran, str(rng.choice(["finished", "cancelled", "lost"])), float(rng.uniform(0, 120)))
        spend = world.summary()["spend"]
        total = money.parse_usd(spend["totalUSD"]) + money.parse_usd(spend["reservedUSD"])
        assert total <= limit, (turn, spend)
    for name in open_:
        world.settle(name, 0, "cancelled")
    assert money.parse_usd(world.summary()["spend"]["reservedUSD"]) == 21 * EACH, "verification's, and nothing else"


def test_suspended_campaigns_admit_nothing(world: World) -> None:
    name = world.researcher().submit().json()["name"]
    world.events()
    assert world.open(spec(suspend=True)).status_code == 204
    assert world.admit(name)["message"] == "The campaign is suspended: it waits for its turn."
    assert world.open(spec()).status_code == 204
    assert world.admit(name)["verdict"] == "admitted"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"seeds": 1}, "spec.seeds of", id="seeds"),
        pytest.param({"method": {"builtin": "hard-labels"}}, "spec.method of", id="method"),
        pytest.param({"resources": {"cpu": "64", "memory": "2Gi", "gpus": 8}}, "spec.resources of", id="resources"),
        pytest.param({"activeDeadlineSeconds": 6000}, "spec.activeDeadlineSeconds of", id="deadline"),
        pytest.param({"purpose": "Replication"}, "spec.purpose of", id="purpose"),
        pytest.param({"task": REVIEWS}, "spec.task of", id="task"),
        pytest.param({"control": "NoWeakLabels", "replicates": "x"}, "spec.control, spec.replicates of", id="two"),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_was_submitted_is_what_runs(world: World, change: dict[str, Any], told: str, when: str) -> None:
    held = world.summary()["spend"]["reservedUSD"]
    name = world.researcher().submit().json()["name"]
    world.events()
    if when == "after":
        world.admit(name)
    refused = world.admit(name, world.specs[name] | change)
    assert (refused["verdict"], refused["reason"]) == ("refused", "InvalidSpec")
    assert told in refused["message"]
    assert refused["message"].endswith("differs from what was submitted: submit a new experiment instead.")
    assert world.summary()["spend"]["reservedUSD"] == held
    assert world.admit(name)["verdict"] == "refused"


@pytest.mark.parametrize("change", [{"desiredState": "Suspended"}, {"hypothesis": "better"}], ids=str)
def test_what_changes_nothing_may_change(world: World, change: dict[str, Any]) -> None:
    name = world.researcher().submit().json()["name"]
    world.events()
    assert world.admit(name, world.specs[name] | change)["verdict"] == "admitted"


def by_hand(**changed: Any) -> dict[str, Any]:
    return {"campaignRef": "camp", "method": {"inline": METHOD}} | changed


@pytest.mark.parametrize(
    ("wanted", "verdict", "told"),
    [
        pytest.param(by_hand(), "admitted", "", id="inline"),
        pytest.param(by_hand(task=MATH), "admitted", "", id="the campaign's own task"),
        pytest.param(by_hand(method={"builtin": "hard-labels"}), "admitted", "", id="built-in"),
        pytest.param(by_hand(method={"builtin": "soft-labels", "config": {"epochs": 3}}), "admitted", "", id="configured"),
        pytest.param(by_hand(purpose="Smoke"), "admitted", "", id="smoke"),
        pytest.param(by_hand(method={"builtin": "magic"}), "refused", "No method is named 'magic'. Known: hard-labels,", id="unknown"),
        pytest.param(
            by_hand(method={"builtin": "soft-labels", "config": {"epoch": 3}}), "refused",
            "Method 'soft-labels' has no parameter 'epoch'. Known: epochs.", id="unknown parameter",
        ),
        pytest.param(by_hand(method={"inline": "x ="}), "refused", "method.py, line 1 is not valid Python", id="syntax"),
        pytest.param(by_hand(method={"snapshot": "sha256:" + "0" * 64}), "refused", "give the code inline", id="no snapshot"),
        pytest.param(by_hand(method={"configMap": {"name": "m"}}), "refused", "method.configMap was not replaced", id="ConfigMap"),
        pytest.param(by_hand(purpose="Replication"), "refused", "purpose is Replication, which is the hub's to set", id="purpose"),
        pytest.param(by_hand(control="NoWeakLabels"), "refused", "control and replicates are the hub's", id="control"),
        pytest.param(by_hand(task=REVIEWS), "refused", "task is 'reviews', but this campaign explores 'math'", id="task"),
        pytest.param(by_hand(seeds=3), "refused", "experiments.seeds allows at most 2", id="seeds"),
        pytest.param(by_hand(resources={"gpus": 16}, activeDeadlineSeconds=604800), "refused", "The experiment may cost", id="dear"),
    ],
)  # fmt: skip
def test_experiments_applied_by_hand(world: World, wanted: dict[str, Any], verdict: str, told: str) -> None:
    answer = world.admit("mine", wanted)
    assert answer["verdict"] == verdict, answer
    assert told in answer.get("message", "")
    assert world.admit("mine", wanted) == answer, "asked again, the same"
    if verdict == "refused":
        return
    world.specs["mine"] = wanted
    done = world.run("mine")
    assert (done["state"], done["submittedBy"]) == ("scored", "owner")


@pytest.mark.parametrize(
    "changed", [{"seeds": 2}, {"method": {"inline": METHOD + "# new"}}, {"activeDeadlineSeconds": 600}], ids=str
)
def test_what_a_person_applied_cannot_change_once_it_was_taken_up(world: World, changed: dict[str, Any]) -> None:
    assert world.open(spec(suspend=True)).status_code == 204
    assert world.admit("mine", by_hand())["verdict"] == "wait"
    assert world.admit("mine", by_hand())["verdict"] == "wait"
    refused = world.admit("mine", by_hand(**changed))
    assert (refused["verdict"], refused["reason"]) == ("refused", "InvalidSpec")


def test_no_experiment_by_hand_after_research(world: World) -> None:
    world.stage("verifying")
    answer = world.admit("late", by_hand())
    assert (answer["verdict"], answer["reason"]) == ("refused", "CampaignFinished")


# Tokens that end


def test_a_labs_tokens_end_with_its_experiment(world: World) -> None:
    name = world.researcher().submit().json()["name"]
    world.events()
    for role in ("lab-fetch", "lab-post"):
        early = world.call("GET", "/v1/lab/assignment", world.token(role, name), params={"index": 0})
        assert early.status_code == 401
        assert f"Experiment '{name}' is submitted" in early.json()["message"]
    answer = world.admit(name)
    fetch, post = answer["fetchToken"], answer["postToken"]
    assert world.call("GET", "/v1/lab/assignment", fetch, params={"index": 0}).is_success
    world.settle(name, 2, "cancelled")
    assert world.call("GET", "/v1/lab/bundle", fetch, params={"index": 0}).status_code == 401
    late = world.output(post, 0, b"x")
    assert (late.status_code, late.json()["reason"]) == (401, "Unauthorized")


@pytest.mark.parametrize("stage", ["verifying", "done"])
def test_a_researchers_token_ends_with_research(world: World, stage: str) -> None:
    one, viewer = world.researcher(), world.token("viewer", "someone")
    assert one.get("/v1/brief")["stage"] == "researching"
    world.stage(stage)
    answer = world.call("GET", "/v1/brief", one.token)
    assert (answer.status_code, answer.json()["reason"]) == (401, "CampaignFinished")
    assert world.ask("GET", "/v1/operator/summary", token=viewer).is_success


@pytest.mark.parametrize("resources", [{"cpu": "1"}, {"cpu": "1", "gpus": 1}], ids=["cores", "a GPU"])
def test_another_object_of_the_name_of_a_run_is_refused_and_the_run_is_paid(
    world: World, resources: dict[str, Any]
) -> None:
    """Forced off its finalizer, deleted and applied again: the receipt would name the first object, and the Job be the second's."""
    limits = {"budget": {"limitUSD": "100.00"}, "experiments": {"resources": resources, "maxGPUs": 4}}
    assert world.open(spec(**limits)).status_code == 204
    one = world.researcher()
    name = one.submit().json()["name"]
    world.events()
    first = world.admit(name)
    held = one.get(f"/v1/experiments/{name}")["reservedUSD"]
    path, body = f"/v1/operator/experiments/{name}/admission", {"spec": world.specs[name], "maxAttempts": 2}
    other = world.must("PUT", path, body | {"uid": "another"})
    assert (other["verdict"], other["reason"]) == ("refused", "Duplicate")
    assert other["message"] == (
        f"{name} was admitted as the object with UID uid-{name}, and this one has UID another: apply it under another name."
    )
    view = one.get(f"/v1/experiments/{name}")
    assert (view["state"], view["costUsd"]) == ("cancelled", held)
    spend = world.summary()["spend"]
    assert (spend["gpuUSD"] != "0.00") is bool(resources.get("gpus"))
    assert world.output(first["postToken"], 0, npz(test=np.zeros(100))).status_code in (401, 403, 409)
    assert world.settle(name, 2)["costUsd"] == held, "paid once"
    assert world.must("PUT", path, body | {"uid": "another"})["verdict"] == "refused"
