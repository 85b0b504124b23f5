"""What a lab is given for one index, and what it hands back."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping

import numpy as np
import sqlalchemy as sa
from aar_api import files
from aar_api.files import Assignment, LabReport
from aar_api.wire import MethodCard, Snapshot

from aar_hub import arrays, catalogue, records, served, snapshots
from aar_hub.domain import told
from aar_hub.errors import Conflict, Forbidden, NotFound, Refused
from aar_hub.hub import Hub
from aar_hub.records import Exp, TaskRow
from aar_hub.requests import HUB, OWNER
from aar_hub.store import tables

SEALED = {
    files.LABELLED_ROWS: "labelled",
    files.TRAIN_LABELS: "train_labels",
    files.WEAK_FEATURES: "weak_features",
}


def assignment(hub: Hub, name: str, index: int) -> Assignment:
    """What an index has to do."""
    with hub.db.read() as tx:
        exp = _running(tx, name, index)
    return Assignment(
        experiment=_alias(hub, name),
        index=index,
        seed=exp.drawn[index],
        role=exp.role,
        builtin=exp.builtin,
        snapshot=exp.snapshot,
        config=exp.config,
        smoke=exp.purpose == "Smoke",
        deadline_seconds=exp.deadline,
    )


def _alias(hub: Hub, name: str) -> str:
    """What a method may know its experiment by: whoever chose the key of a submission knows its name, and any other would mean verification."""
    return "lab-" + hashlib.sha256(hub.keys.derive("aliases") + name.encode()).hexdigest()[:12]


def snapshot(hub: Hub, name: str) -> Snapshot:
    """The code that the experiment runs."""
    with hub.db.read() as tx:
        exp = records.experiment(tx, name)
        if exp.snapshot is None:
            raise NotFound(
                "NotFound", f"Experiment {name} runs the built-in method {exp.builtin!r}: it has no snapshot."
            )
        return snapshots.get(tx, hub, exp.snapshot)


def bundle(hub: Hub, name: str, index: int, *, labelled: bool) -> bytes:
    """The tar of an index's bundle: the test rows of its half; all of them, and true labels, for the baselines alone."""
    with hub.db.read() as tx:
        exp = _running(tx, name, index)
        task = records.task(tx, exp.task)
    if labelled and exp.purpose != "Baseline":
        raise Forbidden("Forbidden", f"Experiment {name} is no baseline: true labels are for baselines alone.")
    half = served.half(exp)
    parts = served.parts(task, half)
    if labelled:
        parts |= {path: task.blobs[blob] for path, blob in SEALED.items() if blob in task.blobs}
    content = {path: hub.blobs.get(address) for path, address in parts.items()}
    content[files.BUNDLE_JSON] = served.info(hub, task, half).model_dump_json(by_alias=True).encode()
    if exp.role == "method":
        content[files.WEAK_LABELS] = arrays.pack_one(_weak_labels(hub, exp, task, index))
    return _tar(content)


def _weak_labels(hub: Hub, exp: Exp, task: TaskRow, index: int) -> arrays.Array:
    """The index's own set; in a control what it is replaced by, which the lab cannot tell apart from it."""
    address = task.blobs[f"teacher:{exp.weak_offset + index}"]
    weak = arrays.unpack(hub.blobs.get(address))["train"].astype(np.float32)
    if exp.control == "NoWeakLabels":
        return np.full_like(weak, 0.5)
    if exp.control == "PermutedWeakLabels":
        secret = hub.keys.derive("permutations") + f"{exp.name}\0{index}".encode()
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(secret).digest()))
        shuffled: arrays.Array = rng.permutation(weak)
        return shuffled
    return weak


def take_output(hub: Hub, name: str, index: int, data: bytes) -> None:
    """Keep an index's output; the same again changes nothing, another is refused.

    Raises:
        Refused: PredictionsInvalid; the failure is entered, as the seed's result.
        Conflict: the index has an output already.
    """
    with hub.db.read() as tx:
        exp = _running(tx, name, index)
        task = records.task(tx, exp.task)
    try:
        blob = hub.blobs.put(arrays.pack(_read(hub, exp, task, data)))
    except Refused as error:
        take_failure(hub, name, index, LabReport(ok=False, reason="InvalidPredictions", message=str(error)[:2000]))
        raise
    with hub.db.write() as tx:
        _enter(tx, name, index, {"ok": True, "blob": blob, "reason": "", "message": "", "log_tail": "", "seconds": 0.0})


def take_failure(hub: Hub, name: str, index: int, report: LabReport) -> None:
    """Enter how an index failed, as far as its submitter is told; one that has an output keeps it."""
    with hub.db.write() as tx:
        exp = _running(tx, name, index)
        limited = exp.researcher not in (HUB, OWNER)
        message, log = told.cut(report.message, report.log_tail, _told(tx, exp.researcher) if limited else None)
        values = {"ok": False, "reason": report.reason or "Internal", "message": message, "log_tail": log}
        _enter(tx, name, index, values | {"seconds": report.seconds, "blob": None, "told": len(message) + len(log)})


def _told(tx: sa.Connection, researcher: str) -> int:
    """Characters of logs and messages that a researcher could read so far."""
    exps, outputs = tables.experiments.c, tables.outputs.c
    query = sa.select(sa.func.coalesce(sa.func.sum(outputs.told), 0))
    joined = query.join_from(tables.outputs, tables.experiments, exps.name == outputs.experiment)
    return int(tx.execute(joined.where(exps.researcher == researcher)).scalar_one())


def take_catalogue(hub: Hub, name: str, cards: list[MethodCard]) -> None:
    """Take over what the lab's image says that it ships, from a Job of the hub's own."""
    with hub.db.write() as tx:
        if records.experiment(tx, name).purpose != "Baseline":
            raise Refused(
                "Forbidden", f"Experiment {name} is no baseline: only a baseline tells which methods there are."
            )
        catalogue.replace(tx, hub, cards)


def _read(hub: Hub, exp: Exp, task: TaskRow, data: bytes) -> dict[str, arrays.Array]:
    info = served.info(hub, task, served.half(exp))
    if exp.role == "features":
        counts = {"train": info.n_train, "test": info.n_test, "labelled": int(task.blobs["n_labelled"])}
        splits = [("strong", split) for split in files.SPLITS] + [("weak", split) for split in counts]
        rows = {f"{model}_{split}_{field}": counts[split] for model, split in splits for field in files.FIELDS}
        return arrays.read_features(data, rows)
    return arrays.read_predictions(
        data, {"test": info.n_test} | ({"train": info.n_train} if exp.role == "teacher" else {})
    )


def _enter(tx: sa.Connection, name: str, index: int, values: Mapping[str, object]) -> None:
    table = tables.outputs
    _running(tx, name, index)
    known = records.outputs(tx, name).get(index)
    if known is None:
        tx.execute(sa.insert(table).values(experiment=name, seed_index=index, **values))
    elif known["ok"] and known["blob"] != values["blob"]:
        raise Conflict("Duplicate", f"Index {index} of {name} has posted its output: the first one counts.")
    elif not known["ok"] and values["ok"]:  # what was told of the attempt that failed stays counted
        where = (table.c.experiment == name, table.c.seed_index == index)
        tx.execute(sa.update(table).where(*where).values(**values))


def _running(tx: sa.Connection, name: str, index: int) -> Exp:
    exp = records.experiment(tx, name)
    if exp.state != "admitted":  # its token held when the request began, and a long body may have come in since
        raise Conflict("Ended", f"Experiment {name} is {exp.state}: what comes now does not count; stop.")
    if not 0 <= index < len(exp.drawn):
        raise NotFound("NotFound", f"Experiment {name} has no index {index}: it has {len(exp.drawn)}, counted from 0.")
    return exp


def _tar(content: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(content):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content[path]), 0o644
            tar.addfile(entry, io.BytesIO(content[path]))
    return buffer.getvalue()
