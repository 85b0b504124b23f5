"""What was said, whole: request and answer of a call in one compressed blob, listed in `llm_calls`."""

from __future__ import annotations

import zlib

import sqlalchemy as sa
from aar_api import money
from aar_api.wire import LlmCall, LlmRecord

from aar_hub.errors import NotFound
from aar_hub.hub import Hub
from aar_hub.store import tables

LEVEL = 1
"""Of zlib: prompts shrink to a quarter, at 100 MB a second."""
LENGTH_BYTES = 8
PAGE = 200
"""Calls in one answer; ask again with the last number for more."""


def keep(hub: Hub, request: bytes, answer: bytes) -> str:
    """Store both; the address of the blob."""
    packed = zlib.compress(len(request).to_bytes(LENGTH_BYTES, "big") + request + answer, LEVEL)
    return hub.blobs.put(packed)


def unpack(blob: bytes) -> tuple[bytes, bytes]:
    """(request, answer), byte for byte."""
    data = zlib.decompress(blob)
    end = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "big")
    return data[LENGTH_BYTES:end], data[end:]


def calls(hub: Hub, since: int, researcher: str | None) -> list[LlmCall]:
    """Calls after a number, oldest first."""
    table = tables.llm_calls
    query = sa.select(table).where(table.c.seq > since).order_by(table.c.seq).limit(PAGE)
    if researcher is not None:
        query = query.where(table.c.researcher == researcher)
    with hub.db.read() as tx:
        return [_call(row) for row in tx.execute(query).mappings()]


def whole(hub: Hub, number: int) -> LlmRecord:
    """A call with all that was said.

    Raises:
        NotFound: no call has that number.
    """
    table = tables.llm_calls
    with hub.db.read() as tx:
        row = tx.execute(sa.select(table).where(table.c.seq == number)).mappings().first()
    if row is None:
        raise NotFound("NotFound", f"No LLM call has the number {number}: GET /v1/operator/llm/calls lists them.")
    request, answer = unpack(hub.blobs.get(row["record"])) if row["record"] else (b"", b"")
    return LlmRecord(call=_call(row), request=_text(request), answer=_text(answer))


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _call(row: sa.RowMapping) -> LlmCall:
    same = ("researcher", "kind", "model", "started", "ended", "outcome", "status")
    tokens = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
    return LlmCall(
        number=row["seq"],
        **{name: row[name] for name in same},
        tokens={name: row[name] for name in tokens},
        cost_usd=money.format_usd(row["cost"]),
        kept=row["record"] is not None,
    )
