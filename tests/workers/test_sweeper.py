"""The sweeper brings back whatever was lost, and clean-up takes away only what nothing needs."""

import hashlib
from typing import Any

import pytest
from sqlalchemy import update

import errors
from app.db import datasets, jobs, outbox, tables, units
from app.job_states import JobState, UnitKind, UnitState
from app.jobs.dispatch import dispatch, envelope
from app.storage import paths
from tests.db.builders import expire
from tests.figures import Growth
from tests.images.samples import encode, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench
from tests.workers.proof import change_unit, one_unit, state_of, sweep
from workers import sweeper
from workers.job import JOBS


async def test_a_unit_of_a_dead_worker_is_sent_again(bench: Bench) -> None:
    """An expired lease goes back to pending, counts one crash, and is sent in the same pass."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    await units.claim(bench.db, delivery.unit_id, owner="wrk_dead", lease_s=30)
    await expire(bench.db, delivery.unit_id)
    swept = await sweep(bench)
    unit = await state_of(bench, delivery.unit_id)
    assert (swept.expired, swept.sent) == (1, 1)
    assert (unit.state, unit.crashes) == (UnitState.QUEUED, 1)


async def test_a_unit_that_kills_its_workers_goes_to_quarantine(bench: Bench, lines: list[dict[str, Any]]) -> None:
    """The third crash puts it there; it is sent again at once, to run alone. Each step is counted."""
    grown = Growth()
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    for _ in range(3):
        await units.claim(bench.db, delivery.unit_id, owner="wrk_dead", lease_s=30)
        await expire(bench.db, delivery.unit_id)
        swept = await sweep(bench)
    assert (swept.quarantined, swept.sent) == (1, 1)
    told = [line for line in lines if line["event"] in ("unit.taken_back", "unit.quarantined")]
    assert [(line["event"], line["crashes"], line["job_id"]) for line in told] == [
        ("unit.taken_back", 1, delivery.job_id),
        ("unit.taken_back", 2, delivery.job_id),
        ("unit.quarantined", 3, delivery.job_id),
    ]
    assert grown.of("pictrawl_leases_expired_total") == {(): 3}
    assert grown.of("pictrawl_units_quarantined_total") == {(): 1}
    assert grown.of("pictrawl_sweep_moved_total") == {("expired",): 2, ("quarantined",): 1, ("sent",): 3}


async def test_an_outage_charges_nobody(bench: Bench) -> None:
    """A sweep that saw the database fail, or the first for a long time, begins to count silence anew."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    await units.claim(bench.db, delivery.unit_id, owner="wrk_cut_off", lease_s=30)
    await expire(bench.db, delivery.unit_id)
    with pytest.raises(errors.DatabaseConnectionError):
        async with bench.db.read():
            raise errors.DatabaseConnectionError("away")
    assert (await sweep(bench)).expired == 0
    await expire(bench.db, delivery.unit_id)
    now = await bench.db.now()
    async with bench.db.write() as connection:
        await connection.execute(update(tables.locks).values(until=now - 1000))
    assert (await sweeper.sweep_once(bench.context)).expired == 0
    await expire(bench.db, delivery.unit_id)
    assert (await sweep(bench)).expired == 1


async def test_a_flushed_redis_is_just_a_slow_sweep(bench: Bench) -> None:
    """What was sent and is gone from the queue is sent again; what is still there is not."""
    gone = await one_unit(bench, UnitKind.INTEGRITY)
    await change_unit(bench, gone.unit_id, queued_at=1.0)
    assert (await sweep(bench)).unsent == 0
    await bench.context.queue.pool.flushall()
    swept = await sweep(bench)
    assert (swept.unsent, swept.sent) == (1, 1)
    assert await bench.context.queue.missing([envelope(gone).token]) == []


async def test_a_commit_without_an_enqueue_is_found(bench: Bench) -> None:
    """A job whose sender died between commit and enqueue is sent by the next sweep."""
    from app.db import lifecycle
    from app.db.rows import NewUnit
    from app.job_states import JobKind

    async with bench.db.write() as connection:
        dataset_id = await datasets.create_dataset(connection, user_id="local", name="test")
        await lifecycle.create(
            connection, user_id="local", dataset_id=dataset_id, kind=JobKind.INTEGRITY, spec={}, first=[NewUnit(UnitKind.PLAN)]
        )
    assert (await sweep(bench)).sent == 1


async def test_redis_away_leaves_everything_pending(bench: Bench) -> None:
    """A sweep that cannot send puts the units back and says so; nothing is lost, nothing is marked as sent."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    await change_unit(bench, delivery.unit_id, state=UnitState.PENDING)

    async def away(_: object) -> None:
        raise errors.QueueUnavailableError("away")

    real, bench.context.queue.send = bench.context.queue.send, away  # type: ignore[method-assign,assignment]
    ctx = {"context": bench.context}
    await JOBS["sweep"](ctx)
    bench.context.queue.send = real  # type: ignore[method-assign]
    assert (await state_of(bench, delivery.unit_id)).state is UnitState.PENDING
    assert await dispatch(bench.resources) == 1


async def test_a_lost_finalize_is_made_again(bench: Bench) -> None:
    """A job without open units that has not ended gets its finalize unit, whatever its counter says."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    await change_unit(bench, delivery.unit_id, state=UnitState.DONE)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.jobs).values(open_units=-1))
    assert (await sweep(bench)).finalized == 1
    assert (await sweep(bench)).finalized == 0
    job = await jobs.get(bench.db, delivery.job_id)
    assert (job.state, job.open_units) == (JobState.FINALIZING, 1)


async def test_one_sweeper_at_a_time(bench: Bench) -> None:
    """While another worker's sweep holds the lock, ours does nothing."""
    from app.db import fleet

    assert await fleet.take_lock(bench.db, "sweep", owner="wrk_other", for_s=60)
    assert await sweeper.sweep_once(bench.context) == outbox.Swept()


async def test_clean_up_spares_what_is_used_or_young(bench: Bench, origin: Origin) -> None:
    """An old blob that no row points to goes, with its thumbnail; a used one and a young one stay."""
    origin.script("/a.jpg", image(encode(photo())))
    job_id = await bench.submit([origin.url("/a.jpg")])
    await bench.drive()
    kept = next(iter([item.key async for item in bench.context.store.list("blobs/")]))
    orphan = hashlib.sha256(b"orphan").hexdigest()
    young = hashlib.sha256(b"young").hexdigest()
    for body, digest in ((b"orphan", orphan), (b"young", young)):
        await bench.context.store.put(paths.blob(digest), body)
    await bench.context.store.put(paths.thumb(orphan), b"jpeg")
    (export,) = await datasets.exports_of_job(bench.db, job_id)
    await bench.context.store.put("exports/exp_gone/manifest.json", b"{}")
    await bench.context.store.put("lists/list_gone.txt", b"")
    (listed,) = [item.key async for item in bench.context.store.list("lists/") if "gone" not in item.key]
    for key in (kept, paths.blob(orphan), "exports/exp_gone/manifest.json", "lists/list_gone.txt", listed):
        age(bench, key)
    for item in [item async for item in bench.context.store.list(f"{export.prefix}/")]:
        age(bench, item.key)

    await JOBS["clean_up"]({"context": bench.context})

    left = {item.key async for item in bench.context.store.list("blobs/")}
    assert left == {kept, paths.blob(young)}
    assert not await bench.context.store.exists(paths.thumb(orphan))
    assert [item.key async for item in bench.context.store.list("exports/exp_gone")] == []
    assert [item.key async for item in bench.context.store.list("lists/")] == [listed]
    assert await bench.context.store.exists(f"{export.prefix}/manifest.json")
    assert (await bench.funnel(job_id)).kept == 1


def age(bench: Bench, key: str) -> None:
    """Make a stored object two days old."""
    import os

    path = bench.context.store.local_path(key)
    assert path is not None
    old = path.stat().st_mtime - 2 * 24 * 3600
    os.utime(path, (old, old))
