"""The lab beside bare torch: `python benchmarks/lab.py [--repeats N]` prints ratios, each of two things measured in turn in one run.

Probe: fetch, supervise and post as processes against a small HTTP hub, beside one process that reads the same files and fits the
same probe with torch. Classifier: examples a second of the lab's training loop beside a plain loop. One thread everywhere.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT / "tests")  # in place of this folder, where this file would hide the package `lab`

from aar_api.files import ModelRef, Optimiser  # noqa: E402
from lab import world  # noqa: E402

ROWS, BATCH = 1300, 32
FIT_ROWS = 96
FIRST_ROWS = 200
"""Of each split where texts are embedded: seconds there grow with the rows alone."""
STEPS = ("fetch", "supervise", "post")
BARE_PROBE = """
import json, sys, numpy as np, torch
torch.set_num_threads(1)
folder = sys.argv[1]
rows = [json.loads(line) for split in ("train", "test") for line in open(f"{folder}/{split}.jsonl")]
found, weak = np.load(f"{folder}/features.npz"), torch.from_numpy(np.load(f"{folder}/weak.npy"))
def see(split):
    u, v = (torch.from_numpy(found[f"{split}_{field}"]).float() for field in ("question", "choice"))
    return torch.cat([(u - v).abs(), u * v], dim=1)
train, test = see("train"), see("test")
mean, spread = train.mean(0), train.std(0)
train, test = (train - mean) / spread, (test - mean) / spread
hard = (weak >= 0.5).long()
model = torch.nn.Linear(train.shape[1], 2)
adam = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
for epoch in range(5):
    for batch in torch.randperm(len(train)).split(32):
        adam.zero_grad()
        torch.nn.functional.cross_entropy(model(train[batch]), hard[batch]).backward()
        adam.step()
with torch.no_grad():
    np.save(sys.argv[2], model(test).softmax(-1)[:, 1].numpy())
"""
BARE_FEATURES = """
import json, sys, numpy as np, torch
from transformers import AutoModel, AutoTokenizer
torch.set_num_threads(1)
folder, source = sys.argv[1], sys.argv[2]
tokens = AutoTokenizer.from_pretrained(source)
for layers, splits in ((None, ("train", "test")), (1, ("train", "test", "sealed/labelled"))):
    model = AutoModel.from_pretrained(source, **({} if layers is None else {"num_hidden_layers": layers})).eval()
    rows = [json.loads(line) for split in splits for line in open(f"{folder}/{split}.jsonl")]
    texts = sorted({text for row in rows for text in (row["question"], row["choice"])}, key=len)
    with torch.no_grad():
        for at in range(0, len(texts), 32):
            batch = tokens(texts[at : at + 32], truncation=True, max_length=64, padding=True, return_tensors="pt")
            mask = batch["attention_mask"].unsqueeze(-1)
            mean = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
            torch.nn.functional.normalize(mean, dim=1).half().numpy()
"""


def spent(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds, child processes included."""
    before, begun = os.times(), time.monotonic()
    work()
    after = os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    return time.monotonic() - begun, cpu


def probe(repeats: int, folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each step of an experiment with features in the bundle, and of the plain script."""
    info = world.bundle_info(n_train=ROWS, n_test=ROWS, max_tokens=64)
    bundle = folder / "bundle"
    world.write_bundle(bundle, info, labelled=False, n_labelled=0)
    rng = np.random.default_rng(0)
    names = [f"{split}_{field}" for split in ("train", "test") for field in ("question", "choice")]
    np.savez(bundle / "features.npz", **{name: rng.standard_normal((ROWS, 384)).astype(np.float16) for name in names})
    np.save(bundle / "weak.npy", rng.random(ROWS).astype(np.float32))
    hub = world.LabHub(world.assignment(builtin="hard-labels"), world.tarred(bundle, sealed=False))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ("fetch", "supervise", "post", "bare")}
    command = [sys.executable, "-c", BARE_PROBE, str(bundle), str(folder / "bare.npy")]
    for turn in range(repeats):
        pod = world.Pod(folder / f"pod{turn}", hub.url, 300.0)
        for step in STEPS:
            found[step].append(spent(lambda pod=pod, step=step: must(*pod.run(step))))  # type: ignore[misc]
        found["bare"].append(spent(lambda: subprocess.run(command, check=True)))
    hub.close()
    return found


def features(repeats: int, folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Seconds of the Job that comes before a task's first experiment, and of a plain script that embeds the same texts."""
    from aar_lab import models

    info = world.bundle_info(n_train=FIRST_ROWS, n_test=FIRST_ROWS, max_tokens=64)
    bundle = folder / "first"
    world.write_bundle(bundle, info, labelled=True, n_labelled=FIRST_ROWS // 4)
    hub = world.LabHub(world.assignment(role="features"), world.tarred(bundle, sealed=True))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in (*STEPS, "bare")}
    command = [sys.executable, "-c", BARE_FEATURES, str(bundle), models.resolve(info.strong.source)]
    for turn in range(repeats):
        pod = world.Pod(folder / f"first{turn}", hub.url, 300.0)
        for step in STEPS:
            found[step].append(spent(lambda pod=pod, step=step: must(*pod.run(step))))  # type: ignore[misc]
        found["bare"].append(spent(lambda: subprocess.run(command, check=True, stderr=subprocess.DEVNULL)))
    hub.close()
    return found


def must(code: int, errors: str) -> None:
    """End on a step that failed: its seconds would mean nothing."""
    if code:
        raise SystemExit(errors)


def classifier(repeats: int, folder: Path) -> tuple[list[float], list[float]]:
    """CPU seconds of the lab's fit and of a plain loop with the same model, batches by length of the longest row, and optimiser."""
    import copy

    import torch
    from aar_lab import heads, losses
    from aar_lab.bundle import Bundle
    from aar_lab.heads import base

    torch.set_num_threads(1)
    bundle = folder / "classifier"
    changed = {"head": "classifier", "strong": ModelRef(source=world.MINILM), "n_train": FIT_ROWS, "n_test": 20}
    world.write_bundle(bundle, world.bundle_info(**changed), labelled=False, n_labelled=0)
    head = heads.build(Bundle(bundle), "strong")
    optimiser = Optimiser(epochs=1, learning_rate=1e-4, weight_decay=0.01, batch_size=BATCH)
    targets = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(FIT_ROWS // 2, 1)
    lesson = base.Lesson("train", targets, torch.ones(FIT_ROWS), torch.arange(FIT_ROWS))
    start = head.fresh()
    columns = [{k: v for k, v in row.items() if k != "length"} for row in head._tokens._split("train")]  # type: ignore[attr-defined]
    tokenizer = head._tokenizer  # type: ignore[attr-defined]

    def lab() -> None:
        base.fit(head, lesson, losses.cross_entropy, optimiser, seed=1, start=start)

    def bare() -> None:
        model = copy.deepcopy(start).train()
        adam = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
        order = torch.randperm(FIT_ROWS, generator=torch.Generator().manual_seed(1))
        for rows in order.split(BATCH):
            batch = tokenizer.pad([columns[i] for i in rows.tolist()], return_tensors="pt")
            loss = torch.nn.functional.cross_entropy(model(batch), targets[rows])
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()

    bare()  # torch's compiler is imported by the first optimiser of a process; that is no part of a step
    turns = [(spent(lab)[1], spent(bare)[1]) for _ in range(repeats)]
    return [mine for mine, _ in turns], [plain for _, plain in turns]


def main() -> None:
    """Print two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=("probe", "classifier"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if given.only != "classifier":
            print_probe("features, before a task's first experiment", features(given.repeats, Path(place)))
            print_probe("probe experiment, features in the bundle", probe(given.repeats, Path(place)))
        if given.only != "probe":
            print_classifier(*classifier(given.repeats, Path(place)))


def print_probe(what: str, found: dict[str, list[tuple[float, float]]]) -> None:
    """Medians of each step, and of the ratio turn by turn."""
    turns = range(len(found["bare"]))
    found["experiment"] = [(sum(found[s][i][0] for s in STEPS), sum(found[s][i][1] for s in STEPS)) for i in turns]
    print(f"| {what} | wall, s | CPU, s |\n|---|---|---|")
    for name, seconds in found.items():
        wall, cpu = (statistics.median(one[i] for one in seconds) for i in (0, 1))
        print(f"| {name} | {wall:.2f} | {cpu:.2f} |")
    ratio = statistics.median(found["experiment"][i][1] / found["bare"][i][1] for i in turns)
    print(f"\nexperiment / bare, CPU: {ratio:.2f}\n", flush=True)


def print_classifier(mine: list[float], plain: list[float]) -> None:
    """Medians of both, and of the ratio turn by turn."""
    print("| classifier | examples a CPU second |\n|---|---|")
    print(f"| lab | {FIT_ROWS / statistics.median(mine):.1f} |\n| bare | {FIT_ROWS / statistics.median(plain):.1f} |")
    print(f"\nlab / bare: {statistics.median(b / m for m, b in zip(mine, plain, strict=True)):.3f}")


if __name__ == "__main__":
    main()
