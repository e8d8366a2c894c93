"""Queries on workers, the sweeper's lock, API keys and idempotency keys: what keeps the fleet and its door in order."""

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Double, bindparam, case, delete, func, insert, or_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite

import errors
from app.db import tables
from app.db.conflicts import KeyReused, StateConflict
from app.db.engine import Connection, Database, db_now
from app.db.rows import Key, WorkerRow

__all__ = [
    "add_key",
    "beat",
    "expire_idempotency",
    "find_key",
    "has_keys",
    "keys",
    "remember",
    "retire",
    "revoke_key",
    "slots",
    "take_lock",
    "workers",
]

LATE_S = 2.0
"""Seconds by which the next holder of a lock may be late before that counts as a gap."""


async def beat(db: Database, worker: WorkerRow) -> None:
    """Write a worker's sign of life; its row appears with the first."""
    dialect = sqlite if db.is_sqlite else postgresql
    values = {name: getattr(worker, name) for name in ("id", "kind", "host", "pid", "version", "slots", "running", "loop_lag_s")}
    statement = dialect.insert(tables.workers).values(**values, started_at=db_now(), beat_at=db_now())
    change = {"running": worker.running, "loop_lag_s": worker.loop_lag_s, "beat_at": db_now()}
    async with db.write() as connection:
        await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=change))


async def retire(db: Database, worker_id: str) -> None:
    """Remove a worker that ended in order."""
    async with db.write() as connection:
        await connection.execute(delete(tables.workers).where(tables.workers.c.id == worker_id))


async def workers(db: Database, *, fresh_s: float | None = None) -> Sequence[WorkerRow]:
    """Workers, or only those whose last sign of life is younger than ``fresh_s``."""
    query = select(tables.workers).order_by(tables.workers.c.started_at)
    if fresh_s is not None:
        query = query.where(tables.workers.c.beat_at > db_now() - fresh_s)
    async with db.read() as connection:
        return [WorkerRow(**row._mapping) for row in (await connection.execute(query)).all()]


async def slots(connection: Connection, *, fresh_s: float) -> dict[str, int]:
    """Units that the living workers of each kind run at once."""
    return {row.kind: int(row.number) for row in (await connection.execute(_slots(), {"fresh_s": fresh_s})).all()}


@functools.cache
def _slots() -> Any:
    """Built once, since it is asked whenever a unit ends."""
    columns = tables.workers.c
    is_fresh = columns.beat_at > db_now() - bindparam("fresh_s", type_=Double())
    return select(columns.kind, func.sum(columns.slots).label("number")).where(is_fresh).group_by(columns.kind)


async def forget_workers(db: Database, *, older_than_s: float) -> int:
    """Remove the rows of workers that have been silent for long."""
    async with db.write() as connection:
        result = await connection.execute(delete(tables.workers).where(tables.workers.c.beat_at < db_now() - older_than_s))
    return result.rowcount


async def take_lock(db: Database, name: str, *, owner: str, for_s: float, anew: bool = False) -> bool:
    """Hold a named lock for a time; False while another holds it. It runs out by itself.

    Args:
        anew: begin its ``since`` anew, as it begins by itself where nobody took the lock for ``2 * for_s`` and 2 s.
    """
    dialect = sqlite if db.is_sqlite else postgresql
    columns = tables.locks.c
    has_gap = true() if anew else columns.until < db_now() - for_s - LATE_S
    async with db.write() as connection:
        await connection.execute(dialect.insert(tables.locks).values(name=name, until=0.0, since=0.0).on_conflict_do_nothing())
        result = await connection.execute(
            update(tables.locks)
            .where(columns.name == name, or_(columns.until <= db_now(), columns.owner == owner))
            .values(owner=owner, until=db_now() + for_s, since=case((has_gap, db_now()), else_=columns.since))
        )
    return result.rowcount == 1


async def add_key(db: Database, *, key_id: str, user_id: str, name: str, digest: str) -> None:
    """Insert an API key; only the digest of its secret is kept."""
    async with db.write() as connection:
        await connection.execute(insert(tables.api_keys).values(id=key_id, user_id=user_id, name=name, digest=digest, created_at=db_now()))


async def keys(db: Database) -> list[Key]:
    """All API keys, without their digests."""
    columns = [tables.api_keys.c[name] for name in ("id", "user_id", "name", "created_at", "revoked_at", "last_used_at")]
    async with db.read() as connection:
        return [Key(**row._mapping) for row in (await connection.execute(select(*columns).order_by(tables.api_keys.c.created_at))).all()]


async def has_keys(db: Database) -> bool:
    """Whether any key is in force."""
    query = select(tables.api_keys.c.id).where(tables.api_keys.c.revoked_at.is_(None)).limit(1)
    async with db.read() as connection:
        return (await connection.execute(query)).first() is not None


async def find_key(db: Database, key_id: str) -> tuple[str, str] | None:
    """(user id, digest) of a key in force."""
    columns = tables.api_keys.c
    async with db.read() as connection:
        row = (
            await connection.execute(select(columns.user_id, columns.digest).where(columns.id == key_id, columns.revoked_at.is_(None)))
        ).first()
    return (row.user_id, row.digest) if row else None


async def touch_key(db: Database, key_id: str, *, every_s: float = 60.0) -> None:
    """Note that a key was used, at most once a minute."""
    columns = tables.api_keys.c
    is_old = or_(columns.last_used_at.is_(None), columns.last_used_at < db_now() - every_s)
    async with db.write() as connection:
        await connection.execute(update(tables.api_keys).where(columns.id == key_id, is_old).values(last_used_at=db_now()))


async def revoke_key(db: Database, key_id: str) -> None:
    """Put a key out of force at once."""
    columns = tables.api_keys.c
    async with db.write() as connection:
        result = await connection.execute(
            update(tables.api_keys).where(columns.id == key_id, columns.revoked_at.is_(None)).values(revoked_at=db_now())
        )
    if result.rowcount != 1:
        raise errors.NotFoundError(f"no API key {key_id} in force")


async def remember(connection: Connection, *, user_id: str, key: str, body_digest: str) -> str | None:
    """The resource an Idempotency-Key already made. Whoever asks with the same key meanwhile waits for this transaction's end.

    Raises:
        KeyReused: the key was used with another body.
    """
    columns = tables.idempotency_keys.c
    if connection.dialect_name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{user_id}\n{key}", 0))))
    row = (await connection.execute(select(tables.idempotency_keys).where(columns.user_id == user_id, columns.key == key))).first()
    if row is None:
        return None
    if row.body_digest != body_digest:
        raise KeyReused("this Idempotency-Key was used with another request; send a new key")
    return str(row.resource)


async def note(connection: Connection, *, user_id: str, key: str, body_digest: str, resource: str) -> None:
    """Bind an Idempotency-Key to what it made.

    Raises:
        StateConflict: a request with the same key got there between the look and this; nothing of ours may stay.
    """
    dialect = sqlite if connection.dialect_name == "sqlite" else postgresql
    statement = dialect.insert(tables.idempotency_keys).on_conflict_do_nothing()
    values = {"user_id": user_id, "key": key, "body_digest": body_digest, "resource": resource, "created_at": db_now()}
    if (await connection.execute(statement.values(**values))).rowcount != 1:
        raise StateConflict("a request with this Idempotency-Key is being answered; send it again")


async def expire_idempotency(db: Database, *, older_than_s: float) -> int:
    """Forget old Idempotency-Keys."""
    async with db.write() as connection:
        result = await connection.execute(
            delete(tables.idempotency_keys).where(tables.idempotency_keys.c.created_at < db_now() - older_than_s)
        )
    return result.rowcount
