"""A small labelled bundle of film reviews for each head, with real labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from aar_api.files import BundleInfo, ModelRef, Optimiser, Row
from aar_hub import tasks
from aar_lab.baselines import features
from aar_lab.bundle import Bundle
from lab import tinylm, world

SIZES = {"probe": (100, 600, 300), "classifier": (40, 320, 200), "causal-lm": (40, 320, 60)}
"""Labelled, training and test rows: as few as the head needs to learn something."""

OPTIMISERS = {
    "probe": Optimiser(epochs=5, learning_rate=1e-3, weight_decay=0.05, batch_size=32),
    "classifier": Optimiser(epochs=3, learning_rate=3e-4, weight_decay=0.01, batch_size=32),
    "causal-lm": Optimiser(epochs=6, learning_rate=3e-3, weight_decay=0.0, batch_size=32),
}
MINILM = {"strong": ModelRef(source=world.MINILM, layers=1), "weak": ModelRef(source=world.MINILM, layers=0)}


@dataclass(frozen=True)
class Slice:
    """A bundle's folder and the truth of its training and test rows."""

    folder: Path
    truth: dict[str, Any]


def make(place: Path, head: str) -> Slice:
    """Lay the bundle of a head below a folder; the causal model learns its tokens from the training rows."""
    n_labelled, n_train, n_test = SIZES[head]
    built = tasks.resolve("reviews", {"nLabelled": n_labelled, "nTrain": n_train, "nTest": n_test}).build()
    refs = MINILM
    if head == "causal-lm":
        texts = [item.choice for item in built.train]
        refs = {
            name: ModelRef(source=str(tinylm.save(place / name, architecture, texts=texts)))
            for name, architecture in (("strong", "qwen3"), ("weak", "llama"))
        }
    if head == "probe":
        refs = {"strong": ModelRef(source=world.MINILM, layers=3), "weak": MINILM["strong"]}
    info = BundleInfo(
        task="reviews", digest="sha256:" + "0" * 64, pairing="single", head=head, **refs,
        optimiser=OPTIMISERS[head], max_tokens=32, n_train=n_train, n_test=n_test,
    )  # fmt: skip
    folder = place / "bundle"
    (folder / "sealed").mkdir(parents=True)
    (folder / "bundle.json").write_text(info.model_dump_json(by_alias=True))
    truth = {}
    for split, items in zip(built._fields, built, strict=True):
        truth[split] = np.array([item.label for item in items])
        sealed = split == "labelled"
        path = folder / "sealed" / "labelled.jsonl" if sealed else folder / f"{split}.jsonl"
        rows = [
            Row(id=f"{split}-{i}", question=item.question, choice=item.choice, label=item.label if sealed else None)
            for i, item in enumerate(items)
        ]
        path.write_text("".join(row.model_dump_json(exclude_none=True) + "\n" for row in rows))
    np.save(folder / "sealed" / "train_labels.npy", truth["train"])
    if head == "probe":
        world.add_features(folder, features.produce(Bundle(folder), world.assignment(role="features")))
    return Slice(folder, truth)
