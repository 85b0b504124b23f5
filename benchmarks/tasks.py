"""W, C and the gap that methods recover, task by task: `python benchmarks/tasks.py [TASK ...] [--params JSON] [--methods a,b]`.

Builds each task as the hub does, lays a bundle on disk and runs the lab's own code on it. No hub, no feedback half: accuracies
are over the whole test set. `±` is the standard error over seeds; a seed is a teacher on its own bootstrap of labelled rows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from aar_api import plugins
from aar_api.files import Assignment, BundleInfo, Row
from aar_hub import tasks
from aar_hub.domain import rows
from aar_lab import methods
from aar_lab.baselines import ceiling, features, teacher
from aar_lab.bundle import Bundle
from aar_lab.lab import Lab
from aar_lab.train import seed_everything

SEEDS = 5
Bools = np.ndarray


def lay(folder: Path, task: tasks.Task) -> tuple[Bools, Bools]:
    """The labelled bundle of a task without features; the truth of its training and test rows, in row order."""
    (folder / "sealed").mkdir(parents=True)
    truth = {}
    built = task.build()
    for split, items in zip(built._fields, built, strict=True):
        order = rows.shuffled("bench", split, [(item.question, item.choice) for item in items])
        truth[split] = np.array([items[i].label for i, _ in order])
        sealed = split == "labelled"
        found = [
            Row(id=name, question=items[i].question, choice=items[i].choice, label=items[i].label if sealed else None)
            for i, name in order
        ]
        path = folder / "sealed" / "labelled.jsonl" if sealed else folder / f"{split}.jsonl"
        path.write_text("".join(row.model_dump_json(exclude_none=True) + "\n" for row in found))
    info = BundleInfo(
        task=task.name, digest="sha256:" + "0" * 64, pairing=task.pairing, head=task.head, strong=task.strong,
        weak=task.weak, optimiser=task.optimiser, max_tokens=task.max_tokens,
        n_train=len(built.train), n_test=len(built.test),
    )  # fmt: skip
    (folder / "bundle.json").write_text(info.model_dump_json(by_alias=True))
    np.save(folder / "sealed" / "train_labels.npy", truth["train"])
    return truth["train"], truth["test"]


def embed(folder: Path) -> None:
    """Features as the hub lays them out."""
    found = features.produce(Bundle(folder), assignment(0, "features"))
    parts: dict[str, dict[str, np.ndarray]] = {"strong": {}, "weak": {}}
    for name, array in found.items():
        encoder, _, rest = name.partition("_")
        parts[encoder][rest] = array
    np.savez(folder / "features.npz", **parts["strong"])
    np.savez(folder / "sealed" / "weak_features.npz", **parts["weak"])


def assignment(seed: int, role: str) -> Assignment:
    """What an index would be told."""
    return Assignment.model_validate(
        {"experiment": "bench", "index": 0, "seed": seed, "role": role, "deadlineSeconds": 600}
    )


def accuracy(p: np.ndarray, truth: Bools) -> float:
    """Share of rows on the right side of one half."""
    return float(((np.asarray(p) >= 0.5) == truth).mean())


def measure(name: str, params: Mapping[str, object], wanted: list[str]) -> dict[str, object]:
    """Mean and standard error over seeds of everything asked for."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "bundle"
        task = tasks.resolve(name, params)  # type: ignore[arg-type]
        _, truth = lay(folder, task)
        begun = time.monotonic()
        if task.head == "probe":
            embed(folder)
        embedded = time.monotonic() - begun
        found: dict[str, list[float]] = {key: [] for key in ("W", "C", *wanted)}
        seconds: dict[str, float] = dict.fromkeys(wanted, 0.0)
        for seed in range(1, SEEDS + 1):
            taught = teacher.produce(Bundle(folder), assignment(seed, "teacher"))
            np.save(folder / "weak.npy", taught["train"].astype(np.float32))
            found["W"].append(accuracy(taught["test"], truth))
            found["C"].append(accuracy(ceiling.produce(Bundle(folder), assignment(seed, "ceiling"))["test"], truth))
            for method in wanted:
                begun = time.monotonic()
                module = plugins.load(methods, method, "method")
                lab = Lab(Bundle(folder), seed=seed + 100, config=module.DEFAULTS, scratch=Path(place), seconds=600)
                found[method].append(accuracy(module.train(lab), truth))
                seconds[method] = max(seconds[method], time.monotonic() - begun)
        sizes = "/".join(str(n) for n in (task.params.n_labelled, task.params.n_train, task.params.n_test))
        return {"rows": sizes, "found": found, "embed": embedded, "seconds": seconds}


def pgr(found: Mapping[str, list[float]], method: str) -> tuple[float, float]:
    """PGR against mean W and C, and its standard error over seeds."""
    w, c = np.mean(found["W"]), np.mean(found["C"])
    each = (np.array(found[method]) - w) / (c - w)
    return float(each.mean()), float(each.std(ddof=1) / len(each) ** 0.5)


def main() -> None:
    """Print two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", default=tasks.names())
    parser.add_argument("--params", type=json.loads, default={})
    parser.add_argument("--methods", default=",".join(plugins.names(methods)))
    given = parser.parse_args()
    wanted = given.methods.split(",")
    seed_everything(0, 2)
    results = {}
    for name in given.tasks or tasks.names():
        results[name] = measure(name, given.params, wanted)
    print("| task | rows (labelled/train/test) | W | C | embedding, s |\n|---|---|---|---|---|")
    for name, result in results.items():
        found: dict[str, list[float]] = result["found"]  # type: ignore[assignment]
        w, c = (
            f"{np.mean(found[key]):.3f} ± {np.std(found[key], ddof=1) / len(found[key]) ** 0.5:.3f}" for key in "WC"
        )
        print(f"| {name} | {result['rows']} | {w} | {c} | {result['embed']:.0f} |")
    print(f"\n| PGR at default settings | {' | '.join(results)} | slowest, s |\n|---|{'---|' * (len(results) + 1)}")
    for method in wanted:
        cells = ["{:+.2f} ± {:.2f}".format(*pgr(result["found"], method)) for result in results.values()]  # type: ignore[arg-type]
        slowest = max(result["seconds"][method] for result in results.values())  # type: ignore[index]
        print(f"| {method} | {' | '.join(cells)} | {slowest:.1f} |")


if __name__ == "__main__":
    main()
