"""Statements compiled once. SQLAlchemy takes longer to prepare a small statement than SQLite to carry it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase


class Prepared:
    """An insert or update whose values are all named by `bindparam` and need no conversion: numbers and texts."""

    def __init__(self, statement: UpdateBase) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, Sequence[str] | None]] = {}

    def run(self, tx: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Once for each row, within the transaction; the rows it changed."""
        text, order = self._compiled.get(tx.dialect.name) or self._compile(tx.dialect)
        given: list[Any] = [row if order is None else [row[name] for name in order] for row in rows]
        cursor = tx.connection.cursor()
        try:
            cursor.executemany(text, given)
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def _compile(self, dialect: sa.Dialect) -> tuple[str, Sequence[str] | None]:
        done = self._statement.compile(dialect=dialect)
        assert isinstance(done, SQLCompiler)
        made = self._compiled[dialect.name] = (str(done), done.positiontup if done.positional else None)
        return made
