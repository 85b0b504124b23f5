"""The team: what each does now, and what it has done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from aar_api import names
from starlette.responses import Response

from aar_hub import progress
from aar_hub.errors import NotFound
from aar_hub.pages import disclosure
from aar_hub.pages._page import Visit
from aar_hub.pages.disclosure import Line
from aar_hub.records import UNSETTLED, Campaign
from aar_hub.requests import HUB, OWNER
from aar_hub.store import tables
from aar_hub.submissions import FRESH


@dataclass(frozen=True)
class Member:
    """A researcher and its work."""

    name: str
    direction: str
    lines: list[Line]
    posts: list[sa.RowMapping]
    snapshots: list[sa.RowMapping]
    finished: str | None
    """Why it stopped; none while it works."""

    @property
    def running(self) -> list[Line]:
        """Experiments that have not ended."""
        return [line for line in self.lines if line.exp.state in UNSETTLED]

    @property
    def submissions(self) -> int:
        """Those that count against its limit."""
        return sum(line.exp.purpose == "Exploration" and line.exp.state not in FRESH for line in self.lines)

    @property
    def best(self) -> Line | None:
        """Its best by what was reported."""
        scored = [line for line in self.lines if line.score is not None]
        return max(scored, key=lambda line: line.score.pgr if line.score else 0.0, default=None)

    @property
    def cost(self) -> int:
        """Micro-dollars its experiments have cost."""
        return sum(line.exp.cost for line in self.lines)

    @property
    def last(self) -> str | None:
        """When something of it last happened."""
        stamps = [one for line in self.lines for one in (line.exp.created, line.exp.ended) if one]
        return max([*stamps, *(row["created"] for row in [*self.posts, *self.snapshots])], default=None)


def show_all(visit: Visit, tx: sa.Connection, campaign: Campaign) -> Response:
    """The whole team."""
    return visit.answer("researchers.html", campaign, members=list(team(tx, campaign)))


def show(visit: Visit, tx: sa.Connection, campaign: Campaign) -> Response:
    """One researcher."""
    return visit.answer("researcher.html", campaign, member=member(tx, campaign, visit.path("name")))


def member(tx: sa.Connection, campaign: Campaign, name: str) -> Member:
    """One researcher.

    Raises:
        NotFound: the campaign has none of that name.
    """
    found = [one for one in team(tx, campaign) if one.name == name]
    if not found:
        count = campaign.spec.researchers.count
        raise NotFound("NotFound", f"No researcher is called {name!r}: the campaign has r0 to r{count - 1}.")
    return found[0]


def team(tx: sa.Connection, campaign: Campaign) -> Iterator[Member]:
    """Every researcher the campaign asks for, and any that was there before its count was lowered."""
    wanted = [names.researcher(index) for index in range(campaign.spec.researchers.count)]
    lines = disclosure.lines(tx, campaign, tables.experiments.c.purpose.in_(("Exploration", "Smoke")))
    posts = _rows(tx, tables.findings, "id", "author", "owner", "kind", "title", "created")
    code = _rows(tx, tables.snapshots, "digest", "author", "created")
    ended = {row["researcher"]: row["reason"] for row in _rows(tx, tables.finished, "researcher", "reason", "created")}
    callers = tx.execute(sa.select(tables.llm_calls.c.researcher).distinct()).scalars()
    others = {*callers} | {line.exp.researcher for line in lines} | {row["author"] for row in [*posts, *code]}
    for name in [*wanted, *sorted(others - {*wanted, OWNER, HUB})]:
        yield Member(
            name=name,
            direction=progress.direction(campaign.spec, name) if name in wanted else "",
            lines=[line for line in lines if line.exp.researcher == name],
            posts=[row for row in posts if row["author"] == name],
            snapshots=[row for row in code if row["author"] == name],
            finished=ended.get(name),
        )


def _rows(tx: sa.Connection, table: sa.Table, *columns: str) -> list[sa.RowMapping]:
    query = sa.select(*(table.c[name] for name in columns)).order_by(table.c.created)
    return list(tx.execute(query).mappings())
