"""Tests of app.db.takeover: what the death of a worker says of its units, and which images it had in hand."""

from dataclasses import replace
from typing import Any

import pytest

from app.db import Database, attempts, tables, takeover
from app.db.rows import NewUnit, Unit
from app.db.takeover import IN_HAND, SUSPECTS, Evidence
from app.domain import ImageState, Reason
from app.job_states import UnitKind, UnitState
from downloader.models import Attempt
from tests.db.builders import add_images, add_job, change, claimed, claimed_all, unit_ids, unit_row

UNKNOWN: None = None


@pytest.mark.parametrize(
    ("deaths", "expected"),
    [
        pytest.param([UNKNOWN, UNKNOWN, UNKNOWN], Evidence(3), id="a unit without images, three times"),
        pytest.param([{7, 8, 9}], Evidence(1, frozenset({7, 8, 9})), id="one death accuses nobody in particular"),
        pytest.param([{7, 8, 9}, {7, 1}, {7}], Evidence(3, frozenset({7})), id="one image in hand each time"),
        pytest.param([{1, 2}, {3, 4}, {5, 6}, {7}], Evidence(1, frozenset({7})), id="a process killed at random"),
        pytest.param([{1, 2}, {2, 3}, {3}], Evidence(1, frozenset({3})), id="nothing in common with all deaths before"),
        pytest.param([set(), set(), set()], Evidence(3, frozenset()), id="nothing in hand, three times: the unit itself"),
        pytest.param([set(), {4}], Evidence(1, frozenset({4})), id="then not the unit"),
        pytest.param([{4}, set()], Evidence(1, frozenset()), id="then not the image"),
        pytest.param([UNKNOWN, {1, 2}, {2, 5}], Evidence(3, frozenset({2})), id="written down from the second run on"),
        pytest.param([{1, 2}, UNKNOWN], Evidence(2, frozenset({1, 2})), id="a run that wrote nothing down"),
    ],
)
def test_only_what_was_in_hand_at_every_death_is_suspected(deaths: list[set[int] | None], expected: Evidence) -> None:
    """The count is of deaths that one cause explains; where none is left, it begins again."""
    evidence = Evidence()
    for in_hand in deaths:
        evidence = evidence.after_death(in_hand)
    assert evidence == expected
    assert evidence.count == (None if expected.suspects is None else len(expected.suspects))


def test_a_unit_that_only_waited_is_not_suspected() -> None:
    """Nothing of it was in hand, but something of others: such as a chunk whose hosts are busy with another one."""
    for evidence in (Evidence(), Evidence(2, frozenset({1}))):
        assert evidence.after_death(set(), others_in_hand=True) == evidence
    assert Evidence(1).after_death({5}, others_in_hand=True) == Evidence(2, frozenset({5}))
    assert Evidence(1).after_death(None, others_in_hand=True) == Evidence(2)


async def test_a_death_counts_for_the_units_at_work(any_database: Database) -> None:
    """Two chunks of one process: one has an image in hand, the other waits for its hosts. Another process had nothing in hand."""
    job_id = await add_job(any_database, [NewUnit(UnitKind.FETCH, {"chunk_id": f"chunk_{name}"}) for name in "abc"])
    at_work, waiting, alone = [await claimed(any_database, unit_id) for unit_id in await unit_ids(any_database, job_id)]
    await change(any_database, tables.units, alone.id, owner="another")
    (image,) = await add_images(any_database, job_id, chunk_id=str(at_work.payload["chunk_id"]))
    async with any_database.write() as connection:
        await attempts.reserve(connection, at_work, [(image, 1)])
        await takeover.take_back_dead(connection, tables.units.c.id == waiting.id, max_crashes=3)
        await takeover.take_back_dead(connection, max_crashes=3)
    assert [(await unit_row(any_database, unit.id)).crashes for unit in (at_work, waiting, alone)] == [1, 0, 1]


def test_evidence_is_kept_in_the_payload() -> None:
    """The next run has nothing in hand; what a run wrote down without evidence is no evidence."""
    unit = Unit("unit_a", "job_a", UnitKind.FETCH, UnitState.RUNNING, {"chunk_id": "c", SUSPECTS: [1], IN_HAND: [1, 2]}, 1, 0)
    assert Evidence.of(unit) == Evidence()
    assert Evidence.of(replace(unit, crashes=2)) == Evidence(2, frozenset({1}))
    assert Evidence(1, frozenset({9, 3})).written_to(unit.payload) == {"chunk_id": "c", SUSPECTS: [3, 9]}
    assert Evidence(1).written_to(unit.payload) == {"chunk_id": "c"}


async def running(db: Database, kind: UnitKind, *states: ImageState, **payload: Any) -> tuple[Unit, list[int]]:
    """A running unit of a chunk with images in these states."""
    job_id = await add_job(db, [NewUnit(kind, {"chunk_id": "chunk_a"} | payload)])
    (unit,) = await claimed_all(db, job_id)
    ids = await add_images(db, job_id, len(states))
    for image_id, state in zip(ids, states, strict=True):
        await change(db, tables.images, image_id, state=state)
    return unit, ids


async def in_hand(db: Database, unit: Unit) -> frozenset[int] | None:
    async with db.read() as connection:
        return await takeover.find_in_hand(connection, unit)


async def test_a_fetch_has_in_hand_what_it_has_requested_and_not_stored(any_database: Database) -> None:
    """Reserved, or received and not stored; not what has an outcome, waits for a retry, is deferred, or is of an earlier run."""
    pending, deferred = ImageState.PENDING, ImageState.DEFERRED
    states = [pending, pending, pending, pending, ImageState.FETCHED, deferred, deferred, pending]
    unit, ids = await running(any_database, UnitKind.FETCH, *states)
    sent, received, failed, earlier, fetched, waits, asked, _ = ids
    ok = Attempt(number=1, started_at=1.0, elapsed_s=0.1, status=200)
    busy = replace(ok, status=503, error="ServiceUnavailableError", reason=Reason.SERVICE_UNAVAILABLE)
    async with any_database.write() as connection:
        await attempts.reserve(connection, unit, [(image, 1) for image in (sent, received, failed, fetched, waits, asked)])
        await attempts.reserve(connection, replace(unit, epoch=unit.epoch - 1), [(earlier, 1)])
        outcomes = {received: ok, failed: busy, fetched: ok, waits: ok}
        await attempts.record(connection, unit, [(image, 1, outcome) for image, outcome in outcomes.items()])
    assert await in_hand(any_database, unit) == {sent, received, asked}


@pytest.mark.parametrize(
    ("kind", "state", "done"),
    [(UnitKind.VALIDATE, ImageState.FETCHED, ImageState.VALID), (UnitKind.COMPRESS, ImageState.KEPT, ImageState.REJECTED)],
)
async def test_a_validation_has_in_hand_what_it_wrote_down_and_not_judged(
    any_database: Database, kind: UnitKind, state: ImageState, done: ImageState
) -> None:
    """From its second run on; the first writes nothing down."""
    unit, ids = await running(any_database, kind, state, state, done)
    assert await in_hand(any_database, unit) is None
    begun = replace(unit, crashes=1, payload=dict(unit.payload) | {IN_HAND: [ids[1], ids[2]]})
    assert await in_hand(any_database, begun) == {ids[1]}
    assert await in_hand(any_database, replace(unit, crashes=1)) == frozenset()


async def test_nobody_knows_what_a_unit_without_images_had_in_hand(any_database: Database) -> None:
    """An export, a search."""
    unit, _ = await running(any_database, UnitKind.EXPORT, ImageState.KEPT)
    assert await in_hand(any_database, unit) is None


@pytest.mark.parametrize(("max_crashes", "state"), [(2, "quarantined"), (3, "pending"), (None, "pending")])
async def test_a_unit_is_taken_back_with_what_was_in_hand(any_database: Database, max_crashes: int | None, state: str) -> None:
    """Its second death leaves the image that was in hand at both; quarantine begins where the setting says."""
    unit, (first, second) = await running(any_database, UnitKind.FETCH, ImageState.PENDING, ImageState.PENDING)
    async with any_database.write() as connection:
        await attempts.reserve(connection, unit, [(first, 1), (second, 1)])
    await change(any_database, tables.units, unit.id, crashes=1, payload=dict(unit.payload) | {SUSPECTS: [second]})
    async with any_database.write() as connection:
        (back,) = await takeover.take_back_dead(connection, max_crashes=max_crashes)
    row = await unit_row(any_database, unit.id)
    assert (back.state, row.state, row.owner, row.crashes) == (state, state, None, 2)
    assert row.payload == back.payload == {"chunk_id": "chunk_a", SUSPECTS: [second]}
