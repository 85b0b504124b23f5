"""A causal language model of a few thousand weights and its tokenizer, saved as a folder that Auto classes load."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from lab import world
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    # Ten times the usual: logits of a model this narrow would hardly move otherwise.
    "initializer_range": 0.2,
}
ARCHITECTURES = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM)}


def save(folder: Path, architecture: str = "llama", *, texts: Iterable[str] = (), seed: int = 0) -> Path:
    """Random weights; a byte-level BPE of 600 tokens learned from `texts` and the two label words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<end>"], show_progress=False)
    tokenizer.train_from_iterator([*texts, "Question: Answer: Label: True Label: False " * 50], trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    config_class, model_class = ARCHITECTURES[architecture]
    torch.manual_seed(seed)
    config = config_class(vocab_size=len(wrapped), bos_token_id=None, eos_token_id=0, **SIZES)
    model_class(config).save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    rows = world.chat_rows(200)
    save(Path(sys.argv[1]), *sys.argv[2:3], texts=[text for row in rows for text in (row.question, row.choice)])
