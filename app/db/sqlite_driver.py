"""aiosqlite with one visit to its thread for a statement, where its own cursor makes four: open, execute, fetch, close.

A visit costs both threads a turn of the interpreter's lock, which is dearer than most of our statements. Knows no tables.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, Self

import aiosqlite

__all__ = ["connect"]

_CHUNK_ROWS: Final = 64
"""Rows of a visit where rows are asked for one by one, which nobody does here; aiosqlite's own default."""


async def connect(path: str, **options: Any) -> aiosqlite.Connection:
    """Open a connection, for ``create_async_engine(async_creator=...)``.

    Args:
        options: of `sqlite3.connect`.

    Raises:
        sqlite3.Error: the file can't be opened.
    """
    connection = _Connection(lambda: sqlite3.connect(path, **options), _CHUNK_ROWS)
    connection._thread.daemon = True  # as SQLAlchemy has it for those it makes: one that got lost must not keep the process alive
    return await connection


class _Connection(aiosqlite.Connection):
    def cursor(self) -> "_Cursor":  # type: ignore[override]
        return _Cursor(self)

    async def read(self, sql: str, parameters: Sequence[Any], *, many: bool) -> tuple[sqlite3.Cursor, list[Any]]:
        """Run a statement and read all of its rows; the cursor is closed, and tells what it knows of them."""
        found: tuple[sqlite3.Cursor, list[Any]] = await self._execute(  # type: ignore[no-untyped-call]  # as its own cursors do
            _run, self._conn, sql, parameters, many
        )
        return found

    async def rollback(self) -> None:
        """The pool asks for one whenever a connection comes back, and mostly there is nothing to take back."""
        if self.in_transaction:
            await super().rollback()


def _run(connection: sqlite3.Connection, sql: str, parameters: Sequence[Any], many: bool) -> tuple[sqlite3.Cursor, list[Any]]:
    cursor = connection.cursor()
    (cursor.executemany if many else cursor.execute)(sql, parameters)
    return cursor, cursor.fetchall() if cursor.description else []


class _Cursor:
    """What SQLAlchemy asks of a driver's cursor (its protocol ``AsyncIODBAPICursor``), over rows that are all there."""

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
