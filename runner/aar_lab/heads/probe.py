"""Linear probe on embeddings of a frozen encoder: [|u - v|, u * v] for a pair, [u] for a single text.

Runs on the CPU even beside a GPU: a step on 32 rows is shorter than the launch of its kernels.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from aar_lab.bundle import Features


class ProbeHead:
    """Logistic regression; standardised by the unlabelled training rows, so that one learning rate fits every encoder."""

    def __init__(self, features: Features, pairing: str) -> None:
        self.device = torch.device("cpu")
        splits = sorted({name.rsplit("_", 1)[0] for name in features})
        raw = {split: combine(features[f"{split}_question"], features[f"{split}_choice"], pairing) for split in splits}
        mean, spread = raw["train"].mean(0), raw["train"].std(0).clamp_min(1e-6)
        self._inputs = {split: (values - mean) / spread for split, values in raw.items()}
        self._width = self._inputs["train"].shape[1]

    def fresh(self) -> nn.Module:
        """A linear layer."""
        return nn.Linear(self._width, 2)

    def inputs(self, split: str, rows: Tensor) -> Tensor:
        """Standardised features."""
        return self._inputs[split][rows]

    def logits(self, model: nn.Module, inputs: Any) -> Tensor:
        """One matrix product."""
        logits: Tensor = model(inputs)
        return logits

    def size(self, split: str) -> int:
        """Rows of a split."""
        return len(self._inputs[split])

    def order(self, split: str) -> Tensor:
        """As they stand."""
        return torch.arange(self.size(split))

    def precision(self) -> AbstractContextManager[Any]:
        """Full precision."""
        return nullcontext()


def combine(question: Any, choice: Any, pairing: str) -> Tensor:
    """What a probe sees of the two embeddings."""
    v = torch.from_numpy(choice).float()
    if pairing == "single":
        return v
    u = torch.from_numpy(question).float()
    return torch.cat([(u - v).abs(), u * v], dim=1)
