"""Ordinary supervised training, shared by the teacher and the ceiling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from aar_api.files import Assignment

from aar_lab import heads, losses
from aar_lab.bundle import Bundle
from aar_lab.heads import base
from aar_lab.lab import SMOKE_STEPS
from aar_lab.outputs import Array


def train_on(
    bundle: Bundle,
    encoder: Literal["strong", "weak"],
    split: str,
    truth: Array,
    rows: npt.NDArray[np.int64],
    assignment: Assignment,
    wanted: Iterable[str],
) -> dict[str, Array]:
    """Fit the task's head with the task's optimiser on true labels of some rows; P(True) of the splits wanted."""
    head = heads.build(bundle, encoder)
    label = torch.from_numpy(truth.astype("float32"))
    lesson = base.Lesson(split, torch.stack([1 - label, label], dim=1), torch.ones(len(label)), torch.from_numpy(rows))
    model = base.fit(
        head,
        lesson,
        losses.cross_entropy,
        bundle.info.optimiser,
        seed=assignment.seed,
        max_steps=SMOKE_STEPS if assignment.smoke else None,
    )
    return {name: base.predict(head, model, name).numpy() for name in wanted}
