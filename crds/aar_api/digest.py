"""Content addresses: one canonical JSON and one hash for everything that is named by its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

DIGEST_PATTERN = r"^sha256:[a-f0-9]{64}$"


def of_bytes(data: bytes) -> str:
    """`sha256:<hex>` of raw bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def canonical_json(value: object) -> bytes:
    """JSON with sorted keys, no spaces, no NaN: the same value always gives the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def of_json(value: object) -> str:
    """Digest of a JSON value by its canonical form."""
    return of_bytes(canonical_json(value))


def of_files(files: Mapping[str, str]) -> str:
    """Digest of a snapshot: its files by relative path, as text."""
    return of_json(dict(files))
