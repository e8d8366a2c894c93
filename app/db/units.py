"""Queries on units, the pieces of work: claim with epoch and lease, finish with children, release.

Every write for a claimed unit is fenced: it names the epoch the claim gave, and touches nothing once a successor has claimed it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, func, insert, or_, select, update

from app.db import tables
from app.db.engine import Connection, Database, db_now, new_id
from app.db.jobs import end, find
from app.db.rows import NewUnit, Unit
from app.records import FINAL_JOB_STATES, JobState, UnitKind, UnitState

__all__ = [
    "OPEN_STATES",
    "LeaseLost",
    "add",
    "as_unit",
    "cancel_strays",
    "claim",
    "count_down",
    "counts",
    "crash_of_owner",
    "dead_of",
    "ensure_finalize",
    "fence",
    "finish",
    "held",
    "next_due",
    "release",
    "release_in",
    "renew",
    "revive_dead",
    "set_payload",
]

WAITING_STATES = (UnitState.PENDING, UnitState.QUEUED, UnitState.QUARANTINED)
OPEN_STATES = (*WAITING_STATES, UnitState.RUNNING)


SILENT_S = 15.0
"""Seconds without a heartbeat after which a worker counts as dead: three beats."""


class LeaseLost(Exception):
    """The unit is another worker's now: stop, and write nothing."""


def as_unit(row: Row[Any]) -> Unit:
    return Unit(
        id=row.id,
        job_id=row.job_id,
        kind=UnitKind(row.kind),
        state=UnitState(row.state),
        payload=row.payload,
        epoch=row.epoch,
        crashes=row.crashes,
        not_before=row.not_before,
        error=row.error,
    )


async def add(connection: Connection, job_id: str, new: Sequence[NewUnit]) -> list[str]:
    """Insert units of a job and count them as open; return their ids."""
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
            "not_before": unit.not_before,
            "crashes": 0,
        }
        for unit in new
    ]
    await connection.execute(insert(tables.units).values(created_at=db_now()), rows)
    await connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id).values(open_units=tables.jobs.c.open_units + len(rows)))
    return [str(row["id"]) for row in rows]


async def claim(db: Database, unit_id: str, *, owner: str, lease_s: float) -> Unit | None:
    """Take a unit: one statement. ``None`` means a duplicate delivery, a job that is paused or cancelled, or one not due yet.

    When a unit is due, its row alone says: a second message of the same unit, left by a crash or a deploy, has not waited for it.
    """
    columns = tables.units.c
    waiting = and_(columns.state.in_([UnitState.PENDING, UnitState.QUEUED]), columns.not_before <= db_now())
    takeover = and_(columns.state == UnitState.RUNNING, columns.lease_until < db_now())
    runnable = select(tables.jobs.c.id).where(tables.jobs.c.id == columns.job_id, tables.jobs.c.desired_state == JobState.RUNNING).exists()
    statement = (
        update(tables.units)
        .where(columns.id == unit_id, or_(waiting, takeover), runnable)
        .values(
            state=UnitState.RUNNING,
            epoch=columns.epoch + 1,
            owner=owner,
            lease_until=db_now() + lease_s,
            crashes=columns.crashes + case((columns.state == UnitState.RUNNING, crash_of_owner()), else_=0),
        )
        .returning(*columns)
    )
    async with db.write() as connection:
        row = (await connection.execute(statement)).first()
        return replace(as_unit(row), job=await find(connection, row.job_id)) if row else None


def crash_of_owner() -> ColumnElement[int]:
    """1 where a unit's owner shows no sign of life either, else 0: a lease that ran out on a busy worker is nobody's crash."""
    owner, worker = tables.units.c.owner, tables.workers.c
    lives = (
        select(worker.id).where(worker.id.in_([owner + "-builder", owner + "-validator"]), worker.beat_at > db_now() - SILENT_S).exists()
    )
    return case((lives, 0), else_=1)


async def fence(connection: Connection, unit: Unit) -> None:
    """Lock the unit's row for this transaction; raise LeaseLost if it is ours no more."""
    query = select(tables.units.c.id).where(*_ours(unit)).with_for_update()
    if (await connection.execute(query)).first() is None:
        raise LeaseLost(unit.id)


def _ours(unit: Unit) -> tuple[Any, ...]:
    return tables.units.c.id == unit.id, tables.units.c.epoch == unit.epoch, tables.units.c.state == UnitState.RUNNING


async def finish(
    connection: Connection, unit: Unit, *, state: UnitState = UnitState.DONE, error: str | None = None, children: Sequence[NewUnit] = ()
) -> list[str]:
    """End a unit and insert its children in the same transaction; return the children's ids.

    Where it was the job's last open unit, the job moves to ``finalizing`` with a finalize unit, or ends if it was cancelled.

    Raises:
        LeaseLost: nothing was written.
    """
    result = await connection.execute(
        update(tables.units).where(*_ours(unit)).values(state=state, error=error, finished_at=db_now(), lease_until=None, owner=None)
    )
    if result.rowcount != 1:
        raise LeaseLost(unit.id)
    added = await add(connection, unit.job_id, children)
    return added + await count_down(connection, unit.job_id, 1)


async def count_down(connection: Connection, job_id: str, ended: int) -> list[str]:
    """Count ended units of a job; at 0 the job moves on. Returns the ids of units that this made.

    Of a job that is to be cancelled, the units that wait are cancelled first: a unit that ended meanwhile may have left children.
    """
    columns = tables.jobs.c
    row = (
        await connection.execute(
            update(tables.jobs)
            .where(columns.id == job_id)
            .values(open_units=columns.open_units - ended)
            .returning(columns.open_units, columns.state, columns.desired_state)
        )
    ).first()
    if row is None or row.state in FINAL_JOB_STATES:
        return []
    if row.desired_state == JobState.CANCELLED:
        if row.open_units <= await _cancel_waiting(connection, job_id):
            await end(connection, job_id, JobState.CANCELLED)
        return []
    return [] if row.open_units > 0 else await ensure_finalize(connection, job_id)


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
    unit, job = tables.units.c, tables.jobs.c
    query = select(unit.job_id).join(tables.jobs).where(unit.state.in_(WAITING_STATES), job.desired_state == JobState.CANCELLED).distinct()
    if job_id is not None:
        query = query.where(unit.job_id == job_id)
    for row in (await connection.execute(query.where(job.state.not_in(FINAL_JOB_STATES)))).all():
        await count_down(connection, row.job_id, 0)


async def ensure_finalize(connection: Connection, job_id: str) -> list[str]:
    """Insert the finalize unit of a job that has no open unit."""
    job = await find(connection, job_id)
    if job.state is not JobState.PAUSED:
        await connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id).values(state=JobState.FINALIZING))
    return await add(connection, job_id, [NewUnit(UnitKind.FINALIZE)])


async def release(db: Database, unit: Unit, *, delay_s: float = 0.0, error: str | None = None, until: float | None = None) -> bool:
    """Give a unit back, due after ``delay_s`` or at ``until`` (Unix seconds). False if it was ours no more."""
    async with db.write() as connection:
        return await release_in(connection, unit, delay_s=delay_s, error=error, until=until)


async def release_in(
    connection: Connection, unit: Unit, *, delay_s: float = 0.0, error: str | None = None, until: float | None = None
) -> bool:
    """:func:`release` inside a transaction. A unit of a job that was cancelled meanwhile is cancelled, too."""
    result = await connection.execute(
        update(tables.units)
        .where(*_ours(unit))
        .values(
            state=UnitState.PENDING,
            owner=None,
            lease_until=None,
            not_before=until if until is not None else db_now() + delay_s,
            error=error,
            crashes=0,
        )
    )
    if result.rowcount != 1:
        return False
    await cancel_strays(connection, unit.job_id)
    return True


async def set_payload(connection: Connection, unit: Unit, payload: Mapping[str, Any]) -> None:
    """Change a claimed unit's payload."""
    await connection.execute(update(tables.units).where(*_ours(unit)).values(payload=dict(payload)))


async def renew(db: Database, owner: str, held_units: Sequence[tuple[str, int]], lease_s: float) -> set[str]:
    """Prolong the leases of one worker in one statement; return the ids that are still its own."""
    columns = tables.units.c
    wanted = dict(held_units)
    statement = (
        update(tables.units)
        .where(columns.id.in_(list(wanted)), columns.owner == owner, columns.state == UnitState.RUNNING)
        .values(lease_until=db_now() + lease_s)
        .returning(columns.id, columns.epoch)
    )
    async with db.write() as connection:
        rows = (await connection.execute(statement)).all()
    return {row.id for row in rows if wanted[row.id] == row.epoch}


async def held(db: Database, job_ids: Iterable[str]) -> dict[str, JobState]:
    """What is wanted of each of these jobs."""
    query = select(tables.jobs.c.id, tables.jobs.c.desired_state).where(tables.jobs.c.id.in_(list(set(job_ids))))
    async with db.read() as connection:
        return {row.id: JobState(row.desired_state) for row in (await connection.execute(query)).all()}


async def revive_dead(connection: Connection, job_id: str) -> int:
    """Dead units of a job become pending again."""
    result = await connection.execute(
        update(tables.units)
        .where(tables.units.c.job_id == job_id, tables.units.c.state == UnitState.DEAD)
        .values(state=UnitState.PENDING, crashes=0, not_before=0.0, finished_at=None, error=None)
    )
    if result.rowcount:
        await connection.execute(
            update(tables.jobs).where(tables.jobs.c.id == job_id).values(open_units=tables.jobs.c.open_units + result.rowcount)
        )
    return result.rowcount


async def dead_of(db: Database, job_id: str) -> list[Unit]:
    """The units of a job that died, with their errors."""
    query = select(tables.units).where(tables.units.c.job_id == job_id, tables.units.c.state == UnitState.DEAD).limit(100)
    async with db.read() as connection:
        return [as_unit(row) for row in (await connection.execute(query)).all()]


async def counts(db: Database, job_id: str | None = None) -> dict[tuple[str, str], int]:
    """Units by (kind, state)."""
    columns = tables.units.c
    query = select(columns.kind, columns.state, func.count().label("number")).group_by(columns.kind, columns.state)
    if job_id is not None:
        query = query.where(columns.job_id == job_id)
    async with db.read() as connection:
        return {(row.kind, row.state): row.number for row in (await connection.execute(query)).all()}


async def next_due(db: Database, job_id: str) -> float | None:
    """When the job's next waiting unit falls due, Unix seconds."""
    columns = tables.units.c
    query = select(func.min(columns.not_before)).where(columns.job_id == job_id, columns.state == UnitState.PENDING)
    async with db.read() as connection:
        value = (await connection.execute(query)).scalar_one_or_none()
    return None if value is None else float(value)
