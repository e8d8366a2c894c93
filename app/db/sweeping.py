"""Queries of the dispatcher: which units are due and go to the queue, and what comes back that was lost on the way or with its worker."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, and_, delete, func, select, update

from app.db import tables
from app.db.engine import Connection, Database, db_now
from app.db.rows import Unit
from app.db.units import OPEN_STATES, as_unit, cancel_strays, count_down, crash_of_owner, ensure_finalize
from app.records import FINAL_JOB_STATES, JobState, UnitKind, UnitState

__all__ = [
    "Delivery",
    "Swept",
    "due",
    "end_leases",
    "lost_finalizes",
    "queued",
    "return_expired",
    "return_unsent",
]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What goes through the queue: ids, and what the log wants to know."""

    unit_id: str
    kind: UnitKind
    job_id: str
    epoch: int
    chunk_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Swept:
    """What one pass of the sweeper moved."""

    expired: int = 0
    dead: int = 0
    unsent: int = 0
    sent: int = 0
    finalized: int = 0


async def end_leases(db: Database) -> int:
    """Let every lease run out now and forget every worker, for a caller who knows that none is left; return how many leases there were.

    What was sent waits in the database again: a queue that lived in a dead process holds nothing.

    The next sweep takes the units over, and counts the crash, as it would have done after ``jobs.lease_s``.
    """
    columns = tables.units.c
    async with db.write() as connection:
        await connection.execute(delete(tables.workers))
        sent = update(tables.units).where(columns.state == UnitState.QUEUED)
        await connection.execute(sent.values(state=UnitState.PENDING, queued_at=None))
        result = await connection.execute(update(tables.units).where(columns.state == UnitState.RUNNING).values(lease_until=0.0))
    return result.rowcount


async def return_expired(connection: Connection, *, max_crashes: int) -> tuple[int, list[Unit]]:
    """Units whose lease ran out go back to pending, or die at their ``max_crashes``-th crash.

    Returns:
        How many went back, and those that died.
    """
    columns = tables.units.c
    expired = and_(columns.state == UnitState.RUNNING, columns.lease_until < db_now())
    back = await connection.execute(
        update(tables.units)
        .where(expired, columns.crashes + crash_of_owner() < max_crashes)
        .values(state=UnitState.PENDING, owner=None, lease_until=None, crashes=columns.crashes + crash_of_owner())
    )
    words = f"its worker died {max_crashes} times while it ran"
    rows = (
        await connection.execute(
            update(tables.units)
            .where(expired, columns.crashes + crash_of_owner() >= max_crashes)
            .values(state=UnitState.DEAD, owner=None, lease_until=None, error=words, finished_at=db_now(), epoch=columns.epoch + 1)
            .returning(*columns)
        )
    ).all()
    dead = [as_unit(row) for row in rows]
    for unit in dead:
        await count_down(connection, unit.job_id, 1)
    await cancel_strays(connection)
    return back.rowcount, dead


async def queued(db: Database, *, older_than_s: float, limit: int = 1000) -> list[Delivery]:
    """Units sent some time ago and claimed by nobody: the sweeper asks the queue whether it still has them."""
    columns = tables.units.c
    query = (
        select(tables.units)
        .where(columns.state == UnitState.QUEUED, columns.queued_at < db_now() - older_than_s)
        .order_by(columns.queued_at)
    ).limit(limit)
    async with db.read() as connection:
        return [_as_delivery(row) for row in (await connection.execute(query)).all()]


def _as_delivery(row: Row[Any]) -> Delivery:
    return Delivery(row.id, UnitKind(row.kind), row.job_id, row.epoch, chunk_id=row.payload.get("chunk_id"))


async def return_unsent(db: Database, unit_ids: Sequence[str]) -> int:
    """Units that the queue lost, or never got, go back to pending."""
    if not unit_ids:
        return 0
    async with db.write() as connection:
        result = await connection.execute(
            update(tables.units)
            .where(tables.units.c.id.in_(unit_ids), tables.units.c.state == UnitState.QUEUED)
            .values(state=UnitState.PENDING, queued_at=None)
        )
    return result.rowcount


async def due(db: Database, queue: str, *, window: int) -> list[Delivery]:
    """Mark due units of a queue as sent, up to the window, and return them.

    Jobs of higher priority first; among equals every job gets its turn, oldest unit first.
    """
    columns = tables.units.c
    busy = (
        select(func.count())
        .select_from(tables.units)
        .where(columns.queue == queue, columns.state.in_([UnitState.QUEUED, UnitState.RUNNING]))
    )
    async with db.write() as connection:
        room = window - int((await connection.execute(busy)).scalar_one())
        if room <= 0:
            return []
        rows = (await connection.execute(_fair(queue, room))).all()
        if not rows:
            return []
        marked = {row.id for row in (await connection.execute(_mark_sent([row.id for row in rows]))).all()}
    return [_as_delivery(row) for row in rows if row.id in marked]


def _mark_sent(unit_ids: Sequence[str]) -> Any:
    """Only what is pending still: another dispatcher may have sent it meanwhile, and its worker run it."""
    columns = tables.units.c
    still = (columns.id.in_(unit_ids), columns.state == UnitState.PENDING)
    free = select(columns.id).where(*still).with_for_update(skip_locked=True)
    return update(tables.units).where(columns.id.in_(free)).values(state=UnitState.QUEUED, queued_at=db_now()).returning(columns.id)


def _fair(queue: str, room: int) -> Any:
    columns = tables.units.c
    job = tables.jobs.c
    turn = func.row_number().over(partition_by=columns.job_id, order_by=(columns.created_at, columns.id)).label("turn")
    waiting = (
        select(*columns, job.priority, turn)
        .join(tables.jobs, job.id == columns.job_id)
        .where(columns.queue == queue, columns.state == UnitState.PENDING, columns.not_before <= db_now())
        .where(job.desired_state == JobState.RUNNING)
        .subquery()
    )
    ranked = select(waiting).order_by(waiting.c.priority.desc(), waiting.c.turn, waiting.c.created_at, waiting.c.id)
    return ranked.limit(room)


async def lost_finalizes(db: Database) -> int:
    """Jobs without an open unit that have not ended get their finalize unit: a repair that should find nothing."""
    job = tables.jobs.c
    no_unit = ~(
        select(tables.units.c.id)
        .where(tables.units.c.job_id == job.id, tables.units.c.state.in_(OPEN_STATES))
        .correlate(tables.jobs)
        .exists()
    )
    query = select(job.id).where(job.state.not_in([*FINAL_JOB_STATES, JobState.PAUSED]), job.open_units <= 0, no_unit)
    async with db.write() as connection:
        ids = [row.id for row in (await connection.execute(query)).all()]
        for job_id in ids:
            await connection.execute(update(tables.jobs).where(job.id == job_id).values(open_units=0))
            await ensure_finalize(connection, job_id)
    return len(ids)
