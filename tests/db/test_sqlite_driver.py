"""Tests of app.db.sqlite_driver: one visit to the thread for a statement, and nothing else is different."""

import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.db.sqlite_driver import connect


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Any]:
    found: Any = await connect(str(tmp_path / "a.db"), isolation_level=None)
    await ask(found, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
    yield found
    await found.close()


async def ask(connection: Any, sql: str, parameters: Any = (), *, many: bool = False) -> Any:
    """A cursor that has run a statement."""
    cursor = await connection.cursor().__aenter__()
    await (cursor.executemany if many else cursor.execute)(sql, parameters)
    return cursor


async def test_a_cursor_tells_rows_columns_and_ids(connection: Any) -> None:
    """What a cursor knows of a statement is that of sqlite3's own, also once it is closed."""
    inserted = await ask(connection, "INSERT INTO t (name) VALUES (?), (?)", ("a", "b"))
    assert (inserted.rowcount, inserted.lastrowid, inserted.description) == (2, 2, None)
    chosen = await ask(connection, "SELECT id, name FROM t ORDER BY id")
    assert [column[0] for column in chosen.description] == ["id", "name"]
    assert await chosen.fetchall() == [(1, "a"), (2, "b")]
    assert await chosen.fetchall() == []
    changed = await ask(connection, "UPDATE t SET name = ? WHERE id = ?", [("c", 1), ("d", 2), ("e", 3)], many=True)
    assert changed.rowcount == 2
    await changed.close()
    returned = await ask(connection, "DELETE FROM t WHERE id < ? RETURNING name", (3,))
    assert sorted(await returned.fetchall()) == [("c",), ("d",)]
    assert returned.rowcount == 2


async def test_a_new_cursor_knows_nothing(connection: Any) -> None:
    """Before it has run, a cursor has neither columns nor counts."""
    cursor = connection.cursor()
    assert (cursor.description, cursor.rowcount, cursor.lastrowid, await cursor.fetchall()) == (None, -1, None, [])


async def test_what_sqlite_refuses_is_raised_as_it_is(connection: Any) -> None:
    """An error of sqlite3 reaches the caller, and the connection goes on."""
    await ask(connection, "INSERT INTO t VALUES (1, 'a')")
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        await ask(connection, "INSERT INTO t VALUES (1, 'b')")
    assert await (await ask(connection, "SELECT name FROM t")).fetchall() == [("a",)]


async def test_only_an_open_transaction_is_rolled_back(connection: Any) -> None:
    """A rollback takes back what was written, and is nothing where there is no transaction."""
    await connection.rollback()
    await ask(connection, "BEGIN IMMEDIATE")
    await ask(connection, "INSERT INTO t VALUES (1, 'a')")
    assert connection.in_transaction
    await connection.rollback()
    assert not connection.in_transaction
    assert await (await ask(connection, "SELECT count(*) FROM t")).fetchall() == [(0,)]


async def test_a_transaction_opens_with_its_first_statement(connection: Any) -> None:
    """One that has none leaves nothing behind; the next one begins anew, and what it writes is there after its commit alone."""
    for end in (connection.commit, connection.rollback):
        connection.begin(reads=False)
        await end()
        await ask(connection, "SELECT 1")
        assert not connection.in_transaction
    connection.begin(reads=False)
    await ask(connection, "INSERT INTO t VALUES (1, 'a')")
    assert connection.in_transaction
    await connection.rollback()
    connection.begin(reads=False)
    await ask(connection, "INSERT INTO t VALUES (2, 'b')")
    await connection.commit()
    assert not connection.in_transaction
    assert await (await ask(connection, "SELECT id FROM t")).fetchall() == [(2,)]


async def test_the_end_of_what_only_read_is_not_waited_for(connection: Any, tmp_path: Path) -> None:
    """It comes before the next statement, so that one sees what was written meanwhile; until then there is one snapshot."""
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("PRAGMA journal_mode=WAL")
    connection.begin(reads=True)
    for written in (0, 1):
        assert await (await ask(connection, "SELECT count(*) FROM t")).fetchall() == [(0,)]
        other.execute("INSERT INTO t VALUES (?, 'a')", (written,))
    await connection.commit()
    await connection.rollback()  # the pool's, when the connection comes back
    connection.begin(reads=True)
    assert await (await ask(connection, "SELECT count(*) FROM t")).fetchall() == [(2,)]
    await connection.rollback()
    assert not connection.in_transaction
    other.close()


async def test_a_connection_that_is_lost_does_not_keep_the_process(connection: Any) -> None:
    """The thread of a connection is a daemon."""
    assert connection._thread.daemon
    assert connection._thread in threading.enumerate()
