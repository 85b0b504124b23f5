"""What a method is given. `def train(lab: Lab) -> Predictions` is the whole contract."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from aar_api.base import Scalar
from aar_api.files import BundleInfo, Row

from aar_lab import heads, losses, text
from aar_lab.bundle import Bundle

if TYPE_CHECKING:
    from aar_lab.heads.base import Head
    from aar_lab.losses import Loss

Split = Literal["train", "test"]
Float32 = npt.NDArray[np.float32]
Predictions = npt.ArrayLike
"""P(True) of each test row, in the order of `lab.test`: (n_test,) numbers in [0, 1]."""

SMOKE_STEPS = 20
"""Steps of each fine-tuning in a smoke run: enough to crash, too few to learn."""


class Lab:
    """The bench of one method: rows, weak labels, fine-tuning and prediction with the strong model.

    The optimiser's settings belong to the task: a method chooses what to learn from, not how fast.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        seed: int,
        config: Mapping[str, Scalar],
        scratch: Path,
        seconds: float,
        smoke: bool = False,
    ) -> None:
        self.config: Mapping[str, Any] = dict(config)
        self.seed = seed
        self.scratch = scratch
        self.rng = np.random.default_rng(seed)
        self._bundle = bundle
        self._ends = time.monotonic() + seconds
        self._max_steps = SMOKE_STEPS if smoke else None
        self._fits = 0
        self._head: Head | None = None
        self._embedded: dict[str, tuple[Float32, Float32]] = {}

    @property
    def info(self) -> BundleInfo:
        """Task, pairing, models, optimiser, sizes."""
        return self._bundle.info

    @property
    def train(self) -> tuple[Row, ...]:
        """Training rows without labels."""
        return self._bundle.train

    @property
    def test(self) -> tuple[Row, ...]:
        """Test rows without labels; the ones that decide are others, of the same kind."""
        return self._bundle.test

    @property
    def weak(self) -> Float32:
        """The weak teacher's P(True) of each training row; a copy."""
        return self._bundle.weak.copy()

    def finetune(
        self,
        targets: npt.ArrayLike,
        *,
        loss: Loss | None = None,
        weight: npt.ArrayLike | None = None,
        indices: npt.ArrayLike | None = None,
        start: Any = None,
    ) -> Any:
        """Train the strong model on the training rows and return it, for `predict` or as a later `start`.

        Args:
            targets: (n_train,) P(True) to learn, or 0 and 1; rows outside `indices` are not looked at.
            loss: (logits (B, 2), target_probs (B, 2), progress in [0, 1]) -> (B,); cross-entropy if absent.
            weight: (n_train,) importance of each row; only ratios matter.
            indices: rows to learn from; a row named twice is seen twice an epoch. All if absent.
            start: a model from an earlier call to go on from; the pretrained one if absent.

        Every call draws its own initial head and data order from the lab's seed.
        """
        import torch

        from aar_lab.heads import base

        n = self.info.n_train
        rows = np.arange(n) if indices is None else _rows(indices, n)
        p = _column(targets, n, "targets")
        w = np.ones(n, np.float32) if weight is None else _column(weight, n, "weight")
        _check_lesson(p[rows], w[rows])
        both = torch.from_numpy(np.stack([1 - p, p], axis=1))
        lesson = base.Lesson("train", both, torch.from_numpy(w / w[rows].mean()), torch.from_numpy(rows))
        self._fits += 1
        return base.fit(
            self._strong(),
            lesson,
            loss or losses.cross_entropy,
            self.info.optimiser,
            seed=(self.seed + 7919 * self._fits) % 2**31,
            start=start,
            max_steps=self._max_steps,
            watch=self._watch if self.info.head != "probe" else None,
        )

    def untrained(self) -> Any:
        """The strong model as `finetune` would begin with it; only a causal LM has learned anything that is of use yet."""
        import torch

        self._fits += 1
        torch.manual_seed((self.seed + 7919 * self._fits) % 2**31)
        return self._strong().fresh()

    def predict(self, model: Any, split: Split = "test") -> Float32:
        """P(True) of each row of a split by a model from `finetune`."""
        from aar_lab.heads import base

        found: Float32 = base.predict(self._strong(), model, split).numpy()
        return found

    def embeddings(self, split: Split) -> tuple[Float32, Float32]:
        """(question, choice) embeddings of the frozen strong encoder, each row of length one."""
        if split not in self._embedded:
            self._embedded[split] = self._embed(split)
        return self._embedded[split]

    def inputs(self, split: Split) -> Float32:
        """What a linear probe would see: [|u - v|, u * v] for a pair, [v] for a single text, standardised by the training rows."""
        seen = {name: self._combined(name) for name in ("train", split)}
        mean, spread = seen["train"].mean(0), seen["train"].std(0) + 1e-6
        standardised: Float32 = (seen[split] - mean) / spread
        return standardised

    def similarity(self, split: Split) -> Float32:
        """Cosine of question and choice, label-free: how well a frozen encoder thinks they belong together."""
        question, choice = self.embeddings(split)
        cosine: Float32 = (question * choice).sum(1)
        return cosine

    def overlap(self, split: Split) -> Float32:
        """Share of a choice's words that its question has too, rare words counting more; label-free."""
        rows = self.train if split == "train" else self.test
        return text.overlap([(row.question, row.choice) for row in rows])

    def time_left(self) -> float:
        """Seconds until the supervisor ends the run."""
        return self._ends - time.monotonic()

    def log(self, message: str) -> None:
        """A line for the log that the author of the method gets to read."""
        sys.stderr.write(f"{message}\n")

    def _strong(self) -> Head:
        if self._head is None:
            self._head = heads.build(self._bundle, "strong")
        return self._head

    def _watch(self, step: int, steps: int) -> None:
        if step == steps or step % max(1, steps // 10) == 0:
            self.log(f"fit {self._fits}: step {step} of {steps}, {self.time_left():.0f} s left")

    def _combined(self, split: Split) -> Float32:
        question, choice = self.embeddings(split)
        if self.info.pairing == "single":
            return choice
        return np.concatenate([np.abs(question - choice), question * choice], axis=1)

    def _embed(self, split: Split) -> tuple[Float32, Float32]:
        if self.info.head == "probe":
            found = self._bundle.strong_features
            question, choice = found[f"{split}_question"], found[f"{split}_choice"]
        else:
            from aar_lab.encode import encoder

            encode = encoder(self.info.strong, self.info.max_tokens)
            rows = self._bundle.rows(split)
            question, choice = encode(row.question for row in rows), encode(row.choice for row in rows)
        return question.astype(np.float32), choice.astype(np.float32)


def _column(values: npt.ArrayLike, n: int, what: str) -> Float32:
    array = np.asarray(values, dtype=np.float32)
    if array.shape != (n,):
        raise ValueError(f"{what} has shape {array.shape}, but one number a training row is wanted: ({n},).")
    return array


def _rows(indices: npt.ArrayLike, n: int) -> npt.NDArray[np.int64]:
    array = np.asarray(indices)
    if array.dtype == bool and array.shape == (n,):
        array = np.flatnonzero(array)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= n:
        raise ValueError(
            f"indices must name at least one training row between 0 and {n - 1}; got {array.size} of {array.dtype}."
        )
    return array.astype(np.int64)


def _check_lesson(targets: Float32, weight: Float32) -> None:
    if not ((targets >= 0) & (targets <= 1)).all():
        raise ValueError(
            f"targets must be probabilities in [0, 1]; they range from {targets.min():g} to {targets.max():g}."
        )
    if not ((weight >= 0) & np.isfinite(weight)).all() or weight.sum() <= 0:
        raise ValueError("weight must be finite, not negative, and positive on at least one row.")
