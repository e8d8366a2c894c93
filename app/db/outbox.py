"""Queries of the dispatcher and the sweeper: which units go to the queue next, and which come back from lost workers and messages.

The table ``units`` is a transactional outbox: a pending row is sent to the queue later, and sent again if its message is lost.
"""

import functools
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Integer, Row, String, bindparam, case, column, delete, func, select, true, update, values

from app.db import tables, takeover
from app.db.columns import PENDING
from app.db.engine import Connection, Database, db_now
from app.db.lifecycle import ensure_finalize, settle_strays
from app.db.rows import Unit
from app.db.takeover import waiting_state
from app.job_states import ACTIVE_JOB_STATES, OPEN_UNIT_STATES, TRACED, WORKED_ON, JobState, UnitKind, UnitState

__all__ = [
    "Delivery",
    "Demand",
    "JobDemand",
    "QueueShare",
    "Returned",
    "Swept",
    "UnderWay",
    "call_back",
    "demand",
    "end_leases",
    "lost_finalizes",
    "queued",
    "return_expired",
    "return_unsent",
    "shares",
    "take",
    "take_quarantined",
    "under_way",
]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A unit to be sent through the queue: ids, and the fields of its log lines.

    Attributes:
        rank: see :class:`app.jobs.fairness.Turn`; 0 goes first.
        request_id: the request that made the job.
        traceparent: the trace it belongs to (W3C Trace Context).
    """

    unit_id: str
    kind: UnitKind
    job_id: str
    epoch: int
    chunk_id: str | None = None
    rank: int = 0
    request_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Counts of the queued and running units of one queue: all of them, those in quarantine, by user, and by job."""

    units: int = 0
    alone: int = 0
    users: Mapping[str, int] = field(default_factory=dict)
    jobs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobDemand:
    """A job with due units.

    Attributes:
        priority: orders the jobs of one user, higher first; between users it counts for nothing, since users set it themselves.
        under_way: units of the job that are sent or running.
        since: when the job was made, Unix seconds; of equals the older goes first.
    """

    job_id: str
    user_id: str
    priority: int = 0
    under_way: int = 0
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class QueueShare:
    """A user's part of one queue: units running in the whole fleet, and seconds since the oldest one that waits was sent, 0 for none."""

    user_id: str
    running: int
    waited_s: float


@dataclass(frozen=True, slots=True)
class Demand:
    """Demand for one queue: active units by user, jobs with due units, and whether a unit in quarantine may be sent."""

    queue: str
    busy: Mapping[str, int]
    jobs: Sequence[JobDemand]
    has_quarantined: bool = False


async def under_way(connection: Connection, *, max_crashes: int) -> Mapping[str, UnderWay]:
    """Count the queued and running units of each queue. There are never more of them than fit into the windows."""
    table: dict[str, UnderWay] = defaultdict(UnderWay)
    for row in (await connection.execute(_under_way(), {"max_crashes": max_crashes})).all():
        known = table[row.queue]
        users = {**known.users, row.user_id: known.users.get(row.user_id, 0) + row.number}
        jobs = {**known.jobs, row.job_id: row.number}
        table[row.queue] = UnderWay(known.units + row.number, known.alone + row.alone, users, jobs)
    return table


@functools.cache
def _under_way() -> Any:
    """Built once, since it runs whenever a unit finishes."""
    unit, job = tables.units.c, tables.jobs.c
    alone = func.sum(case((unit.crashes >= bindparam("max_crashes", type_=Integer()), 1), else_=0)).label("alone")
    query = select(unit.queue, unit.job_id, job.user_id, func.count().label("number"), alone).join(tables.jobs, job.id == unit.job_id)
    query = query.where(unit.state.in_([UnitState.QUEUED, UnitState.RUNNING]))
    return query.group_by(unit.queue, unit.job_id, job.user_id)


async def demand(connection: Connection, queue: str, busy: UnderWay, only: Collection[str] | None = None) -> Demand:
    """Return the demand of all jobs, or of these, for a queue. At most one unit in quarantine is queued or running at a time."""
    rows = (await connection.execute(_with_due_units(queue))).all()
    jobs = [
        JobDemand(row.id, row.user_id, row.priority, busy.jobs.get(row.id, 0), row.created_at)
        for row in rows
        if only is None or row.id in only
    ]
    has_quarantined = not busy.alone and (await connection.execute(_quarantined_of(queue, only))).first() is not None
    return Demand(queue, busy.users, jobs, has_quarantined)


async def shares(db: Database) -> Mapping[str, Sequence[QueueShare]]:
    """Return each user's share of each queue."""
    unit, job = tables.units.c, tables.jobs.c
    running = func.sum(case((unit.state == UnitState.RUNNING, 1), else_=0)).label("running")
    waited_s = (db_now() - func.min(case((unit.state == UnitState.QUEUED, unit.queued_at)))).label("waited_s")
    query = select(unit.queue, job.user_id, running, waited_s).join(tables.jobs, job.id == unit.job_id)
    query = query.where(unit.state.in_([UnitState.QUEUED, UnitState.RUNNING])).group_by(unit.queue, job.user_id)
    table: dict[str, list[QueueShare]] = defaultdict(list)
    async with db.read() as connection:
        for row in (await connection.execute(query)).all():
            table[row.queue].append(QueueShare(row.user_id, row.running, row.waited_s or 0.0))
    return table


@functools.cache
def _with_due_units(queue: str) -> Any:
    """Jobs with due units: one index lookup per open job, however many units wait, since a scalar subquery is not turned into a join.

    Built once for each queue, since it runs whenever a unit finishes.
    """
    unit, job = tables.units.c, tables.jobs.c
    first = select(unit.id).where(*_due_of(job.id, queue)).order_by(unit.not_before, unit.id).limit(1).correlate(tables.jobs)
    query = select(job.id, job.user_id, job.priority, job.created_at)
    return query.where(job.state.in_(ACTIVE_JOB_STATES), job.desired_state.in_(WORKED_ON), first.scalar_subquery().is_not(None))


def _due_of(job_id: Any, queue: str) -> tuple[Any, ...]:
    unit = tables.units.c
    return unit.job_id == job_id, unit.queue == queue, PENDING, unit.not_before <= db_now()


async def take(connection: Connection, queue: str, shares: Mapping[str, int]) -> list[Delivery]:
    """Mark due units as queued, up to the given number for each job, the longest due first, and return them."""
    if connection.dialect_name == "postgresql":
        return await _mark_sent(connection, await _ids(connection, _first_of_each(queue, shares)))
    ids = [found for job_id, number in shares.items() for found in await _ids(connection, _first_of(job_id, queue, number))]
    return await _mark_sent(connection, ids)


def _first_of(job_id: Any, queue: str, number: Any) -> Any:
    unit = tables.units.c
    query = select(unit.id).where(*_due_of(job_id, queue)).order_by(unit.not_before, unit.id).limit(number)
    return query.with_for_update(skip_locked=True)


def _first_of_each(queue: str, shares: Mapping[str, int]) -> Any:
    """The same for all jobs in one statement; needs LATERAL."""
    wanted = values(column("job_id", String), column("number", Integer), name="wanted").data(list(shares.items()))
    first = _first_of(wanted.c.job_id, queue, wanted.c.number).correlate(wanted).lateral("first")
    return select(first.c.id).select_from(wanted.join(first, true()))


async def _ids(connection: Connection, query: Any) -> list[str]:
    return [row.id for row in (await connection.execute(query)).all()]


async def take_quarantined(connection: Connection, queue: str, only: Collection[str] | None = None) -> list[Delivery]:
    """Mark the unit in quarantine that has been due the longest as queued."""
    query = _quarantined_of(queue, only).with_for_update(of=tables.units, skip_locked=True)
    return await _mark_sent(connection, await _ids(connection, query))


def _quarantined_of(queue: str, only: Collection[str] | None) -> Any:
    return _quarantined(queue) if only is None else _quarantined(queue).where(tables.jobs.c.id.in_(only))


@functools.cache
def _quarantined(queue: str) -> Any:
    unit, job = tables.units.c, tables.jobs.c
    query = select(unit.id).join(tables.jobs, job.id == unit.job_id)
    query = query.where(unit.queue == queue, unit.state == UnitState.QUARANTINED, unit.not_before <= db_now())
    return query.where(job.desired_state.in_(WORKED_ON)).order_by(unit.not_before, unit.id).limit(1)


async def _mark_sent(connection: Connection, ids: Sequence[str]) -> list[Delivery]:
    """Mark only units that still wait; another dispatcher may have sent them, and a worker may run them already."""
    if not ids:
        return []
    unit = tables.units.c
    statement = (
        update(tables.units)
        .where(unit.id.in_(ids), unit.state.in_([UnitState.PENDING, UnitState.QUARANTINED]))
        .values(state=UnitState.QUEUED, queued_at=db_now())
        .returning(*_delivered())
    )
    marked = {row.id: row for row in (await connection.execute(statement)).all()}
    return [_as_delivery(marked[unit_id]) for unit_id in ids if unit_id in marked]


async def queued(db: Database, *, older_than_s: float, limit: int = 1000) -> list[Delivery]:
    """Return units that were queued some time ago and not claimed; the sweeper asks the queue whether it still has their messages."""
    columns = tables.units.c
    query = (
        select(*_delivered())
        .where(columns.state == UnitState.QUEUED, columns.queued_at < db_now() - older_than_s)
        .order_by(columns.queued_at)
    ).limit(limit)
    async with db.read() as connection:
        return [_as_delivery(row) for row in (await connection.execute(query)).all()]


@functools.cache
def _delivered() -> tuple[Any, ...]:
    """Built once, since every dispatch selects these columns."""
    unit, job = tables.units.c, tables.jobs.c
    of_job = [select(job[name]).where(job.id == unit.job_id).scalar_subquery().label(name) for name in TRACED]
    return unit.id, unit.kind, unit.job_id, unit.epoch, unit.payload, *of_job


def _as_delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        row.id,
        UnitKind(row.kind),
        row.job_id,
        row.epoch,
        chunk_id=row.payload.get("chunk_id"),
        request_id=row.request_id,
        traceparent=row.traceparent,
    )


async def return_unsent(db: Database, unit_ids: Sequence[str], *, max_crashes: int) -> int:
    """Make units pending again whose messages the queue lost, or never got; return how many."""
    if not unit_ids:
        return 0
    async with db.write() as connection:
        return await call_back(connection, tables.units.c.id.in_(unit_ids), max_crashes=max_crashes)


async def call_back(connection: Connection, *which: Any, max_crashes: int) -> int:
    """Make queued units pending again. A message that still arrives can claim its unit as usual."""
    statement = update(tables.units).where(*which, tables.units.c.state == UnitState.QUEUED)
    return (await connection.execute(statement.values(state=waiting_state(max_crashes), queued_at=None))).rowcount


@dataclass(frozen=True, slots=True)
class Swept:
    """Numbers of units that one pass of the sweeper moved."""

    expired: int = 0
    quarantined: int = 0
    unsent: int = 0
    sent: int = 0
    finalized: int = 0


@dataclass(frozen=True, slots=True)
class Returned:
    """Units whose lease had expired: those that are pending again, and those whose workers crashed too often."""

    pending: Sequence[Unit] = ()
    quarantined: Sequence[Unit] = ()


async def end_leases(db: Database, *, max_crashes: int) -> int:
    """Take back every unit and delete every worker, for a caller that knows that no worker is left; return the number of leases.

    Queued units are pending again, since a queue inside a dead process has lost its messages.
    """
    async with db.write() as connection:
        await connection.execute(delete(tables.workers))
        await call_back(connection, true(), max_crashes=max_crashes)
        returned = await takeover.take_back_dead(connection, max_crashes=max_crashes)
        await settle_strays(connection)
    return len(returned)


async def return_expired(connection: Connection, *, lease_s: float, max_crashes: int) -> Returned:
    """Take back the units whose lease has expired, see :func:`app.db.takeover.take_back_expired`."""
    units = await takeover.take_back_expired(connection, lease_s=lease_s, max_crashes=max_crashes)
    await settle_strays(connection)
    pending = [unit for unit in units if unit.state is not UnitState.QUARANTINED]
    return Returned(pending, [unit for unit in units if unit.state is UnitState.QUARANTINED])


async def lost_finalizes(db: Database) -> int:
    """Add the finalize unit of active jobs without an open unit; return how many. A repair that should find nothing."""
    job = tables.jobs.c
    no_unit = ~(
        select(tables.units.c.id)
        .where(tables.units.c.job_id == job.id, tables.units.c.state.in_(OPEN_UNIT_STATES))
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
