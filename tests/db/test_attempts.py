"""Tests of app.db.attempts: what a URL has cost is on record before it costs, and a crash costs it nothing."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.db import Database, attempts, tables
from app.db.attempts import Used
from app.db.rows import Unit
from app.domain import Reason
from downloader.models import Attempt
from tests.db.builders import add_images, add_job, all_rows, change, claimed_all, job_row


def attempt(number: int = 1, **values: Any) -> Attempt:
    return Attempt(**({"number": number, "started_at": 1000.0 + number, "elapsed_s": 0.25} | values))


OK = attempt(status=200)
BUSY = attempt(status=503, error="ServiceUnavailableError", reason=Reason.SERVICE_UNAVAILABLE, wait_s=2.0, wait_cause="backoff")


async def at_work(db: Database, number: int = 1) -> tuple[Unit, list[int]]:
    """A claimed unit, and the images of its job."""
    job_id = await add_job(db)
    (unit,) = await claimed_all(db, job_id)
    return unit, await add_images(db, job_id, number)


async def reserve(db: Database, unit: Unit, *wanted: tuple[int, int]) -> None:
    async with db.write() as connection:
        await attempts.reserve(connection, unit, wanted)


async def record(db: Database, unit: Unit, *finished: tuple[int, int, Attempt]) -> None:
    async with db.write() as connection:
        await attempts.record(connection, unit, finished)


async def used(db: Database, unit: Unit, ids: list[int]) -> dict[int, Used]:
    async with db.write() as connection:
        return await attempts.used(connection, unit, ids)


def successor(unit: Unit) -> Unit:
    """The unit in its next owner's hands."""
    return replace(unit, epoch=unit.epoch + 1)


async def test_an_attempt_is_on_record_before_its_request_and_told_after(any_database: Database) -> None:
    """Reserved with its number, epoch and moment; then done, with everything that is known of it."""
    unit, (image,) = await at_work(any_database)
    await reserve(any_database, unit, (image, 1), (image, 2))
    (first, _) = await all_rows(any_database, select(tables.attempts).order_by(tables.attempts.c.number))
    assert (first.job_id, first.image_id, first.number, first.epoch, first.state) == (unit.job_id, image, 1, unit.epoch, "reserved")
    assert abs(first.started_at - await any_database.now()) < 60
    await record(any_database, unit, (image, 1, BUSY))
    await record(any_database, unit)
    told = await attempts.of_image(any_database, image)
    assert told[0] == (unit.job_id, "done", BUSY)
    assert (told[1][1], told[1][2].status, told[1][2].reason) == ("reserved", None, None)


async def test_a_number_is_reserved_once(any_database: Database) -> None:
    """Two owners cannot both send the same attempt."""
    unit, (image,) = await at_work(any_database)
    await reserve(any_database, unit, (image, 1))
    with pytest.raises(IntegrityError):
        await reserve(any_database, successor(unit), (image, 1))


async def test_what_was_told_and_what_is_under_way_counts(any_database: Database) -> None:
    """Attempts that count, and the highest row number, for each image that cost anything; nothing for the others."""
    unit, (a, b, c) = await at_work(any_database, 3)
    await reserve(any_database, unit, (a, 1), (a, 2), (b, 1))
    await record(any_database, unit, (a, 1, BUSY))
    assert await used(any_database, unit, [a, b, c]) == {a: Used(2, 0, 2), b: Used(1, 0, 1)}
    assert await used(any_database, unit, [c]) == {}
    assert await used(any_database, unit, []) == {}


async def test_one_lost_attempt_is_forgiven(any_database: Database) -> None:
    """A crash costs no URL its budget: the first attempt without an outcome does not count, each further one does."""
    unit, (image,) = await at_work(any_database)
    await reserve(any_database, unit, (image, 1))
    await record(any_database, unit, (image, 1, BUSY))
    costs = []
    for number in (2, 3, 4):
        await reserve(any_database, unit, (image, number))
        unit = successor(unit)
        costs.append(await used(any_database, unit, [image]))
    assert costs == [{image: Used(1, 1, 2)}, {image: Used(2, 2, 3)}, {image: Used(3, 3, 4)}]
    states = await all_rows(any_database, select(tables.attempts.c.state).order_by(tables.attempts.c.number))
    assert [row.state for row in states] == ["done", "lost", "lost", "lost"]


async def test_attempts_of_this_epoch_are_not_lost(any_database: Database) -> None:
    """Only what an earlier owner reserved is lost; and only of the images that are asked for."""
    unit, (a, b) = await at_work(any_database, 2)
    await reserve(any_database, unit, (a, 1), (b, 1))
    next_unit = successor(unit)
    assert await used(any_database, next_unit, [a]) == {a: Used(0, 1, 1)}
    await reserve(any_database, next_unit, (a, 2))
    assert await used(any_database, next_unit, [a]) == {a: Used(1, 1, 2)}
    states = {(row.image_id, row.number): row.state for row in await all_rows(any_database, select(tables.attempts))}
    assert states == {(a, 1): "lost", (a, 2): "reserved", (b, 1): "reserved"}


async def test_attempts_belong_to_job_and_image(any_database: Database) -> None:
    """Another job has its own budget for the same image."""
    unit, (image,) = await at_work(any_database)
    await reserve(any_database, unit, (image, 1))
    await record(any_database, unit, (image, 1, BUSY))
    dataset_id = (await job_row(any_database, unit.job_id)).dataset_id
    (other,) = await claimed_all(any_database, await add_job(any_database, dataset_id=dataset_id))
    assert await used(any_database, other, [image]) == {}
    await reserve(any_database, other, (image, 1))
    assert [job_id for job_id, _, _ in await attempts.of_image(any_database, image)] == [unit.job_id, other.job_id]


async def test_reservations_that_were_not_used_are_taken_back(any_database: Database) -> None:
    """Only those without an outcome."""
    unit, (a, b) = await at_work(any_database, 2)
    await reserve(any_database, unit, (a, 1), (b, 1))
    await record(any_database, unit, (a, 1, OK))
    async with any_database.write() as connection:
        await attempts.drop_reserved(connection, unit, [(a, 1), (b, 1), (b, 2)])
    assert [(row.image_id, row.state) for row in await all_rows(any_database, select(tables.attempts))] == [(a, "done")]


async def test_a_record_for_another_job_changes_nothing(any_database: Database) -> None:
    """Outcomes are written to the unit's own job."""
    unit, (image,) = await at_work(any_database)
    await reserve(any_database, unit, (image, 1))
    await record(any_database, replace(unit, job_id="job_other"), (image, 1, OK))
    assert [state for _, state, _ in await attempts.of_image(any_database, image)] == ["reserved"]


async def test_the_figures_of_retries(any_database: Database) -> None:
    """Attempts in all, URLs that took more than one, and those of them that came good; a 200 whose body failed did not."""
    unit, (first_time, recovered, gave_up, cut, untried) = await at_work(any_database, 5)
    cut_off = attempt(status=200, error="TruncatedBodyError", reason=Reason.TRUNCATED_BODY)
    outcomes = {first_time: [OK], recovered: [BUSY, OK], gave_up: [BUSY, BUSY, BUSY], cut: [BUSY, cut_off]}
    rows = [(image, number, outcome) for image, told in outcomes.items() for number, outcome in enumerate(told, 1)]
    await reserve(any_database, unit, *((image, number) for image, number, _ in rows))
    await record(any_database, unit, *rows)
    assert await attempts.retry_figures(any_database, unit.job_id) == (8, 3, 1)
    assert await attempts.images_tried(any_database, unit.job_id) == 4
    assert await attempts.retry_figures(any_database, "job_unknown") == (0, 0, 0)
    assert await attempts.images_tried(any_database, "job_unknown") == 0
    assert untried not in {row.image_id for row in await all_rows(any_database, select(tables.attempts))}


async def test_a_304_after_a_retry_is_a_recovery(any_database: Database) -> None:
    """The origin confirmed the bytes that are stored: the URL has its image."""
    unit, (image,) = await at_work(any_database, 1)
    await reserve(any_database, unit, (image, 1), (image, 2))
    await record(any_database, unit, (image, 1, BUSY), (image, 2, attempt(status=304)))
    assert await attempts.retry_figures(any_database, unit.job_id) == (2, 1, 1)


async def test_reservations_of_a_dead_process_are_no_requests(any_database: Database) -> None:
    """20 URLs were reserved ahead by a process that died after 2 requests: the figures are the origin's, the rest counts separately."""
    unit, pending = await at_work(any_database, 20)
    await reserve(any_database, unit, *((image, 1) for image in pending))
    await record(any_database, unit, (pending[0], 1, OK), (pending[1], 1, BUSY))
    next_unit = successor(unit)
    await used(any_database, next_unit, pending[1:])
    await reserve(any_database, next_unit, *((image, 2) for image in pending[1:]))
    await record(any_database, next_unit, *((image, 2, OK) for image in pending[1:-1]))
    await change(any_database, tables.images, pending[1], state="failed")
    assert await attempts.retry_figures(any_database, unit.job_id) == (20, 1, 1)
    assert await attempts.images_tried(any_database, unit.job_id) == 19
    assert await attempts.count_lost(any_database, unit.job_id) == 18
    assert await attempts.count_exhausted(any_database, unit.job_id) == 1
    assert [host.requests for host in await attempts.host_times(any_database, unit.job_id)] == [20]


async def test_attempts_in_all_by_number_and_outcome(any_database: Database) -> None:
    """What the metrics show: ok, a reason, or unknown where no outcome is written."""
    unit, (a, b) = await at_work(any_database, 2)
    await reserve(any_database, unit, (a, 1), (a, 2), (b, 1), (b, 2))
    await record(any_database, unit, (a, 1, BUSY), (a, 2, OK), (b, 1, BUSY))
    assert await attempts.totals(any_database) == {(1, "service_unavailable"): 2, (2, "ok"): 1, (2, "unknown"): 1}
