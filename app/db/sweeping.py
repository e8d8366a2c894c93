"""Queries of the sweeper: what comes back that was lost with its worker, and the repairs that should find nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, select, true, update

from app.db import tables
from app.db.engine import Connection, Database, db_now
from app.db.owners import owner_is_silent, owner_lives
from app.db.rows import Unit
from app.db.sending import call_back, waiting_state
from app.db.units import OPEN_STATES, as_unit, cancel_strays, ensure_finalize
from app.domain import ACTIVE_JOB_STATES, JobState, UnitState

__all__ = ["Returned", "Swept", "end_leases", "lost_finalizes", "return_expired"]


@dataclass(frozen=True, slots=True)
class Swept:
    """What one pass of the sweeper moved."""

    expired: int = 0
    quarantined: int = 0
    unsent: int = 0
    sent: int = 0
    finalized: int = 0


@dataclass(frozen=True, slots=True)
class Returned:
    """Units whose lease had run out: those whose worker lives or died for the first times, and those that died too often."""

    pending: Sequence[Unit] = ()
    quarantined: Sequence[Unit] = ()


async def end_leases(db: Database, *, max_crashes: int) -> int:
    """Take every unit back and forget every worker, for a caller who knows that none is left; return how many leases there were.

    Each counts one crash. What was sent waits in the database again: a queue that lived in a dead process holds nothing.
    """
    async with db.write() as connection:
        await connection.execute(delete(tables.workers))
        await call_back(connection, true(), max_crashes=max_crashes)
        returned = await _take_back(connection, true(), charge=1, max_crashes=max_crashes)
        await cancel_strays(connection)
    return len(returned)


async def return_expired(connection: Connection, *, lease_s: float, max_crashes: int) -> Returned:
    """Units whose lease ran out wait again, in quarantine from their ``max_crashes``-th crash on.

    A crash is counted where the owner has been silent for a lease, while the database answered. An owner that gave a sign of life after
    its lease ran out is slow or was cut off, not dead: nothing is counted. Where neither is known yet, a later sweep decides.
    """
    is_expired = tables.units.c.lease_until < db_now()
    free = await _take_back(connection, and_(is_expired, owner_lives()), charge=0, max_crashes=max_crashes)
    crashed = await _take_back(connection, and_(is_expired, owner_is_silent(lease_s)), charge=1, max_crashes=max_crashes)
    await cancel_strays(connection)
    units = [*free, *crashed]
    pending = [unit for unit in units if unit.state is not UnitState.QUARANTINED]
    return Returned(pending, [unit for unit in units if unit.state is UnitState.QUARANTINED])


async def _take_back(connection: Connection, which: ColumnElement[bool], *, charge: int, max_crashes: int) -> list[Unit]:
    columns = tables.units.c
    statement = (
        update(tables.units)
        .where(columns.state == UnitState.RUNNING, which)
        .values(state=waiting_state(max_crashes - charge), owner=None, lease_until=None, crashes=columns.crashes + charge)
        .returning(*columns)
    )
    return [as_unit(row) for row in (await connection.execute(statement)).all()]


async def lost_finalizes(db: Database) -> int:
    """Jobs without an open unit that have not ended get their finalize unit: a repair that should find nothing."""
    job = tables.jobs.c
    no_unit = ~(
        select(tables.units.c.id)
        .where(tables.units.c.job_id == job.id, tables.units.c.state.in_(OPEN_STATES))
        .correlate(tables.jobs)
        .exists()
    )
    states = ACTIVE_JOB_STATES - {JobState.PAUSED}
    query = select(job.id).where(job.state.in_(states), job.open_units <= 0, no_unit)
    async with db.read() as connection:
        suspects = [row.id for row in (await connection.execute(query)).all()]
    if not suspects:
        return 0
    async with db.write() as connection:
        ids = [row.id for row in (await connection.execute(query.where(job.id.in_(suspects)))).all()]
        for job_id in ids:
            await connection.execute(update(tables.jobs).where(job.id == job_id).values(open_units=0))
            await ensure_finalize(connection, job_id)
    return len(ids)
