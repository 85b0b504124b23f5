"""From the end of research to `done`: fresh seeds, the private half, controls, another task; and what a person reads."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from aar_api import money
from aar_hub import purse, records, verification, views
from aar_hub.store import tables
from hub.hubworld import OPERATOR, REVIEWS, World, answers, spec, untar

LEVELS = {"good": 0.85, "lucky": 0.62, "plain": 0.65}
"""What configurations are worth on fresh seeds; plain is the method that they have to beat."""


def level(wanted: dict[str, Any]) -> float:
    if wanted["method"].get("builtin") == verification.VANILLA:
        return LEVELS["plain"]
    if wanted.get("control") is not None or wanted["purpose"] == "Baseline":
        return 0.55  # of a baseline it is not read
    return LEVELS[wanted["method"]["config"]["name"]]


def explore_three(world: World) -> dict[str, Any]:
    """good, twice; lucky, which does well in exploration alone; and one that is not among the best."""
    one, truth = world.researcher(), world.truth()
    predict = {a: (lambda i, a=a: answers(truth, a, i)) for a in (0.88, 0.84, 0.8, 0.6)}
    return {
        "good": one.explore(predict=predict[0.88], config={"name": "good"}, label="good"),
        "again": one.explore(predict=predict[0.84], config={"name": "good"}, seeds=1),
        "lucky": one.explore(predict=predict[0.8], config={"name": "lucky"}, label="lucky"),
        "poor": one.explore(predict=predict[0.6], config={"name": "poor"}, label="poor"),
    }


def exact(world: World, name: str) -> float:
    """The feedback score that nobody is told."""
    with world.hub.db.read() as tx:
        row = records.score(tx, name)
    assert row is not None
    return float(row["pgr"])


def test_from_research_to_done(world: World) -> None:
    assert world.open(
        spec(evaluation={"transferTasks": [REVIEWS]}, referenceLines=[{"name": "human", "pgr": "0.23"}])
    ).is_success
    found = explore_three(world)
    # Exactly what is spent and held for verification: not a micro-dollar is free, and yet all of it can be paid.
    spend = world.summary()["spend"]
    limit = money.parse_usd(spend["totalUSD"]) + money.parse_usd(spend["reservedUSD"])
    least = spec(evaluation={"transferTasks": [REVIEWS]}, budget={"limitUSD": money.format_usd(limit)})
    assert world.open(least | {"referenceLines": [{"name": "human", "pgr": "0.23"}]}).status_code == 204
    assert world.stage("verifying", "ResearchersFinished").is_success

    weak: dict[str, list[np.ndarray]] = {}

    def watched(wanted: dict[str, Any]) -> float:
        if wanted["purpose"] not in ("Control", "Replication"):
            return level(wanted)
        token = world.admit(wanted["name"])["fetchToken"]
        for index in range(2):
            data = world.call("GET", "/v1/lab/bundle", token, params={"index": index}).content
            kind = wanted.get("control") or wanted["method"].get("builtin") or wanted["method"]["config"]["name"]
            weak.setdefault(kind, []).append(np.load(io.BytesIO(untar(data)["weak.npy"])))
        return level(wanted)

    done = world.verify(watched)
    asked = [
        (one["purpose"], one.get("control") or one["method"].get("builtin") or one["method"]["config"]["name"])
        for one in done
    ]
    assert sorted(asked[:3]) == [("Replication", "good"), ("Replication", "hard-labels"), ("Replication", "lucky")]
    rest = [("Control", "NoWeakLabels"), ("Control", "PermutedWeakLabels"), ("Baseline", "features")]
    assert sorted(asked[3:6]) == sorted(rest), "controls of what was confirmed alone"
    assert sorted(asked[6:8]) == [("Baseline", "ceiling"), ("Baseline", "teacher")]
    assert sorted(asked[8:]) == [("Transfer", "good"), ("Transfer", "hard-labels")]

    # Controls: the same labels in another order, and none.
    for index in (0, 1):
        real, permuted = weak["good"][index], weak["PermutedWeakLabels"][index]
        assert (weak["lucky"][index] == real).all()
        assert sorted(permuted) == sorted(real)
        assert (permuted != real).any()
        assert (weak["NoWeakLabels"][index] == 0.5).all()

    spend = world.summary()["spend"]
    assert money.parse_usd(spend["reservedUSD"]) == 0, "what verification did not need is given back"
    assert money.parse_usd(spend["totalUSD"]) <= limit
    assert world.stage("done").is_success
    report = world.report()
    check_rows(world, report, found, done)
    best = world.summary()["best"]
    assert (best["experiment"], best["confirmed"]) == (found["good"]["name"], True)
    assert {(row["task"], row["split"]) for row in report["baselines"]} == {
        (task, split) for task in ("math", "reviews") for split in ("Feedback", "Private")
    }
    assert report["referenceLines"] == [["human", 0.23]]
    assert [one["order"] for one in report["timeline"]] == [0, 1, 2, 3]
    assert report["methodsSeen"] == {"good": 1, found["again"]["name"]: 1, "lucky": 1, "poor": 1}


def check_rows(world: World, report: dict[str, Any], found: dict[str, Any], done: list[dict[str, Any]]) -> None:
    rows = {row["experiment"]: row for row in report["rows"]}
    drawn = {seed["seed"] for one in found.values() for seed in one["seeds"]}
    mean = {
        "good": (exact(world, found["good"]["name"]) + exact(world, found["again"]["name"])) / 2,
        "lucky": exact(world, found["lucky"]["name"]),
    }
    verdicts = {}
    for one in done:
        if one["purpose"] == "Baseline":
            continue
        row = rows[one["name"]]
        assert row["split"] == "Private"
        receipt = json.loads(world.hub.blobs.get(world_receipt(world, one["name"])))
        assert receipt["weakSets"] == [2 + i for i in range(one["seeds"])], (
            "labels of teachers that exploration never saw"
        )
        assert not drawn & set(receipt["seeds"])
        name = one["method"]["config"].get("name", "vanilla")
        verdicts[one["purpose"], name, one.get("control")] = (row["verdict"], row["note"])
        if name in mean:
            assert row["reportedPgr"] == pytest.approx(mean[name])
        else:
            assert "reportedPgr" not in row
    assert verdicts == {
        ("Replication", "good", None): ("confirmed", ""),
        ("Replication", "lucky", None): ("not confirmed", ""),
        ("Replication", "vanilla", None): ("baseline", ""),
        ("Control", "good", "PermutedWeakLabels"): ("control", "weak labels permuted"),
        ("Control", "good", "NoWeakLabels"): ("control", "no weak labels"),
        ("Transfer", "good", None): ("confirmed", ""),
        ("Transfer", "vanilla", None): ("baseline", ""),
    }


def world_receipt(world: World, name: str) -> str:
    (view,) = [one for one in world.must("GET", "/v1/operator/experiments") if one["name"] == name]
    return str(view["score"]["receipt"])


def told(world: World) -> dict[str, str]:
    """What everybody who is no researcher can read, as text."""
    viewer = world.token("viewer", "ann")
    paths = [f"/v1/operator/{what}" for what in ("experiments", "report", "summary")]
    found = {
        f"{who} {path}": world.ask("GET", path, token=token).text
        for path in paths
        for who, token in (("operator", OPERATOR), ("viewer", viewer))
    }
    return found | {
        path: world.running.control.get(path).text for path in ("/metrics", "/", "/experiments", "/leaderboard")
    }


def test_nothing_of_the_private_half_is_told_before_the_verdicts(world: World) -> None:
    assert world.open(spec(evaluation={"replication": {"topK": 1, "seeds": 3}})).status_code == 204
    world.researcher("r1").explore(0.85, config={"name": "good"})
    world.stage("verifying")
    (vanilla, again) = sorted(world.until_requested(2), key=lambda name: world.specs[name].get("replicates", ""))
    answers_to_settling = [world.run(vanilla, 0.65), world.run(again, 0.85)]
    controls = world.until_requested(2)  # the winner is confirmed, and yet a control may take it back
    answers_to_settling.append(world.run(controls[0], 0.55))
    for view in answers_to_settling:
        assert (view["state"], view["message"]) == ("scored", views.SEALED)
        assert "score" not in view
        assert "audit" not in view
    planted = {vanilla: 1.2947, again: 1.7351, controls[0]: -0.4184}  # no accuracy, error or cost has such digits
    with world.hub.db.write() as tx:
        for name, value in planted.items():
            found = tables.scores.c.experiment == name
            tx.execute(sa.update(tables.scores).where(found).values(shown=value, pgr=value))
        scores = {name: records.score(tx, name) for name in planted}
    figures = [f"{row['shown']:.{digits}f}" for row in scores.values() if row is not None for digits in (4, 3)]
    figures += [row["receipt"] for row in scores.values() if row is not None]
    assert len(figures) == 9
    before = told(world)
    assert [(where, one) for where, text in before.items() for one in figures if one in text] == []
    assert not world.summary()["best"]["confirmed"]
    assert [row["purpose"] for row in world.report()["rows"]] == ["Exploration"]
    assert 'researcher="r1",split="private"' not in before["/metrics"]
    assert ">confirmed</span>" not in before["/leaderboard"] + before["/"]

    world.run(controls[1], 0.55)
    world.until(lambda: world.summary()["verified"])
    after = told(world)
    exact = f"{scores[again]['shown']:.4f}".rstrip("0")  # type: ignore[index]
    for where in (
        "operator /v1/operator/experiments",
        "viewer /v1/operator/experiments",
        "viewer /v1/operator/report",
        "/metrics",
    ):
        assert exact in after[where], where
    assert 'researcher="r1",split="private"' in after["/metrics"]
    assert world.summary()["best"]["confirmed"]


@pytest.mark.parametrize(
    ("here", "there", "verdict"),
    [pytest.param(0.85, 0.85, "confirmed", id="carries over"), pytest.param(0.85, 0.6, "not confirmed", id="does not")],
)
def test_a_transfer_has_a_verdict_of_its_own(world: World, here: float, there: float, verdict: str) -> None:
    """It takes no confirmation back, and is named wherever one is told."""
    evaluation = {"transferTasks": [REVIEWS], "controls": False, "replication": {"topK": 1, "seeds": 3}}
    assert world.open(spec(evaluation=evaluation)).status_code == 204
    world.researcher().explore(0.85, config={"name": "good"})
    world.stage("verifying")
    world.verify(
        lambda one: level(one) if "builtin" in one["method"] else there if one["purpose"] == "Transfer" else here
    )
    rows = {(row["purpose"], row["verdict"]) for row in world.report()["rows"]}
    assert rows == {
        ("Exploration", "exploration"), ("Replication", "confirmed"), ("Replication", "baseline"),
        ("Transfer", verdict), ("Transfer", "baseline"),
    }  # fmt: skip
    best = world.summary()["best"]
    assert best["confirmed"]
    held = verdict == "confirmed"
    assert (best["heldOn"], best["notHeldOn"]) == ((["reviews"], []) if held else ([], ["reviews"]))
    said = "and on reviews" if held else "but on no unseen task (not on reviews)"
    assert f"on fresh seeds and the private half, {said}" in world.running.control.get("/").text


@pytest.mark.parametrize(
    ("permuted", "absent", "verdict", "note"),
    [
        pytest.param(0.55, 0.55, "confirmed", "", id="needs the labels"),
        pytest.param(
            0.85,
            0.55,
            "not confirmed",
            "not told apart from its run with weak labels permuted",
            id="does not read them",
        ),
        pytest.param(0.55, 0.85, "not confirmed", "not told apart from its run with no weak labels", id="does without"),
        pytest.param(
            0.55,
            None,
            "not confirmed",
            "its run with no weak labels has no result: failed, JobFailed",
            id="fails without",
        ),
        pytest.param(
            None,
            0.55,
            "not confirmed",
            "its run with weak labels permuted has no result: failed, JobFailed",
            id="fails on permuted",
        ),
    ],
)
def test_a_winner_has_to_need_the_weak_labels(
    world: World, permuted: float | None, absent: float | None, verdict: str, note: str
) -> None:
    assert world.open(spec(evaluation={"replication": {"topK": 1, "seeds": 3}})).status_code == 204
    world.researcher().explore(0.85, config={"name": "good"})
    world.stage("verifying")
    spoilt = {"PermutedWeakLabels": permuted, "NoWeakLabels": absent}
    world.verify(
        lambda one: spoilt[one["control"]] if "control" in one else 0.55 if "builtin" in one["method"] else 0.85
    )
    report = world.report()
    rows = [(row["verdict"], row["note"]) for row in report["rows"] if row["purpose"] == "Replication"]
    assert (verdict, note) in rows
    assert report["summary"]["best"]["confirmed"] is (verdict == "confirmed")
    assert world.summary().get("unconfirmed", "").partition(": ")[2] == note


def test_why_no_winner_was_confirmed_is_said(world: World) -> None:
    assert world.open(spec(evaluation={"replication": {"topK": 1, "seeds": 3}})).status_code == 204
    lucky = world.researcher().explore(0.85, config={"name": "lucky"})
    world.stage("verifying")
    assert world.summary().get("unconfirmed", "") == ""
    world.verify(lambda one: 0.55)
    told = world.summary()["unconfirmed"]
    assert re.fullmatch(
        rf"{lucky['name']}: does not beat the plain method by enough \(p = [01]\.\d{{3}}, level 0\.05 over all by Holm\)",
        told,
    )


@pytest.mark.parametrize(
    ("stopped", "times", "verdict", "note"),
    [
        pytest.param("vanilla", 1, "confirmed", "", id="vanilla, once"),
        pytest.param(
            "vanilla",
            2,
            "not confirmed",
            "vanilla, which it has to beat, has no result: cancelled, Cancelled",
            id="vanilla, and again",
        ),
        pytest.param("NoWeakLabels", 1, "confirmed", "", id="a control, once"),
        pytest.param(
            "NoWeakLabels",
            2,
            "not confirmed",
            "its run with no weak labels has no result: cancelled, Cancelled",
            id="a control, and again",
        ),
    ],
)
def test_whoever_stops_a_run_does_not_lower_the_bar(
    world: World, stopped: str, times: int, verdict: str, note: str
) -> None:
    assert world.open(spec(evaluation={"replication": {"topK": 1, "seeds": 3}})).status_code == 204
    world.researcher().explore(0.85, config={"name": "good"})
    world.stage("verifying")
    runs: list[str] = []

    def played(wanted: dict[str, Any]) -> float | None:
        if wanted.get("control", "vanilla" if "builtin" in wanted["method"] else "") == stopped:
            runs.append(wanted["name"])
            if len(runs) <= times:
                world.admit(wanted["name"])
                world.settle(wanted["name"], 0, "cancelled")
                return None
        return 0.65 if "builtin" in wanted["method"] else 0.55 if "control" in wanted else 0.85

    world.verify(played)
    assert len(runs) == 2, "once more, and no more than that"
    report = world.report()
    rows = [row for row in report["rows"] if row["purpose"] == "Replication" and row["verdict"] != "baseline"]
    assert [(row["verdict"], row["note"]) for row in rows] == [(verdict, note)]
    assert report["summary"]["best"]["confirmed"] is (verdict == "confirmed")
    assert note in world.running.control.get("/").text


def test_a_method_that_gives_up_on_a_control_is_not_run_again(world: World) -> None:
    """Crashing on labels that say nothing, as `if np.ptp(lab.weak) == 0: raise` does, passed as a control that was beaten."""
    assert world.open(spec(evaluation={"replication": {"topK": 1, "seeds": 3}})).status_code == 204
    world.researcher().explore(0.85, config={"name": "good"})
    world.stage("verifying")

    def played(wanted: dict[str, Any]) -> float | None:
        if wanted.get("control") == "NoWeakLabels":
            post = world.admit(wanted["name"])["postToken"]
            for index in range(2):
                report = {"ok": False, "reason": "MethodError", "message": "no labels"}
                assert world.call("POST", "/v1/lab/failure", post, report, params={"index": index}).is_success
            return None
        return level(wanted)

    done = world.verify(played)
    assert [one["control"] for one in done if "control" in one].count("NoWeakLabels") == 1
    notes = {row["note"] for row in world.report()["rows"] if row["verdict"] == "not confirmed"}
    assert notes == {"its run with no weak labels has no result: failed, SeedFailed"}


def test_a_lab_is_told_no_name_that_its_researcher_knows(world: World) -> None:
    """Who picks the key of a submission knows its name: a method given it as configuration would see that another name means verification."""
    one = world.researcher()
    explored = one.submit(config={"name": "good"}).json()["name"]
    world.events()

    def assigned(name: str) -> dict[str, Any]:
        token = world.admit(name)["fetchToken"]
        found: dict[str, Any] = world.call("GET", "/v1/lab/assignment", token, params={"index": 0}).json()
        return found

    told = [assigned(explored)]
    world.run(explored, 0.85)
    world.stage("verifying")
    again = [name for name in world.until_requested(2) if "builtin" not in world.specs[name]["method"]]
    told += [assigned(name) for name in again]
    assert [(name, one) for one in told for name in (explored, *again) if name in str(one)] == []
    assert [one | {"seed": 0, "experiment": ""} for one in told[1:]] == [told[0] | {"seed": 0, "experiment": ""}]


def test_a_transfer_task_that_cannot_be_prepared_is_not_run_and_the_result_stands(world: World) -> None:
    missing = REVIEWS | {"params": REVIEWS["params"] | {"nTest": 100_000}}
    evaluation = {"transferTasks": [missing], "controls": False, "replication": {"topK": 1, "seeds": 3}}
    assert world.open(spec(evaluation=evaluation)).status_code == 204
    world.researcher().explore(0.85, config={"name": "good"})
    world.stage("verifying")
    assert {one["purpose"] for one in world.verify(level)} == {"Replication"}
    summary, report = world.summary(), world.report()
    assert summary.get("failed", "") == ""
    assert summary["best"]["confirmed"]
    ((task, why),) = report["notRun"]
    assert task == "reviews"
    assert why.startswith("Task 'reviews' was asked for 100060 rows")
    assert "asked for 100060 rows" in world.running.control.get("/").text


def test_a_transfer_task_that_was_taken_out_is_not_run(world: World) -> None:
    base = {"controls": False, "replication": {"topK": 1, "seeds": 3}}
    assert world.open(spec(evaluation=base | {"transferTasks": [REVIEWS]})).status_code == 204
    assert world.open(spec(evaluation=base)).status_code == 204
    world.researcher().explore(0.85, config={"name": "good"})
    world.stage("verifying")
    assert {one["purpose"] for one in world.verify(level)} == {"Replication"}


@pytest.mark.parametrize(
    "evaluation", [{"replication": {"topK": 0, "seeds": 3}}, {}], ids=["turned off", "nothing was scored"]
)
def test_nothing_to_verify(world: World, evaluation: dict[str, Any]) -> None:
    if evaluation:
        # The seeds of verification go, so their weak labels must be given back as seeds of exploration.
        evaluation |= {"controls": False}
        assert world.open(spec(evaluation=evaluation, experiments={"seeds": 5})).status_code == 204
        world.researcher().explore()
    world.stage("verifying")
    assert world.verify(level) == []
    assert world.summary()["spend"]["reservedUSD"] == "0.00"


def test_an_overdraft_leaves_verification_what_it_holds(world: World) -> None:
    """A call whose end was not seen may cost more than was free beside what verification holds: that is held all the same."""
    world.researcher().explore(0.85, config={"name": "good"})
    with world.hub.db.write() as tx:
        purse.write(tx, "lost", "settle", purse.LLM, purse.balance(tx, records.campaign(tx)).free + 1)
    world.stage("verifying")
    done = world.verify(level)
    assert {one["purpose"] for one in done} == {"Replication", "Control"}
    assert world.summary()["best"]["confirmed"]


def test_research_under_way_is_waited_for(world: World) -> None:
    one = world.researcher()
    one.explore(0.85, config={"name": "good"})
    late = one.submit(config={"name": "lucky"}).json()["name"]
    world.events()
    world.admit(late)
    world.stage("verifying")
    world.hub.wake.set()
    assert not world.summary()["verified"]
    assert world.requested() == []
    world.settle(late, 2, "cancelled")
    assert {(one["purpose"]) for one in world.verify(level)} >= {"Replication"}


def test_a_winner_whose_rerun_fails_is_not_confirmed(world: World) -> None:
    world.researcher().explore(0.88, config={"name": "good"})
    world.stage("verifying")
    for name in world.until_requested(2):
        if "builtin" in world.specs[name]["method"]:
            world.run(name, 0.65)
        else:
            answer = world.admit(name)
            world.output(answer["postToken"], 0, b"nothing")
            world.settle(name, 3)
    world.until(lambda: world.summary()["verified"])
    assert not world.summary()["best"]["confirmed"]
    assert {row["verdict"] for row in world.report()["rows"]} == {"exploration", "baseline"}
