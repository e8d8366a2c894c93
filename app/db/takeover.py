"""Units whose worker died: they wait again, with what its death says of them, and are quarantined once one cause explains several deaths.

A process holds many units and images when it dies, so a single death accuses none of them. Suspected is what was in hand at every one of
several deaths in a row.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select, update

from app.db import tables
from app.db.engine import Connection, db_now
from app.db.rows import Unit, as_unit
from app.domain import ImageState
from app.job_states import UnitKind, UnitState

__all__ = [
    "IN_HAND",
    "Evidence",
    "find_in_hand",
    "owner_is_silent",
    "owner_lives",
    "take_back",
    "take_back_dead",
    "take_back_expired",
    "waiting_state",
]

SUSPECTS = "suspects"
"""Key of a unit's payload: see :class:`Evidence`."""

IN_HAND = "in_hand"
"""Key of a unit's payload: ids of the images that its run has begun, where the run writes them down."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the deaths of its workers say of a unit.

    Attributes:
        crashes: deaths in a row that one cause explains, without progress in between.
        suspects: ids of the images that were in hand at each of them. Where none was, the unit itself is suspected; ``None`` where nobody
            knows what was in hand.
    """

    crashes: int = 0
    suspects: frozenset[int] | None = None

    @classmethod
    def of(cls, unit: Unit) -> "Evidence":
        """Read the evidence from a unit's row."""
        ids = unit.payload.get(SUSPECTS) if unit.crashes else None
        return cls(unit.crashes, None if ids is None else frozenset(ids))

    @property
    def count(self) -> int | None:
        """The number of suspected images; ``None`` where nobody knows what was in hand."""
        return None if self.suspects is None else len(self.suspects)

    def after_death(self, in_hand: Collection[int] | None, *, others_in_hand: bool = False) -> "Evidence":
        """Return the evidence after one more death of the unit's worker. An image that was not in hand did not cause it.

        If that clears every suspect, the deaths had different causes, such as a user who kills the process: the count begins again.

        Args:
            in_hand: the unit's images that were in hand.
            others_in_hand: the worker had images of other units in hand. Then a unit without any was only waiting.
        """
        if in_hand is not None and not in_hand and others_in_hand:
            return self
        if in_hand is None:
            return Evidence(self.crashes + 1, self.suspects)
        held = frozenset(in_hand)
        if self.suspects is None:
            return Evidence(self.crashes + 1, held)
        common = self.suspects & held
        is_explained = bool(common) or self.suspects == held
        return Evidence(self.crashes + 1, common) if is_explained else Evidence(1, held)

    def written_to(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return a payload with this evidence, for the next run, which has nothing in hand yet."""
        kept = {name: value for name, value in payload.items() if name not in (SUSPECTS, IN_HAND)}
        return kept if self.suspects is None else kept | {SUSPECTS: sorted(self.suspects)}


async def take_back_expired(connection: Connection, *which: ColumnElement[bool], lease_s: float, max_crashes: int | None) -> list[Unit]:
    """Take back the units whose lease has expired, and return them.

    A death counts if the owner sent no heartbeat for one lease while the database was reachable. An owner that sent one after its lease
    expired is slow or was disconnected; that says nothing of the unit. If neither is known yet, the unit is left to a later sweep.
    """
    is_expired = and_(tables.units.c.lease_until < db_now(), *which)
    free = await _take_back_living(connection, and_(is_expired, owner_lives()), max_crashes)
    return [*free, *await take_back_dead(connection, and_(is_expired, owner_is_silent(lease_s)), max_crashes=max_crashes)]


async def take_back_dead(connection: Connection, *which: ColumnElement[bool], max_crashes: int | None) -> list[Unit]:
    """Take back running units whose worker has died, and return them in their new state.

    Args:
        max_crashes: deaths by one cause from which on a unit is quarantined; ``None`` for a caller that claims it itself.
    """
    columns = tables.units.c
    running = select(tables.units).where(columns.state == UnitState.RUNNING)
    dead = (await connection.execute(running.where(*which).with_for_update())).all()
    held = (await connection.execute(running.where(columns.owner.in_({row.owner for row in dead})))).all() if dead else []
    in_hand = {row.id: await find_in_hand(connection, as_unit(row)) for row in held}
    busy = {row.owner for row in held if in_hand[row.id]}
    taken = []
    for row in dead:
        evidence = Evidence.of(as_unit(row)).after_death(in_hand[row.id], others_in_hand=row.owner in busy)
        taken.append(await take_back(connection, as_unit(row), evidence, max_crashes=max_crashes))
    return taken


async def take_back(connection: Connection, unit: Unit, evidence: Evidence, *, max_crashes: int | None) -> Unit:
    """Take back one running unit, with what the deaths of its workers say of it."""
    is_suspect = max_crashes is not None and evidence.crashes >= max_crashes
    state = UnitState.QUARANTINED if is_suspect else UnitState.PENDING
    columns = tables.units.c
    statement = (
        update(tables.units)
        .where(columns.id == unit.id, columns.epoch == unit.epoch)
        .values(state=state, owner=None, lease_until=None, crashes=evidence.crashes, payload=evidence.written_to(unit.payload))
        .returning(*columns)
    )
    return as_unit((await connection.execute(statement)).one())


async def _take_back_living(connection: Connection, which: ColumnElement[bool], max_crashes: int | None) -> list[Unit]:
    columns = tables.units.c
    state = UnitState.PENDING if max_crashes is None else waiting_state(max_crashes)
    statement = update(tables.units).where(columns.state == UnitState.RUNNING, which).values(state=state, owner=None, lease_until=None)
    return [as_unit(row) for row in (await connection.execute(statement.returning(*columns))).all()]


def waiting_state(max_crashes: int) -> Any:
    """The state in which a unit waits, pending or quarantined, by its crashes."""
    return case((tables.units.c.crashes >= max_crashes, UnitState.QUARANTINED), else_=UnitState.PENDING)


async def find_in_hand(connection: Connection, unit: Unit) -> frozenset[int] | None:
    """Return the images without an outcome that the last run of a unit had begun; ``None`` where that run did not write them down.

    A fetch writes its attempts. A validation and a compression write what they begin once a worker of theirs has died.
    """
    image = tables.images.c
    is_open = left_by(unit.kind, str(unit.payload.get("chunk_id")))
    if is_open is None or (unit.kind is not UnitKind.FETCH and not unit.crashes):
        return None
    begun: ColumnElement[bool] = image.id.in_(unit.payload.get(IN_HAND, ()))
    if unit.kind is UnitKind.FETCH:
        attempt = tables.attempts.c
        sent = (attempt.job_id == unit.job_id, attempt.image_id == image.id, attempt.epoch == unit.epoch)
        is_unstored = and_(image.state == ImageState.PENDING, attempt.error.is_(None))  # its bytes came
        begun = select(attempt.number).where(*sent, or_(attempt.state == "reserved", is_unstored)).exists()
    rows = await connection.execute(select(image.id).where(is_open, begun))
    return frozenset(row.id for row in rows.all())


def left_by(kind: UnitKind, chunk_id: str) -> ColumnElement[bool] | None:
    """The condition for the images of a chunk that wait for a unit of this kind; ``None`` for kinds that do not work on chunks."""
    columns = tables.images.c
    match kind:
        case UnitKind.FETCH:
            return and_(columns.chunk_id == chunk_id, columns.state.in_([ImageState.PENDING, ImageState.DEFERRED]))
        case UnitKind.VALIDATE:
            return and_(columns.chunk_id == chunk_id, columns.state == ImageState.FETCHED)
        case UnitKind.COMPRESS:
            return and_(columns.chunk_id == chunk_id, columns.state == ImageState.KEPT, columns.out_sha256.is_(None))
    return None


def owner_lives() -> ColumnElement[bool]:
    """Whether the owner of a unit has sent a heartbeat since the lease expired: it is slow or was disconnected, but alive."""
    return and_(_last_beat() >= tables.units.c.lease_until)


def owner_is_silent(lease_s: float) -> ColumnElement[bool]:
    """Whether the owner of a unit has sent no heartbeat for one lease while the database was reachable.

    During an outage of the database nobody can send a heartbeat, so silence proves nothing.
    """
    answers_since = select(tables.locks.c.since).where(tables.locks.c.name == "sweep").scalar_subquery()
    ago = db_now() - lease_s
    return and_(_last_beat() < ago, func.coalesce(answers_since, db_now()) < ago)


def _last_beat() -> Any:
    owner, worker = tables.units.c.owner, tables.workers.c
    beats = select(func.max(worker.beat_at)).where(worker.id.in_([owner + "-builder", owner + "-validator"]))
    return func.coalesce(beats.correlate(tables.units).scalar_subquery(), 0.0)
