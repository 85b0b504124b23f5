"""Where and how precisely to compute."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch


def best() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def inference_precision(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 where the hardware multiplies it: half the time for embeddings, accuracies within .003 of float32."""
    if device.type == "cuda" or _cpu_has_bf16():
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def training_precision(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 on a GPU; on a CPU the casts cost small models more than they gain."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()


def _cpu_has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
