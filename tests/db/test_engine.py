"""Tests of app.db.engine: two kinds of transaction, one border for errors, and callers who are cancelled at any moment."""

import asyncio
import errno
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

import errors
from app.db import Database, db_now, new_id, schema, tables
from app.db.engine import TransactionTimer
from tests.db.builders import count
from tests.figures import Growth
from tests.services import PostgresServer


async def add_lock(db: Database, name: str, until: float = 0.0) -> None:
    """One row, written in a transaction of its own."""
    async with db.write() as connection:
        await connection.execute(insert(tables.locks).values(name=name, until=until))


def lock_row(name: str) -> Any:
    return insert(tables.locks).values(name=name, until=0.0)


async def write_and(db: Database, name: str, then: Callable[[], object], *more: str) -> None:
    """A transaction that writes a row, then does something else, and writes more rows."""
    async with db.write() as connection:
        await connection.execute(lock_row(name))
        then()
        for other in more:
            await connection.execute(lock_row(other))


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


async def run(db: Database, *commands: str) -> None:
    """A transaction of these statements."""
    async with db.write() as connection:
        for command in commands:
            await connection.execute(text(command))


async def names(db: Database) -> set[str]:
    async with db.read() as connection:
        return {row.name for row in (await connection.execute(select(tables.locks.c.name))).all()}


def wait_less_for_locks(db: Database) -> None:
    """A SQLite writer that waits 50 ms for another instead of 30 s."""
    event.listen(db.engine.sync_engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=50"))


# ids and the clock


def test_ids_sort_by_the_time_they_were_made() -> None:
    """Prefix, millisecond, random bits; each id sorts behind the one before, within a millisecond too, and none comes twice."""
    before = time.time_ns() // 1_000_000
    made = [new_id("job") for _ in range(20_000)]
    assert made == sorted(set(made))
    assert all(re.fullmatch("job_[0-9a-f]{32}", item) for item in made)
    assert before <= int(made[0][4:16], 16) < int(made[-1][4:16], 16) <= time.time_ns() // 1_000_000


async def test_time_is_the_databases(any_database: Database) -> None:
    """now() and db_now() are one clock, Unix seconds with fractions, and it moves within a transaction."""
    before = await any_database.now()
    async with any_database.write() as connection:
        first = float((await connection.execute(select(db_now()))).scalar_one())
        await connection.execute(lock_row("a"))
        while float((await connection.execute(select(db_now()))).scalar_one()) <= first:
            pass
    assert 1_700_000_000 < before <= first <= await any_database.now()


# transactions


async def test_a_write_is_committed_whole_or_not_at_all(any_database: Database) -> None:
    """The end of the body commits; an error takes everything back and passes as it is."""
    await add_lock(any_database, "kept")
    bug = KeyError("a bug")
    with pytest.raises(KeyError, match="a bug"):
        await write_and(any_database, "lost", raising(bug))
    assert await names(any_database) == {"kept"}


async def test_readers_do_not_hold_up_the_writer_and_keep_their_snapshot(any_database: Database) -> None:
    """A write commits while a read transaction is open, and the reader goes on seeing what it saw first."""
    async with any_database.read() as reader:
        assert (await reader.execute(select(tables.locks.c.name))).all() == []
        await asyncio.wait_for(add_lock(any_database, "new"), timeout=5)
        assert (await reader.execute(select(tables.locks.c.name))).all() == []
    assert await names(any_database) == {"new"}


async def test_a_reader_gets_by_while_a_writer_is_at_work(any_database: Database) -> None:
    """An open write transaction blocks no reader, who sees nothing of it."""
    async with any_database.write() as connection:
        await connection.execute(lock_row("a"))
        assert await asyncio.wait_for(names(any_database), timeout=5) == set()
    assert await names(any_database) == {"a"}


async def test_a_read_transaction_takes_no_write_on_postgresql(postgres_url: str) -> None:
    """A query that writes by mistake fails in the tests, not on the fleet; the connection is as good as new for a writer."""
    db = Database(postgres_url, pool_size=1)
    try:
        await schema.upgrade(db)
        with pytest.raises(DBAPIError, match="read-only transaction"):
            async with db.read() as connection:
                await connection.execute(lock_row("a"))
        await add_lock(db, "b")
        assert await names(db) == {"b"}
    finally:
        await db.close()


async def test_many_writers_lose_no_update(any_database: Database) -> None:
    """Forty writers at once are queued, not refused."""
    await asyncio.gather(*(add_lock(any_database, f"lock {number}") for number in range(40)))
    assert await count(any_database, tables.locks) == 40


async def test_two_processes_write_the_same_sqlite_file(sqlite_url: str) -> None:
    """Two Database objects, as in two processes, wait for each other's transactions on the file itself."""
    one, other = Database(sqlite_url), Database(sqlite_url)
    try:
        await schema.upgrade(one)
        await asyncio.gather(*(add_lock((one, other)[n % 2], f"lock {n}") for n in range(30)))
        assert await count(one, tables.locks) == 30
    finally:
        await one.close()
        await other.close()


async def test_ping_and_the_dialects_name(any_database: Database) -> None:
    """A database that answers pings without a word; a connection tells which it is."""
    await any_database.ping()
    async with any_database.read() as connection:
        assert connection.dialect_name == ("sqlite" if any_database.is_sqlite else "postgresql")


# opening


@pytest.mark.parametrize("url", ["", "nonsense", "mysql+nodriver://h/d", "postgresql+asyncpg://h:port/d"])
def test_a_url_that_is_none_is_a_configuration_error(url: str) -> None:
    """The message names the setting and shows what is meant, and never the URL, which may hold a password."""
    with pytest.raises(errors.ConfigurationError, match=r"db\.url is not a database URL; use sqlite"):
        Database(url)


def test_a_workspace_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    """A file where the folder should be: said at once, with the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.ConfigurationError, match=r"workspace folder .*file/folder cannot be made: Not a directory"):
        Database(f"sqlite+aiosqlite:///{tmp_path}/file/folder/pictrawl.db")


@pytest.mark.parametrize("url", ["sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    """Each of the pool's connections would see a database of its own."""
    with pytest.raises(errors.ConfigurationError, match=r"db\.url names no file; use sqlite"):
        Database(url)


# what drivers raise


async def test_real_programming_errors_stay_what_they_are(any_database: Database) -> None:
    """A missing table and a double key reach the caller as SQLAlchemy's errors, and the database works on."""
    with pytest.raises(DBAPIError, match="no_such_table"):
        async with any_database.read() as connection:
            await connection.execute(text("SELECT 1 FROM no_such_table"))
    await add_lock(any_database, "a")
    with pytest.raises(IntegrityError):
        await add_lock(any_database, "a")
    await add_lock(any_database, "b")


async def test_an_oserror_of_the_body_passes_through(any_database: Database) -> None:
    """Only the driver's own OSErrors are the database's; a disk or network error of the body keeps its name and takes its write back."""
    for error in (OSError(errno.ENOSPC, "No space left on device"), ConnectionResetError("by peer"), TimeoutError("too slow")):
        with pytest.raises(type(error)) as caught:
            await write_and(any_database, "a", raising(error))
        assert caught.value is error
    assert await names(any_database) == set()


async def test_a_driver_that_times_out_is_a_connection_error(postgres_url: str) -> None:
    """asyncpg's command timeout is a bare TimeoutError; it is told from the body's own by where it came from."""
    db = Database(postgres_url)
    try:
        async with db.write() as connection:  # the pool hands the same connection out again
            driver = await connection.run_sync(lambda sync: sync.connection.driver_connection)
        driver._config = driver._config._replace(command_timeout=0.05)
        with pytest.raises(errors.DatabaseConnectionError, match="the database connection broke: TimeoutError"):
            await run(db, "SELECT pg_sleep(10)")
        await db.ping()
    finally:
        await db.close()


async def test_a_locked_file_is_a_connection_error(sqlite_url: str, tmp_path: Path) -> None:
    """Another process that holds the file beyond the wait: try again later."""
    db = Database(sqlite_url)
    wait_less_for_locks(db)
    other = sqlite3.connect(tmp_path / "pictrawl.db", isolation_level=None)
    try:
        await schema.upgrade(db)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.DatabaseConnectionError, match="database is locked"):
            await add_lock(db, "a")
        other.execute("ROLLBACK")
        await add_lock(db, "a")
    finally:
        other.close()
        await db.close()


async def test_a_new_file_that_another_process_has_just_begun_is_waited_for(sqlite_url: str, tmp_path: Path) -> None:
    """SQLite refuses the turn to WAL on the spot while another writes, whatever the timeout; whoever starts second comes again."""
    db, other = Database(sqlite_url), sqlite3.connect(tmp_path / "pictrawl.db", isolation_level=None)
    try:
        other.execute("CREATE TABLE begun (x)")
        other.execute("BEGIN IMMEDIATE")
        reading = asyncio.create_task(db.ping())
        refused: list[BaseException] = []
        event.listen(db.engine.sync_engine, "handle_error", lambda context: refused.append(context.original_exception))
        while not refused:
            assert not reading.done(), "nothing was refused"
            await asyncio.sleep(0)
        other.execute("ROLLBACK")
        await reading
    finally:
        other.close()
        await db.close()


async def test_a_full_disk_is_a_storage_error(database: Database) -> None:
    """SQLite's page limit stands in for the disk: nothing is half written, and after there is room again all works."""
    async with database.read() as connection:
        pages = int((await connection.execute(text("PRAGMA page_count"))).scalar_one())
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT 'lock ' || i, 0 FROM n"
    with pytest.raises(errors.StorageError, match="full"):
        await run(
            database,
            f"PRAGMA max_page_count={pages + 2}",
            "INSERT INTO locks (name, until) VALUES ('a', 0)",
            f"INSERT INTO locks (name, until) {rows}",
        )
    async with database.write() as connection:
        await connection.execute(text("PRAGMA max_page_count=1000000"))
    assert await names(database) == set()
    await add_lock(database, "a")


async def test_a_file_that_is_no_database_is_reported_as_it_is(sqlite_url: str, tmp_path: Path) -> None:
    """A file of something else fails to open; no retry mends that, but neither is it a bug of the caller's."""
    (tmp_path / "pictrawl.db").write_bytes(b"x" * 4096)
    db = Database(sqlite_url)
    try:
        with pytest.raises((DBAPIError, errors.DatabaseConnectionError), match="not a database"):
            await db.ping()
    finally:
        await db.close()


async def test_no_free_connection_is_a_connection_error(any_database_url: str) -> None:
    """A pool that is used up is waited for, and then said to be."""
    db = Database(any_database_url, pool_size=1, pool_timeout_s=0.05)
    try:
        async with AsyncExitStack() as stack:
            for _ in range(15 if db.is_sqlite else 6):  # all that the pool and its overflow have
                await stack.enter_async_context(db.read())
            with pytest.raises(errors.DatabaseConnectionError, match="no database connection was free in time"):
                await db.ping()
        await db.ping()
    finally:
        await db.close()


async def test_a_conflict_between_transactions_is_a_connection_error(postgres_url: str) -> None:
    """Serialisation failures and deadlocks pass: the database chose this one to try again."""
    db = Database(postgres_url)
    try:
        await schema.upgrade(db)
        await add_lock(db, "a")
        await add_lock(db, "b")
        met = asyncio.Barrier(2)

        async def crosswise(one: str, other: str) -> None:
            async with db.write() as connection:
                await connection.execute(update(tables.locks).where(tables.locks.c.name == one).values(until=1.0))
                await met.wait()
                await connection.execute(update(tables.locks).where(tables.locks.c.name == other).values(until=2.0))

        results = await asyncio.gather(crosswise("a", "b"), crosswise("b", "a"), return_exceptions=True)
        failed = [result for result in results if result is not None]
        assert [type(result) for result in failed] == [errors.DatabaseConnectionError]
        assert "40P01" in str(failed[0])
    finally:
        await db.close()


@pytest.fixture
def doomed_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test's own, to be killed."""
    with PostgresServer() as server:
        yield server


@pytest.mark.services("postgresql")
async def test_a_server_that_dies_and_comes_back(doomed_server: PostgresServer) -> None:
    """Killed inside a transaction, away, and back: a connection error each time, then service without a new Database."""
    db = Database(doomed_server.url())
    try:
        await schema.upgrade(db)
        with pytest.raises(errors.DatabaseConnectionError):
            await write_and(db, "lost", doomed_server.kill, "lost, too")
        with pytest.raises(errors.DatabaseConnectionError, match="cannot connect to the database: "):
            await db.ping()
        doomed_server.start()
        assert await names(db) == set()
        await add_lock(db, "a")
        with pytest.raises(errors.DatabaseConnectionError):
            await write_and(db, "lost", doomed_server.kill)
        doomed_server.start()
        assert await names(db) == {"a"}
    finally:
        await db.close()


@pytest.mark.services("postgresql")
async def test_a_dead_server_hides_neither_cancellation_nor_the_bodys_error(doomed_server: PostgresServer) -> None:
    """Nothing can be rolled back there; what ended the body is still what the caller hears of."""
    db = Database(doomed_server.url())
    try:
        await schema.upgrade(db)

        def die() -> None:
            doomed_server.kill()
            raise KeyError("a bug")

        with pytest.raises(KeyError, match="a bug"):
            await write_and(db, "a", die)
        doomed_server.start()

        async def stuck() -> None:
            async with db.write() as connection:
                await connection.execute(lock_row("a"))
                doomed_server.kill()
                inside.set()
                await asyncio.sleep(30)

        inside = asyncio.Event()
        task = asyncio.create_task(stuck())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        await db.close()


# cancellation


async def ended(step: asyncio.Task[Any]) -> None:
    with suppress(asyncio.CancelledError):
        await step


async def test_cancelled_callers_leave_no_lock_and_no_connection(any_database: Database) -> None:
    """200 transactions, each cancelled at a random moment: a writer works at once, and every connection is back in the pool."""
    chance = random.Random(4711)

    async def write(number: int) -> None:
        async with any_database.write() as connection:
            for step in range(3):
                await connection.execute(lock_row(f"{number}-{step}"))

    async def read() -> None:
        async with any_database.read() as connection:
            await connection.execute(select(tables.locks))
            await connection.execute(select(tables.locks))

    tasks = [asyncio.create_task(write(number) if number % 3 else read()) for number in range(200)]
    while waiting := [task for task in tasks if not task.done()]:
        for task in chance.sample(waiting, k=min(7, len(waiting))):
            task.cancel()
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
    await asyncio.gather(*(ended(task) for task in tasks))
    await asyncio.wait_for(add_lock(any_database, "after"), timeout=5)
    whole = {name.split("-")[0] for name in await names(any_database) if name != "after"}
    assert await count(any_database, tables.locks) == 3 * len(whole) + 1
    assert any_database.engine.sync_engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_caller_cancelled_twice_still_waits_for_its_statement(any_database: Database) -> None:
    """A second cancellation, as of a shutdown after a time-out, tears no statement apart either."""

    async def write(name: str) -> None:
        async with any_database.write() as connection:
            await connection.execute(lock_row(name))
            await connection.execute(lock_row(name + "!"))

    for round_number in range(30):
        task = asyncio.create_task(write(f"lock {round_number}"))
        for _ in range(round_number):
            await asyncio.sleep(0)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        await ended(task)
    await asyncio.wait_for(add_lock(any_database, "after"), timeout=5)
    assert any_database.engine.sync_engine.pool.checkedout() == 0  # type: ignore[attr-defined]


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
    with TransactionTimer("write") as timer:
        timer.has_connection()
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


async def test_compacting_gives_space_back_or_says_why_not(any_database: Database) -> None:
    """Nothing happens on PostgreSQL. A database that another process writes to is busy, not broken."""
    await any_database.compact()
    if any_database.is_sqlite:
        with closing(sqlite3.connect(str(any_database.engine.url.database), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(errors.DatabaseConnectionError):
                await any_database.compact()
