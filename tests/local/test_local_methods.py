"""Methods that misbehave, in one real campaign: each ends in a sentence, is paid for, and hurts nobody else.

What one machine does not prevent is asserted too, so that nobody believes in a wall that is not there: a method runs as the user and
can write wherever that user can. What it cannot do is hand in a result of its own making past the supervisor, or find a token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from local import campaigns

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
GOOD = "return lab.predict(lab.finetune(lab.weak))"


@dataclass(frozen=True)
class Bad:
    """A method's body and what must come of it."""

    body: str
    state: str = "failed"
    reason: str = "SeedFailed"
    sentence: str = ""
    deadline: int = 600


BAD = {
    "raises": Bad('raise RuntimeError("no such luck")', sentence="The method raised RuntimeError: no such luck (method.py, line 5)."),
    "hangs": Bad("while True: time.sleep(1)", sentence="ran past its deadline of 10 s; look at lab.time_left(), or do less.", deadline=10),
    "nan": Bad("return np.full(lab.info.n_test, np.nan)", reason="PredictionsInvalid", sentence="is nan at row 0 (N such rows); every P(True) must be finite."),
    "too-short": Bad("return np.zeros(3)", reason="PredictionsInvalid", sentence="has shape (3,), but one number a row is wanted: (N,), in row order."),
    "too-large": Bad("return np.full(lab.info.n_test, 1.5)", reason="PredictionsInvalid", sentence="is 1.5 at row 0 (N such rows), but P(True) lies in [0, 1]: return probabilities"),
    "forges": Bad(
        """
    output = next(Path(os.environ["AAR_WORK_DIR"]).parent.glob("output"))
    for name in ("report.json", "output.npz", "predictions.npz"):
        (output / name).write_text('{"ok": true, "reason": "", "message": "", "logTail": "", "seconds": 1}')
    Path(lab.config["outside"]).write_text("written")
    raise RuntimeError("after forging")""",
        sentence="The method raised RuntimeError: after forging",
    ),
    "kills-itself": Bad("os.kill(os.getpid(), 9)", sentence="was ended by SIGKILL, which the supervisor did not send."),
    "kills-supervisor": Bad("os.kill(os.getppid(), 9); time.sleep(600)", sentence="Its step 'train' ended with SIGKILL and left no report, the last of 2 tries: see the log of its pod, correct the method"),
    "leaves-children": Bad('subprocess.Popen(["sleep", "4242"], start_new_session=True); subprocess.Popen(["sleep", "4242"]); ' + GOOD, state="scored", reason=""),
    "floods": Bad('[print("x" * 1000) for _ in range(20_000)]; ' + GOOD, state="scored", reason=""),
    "leaves": Bad("sys.exit(0)", reason="PredictionsInvalid", sentence="`train` must return them, and not leave the process."),
    "pries": Bad('print("ENV", dict(os.environ), Path(f"/proc/{os.getppid()}/environ").read_bytes()); raise RuntimeError("looked around")', sentence="looked around"),
    "good": Bad(GOOD, state="scored", reason=""),
}  # fmt: skip
SECRET = re.compile("TOKEN(?!IZERS_)|SECRET|eyJ")  # the last is how a signed token begins


def source(name: str) -> str:
    """The method's file: five lines down is its body."""
    return f"import os, subprocess, sys, time  # {name}\nfrom pathlib import Path\nimport numpy as np\ndef train(lab):\n    {BAD[name].body.strip()}\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign that has run, with every bad method in it."""
    folder = tmp_path_factory.mktemp("bad")
    experiments = {"parallelism": 2, "maxCount": len(BAD) + 2, "seeds": 1, "activeDeadlineSeconds": 600}
    evaluation = {"baselineSeeds": 2, "replication": {"topK": 0}, "submissionsPerResearcher": 2}
    team = {"kind": "random", "count": 1}
    whole = campaigns.campaign("bad", experiments=experiments, evaluation=evaluation, researchers=team)
    own = [
        campaigns.experiment(
            name,
            "bad",
            {"inline": source(name), "config": {"outside": str(folder / "outside.txt")}},
            activeDeadlineSeconds=one.deadline,
        )
        for name, one in BAD.items()
    ]
    file = campaigns.write(folder, whole, *own)
    code, said = campaigns.finished(file, folder / "run")
    assert code == 0, said
    (folder / "said").write_text(said)
    return folder


def view(place: Path, name: str) -> dict[str, Any]:
    """An experiment as the hub has it."""
    return campaigns.ask_hub(place / "run", f"SELECT * FROM experiments WHERE name = '{name}'")[0]


@pytest.mark.parametrize("name", BAD)
def test_each_ends_as_it_should_and_is_paid_for(place: Path, name: str) -> None:
    found, wanted = view(place, name), BAD[name]
    assert (found["state"], found["reason"]) == (wanted.state, wanted.reason), found["message"]
    # How many rows a half has depends on the hub's key.
    said = re.sub(r"\(\d+(?= such rows|,\), in row order)", "(N", found["message"])
    assert wanted.sentence in said
    assert "\n" not in found["message"]
    assert found["cost"] > 0
    assert f"  {name}  explore  " in (place / "said").read_text()


def test_the_rest_goes_on(place: Path) -> None:
    scored = campaigns.check_scores(place / "run")
    assert {"good", "floods", "leaves-children"} <= {one["experiment"] for one in scored}
    assert any(one["purpose"] == "Exploration" and one["experiment"] not in BAD for one in scored)
    campaigns.check_ledger(place / "run", "1.00")


def test_nothing_outlives_the_run(place: Path) -> None:
    assert campaigns.alive_in(place / "run") == []


def test_output_is_capped(place: Path) -> None:
    logs = list((place / "run" / "pods").glob("*/floods-*/*.log"))
    assert logs
    assert max(log.stat().st_size for log in logs) < 40 << 20


def test_a_method_finds_no_token(place: Path) -> None:
    log = next((place / "run" / "pods").glob("*/pries-*/train.log")).read_text()
    assert "ENV" in log
    assert SECRET.findall(log) == []


def test_what_one_machine_does_not_prevent(place: Path) -> None:
    assert (place / "outside.txt").read_text() == "written"
