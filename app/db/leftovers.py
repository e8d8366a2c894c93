"""What a discarded unit left behind, images that nobody would bring further and searches that nobody would go on with, gets a last state.

:mod:`app.db.dead` says which states those are, and calls this with the job's row locked and the unit cancelled already.
"""

from sqlalchemy import ColumnElement, and_, select, update

from app.db import tables, units
from app.db.engine import Connection, db_now
from app.db.rows import DeadUnit, Job, NewUnit
from app.domain import ImageState, Reason, UnitKind, UnitState

__all__ = ["close"]

DETAIL_CHARS = 300
"""Characters of a unit's error that an image or a search it left behind is told."""


async def close(connection: Connection, job: Job, unit: DeadUnit) -> int:
    """Give what a unit left behind its last state; return how many images."""
    why = f"its {unit.kind} unit was discarded: {(unit.error or 'no word why')[:DETAIL_CHARS]}"
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
"""A kind of unit that a chunk still has, and whether it is open; else it is dead, and somebody has yet to decide."""

_SUCCESSORS: dict[UnitKind, frozenset[_Held]] = {
    UnitKind.FETCH: frozenset({(UnitKind.FETCH, True)}),
    UnitKind.VALIDATE: frozenset({(UnitKind.VALIDATE, True), (UnitKind.FETCH, True)}),  # a fetch ends with a validation of its own
    UnitKind.COMPRESS: frozenset({(UnitKind.COMPRESS, True)}),
}
"""The other units of a chunk that will see to the images that a unit of each kind left behind."""


async def _holders(connection: Connection, job: Job, chunk_id: str) -> set[_Held]:
    """What other units a chunk has, of any job on the dataset."""
    columns = tables.units.c
    query = (
        select(columns.kind, columns.state)
        .join(tables.jobs)
        .where(tables.jobs.c.dataset_id == job.dataset_id, columns.state.in_([*units.OPEN_STATES, UnitState.DEAD]))
        .where(columns.payload["chunk_id"].as_string() == chunk_id)
    )
    return {(UnitKind(row.kind), row.state != UnitState.DEAD) for row in (await connection.execute(query)).all()}


async def _fail(connection: Connection, unit: DeadUnit, why: str) -> int:
    left = _left_by(unit)
    if left is None:
        return 0
    values = {"state": ImageState.FAILED, "reason": Reason.CANCELLED, "detail": why, "evidence": None, "not_before": None}
    result = await connection.execute(update(tables.images).where(left).values(**values, updated_at=db_now()))
    return result.rowcount


def _left_by(unit: DeadUnit) -> ColumnElement[bool] | None:
    """The images that only this unit would have brought further."""
    columns = tables.images.c
    match unit.kind:
        case UnitKind.FETCH:
            return and_(columns.chunk_id == unit.chunk_id, columns.state.in_([ImageState.PENDING, ImageState.DEFERRED]))
        case UnitKind.VALIDATE:
            return and_(columns.chunk_id == unit.chunk_id, columns.state == ImageState.FETCHED)
        case UnitKind.COMPRESS:
            return and_(columns.chunk_id == unit.chunk_id, columns.state == ImageState.KEPT, columns.out_sha256.is_(None))
    return None


async def _validate_the_rest(connection: Connection, unit: DeadUnit, holders: set[_Held]) -> None:
    """What a fetch brought before it died is judged, as it would have been at its end."""
    if {kind for kind, _ in holders} & {UnitKind.VALIDATE, UnitKind.FETCH}:
        return
    columns = tables.images.c
    fetched = select(columns.id).where(columns.chunk_id == unit.chunk_id, columns.state == ImageState.FETCHED).limit(1)
    if (await connection.execute(fetched)).first() is not None:
        await units.add(connection, unit.job_id, [NewUnit(UnitKind.VALIDATE, {"chunk_id": unit.chunk_id})])
