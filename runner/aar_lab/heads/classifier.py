"""Sequence classification: the whole encoder is fine-tuned, question and choice as a text pair."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager
from typing import Any

from aar_api.files import BundleInfo, ModelRef
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from aar_lab import devices, models
from aar_lab.heads.tokens import RowsOf, Tokens


class ClassifierHead:
    """`AutoModelForSequenceClassification` with two labels; dropout as the checkpoint has it."""

    def __init__(self, ref: ModelRef, info: BundleInfo, rows: RowsOf) -> None:
        self.device = devices.best()
        self._ref = ref
        self._tokenizer = models.tokenizer(ref)
        self._single = info.pairing == "single"
        self._max_tokens = info.max_tokens
        self._tokens = Tokens(rows, self._tokenise, self._tokenizer, self.device)
        self._pretrained: Any = None

    def fresh(self) -> nn.Module:
        """The pretrained encoder, loaded once, under a newly drawn output layer."""
        if self._pretrained is None:
            self._pretrained = models.load(AutoModelForSequenceClassification, self._ref, num_labels=2)
        model = copy.deepcopy(self._pretrained)
        output = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == 2][
            -1
        ]
        nn.init.normal_(output.weight, std=getattr(model.config, "initializer_range", 0.02))
        if output.bias is not None:
            nn.init.zeros_(output.bias)
        on_device: nn.Module = model.to(self.device)
        return on_device

    def inputs(self, split: str, rows: Tensor) -> Any:
        """Token ids and mask."""
        return self._tokens.batch(split, rows)

    def logits(self, model: nn.Module, inputs: Any) -> Tensor:
        """The two labels' logits."""
        logits: Tensor = model(**inputs).logits
        return logits

    def size(self, split: str) -> int:
        """Rows of a split."""
        return self._tokens.size(split)

    def order(self, split: str) -> Tensor:
        """Longest first."""
        return self._tokens.by_length(split)

    def precision(self) -> AbstractContextManager[Any]:
        """bfloat16 on a GPU."""
        return devices.training_precision(self.device)

    def _tokenise(self, questions: list[str], choices: list[str]) -> list[list[int]]:
        texts = (choices,) if self._single else (questions, choices)
        ids: list[list[int]] = self._tokenizer(*texts, truncation=True, max_length=self._max_tokens)["input_ids"]
        return ids
