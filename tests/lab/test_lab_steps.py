"""The three steps as processes against a real HTTP server."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from aar_api import digest, labels
from lab import world

METHOD = """
DEFAULTS = {"power": 1.0}

def train(lab):
    lab.log(f"power {lab.config['power']}")
    return lab.predict(lab.finetune(lab.weak ** lab.config["power"]))
"""


def serve(hubs: list[world.LabHub], bundle: Path, *, sealed: bool = False, **kwargs: object) -> world.LabHub:
    snapshot = kwargs.pop("snapshot", {})
    assert isinstance(snapshot, dict)
    hub = world.LabHub(world.assignment(**kwargs), world.tarred(bundle, sealed=sealed), snapshot)
    hubs.append(hub)
    return hub


def test_a_snapshot_is_fetched_trained_and_posted(
    pod: world.Pod, hubs: list[world.LabHub], bundle_folder: Path
) -> None:
    files = {"method.py": METHOD}
    hub = serve(hubs, bundle_folder, snapshot=files, config={"power": 2.0})
    hub.assignment = world.assignment(snapshot=digest.of_files(files), config={"power": 2.0})
    pod.url = hub.url
    assert [pod.run(step)[0] for step in ("fetch", "supervise", "post")] == [0, 0, 0]
    posted = np.load(io.BytesIO(hub.posted["output"][0]))["test"]
    assert posted.shape == (world.N_TEST,)
    assert posted.std() > 0.01
    assert set(hub.posted) == {"output"}
    assert {index for _, _, index in hub.seen} == {"3"}
    assert pod.report().log_tail == "power 2.0\n"


def test_the_method_of_the_example_trains(pod: world.Pod, bundle_folder: Path) -> None:
    """As a reader copies it, with the hyper-parameters of its Experiment."""
    folder = Path(__file__).parents[2] / "examples" / "own-method"
    _, asked = yaml.safe_load_all((folder / "campaign.yaml").read_text())
    method = (folder / asked["spec"]["method"]["configMap"]["key"]).read_text()
    given = world.assignment(snapshot=digest.of_files({"method.py": method}), config=asked["spec"]["method"]["config"])
    pod.place(bundle_folder, given, method)
    code, errors = pod.run("supervise")
    assert (code, pod.report().reason) == (0, ""), errors
    assert pod.arrays()["test"].std() > 0.01


def test_a_failure_is_posted_with_its_log(pod: world.Pod, hubs: list[world.LabHub], bundle_folder: Path) -> None:
    hub = serve(hubs, bundle_folder, builtin="no-such-method")
    pod.url = hub.url
    assert [pod.run(step)[0] for step in ("fetch", "supervise", "post")] == [0, 0, labels.EXIT_METHOD_FAILED]
    failure = json.loads(hub.posted["failure"][0])
    assert failure["reason"] == "InvalidMethod"
    assert "No method is named 'no-such-method'. Known: " in failure["message"]


def test_a_teacher_posts_both_splits_and_the_catalogue(
    pod: world.Pod, hubs: list[world.LabHub], bundle_folder: Path
) -> None:
    hub = serve(hubs, bundle_folder, sealed=True, role="teacher", builtin="teacher")
    pod.url = hub.url
    assert [pod.run(step)[0] for step in ("fetch", "supervise", "post")] == [0, 0, 0]
    posted = np.load(io.BytesIO(hub.posted["output"][0]))
    assert {name: posted[name].shape for name in posted.files} == {"test": (world.N_TEST,), "train": (world.N_TRAIN,)}
    cards = json.loads(hub.posted["catalogue"][0])
    assert "def train(lab: Lab)" in next(card for card in cards if card["name"] == "hard-labels")["source"]


@pytest.mark.parametrize(
    ("trouble", "code", "says"),
    [
        pytest.param([503, 502], 0, "", id="a-hub-that-restarts-is-waited-for"),
        pytest.param([429], 0, "", id="too-many-requests-is-waited-for"),
        pytest.param([403], 1, "refused GET /v1/lab/assignment with 403: the hub says 403", id="no-is-final"),
    ],
)
def test_fetch_and_trouble(
    pod: world.Pod, hubs: list[world.LabHub], bundle_folder: Path, trouble: list[int], code: int, says: str
) -> None:
    hub = serve(hubs, bundle_folder, builtin="hard-labels")
    hub.trouble = trouble
    pod.url = hub.url
    got, errors = pod.run("fetch")
    assert (got, says in errors) == (code, True)


def test_a_wrong_token_is_told_in_the_hubs_words(pod: world.Pod, hubs: list[world.LabHub], bundle_folder: Path) -> None:
    pod.url = serve(hubs, bundle_folder).url
    code, errors = pod.run("fetch", AAR_TOKEN="stolen")
    assert code == 1
    assert "401: No valid token; ask the operator for one." in errors


def test_a_snapshot_that_is_not_the_named_one_is_refused(
    pod: world.Pod, hubs: list[world.LabHub], bundle_folder: Path
) -> None:
    hub = serve(hubs, bundle_folder, snapshot={"method.py": METHOD})
    hub.assignment = world.assignment(snapshot="sha256:" + "a" * 64)
    pod.url = hub.url
    code, errors = pod.run("fetch")
    assert code == 1
    assert "the assignment names sha256:aaa" in errors


def archive(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, "/etc/passwd" if kind == tarfile.SYMTYPE else ""
        tar.addfile(entry)
    return buffer.getvalue()


ARCHIVES = {
    "a file above the folder": (archive("../../escaped"), "lies outside its folder"),
    "an absolute path": (archive("/escaped"), "lies outside its folder"),
    "a link": (archive("rows", tarfile.SYMTYPE), "is no plain file"),
    "a device": (archive("rows", tarfile.CHRTYPE), "is no plain file"),
    "no archive": (b"not a tar", "no tar archive"),
}


@pytest.mark.parametrize(("content", "says"), ARCHIVES.values(), ids=ARCHIVES)
def test_a_bundle_of_anything_but_plain_files_is_refused(
    pod: world.Pod, hubs: list[world.LabHub], bundle_folder: Path, content: bytes, says: str
) -> None:
    hub = serve(hubs, bundle_folder)
    hub.bundle = content
    pod.url = hub.url
    code, errors = pod.run("fetch")
    assert (code, says in errors) == (1, True), errors
