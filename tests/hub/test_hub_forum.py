"""What researchers see of scores and of one another, and what the operator follows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hub.hubworld import CARDS, World, answers, spec


def test_brief(world: World) -> None:
    wanted = spec(researchers={"count": 3, "directions": ["ensembles", "curricula"]}, objective={"metric": "pgr"})
    assert world.open(wanted).status_code == 204
    briefs = [world.researcher(f"r{i}").get("/v1/brief") for i in range(3)]
    assert [brief["direction"] for brief in briefs] == ["ensembles", "curricula", "ensembles"], "dealt out in turn"
    assert len({brief["searchSeed"] for brief in briefs}) == 3
    assert briefs[0] == briefs[0] | {
        "campaign": "camp",
        "researcher": "r0",
        "task": "math",
        "maxSeeds": 2,
        "colleagues": 3,
    }
    assert briefs[0]["purse"] == {
        "limitUSD": "10.00",
        "leftUsd": briefs[1]["purse"]["leftUsd"],
        "submissionsLeft": 90,
        "experimentsLeft": 100,
    }
    assert [card["name"] for card in briefs and world.researcher().get("/v1/methods")] == [card.name for card in CARDS]


def test_seconds_left_count_down(world: World) -> None:
    assert world.open(spec(activeDeadlineSeconds=3600)).status_code == 204
    assert 0 < world.researcher().get("/v1/brief")["purse"]["secondsLeft"] <= 3600


def test_scores_are_told_by_the_ladder(world: World) -> None:
    truth, one = world.truth(), world.researcher()
    shown = [
        one.explore(predict=lambda i, a=level: answers(truth, a, i))["score"]["pgr"] for level in (0.7, 0.8, 0.6, 0.71)
    ]
    assert shown[1] > shown[0] > shown[2]
    ranks = [(row["rank"], row["pgr"]) for row in one.get("/v1/leaderboard")]
    assert ranks == list(zip((1, 2, 3, 4), sorted(shown, reverse=True), strict=True))
    for row in one.get("/v1/leaderboard"):
        digits = f"{row['pgr']:.4f} {row['stderr']:.4f}".rstrip("0")
        assert all(value * 200 == pytest.approx(round(value * 200)) for value in (row["pgr"], row["stderr"])), digits


def test_near_duplicates_get_the_earlier_score_and_count(world: World) -> None:
    truth, one, other = world.truth(), world.researcher("r0"), world.researcher("r1")
    base = np.stack([answers(truth, 0.7, i) for i in (0, 1)])
    first = one.explore(predict=lambda i: base[i])
    louder = np.clip(base * 1.05, 0, 1)
    second = other.explore(predict=lambda i: louder[i], config={"louder": True})
    assert (second["duplicateOf"], second["score"]["pgr"]) == (first["name"], first["score"]["pgr"])
    changed = base.copy()
    changed[:, :9] = 1 - changed[:, :9]
    third = other.explore(predict=lambda i: changed[i], config={"changed": True})
    assert "duplicateOf" not in third
    assert other.get("/v1/brief")["purse"]["submissionsLeft"] == 88


def test_findings_get_their_numbers_from_the_hub(world: World) -> None:
    one, other = world.researcher("r0"), world.researcher("r1")
    name = one.submit().json()["name"]
    body = {"kind": "result", "title": "PGR 0.97!", "text": "I reached 0.97.", "experiments": [name], "key": "a"}
    first = one.post("/v1/findings", body).json()
    assert first == first | {"author": "r0", "owner": False, "results": []}, "it has no score yet"
    world.events()
    world.run(name, 0.62)
    assert one.post("/v1/findings", body | {"title": "again"}).json()["id"] == first["id"], "one post a key"
    (read,) = other.get("/v1/findings")
    (result,) = read["results"]
    assert result["experiment"] == name
    assert result == next(row for row in one.get("/v1/leaderboard") if row["experiment"] == name)
    assert result["pgr"] < 0.5
    second = other.post("/v1/findings", {"kind": "insight", "title": "t"}).json()
    assert [row["id"] for row in one.get(f"/v1/findings?since={first['id']}")] == [second["id"]]
    assert one.get(f"/v1/findings?since={second['id']}") == []
    unknown = one.post("/v1/findings", body | {"experiments": ["nobody"], "key": "b"})
    assert unknown.status_code == 422
    assert unknown.json()["message"] == "No experiment is named 'nobody' here: name those of the leaderboard."


def test_a_hub_with_an_older_volume_is_heard_again(
    world: World, worlds: Callable[..., World], researched: World
) -> None:
    """What it says next is news to whoever read on after that volume was saved."""
    one, saved = world.researcher(), worlds("saved", like=researched)
    for i in range(5):
        one.submit(config={"x": i})
    read = world.must("GET", "/v1/operator/feed", params={"cursor": 0})["cursor"]
    name = saved.researcher().submit(config={"x": 9}).json()["name"]
    page = saved.must("GET", "/v1/operator/feed", params={"cursor": read})
    assert [one["experiment"] for one in page["events"]] == [name]


def test_the_feed_is_read_by_cursor(world: World) -> None:
    one = world.researcher()
    start = world.cursor
    names = [one.submit(config={"x": i}).json()["name"] for i in range(3)]
    assert one.post("/v1/finish", {"reason": "nothing more to try"}).status_code == 204
    assert one.post("/v1/finish", {"reason": "still"}).status_code == 204
    page = world.must("GET", "/v1/operator/feed", params={"cursor": start})
    assert [(event["kind"], event.get("experiment")) for event in page["events"]] == [
        *(("experiment-requested", name) for name in names),
        ("researcher-finished", None),
    ]
    assert page["events"][-1]["message"] == "nothing more to try"
    cursors = [event["cursor"] for event in page["events"]]
    assert cursors == sorted(set(cursors))
    rest = world.must("GET", "/v1/operator/feed", params={"cursor": cursors[1]})
    assert rest["events"] == page["events"][2:]
    end = world.must("GET", "/v1/operator/feed", params={"cursor": page["cursor"]})
    assert end == {"events": [], "cursor": page["cursor"]}
    world.restart()
    assert world.must("GET", "/v1/operator/feed", params={"cursor": start}) == page
    assert world.summary()["researchersFinished"] == ["r0"]


def test_the_target_is_reached(world: World) -> None:
    with_target = spec(objective={"metric": "pgr"})
    assert world.open(with_target).status_code == 204
    assert not world.summary()["targetReached"], "none is set"
    best = world.researcher().explore(0.88)
    found = world.summary()["best"]
    assert (found["experiment"], found["confirmed"], found["pgr"]) == (best["name"], False, best["score"]["pgr"])
