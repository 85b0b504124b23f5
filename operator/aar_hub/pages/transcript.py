"""What an LLM researcher said of itself, what each of its calls cost, and one call with all that was said."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from aar_api.wire import LlmCall
from starlette.responses import Response

from aar_hub.errors import NotFound
from aar_hub.gateway import record
from aar_hub.pages import researchers
from aar_hub.pages._page import Visit
from aar_hub.pages.unfold import Unfolded, unfold
from aar_hub.records import Campaign
from aar_hub.store import tables
from aar_hub.store.blobs import BlobMissing

LINES, CALLS = 50, 50
"""On one page; a line may be long."""
LINE_CHARS, CALL_CHARS = 40_000, 1_000_000
"""Characters shown of a line, and of a request or answer: so a page stays below about two million, whatever was posted. A conversation before
its summary has about 600,000."""
LONGEST_NUMBER = 18
"""Digits that any database can compare."""


@dataclass(frozen=True)
class Window:
    """Rows `first` to `last` of `total`, counted from 0; `last` is not among them."""

    first: int
    last: int
    total: int
    size: int

    @property
    def before(self) -> int:
        """Where the window before this begins."""
        return max(0, self.first - self.size)


def window(name: str, text: str, total: int, size: int) -> Window:
    """The rows from a number on; without one the newest.

    Raises:
        NotFound: it is no number.
    """
    first = max(0, total - size) if text == "" else _number(name, text)
    return Window(first, min(total, first + size), total, size)


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER):
        raise NotFound("NotFound", f"{name} is {text!r}, but it is a number from 0 on: open the page without it.")
    return int(text)


def show(visit: Visit, tx: sa.Connection, campaign: Campaign) -> Response:
    """Lines and calls of one researcher, the newest or from a number on."""
    member = researchers.member(tx, campaign, visit.path("name"))
    lines, calls = tables.transcripts, tables.llm_calls
    own_lines, own_calls = lines.c.researcher == member.name, calls.c.researcher == member.name
    said = window("from", visit.query("from"), _count(tx, own_lines), LINES)
    paid = window("calls", visit.query("calls"), _count(tx, own_calls), CALLS)
    shown = sa.select(lines).where(own_lines, lines.c.number >= said.first).order_by(lines.c.number).limit(LINES)
    hide = visit.hub.key.secrets().hide_text
    some = sa.select(calls).where(own_calls).order_by(calls.c.seq).offset(paid.first).limit(CALLS)
    return visit.answer(
        "transcript.html",
        campaign,
        member=member,
        said=said,
        lines=[(row.number, row.received, unfold(row.line, LINE_CHARS, hide)) for row in tx.execute(shown)],
        paid=paid,
        calls=[record.call(row) for row in tx.execute(some).mappings()],
        cost=tx.execute(sa.select(sa.func.coalesce(sa.func.sum(calls.c.cost), 0)).where(own_calls)).scalar_one(),
        kinds=record.TOKENS,
        query={name: visit.query(name) for name in ("from", "calls")},
    )


def _count(tx: sa.Connection, where: sa.ColumnElement[bool]) -> int:
    return int(tx.execute(sa.select(sa.func.count()).where(where)).scalar_one())


def show_call(visit: Visit, tx: sa.Connection, campaign: Campaign) -> Response:
    """One call with its request and answer."""
    number = _number("The number of a call", visit.path("number"))
    row = record.find(tx, number)
    if row is None:
        raise NotFound("NotFound", f"No LLM call has the number {number}: a researcher's transcript lists its calls.")
    missing, parts = "", list[tuple[str, Unfolded]]()
    try:
        request, answer = record.said(visit.hub, row)
        hide = visit.hub.key.secrets().hide_text
        parts = [(name, unfold(text, CALL_CHARS, hide)) for name, text in (("Request", request), ("Answer", answer))]
    except BlobMissing as error:
        missing = str(error)
    found: LlmCall = record.call(row)
    return visit.answer("call.html", campaign, call=found, parts_said=parts, missing=missing, kinds=record.TOKENS)
