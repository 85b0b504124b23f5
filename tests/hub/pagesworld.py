"""A hub's data as its own services write it: hostile texts, a scored, a failed and a running experiment, and verification on demand."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import sqlalchemy as sa
import uvicorn
from aar_api import digest
from aar_api.campaign import CampaignSpec
from aar_api.experiment import ExperimentSpec
from aar_api.files import BundleInfo, LabReport, ModelRef, Optimiser
from aar_api.wire import (
    AdmissionRequest,
    CampaignOpening,
    FindingPost,
    IndexOutcome,
    MethodCard,
    Settlement,
    SnapshotUpload,
    StageChange,
    Submission,
)
from aar_hub import (
    admission,
    app,
    arrays,
    catalogue,
    forum,
    lab_files,
    opening,
    progress,
    records,
    scorer,
    served,
    settlement,
    snapshots,
    submissions,
    worker,
)
from aar_hub import hub as hubs
from aar_hub.hub import Hub
from aar_hub.settings import Settings
from aar_hub.store import tables

OPERATOR = "operator-secret"
N_TEST = 200
SCRIPT = "</pre><script>window.pwned = 1</script>"
IMAGE = '<img src="http://elsewhere.invalid/x.png" onerror="window.pwned = 2">'
BIDI = "if admin\u202e: pass"
SOURCE = f"def train(lab):\n    return lab.predict(lab.finetune(lab.weak))\n# {SCRIPT}\n# {BIDI}\n"
TRUTH = np.random.default_rng(0).random(N_TEST) < 0.5
SPEC = {
    "task": {"name": "math"},
    "researchers": {"count": 2, "directions": ["reweight <i>rows</i>", "ensembles"]},
    "experiments": {"seeds": 2, "maxCount": 10, "activeDeadlineSeconds": 60},
    "budget": {"limitUSD": "2.00"},
    "evaluation": {"baselineSeeds": 2, "replication": {"topK": 1, "seeds": 2}},
    "referenceLines": [{"name": "human researchers", "pgr": "0.23"}],
    "activeDeadlineSeconds": 3600,
}


def start(folder: Path, host: str = "127.0.0.1") -> Hub:
    """An empty hub that thinks it listens there."""
    return hubs.start(Settings(data_dir=folder, operator_token=OPERATOR, host=host))


def answers(accuracy: float, seed: int) -> np.ndarray:
    """P(True), right for so many of the test rows."""
    right = np.random.default_rng(seed).permutation(N_TEST) < round(accuracy * N_TEST)
    return np.where(right == TRUTH, 0.9, 0.1)


def begin(hub: Hub) -> None:
    """A campaign at the start of research, its task built and measured: W about 0.6, C about 0.9."""
    spec = CampaignSpec.model_validate(SPEC)
    opening.open_campaign(hub, CampaignOpening(name="camp", namespace="default", uid="uid-1", spec=spec))
    sealed = {"test": TRUTH.tolist(), "groups": [f"g{row // 2}" for row in range(N_TEST)]}
    blobs = {f"teacher:{i}": hub.blobs.put(_npz(0.6, i)) for i in range(4)}
    blobs |= {f"ceiling:{i}": hub.blobs.put(_npz(0.9, 10 + i)) for i in range(2)}
    info = BundleInfo(
        task="math", digest="sha256:" + "b" * 64, pairing="pair", head="probe", n_train=40, n_test=N_TEST, max_tokens=48,
        strong=ModelRef(source="strong"), weak=ModelRef(source="weak"),
        optimiser=Optimiser(epochs=1, learning_rate=1e-3, weight_decay=0.0, batch_size=8),
    )  # fmt: skip
    rows = hub.blobs.put(b"".join(b'{"id": "%d"}\n' % row for row in range(N_TEST)))
    blobs |= served.of_rows(hub, info, rows, sealed["groups"])
    values = {"built": True, "ready": True, "blobs": blobs, "info": info.dump()}
    values["sealed"] = hub.blobs.put(digest.canonical_json(sealed))
    with hub.db.write() as tx:
        tx.execute(sa.update(tables.tasks).values(values))
        catalogue.replace(tx, hub, [MethodCard(name="hard-labels", summary="", citation="", source=SOURCE)])
    progress.move(hub, StageChange(stage="researching"))


def research(hub: Hub) -> dict[str, str]:
    """Two snapshots, three experiments, two posts; their names and digests."""
    with hub.db.write() as tx:
        first = snapshots.put(tx, hub, SnapshotUpload(files={"method.py": SOURCE}), "r0").digest
        upload = SnapshotUpload(files={"method.py": SOURCE + "# more\n"}, parents=(first,))
        second = snapshots.put(tx, hub, upload, "r1").digest
    found = {"first": first, "second": second}
    found["scored"] = submit(hub, "r0", first, label="<b>fast</b>", seeds=2, hypothesis=SCRIPT, config={"rate": 0.5})
    run(hub, found["scored"], 0.8)
    found["failed"] = submit(hub, "r1", second, label="broken", seeds=1)
    admit(hub, found["failed"])
    lab_files.take_failure(
        hub,
        found["failed"],
        0,
        LabReport(ok=False, reason="MethodError", message=IMAGE, log_tail=f"Traceback {SCRIPT}"),
    )
    settle(hub, found["failed"])
    found["running"] = submit(hub, "r1", first, label="slow", seeds=1)
    admit(hub, found["running"])
    asked = FindingPost(kind="result", title=f"Best {SCRIPT}", text=f"{IMAGE} {BIDI}", experiments=(found["scored"],))
    forum.post(hub, "r0", asked)
    forum.finish(hub, "r0", "It is done.")
    return found


def verify(hub: Hub, found: dict[str, str]) -> str:
    """End research and run the winner again; its name. The verdict is not written yet."""
    settle(hub, found["running"], "cancelled")
    progress.move(hub, StageChange(stage="verifying", reason="Deadline"))
    worker.step(hub)
    runs = _requested(hub, "Replication")
    for name, accuracy in runs:
        run(hub, name, accuracy)
    return next(name for name, accuracy in runs if accuracy == REPLICATED)


def control(hub: Hub) -> None:
    """Let the winner be confirmed, run its controls, and have the verdicts written."""
    worker.step(hub)
    for name, _ in _requested(hub, "Control"):
        run(hub, name, 0.4)
    worker.step(hub)


REPLICATED = 0.86


def _requested(hub: Hub, purpose: str) -> list[tuple[str, float]]:
    with hub.db.read() as tx:
        every = records.experiments(tx, tables.experiments.c.purpose == purpose)
    return [(one.name, 0.5 if one.replicates is None else REPLICATED) for one in every]


def submit(hub: Hub, who: str, snapshot: str, **more: object) -> str:
    """Name of a new experiment."""
    key = f"key-{more['label']}".replace("<", "").replace(">", "").replace("/", "")
    return submissions.submit(hub, who, Submission.model_validate({"key": key, "snapshot": snapshot, **more})).name


def run(hub: Hub, name: str, accuracy: float) -> None:
    """Admit, post answers for the rows of its half that are right for so many of all rows, settle."""
    with hub.db.read() as tx:
        exp = records.experiment(tx, name)
        stick, half = scorer.yardstick(hub, records.task(tx, exp.task)), served.half(exp)
    assert half is not None
    for index in range(admit(hub, name)):
        lab_files.take_output(hub, name, index, _npz(accuracy, 100 + index, stick.mask(half)))
    settle(hub, name)


def admit(hub: Hub, name: str) -> int:
    """Seeds drawn."""
    with hub.db.read() as tx:
        spec = ExperimentSpec.model_validate(records.experiment(tx, name).spec)
    answer = admission.admit(hub, name, AdmissionRequest(uid=f"uid-{name}", spec=spec))
    assert answer.verdict == "admitted", answer
    return len(answer.seeds)


def settle(hub: Hub, name: str, outcome: str = "finished") -> None:
    """End the Job."""
    with hub.db.read() as tx:
        count = len(records.experiment(tx, name).drawn)
    indexes = tuple(IndexOutcome(index=i, succeeded=True, seconds=3.0) for i in range(count))
    values = {"job_name": f"{name}-1", "job_uid": f"job-{name}", "image": "lab:1", "outcome": outcome}
    settlement.settle(hub, name, Settlement.model_validate(values | {"indexes": indexes}))


def _npz(accuracy: float, seed: int, rows: np.ndarray | None = None) -> bytes:
    return arrays.pack({"test": answers(accuracy, seed)[... if rows is None else rows]})


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """The address of its operator port, on loopback."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app.control(hub), log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
