"""Queries on workers, named locks, and the backlog of the queues.

The backlog is cheap to read: finished units, of which there may be millions, are never counted.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Double, and_, bindparam, case, delete, func, literal, or_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite

from app.db import tables
from app.db.engine import Connection, Database, db_now
from app.db.rows import WorkerRow
from app.job_states import WORKED_ON, UnitKind, UnitState

__all__ = [
    "BEAT_FRESH_S",
    "STATES",
    "Backlog",
    "backlogs",
    "beat",
    "count_by_kind",
    "count_unfinished",
    "find_oldest",
    "retire",
    "slots",
    "take_lock",
    "workers",
]

BEAT_FRESH_S = 30.0
"""Seconds without a heartbeat after which the slots of a worker no longer count."""

LATE_S = 2.0
"""Seconds that the next holder of a lock may be late without a gap."""


async def beat(db: Database, worker: WorkerRow) -> None:
    """Write the heartbeat of a worker; the first one inserts its row."""
    dialect = sqlite if db.is_sqlite else postgresql
    values = {name: getattr(worker, name) for name in ("id", "kind", "host", "pid", "version", "slots", "running", "loop_lag_s", "hosts")}
    statement = dialect.insert(tables.workers).values(**values, started_at=db_now(), beat_at=db_now())
    change = {"running": worker.running, "loop_lag_s": worker.loop_lag_s, "hosts": worker.hosts, "beat_at": db_now()}
    async with db.write() as connection:
        await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=change))


async def retire(db: Database, worker_id: str) -> None:
    """Delete the row of a worker that shut down."""
    async with db.write() as connection:
        await connection.execute(delete(tables.workers).where(tables.workers.c.id == worker_id))


async def workers(db: Database, *, fresh_s: float | None = None) -> Sequence[WorkerRow]:
    """Return the workers, or only those whose last heartbeat is younger than ``fresh_s``."""
    query = select(tables.workers).order_by(tables.workers.c.started_at)
    if fresh_s is not None:
        query = query.where(tables.workers.c.beat_at > db_now() - fresh_s)
    async with db.read() as connection:
        return [WorkerRow(**row._mapping) for row in (await connection.execute(query)).all()]


async def slots(connection: Connection, *, fresh_s: float) -> dict[str, int]:
    """Return the slots of the live workers of each kind: units that they run at once."""
    return {row.kind: int(row.number) for row in (await connection.execute(_slots(), {"fresh_s": fresh_s})).all()}


@functools.cache
def _slots() -> Any:
    """Built once, since it runs whenever a unit finishes."""
    columns = tables.workers.c
    is_fresh = columns.beat_at > db_now() - bindparam("fresh_s", type_=Double())
    return select(columns.kind, func.sum(columns.slots).label("number")).where(is_fresh).group_by(columns.kind)


async def forget_workers(db: Database, *, older_than_s: float) -> int:
    """Delete the rows of workers without a recent heartbeat; return how many."""
    async with db.write() as connection:
        result = await connection.execute(delete(tables.workers).where(tables.workers.c.beat_at < db_now() - older_than_s))
    return result.rowcount


async def take_lock(db: Database, name: str, *, owner: str, for_s: float, anew: bool = False) -> bool:
    """Take or renew a named lock for ``for_s`` seconds; return false while another owner holds it. The lock expires by itself.

    Args:
        anew: reset ``since`` to now. It is also reset if nobody held the lock for ``for_s`` and :data:`LATE_S`.
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


DEFERRED = "deferred"
"""Pending, with a not-before time in the future."""

UNFINISHED = (UnitState.PENDING, UnitState.QUEUED, UnitState.RUNNING, UnitState.QUARANTINED, UnitState.DEAD)

STATES = (UnitState.PENDING.value, DEFERRED, *(state.value for state in UNFINISHED[1:]))
"""States that are counted."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The backlog of one queue.

    Attributes:
        units: count for each of :data:`STATES`.
        oldest_due_s: seconds for which the oldest runnable unit has been due; ``None`` if none waits. Paused jobs do not count.
        slots: units that the live workers of the queue run at once.
    """

    name: str
    units: Mapping[str, int]
    oldest_due_s: float | None
    slots: int


async def backlogs(db: Database, names: Sequence[str], *, fresh_s: float) -> list[Backlog]:
    """Return the backlog of each of these queues; a worker is live if its last heartbeat is younger than ``fresh_s``."""
    async with db.read() as connection:
        counted = (await connection.execute(count_unfinished(names))).all()
        oldest = {row.queue: row.age_s for row in (await connection.execute(find_oldest(names))).all()}
        slots_of = await slots(connection, fresh_s=fresh_s)
    units = {name: dict.fromkeys(STATES, 0) for name in names}
    for row in counted:
        units[row.queue][row.state] = row.number
    return [Backlog(name, units[name], oldest.get(name), slots_of.get(name, 0)) for name in names]


async def count_by_kind(db: Database) -> dict[tuple[str, str], int]:
    """Count unfinished units by (kind, one of :data:`STATES`)."""
    names = sorted({kind.queue for kind in UnitKind})
    async with db.read() as connection:
        rows = (await connection.execute(count_unfinished(names, by=tables.units.c.kind))).all()
    return {(row.kind, row.state): row.number for row in rows}


def count_unfinished(names: Sequence[str], *, by: Any = tables.units.c.queue) -> Any:
    """Build the query that counts units by queue, or another column, and state."""
    columns = tables.units.c
    ahead = and_(columns.state == UnitState.PENDING, columns.not_before > db_now())
    unfinished = (
        select(by, case((ahead, literal(DEFERRED)), else_=columns.state).label("state"))
        .where(columns.queue.in_(names), columns.state.in_(UNFINISHED))
        .subquery()
    )
    keys = (unfinished.c[by.name], unfinished.c.state)
    return select(*keys, func.count().label("number")).group_by(*keys)


def find_oldest(names: Sequence[str]) -> Any:
    """Build the query for the seconds that the oldest due unit of each queue has waited."""
    columns = tables.units.c
    due_since = case((columns.not_before > columns.created_at, columns.not_before), else_=columns.created_at)
    return (
        select(columns.queue, func.max(db_now() - due_since).label("age_s"))
        .join(tables.jobs)
        .where(columns.queue.in_(names), columns.state.in_([UnitState.PENDING, UnitState.QUEUED]), columns.not_before <= db_now())
        .where(tables.jobs.c.desired_state.in_(WORKED_ON))
        .group_by(columns.queue)
    )
