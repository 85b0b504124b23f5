"""Sequence classification: the whole encoder is fine-tuned, question and choice as a text pair.

The output layer reads the mean of the token states, as the probe's embeddings do. transformers' own classification classes read
the first token, which says nothing of the text in an encoder cut to its first layers: its state differs between texts by 0.001 of
a norm of 8 in MiniLM with one layer, and such a teacher stays at chance.
"""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager
from typing import Any

from aar_api.files import BundleInfo, ModelRef
from torch import Tensor, nn
from transformers import AutoModel

from aar_lab import devices, models
from aar_lab.heads.tokens import Columns, RowsOf, Tokens


class Judge(nn.Module):
    """Encoder, mean over tokens, linear layer; dropout as the checkpoint has it."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(getattr(encoder.config, "hidden_dropout_prob", 0.0))
        self.output = nn.Linear(encoder.config.hidden_size, 2)
        nn.init.normal_(self.output.weight, std=getattr(encoder.config, "initializer_range", 0.02))
        nn.init.zeros_(self.output.bias)

    def forward(self, inputs: Any) -> Tensor:
        """(B, 2) logits."""
        states = self.encoder(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1).clamp_min(1)
        logits: Tensor = self.output(self.dropout(mean))
        return logits


class ClassifierHead:
    """A `Judge` on the pretrained encoder."""

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
            self._pretrained = models.load(AutoModel, self._ref)
        return Judge(copy.deepcopy(self._pretrained)).to(self.device)

    def inputs(self, split: str, rows: Tensor) -> Any:
        """Token ids, mask and what else the tokenizer makes."""
        return self._tokens.batch(split, rows)

    def logits(self, model: nn.Module, inputs: Any) -> Tensor:
        """The two labels' logits."""
        logits: Tensor = model(inputs)
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

    def _tokenise(self, questions: list[str], choices: list[str]) -> Columns:
        texts = (choices,) if self._single else (questions, choices)
        return dict(self._tokenizer(*texts, truncation=True, max_length=self._max_tokens))
