"""The database: reads see a snapshot, writes go one after another, and what is committed survives a kill."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from aar_hub.store.tables import METADATA

BUSY_MS = 30_000
"""How long a transaction waits for another process's lock: longer than any of ours takes."""
ADVISORY_LOCK = 0x616172
"""Postgres: one number that every writer of a hub's database locks ("aar" in ASCII)."""
CHECKPOINT_SYNCS = 200
"""Syncs after which the write-ahead log is worked into the database: with three pages a row, about the thousand pages that are SQLite's own choice."""


class WriterBusy(Exception):
    """Somebody else writes."""


class Database:
    """One engine with two kinds of transaction."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url)
        self._sqlite = self._engine.dialect.name == "sqlite"
        self._writer = threading.Lock()
        self._kept: sa.Connection | None = None
        self._syncs = 0
        self.quick = self._sqlite
        """Whether a `write_ahead` that need not wait for others takes less time than to have another thread do it."""
        self.generation = 0
        """Goes up with every transaction that may have written: who read something in one `write` knows in the next whether it still holds."""
        if self._sqlite:
            sa.event.listen(self._engine, "connect", _configure_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        METADATA.create_all(self._engine)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that may write; one at a time, so that a check and the write it allows are one step."""
        with self._writer, self._engine.connect() as plain, self._writing(plain) as connection:
            yield connection

    @contextmanager
    def write_ahead(self, *, wait: bool = True) -> Iterator[sa.Connection]:
        """A `write` that does not wait for SQLite's disk: once it ends it survives the death of this process, and that of the machine after `sync`.

        Raises:
            WriterBusy: somebody else writes, and it should not wait.
        """
        if not self._writer.acquire(blocking=wait):
            raise WriterBusy
        try:
            with self._writing(self._own()) as connection:
                yield connection
        except BaseException:
            self._forget()
            raise
        finally:
            self._writer.release()

    def _own(self) -> sa.Connection:
        """The connection that `write_ahead` keeps."""
        if self._kept is None:
            self._kept = self._engine.connect()
            if self._sqlite:
                driver: Any = self._kept.connection.dbapi_connection
                driver.execute("PRAGMA synchronous=NORMAL")
                driver.execute("PRAGMA wal_autocheckpoint=0")  # `sync` does it, while others go on
        return self._kept

    def _forget(self) -> None:
        if self._kept is not None:
            self._kept.invalidate()  # not to the pool: it is set otherwise
            self._kept.close()
            self._kept = None

    @contextmanager
    def _writing(self, plain: sa.Connection) -> Iterator[sa.Connection]:
        connection = plain.execution_options(aar_write=True)
        with connection.begin():
            if not self._sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
            yield connection
            self.generation += 1

    def sync(self) -> None:
        """Bring to the disk what `write_ahead` has written: it lies at the end of the write-ahead log."""
        if self._sqlite and self._engine.url.database:
            with open(f"{self._engine.url.database}-wal", "rb") as log:
                os.fdatasync(log.fileno())
            self._syncs += 1
            if self._syncs % CHECKPOINT_SYNCS == 0:
                with self._engine.connect() as plain:
                    driver: Any = plain.connection.dbapi_connection
                    driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        """Close every connection."""
        with self._writer:
            self._forget()
        self._engine.dispose()


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("aar_write", False)
    driver: Any = connection.connection.dbapi_connection  # SQLAlchemy's own way takes ten times as long
    driver.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
