"""Tests of app.jobs.dispatch: from the database to the queue, and back where the queue lost it."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakeredis import FakeServer

import errors
from app.db import Database, fleet, lifecycle, outbox, tables, units
from app.db.rows import NewUnit, WorkerRow
from app.job_states import DesiredState, UnitKind
from app.jobs.dispatch import (
    UNSENT_AFTER_S,
    WINDOW_FACTOR,
    Dispatcher,
    dispatch,
    dispatch_requests,
    envelope,
    resend_lost,
)
from app.jobs.submit import wake
from app.queue import QUEUES, ArqQueue, Envelope, embedded_queue
from app.resources import Resources
from app.settings import Settings
from app.storage import open_store
from app.workspace import Holder, Workspace
from logging_setup.config import add_sink, remove_sink
from tests.db.builders import add_job, change, claimed, count, unit_ids, unit_row

WORKER = WorkerRow("wrk_1-builder", "builder", "host", 1, "0.1.0", 8, 0, 0.0, 0.0, 0.0)


@pytest.fixture
def server() -> FakeServer:
    """The Redis behind the queue; ``connected`` takes it away."""
    return FakeServer()


@pytest.fixture
async def resources(any_database: Database, server: FakeServer, settings: Settings) -> AsyncIterator[Resources]:
    """On SQLite and on PostgreSQL, with a queue in this process."""
    queue = embedded_queue(server)
    yield Resources(settings, any_database, open_store("memory://"), queue)
    await queue.close()


async def queued(resources: Resources) -> int:
    return await count(resources.db, tables.units, tables.units.c.state == "queued")


def test_a_units_message_names_its_run() -> None:
    """The token holds unit and epoch; the ids are what the job function takes, and whence the job comes, where there are such."""
    delivery = outbox.Delivery("unit_1", UnitKind.FETCH, "job_1", 2, chunk_id="chunk_1")
    ids = (("job_id", "job_1"), ("unit_id", "unit_1"))
    assert envelope(delivery) == Envelope("unit_1:2", UnitKind.FETCH, (*ids, ("chunk_id", "chunk_1")))
    assert envelope(replace(delivery, chunk_id=None)).ids == ids
    asked = replace(delivery, request_id="req_1", traceparent="00-1-2-01")
    assert envelope(asked).ids == (*ids, ("chunk_id", "chunk_1"), ("request_id", "req_1"), ("traceparent", "00-1-2-01"))


async def test_due_units_are_marked_and_sent(resources: Resources) -> None:
    """To the queues of their kinds; what was sent is not sent again."""
    job_id = await add_job(resources.db, [NewUnit(UnitKind.FETCH, {"chunk_id": "c"}), NewUnit(UnitKind.VALIDATE), NewUnit(UnitKind.PLAN)])
    assert await dispatch(resources) == 3
    assert await resources.queue.depths() == {"builder": 2, "validator": 1}
    assert await queued(resources) == 3
    assert await resources.queue.missing([f"{unit_id}:0" for unit_id in await unit_ids(resources.db, job_id)]) == []
    assert await dispatch(resources) == 0


async def test_the_window_follows_the_slots_of_living_workers(resources: Resources) -> None:
    """Twice as many as the workers run at once, and as if there were four slots where there are fewer."""
    await add_job(resources.db, 100)
    assert await dispatch(resources) == WINDOW_FACTOR * 4
    await fleet.beat(resources.db, WORKER)
    await fleet.beat(resources.db, replace(WORKER, id="wrk_2-builder", slots=6))
    await fleet.beat(resources.db, replace(WORKER, id="wrk_3-builder", slots=50))
    await change(resources.db, tables.workers, "wrk_3-builder", beat_at=await resources.db.now() - fleet.BEAT_FRESH_S - 1)
    assert await dispatch(resources) == WINDOW_FACTOR * 14 - WINDOW_FACTOR * 4
    assert await queued(resources) == WINDOW_FACTOR * 14


async def test_without_redis_everything_is_pending_again(resources: Resources, server: FakeServer) -> None:
    """The caller hears of it; the next dispatch sends what this one could not."""
    job_id = await add_job(resources.db, 3)
    server.connected = False
    with pytest.raises(errors.QueueUnavailableError):
        await dispatch(resources)
    assert await queued(resources) == 0
    assert [(await unit_row(resources.db, unit_id)).queued_at for unit_id in await unit_ids(resources.db, job_id)] == [None] * 3
    server.connected = True
    assert await dispatch(resources) == 3


class AwayAndLate(ArqQueue):
    """A queue that is away, and whose caller's time runs out at that moment."""

    async def send(self, envelopes: Sequence[Envelope]) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        raise errors.QueueUnavailableError("away")


async def test_a_caller_who_waits_no_longer_leaves_no_unit_marked(resources: Resources) -> None:
    """What was not sent is pending again, although a submission waits for two seconds only."""
    await add_job(resources.db, 3)
    late = asyncio.create_task(dispatch(replace(resources, queue=AwayAndLate(resources.queue.pool))))
    with pytest.raises(asyncio.CancelledError):
        await late
    assert await queued(resources) == 0


async def test_units_that_redis_lost_are_sent_again(resources: Resources) -> None:
    """After a flush, what was sent some time ago and is claimed by nobody goes back; what is claimed or just sent stays."""
    job_id = await add_job(resources.db, 4)
    lost, fresh, running, kept = await unit_ids(resources.db, job_id)
    assert await resend_lost(resources) == 0
    await dispatch(resources)
    await claimed(resources.db, running)
    await resources.queue.pool.flushall()
    long_ago = await resources.db.now() - UNSENT_AFTER_S - 1
    for unit_id in (lost, kept):
        await change(resources.db, tables.units, unit_id, queued_at=long_ago)
    await resources.queue.send([Envelope(f"{kept}:0", UnitKind.FETCH, ())])
    assert await resend_lost(resources) == 1
    states = [(await unit_row(resources.db, unit_id)).state for unit_id in (lost, fresh, running, kept)]
    assert states == ["pending", "queued", "running", "queued"]
    assert await dispatch(resources) == 1


async def test_looking_for_lost_units_without_redis_moves_none(resources: Resources, server: FakeServer) -> None:
    """Nobody knows what it holds until it answers."""
    job_id = await add_job(resources.db)
    await dispatch(resources)
    (unit_id,) = await unit_ids(resources.db, job_id)
    await change(resources.db, tables.units, unit_id, queued_at=1.0)
    server.connected = False
    with pytest.raises(errors.QueueUnavailableError):
        await resend_lost(resources)
    assert await queued(resources) == 1


async def test_a_unit_that_comes_back_is_another_message(resources: Resources) -> None:
    """After a run its epoch has grown, so that the old message, should it still lie there, does not stand in for the new one."""
    job_id = await add_job(resources.db)
    (unit_id,) = await unit_ids(resources.db, job_id)
    await dispatch(resources)
    await units.release(resources.db, await claimed(resources.db, unit_id))
    assert await dispatch(resources) == 1
    assert await resources.queue.missing([f"{unit_id}:0", f"{unit_id}:1"]) == []


async def test_paused_jobs_are_not_sent(resources: Resources) -> None:
    """And are, once they go on."""
    job_id = await add_job(resources.db, 2)
    await lifecycle.set_desired_state(resources.db, job_id, DesiredState.PAUSED)
    assert await dispatch(resources) == 0
    await lifecycle.set_desired_state(resources.db, job_id, DesiredState.RUNNING)
    assert await dispatch(resources) == 2


async def test_units_that_end_together_share_a_pass(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks while a pass runs is served by the next, and all who wait by the same one, each with its user."""
    passes: list[set[str]] = []
    gate = asyncio.Event()

    async def slowly(_: Resources, *, finished_users: set[str]) -> int:
        passes.append(finished_users)
        await gate.wait()
        return 0

    monkeypatch.setattr("app.jobs.dispatch.dispatch", slowly)
    dispatcher = Dispatcher(resources)
    first = asyncio.create_task(dispatcher.top_up("ann"))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(dispatcher.top_up(user)) for user in ("bob", "cid", "bob")]
    await asyncio.sleep(0.01)
    gate.set()
    await asyncio.gather(first, *others)
    assert passes == [{"ann"}, {"bob", "cid"}]


async def test_a_pass_that_fails_is_told_to_all_who_share_it(resources: Resources, server: FakeServer) -> None:
    """And the next one is tried anew."""
    await add_job(resources.db, 3)
    server.connected = False
    dispatcher = Dispatcher(resources)
    told = await asyncio.gather(*(dispatcher.top_up("local") for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in told] == [errors.QueueUnavailableError] * 3
    server.connected = True
    await dispatcher.top_up("local")
    assert await queued(resources) == 3


async def test_a_pass_goes_on_without_the_one_who_asked(resources: Resources) -> None:
    """A unit that is cut off while it waits for the dispatcher leaves the pass to its end, and a worker that stops waits for that."""
    await add_job(resources.db, 3)
    dispatcher = Dispatcher(resources)
    asker = asyncio.create_task(dispatcher.top_up("local"))
    await asyncio.sleep(0)
    asker.cancel()
    await asyncio.gather(asker, return_exceptions=True)
    await dispatcher.finish()
    assert await queued(resources) == 3


async def test_a_pass_that_fails_after_all_who_asked_were_cut_off_is_no_error_unheard(resources: Resources, server: FakeServer) -> None:
    """The sweeper sends what it did not; the loop has nothing to complain about."""
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    await add_job(resources.db, 3)
    server.connected = False
    dispatcher = Dispatcher(resources)
    asker = asyncio.create_task(dispatcher.top_up("local"))
    await asyncio.sleep(0)
    asker.cancel()
    await asyncio.gather(asker, return_exceptions=True)
    while dispatcher._writer._tasks:
        await asyncio.sleep(0)
    gc.collect()
    assert unheard == []


@pytest.fixture
def workspace(resources: Resources, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace of a command, which works on the jobs that are asked for; not taken yet."""
    opened = Workspace(tmp_path, Holder(1, "build", job_ids=frozenset()))
    yield opened
    opened.release()


async def test_a_process_that_does_not_hold_the_workspace_sends_nothing(resources: Resources, workspace: Workspace) -> None:
    """Its queue has no reader: the units stay pending for the process that holds it."""
    job_id = await add_job(resources.db, 3)
    resources = replace(resources, workspace=workspace)
    await wake(resources, job_id)
    assert (await dispatch(resources), await queued(resources)) == (0, 0)


async def test_a_command_sends_units_of_its_own_job_only(resources: Resources, workspace: Workspace) -> None:
    """An older job that did not end stays as it is, its unit in quarantine too."""
    older, mine = await add_job(resources.db, 2), await add_job(resources.db, 3)
    alone, own = (await unit_ids(resources.db, older))[0], (await unit_ids(resources.db, mine))[0]
    for unit_id in (alone, own):
        await change(resources.db, tables.units, unit_id, state="quarantined", crashes=3)
    resources = replace(resources, workspace=workspace)
    assert workspace.take()
    assert await dispatch(resources) == 0
    await wake(resources, mine)
    states = [
        [(await unit_row(resources.db, unit_id)).state for unit_id in await unit_ids(resources.db, job_id)] for job_id in (older, mine)
    ]
    assert states == [["quarantined", "pending"], ["queued"] * 3]


async def test_a_job_that_another_process_asks_for_is_sent_at_once(resources: Resources, workspace: Workspace, tmp_path: Path) -> None:
    """Without waiting for a sweep; its answer is a message on the queue."""
    resources = replace(resources, workspace=workspace)
    assert workspace.take()
    sent = asyncio.Event()
    async with dispatch_requests(resources, workspace):
        job_id = await add_job(resources.db)
        with resources.queue.subscribe(QUEUES["builder"], sent.set):
            Workspace(tmp_path, Holder(2, "export", job_ids=frozenset())).request(job_id)
            await asyncio.wait_for(sent.wait(), 10)
    assert workspace.job_ids == {job_id}
    assert await queued(resources) == 1


async def test_requests_are_heard_after_an_outage_of_the_queue(
    resources: Resources, workspace: Workspace, server: FakeServer, tmp_path: Path
) -> None:
    """What cannot be sent now is sent by the next request or sweep; the loop lives on."""
    resources = replace(resources, workspace=workspace)
    other = Workspace(tmp_path, Holder(2, "export", job_ids=frozenset()))
    assert workspace.take()
    first, second = await add_job(resources.db), await add_job(resources.db)
    sent = asyncio.Event()
    async with dispatch_requests(resources, workspace):
        server.connected = False
        failed = asyncio.Event()
        sink = add_sink(lambda record: failed.set() if record["event"] == "dispatch.failed" else None, level="WARNING")
        other.request(first)
        await asyncio.wait_for(failed.wait(), 10)
        remove_sink(sink)
        server.connected = True
        with resources.queue.subscribe(QUEUES["builder"], sent.set):
            other.request(second)
            await asyncio.wait_for(sent.wait(), 10)
    assert await queued(resources) == 2
