"""Leases are renewed while work runs, and news of pause, cancel and loss reach it."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, update

import errors
from app.db import jobs, lifecycle, tables, units
from app.job_states import JobState, UnitKind
from tests.db.builders import add_job, change, claimed_all, due
from tests.workers.bench import Bench
from tests.workers.proof import one_unit
from workers.job import claim
from workers.leases import Leases
from workers.unit import ClaimedUnit, Stopped, StopReason

TARGET = {"keywords": ["cat"], "max_images": 9}


async def held_work(bench: Bench, lease_s: float = 30.0) -> tuple[ClaimedUnit, Leases]:
    """A claimed unit under leases of its own."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    unit = await units.claim(bench.db, delivery.unit_id, owner="wrk_test", lease_s=lease_s)
    assert unit is not None
    work = ClaimedUnit(bench.context, unit)
    work._task = None
    leases = Leases(bench.db, owner="wrk_test", lease_s=lease_s, check_s=0.01)
    leases.add(work)
    return work, leases


async def test_a_held_lease_is_prolonged(bench: Bench) -> None:
    """Both the row and the worker's own deadline move on."""
    work, leases = await held_work(bench)
    work.lease_deadline = time.monotonic() + 1
    async with bench.db.write() as connection:
        await connection.execute(update(tables.units).where(tables.units.c.id == work.row.id).values(lease_until=1.0))
    leases._renewed_at = 0.0
    await leases.renew_and_check()
    assert work.lease_deadline > time.monotonic() + 20
    assert await units.claim(bench.db, work.row.id, owner="wrk_other", lease_s=30) is None


async def test_a_unit_that_is_anothers_is_lost(bench: Bench) -> None:
    """A renewal that does not find the row tells the work to stop."""
    work, leases = await held_work(bench)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.units).values(epoch=9, owner="wrk_other"))
    leases._renewed_at = 0.0
    await leases.renew_and_check()
    assert work.stop_reason is StopReason.LOST
    with pytest.raises(units.LeaseLost):
        work.require_lease()


@pytest.mark.parametrize(("desired", "reason"), [(JobState.PAUSED, StopReason.PAUSED), (JobState.CANCELLED, StopReason.CANCELLED)])
async def test_pause_and_cancel_reach_running_work(bench: Bench, desired: JobState, reason: StopReason) -> None:
    """The flags are in the database; the next look sets the unit's stop."""
    work, leases = await held_work(bench)
    await lifecycle.set_desired_state(bench.db, work.job.id, desired)
    await leases.renew_and_check()
    assert work.stop.is_set()
    assert work.stop_reason is reason


async def test_a_unit_stops_that_the_target_does_not_need_any_more(bench: Bench) -> None:
    """A search or fetch of a job that finalizes ends in order; other units, and one that knows, go on."""
    checking, leases = await held_work(bench)
    fetching = ClaimedUnit(bench.context, replace(checking.row, id="unit_2", kind=UnitKind.FETCH))
    known = ClaimedUnit(
        bench.context, replace(fetching.row, id="unit_3", job=replace(checking.job, state=JobState.FINALIZING, spec=TARGET))
    )
    for unit in (fetching, known):
        leases.add(unit)
    async with bench.db.write() as connection:
        await jobs.set_stage(connection, checking.job.id, state=JobState.FINALIZING, stage=None)
    await leases.renew_and_check()
    assert (checking.stop_reason, fetching.stop_reason, known.stop_reason) == (None, StopReason.TARGET_MET, None)


async def test_a_deleted_job_is_not_wanted(bench: Bench) -> None:
    """Work for rows that are gone stops."""
    work, leases = await held_work(bench)
    async with bench.db.write() as connection:
        await connection.execute(delete(tables.datasets))
    await leases.renew_and_check()
    assert work.stop_reason in (StopReason.CANCELLED, StopReason.LOST)


async def test_a_unit_that_is_claimed_during_a_look_is_not_cancelled(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its job was not asked about; that is no sign that the job is gone."""
    _, leases = await held_work(bench)
    late, _ = await held_work(bench)
    held = units.job_states

    async def claim_meanwhile(*args: Any) -> dict[str, JobState]:
        wanted = await held(*args)
        leases.add(late)
        return wanted

    monkeypatch.setattr(units, "job_states", claim_meanwhile)
    await leases._check_jobs()
    assert late.stop_reason is None


@pytest.mark.parametrize("error", [errors.DatabaseConnectionError("away"), errors.StorageError("its disk is full")])
async def test_an_overdue_lease_stops_its_work_without_a_database(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: errors.PictrawlError
) -> None:
    """A worker whose database is away, or takes no writes, goes on keeping its leases, and stops by its own clock."""
    work, leases = await held_work(bench)
    work.lease_deadline = time.monotonic() - 1

    async def away(*_: object) -> None:
        raise error

    monkeypatch.setattr(leases, "renew_and_check", away)
    keeping = asyncio.create_task(leases.run())
    async with asyncio.timeout(10):
        await work.stop.wait()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert work.stop_reason is StopReason.LOST


async def test_work_that_is_told_to_stop_at_once_says_so(bench: Bench) -> None:
    """Our own cancellation is taken back and named; a cancellation from outside passes."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)

    async def body() -> None:
        async with claim(bench.context, delivery.unit_id) as work:
            work.request_stop(StopReason.CANCELLED)
            await asyncio.Event().wait()

    with pytest.raises(Stopped) as stopped:
        await asyncio.create_task(body())
    assert stopped.value.reason is StopReason.CANCELLED
    assert len(bench.leases) == 0


async def test_nothing_held_asks_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle worker costs the database nothing."""
    leases = Leases(bench.db, owner="wrk_test", lease_s=30)

    async def never(*_: object) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(units, "job_states", never)
    monkeypatch.setattr(units, "renew", never)
    await leases.renew_and_check()


async def test_a_unit_gives_way_to_a_user_who_has_none(bench: Bench) -> None:
    """Of two running fetches of one user, the older ends its turn in order when another user's unit has waited for a slot."""
    leases = Leases(bench.db, owner="wrk_test", lease_s=30, check_s=0.01)
    works = [ClaimedUnit(bench.context, unit) for unit in await claimed_all(bench.db, await add_job(bench.db, 2))]
    works[0].claimed_at -= 5
    for work in works:
        leases.add(work)
    await leases.renew_and_check()
    assert [work.stop_reason for work in works] == [None, None]
    await add_job(bench.db, user_id="late")
    (waiting,) = await due(bench.db, "builder", window=10)
    await change(bench.db, tables.units, waiting.unit_id, queued_at=1.0)
    for _ in range(2):
        await leases.renew_and_check()
        assert [work.stop_reason for work in works] == [StopReason.TURN, None]


async def test_work_that_comes_during_a_drain_ends_at_once(bench: Bench) -> None:
    """A unit that was just being claimed when the worker began to stop is told, too."""
    work, leases = await held_work(bench)
    leases.remove(work)
    leases.drain()
    leases.add(work)
    assert work.stop_reason is StopReason.DRAIN


async def test_work_that_begins_during_a_look_is_not_taken_for_a_deleted_jobs(bench: Bench) -> None:
    """The look asked for the jobs held when it began; of a job that it did not ask for it knows nothing."""
    _, leases = await held_work(bench)
    later, _ = await held_work(bench)
    look = asyncio.create_task(leases.renew_and_check())
    await asyncio.sleep(0)
    leases.add(later)
    await look
    assert later.stop_reason is None
