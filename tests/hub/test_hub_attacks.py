"""The published attacks on such a system, each played against the hub, and those that its own rules would invite."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from aar_api import names
from aar_hub import arrays, forum, records, scorer, snapshots
from aar_hub.domain import audits, duplicates, ladder, told
from aar_hub.scorer import Yardstick
from aar_hub.store import tables
from hub.hubworld import METHOD, REVIEWS, World, answers, ids, npz, spec

# Label exfiltration: change predictions a little, and read from the score which change was right


def realistic(seed: int) -> tuple[Yardstick, np.random.Generator, np.ndarray]:
    """A yardstick of the size of the chat task with models whose seeds differ as trained ones do, and a method's predictions."""
    rng = np.random.default_rng(seed)
    n = 1500
    truth, feedback = rng.random(n) < 0.5, np.zeros(n, dtype=bool)
    feedback[rng.permutation(n)[: n // 2]] = True

    def model(accuracy: float, seeds: int) -> np.ndarray:
        hard = rng.normal(size=n)
        drawn = []
        for _ in range(seeds):
            found = 0.9 * hard + 0.44 * rng.normal(size=n)
            right = found < np.quantile(found, accuracy + 0.008 * rng.normal())
            drawn.append(np.where(right == truth, 0.9, 0.1))
        return np.array(drawn)

    stick = Yardstick(truth, np.arange(n), feedback, model(0.62, 5), model(0.74, 5))
    return stick, rng, model(0.66, 1)


def exfiltrate(seed: int, size: int, ladder: bool) -> float:
    """Gain in PGR on the feedback half from 50 submissions, each with `size` more answers turned round; of the private one nothing is seen.

    The attacker's method ignores its seed, so that nothing but the turned answers makes a difference, and keeps what is told to be better.
    """
    stick, rng, one = realistic(seed)
    one = one[:, stick.feedback]
    best: tuple[np.ndarray, float] | None = None

    def told(predictions: np.ndarray) -> float:
        nonlocal best
        if not ladder:
            return stick.pgr(predictions, "Feedback").value
        rung = scorer.answer(stick, predictions, best)
        if rung.best:
            best = (predictions, rung.shown)
        return rung.shown

    start = current = np.repeat(one, 2, axis=0)
    score = told(current)
    for block in rng.permutation(one.shape[1])[: 50 * size].reshape(50, size):
        turned = current.copy()
        turned[:, block] = 1 - turned[:, block]
        if (answer := told(turned)) > score:
            current, score = turned, answer
    return stick.pgr(current, "Feedback").value - stick.pgr(start, "Feedback").value


@pytest.mark.parametrize("size", [2, 4, 12])
def test_label_exfiltration_by_perturbed_predictions(size: int) -> None:
    exact = np.mean([exfiltrate(seed, size, ladder=False) for seed in range(4)])
    told = np.mean([exfiltrate(seed, size, ladder=True) for seed in range(4)])
    assert exact > 0.1, "the attack works against a scorer that tells exact figures"
    assert told < 0.04, "and earns less than a test half resolves against the ladder"


def test_label_exfiltration_of_single_items_gets_the_earlier_answer() -> None:
    stick, _, one = realistic(0)
    base = np.repeat(one[:, stick.feedback], 2, axis=0)
    probe = base.copy()
    probe[:, 0] = 1 - probe[:, 0]
    assert duplicates.nearest(probe, {"base": base}) == "base"
    assert base.shape[1] * duplicates.TOLERANCE == 1.5


def test_label_exfiltration_by_the_last_digits(world: World) -> None:
    """No figure that is told has digits that count items: seven methods, each one answer better than the one before."""
    truth, one = world.truth(), world.researcher()
    predictions = answers(truth, 0.7, 0)
    wrong = np.flatnonzero((predictions > 0.5) != truth)
    seen = []
    for turn in range(7):
        turned = predictions.copy()
        view = one.explore(predict=lambda _, p=turned: p, config={"turn": turn})
        seen.append((view["score"]["pgr"], view["score"]["stderr"]))
        predictions[wrong[turn]] = 1 - predictions[wrong[turn]]
    assert len({stderr for _, stderr in seen}) <= 2, "four digits of the error would count the right answers"
    # How many figures there are depends on the halves that were drawn; of what steps they are multiples does not.
    finest = ladder.coarse(world.stick().blur(2))
    steps = [step for decade in (0.01, 0.1, 1.0) for unit in ladder.STEPS if (step := unit * decade) >= finest - 1e-9]
    for pgr, _ in seen:
        assert any(abs(pgr - round(pgr / step) * step) < 1e-6 for step in steps), f"{pgr} has digits below {finest}"


def test_exact_counts_and_base_rates_are_nowhere(world: World) -> None:
    """The reference system answered with the number of right answers and the distribution of the labels."""
    one = world.researcher()
    view = one.explore()
    assert set(view["score"]) == {"pgr", "stderr", "split", "nSeeds", "receipt"}
    shown = str([one.get(path) for path in ("/v1/brief", "/v1/experiments", "/v1/leaderboard", "/v1/methods")])
    stick = world.stick()
    for figure in (stick.floor("Feedback").value, stick.top("Feedback").value, stick.truth.mean()):
        assert f"{figure:.4f}" not in shown
    for word in ("correct", "accuracy", "weak'", "ceiling", "floors"):
        assert word not in shown


@pytest.mark.parametrize(("seeds", "again"), [(1, 2), (2, 1), (1, 8), (3, 2)])
def test_asking_again_with_another_number_of_seeds_gets_the_earlier_answer(seeds: int, again: int) -> None:
    """A method that ignores its seed is the same question whatever its number of seeds: each would be told with a blur of its own."""
    _, rng, one = realistic(0)
    first = {"first": np.repeat(one, seeds, axis=0)}
    assert duplicates.nearest(np.repeat(one, again, axis=0), first) == "first"
    assert duplicates.nearest(np.repeat(one[:, :-1], again, axis=0), first) is None, "of other rows"
    noisy = np.repeat(one, again, axis=0)
    turned = rng.permutation(one.size)[: one.size // 10]
    noisy[-1, turned] = 1 - noisy[-1, turned]
    assert duplicates.nearest(noisy, first) is None, "seeds that differ are no repeat"


# Seed picking


def test_seed_picking_by_crashing(world: World) -> None:
    """Two seeds, one does badly: the method gives up rather than lower its mean."""
    one = world.researcher()
    name = one.submit().json()["name"]
    world.events()
    answer = world.admit(name)
    world.output(answer["postToken"], 0, npz(test=answers(world.truth(), 0.9, 0)))
    report = {"ok": False, "reason": "MethodError", "message": "a bad seed", "logTail": "validation accuracy 0.58"}
    world.call("POST", "/v1/lab/failure", answer["postToken"], report, params={"index": 1})
    view = world.settle(name, 2)
    assert (view["state"], view["reason"]) == ("failed", "SeedFailed")
    assert "score" not in view
    assert one.get("/v1/leaderboard") == []
    assert one.get("/v1/brief")["purse"]["submissionsLeft"] == 89, "and it counts"
    assert one.submit(key="again", config={"n": 1}).json()["reason"] == "Duplicate"


def test_seed_picking_by_cancelling(world: World) -> None:
    """The seeds are seen once it runs: whoever does not like them and cancels has used up a submission."""
    one = world.researcher()
    for turn in range(3):
        name = one.submit(config={"x": 1}).json()["name"]
        world.events()
        world.admit(name)
        assert len(one.get(f"/v1/experiments/{name}")["seeds"]) == 2
        one.post(f"/v1/experiments/{name}/cancel")
        world.settle(name, 2, "cancelled")
        assert one.get("/v1/brief")["purse"]["submissionsLeft"] == 89 - turn
    assert world.summary()["submissions"] == 3


def test_seed_picking_by_repeating(world: World) -> None:
    """The same method twice, as one seed and as two: its mean is what selection sees, not its best."""
    truth, one = world.truth(), world.researcher()
    good = one.explore(predict=lambda i: answers(truth, 0.8, i), config={"name": "steady"})["name"]
    for seeds, accuracy in ((1, 0.88), (2, 0.55)):
        one.explore(predict=lambda i, a=accuracy: answers(truth, a, i + 40), config={"name": "luck"}, seeds=seeds)
    assert world.open(spec(evaluation={"replication": {"topK": 1, "seeds": 3}})).status_code == 204
    world.stage("verifying")
    names = world.until_requested(2)
    assert {world.specs[name].get("replicates") for name in names} == {None, good}


def test_filling_every_slot_with_one_method(world: World) -> None:
    """A comment more, or a value that nothing reads, was another method with seeds of its own; and so was a colleague's, sent in again."""
    truth, one, rival = world.truth(), world.researcher("r0"), world.researcher("r1")
    bare = METHOD.replace(", **lab.config", "")
    honest = rival.explore(predict=lambda i: answers(truth, 0.75, i), snapshot=rival.upload("import math\n" + METHOD))
    for turn, accuracy in enumerate((0.86, 0.84, 0.82)):
        code = one.upload(f"# {turn}\n" + bare)
        one.explore(
            predict=lambda i, a=accuracy, t=turn: answers(truth, a, i + 10 * t), snapshot=code, config={"x": turn}
        )
    copied = one.explore(predict=lambda i: answers(truth, 0.75, i), snapshot=one.upload("import os\n" + METHOD))
    assert copied["duplicateOf"] == honest["name"]
    world.stage("verifying")
    names = world.until_requested(3)
    assert {world.specs[name].get("replicates") for name in names} > {None, honest["name"]}


def test_seed_picking_by_asking_for_seeds(world: World) -> None:
    for body in ({"seeds": [1, 2]}, {"seed": 7}, {"drawn": [7]}):
        assert world.researcher().submit(**body).status_code == 422


def test_standing_in_for_a_verification_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name has 32 bits of hash: a key can be found that gives a submission the name of a later run. Here every name is the same."""
    one = world.researcher()
    first = one.submit(key="a").json()["name"]
    monkeypatch.setattr("aar_api.names.experiment", lambda *_: first)
    taken = one.submit(key="b")
    assert (taken.status_code, taken.json()["reason"]) == (422, "Duplicate")
    assert taken.json()["message"] == f"The key 'b' leads to the name {first}, which is taken: use another key."


@pytest.mark.parametrize("state", ["failed", "scored"])
def test_standing_in_for_a_baseline(world: World, state: str) -> None:
    """Names of baselines follow from public words: had a key been found that gives a smoke run such a name, the unseen task would be
    given up with that run, or wait for ever for an output that is not coming.
    """
    assert world.open(spec(evaluation={"transferTasks": [REVIEWS], "controls": False})).status_code == 204
    one = world.researcher()
    one.explore(0.85)
    name = one.submit(smoke=True, config={"x": 1}).json()["name"]
    world.events()
    world.admit(name)
    world.settle(name, 2)
    with world.hub.db.write() as tx:
        (task,) = (row for row in records.all_tasks(tx) if not row.main)
        guessed = names.experiment("camp", "baseline", "features", task.key)
        exps = tables.experiments
        tx.execute(sa.update(exps).where(exps.c.name == name).values(name=guessed, state=state))
    world.stage("verifying")
    done = world.verify(lambda wanted: 0.65 if "builtin" in wanted["method"] else 0.85)
    assert {one["purpose"] for one in done} == {"Replication", "Baseline", "Transfer"}
    assert world.report().get("notRun", []) == []
    assert guessed not in {one["name"] for one in done}


# Answers by hand: a method prints its rows, its author reads and answers them, and the next method looks them up


def served(world: World, name: str) -> list[str]:
    return ids(world.bundle(name)["test.jsonl"])


def test_no_row_that_decides_is_seen_before_verification(world: World) -> None:
    one, position = world.researcher(), {row: i for i, row in enumerate(world.test_ids())}
    asked = [one.submit(smoke=smoke, config={"smoke": smoke}).json()["name"] for smoke in (True, False)]
    world.events()
    seen: dict[str, list[str]] = {}
    for name in asked:
        world.admit(name)
    for purpose in ("Smoke", "Exploration"):  # a person's own are no exception
        own = {"campaignRef": "camp", "purpose": purpose, "method": {"inline": METHOD + f"# {purpose}"}}
        asked.append(f"mine-{purpose.lower()}")
        assert world.admit(asked[-1], own)["verdict"] == "admitted"
    feedback = [row for row, wanted in zip(position, world.stick().feedback, strict=True) if wanted]
    for name in asked:
        assert served(world, name) == feedback, name
        check_features(world, name, [position[row] for row in feedback])
        world.settle(name, 2, "cancelled")
    one.explore(0.85, config={"name": "good"})
    assert world.open(spec(evaluation={"transferTasks": [REVIEWS]})).status_code == 204
    world.stage("verifying")
    for wanted in world.verify(lambda one: 0.55 if "builtin" in one["method"] or "control" in one else 0.85):
        if wanted["purpose"] != "Baseline":
            seen.setdefault(wanted["purpose"], []).extend(world.served[wanted["name"]])
    private = set(position) - set(feedback)
    assert {purpose: set(rows) for purpose, rows in seen.items() if purpose != "Transfer"} == {
        "Replication": private, "Control": private,
    }  # fmt: skip
    assert len(set(seen["Transfer"])) == 50, "of another task too the half that is scored"


def check_features(world: World, name: str, rows: list[int]) -> None:
    with np.load(io.BytesIO(world.bundle(name)["features.npz"])) as features:
        assert {key: features[key][:, 0].tolist() for key in features.files if key.startswith("test_")} == {
            "test_question": rows, "test_choice": rows,
        }  # fmt: skip
        assert features["train_choice"][:, 0].tolist() == list(range(40))


def test_a_table_of_answers_for_every_row_that_was_printed(world: World) -> None:
    """Whoever knows the source of a task answers what a smoke run prints: the half that everybody sees is won, and nothing else."""
    one, truth = world.researcher(), dict(zip(world.test_ids(), world.sealed()["test"], strict=True))
    smoke = one.submit(smoke=True, seeds=1).json()["name"]
    world.events()
    world.admit(smoke)
    table = {row: truth[row] for row in served(world, smoke)}
    world.settle(smoke, 1, "cancelled")

    def look_up(name: str, index: int) -> np.ndarray:
        rows = world.served[name] = served(world, name)
        guess = answers(np.array([truth[row] for row in rows], dtype=bool), 0.6, index)
        return np.array([guess[i] if row not in table else 0.1 + 0.8 * table[row] for i, row in enumerate(rows)])

    name = one.submit(config={"name": "table"}).json()["name"]
    world.events()
    world.run(name, predict=lambda index: look_up(name, index))
    found = one.get(f"/v1/experiments/{name}")
    assert found["score"]["pgr"] > 0.9, "the attack works on the rows that it has seen"
    world.stage("verifying")
    for again in world.until_requested(2):
        if "replicates" in world.specs[again]:
            world.run(again, predict=lambda index, again=again: look_up(again, index))
            assert not set(world.served[again]) & set(table)
        else:
            world.run(again, 0.7)
    world.until(lambda: world.summary()["verified"])
    assert not world.summary()["best"]["confirmed"]
    (row,) = [row for row in world.report()["rows"] if row["purpose"] == "Replication" and row["verdict"] != "baseline"]
    assert row["verdict"] == "not confirmed"
    assert row["pgr"] < row["reportedPgr"] - 0.5


def test_training_rows_cannot_be_read_out_of_the_logs(world: World) -> None:
    """Labels for the rows that every method trains on would be worth more than any method: what is told of runs that fail is bounded."""
    one, heard, position = world.researcher(), 0, 0
    for turn in range(12):
        name = one.submit(smoke=turn % 2 == 0, config={"turn": turn}).json()["name"]
        world.events()
        post = world.admit(name)["postToken"]
        for index in (0, 1):
            report = {"ok": False, "reason": "MethodError", "message": "m" * 5_000, "logTail": "x" * 16_000}
            assert world.call("POST", "/v1/lab/failure", post, report, params={"index": index}).status_code == 204
            seed = one.get(f"/v1/experiments/{name}")["seeds"][index]
            heard += len(seed["message"]) + seed["logTail"].count("x")
            # The next attempt hands in an output, and the log of the first is gone: it has been told all the same.
            assert world.output(post, index, npz(test=answers(world.truth(), 0.7, position))).status_code == 204
            position += 1
        world.settle(name, 2)
    assert told.CHARS <= heard <= told.CHARS + 24 * told.LEAST_CHARS
    assert seed["logTail"] == told.USED_UP
    assert len(seed["message"]) == told.LEAST_CHARS
    other = world.researcher("r1").submit(config={"other": 1}).json()["name"]
    world.events()
    post = world.admit(other)["postToken"]
    world.call("POST", "/v1/lab/failure", post, report, params={"index": 0})
    assert len(world.researcher("r1").get(f"/v1/experiments/{other}")["seeds"][0]["logTail"]) == told.LOG_CHARS


# Numbers that nobody computed


@pytest.mark.parametrize(
    "typed", [{"pgr": 0.97}, {"metrics": {"pgr": 0.97}}, {"results": []}, {"owner": True}, {"author": "r1"}], ids=str
)
def test_typed_in_scores_in_findings(world: World, typed: dict[str, Any]) -> None:
    one = world.researcher()
    body = {"kind": "result", "title": "t", "text": "num_seeds: 5"}
    assert one.post("/v1/findings", body | typed).status_code == 422
    assert one.post("/v1/findings", body).json()["results"] == []
    assert one.get("/v1/leaderboard") == []
    assert world.summary().get("best") is None


def test_predictions_from_a_researcher(world: World) -> None:
    """Only a lab Job's own token may post, and only for its own experiment."""
    one, other = world.researcher("r0"), world.researcher("r1")
    mine, theirs = one.submit().json()["name"], other.submit(config={"x": 1}).json()["name"]
    world.events()
    post = world.admit(mine)["postToken"]
    fetch = world.admit(theirs)["fetchToken"]
    perfect = npz(test=np.where(world.truth(), 1.0, 0.0))
    assert world.output(one.token, 0, perfect).status_code == 403
    assert world.output(fetch, 0, perfect).status_code == 403
    for index in (0, 1):
        query = {"index": index, "experiment": theirs, "name": theirs, "subject": theirs}
        sent = world.call(
            "POST", "/v1/lab/output", post, params=query, content=npz(test=answers(world.truth(), 0.7, index))
        )
        assert sent.status_code == 204
    assert world.settle(theirs, 2)["state"] == "failed", "it has no output, whatever the other's token named"


def test_scoring_a_training_split(world: World) -> None:
    """The reference system's route took `split=train_unlabel`. Here what is posted beside `test` is dropped, and nobody can ask for it."""
    truth, train = world.truth(), np.array(world.sealed()["train"], dtype=float)
    one = world.researcher()
    name = one.submit().json()["name"]
    world.events()
    answer = world.admit(name)
    for index in (0, 1):
        body = npz(test=answers(truth, 0.7, index), train=train)
        query = {"index": index, "split": "train"}
        assert world.call("POST", "/v1/lab/output", answer["postToken"], params=query, content=body).status_code == 204
    view = world.settle(name, 2)
    assert view["score"]["split"] == "Feedback"
    with world.hub.db.read() as tx:
        blob = records.outputs(tx, name)[0]["blob"]
    assert list(arrays.unpack(world.hub.blobs.get(blob))) == ["test"]
    assert one.submit(split="train", config={"x": 1}).status_code == 422
    assert one.submit(task="reviews", config={"x": 1}).status_code == 422


def test_poisoned_baselines(world: World) -> None:
    """W and C are divided by: no researcher's experiment may post a teacher, a ceiling or the list of methods."""
    one = world.researcher()
    before = world.summary()["floors"]
    name = one.submit().json()["name"]
    world.events()
    post = world.admit(name)["postToken"]
    assert world.call("POST", "/v1/lab/catalogue", post, []).status_code == 403
    body = npz(test=answers(world.truth(), 0.1, 0), train=np.zeros(40), teacher=np.zeros(200))
    assert [world.output(post, index, body).status_code for index in (0, 1)] == [204, 204]
    world.settle(name, 2)
    assert world.summary()["floors"] == before
    assert (
        world.admit("mine", {"campaignRef": "camp", "purpose": "Baseline", "method": {"inline": METHOD}})["verdict"]
        == "refused"
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("import chitchat_dataset\n" + METHOD, "the snapshot uses chitchat_dataset", id="the answer key"),
        pytest.param("import aar_hub.scorer\n" + METHOD, "the snapshot uses aar_hub", id="the scorer"),
        pytest.param("import subprocess\n" + METHOD, "the snapshot uses subprocess", id="running code answers"),
    ],
)
def test_executing_or_looking_up_answers(world: World, source: str, said: str) -> None:
    one = world.researcher()
    view = one.explore(snapshot=one.upload(source))
    assert view["audit"] == "Suspect"
    assert said in view["auditMessage"]


def test_a_score_that_is_too_good_is_suspect_without_being_told_how_good(world: World) -> None:
    perfect = np.where(world.truth(), 0.9, 0.1)
    view = world.researcher().explore(predict=lambda _: perfect)
    # Some draws of the halves leave so small a gap that it is less. Judged is what is told: else the mark would be a bit of the exact figure.
    suspect = ("Suspect", "above-ceiling: its PGR exceeds 1.25") if view["score"]["pgr"] > 1.25 else ("Clean", "")
    assert (view["audit"], view["auditMessage"]) == suspect


# Code that is made to break what reads it


def test_a_snapshot_that_is_too_deep_for_an_audit_is_suspect() -> None:
    """How deep an expression may be depends on how deep the parser is called: what passed at the upload broke each settlement, for ever."""
    nested = METHOD + "x = " + "-" * 100_000 + "1\n"
    some = np.array([[0.2, 0.8]])
    found = audits.run(audits.Evidence(files={"method.py": nested}, predictions=some, ceiling=some, pgr=0.5))
    assert [one for one in found if one.startswith("forbidden-imports: it could not be judged (")]


def test_the_deepest_snapshot_that_the_hub_takes_is_settled(world: World) -> None:
    one = world.researcher()

    def taken(depth: int) -> str | None:
        answer = one.post("/v1/snapshots", {"files": {"method.py": METHOD + "x = " + "-" * depth + "1\n"}})
        return str(answer.json()["digest"]) if answer.is_success else None

    fits, breaks = 1, 100_000
    while breaks - fits > 1:
        middle = (fits + breaks) // 2
        fits, breaks = (middle, breaks) if taken(middle) else (fits, middle)
    view = one.explore(snapshot=taken(fits))
    assert view["state"] == "scored"
    assert view["audit"] in ("Clean", "Suspect")


# Filling the hub's volume


def test_snapshots_and_posts_of_one_researcher_have_an_end(world: World) -> None:
    one, other = world.researcher("r0"), world.researcher("r1")
    kept = one.upload()
    body = {"kind": "insight", "title": "t", "text": "x"}
    limit = snapshots.SPARE + 90
    with world.hub.db.write() as tx:
        rows = [
            {"digest": f"sha256:{n:064d}", "blob": "", "parents": [], "author": "r0", "created": ""}
            for n in range(limit - 1)
        ]
        tx.execute(sa.insert(tables.snapshots), rows)
        posts = [
            {"author": "r0", "kind": "insight", "title": "t", "text": "", "experiments": [], "created": ""}
        ] * forum.MOST
        tx.execute(sa.insert(tables.findings), posts)
    assert one.upload() == kept, "what is there is no new one"
    full = one.post("/v1/snapshots", {"files": {"method.py": METHOD + "# more\n"}})
    assert (full.status_code, full.json()["reason"]) == (422, "QuotaExceeded")
    assert full.json()["message"] == f"r0 keeps {limit} snapshots, and no more are taken: submit those that are there."
    full = one.post("/v1/findings", body)
    assert (full.status_code, full.json()["reason"]) == (422, "QuotaExceeded")
    assert other.upload(METHOD + "# more\n") != kept
    assert other.post("/v1/findings", body).is_success
