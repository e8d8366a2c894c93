"""The engine and its transactions: connect, begin, commit, and translate the errors of the drivers.

Knows no table. :mod:`app.db.exceptions` holds the translation itself.
"""

import asyncio
import functools
import secrets
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection as SyncConnection
from sqlalchemy import CursorResult, Executable, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Double

import errors
from app.concurrency import finish_despite_cancel, to_thread_uncancelled
from app.db import sqlite_driver
from app.db.exceptions import came_from_driver, translate
from app.observability import metrics

__all__ = ["Connection", "Database", "TransactionTimer", "db_now", "new_id"]

T = TypeVar("T")

SQLITE_BUSY_S = 30.0
"""Seconds that a SQLite writer waits for another process; far longer than any transaction of ours."""

SQLITE_FIRST_S, SQLITE_FIRST_PAUSE_S = 2.0, 0.02
"""Seconds for which opening a SQLite file is retried, and seconds between two tries, while another process creates the file."""

SNAPSHOT: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""Read transactions of PostgreSQL. Both are options of BEGIN, so they cost no statement, and a reader never fails on a conflict."""


class db_now(FunctionElement[float]):
    """The clock of the database as Unix seconds. Leases compare with it, so the clocks of the workers do not matter."""

    type = Double()
    inherit_cache = True


@compiles(db_now, "postgresql")
def _now_postgresql(*_: Any, **__: Any) -> str:
    return "extract(epoch from statement_timestamp())::double precision"  # constant within a statement, so that an index can be used


@compiles(db_now)
def _now_sqlite(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


class _Ids:
    """Increasing 128-bit numbers: 48 bits of milliseconds and 80 random bits, as in UUIDv7.

    Within one millisecond, or after the clock was set back, the next number is the last one plus a random step (RFC 9562 6.2, method 2).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        fresh = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
        with self._lock:
            self._last = fresh if fresh >> 80 > self._last >> 80 else self._last + 1 + secrets.randbits(32)
            return self._last


_ids = _Ids()


def new_id(prefix: str) -> str:
    """Return a sortable id: prefix and 32 hex digits. Ids of one process sort in the order in which they were made."""
    return f"{prefix}_{_ids.next():032x}"


class TransactionTimer:
    """Measures one transaction: the wait for its connection, its duration, and the error that ended it."""

    __slots__ = ("_at", "_is_connected", "mode")

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self._at = time.perf_counter()
        self._is_connected = False

    def __enter__(self) -> Self:
        return self

    def has_connection(self) -> None:
        """Record the wait; the transaction begins now."""
        self._note_wait()
        self._is_connected = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._is_connected:
            metrics.transaction_seconds.labels(self.mode).observe(time.perf_counter() - self._at)
        else:
            self._note_wait()
        if (fault := _fault(error)) is not None:
            metrics.database_errors.labels(fault, self.mode).inc()

    def _note_wait(self) -> None:
        now = time.perf_counter()
        metrics.connection_wait_seconds.labels(self.mode).observe(now - self._at)
        self._at = now


def _fault(error: BaseException | None) -> str | None:
    """Return the kind of a database error, as the metric labels it; ``None`` for every other error."""
    if isinstance(error, errors.DatabaseConnectionError):
        return "connection"
    if isinstance(error, errors.StorageError):
        return "storage"
    return "other" if isinstance(error, SQLAlchemyError) else None


class Database:
    """An engine and its transactions."""

    def __init__(self, url: str, *, pool_size: int = 10, pool_timeout_s: float = 20.0) -> None:
        self.url = url
        try:
            self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
            self.engine = _create(url, pool_size, pool_timeout_s, self.is_sqlite)
        except (ArgumentError, SQLAlchemyError, ImportError, ValueError) as error:
            raise errors.ConfigurationError("db.url is not a database URL; use sqlite+aiosqlite:///… or postgresql+asyncpg://…") from error
        self._write_lock = asyncio.Lock()
        self._has_failed = False

    @asynccontextmanager
    async def write(self) -> AsyncIterator["Connection"]:
        """Open a transaction that writes, and commit it at the end. Its body makes database calls only."""
        timer = TransactionTimer("write")
        if not self.is_sqlite:
            async with self._begin(timer) as connection:
                yield connection
            return
        async with self._write_lock:  # SQLite has one writer per file: wait here instead of polling a busy file
            async with self._begin(timer) as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator["Connection"]:
        """Open a transaction that only reads; all its statements see one snapshot."""
        async with self._begin(TransactionTimer("read")) as connection:
            yield connection

    @asynccontextmanager
    async def _begin(self, timer: TransactionTimer) -> AsyncIterator["Connection"]:
        try:
            with timer:
                async with self._translated(timer) as connection:
                    yield connection
        except errors.DatabaseConnectionError:
            self._has_failed = True
            raise

    def take_failure(self) -> bool:
        """Return whether a transaction failed for want of the database since the last call: a missing heartbeat then proves no crash."""
        has_failed, self._has_failed = self._has_failed, False
        return has_failed

    @asynccontextmanager
    async def _translated(self, timer: TransactionTimer) -> AsyncIterator["Connection"]:
        raw = await finish_despite_cancel(self._connect(timer.mode), undo=_close)
        timer.has_connection()
        try:
            async with _transaction(raw):
                yield Connection(raw)
        except (DBAPIError, PoolTimeout) as error:
            raise translate(error) from error
        except (OSError, sqlite3.Error) as error:
            if came_from_driver(error):
                raise errors.DatabaseConnectionError(f"the database connection broke: {type(error).__name__}") from error
            raise
        finally:
            await finish_despite_cancel(_close(raw))

    async def _connect(self, mode: str) -> AsyncConnection:
        try:
            raw = await self._open()
            snapshot = SNAPSHOT if mode == "read" and not self.is_sqlite else {}
            return await raw.execution_options(pictrawl_mode=mode, **snapshot)
        except (DBAPIError, PoolTimeout) as error:
            raise translate(error) from error
        except Exception as error:  # asyncpg's connect raises its own and plain OSErrors, which SQLAlchemy does not wrap
            if isinstance(error, sqlite3.Error | OSError) or type(error).__module__.startswith(("asyncpg", "sqlalchemy")):
                raise errors.DatabaseConnectionError(f"cannot connect to the database: {type(error).__name__}: {error}") from error
            raise

    async def _open(self) -> AsyncConnection:
        """Connect. If two processes switch a new SQLite file to WAL at once, one fails immediately despite its timeout; it tries again."""
        ends = time.monotonic() + SQLITE_FIRST_S
        while True:
            try:
                return await self.engine.connect()
            except DBAPIError as error:
                if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY or time.monotonic() >= ends:
                    raise
                await asyncio.sleep(SQLITE_FIRST_PAUSE_S)

    async def ping(self) -> None:
        """Raise DatabaseConnectionError unless the database answers."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def now(self) -> float:
        """Return the clock of the database, Unix seconds."""
        async with self.read() as connection:
            return float((await connection.execute(text(f"SELECT {_now_sql(self.is_sqlite)}"))).scalar_one())

    async def compact(self) -> None:
        """Give the space of deleted rows back to the disk. PostgreSQL does so by itself."""
        if self.is_sqlite and self.engine.url.database:
            try:
                await to_thread_uncancelled(_vacuum, self.engine.url.database)
            except sqlite3.Error as error:
                raise translate(DBAPIError("VACUUM", None, error)) from error

    async def close(self) -> None:
        """Close every connection. The thread of an open SQLite connection would keep the process alive."""
        await self.engine.dispose()


def _vacuum(file: str) -> None:
    """On a connection of its own: the pool's connections are always inside a transaction, where SQLite refuses it."""
    with closing(sqlite3.connect(file, timeout=1.0, isolation_level=None)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _now_sql(is_sqlite: bool) -> str:
    return _now_sqlite() if is_sqlite else _now_postgresql()


class Connection:
    """A connection inside a transaction. Cancellation takes effect between two statements, never inside one.

    SQLAlchemy drops a connection whose statement is cancelled, and a dropped SQLite connection keeps its lock on the file.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: AsyncConnection) -> None:
        self._raw = raw

    @property
    def dialect_name(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._raw.dialect.name

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run one statement, with one set of parameters or a list of them."""
        return await finish_despite_cancel(self._raw.execute(statement, parameters))

    async def run_sync(self, function: Callable[[SyncConnection], T]) -> T:
        """Run a function that needs SQLAlchemy's synchronous connection."""
        return await finish_despite_cancel(self._raw.run_sync(function))


@asynccontextmanager
async def _transaction(raw: AsyncConnection) -> AsyncIterator[None]:
    transaction = raw.begin()
    await finish_despite_cancel(transaction.start())
    try:
        yield
    except BaseException:
        with suppress(SQLAlchemyError, OSError):  # a dead connection has nothing to roll back; the first error counts
            await finish_despite_cancel(transaction.rollback())
        raise
    await finish_despite_cancel(transaction.commit())


async def _close(connection: AsyncConnection) -> None:
    try:
        await connection.close()
    except (SQLAlchemyError, OSError):  # the connection is gone already
        await connection.invalidate()


def _create(url: str, pool_size: int, pool_timeout_s: float, is_sqlite: bool) -> AsyncEngine:
    if not is_sqlite:
        return create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=5,
            pool_timeout=pool_timeout_s,
            pool_pre_ping=True,
            hide_parameters=True,  # parameters are URLs and keywords, and an error's text goes to logs and rows
            connect_args={"timeout": 10, "command_timeout": 60, "server_settings": {"application_name": "pictrawl"}},
        )
    path = make_url(url).database
    if not path or path == ":memory:":  # each connection would get its own database
        raise errors.ConfigurationError("db.url names no file; use sqlite+aiosqlite:///folder/pictrawl.db")
    _make_folder(Path(path).parent)
    engine = create_async_engine(
        url,
        async_creator=functools.partial(sqlite_driver.connect, path, timeout=SQLITE_BUSY_S),
        pool_size=5,
        max_overflow=10,
        pool_timeout=pool_timeout_s,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _tune_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.ConfigurationError(f"workspace folder {folder} cannot be made: {error.strerror}") from error


def _tune_sqlite(connection: Any, _record: Any) -> None:
    """Set the pragmas. WAL lets readers read during a write; NORMAL keeps every commit across a crash of the process."""
    connection.isolation_level = None  # the driver must not send BEGIN by itself
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-8000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    mode = connection.get_execution_options().get("pictrawl_mode", "write")
    connection.connection.driver_connection.begin(reads=mode == "read")
