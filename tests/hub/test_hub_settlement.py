"""What a lab may post, and what comes of it: one score, exact costs, and no score where a seed is missing."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest
from aar_api.version import VERSION
from aar_hub import records
from aar_hub.domain.told import LOG_CHARS
from hub.hubworld import REVIEWS, World, answers, npz, spec

ROWS = 50
"""Rows of a half of `REVIEWS`, where every row is a problem of its own: the halves of another task differ with the key."""


def npy(array: Any, **more: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **more)
    return buffer.getvalue()


def zipped(content: bytes, name: str = "test.npy", compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def header(shape: str, descr: str = "<f8") -> bytes:
    """An array that promises more than it holds."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(128 - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + b"\0" * 64


def damaged() -> bytes:
    """An archive whose packed bytes are noise."""
    data = bytearray(zipped(npy(np.random.default_rng(0).random(ROWS))))
    data[60:400] = bytes(340)
    return bytes(data)


def flagged(flag: int = 0, method: int | None = None) -> bytes:
    """An archive that says it is locked, or packed by an unknown method."""
    data = bytearray(zipped(npy(np.full(ROWS, 0.5)), compression=zipfile.ZIP_STORED))
    for start, offset in ((data.find(b"PK\x03\x04"), 6), (data.find(b"PK\x01\x02"), 8)):
        data[start + offset] |= flag
        if method is not None:
            data[start + offset + 2] = method
    return bytes(data)


def with_value(value: float, row: int = 7) -> np.ndarray:
    array = np.full(ROWS, 0.25)
    array[row] = value
    return array


MALFORMED = [
    pytest.param(npz(test=with_value(np.nan)), "test is nan at row 7 (1 such rows), but every P(True) must be finite.", id="NaN"),
    pytest.param(npz(test=with_value(-np.inf)), "test is -inf at row 7", id="infinite"),
    pytest.param(npz(test=with_value(1.5)), "test is 1.5 at row 7 (1 such rows), but P(True) lies in [0, 1]", id="above 1"),
    pytest.param(npz(test=with_value(-0.1)), "test is -0.1 at row 7", id="below 0"),
    pytest.param(npz(test=np.full(ROWS, 3)), "test is 3 at row 0 (50 such rows)", id="classes"),
    pytest.param(npz(test=np.full(ROWS - 1, 0.5)), "test has shape (49,), but one number a row is wanted: (50,)", id="short"),
    pytest.param(npz(test=np.full((ROWS, 2), 0.5)), "test has shape (50, 2)", id="two columns"),
    pytest.param(npz(test=np.array(0.5)), "test has shape ()", id="a number"),
    pytest.param(npz(test=np.array(["yes"] * ROWS)), "test holds <U3, but numbers are wanted", id="words"),
    pytest.param(npz(test=np.full(ROWS, 0.5 + 0j)), "test holds complex128", id="complex"),
    pytest.param(npz(train=np.full(ROWS, 0.5)), "The output lacks test: it must hold test.", id="another name"),
    pytest.param(npz(test=np.array([print] * ROWS, dtype=object)), "Object arrays cannot be loaded", id="pickle"),
    pytest.param(npy(np.full(ROWS, 0.5)), "The output is no .npz of plain arrays (File is not a zip file)", id="npy"),
    pytest.param(b"", "no .npz", id="empty"),
    pytest.param(b"PK\x03\x04" + b"\0" * 50, "no .npz", id="half an archive"),
    pytest.param(zipped(b"\0" * 50_000_000), "unpacks to 50000000 bytes, more than the 66336 it can need", id="zip bomb"),
    pytest.param(zipped(header("(9223372036854775,)")), "no .npz", id="promise of petabytes"),
    pytest.param(zipped(header("(50,)")), "no .npz", id="promise of a few bytes more"),
    pytest.param(zipped(header("(-1,)")), "no .npz", id="negative length"),
    pytest.param(zipped(header("(50,)", "|O")), "no .npz", id="objects by header"),
    pytest.param(zipped(b"not an array"), "test is no array", id="text"),
    pytest.param(zipped(npy(np.full(ROWS, 0.5)), name="test"), None, id="without the ending"),
    pytest.param(damaged(), "no .npz", id="noise in the archive"),
    pytest.param(flagged(flag=1), "no .npz", id="locked"),
    pytest.param(flagged(method=99), "no .npz", id="unknown packing"),
]  # fmt: skip


def admitted(world: World, **changed: Any) -> tuple[str, dict[str, Any]]:
    name = world.researcher().submit(**changed).json()["name"]
    world.events()
    return name, world.admit(name)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A hub whose outputs do not touch one another: each case takes an experiment of its own."""
    world = World(tmp_path_factory.mktemp("busy") / "hub")
    assert world.open(spec(task=REVIEWS)).status_code == 204
    world.prepare()
    assert world.stage("researching").is_success
    world.events()
    yield world
    world.stop()


@pytest.mark.parametrize(("body", "told"), MALFORMED)
def test_malformed_outputs(busy: World, request: pytest.FixtureRequest, body: bytes, told: str | None) -> None:
    name, answer = admitted(
        busy, key=request.node.callspec.id.replace(" ", "-"), config={"case": request.node.callspec.id}
    )
    posted = busy.output(answer["postToken"], 0, body)
    if told is None:
        assert posted.status_code == 204
        return
    assert (posted.status_code, posted.json()["reason"]) == (422, "PredictionsInvalid"), posted.text
    assert told in posted.json()["message"]
    assert busy.output(answer["postToken"], 1, npz(test=np.full(ROWS, 0.3))).status_code == 204
    view = busy.settle(name, 2)
    assert (view["state"], view["reason"]) == ("failed", "PredictionsInvalid")
    assert view["seeds"][0]["reason"] == "InvalidPredictions"
    assert told in view["seeds"][0]["message"], "the researcher reads what was wrong"
    assert "score" not in view


def test_zlib_is_what_the_noise_raises() -> None:
    """The case above is not only a wrong checksum."""
    with zipfile.ZipFile(io.BytesIO(damaged())) as archive, pytest.raises((zlib.error, zipfile.BadZipFile)):
        archive.read("test.npy")


def test_the_first_output_counts(world: World) -> None:
    name, answer = admitted(world)
    first, second = npz(test=answers(world.truth(), 0.7, 0)), npz(test=answers(world.truth(), 0.9, 1))
    post = answer["postToken"]
    assert [world.output(post, 0, data).status_code for data in (first, first, second)] == [204, 204, 409]
    failure = {"ok": False, "reason": "MethodError", "message": "m"}
    assert world.call("POST", "/v1/lab/failure", post, failure, params={"index": 0}).status_code == 409
    assert world.output(post, 1, first).status_code == 204
    assert world.settle(name, 2)["state"] == "scored"


def test_an_index_that_failed_may_be_tried_again(world: World) -> None:
    name, answer = admitted(world)
    post = answer["postToken"]
    for index in (0, 1):
        failure = {"ok": False, "reason": "Killed", "message": "evicted", "logTail": "x" * 20_000}
        assert world.call("POST", "/v1/lab/failure", post, failure, params={"index": index}).status_code == 204
        assert len(world.researcher().get(f"/v1/experiments/{name}")["seeds"][index]["logTail"]) == LOG_CHARS
        assert world.output(post, index, npz(test=answers(world.truth(), 0.7, index))).status_code == 204
    view = world.settle(name, 2)
    assert (view["state"], [seed["ok"] for seed in view["seeds"]]) == ("scored", [True, True])


def test_settled_once(world: World) -> None:
    one = world.researcher()
    view = one.explore()
    name, spent = view["name"], world.summary()["spend"]
    before = world.report()["timeline"]
    for outcome, seconds in (("finished", 1.0), ("finished", 500.0), ("cancelled", 3.0), ("lost", 0.0)):
        assert world.settle(name, 2, outcome, seconds)["score"] == view["score"]
    assert world.summary()["spend"] == spent
    assert world.report()["timeline"] == before
    assert [event["kind"] for event in world.events()] == ["experiment-updated"], (
        "one for the score and none for the repeats"
    )


@pytest.mark.parametrize(
    ("resources", "seconds", "cost"),
    [
        # 0.05 USD a core and hour, 2.50 a GPU and hour; each index rounded up to a micro-dollar.
        pytest.param({"cpu": "1"}, (1.0, 1.0), "0.000028", id="13.9 each"),
        pytest.param({"cpu": "1"}, (0.0, 0.072), "0.000001", id="just one"),
        pytest.param({"cpu": "1"}, (0.0, 0.073), "0.000002", id="just over one"),
        pytest.param({"cpu": "2"}, (36.0, 72.0), "0.003", id="round"),
        pytest.param({"cpu": "500m", "gpus": 2}, (3.6, 0.0), "0.005025", id="GPUs"),
    ],
)
def test_costs(world: World, resources: dict[str, Any], seconds: tuple[float, float], cost: str) -> None:
    assert world.open(spec(experiments={"resources": resources, "maxGPUs": 4})).status_code == 204
    spent, held = (world.summary()["spend"][key] for key in ("totalUSD", "reservedUSD"))
    name, _ = admitted(world)
    indexes = [{"index": i, "succeeded": False, "seconds": one} for i, one in enumerate(seconds)]
    body = {"jobName": "j", "jobUid": "u", "outcome": "finished", "indexes": indexes}
    view = world.must("PUT", f"/v1/operator/experiments/{name}/settlement", body)
    assert (view["costUsd"], view["state"]) == (cost, "failed")
    now = world.summary()["spend"]
    assert round(float(now["totalUSD"]) - float(spent), 6) == float(cost)
    assert now["reservedUSD"] == held
    assert round(float(now["cpuUSD"]) + float(now["gpuUSD"]), 6) == float(now["totalUSD"])


@pytest.mark.parametrize("gpus", [0, 2], ids=["CPU alone", "GPUs"])
def test_no_more_is_paid_than_was_held(world: World, gpus: int) -> None:
    wanted = spec(experiments={"maxGPUs": gpus, "resources": {"cpu": "1", "gpus": gpus}})
    assert world.open(wanted).status_code == 204
    before = world.summary()["spend"]
    name, answer = admitted(world)
    assert answer["reservedUSD"] == world.must("GET", "/v1/operator/experiments?unsettled=1")[0]["reservedUSD"]
    held = float(world.summary()["spend"]["reservedUSD"]) - float(before["reservedUSD"])
    for index in (0, 1):
        assert world.output(answer["postToken"], index, npz(test=answers(world.truth(), 0.7, index))).status_code == 204
    view = world.settle(name, 2, "finished", 1e6)
    assert view["state"] == "scored"
    assert "It ran for" in view["message"]
    assert "no limit is passed" in view["message"]
    assert float(view["costUsd"]) == pytest.approx(held)
    now = world.summary()["spend"]
    assert float(now["totalUSD"]) - float(before["totalUSD"]) == pytest.approx(held)
    assert now["reservedUSD"] == before["reservedUSD"]


@pytest.mark.parametrize(
    ("outcome", "posted", "state", "reason"),
    [
        pytest.param("finished", 1, "failed", "JobFailed", id="one of two, without a word"),
        pytest.param("finished", 0, "failed", "JobFailed", id="none"),
        pytest.param("lost", 2, "failed", "JobFailed", id="Job deleted again and again"),
        pytest.param("cancelled", 2, "cancelled", "Cancelled", id="cancelled"),
    ],
)
def test_what_is_not_scored(world: World, outcome: str, posted: int, state: str, reason: str) -> None:
    name, answer = admitted(world)
    for index in range(posted):
        assert world.output(answer["postToken"], index, npz(test=answers(world.truth(), 0.7, index))).status_code == 204
    view = world.settle(name, 2, outcome)
    assert (view["state"], view["reason"]) == (state, reason)
    assert "score" not in view
    assert world.report()["rows"] == []
    assert world.researcher().get("/v1/brief")["purse"]["submissionsLeft"] == 89


def test_settling_what_was_never_admitted(world: World) -> None:
    unknown = world.settle("nobody", 0, "cancelled")
    assert (unknown["state"], unknown["message"]) == ("cancelled", "It ended before the hub had admitted it.")
    name = world.researcher().submit().json()["name"]
    view = world.settle(name, 0)
    assert (view["state"], view["reason"]) == ("failed", "JobFailed")


def test_smoke_runs_have_no_score(world: World) -> None:
    name, answer = admitted(world, smoke=True)
    assert world.call("GET", "/v1/lab/assignment", answer["fetchToken"], params={"index": 0}).json()["smoke"]
    for index in (0, 1):
        world.output(answer["postToken"], index, npz(test=answers(world.truth(), 0.9, index)))
    view = world.settle(name, 2)
    assert view["state"] == "scored"
    assert "score" not in view
    assert world.researcher().get("/v1/leaderboard") == []


def test_the_score_is_the_formula_on_the_feedback_half(world: World) -> None:
    truth = world.truth()
    view = world.researcher().explore(predict=lambda index: answers(truth, 0.72, index))
    predictions = np.stack([answers(truth, 0.72, index) for index in (0, 1)]).astype(np.float32)
    exact = world.stick().pgr(predictions, "Feedback")
    row = world.report()["rows"][0]
    assert row["stderr"] == pytest.approx(exact.stderr)
    unit = view["score"]["stderr"]
    assert abs(view["score"]["pgr"] - exact.value) <= unit / 2, "told to no more than its error"
    assert exact.stderr <= unit <= 5 / 3 * exact.stderr + 1e-9
    receipt = json.loads(world.hub.blobs.get(view["score"]["receipt"]))
    assert receipt["seeds"] == [seed["seed"] for seed in view["seeds"]]
    assert receipt["score"]["pgr"] == pytest.approx(exact.value)
    assert (receipt["snapshot"], receipt["job"]["uid"], receipt["image"]) == (
        view["snapshot"],
        f"job-{view['name']}",
        "lab:1",
    )
    assert receipt["costUSD"] == view["costUsd"]
    with world.hub.db.read() as tx:
        task = records.all_tasks(tx)[0]
    assert (receipt["labels"], receipt["hub"], receipt["lab"]) == (task.sealed, VERSION, "0")
    assert receipt["resources"]["cpu"] == "1"
    assert (receipt["deadlineSeconds"], receipt["comparedWith"]) == (60, None)


def test_receipts_name_what_fixed_the_figure_and_the_rows(world: World) -> None:
    one, truth = world.researcher(), world.truth()
    views = [
        one.explore(predict=lambda i, a=a: answers(truth, a, i), config={"turn": turn})
        for turn, a in enumerate((0.7, 0.85, 0.85))
    ]
    receipts = [json.loads(world.hub.blobs.get(view["score"]["receipt"])) for view in views]
    assert [one["comparedWith"] for one in receipts] == [None, views[0]["name"], views[1]["name"]]
    assert views[2]["duplicateOf"] == views[1]["name"]
    assert len({one["half"] for one in receipts}) == 1
    page = world.running.control.get(f"/experiments/{views[1]['name']}").text
    for text in ("lab:1", "at most 60 s", views[0]["name"]):
        assert text in page
    world.stage("verifying")
    again = next(name for name in world.until_requested(2) if "replicates" in world.specs[name])
    world.run(again, 0.8)
    with world.hub.db.read() as tx:
        row = records.score(tx, again)
    assert row is not None
    assert json.loads(world.hub.blobs.get(row["receipt"]))["half"] != receipts[0]["half"]


def test_what_has_no_end_yet_is_listed_alone(world: World) -> None:
    over = world.researcher().explore()["name"]
    name, _ = admitted(world, key="another", config={"case": "another"})
    asked = world.researcher().submit(key="third", config={"case": "third"}).json()["name"]
    every = {one["name"] for one in world.must("GET", "/v1/operator/experiments")}
    open_ = {one["name"] for one in world.must("GET", "/v1/operator/experiments?unsettled=1")}
    assert {over, name, asked} <= every
    assert open_ == {name, asked}
