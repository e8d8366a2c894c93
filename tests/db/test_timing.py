"""Transactions are clocked, and what ends them is counted by whose fault it was."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

import errors
from app.db import Database
from app.db.timing import Clocked
from tests.figures import Growth

ERRORS = "pictrawl_database_errors_total"
TRANSACTIONS = "pictrawl_database_transaction_duration_seconds_count"
WAITS = "pictrawl_database_connection_wait_seconds_count"


async def test_each_transaction_is_clocked_by_its_kind(any_database: Database) -> None:
    """With the wait for its connection apart."""
    await any_database.ping()
    grown = Growth()
    async with any_database.write() as connection:
        await connection.execute(text("SELECT 1"))
    await any_database.ping()
    await any_database.ping()
    assert grown.of(TRANSACTIONS) == grown.of(WAITS) == {("write",): 1, ("read",): 2}
    assert grown.of(ERRORS) == {}


async def test_a_database_that_cannot_be_reached_is_a_fault() -> None:
    """What was waited for it counts as a wait; no transaction took place."""
    away = Database("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    grown = Growth()
    with pytest.raises(errors.DatabaseConnectionError):
        await away.ping()
    await away.close()
    assert grown.of(ERRORS) == {("connection", "read"): 1}
    assert grown.of(WAITS) == {("read",): 1}
    assert grown.of(TRANSACTIONS) == {}


async def test_a_statement_that_is_wrong_is_a_fault_of_another_kind(any_database: Database) -> None:
    """It has a transaction, and ends it."""
    grown = Growth()
    with pytest.raises(SQLAlchemyError):
        async with any_database.write() as connection:
            await connection.execute(text("SELECT nothing FROM nowhere"))
    assert grown.of(ERRORS) == {("other", "write"): 1}
    assert grown.of(TRANSACTIONS) == {("write",): 1}


def _end_by(error: Exception) -> None:
    with Clocked("write") as clocked:
        clocked.has_connection()
        raise error


@pytest.mark.parametrize(
    ("error", "fault"),
    [(errors.StorageError("full"), "storage"), (errors.DatabaseConnectionError("away"), "connection"), (ValueError("ours"), None)],
)
def test_what_ends_the_body_is_told_apart(error: Exception, fault: str | None) -> None:
    """A full disk is the database's; an error of the caller's is nobody's fault here."""
    grown = Growth()
    with pytest.raises(type(error)):
        _end_by(error)
    assert grown.of(ERRORS) == ({(fault, "write"): 1} if fault else {})


async def test_a_writer_that_waits_for_its_turn_on_sqlite_waits_for_its_connection(database: Database) -> None:
    """The lock is ours; whoever holds it up shows as a wait, and not as a slow transaction."""
    held, let_go = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with database.write():
            held.set()
            await let_go.wait()

    async def follow() -> None:
        async with database.write():
            pass

    holder = asyncio.create_task(hold())
    await held.wait()
    grown = Growth()
    follower = asyncio.create_task(follow())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.05, let_go.set)
    await asyncio.gather(holder, follower)
    assert grown.of("pictrawl_database_connection_wait_seconds_sum")["write",] >= 0.04
    assert grown.of(TRANSACTIONS) == {("write",): 2}
