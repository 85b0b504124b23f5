"""Rows as token ids, once a split, and padded batches of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import datasets
import torch
from aar_api.files import Row
from torch import Tensor

RowsOf = Callable[[str], Sequence[Row]]
Tokenise = Callable[[list[str], list[str]], list[list[int]]]
"""Questions and choices to token ids."""


class Tokens:
    """Tokenised splits, made when first asked for; padding is to the longest row of a batch."""

    def __init__(self, rows: RowsOf, tokenise: Tokenise, tokenizer: Any, device: torch.device) -> None:
        datasets.disable_progress_bars()
        self._rows = rows
        self._tokenise = tokenise
        self._tokenizer = tokenizer
        self._device = device
        self._splits: dict[str, Any] = {}

    def batch(self, split: str, rows: Tensor) -> Any:
        """input_ids and attention_mask (and what else the tokenizer pads) on the device."""
        ids = self._split(split)[rows.tolist()]["input_ids"]
        return self._tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self._device)

    def size(self, split: str) -> int:
        """Rows of a split."""
        return len(self._split(split))

    def by_length(self, split: str) -> Tensor:
        """Rows from the longest to the shortest, so that little of a batch is padding."""
        return torch.tensor(self._split(split)["length"]).argsort(descending=True, stable=True)

    def _split(self, split: str) -> Any:
        if split not in self._splits:
            rows = self._rows(split)
            texts = {"question": [row.question for row in rows], "choice": [row.choice for row in rows]}
            self._splits[split] = datasets.Dataset.from_dict(texts).map(
                self._encode, batched=True, remove_columns=list(texts), keep_in_memory=True
            )
        return self._splits[split]

    def _encode(self, batch: dict[str, list[str]]) -> dict[str, list[Any]]:
        ids = self._tokenise(batch["question"], batch["choice"])
        return {"input_ids": ids, "length": [len(row) for row in ids]}
