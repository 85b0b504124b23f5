"""What a researcher writes down of itself, line by line: appended once, never changed."""

from __future__ import annotations

import sqlalchemy as sa
from aar_api.wire import TranscriptEnd, TranscriptLine, TranscriptLines

from aar_hub.errors import Conflict
from aar_hub.hub import Hub
from aar_hub.store import tables

PAGE = 1000
"""Lines in one answer; ask again with the last number plus one for more."""


def append(hub: Hub, researcher: str, sent: TranscriptLines) -> TranscriptEnd:
    """Keep lines; those that are kept already may be sent again.

    Raises:
        Conflict: a line is kept with another content, or one between is missing.
    """
    table = tables.transcripts
    own = table.c.researcher == researcher
    with hub.db.write() as tx:
        following = tx.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.number) + 1, 0)).where(own)).scalar_one()
        if sent.first > following:
            raise Conflict(
                "TranscriptGap",
                f"The first line is number {sent.first}, but {following} is next: send the ones between.",
            )
        query = sa.select(table.c.number, table.c.line).where(own, table.c.number >= sent.first)
        kept = {row.number: row.line for row in tx.execute(query)}
        lines = dict(enumerate(sent.lines, sent.first))
        changed = [number for number, line in lines.items() if kept.get(number, line) != line]
        if changed:
            raise Conflict(
                "TranscriptFixed",
                f"Line {changed[0]} is kept with another content, and never changes: go on from {following}.",
            )
        fresh = [{"number": number, "line": line} for number, line in lines.items() if number not in kept]
        if fresh:
            tx.execute(sa.insert(table).values(researcher=researcher, received=Hub.now()), fresh)
    return TranscriptEnd(next=int(following) + len(fresh))


def since(hub: Hub, researcher: str, first: int) -> list[TranscriptLine]:
    """Lines from a number on."""
    table = tables.transcripts
    query = sa.select(table).where(table.c.researcher == researcher, table.c.number >= first)
    with hub.db.read() as tx:
        rows = tx.execute(query.order_by(table.c.number).limit(PAGE)).mappings()
        hide = hub.key.secrets().hide_text
        return [TranscriptLine(number=row["number"], line=hide(row["line"]), received=row["received"]) for row in rows]
