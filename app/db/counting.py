"""Units as their job counts them: added, ended, and what becomes of the job once none is open."""

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from app.db import tables
from app.db.engine import Connection, db_now, new_id
from app.db.jobs import end, find
from app.db.rows import NewUnit
from app.domain import ACTIVE_JOB_STATES, FINAL_JOB_STATES, JobState, UnitKind, UnitState

__all__ = ["OPEN_STATES", "WAITING_STATES", "add", "cancel_strays", "count_down", "ensure_finalize"]

WAITING_STATES = (UnitState.PENDING, UnitState.QUEUED, UnitState.QUARANTINED)
OPEN_STATES = (*WAITING_STATES, UnitState.RUNNING)


async def add(connection: Connection, job_id: str, new: Sequence[NewUnit]) -> list[str]:
    """Insert units of a job and count them as open; return their ids. They wait in the order in which they fall due, at once by default."""
    if not new:
        return []
    rows = [
        {
            "id": new_id("unit"),
            "job_id": job_id,
            "kind": unit.kind,
            "queue": unit.kind.queue,
            "state": UnitState.PENDING,
            "payload": dict(unit.payload),
            "epoch": 0,
            "due": unit.not_before,
            "crashes": 0,
        }
        for unit in new
    ]
    await connection.execute(_add(), rows)
    await connection.execute(_count_up(), {"wanted": job_id, "added": len(rows)})
    return [str(row["id"]) for row in rows]


@functools.cache
def _add() -> Any:
    """Built once, as those below: mostly a unit's end makes another."""
    due: Any = func.coalesce(bindparam("due"), db_now())
    return insert(tables.units).values(created_at=db_now(), not_before=due)


@functools.cache
def _count_up() -> Any:
    columns = tables.jobs.c
    return update(tables.jobs).where(columns.id == bindparam("wanted")).values(open_units=columns.open_units + bindparam("added"))


async def count_down(connection: Connection, job_id: str, ended: int, *, failure: str | None = None) -> list[str]:
    """Count ended units of a job; at 0 the job moves on. Returns the ids of units that this made.

    Where it was the decision on how to move on that died, with ``failure``, the job has failed: another one would die the same way.

    Of a job that is to be cancelled, the units that wait are cancelled first: a unit that ended meanwhile may have left children.
    """
    row = (await connection.execute(_count_down(), {"wanted": job_id, "ended": ended})).first()
    if row is None or row.state in FINAL_JOB_STATES:
        return []
    if row.desired_state == JobState.CANCELLED:
        if row.open_units <= await _cancel_waiting(connection, job_id):
            await end(connection, job_id, JobState.CANCELLED)
        return []
    if row.open_units > 0:
        return []
    if failure is not None:
        await end(connection, job_id, JobState.FAILED, error=f"the job's end could not be decided: {failure}")
        return []
    return await ensure_finalize(connection, job_id)


@functools.cache
def _count_down() -> Any:
    """Built once, since every unit's end needs it."""
    columns = tables.jobs.c
    statement = update(tables.jobs).where(columns.id == bindparam("wanted")).values(open_units=columns.open_units - bindparam("ended"))
    return statement.returning(columns.open_units, columns.state, columns.desired_state)


async def _cancel_waiting(connection: Connection, job_id: str) -> int:
    columns = tables.units.c
    result = await connection.execute(
        update(tables.units)
        .where(columns.job_id == job_id, columns.state.in_(WAITING_STATES))
        .values(state=UnitState.CANCELLED, finished_at=db_now())
    )
    if result.rowcount:
        await connection.execute(
            update(tables.jobs).where(tables.jobs.c.id == job_id).values(open_units=tables.jobs.c.open_units - result.rowcount)
        )
    return result.rowcount


async def cancel_strays(connection: Connection, job_id: str | None = None) -> None:
    """Units that were given back after their job was cancelled: nobody would ever claim them, and the job would never end."""
    job = tables.jobs.c
    query = select(job.id).where(job.state.in_(ACTIVE_JOB_STATES), job.desired_state == JobState.CANCELLED)
    if job_id is not None:
        query = query.where(job.id == job_id)
    for row in (await connection.execute(query)).all():
        await count_down(connection, row.id, 0)


async def ensure_finalize(connection: Connection, job_id: str) -> list[str]:
    """Insert the finalize unit of a job that has no open unit."""
    job = await find(connection, job_id)
    if job.state is not JobState.PAUSED:
        await connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id).values(state=JobState.FINALIZING))
    return await add(connection, job_id, [NewUnit(UnitKind.FINALIZE)])
