"""Which test rows a lab is served: a baseline all of them, a method one half, so that it can carry no answer for a row of the other.

A researcher reads what its method prints and knows the public sources of the tasks, so it can answer any row that its method has seen.
Exploration and smoke runs see the feedback half; the private half is seen in verification alone, after the last line of code is written.
"""

from __future__ import annotations

import json

from aar_api import digest, files
from aar_api.files import BundleInfo

from aar_hub import arrays
from aar_hub.domain import halves
from aar_hub.domain.halves import Split
from aar_hub.hub import Hub
from aar_hub.records import Exp, TaskRow


def half(exp: Exp) -> Split | None:
    """The half that an experiment is served and scored on; none for a baseline, which is trusted code and answers every row."""
    if exp.purpose == "Baseline":
        return None
    return "Feedback" if exp.purpose in ("Exploration", "Smoke") else "Private"


def info(hub: Hub, task: TaskRow, split: Split | None) -> BundleInfo:
    """What the bundle says of itself; number and digest are those of the rows that are served."""
    assert task.info is not None, "only a built task has experiments"
    if split is None:
        return task.info
    return BundleInfo.model_validate_json(hub.blobs.get(task.blobs[_name(files.BUNDLE_JSON, split)]))


def parts(task: TaskRow, split: Split | None) -> dict[str, str]:
    """Blobs of rows and features by their place in the bundle."""
    found = {files.TRAIN_ROWS: task.blobs["train"], files.TEST_ROWS: task.blobs[_name("test", split)]}
    if "features" in task.blobs:
        found[files.FEATURES] = task.blobs[_name("features", split)]
    return found


def of_rows(hub: Hub, whole: BundleInfo, rows: str, groups: list[str]) -> dict[str, str]:
    """The halves of the test rows, and what their bundles say of themselves, as blobs to add to the task's.

    `rows` is the address of all test rows, `groups` the problem of each, and `whole` what is said of all of them.
    """
    found = {}
    lines = hub.blobs.get(rows).splitlines(keepends=True)
    for split, mask in halves.masks(hub.keys.derive("halves"), groups).items():
        test = hub.blobs.put(b"".join(line for line, wanted in zip(lines, mask, strict=True) if wanted))
        said = whole.model_copy(update={"n_test": int(mask.sum()), "digest": digest.of_json([whole.digest, test])})
        found[_name("test", split)] = test
        found[_name(files.BUNDLE_JSON, split)] = hub.blobs.put(said.model_dump_json(by_alias=True).encode())
    return found


def of_features(hub: Hub, task: TaskRow, features: dict[str, arrays.Array]) -> dict[str, str]:
    """The features of the halves, as blobs to add to the task's: of its training rows all, of its test rows those served."""
    assert task.sealed is not None, "only a built task has features"
    groups = json.loads(hub.blobs.get(task.sealed))["groups"]
    return {
        _name("features", split): hub.blobs.put(
            arrays.pack({key: rows[mask] if key.startswith("test_") else rows for key, rows in features.items()})
        )
        for split, mask in halves.masks(hub.keys.derive("halves"), groups).items()
    }


def _name(what: str, split: Split | None) -> str:
    return what if split is None else f"{what}/{split}"
