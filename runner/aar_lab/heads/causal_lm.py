"""Label as text: a causal language model continues "Question: .. Answer: .. Label:" with " True" or " False".

LoRA of rank 32, alpha 32, rank-stabilised, on every linear layer, as in the published recipe (facts of the reference system:
"common classifier"); only the two label tokens take part in the softmax, so the loss is over the label alone.
"""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager
from typing import Any

import peft
import torch
from aar_api.files import BundleInfo, ModelRef
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from aar_lab import devices, models
from aar_lab.errors import ModelNotFound
from aar_lab.heads.tokens import Columns, RowsOf, Tokens

LABEL_WORDS = (" False", " True")
LORA_RANK = 32


class CausalLMHead:
    """Next-token logits of the two label words under a LoRA adapter."""

    def __init__(self, ref: ModelRef, info: BundleInfo, rows: RowsOf) -> None:
        self.device = devices.best()
        self._ref = ref
        self._single = info.pairing == "single"
        self._max_tokens = info.max_tokens
        self._tokenizer = models.tokenizer(ref)
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._tokenizer.padding_side = "left"  # so that the last position is the label's in every row
        self._suffix = self._plain("\nLabel:")
        self._labels = torch.tensor([self._plain(word)[0] for word in LABEL_WORDS])
        if self._labels[0] == self._labels[1]:
            raise ModelNotFound(
                f"The tokenizer of {ref.source!r} begins{LABEL_WORDS} with one token; it cannot tell them apart."
            )
        self._tokens = Tokens(rows, self._tokenise, self._tokenizer, self.device)
        self._pretrained: Any = None

    def fresh(self) -> nn.Module:
        """The pretrained model, loaded once, under a newly drawn adapter."""
        if self._pretrained is None:
            self._pretrained = models.load(AutoModelForCausalLM, self._ref)
        adapter = peft.LoraConfig(
            r=LORA_RANK,
            lora_alpha=LORA_RANK,
            lora_dropout=0.0,
            use_rslora=True,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        model: nn.Module = peft.get_peft_model(copy.deepcopy(self._pretrained), adapter).to(self.device)
        return model

    def inputs(self, split: str, rows: Tensor) -> Any:
        """Token ids and mask, padded on the left."""
        return self._tokens.batch(split, rows)

    def logits(self, model: nn.Module, inputs: Any) -> Tensor:
        """Logits of " False" and " True" after the last token; positions before it are not projected on the vocabulary."""
        mask = inputs["attention_mask"]
        positions = (mask.cumsum(-1) - 1).clamp_min(0)
        out = model(
            input_ids=inputs["input_ids"],
            attention_mask=mask,
            position_ids=positions,
            logits_to_keep=1,
            use_cache=False,
        )
        logits: Tensor = out.logits[:, -1, self._labels.to(out.logits.device)]
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
        """The body is cut at its end so that the label's cue always fits."""
        texts = [self._text(question, choice) for question, choice in zip(questions, choices, strict=True)]
        bodies = self._tokenizer(texts, truncation=True, max_length=self._max_tokens - len(self._suffix))["input_ids"]
        ends = {self._tokenizer.eos_token_id, self._tokenizer.sep_token_id} - {None}
        return {"input_ids": [(body[:-1] if body and body[-1] in ends else body) + self._suffix for body in bodies]}

    def _text(self, question: str, choice: str) -> str:
        return f"Text: {choice}" if self._single else f"Question: {question}\nAnswer: {choice}"

    def _plain(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids
