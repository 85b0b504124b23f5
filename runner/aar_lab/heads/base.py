"""What a head offers, and the one training loop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from aar_api.files import Optimiser
from torch import Tensor, nn

from aar_lab.heads.adamw import AdamW
from aar_lab.losses import Loss

PREDICT_ROWS = 64
"""Rows predicted at a time; enough to fill the cores, small enough for long texts."""


class Head(Protocol):
    """Makes models and turns rows into two logits."""

    device: torch.device

    def fresh(self) -> nn.Module:
        """A model that has learned nothing of the task; drawn from torch's generator."""

    def inputs(self, split: str, rows: Tensor) -> Any:
        """A batch on the device."""

    def logits(self, model: nn.Module, inputs: Any) -> Tensor:
        """(B, 2), False then True."""

    def size(self, split: str) -> int:
        """Rows of a split."""

    def order(self, split: str) -> Tensor:
        """All rows of a split, in the order that is cheapest to predict them in."""

    def precision(self) -> AbstractContextManager[Any]:
        """The autocast context of this head."""


@dataclass(frozen=True)
class Lesson:
    """What to learn: targets (n, 2) and weight (n,) by row of the split, and the rows to visit each epoch."""

    split: str
    targets: Tensor
    weight: Tensor
    rows: Tensor


Progress = Callable[[int, int], None]


def fit(
    head: Head,
    lesson: Lesson,
    loss: Loss,
    optimiser: Optimiser,
    *,
    seed: int,
    start: nn.Module | None = None,
    max_steps: int | None = None,
    watch: Progress | None = None,
) -> nn.Module:
    """Train a fresh model, or a copy of `start`, by AdamW with linear decay; gradients are clipped at norm 1 for whole models."""
    torch.manual_seed(seed)
    model = head.fresh() if start is None else copy.deepcopy(start)
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    adam = AdamW(trained, optimiser.weight_decay)
    total = optimiser.epochs * -(-len(lesson.rows) // optimiser.batch_size)
    steps = total if max_steps is None else min(total, max_steps)
    targets, weight = lesson.targets.to(head.device), lesson.weight.to(head.device)
    for step, rows in enumerate(_batches(lesson.rows, optimiser, seed)):
        if step == steps:
            break
        with head.precision():
            logits = head.logits(model, head.inputs(lesson.split, rows))
        losses = loss(logits.float(), targets[rows], step / steps)
        adam.forget_gradients()
        (losses * weight[rows]).mean().backward()  # type: ignore[no-untyped-call]
        if len(trained) > 2:  # a linear probe has two tensors, and no gradient that explodes
            nn.utils.clip_grad_norm_(trained, 1.0)
        adam.step(optimiser.learning_rate * (1 - step / steps))
        if watch is not None:
            watch(step + 1, steps)
    return model


@torch.no_grad()
def predict(head: Head, model: nn.Module, split: str) -> Tensor:
    """P(True) of each row of a split, in order, as float32 on the CPU."""
    model.eval()
    found = torch.empty(head.size(split))
    for rows in torch.split(head.order(split), PREDICT_ROWS):
        with head.precision():
            logits = head.logits(model, head.inputs(split, rows))
        found[rows] = logits.float().softmax(-1)[:, 1].cpu()
    return found


def _batches(rows: Tensor, optimiser: Optimiser, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(optimiser.epochs):
        order = rows[torch.randperm(len(rows), generator=generator)]
        yield from torch.split(order, optimiser.batch_size)
