"""What researchers tell one another, and that they are done. Numbers come from the scores, never from the author."""

from __future__ import annotations

import sqlalchemy as sa
from aar_api.wire import FeedEvent, Finding, FindingPost, LeaderboardRow

from aar_hub import records, views
from aar_hub.errors import Refused
from aar_hub.hub import Hub
from aar_hub.store import tables

MOST = 2000
"""Posts of one researcher, of up to 16 KiB each: more than anyone reads, and 32 MiB at worst."""
PAGE = 500
"""Posts in one answer; ask again with the last id for more."""


def post(hub: Hub, author: str, asked: FindingPost, *, owner: bool = False) -> Finding:
    """Keep a post; the same key again gives the same post.

    Raises:
        Refused: it names an experiment that is not here, or is one too many.
    """
    table = tables.findings
    with hub.db.write() as tx:
        if asked.key is not None:
            known = (
                tx.execute(sa.select(table).where(table.c.author == author, table.c.key == asked.key))
                .mappings()
                .first()
            )
            if known is not None:
                return _finding(known, _scores(tx))
        scores = _scores(tx)
        unknown = [
            name for name in asked.experiments if name not in scores and records.find_experiment(tx, name) is None
        ]
        if unknown:
            raise Refused("NotFound", f"No experiment is named {unknown[0]!r} here: name those of the leaderboard.")
        count = sa.select(sa.func.count()).select_from(table).where(table.c.author == author)
        if not owner and tx.execute(count).scalar_one() >= MOST:
            raise Refused(
                "QuotaExceeded",
                f"{author} has made {MOST} posts, which is all that one may: read those that are there.",
            )
        values = asked.model_dump(include={"kind", "title", "text", "key"}) | {"experiments": list(asked.experiments)}
        row = tx.execute(
            sa.insert(table).values(author=author, owner=owner, created=Hub.now(), **values).returning(*table.c)
        )
        return _finding(row.mappings().one(), scores)


def since(tx: sa.Connection, last: int, limit: int = PAGE) -> list[Finding]:
    """Posts after an id, oldest first."""
    table, scores = tables.findings, _scores(tx)
    query = sa.select(table).where(table.c.id > last).order_by(table.c.id).limit(limit)
    return [_finding(row, scores) for row in tx.execute(query).mappings()]


def before(tx: sa.Connection, first: int | None, limit: int) -> list[Finding]:
    """Posts before an id, or the last there are, newest first."""
    table, scores = tables.findings, _scores(tx)
    query = sa.select(table).order_by(table.c.id.desc()).limit(limit)
    query = query if first is None else query.where(table.c.id < first)
    return [_finding(row, scores) for row in tx.execute(query).mappings()]


def finish(hub: Hub, researcher: str, reason: str) -> None:
    """Enter that a researcher is done; the first reason stays."""
    table = tables.finished
    with hub.db.write() as tx:
        if tx.execute(sa.select(table).where(table.c.researcher == researcher)).first() is None:
            tx.execute(sa.insert(table).values(researcher=researcher, reason=reason, created=Hub.now()))
            event = FeedEvent(cursor=0, kind="researcher-finished", researcher=researcher, message=reason)
            records.emit(tx, event.dump())


def finished(tx: sa.Connection) -> list[str]:
    """Researchers that are done."""
    return list(tx.execute(sa.select(tables.finished.c.researcher).order_by(tables.finished.c.researcher)).scalars())


def _scores(tx: sa.Connection) -> dict[str, LeaderboardRow]:
    return {row.experiment: row for row in views.leaderboard(tx)}


def _finding(row: sa.RowMapping, scores: dict[str, LeaderboardRow]) -> Finding:
    shown = {name: row[name] for name in ("id", "author", "owner", "kind", "title", "text", "created")}
    return Finding(**shown, results=tuple(scores[name] for name in row["experiments"] if name in scores))
