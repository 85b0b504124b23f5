"""From an opened campaign to a task that can be scored: baselines in order, and who sees a label."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aar_hub import keys, records
from aar_hub.domain import rows
from hub.hubworld import SMALL, World, answers, npz, spec, untar

PUBLIC = {"bundle.json", "train.jsonl", "test.jsonl", "features.npz"}
SEALED = {"sealed/labelled.jsonl", "sealed/train_labels.npy", "sealed/weak_features.npz"}


def bundle(world: World, token: str, index: int = 0) -> dict[str, bytes]:
    answer = world.call("GET", "/v1/lab/bundle", token, params={"index": index})
    assert answer.is_success, answer.text
    return untar(answer.content)


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def test_baselines_are_asked_for_in_order(preparing: World) -> None:
    (features,) = preparing.specs
    assert preparing.specs[features]["method"] == {"builtin": "features", "config": {}}
    assert preparing.requested() == [], "nothing else before there are features"
    preparing.run(features)
    both = preparing.until_requested(2)
    asked = {preparing.specs[name]["method"]["builtin"]: preparing.specs[name]["seeds"] for name in both}
    assert asked == {"teacher": 2 + 3, "ceiling": 3}, (
        "a teacher for each set of weak labels: exploration's and verification's"
    )
    assert {(one["purpose"], one["submittedBy"]["researcher"]) for one in preparing.specs.values()} == {
        ("Baseline", "hub")
    }
    assert not preparing.summary()["prepared"]
    for name in both:
        preparing.run(name)
    preparing.until(lambda: preparing.summary()["prepared"])
    weak, ceiling = preparing.summary()["floors"]["math"]
    assert (weak, ceiling) == (pytest.approx(0.6, abs=0.1), pytest.approx(0.9, abs=0.1))
    assert preparing.requested() == []


def test_heads_that_train_the_model_need_no_features(worlds: Callable[..., World]) -> None:
    world = worlds()
    assert world.open(spec(task={"name": "math", "params": SMALL | {"head": "classifier"}})).status_code == 204
    names = world.until_requested(2)
    assert sorted(world.specs[name]["method"]["builtin"] for name in names) == ["ceiling", "teacher"]


def test_labels_are_in_the_bundle_of_a_baseline_alone(preparing: World) -> None:
    (name,) = preparing.specs
    preparing.run(name)
    teacher = next(
        one for one in preparing.until_requested(2) if preparing.specs[one]["method"]["builtin"] == "teacher"
    )
    answer = preparing.admit(teacher)
    assert answer["baseline"]
    full = bundle(preparing, answer["fetchToken"])
    assert set(full) == PUBLIC | SEALED
    labelled = lines(full["sealed/labelled.jsonl"])
    assert {type(row["label"]) for row in labelled} == {bool}
    known = preparing.sealed()
    assert [row["label"] for row in labelled] == [bool(one) for one in known["labelled"]]
    assert np.load(io.BytesIO(full["sealed/train_labels.npy"])).tolist() == [bool(one) for one in known["train"]]
    assert b'"label"' not in full["test.jsonl"] + full["train.jsonl"]
    # The same experiment, by a lab's token: its purpose says baseline, but its role may not see a label.
    assert set(bundle(preparing, preparing.token("lab-fetch", teacher))) == PUBLIC


def test_a_baseline_token_of_an_experiment_that_is_none_gets_no_label(world: World) -> None:
    name = world.researcher().submit().json()["name"]
    world.events()
    world.admit(name)
    stray = world.token("baseline", name)
    answer = world.call("GET", "/v1/lab/bundle", stray, params={"index": 0})
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert world.call("POST", "/v1/lab/catalogue", stray, []).status_code == 422


def test_the_public_bundle(world: World) -> None:
    name = world.researcher().submit().json()["name"]
    world.events()
    token = world.admit(name)["fetchToken"]
    first, second = (bundle(world, token, index) for index in (0, 1))
    assert set(first) == PUBLIC | {"weak.npy"}
    assert first["weak.npy"] != second["weak.npy"], "a set of weak labels for each index"
    assert {path: data for path, data in first.items() if path != "weak.npy"} == {
        path: data for path, data in second.items() if path != "weak.npy"
    }
    info = json.loads(first["bundle.json"])
    assert (info["nTrain"], info["nTest"]) == (SMALL["nTrain"], world.truth().size)
    assert len(lines(first["test.jsonl"])) == info["nTest"] < SMALL["nTest"]
    with np.load(io.BytesIO(first["features.npz"])) as features:
        rows_of = {name: len(features[name]) for name in features.files}
    assert rows_of == {
        f"{split}_{field}": info[f"n{split.title()}"] for split in ("train", "test") for field in ("question", "choice")
    }
    for split in ("train.jsonl", "test.jsonl"):
        assert {tuple(row) for row in lines(first[split])} == {("id", "question", "choice")}
    weak = np.load(io.BytesIO(first["weak.npy"]))
    right = (weak > 0.5) == np.array(world.sealed()["train"], dtype=bool)
    assert right.mean() == pytest.approx(0.6, abs=0.04), "what the teacher said, and not the truth"


def test_order_and_ids_follow_from_the_texts_alone(world: World) -> None:
    """Recomputed from the texts in alphabetical order: no label, group or place in the source can have had a part in it."""
    name = world.researcher().submit().json()["name"]
    world.events()
    found = bundle(world, world.admit(name)["fetchToken"])
    with world.hub.db.read() as tx:
        blobs = records.all_tasks(tx)[0].blobs
    splits = {split: lines(world.hub.blobs.get(blobs[split])) for split in ("train", "test")}
    served = lines(found["test.jsonl"])
    assert served == [row for row in splits["test"] if row in served], "a half in the order of the whole"
    assert lines(found["train.jsonl"]) == splits["train"]
    texts = {split: [(row["question"], row["choice"]) for row in given] for split, given in splits.items()}
    teacher = [(row["question"], row["choice"]) for row in lines(world.hub.blobs.get(blobs["labelled"]))]
    key = rows.data_digest([sorted(texts["train"]), sorted(texts["test"]), sorted(teacher)])
    for split, given in splits.items():
        ordered = sorted(texts[split])
        again = [(mark, *ordered[position]) for position, mark in rows.shuffled(key, split, ordered)]
        assert again == [(row["id"], row["question"], row["choice"]) for row in given]


@pytest.mark.parametrize(
    ("role", "level", "told"),
    [
        pytest.param("ceiling", 0.5, "Task 'math' cannot be scored. The strong ceiling is 0.", id="no gap"),
        pytest.param("teacher", None, "The baseline 'teacher' of task 'math'", id="failed"),
    ],
)
def test_a_task_without_a_yardstick_ends_the_campaign(
    preparing: World, role: str, level: float | None, told: str
) -> None:
    (features,) = preparing.specs
    preparing.run(features)
    truth = np.array(preparing.sealed()["test"], dtype=bool)
    for name in preparing.until_requested(2):
        if preparing.specs[name]["method"]["builtin"] != role:
            preparing.run(name)
        elif level is None:
            preparing.admit(name)
            preparing.settle(name, 5)
        else:
            preparing.run(name, predict=lambda index: answers(truth, 0.5, index))
    failed = preparing.until(lambda: preparing.summary()["failed"])
    assert failed.startswith(told)
    assert not preparing.summary()["prepared"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(npz(test=np.ones(200)), "lacks", id="predictions instead"),
        pytest.param(npz(strong_test_question=np.ones((3, 2))), "lacks", id="some"),
    ],
)
def test_malformed_features(preparing: World, body: bytes, told: str) -> None:
    (name,) = preparing.specs
    answer = preparing.output(preparing.admit(name)["postToken"], 0, body)
    assert (answer.status_code, answer.json()["reason"]) == (422, "PredictionsInvalid")
    assert told in answer.json()["message"]


# The cache


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that a first campaign has filled, whose hub draws otherwise than the next."""
    folder = tmp_path_factory.mktemp("filled")
    (folder / "first").mkdir()
    (folder / "first" / keys.FILE).write_bytes(b"1" * 32)
    world = World(folder / "first", folder / "cache")
    try:
        assert world.open(spec()).status_code == 204
        assert world.prepare() == [["features"], ["teacher", "ceiling"]]
    finally:
        world.stop()
    return folder / "cache"


@pytest.fixture
def cached(filled: Path, tmp_path: Path) -> Path:
    """A filled cache of the test's own."""
    return Path(shutil.copytree(filled, tmp_path / "cache"))


def test_a_second_campaign_asks_for_no_baseline(worlds: Callable[..., World], cached: Path) -> None:
    second = worlds("second", cached)
    assert second.open(spec(), "uid-other").status_code == 204
    second.until(lambda: second.summary()["prepared"])
    assert second.events() == []
    assert second.summary()["spend"]["totalUSD"] == "0.00"
    assert second.stage("researching").is_success
    assert second.researcher().explore()["score"], "and it can be scored"
    assert [card["name"] for card in second.researcher().get("/v1/methods")] == ["hard-labels", "soft-labels"]


def test_other_labels_or_more_seeds_are_not_in_the_cache(worlds: Callable[..., World], cached: Path) -> None:
    more = worlds("more", cached)
    assert more.open(spec(evaluation={"baselineSeeds": 4})).status_code == 204
    assert [more.specs[name]["method"]["builtin"] for name in more.until_requested(1)] == ["ceiling"]
    other = worlds("other", cached)
    assert other.open(spec(task={"name": "math", "params": SMALL | {"dataSeed": 1}})).status_code == 204
    assert [other.specs[name]["method"]["builtin"] for name in other.until_requested(1)] == ["features"]


@pytest.mark.parametrize("what", ["blobs", "keys"])
def test_a_damaged_cache_is_not_used_but_mended(worlds: Callable[..., World], cached: Path, what: str) -> None:
    damaged = [path for path in (cached / what).rglob("*") if path.is_file()]
    assert damaged
    for path in damaged:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    second = worlds("second", cached)
    assert second.open(spec()).status_code == 204
    assert second.prepare() == [["features"], ["teacher", "ceiling"]]
    third = worlds("third", cached)
    assert third.open(spec()).status_code == 204
    third.until(lambda: third.summary()["prepared"])
    # Features and methods come out the same, so what the second campaign kept has to take the place of what was damaged.
    assert third.events() == []
