"""Queries on units of work: claim with an epoch and a lease, finish with children, release.

Every write for a claimed unit is fenced: it names the epoch of the claim, and changes nothing after another worker has claimed the unit.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Double, and_, bindparam, case, func, select, update

from app.db import lifecycle, tables, takeover
from app.db.engine import Connection, Database, db_now
from app.db.jobs import find
from app.db.rows import NewUnit, Unit, as_unit
from app.job_states import OPEN_UNIT_STATES, WORKED_ON, DesiredState, JobState, UnitKind, UnitState

__all__ = [
    "LeaseLost",
    "StageTime",
    "adopt",
    "claim",
    "count_due",
    "counts",
    "dead_of",
    "fence",
    "finish",
    "job_states",
    "release",
    "release_in",
    "renew",
    "reset_crashes",
    "set_payload",
    "stage_times",
    "troubled_units",
    "units_of_chunk",
]


class LeaseLost(Exception):
    """Another worker has claimed the unit: stop, and write nothing."""


async def claim(db: Database, unit_id: str, *, owner: str, lease_s: float) -> Unit | None:
    """Claim a unit in one statement. ``None`` means a duplicate delivery, a paused or cancelled job, or a unit that is not due yet.

    The row alone decides whether a unit is due, since a duplicate message, left by a crash or a deploy, may come early. A running unit
    whose lease has expired is taken over as a sweep would take it back.
    """
    claimant = {"wanted": unit_id, "claimant": owner, "lease_s": lease_s}
    async with db.write() as connection:
        row = (await connection.execute(_claim(), claimant)).first()
        if row is None and await takeover.take_back_expired(connection, tables.units.c.id == unit_id, lease_s=lease_s, max_crashes=None):
            row = (await connection.execute(_claim(), claimant)).first()
        return replace(as_unit(row), job=await find(connection, row.job_id)) if row else None


@functools.cache
def _claim() -> Any:
    """Built once: building the statement costs more than sending it."""
    columns = tables.units.c
    lease_s: Any = bindparam("lease_s", type_=Double())
    waiting = and_(columns.state.in_([UnitState.PENDING, UnitState.QUEUED]), columns.not_before <= db_now())
    runnable = select(tables.jobs.c.id).where(tables.jobs.c.id == columns.job_id, tables.jobs.c.desired_state.in_(WORKED_ON)).exists()
    return (
        update(tables.units)
        .where(columns.id == bindparam("wanted"), waiting, runnable)
        .values(
            state=UnitState.RUNNING,
            epoch=columns.epoch + 1,
            owner=bindparam("claimant"),
            lease_until=db_now() + lease_s,
        )
        .returning(*columns)
    )


async def adopt(db: Database, unit_id: str, epoch: int) -> Unit:
    """Return a unit that another process of the same owner has claimed.

    Raises:
        LeaseLost: the owner no longer holds it.
    """
    columns = tables.units.c
    query = select(tables.units).where(columns.id == unit_id, columns.epoch == epoch, columns.state == UnitState.RUNNING)
    async with db.read() as connection:
        row = (await connection.execute(query)).first()
        if row is None:
            raise LeaseLost(unit_id)
        return replace(as_unit(row), job=await find(connection, row.job_id))


async def fence(connection: Connection, unit: Unit) -> None:
    """Lock the row of the unit for this transaction.

    Raises:
        LeaseLost: another worker holds the unit.
    """
    if (await connection.execute(_fence(), {"wanted": unit.id, "held": unit.epoch})).first() is None:
        raise LeaseLost(unit.id)


@functools.cache
def _fence() -> Any:
    return select(tables.units.c.id).where(*_held()).with_for_update()


def _held() -> tuple[Any, ...]:
    """The condition :func:`_ours` with bound parameters, for statements that are built once."""
    columns = tables.units.c
    return columns.id == bindparam("wanted"), columns.epoch == bindparam("held"), columns.state == UnitState.RUNNING


def _ours(unit: Unit) -> tuple[Any, ...]:
    return tables.units.c.id == unit.id, tables.units.c.epoch == unit.epoch, tables.units.c.state == UnitState.RUNNING


async def finish(
    connection: Connection, unit: Unit, *, state: UnitState = UnitState.DONE, error: str | None = None, children: Sequence[NewUnit] = ()
) -> list[str]:
    """End a unit and insert its children in the same transaction; return the children's ids.

    If it was the last open unit of its job, the job moves to ``finalizing`` with a finalize unit, or ends if it was cancelled.

    Raises:
        LeaseLost: nothing was written.
    """
    end_state = {"wanted": unit.id, "held": unit.epoch, "new_state": state, "new_error": error}
    if (await connection.execute(_finish(), end_state)).rowcount != 1:
        raise LeaseLost(unit.id)
    added = await lifecycle.add_units(connection, unit.job_id, children)
    failure = error if unit.kind is UnitKind.FINALIZE and state is UnitState.DEAD else None
    return added + await lifecycle.count_down(connection, unit.job_id, 1, failure=failure)


@functools.cache
def _finish() -> Any:
    ended = {"state": bindparam("new_state"), "error": bindparam("new_error"), "finished_at": db_now()}
    return update(tables.units).where(*_held()).values(**ended, lease_until=None, owner=None)


async def release(
    db: Database, unit: Unit, *, delay_s: float = 0.0, error: str | None = None, until: float | None = None, quarantined: bool = False
) -> bool:
    """Release a unit, due after ``delay_s`` or at ``until`` (Unix seconds); return false if another worker holds it.

    Args:
        quarantined: the unit stays in quarantine; otherwise its crashes are reset.
    """
    async with db.write() as connection:
        return await release_in(connection, unit, delay_s=delay_s, error=error, until=until, quarantined=quarantined)


async def release_in(
    connection: Connection,
    unit: Unit,
    *,
    delay_s: float = 0.0,
    error: str | None = None,
    until: float | None = None,
    quarantined: bool = False,
) -> bool:
    """:func:`release` inside a transaction. A unit whose job was cancelled meanwhile is cancelled as well."""
    waits = {"state": UnitState.QUARANTINED} if quarantined else {"state": UnitState.PENDING, "crashes": 0}
    result = await connection.execute(
        update(tables.units)
        .where(*_ours(unit))
        .values(
            **waits,
            owner=None,
            lease_until=None,
            not_before=until if until is not None else db_now() + delay_s,
            error=error,
        )
    )
    if result.rowcount != 1:
        return False
    await lifecycle.settle_strays(connection, unit.job_id)
    return True


async def reset_crashes(connection: Connection, unit: Unit) -> None:
    """Reset the crashes of a claimed unit, because it has made progress."""
    await connection.execute(update(tables.units).where(*_ours(unit), tables.units.c.crashes > 0).values(crashes=0))


async def set_payload(connection: Connection, unit: Unit, payload: Mapping[str, Any]) -> None:
    """Change the payload of a claimed unit."""
    await connection.execute(update(tables.units).where(*_ours(unit)).values(payload=dict(payload)))


async def renew(db: Database, owner: str, held_units: Sequence[tuple[str, int]], lease_s: float) -> set[str]:
    """Renew the leases of one worker in one statement; return the ids that it still holds."""
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


async def job_states(db: Database, job_ids: Iterable[str]) -> dict[str, tuple[DesiredState, JobState]]:
    """Return the desired and the present state of each of these jobs."""
    c = tables.jobs.c
    query = select(c.id, c.desired_state, c.state).where(c.id.in_(list(set(job_ids))))
    async with db.read() as connection:
        return {row.id: (DesiredState(row.desired_state), JobState(row.state)) for row in (await connection.execute(query)).all()}


async def dead_of(db: Database, job_id: str) -> list[Unit]:
    """Return the dead units of a job, at most 100."""
    query = select(tables.units).where(tables.units.c.job_id == job_id, tables.units.c.state == UnitState.DEAD).limit(100)
    async with db.read() as connection:
        return [as_unit(row) for row in (await connection.execute(query)).all()]


async def counts(db: Database, job_id: str | None = None) -> dict[tuple[str, str], int]:
    """Count units by (kind, state)."""
    columns = tables.units.c
    query = select(columns.kind, columns.state, func.count().label("number")).group_by(columns.kind, columns.state)
    if job_id is not None:
        query = query.where(columns.job_id == job_id)
    async with db.read() as connection:
        return {(row.kind, row.state): row.number for row in (await connection.execute(query)).all()}


async def count_due(db: Database, job_id: str) -> int:
    """Count the open units of a job that wait for nothing but a worker, or run."""
    columns = tables.units.c
    is_due = (columns.job_id == job_id, columns.state.in_(OPEN_UNIT_STATES), columns.not_before <= db_now())
    async with db.read() as connection:
        return int((await connection.execute(select(func.count()).where(*is_due))).scalar_one())


@dataclass(frozen=True, slots=True)
class StageTime:
    """One kind of work: Unix times of its first unit's making and its last unit's end, and how many units are not done."""

    kind: str
    units: int
    open: int
    began_at: float
    ended_at: float | None


async def stage_times(db: Database, job_id: str) -> list[StageTime]:
    """Each kind of work a job had, in the order in which they began."""
    columns = tables.units.c
    began = func.min(columns.created_at).label("began_at")
    is_open = case((columns.state.in_(OPEN_UNIT_STATES), 1), else_=0)
    query = (
        select(
            columns.kind,
            func.count().label("units"),
            func.sum(is_open).label("open"),
            began,
            func.max(columns.finished_at).label("ended_at"),
        )
        .where(columns.job_id == job_id)
        .group_by(columns.kind)
        .order_by(began, columns.kind)
    )
    async with db.read() as connection:
        rows = (await connection.execute(query)).all()
    return [StageTime(row.kind, row.units, int(row.open), row.began_at, None if row.open else row.ended_at) for row in rows]


async def troubled_units(db: Database, job_id: str, *, limit: int = 20) -> list[Unit]:
    """A job's units that died or are suspected of killing their workers, and those that failed and will be tried again."""
    columns = tables.units.c
    bad = columns.state.in_([UnitState.DEAD, UnitState.QUARANTINED])
    failing = columns.state.in_([UnitState.PENDING, UnitState.QUEUED, UnitState.RUNNING]) & (
        columns.error.is_not(None) | (columns.crashes > 0)
    )
    query = select(tables.units).where(columns.job_id == job_id, bad | failing).order_by(columns.created_at, columns.id).limit(limit)
    async with db.read() as connection:
        return [as_unit(row) for row in (await connection.execute(query)).all()]


async def units_of_chunk(db: Database, job_id: str, chunk_id: str) -> list[Unit]:
    """The units that worked, or will, at one chunk of a job."""
    columns = tables.units.c
    of_chunk = columns.payload["chunk_id"].as_string() == chunk_id
    query = select(tables.units).where(columns.job_id == job_id, of_chunk).order_by(columns.created_at, columns.id)
    async with db.read() as connection:
        return [as_unit(row) for row in (await connection.execute(query)).all()]
