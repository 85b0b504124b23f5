"""An experiment in a list, with its score as far as it may be shown."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from aar_api.wire import ScoreView

from aar_hub import records, views
from aar_hub.records import Campaign, Exp
from aar_hub.store import tables


@dataclass(frozen=True)
class Line:
    """An experiment in a list, with its score as far as it may be shown."""

    exp: Exp
    task: str
    score: ScoreView | None
    sealed: bool
    position: int
    """Of its score among all scores, in the order in which they came; -1 without one."""

    @property
    def method(self) -> str:
        """What a person calls the method."""
        return method(self.exp)


def method(exp: Exp) -> str:
    """What its author calls it, or the shipped method's name; baselines have neither."""
    return exp.label or exp.builtin or (exp.role if exp.role != "method" else "own method")


def lines(tx: sa.Connection, campaign: Campaign, *where: sa.ColumnElement[bool]) -> list[Line]:
    """Experiments in the order in which they came; three queries, however many there are."""
    scores = {row["experiment"]: row for row in tx.execute(sa.select(tables.scores)).mappings()}
    tasks = {row.key: row.ref.name for row in records.all_tasks(tx)}
    found = []
    for exp in records.experiments(tx, *where):
        hidden = campaign.sealed(exp)
        row = scores.get(exp.name)
        score = None if hidden else views.score(row)
        position = -1 if row is None else row["position"]
        found.append(Line(exp, tasks[exp.task], score, hidden and row is not None, position))
    return found
