"""aiosqlite with one call into its thread per statement; its own cursor makes four, and BEGIN a fifth.

Each call into the thread costs two GIL switches, more than most of our statements. Knows no tables.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, Self

import aiosqlite

__all__ = ["connect"]

_CHUNK_ROWS: Final = 64
"""Rows per call when rows are fetched one by one, which does not happen here; the default of aiosqlite."""


async def connect(path: str, **options: Any) -> aiosqlite.Connection:
    """Open a connection, for ``create_async_engine(async_creator=...)``.

    Args:
        options: of `sqlite3.connect`.

    Raises:
        sqlite3.Error: the file can't be opened.
    """
    connection = _Connection(lambda: sqlite3.connect(path, **options), _CHUNK_ROWS)
    connection._thread.daemon = True  # as SQLAlchemy does; a leaked connection must not keep the process alive
    return await connection


class _Connection(aiosqlite.Connection):
    _opening = ""
    _only_reads = _has_ended = False

    def begin(self, *, reads: bool) -> None:
        """Let the next statement open the transaction in the same call. A reader takes its snapshot with its first read anyway."""
        self._opening = "BEGIN" if reads else "BEGIN IMMEDIATE"
        self._only_reads, self._has_ended = reads, False

    def cursor(self) -> "_Cursor":  # type: ignore[override]
        return _Cursor(self)

    async def read(self, sql: str, parameters: Sequence[Any], *, many: bool) -> tuple[sqlite3.Cursor, list[Any]]:
        """Run a statement and fetch all its rows; return the cursor for its metadata."""
        found: tuple[sqlite3.Cursor, list[Any]] = await self._execute(  # type: ignore[no-untyped-call]  # as aiosqlite's own cursor does
            _run, self._conn, self._take_opening(), sql, parameters, many
        )
        return found

    def _take_opening(self) -> str:
        opening, self._opening = self._opening, ""
        return opening

    async def commit(self) -> None:
        """Commit. The commit of a reader cannot fail, so it is queued without waiting for it."""
        if self._take_opening():
            return
        if self._only_reads:
            self._has_ended = True
            self._tx.put_nowait((None, self._conn.commit))
        else:
            await super().commit()

    async def rollback(self) -> None:
        """Roll back if there is something to roll back. The pool calls this whenever a connection is returned."""
        if not self._take_opening() and not self._has_ended and self.in_transaction:
            await super().rollback()


def _run(connection: sqlite3.Connection, opening: str, sql: str, parameters: Sequence[Any], many: bool) -> tuple[sqlite3.Cursor, list[Any]]:
    cursor = connection.cursor()
    if opening:
        cursor.execute(opening)
    (cursor.executemany if many else cursor.execute)(sql, parameters)
    return cursor, cursor.fetchall() if cursor.description else []


class _Cursor:
    """SQLAlchemy's cursor protocol ``AsyncIODBAPICursor`` over rows that are all fetched already."""

    arraysize = 1

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._done: sqlite3.Cursor | None = None
        self._rows: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    @property
    def description(self) -> Any:
        return self._done and self._done.description

    @property
    def rowcount(self) -> int:
        return self._done.rowcount if self._done else -1

    @property
    def lastrowid(self) -> int | None:
        return self._done.lastrowid if self._done else None

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self._done, self._rows = await self._connection.read(sql, parameters, many=False)

    async def executemany(self, sql: str, parameters: Sequence[Any]) -> None:
        self._done, self._rows = await self._connection.read(sql, parameters, many=True)

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        self._rows = []
