"""Seeds: drawn by the hub once it is fixed what they are for, so that nobody can pick them."""

from __future__ import annotations

import hashlib
import hmac

BITS = 31
"""Seeds fit a signed 32-bit integer, which every library takes."""


def draw(key: bytes, purpose: str, count: int) -> tuple[int, ...]:
    """`count` seeds that follow from a key and a purpose; the first n are the same for every count."""
    return tuple(_one(key, f"{purpose}\0{index}") for index in range(count))


def _one(key: bytes, text: str) -> int:
    return int.from_bytes(hmac.new(key, text.encode(), hashlib.sha256).digest()[:4], "big") >> (32 - BITS)
