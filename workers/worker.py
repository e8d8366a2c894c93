"""The arq worker that pictrawl runs: a short, renewed lease on messages in progress, and a poll loop that survives Redis outages.

arq's own in-progress key lasts as long as the longest timeout of any function; this one lasts a lease and is renewed while the job runs.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any

from arq import cron, func
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.worker import Worker
from redis.exceptions import RedisError

from app.queue import EXPIRES_MS, QUEUES, from_json, to_json
from logging_setup import get_logger
from workers import builder, sweeper, validator
from workers.job import JOBS
from workers.unit import JobContext

__all__ = ["LeasedWorker", "WorkerKind", "make_worker"]

log = get_logger(__name__)

WorkerKind = str
"""``builder`` or ``validator``."""

NO_TIMEOUT_S = 30 * 24 * 3600
"""Disables arq's timeout: a unit is limited by its lease and its progress."""

MANY_TRIES = 10_000
"""Disables arq's limit on tries: deploys and crashes use tries up, so they are not the retry budget."""

STOP_PICKING_S = 2.0
"""Seconds that the last poll may take when a worker stops."""

BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds before the poll loop polls a failing Redis again; the last repeats."""

Subscribe = Callable[[Callable[[], None]], AbstractContextManager[None]]
"""Registers a callback, for a body's time, that is called when this process puts a message on the worker's queue."""

_message: ContextVar[dict[str, Any]] = ContextVar("message")
_scope: ContextVar[ExitStack] = ContextVar("scope")


def read_message(data: bytes) -> dict[str, Any]:
    """arq's deserializer. It keeps the message for the task that runs it, because arq does not pass it to its hooks."""
    message = from_json(data)
    _message.set(message)
    return message


async def bind_log_context(ctx: dict[str, Any]) -> None:
    """arq's hook before a job: arq's own log lines in this task then carry the job's ids, as the decorator's lines do."""
    message = _message.get({})
    fields = {"job": message.get("f"), "run": ctx["job_try"], "worker": ctx["context"].worker_id} | message.get("k", {})
    _scope.get().enter_context(log.contextualize(**fields))


class LeasedWorker(Worker):
    """arq's worker with a renewed in-progress lease and a poll loop that outlives Redis errors.

    Args:
        subscribe: calls back when this process enqueues a message. Messages of other processes are found by the next poll.

    Attributes:
        iterated_at: when the poll loop began its last iteration, monotonic seconds.
    """

    def __init__(self, *args: Any, lease_s: float, subscribe: Subscribe = lambda _: nullcontext(), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.in_progress_timeout_s = lease_s
        self._subscribe = subscribe
        self._wake = asyncio.Event()
        self._renewed_at = 0.0
        self.iterated_at = time.monotonic()
        self._picking_stopped = asyncio.Event()
        self._exit_requested = False

    async def stop_picking(self) -> None:
        """Pick no more messages; return once those being picked are tasks. A Redis that hangs is waited for 2 seconds."""
        self.allow_pick_jobs = False
        self._wake.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._picking_stopped.wait(), STOP_PICKING_S)

    def request_exit(self) -> None:
        """End the poll loop after its current iteration; cancelling inside one would leave a connection in the middle of a transaction."""
        self._exit_requested = True
        self._wake.set()

    async def main(self) -> None:
        """Poll until :meth:`request_exit`. After an iteration that fails the loop waits and continues."""
        self.ctx["redis"] = self.pool
        with self._subscribe(self._wake.set):
            await self._poll()

    async def _poll(self) -> None:
        failures = 0
        await self._release_leaked_slots()
        while not self._exit_requested:
            self.iterated_at = time.monotonic()
            if not self.allow_pick_jobs:
                self._picking_stopped.set()
            try:
                await self._poll_iteration()
                failures = 0
                await self._wait_for_next_poll()
            except (RedisError, OSError) as error:
                log.warning("queue.poll_failed", error_type=type(error).__name__, error=str(error), failures=failures + 1)
                await self._release_leaked_slots()
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1

    async def _wait_for_next_poll(self) -> None:
        """Wait until the next poll is due, or earlier for a message of this process, a free slot, or a request to exit."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.poll_delay_s):
                await self._wake.wait()
        self._wake.clear()

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start messages that do not run here already. A Redis that lost its keys offers them again, and arq would lose the first task."""
        await super().start_jobs([job_id for job_id in job_ids if not self._is_running(job_id.decode())])

    async def run_job(self, job_id: str, score: int) -> None:
        """Run a message inside a scope that ends what :func:`bind_log_context` has bound."""
        with ExitStack() as scope:
            _scope.set(scope)
            await super().run_job(job_id, score)

    def _release_sem_dec_counter_on_complete(self) -> None:
        super()._release_sem_dec_counter_on_complete()
        self._wake.set()

    def _is_running(self, job_id: str) -> bool:
        task = self.tasks.get(job_id)
        return task is not None and not task.done()

    async def heart_beat(self) -> None:
        """Renew the in-progress keys and enqueue due crons."""
        if time.monotonic() - self._renewed_at > self.in_progress_timeout_s / 3:
            self._renewed_at = time.monotonic()
            await self._renew()
        await super().heart_beat()

    async def _renew(self) -> None:
        running = [job_id for job_id, task in self.tasks.items() if not task.done()]
        if not running:
            return
        async with self.pool.pipeline(transaction=False) as pipe:
            for job_id in running:
                pipe.psetex(in_progress_key_prefix + job_id, int(self.in_progress_timeout_s * 1000), b"1")
            await pipe.execute()

    async def _release_leaked_slots(self) -> None:
        """Release the slots that arq leaks when an error comes between taking a slot and starting its job."""
        await asyncio.sleep(0)  # twice: callbacks of finished tasks release their own slots first
        await asyncio.sleep(0)
        for _ in range(self.job_counter - sum(not task.done() for task in self.tasks.values())):
            self._release_sem_dec_counter_on_complete()


def make_worker(kind: WorkerKind, context: JobContext, *, slots: int) -> LeasedWorker:
    """Make an arq worker for one queue, with that queue's jobs; the builder's also runs the crons."""
    settings = context.settings
    names = {module.__name__: module.__all__ for module in (builder, validator)}[f"workers.{kind}"]
    crons = []
    if kind == "builder":
        seconds = set(range(0, 60, max(1, round(settings.jobs.sweep_interval_s))))
        crons = [
            cron(sweeper.sweep, name="sweep", second=seconds, run_at_startup=False, keep_result=0, max_tries=MANY_TRIES),
            cron(sweeper.clean_up, name="clean_up", hour={3}, minute={17}, second={0}, keep_result=0, max_tries=MANY_TRIES),
        ]
    pool = ArqRedis(context.queue.pool.connection_pool, job_serializer=to_json, job_deserializer=from_json, expires_extra_ms=EXPIRES_MS)
    return LeasedWorker(
        [func(JOBS[name], name=name) for name in names],
        queue_name=QUEUES[kind],
        cron_jobs=crons,
        redis_pool=pool,
        lease_s=settings.jobs.lease_s,
        subscribe=partial(context.queue.subscribe, QUEUES[kind]),
        ctx={"context": context},
        max_jobs=slots,
        job_timeout=NO_TIMEOUT_S,
        max_tries=MANY_TRIES,
        keep_result=0,
        poll_delay=settings.jobs.poll_s,
        health_check_interval=30,
        health_check_key=f"pictrawl:health:{context.worker_id}:{kind}",
        handle_signals=False,
        job_serializer=to_json,
        job_deserializer=read_message,
        on_job_start=bind_log_context,
        expires_extra_ms=EXPIRES_MS,
        log_results=False,
    )
