"""Checks of the services that pictrawl uses: database, Redis, storage. They leave nothing behind."""

import asyncio
import secrets
import sqlite3
import tempfile
import time
from pathlib import Path

import errors
from app.cli.doctor.finding import Finding, fail, ok, warn
from app.cli.session import database_file
from app.db import Database, fleet, schema
from app.formatting import count
from app.queue import ArqQueue, translate_redis_errors
from app.resources import make_queue
from app.settings import Settings
from app.storage import open_store

__all__ = ["check_database", "check_queue", "check_storage"]

SQLITE_LEAST = (3, 35)
"""The first version with RETURNING."""

CLOCK_APART_S = 5.0
"""Seconds that our clock may differ from the database's."""


async def check_database(settings: Settings) -> list[Finding]:
    """SQLite's version and journal mode, or whether PostgreSQL answers; and the schema."""
    path = database_file(settings)
    findings = [await asyncio.to_thread(_sqlite, path)] if path is not None else []
    if path is not None and not path.exists():
        return [*findings, ok("database", "schema", "none yet; the first build makes it")]
    db = Database(settings.database_url, pool_size=1)
    try:
        began = time.perf_counter()
        await db.ping()
        took_ms = 1000 * (time.perf_counter() - began)
        findings.append(ok("database", "database", f"{'SQLite' if db.is_sqlite else 'PostgreSQL'} answers in {took_ms:.0f} ms"))
        schema_found = await _schema(db)
        findings += [await _clock(db), schema_found]
        if schema_found.status == "ok":
            findings.append(await _workers(db, settings))
    except (errors.InfrastructureError, errors.StorageError) as error:
        findings.append(fail("database", "database", str(error), "is it running, and is db.url right?"))
    finally:
        await db.close()
    return findings


def _sqlite(path: Path) -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info[:2] < SQLITE_LEAST:
        return fail("database", "sqlite", version, "3.35 or newer is needed: use a newer Python build, or PostgreSQL")
    folder = path.parent if path.parent.is_dir() else Path(tempfile.gettempdir())
    probe = folder / f".pictrawl-{secrets.token_hex(4)}.db"
    try:
        connection = sqlite3.connect(probe)
        mode = str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        connection.close()
    except sqlite3.Error as error:
        return fail("database", "sqlite", f"{version}: {error} in {folder}", "use a local disk for the workspace")
    finally:
        probe.unlink(missing_ok=True)
    if mode != "wal":
        return warn("database", "sqlite", f"{version}, journal {mode} in {folder}", "network filesystems have no WAL: use a local disk")
    return ok("database", "sqlite", f"{version}, WAL works in {folder}")


async def _schema(db: Database) -> Finding:
    found, newest = await schema.current(db), schema.head()
    if found == newest:
        return ok("database", "schema", f"{found}, the newest")
    try:
        await schema.require_current(db)
    except errors.ConfigurationError as error:
        if "newer" in str(error):
            return fail("database", "schema", f"{found}, newer than this version's {newest}", "upgrade pictrawl")
    if db.is_sqlite:
        return ok("database", "schema", f"{found or 'none'}; the next command that opens it brings it to {newest}")
    return fail("database", "schema", f"{found or 'none'}, this version needs {newest}", "pictrawl db upgrade")


async def _clock(db: Database) -> Finding:
    apart_s = abs(await db.now() - time.time())
    if apart_s > CLOCK_APART_S:
        return warn("database", "clocks", f"{apart_s:.1f} s apart from the database's", "run NTP on both machines")
    return ok("database", "clocks", f"{apart_s:.1f} s apart from the database's")


async def _workers(db: Database, settings: Settings) -> Finding:
    alive = await fleet.workers(db, fresh_s=fleet.BEAT_FRESH_S)
    value = f"{count(len(alive), 'worker')} alive: {', '.join(worker.kind for worker in alive) or 'none'}"
    if settings.queue.backend == "redis" and {worker.kind for worker in alive} != {"builder", "validator"}:
        return warn("database", "workers", value, "start `pictrawl worker builder` and `pictrawl worker validator`")
    return ok("database", "workers", value)


async def check_queue(settings: Settings) -> list[Finding]:
    """Whether Redis answers, and evicts nothing."""
    if settings.queue.backend == "embedded":
        return [ok("queue", "queue", "embedded, in the process that does the work")]
    try:
        queue = await make_queue(settings, retries=0)
    except errors.QueueUnavailableError as error:
        return [fail("queue", "redis", str(error), "is Redis running, and is queue.url right?")]
    try:
        return await _redis(queue)
    except errors.QueueUnavailableError as error:
        return [warn("queue", "redis", str(error), "it refuses a command; check yourself that maxmemory-policy is noeviction")]
    finally:
        await queue.close()


async def _redis(queue: ArqQueue) -> list[Finding]:
    began = time.perf_counter()
    await queue.ping()
    took_ms = 1000 * (time.perf_counter() - began)
    waiting = ", ".join(f"{name} {depth}" for name, depth in (await queue.depths()).items())
    async with translate_redis_errors():
        info = await queue.pool.info("server")
        policy = str((await queue.pool.config_get("maxmemory-policy")).get("maxmemory-policy", "unknown"))
    answers = ok("queue", "redis", f"{info.get('redis_version', '?')} answers in {took_ms:.0f} ms; waiting: {waiting}")
    if policy != "noeviction":
        return [answers, warn("queue", "maxmemory-policy", policy, "set noeviction: an evicted message waits for the sweeper")]
    return [answers, ok("queue", "maxmemory-policy", policy)]


async def check_storage(settings: Settings) -> list[Finding]:
    """Put, get and delete one object."""
    if settings.storage.url is None and not (settings.workspace.path / "store").exists():
        return [ok("storage", "storage", "a folder in the workspace; the first build makes it")]
    began = time.perf_counter()
    try:
        store = open_store(settings.storage_url)
        try:
            await store.check()
        finally:
            await store.close()
    except (errors.StorageError, errors.ConfigurationError) as error:
        return [fail("storage", "storage", str(error), "are storage.url and the credentials right, and is there space?")]
    return [ok("storage", "storage", f"put, get and delete in {1000 * (time.perf_counter() - began):.0f} ms")]
