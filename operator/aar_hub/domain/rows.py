"""Order and names of rows: they follow from the texts alone, so neither order nor id can say anything about label or group."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from aar_api import digest

ID_CHARS = 16
"""64 bits: no two of a million rows share an id, except once in 37 million tasks (1e12 / 2 / 2^64)."""


def data_digest(splits: Sequence[Sequence[tuple[str, str]]]) -> str:
    """Digest of all texts (question, choice), whatever order they came in."""
    return digest.of_json([sorted(split) for split in splits])


def shuffled(key: str, split: str, texts: Sequence[tuple[str, str]]) -> list[tuple[int, str]]:
    """(position in the input, opaque id) of each row in its new order."""
    seen: dict[tuple[str, str], int] = {}
    ranked = []
    for position, text in enumerate(texts):
        copy = seen[text] = seen.get(text, -1) + 1
        mark = hmac.new(
            key.encode(), "\0".join((split, str(copy), *text)).encode("utf-8", "surrogatepass"), hashlib.sha256
        ).hexdigest()
        ranked.append((mark, position))
    return [(position, mark[-ID_CHARS:]) for mark, position in sorted(ranked)]
