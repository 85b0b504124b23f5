"""Rows as token ids, once a split, and padded batches of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import datasets
import torch
from aar_api.files import Row
from torch import Tensor

RowsOf = Callable[[str], Sequence[Row]]
Columns = dict[str, list[list[int]]]
Tokenise = Callable[[list[str], list[str]], Columns]
"""Questions and choices to `input_ids` and what else the model reads by token, such as which of two texts it is of."""

LENGTH = "length"


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
        """input_ids, attention_mask and the other columns on the device."""
        columns = self._split(split)[rows.tolist()]
        del columns[LENGTH]
        return self._tokenizer.pad(columns, return_tensors="pt").to(self._device)

    def size(self, split: str) -> int:
        """Rows of a split."""
        return len(self._split(split))

    def by_length(self, split: str) -> Tensor:
        """Rows from the longest to the shortest, so that little of a batch is padding."""
        return torch.tensor(self._split(split)[LENGTH]).argsort(descending=True, stable=True)

    def _split(self, split: str) -> Any:
        if split not in self._splits:
            rows = self._rows(split)
            texts = {"question": [row.question for row in rows], "choice": [row.choice for row in rows]}
            self._splits[split] = datasets.Dataset.from_dict(texts).map(
                # A name of its own: one made by hashing would pickle the tokenizer and every row of the bundle.
                self._encode,
                batched=True,
                remove_columns=list(texts),
                keep_in_memory=True,
                new_fingerprint=split,
            )
        return self._splits[split]

    def _encode(self, batch: dict[str, list[str]]) -> dict[str, list[Any]]:
        columns = self._tokenise(batch["question"], batch["choice"])
        return {**columns, LENGTH: [len(row) for row in columns["input_ids"]]}
