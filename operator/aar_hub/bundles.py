"""A task's items to the files of a bundle, and files to the tar that a lab gets. The labels' own files never leave but to a baseline."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from aar_api import digest, files

from aar_hub.domain import rows
from aar_hub.tasks import Item, Task

Array = npt.NDArray[Any]
GROUPS = "groups.json"
TRUTH = "truth.npy"


def build(task: Task) -> tuple[files.BundleInfo, dict[str, bytes]]:
    """Read the data and lay it out; the same task always gives the same files.

    Raises:
        InvalidInput: the data package is missing, or holds fewer items than asked for.
    """
    items = task.build()
    splits = {"labelled": items.labelled, "train": items.train, "test": items.test}
    key = rows.data_digest([[(one.question, one.choice) for one in split] for split in splits.values()])
    laid = {name: _ordered(key, name, split) for name, split in splits.items()}
    data = {
        files.TRAIN_ROWS: _jsonl(laid["train"], False),
        files.TEST_ROWS: _jsonl(laid["test"], False),
        files.LABELLED_ROWS: _jsonl(laid["labelled"], True),
        files.TRAIN_LABELS: npy(np.array([item.label for _, item in laid["train"]])),
        TRUTH: npy(np.array([item.label for _, item in laid["test"]])),
        GROUPS: json.dumps([item.group for _, item in laid["test"]]).encode(),
    }
    about = {name: digest.of_bytes(content) for name, content in data.items()}
    models = [task.weak.dump(), task.strong.dump(), task.optimiser.dump(), task.head, task.max_tokens, task.pairing]
    info = files.BundleInfo(
        task=task.name,
        digest=digest.of_json([about, models]),
        pairing=task.pairing,
        head=task.head,
        strong=task.strong,
        weak=task.weak,
        optimiser=task.optimiser,
        max_tokens=task.max_tokens,
        n_train=len(laid["train"]),
        n_test=len(laid["test"]),
    )
    return info, data


def _ordered(key: str, split: str, items: Sequence[Item]) -> list[tuple[str, Item]]:
    texts = [(one.question, one.choice) for one in items]
    return [(mark, items[position]) for position, mark in rows.shuffled(key, split, texts)]


def _jsonl(laid: Sequence[tuple[str, Item]], with_label: bool) -> bytes:
    lines = (
        files.Row(id=mark, question=item.question, choice=item.choice, label=item.label if with_label else None).dump()
        for mark, item in laid
    )
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def tar(content: Mapping[str, bytes]) -> bytes:
    """An archive without times or owners: the same files give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in sorted(content):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content[name]), 0o644
            archive.addfile(entry, io.BytesIO(content[name]))
    return buffer.getvalue()


def npy(array: Array) -> bytes:
    """An array as .npy."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def npz(arrays: Mapping[str, Array]) -> bytes:
    """Arrays as .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def load(data: bytes) -> Any:
    """An array, or the arrays of an archive, without pickles."""
    found = np.load(io.BytesIO(data), allow_pickle=False)
    return found if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}


def features(arrays: Mapping[str, Array]) -> tuple[bytes, bytes]:
    """(features.npz of the strong encoder, weak_features.npz) from what the features baseline posted."""
    halves = []
    for prefix in ("strong_", "weak_"):
        halves.append(npz({name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}))
    return halves[0], halves[1]
