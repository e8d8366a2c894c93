"""Queries on what waits: the units of each queue that are not done, and for how long the oldest has been due.

Cheap whatever lies behind: finished units are never counted, and there can be millions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, literal, select

from app.db import tables
from app.db.engine import Database, db_now
from app.domain import JobState, UnitKind, UnitState

__all__ = ["STATES", "Backlog", "backlogs", "count_by_kind", "count_unfinished", "find_oldest"]

DEFERRED = "deferred"
"""Pending, with a not-before time that lies ahead."""

UNFINISHED = (UnitState.PENDING, UnitState.QUEUED, UnitState.RUNNING, UnitState.QUARANTINED, UnitState.DEAD)

STATES = (UnitState.PENDING.value, DEFERRED, *(state.value for state in UNFINISHED[1:]))
"""What is counted."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """One queue as the database knows it.

    Attributes:
        units: how many there are, for each of :data:`STATES`.
        oldest_due_s: seconds since the oldest unit that may run and does not fell due; ``None`` where none waits. Paused jobs do not count.
        slots: units that the living workers of the queue run at once.
    """

    name: str
    units: Mapping[str, int]
    oldest_due_s: float | None
    slots: int


async def backlogs(db: Database, names: Sequence[str], *, fresh_s: float) -> list[Backlog]:
    """The backlog of each of these queues; a worker counts whose last sign of life is younger than ``fresh_s``."""
    async with db.read() as connection:
        counted = (await connection.execute(count_unfinished(names))).all()
        oldest = {row.queue: row.age_s for row in (await connection.execute(find_oldest(names))).all()}
        slots = {row.kind: row.slots for row in (await connection.execute(_slots_of_living(fresh_s))).all()}
    units = {name: dict.fromkeys(STATES, 0) for name in names}
    for row in counted:
        units[row.queue][row.state] = row.number
    return [Backlog(name, units[name], oldest.get(name), int(slots.get(name, 0))) for name in names]


async def count_by_kind(db: Database) -> dict[tuple[str, str], int]:
    """Units that are not finished, by (kind, one of :data:`STATES`)."""
    names = sorted({kind.queue for kind in UnitKind})
    async with db.read() as connection:
        rows = (await connection.execute(count_unfinished(names, by=tables.units.c.kind))).all()
    return {(row.kind, row.state): row.number for row in rows}


def count_unfinished(names: Sequence[str], *, by: Any = tables.units.c.queue) -> Any:
    """The query for units by queue, or another column, and state."""
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
    """The query for the seconds that the oldest due unit of each queue has waited."""
    columns = tables.units.c
    due_since = case((columns.not_before > columns.created_at, columns.not_before), else_=columns.created_at)
    return (
        select(columns.queue, func.max(db_now() - due_since).label("age_s"))
        .join(tables.jobs)
        .where(columns.queue.in_(names), columns.state.in_([UnitState.PENDING, UnitState.QUEUED]), columns.not_before <= db_now())
        .where(tables.jobs.c.desired_state == JobState.RUNNING)
        .group_by(columns.queue)
    )


def _slots_of_living(fresh_s: float) -> Any:
    columns = tables.workers.c
    return select(columns.kind, func.sum(columns.slots).label("slots")).where(columns.beat_at > db_now() - fresh_s).group_by(columns.kind)
