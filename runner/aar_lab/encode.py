"""Embeddings of a frozen encoder: mean over tokens, then length one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
from aar_api.files import ModelRef

BATCH_TEXTS = 32
"""Texts at a time, of like length: larger batches gain nothing on two cores."""

BATCH_TEXTS_CUDA = 512

Encode = Callable[[Iterable[str]], npt.NDArray[np.float16]]


def encoder(ref: ModelRef, max_tokens: int) -> Encode:
    """A function from texts to float16 rows; each distinct text is embedded once."""
    import torch
    from transformers import AutoModel

    from aar_lab import devices, models

    device = devices.best()
    tokenize = models.tokenizer(ref)
    model = models.load(AutoModel, ref).to(device).eval()
    size = BATCH_TEXTS_CUDA if device.type == "cuda" else BATCH_TEXTS

    @torch.no_grad()
    def embed(texts: list[str]) -> npt.NDArray[np.float16]:
        ids = tokenize(texts, truncation=True, max_length=max_tokens)["input_ids"]
        by_length = sorted(range(len(texts)), key=lambda i: -len(ids[i]))
        found = np.empty((len(texts), model.config.hidden_size), dtype=np.float16)
        for at in range(0, len(texts), size):
            rows = by_length[at : at + size]
            batch = tokenize.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt").to(device)
            with devices.inference_precision(device):
                hidden = model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"].unsqueeze(-1).float()
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp_min(1)
            found[rows] = torch.nn.functional.normalize(mean, dim=1).half().cpu().numpy()
        return found

    def encode(texts: Iterable[str]) -> npt.NDArray[np.float16]:
        wanted = list(texts)
        distinct = {text: place for place, text in enumerate(dict.fromkeys(wanted))}
        return embed(list(distinct))[[distinct[text] for text in wanted]]

    return encode
