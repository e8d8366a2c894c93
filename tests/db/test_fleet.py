"""Tests of app.db.fleet: signs of life, locks that run out, keys of the door, and requests that are made once."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import update

import errors
from app.db import Database, fleet, tables
from app.db.conflicts import KeyReused, StateConflict
from app.db.rows import WorkerRow
from tests.db.builders import change, count

WORKER = WorkerRow(
    id="wrk_1-builder", kind="builder", host="host", pid=42, version="0.1.0", slots=8, running=0, loop_lag_s=0.0,
    started_at=0.0, beat_at=0.0,
)  # fmt: skip


async def silent_for(db: Database, worker_id: str, seconds: float) -> None:
    """As if a worker's last sign of life were so old."""
    await change(db, tables.workers, worker_id, beat_at=await db.now() - seconds)


# workers


async def test_a_worker_is_there_from_its_first_beat(any_database: Database) -> None:
    """Later beats change what changes: what runs, the lag, the moment. Times are the database's."""
    await fleet.beat(any_database, WORKER)
    (first,) = await fleet.workers(any_database)
    assert replace(first, started_at=0.0, beat_at=0.0) == WORKER
    assert abs(first.started_at - await any_database.now()) < 60
    await silent_for(any_database, WORKER.id, 20)
    await fleet.beat(any_database, replace(WORKER, running=3, loop_lag_s=0.5))
    (second,) = await fleet.workers(any_database)
    assert (second.running, second.loop_lag_s, second.started_at) == (3, 0.5, first.started_at)
    assert second.beat_at >= first.beat_at
    await fleet.retire(any_database, WORKER.id)
    assert await fleet.workers(any_database) == []


async def test_only_living_workers_have_slots(any_database: Database) -> None:
    """Slots are added up by kind over the workers that beat lately; without any there are none."""
    for worker_id, kind, slots in (("a", "builder", 8), ("b", "builder", 4), ("c", "validator", 2), ("d", "builder", 100)):
        await fleet.beat(any_database, replace(WORKER, id=worker_id, kind=kind, slots=slots))
    await silent_for(any_database, "d", 31)
    await silent_for(any_database, "b", 29)
    async with any_database.read() as connection:
        assert await fleet.slots(connection, fresh_s=30) == {"builder": 12, "validator": 2}
    assert {worker.id for worker in await fleet.workers(any_database, fresh_s=30)} == {"a", "b", "c"}
    assert len(await fleet.workers(any_database)) == 4


async def test_workers_long_gone_are_forgotten(any_database: Database) -> None:
    """Only those that were silent for longer than the limit."""
    for worker_id in ("a", "b"):
        await fleet.beat(any_database, replace(WORKER, id=worker_id))
    await silent_for(any_database, "a", 3601)
    assert await fleet.forget_workers(any_database, older_than_s=3600) == 1
    assert [worker.id for worker in await fleet.workers(any_database)] == ["b"]


# locks


async def test_a_lock_has_one_owner_until_it_runs_out(any_database: Database) -> None:
    """Its owner may prolong it, another waits for its end, and names do not meet."""
    assert await fleet.take_lock(any_database, "sweep", owner="a", for_s=60)
    assert not await fleet.take_lock(any_database, "sweep", owner="b", for_s=60)
    assert await fleet.take_lock(any_database, "sweep", owner="a", for_s=60)
    assert await fleet.take_lock(any_database, "clean_up", owner="b", for_s=60)
    async with any_database.write() as connection:
        await connection.execute(update(tables.locks).where(tables.locks.c.name == "sweep").values(until=await any_database.now() - 1))
    assert await fleet.take_lock(any_database, "sweep", owner="b", for_s=60)
    assert not await fleet.take_lock(any_database, "sweep", owner="a", for_s=60)


async def test_one_of_many_takes_a_lock(any_database: Database) -> None:
    """Ten at once, before its row is there and after it ran out: one each time."""
    for _ in range(2):
        taken = await asyncio.gather(*(fleet.take_lock(any_database, "sweep", owner=f"w{n}", for_s=60) for n in range(10)))
        assert taken.count(True) == 1
        async with any_database.write() as connection:
            await connection.execute(update(tables.locks).values(until=0.0))


# keys


async def test_a_key_from_its_making_to_its_end(any_database: Database) -> None:
    """In force until it is revoked; only then is there no key. Its digest is shown to nobody but the door."""
    assert not await fleet.has_keys(any_database)
    key_id = "key_laptop"
    await fleet.add_key(any_database, key_id=key_id, user_id="ann", name="laptop", digest="ab" * 32)
    assert await fleet.has_keys(any_database)
    assert await fleet.find_key(any_database, key_id) == ("ann", "ab" * 32)
    assert await fleet.find_key(any_database, "key_unknown") is None
    (key,) = await fleet.keys(any_database)
    assert (key.id, key.user_id, key.name, key.revoked_at, key.last_used_at) == (key_id, "ann", "laptop", None, None)
    assert "ab" * 32 not in repr(key)
    await fleet.revoke_key(any_database, key_id)
    assert await fleet.find_key(any_database, key_id) is None
    assert not await fleet.has_keys(any_database)
    assert (await fleet.keys(any_database))[0].revoked_at is not None
    for gone in (key_id, "key_unknown"):
        with pytest.raises(errors.NotFoundError, match=f"no API key {gone} in force"):
            await fleet.revoke_key(any_database, gone)


async def test_the_use_of_a_key_is_noted_once_a_minute(any_database: Database) -> None:
    """A write for each request would be one too many."""
    await fleet.add_key(any_database, key_id="key_1", user_id="ann", name="laptop", digest="x")
    await fleet.touch_key(any_database, "key_1")
    used = (await fleet.keys(any_database))[0].last_used_at
    assert used is not None
    await fleet.touch_key(any_database, "key_1")
    assert (await fleet.keys(any_database))[0].last_used_at == used
    await change(any_database, tables.api_keys, "key_1", last_used_at=used - 61)
    await fleet.touch_key(any_database, "key_1")
    assert (await fleet.keys(any_database))[0].last_used_at >= used


# idempotency


async def make_once(db: Database, key: str, *, user_id: str = "ann", body: str = "digest", resource: str = "job_1") -> str:
    """What a request with an Idempotency-Key does: look, else make and note."""
    async with db.write() as connection:
        known = await fleet.remember(connection, user_id=user_id, key=key, body_digest=body)
        if known is None:
            await fleet.note(connection, user_id=user_id, key=key, body_digest=body, resource=resource)
        return known or resource


async def test_an_idempotency_key_remembers_what_it_made(any_database: Database) -> None:
    """The same key and body give the same resource; another user's key is another key."""
    assert await make_once(any_database, "k", resource="job_1") == "job_1"
    assert await make_once(any_database, "k", resource="job_2") == "job_1"
    assert await make_once(any_database, "k", user_id="bob", resource="job_3") == "job_3"
    assert await make_once(any_database, "other", resource="job_4") == "job_4"


async def test_a_key_with_another_body_is_refused(any_database: Database) -> None:
    """The message says what to do."""
    await make_once(any_database, "k")
    with pytest.raises(KeyReused, match="another request; send a new key"):
        await make_once(any_database, "k", body="other")


async def test_requests_with_the_same_key_at_the_same_moment(any_database: Database) -> None:
    """Ten at once: one makes its resource, all others get it, none fails."""
    made = await asyncio.gather(*(make_once(any_database, "k", resource=f"job_{number}") for number in range(10)))
    assert len(set(made)) == 1
    assert await count(any_database, tables.idempotency_keys) == 1


async def test_a_key_is_bound_once(any_database: Database) -> None:
    """Who notes without having looked takes nothing of the first one's away."""
    await make_once(any_database, "k", resource="job_1")
    async with any_database.write() as connection:
        with pytest.raises(StateConflict, match="is being answered; send it again"):
            await fleet.note(connection, user_id="ann", key="k", body_digest="digest", resource="job_2")
    assert await make_once(any_database, "k", resource="job_3") == "job_1"


async def test_old_idempotency_keys_are_forgotten(any_database: Database) -> None:
    """Only those beyond the age."""
    for key in ("old", "new"):
        await make_once(any_database, key)
    columns = tables.idempotency_keys.c
    async with any_database.write() as connection:
        await connection.execute(update(tables.idempotency_keys).where(columns.key == "old").values(created_at=columns.created_at - 86_401))
    assert await fleet.expire_idempotency(any_database, older_than_s=86_400) == 1
    assert await make_once(any_database, "old", body="new body", resource="job_9") == "job_9"
