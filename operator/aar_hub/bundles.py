"""The bundle as it travels: a tar with what its reader may see, and the weak labels of its own index only."""

from __future__ import annotations

import io
import tarfile

import numpy as np
from aar_api import files
from aar_api.experiment import Control

from aar_hub import arrays
from aar_hub.domain import seeds
from aar_hub.errors import Conflict
from aar_hub.hub import Hub
from aar_hub.records import Exp, TaskRow


def of_method(hub: Hub, exp: Exp, task: TaskRow, index: int) -> bytes:
    """What a method sees: texts, features and one set of weak labels."""
    parts = _public(hub, task)
    parts[files.WEAK_LABELS] = arrays.pack_one(_weak(hub, exp, task, index))
    return _tar(parts)


def of_baseline(hub: Hub, task: TaskRow) -> bytes:
    """What a baseline sees: true labels too, but of no test row."""
    parts = _public(hub, task)
    parts[files.LABELLED_ROWS] = hub.blobs.get(task.blobs["labelled"])
    parts[files.TRAIN_LABELS] = hub.blobs.get(task.blobs["train_labels"])
    if "weak_features" in task.blobs:
        parts[files.WEAK_FEATURES] = hub.blobs.get(task.blobs["weak_features"])
    return _tar(parts)


def _public(hub: Hub, task: TaskRow) -> dict[str, bytes]:
    if task.info is None:
        raise Conflict("Preparing", f"The task {task.ref.name!r} is still being built: ask again in a second.")
    parts = {
        files.BUNDLE_JSON: task.info.model_dump_json(by_alias=True).encode(),
        files.TRAIN_ROWS: hub.blobs.get(task.blobs["train"]),
        files.TEST_ROWS: hub.blobs.get(task.blobs["test"]),
    }
    if "features" in task.blobs:
        parts[files.FEATURES] = hub.blobs.get(task.blobs["features"])
    return parts


def _weak(hub: Hub, exp: Exp, task: TaskRow, index: int) -> arrays.Array:
    address = task.blobs[f"teacher:{exp.weak_offset + index}"]
    weak = arrays.unpack(hub.blobs.get(address))["train"].astype(np.float32)
    return weak if exp.control is None else _spoiled(hub, exp, exp.control, index, weak)


def _spoiled(hub: Hub, exp: Exp, control: Control, index: int, weak: arrays.Array) -> arrays.Array:
    """Weak labels of a control; the lab cannot tell them from others."""
    if control == "NoWeakLabels":
        return np.full_like(weak, 0.5)
    seed = seeds.draw(hub.keys.derive("controls"), exp.name, index + 1)[index]
    shuffled: arrays.Array = np.random.default_rng(seed).permutation(weak)
    return shuffled


def _tar(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
