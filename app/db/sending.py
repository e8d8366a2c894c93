"""Queries of the dispatcher: who waits and what is under way, and the units that go to the queue next."""

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Integer, Row, String, bindparam, case, column, func, select, true, update, values

from app.db import tables
from app.db.engine import Connection, Database, db_now
from app.db.fairness import Claimant, Share
from app.domain import ACTIVE_JOB_STATES, TRACED, JobState, UnitKind, UnitState

__all__ = [
    "Delivery",
    "Demand",
    "UnderWay",
    "call_back",
    "demand",
    "queued",
    "return_unsent",
    "shares",
    "take",
    "take_quarantined",
    "under_way",
    "waiting_state",
]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What goes through the queue: ids, and what the log wants to know.

    Attributes:
        rank: see :class:`app.db.fairness.Turn`.
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
    """Units of one queue that are sent or running: how many, how many of them in quarantine, by user, and by job."""

    units: int = 0
    alone: int = 0
    users: Mapping[str, int] = field(default_factory=dict)
    jobs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Demand:
    """Who wants a queue: units under way by user, the jobs that have units due, and whether one in quarantine may go."""

    queue: str
    busy: Mapping[str, int]
    claimants: Sequence[Claimant]
    has_quarantined: bool = False


async def under_way(connection: Connection, *, max_crashes: int) -> Mapping[str, UnderWay]:
    """What is under way in each queue. There are never more such units than fit into the windows."""
    table: dict[str, UnderWay] = defaultdict(UnderWay)
    for row in (await connection.execute(_under_way(), {"max_crashes": max_crashes})).all():
        known = table[row.queue]
        users = {**known.users, row.user_id: known.users.get(row.user_id, 0) + row.number}
        jobs = {**known.jobs, row.job_id: row.number}
        table[row.queue] = UnderWay(known.units + row.number, known.alone + row.alone, users, jobs)
    return table


@functools.cache
def _under_way() -> Any:
    """Built once, since it is asked whenever a unit ends."""
    unit, job = tables.units.c, tables.jobs.c
    alone = func.sum(case((unit.crashes >= bindparam("max_crashes", type_=Integer()), 1), else_=0)).label("alone")
    query = select(unit.queue, unit.job_id, job.user_id, func.count().label("number"), alone).join(tables.jobs, job.id == unit.job_id)
    query = query.where(unit.state.in_([UnitState.QUEUED, UnitState.RUNNING]))
    return query.group_by(unit.queue, unit.job_id, job.user_id)


async def demand(connection: Connection, queue: str, busy: UnderWay) -> Demand:
    """What is asked of a queue. One unit in quarantine is under way at a time."""
    rows = (await connection.execute(_with_due_units(queue))).all()
    claimants = [Claimant(row.id, row.user_id, row.priority, busy.jobs.get(row.id, 0), row.created_at) for row in rows]
    has_quarantined = not busy.alone and (await connection.execute(_quarantined(queue))).first() is not None
    return Demand(queue, busy.users, claimants, has_quarantined)


async def shares(db: Database) -> Mapping[str, Sequence[Share]]:
    """Who has how much of each queue, and who waits."""
    unit, job = tables.units.c, tables.jobs.c
    running = func.sum(case((unit.state == UnitState.RUNNING, 1), else_=0)).label("running")
    waited_s = (db_now() - func.min(case((unit.state == UnitState.QUEUED, unit.queued_at)))).label("waited_s")
    query = select(unit.queue, job.user_id, running, waited_s).join(tables.jobs, job.id == unit.job_id)
    query = query.where(unit.state.in_([UnitState.QUEUED, UnitState.RUNNING])).group_by(unit.queue, job.user_id)
    table: dict[str, list[Share]] = defaultdict(list)
    async with db.read() as connection:
        for row in (await connection.execute(query)).all():
            table[row.queue].append(Share(row.user_id, row.running, row.waited_s or 0.0))
    return table


@functools.cache
def _with_due_units(queue: str) -> Any:
    """One look into an index for each open job, however many units wait: a scalar subquery is not turned into a join.

    Built once for each queue, as the next: both are asked whenever a unit ends.
    """
    unit, job = tables.units.c, tables.jobs.c
    first = select(unit.id).where(*_due_of(job.id, queue)).order_by(unit.not_before, unit.id).limit(1).correlate(tables.jobs)
    query = select(job.id, job.user_id, job.priority, job.created_at)
    return query.where(job.state.in_(ACTIVE_JOB_STATES), job.desired_state == JobState.RUNNING, first.scalar_subquery().is_not(None))


def _due_of(job_id: Any, queue: str) -> tuple[Any, ...]:
    unit = tables.units.c
    return unit.job_id == job_id, unit.queue == queue, tables.PENDING, unit.not_before <= db_now()


async def take(connection: Connection, queue: str, shares: Mapping[str, int]) -> list[Delivery]:
    """Mark due units as sent, up to so many of each job, those first that have been due the longest, and return them."""
    if connection.dialect_name == "postgresql":
        return await _mark_sent(connection, await _ids(connection, _first_of_each(queue, shares)))
    ids = [found for job_id, number in shares.items() for found in await _ids(connection, _first_of(job_id, queue, number))]
    return await _mark_sent(connection, ids)


def _first_of(job_id: Any, queue: str, number: Any) -> Any:
    unit = tables.units.c
    query = select(unit.id).where(*_due_of(job_id, queue)).order_by(unit.not_before, unit.id).limit(number)
    return query.with_for_update(skip_locked=True)


def _first_of_each(queue: str, shares: Mapping[str, int]) -> Any:
    """All jobs in one statement."""
    wanted = values(column("job_id", String), column("number", Integer), name="wanted").data(list(shares.items()))
    first = _first_of(wanted.c.job_id, queue, wanted.c.number).correlate(wanted).lateral("first")
    return select(first.c.id).select_from(wanted.join(first, true()))


async def _ids(connection: Connection, query: Any) -> list[str]:
    return [row.id for row in (await connection.execute(query)).all()]


async def take_quarantined(connection: Connection, queue: str) -> list[Delivery]:
    """Mark the one unit in quarantine that has been due the longest as sent."""
    return await _mark_sent(connection, await _ids(connection, _quarantined(queue).with_for_update(of=tables.units, skip_locked=True)))


@functools.cache
def _quarantined(queue: str) -> Any:
    unit, job = tables.units.c, tables.jobs.c
    query = select(unit.id).join(tables.jobs, job.id == unit.job_id)
    query = query.where(unit.queue == queue, unit.state == UnitState.QUARANTINED, unit.not_before <= db_now())
    return query.where(job.desired_state == JobState.RUNNING).order_by(unit.not_before, unit.id).limit(1)


async def _mark_sent(connection: Connection, ids: Sequence[str]) -> list[Delivery]:
    """Only what waits still: another dispatcher may have sent it meanwhile, and its worker run it."""
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
    """Units sent some time ago and claimed by nobody: the sweeper asks the queue whether it still has them."""
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
    """Built once, since it is asked for with every dispatch."""
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


def waiting_state(max_crashes: int) -> Any:
    """The state in which a unit waits: by its crashes."""
    return case((tables.units.c.crashes >= max_crashes, UnitState.QUARANTINED), else_=UnitState.PENDING)


async def return_unsent(db: Database, unit_ids: Sequence[str], *, max_crashes: int) -> int:
    """Units that the queue lost, or never got, wait again."""
    if not unit_ids:
        return 0
    async with db.write() as connection:
        return await call_back(connection, tables.units.c.id.in_(unit_ids), max_crashes=max_crashes)


async def call_back(connection: Connection, *which: Any, max_crashes: int) -> int:
    """Units that were sent wait in the database again; their messages, should they come, find them as they would have been found."""
    statement = update(tables.units).where(*which, tables.units.c.state == UnitState.QUEUED)
    return (await connection.execute(statement.values(state=waiting_state(max_crashes), queued_at=None))).rowcount
