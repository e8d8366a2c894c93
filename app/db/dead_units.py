"""Queries on dead units: list them, retry them, discard them.

A unit dies of an error that is not retried. Its job continues without it as far as possible, and then ends as ``failed``. There are two
ways to continue:

- **retry**: the unit is pending again, due at once, with its crashes reset. A failed job runs again, and repeats its stages once no unit
  is open.
- **discard**: the unit is ``cancelled`` for good and keeps its error. Its unfinished work is closed, so that each image has a final state:

  =========  =======================================================================================================
  fetch      images not fetched yet are ``failed``, reason ``cancelled``; fetched images get a validation
  validate   images not validated yet are ``failed``, reason ``cancelled``
  compress   kept images not compressed yet are ``failed``, reason ``cancelled``, since they have the wrong form
  search     the search counts as exhausted, with a note why
  others     leave no image behind; a build that continues repeats its stages, with new units
  =========  =======================================================================================================

  Images that another open unit of the chunk will process are left alone. A failed job stays failed until it is resumed; if it has no
  dead unit then, it ends with the images that it has. A unit without which a job cannot succeed, such as the export of an export job, can
  be discarded, but :func:`app.db.lifecycle.reopen` then refuses the job.

Neither is possible while a job is being finalized, since its dead units have been counted already. Both lock the row of the job first, so
of two concurrent requests the second finds no dead unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select, update

import errors
from app.db import lifecycle, paging, tables, takeover
from app.db.engine import Connection, Database, db_now
from app.db.exceptions import StateConflict
from app.db.jobs import find
from app.db.rows import Job, NewUnit, PageOf
from app.domain import ImageState, Reason
from app.job_states import OPEN_UNIT_STATES, DesiredState, JobState, UnitKind, UnitState

__all__ = ["DeadFilter", "DeadUnit", "Discarded", "Which", "close", "discard", "page", "retry"]


@dataclass(frozen=True, slots=True)
class DeadUnit:
    """A dead unit. ``user_id`` is the owner of its job; times are Unix seconds."""

    id: str
    job_id: str
    user_id: str
    kind: UnitKind
    state: UnitState
    error: str | None
    crashes: int
    chunk_id: str | None
    search_id: str | None
    created_at: float
    died_at: float


@dataclass(frozen=True, slots=True)
class Discarded:
    """A discarded unit, and the number of images that this closed."""

    unit: DeadUnit
    images: int


@dataclass(frozen=True, slots=True)
class Which:
    """Selects dead units: these, or all of a job."""

    unit_ids: tuple[str, ...] = ()
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeadFilter:
    """Filter of a page of dead units. ``None`` matches any; ``error`` is a prefix of the error, such as the name of its class."""

    job_id: str | None = None
    kind: UnitKind | None = None
    error: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the filter as SQL. LIKE is avoided, since its case sensitivity differs between the databases."""
        columns = tables.units.c
        found = [columns[name] == value for name in ("job_id", "kind") if (value := getattr(self, name)) is not None]
        return [*found, func.substr(columns.error, 1, len(self.error)) == self.error] if self.error else found


_DIED_AT = func.coalesce(tables.units.c.finished_at, tables.units.c.created_at).label("died_at")


def _select() -> Any:
    return select(tables.units, tables.jobs.c.user_id, _DIED_AT).join(tables.jobs)


def _as_dead(row: Row[Any]) -> DeadUnit:
    return DeadUnit(
        id=row.id,
        job_id=row.job_id,
        user_id=row.user_id,
        kind=UnitKind(row.kind),
        state=UnitState(row.state),
        error=row.error,
        crashes=row.crashes,
        chunk_id=row.payload.get("chunk_id"),
        search_id=row.payload.get("search_id"),
        created_at=row.created_at,
        died_at=row.died_at,
    )


def _of_user(user_id: str | None) -> list[ColumnElement[bool]]:
    return [] if user_id is None else [tables.jobs.c.user_id == user_id]


async def page(
    db: Database, wanted: DeadFilter, *, user_id: str | None = None, limit: int = 50, cursor: str | None = None
) -> PageOf[DeadUnit]:
    """Return dead units, the most recently died first."""
    query = _select().where(tables.units.c.state == UnitState.DEAD, *wanted.conditions(), *_of_user(user_id))
    rows, next_cursor = await paging.newest_first(db, query, [_DIED_AT, tables.units.c.id], limit=limit, cursor=cursor)
    return PageOf([_as_dead(row) for row in rows], next_cursor)


async def retry(db: Database, which: Which, *, user_id: str | None = None) -> list[DeadUnit]:
    """Make dead units pending again, all or none; return them in their new state, with the error they had.

    Raises:
        errors.NotFoundError: no such unit, or job, of this user.
        StateConflict: one of the units is not dead any more, or its job has ended in another state than failed, is being cancelled,
            or is being finalized.
    """
    async with db.write() as connection:
        revived: list[DeadUnit] = []
        for job, dead in await _taken(connection, which, user_id):
            await _require_retryable(connection, job)
            await _revive(connection, job, dead)
            revived += [replace(unit, state=UnitState.PENDING, crashes=0) for unit in dead]
        return revived


async def discard(db: Database, which: Which, *, user_id: str | None = None, resume: bool = False) -> list[Discarded]:
    """Discard dead units, all or none, and close their unfinished work; return them in their new state.

    Args:
        resume: let a failed job run again if it has no dead unit left.

    Raises:
        errors.NotFoundError: no such unit, or job, of this user.
        StateConflict: one of the units is not dead any more, or its job is being finalized or cannot be resumed.
    """
    async with db.write() as connection:
        given_up: list[Discarded] = []
        for job, dead in await _taken(connection, which, user_id):
            await _require_not_ending(connection, job)
            given_up += await _give_up(connection, job, dead)
            if resume and job.state is JobState.FAILED and not await _dead_of(connection, job.id):
                await lifecycle.reopen(connection, job)
        return given_up


async def _taken(connection: Connection, which: Which, user_id: str | None) -> list[tuple[Job, list[DeadUnit]]]:
    """Return the selected dead units by job, with the rows of the jobs locked in a fixed order, which prevents deadlocks."""
    job_ids = {which.job_id} if which.job_id is not None else await _jobs_of(connection, which.unit_ids, user_id)
    taken = []
    for job_id in sorted(job_ids):
        job = await find(connection, job_id, user_id=user_id, lock=True)
        dead = await _dead_of(connection, job_id, which.unit_ids)
        if not dead and not which.unit_ids:
            raise StateConflict(f"job {job_id} has no dead unit")
        taken.append((job, dead))
    await _require_all_dead(connection, which.unit_ids, {unit.id for _, dead in taken for unit in dead})
    return taken


async def _jobs_of(connection: Connection, unit_ids: Sequence[str], user_id: str | None) -> set[str]:
    columns = tables.units.c
    query = select(columns.id, columns.job_id).join(tables.jobs).where(columns.id.in_(unit_ids), *_of_user(user_id))
    found = {row.id: str(row.job_id) for row in (await connection.execute(query)).all()}
    for unit_id in unit_ids:
        if unit_id not in found:
            raise errors.NotFoundError(f"no unit {unit_id}")
    return set(found.values())


async def _dead_of(connection: Connection, job_id: str, unit_ids: Sequence[str] = ()) -> list[DeadUnit]:
    """Return the dead units of a job, all or those given, oldest first."""
    columns = tables.units.c
    query = _select().where(columns.job_id == job_id, columns.state == UnitState.DEAD).order_by(columns.created_at, columns.id)
    query = query.where(columns.id.in_(unit_ids)) if unit_ids else query
    return [_as_dead(row) for row in (await connection.execute(query)).all()]


async def _require_all_dead(connection: Connection, unit_ids: Sequence[str], dead: set[str]) -> None:
    for unit_id in unit_ids:
        if unit_id not in dead:
            state = (await connection.execute(select(tables.units.c.state).where(tables.units.c.id == unit_id))).scalar_one()
            raise StateConflict(f"unit {unit_id} is {state}, not dead")


async def _require_retryable(connection: Connection, job: Job) -> None:
    if job.state is JobState.CANCELLED or job.desired_state is DesiredState.CANCELLED:
        raise StateConflict(f"job {job.id} was cancelled; its units cannot be retried")
    if job.is_final and job.state is not JobState.FAILED:
        raise StateConflict(f"job {job.id} has ended as {job.state}, so its units cannot be retried")
    await _require_not_ending(connection, job)


async def _require_not_ending(connection: Connection, job: Job) -> None:
    columns = tables.units.c
    ending = select(columns.id).where(columns.job_id == job.id, columns.kind == UnitKind.FINALIZE, columns.state.in_(OPEN_UNIT_STATES))
    if not job.is_final and (await connection.execute(ending.limit(1))).first() is not None:
        raise StateConflict(f"job {job.id} is being finalized; ask again once it has ended")


async def _revive(connection: Connection, job: Job, dead: Sequence[DeadUnit]) -> None:
    await lifecycle.revive_dead(connection, job.id, [unit.id for unit in dead])
    if job.state is JobState.FAILED:
        await lifecycle.reopen(connection, job)


async def _give_up(connection: Connection, job: Job, dead: Sequence[DeadUnit]) -> list[Discarded]:
    ids = [unit.id for unit in dead]
    await connection.execute(update(tables.units).where(tables.units.c.id.in_(ids)).values(state=UnitState.CANCELLED))
    last_first = sorted(dead, key=lambda unit: unit.kind is UnitKind.FETCH)  # a fetch may add the validation that was just discarded
    return [Discarded(replace(unit, state=UnitState.CANCELLED), await close(connection, job, unit)) for unit in last_first]


DETAIL_CHARS = 300
"""Characters of a unit's error in the detail of its images and the note of its search."""


async def close(connection: Connection, job: Job, unit: DeadUnit) -> int:
    """Give the unfinished work of a unit a final state; return the number of images."""
    why = f"its {unit.kind} unit was discarded: {(unit.error or 'no error recorded')[:DETAIL_CHARS]}"
    if unit.kind is UnitKind.SEARCH:
        await connection.execute(update(tables.searches).where(tables.searches.c.id == unit.search_id).values(is_exhausted=True, note=why))
    if unit.chunk_id is None:
        return 0
    holders = await _holders(connection, job, unit.chunk_id)
    closed = await _fail(connection, unit, why) if not holders & _SUCCESSORS.get(unit.kind, frozenset()) else 0
    if unit.kind is UnitKind.FETCH:
        await _validate_the_rest(connection, unit, holders)
    return closed


_Held = tuple[UnitKind, bool]
"""The kind of another unit of a chunk, and whether that unit is open; otherwise it is dead and still to be retried or discarded."""

_SUCCESSORS: dict[UnitKind, frozenset[_Held]] = {
    UnitKind.FETCH: frozenset({(UnitKind.FETCH, True)}),
    UnitKind.VALIDATE: frozenset({(UnitKind.VALIDATE, True), (UnitKind.FETCH, True)}),  # a fetch adds a validation when it finishes
    UnitKind.COMPRESS: frozenset({(UnitKind.COMPRESS, True)}),
}
"""Other units of a chunk that will process the images of a discarded unit, by its kind."""


async def _holders(connection: Connection, job: Job, chunk_id: str) -> set[_Held]:
    """Return the other units of a chunk, of any job on the dataset."""
    columns = tables.units.c
    query = (
        select(columns.kind, columns.state)
        .join(tables.jobs)
        .where(tables.jobs.c.dataset_id == job.dataset_id, columns.state.in_([*OPEN_UNIT_STATES, UnitState.DEAD]))
        .where(columns.payload["chunk_id"].as_string() == chunk_id)
    )
    return {(UnitKind(row.kind), row.state != UnitState.DEAD) for row in (await connection.execute(query)).all()}


async def _fail(connection: Connection, unit: DeadUnit, why: str) -> int:
    left = takeover.left_by(unit.kind, str(unit.chunk_id))
    if left is None:
        return 0
    values = {"state": ImageState.FAILED, "reason": Reason.CANCELLED, "detail": why, "evidence": None, "not_before": None}
    result = await connection.execute(update(tables.images).where(left).values(**values, updated_at=db_now()))
    return result.rowcount


async def _validate_the_rest(connection: Connection, unit: DeadUnit, holders: set[_Held]) -> None:
    """Add a validation of the images that a fetch stored before it died, as its end would have done."""
    if {kind for kind, _ in holders} & {UnitKind.VALIDATE, UnitKind.FETCH}:
        return
    columns = tables.images.c
    fetched = select(columns.id).where(columns.chunk_id == unit.chunk_id, columns.state == ImageState.FETCHED).limit(1)
    if (await connection.execute(fetched)).first() is not None:
        await lifecycle.add_units(connection, unit.job_id, [NewUnit(UnitKind.VALIDATE, {"chunk_id": unit.chunk_id})])
