"""Calls with what was said in them, for people."""

from __future__ import annotations

import sqlalchemy as sa
from aar_api import money
from aar_api.wire import LlmCall, LlmRecord

from aar_hub.errors import NotFound
from aar_hub.gateway import kept
from aar_hub.hub import Hub
from aar_hub.store import tables

TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
"""Kinds of tokens, as the table and LlmCall name them."""
PAGE = 200
"""Calls in one answer; ask again with the last number for more."""


def calls(hub: Hub, since: int, researcher: str | None) -> list[LlmCall]:
    """Calls after a number, oldest first."""
    table = tables.llm_calls
    query = sa.select(table).where(table.c.seq > since).order_by(table.c.seq).limit(PAGE)
    if researcher is not None:
        query = query.where(table.c.researcher == researcher)
    with hub.db.read() as tx:
        return [call(row) for row in tx.execute(query).mappings()]


def whole(hub: Hub, number: int) -> LlmRecord:
    """A call with all that was said.

    Raises:
        NotFound: no call has that number.
    """
    with hub.db.read() as tx:
        row = find(tx, number)
    if row is None:
        raise NotFound("NotFound", f"No LLM call has the number {number}: GET /v1/operator/llm/calls lists them.")
    request, answer = said(hub, row)
    return LlmRecord(call=call(row), request=request, answer=answer)


def find(tx: sa.Connection, number: int) -> sa.RowMapping | None:
    """The row of a call."""
    table = tables.llm_calls
    return tx.execute(sa.select(table).where(table.c.seq == number)).mappings().first()


def said(hub: Hub, row: sa.RowMapping) -> tuple[str, str]:
    """(request, answer) of a call as text; both empty while it is under way."""
    request, answer = kept.read(hub.blobs, row["record"]) if row["record"] else (b"", b"")
    hide = hub.key.secrets().hide_text
    return hide(request.decode(errors="replace")), hide(answer.decode(errors="replace"))


def call(row: sa.RowMapping) -> LlmCall:
    """A row as it is told."""
    same = ("researcher", "kind", "model", "started", "ended", "outcome", "status")
    return LlmCall(
        number=row["seq"],
        **{name: row[name] for name in same},
        tokens={name: row[name] for name in TOKENS},
        cost_usd=money.format_usd(row["cost"]),
        kept=row["record"] is not None,
    )
