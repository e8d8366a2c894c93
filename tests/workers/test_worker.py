"""The arq worker as we run it: what it does not start, and how it leaves."""

import asyncio

import pytest

from app.job_states import UnitKind
from app.queue import QUEUES, Envelope
from tests.workers.bench import Bench
from workers.worker import LeasedWorker, make_worker

TOKEN = "unit_1:0"


@pytest.fixture
def worker(bench: Bench) -> LeasedWorker:
    """A builder that has no crons of its own."""
    made = make_worker("builder", bench.context, slots=2)
    made.cron_jobs = []
    return made


async def test_a_message_that_comes_twice_is_run_once(worker: LeasedWorker) -> None:
    """A Redis that forgot who works at what offers a worker its own message again; one that has ended may be started anew."""
    running = asyncio.create_task(asyncio.Event().wait())
    worker.tasks[TOKEN] = running
    await worker.pool.zadd(QUEUES["builder"], {TOKEN: 1})
    await worker.start_jobs([TOKEN.encode()])
    assert worker.tasks == {TOKEN: running}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await worker.start_jobs([TOKEN.encode()])
    assert worker.tasks[TOKEN] is not running
    await asyncio.gather(*worker.tasks.values())


async def test_a_renewal_puts_back_what_redis_forgot(worker: LeasedWorker) -> None:
    """The mark of what is in progress is written, not only prolonged."""
    running = asyncio.create_task(asyncio.Event().wait())
    worker.tasks[TOKEN] = running
    await worker._renew()
    assert 0 < await worker.pool.pttl(f"arq:in-progress:{TOKEN}") <= worker.in_progress_timeout_s * 1000
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_worker_leaves_between_two_turns(worker: LeasedWorker) -> None:
    """Asked to be quiet it picks nothing and goes on; asked to leave, its loop returns by itself."""
    polling = asyncio.create_task(worker.main())
    await worker.stop_picking()
    assert not worker.allow_pick_jobs
    assert not polling.done()
    worker.request_exit()
    await asyncio.wait_for(polling, 5)


async def test_a_message_of_this_process_is_not_waited_for(worker: LeasedWorker, bench: Bench) -> None:
    """The poll loop wakes for it, and for a slot that has become free, however long the pause between two polls is."""
    worker.poll_delay_s = 3600
    worker.max_jobs = 1
    ended: asyncio.Queue[str] = asyncio.Queue()

    async def run_job(job_id: str, score: int) -> None:
        await worker.pool.zrem(worker.queue_name, job_id)
        ended.put_nowait(job_id)

    worker.run_job = run_job  # type: ignore[method-assign]
    polling = asyncio.create_task(worker.main())
    await asyncio.sleep(0.05)
    await bench.context.queue.send([Envelope(f"unit_{number}:0", UnitKind.PLAN, (("unit_id", f"unit_{number}"),)) for number in range(2)])
    assert [await asyncio.wait_for(ended.get(), 5) for _ in range(2)] == ["unit_0:0", "unit_1:0"]
    await worker.stop_picking()
    worker.request_exit()
    await asyncio.wait_for(polling, 5)
