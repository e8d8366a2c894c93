"""The arq worker as we run it: a short, renewed lease on what is in progress, and a poll loop that survives Redis.

arq's own in-progress key lasts as long as the longest timeout of any function; ours lasts a lease and is renewed while the job runs.
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
from workers.unit import Context

__all__ = ["LeasedWorker", "WorkerKind", "make_worker"]

log = get_logger(__name__)

WorkerKind = str
"""``builder`` or ``validator``."""

NO_TIMEOUT_S = 30 * 24 * 3600
"""arq's timeout, set out of the way: lease and progress are the limit."""

MANY_TRIES = 10_000
"""arq's tries, set out of the way: deploys and crashes eat them, so they are never the budget."""

QUIET_S = 2.0
"""Seconds that the last look at the queue may take when a worker stops."""

BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds before the poll loop looks at a failing Redis again; the last repeats."""


Heard = Callable[[Callable[[], None]], AbstractContextManager[None]]
"""Has something called, for a body's time, when a message was put on the worker's queue in this process."""

_message: ContextVar[dict[str, Any]] = ContextVar("message")
_scope: ContextVar[ExitStack] = ContextVar("scope")


def read_message(data: bytes) -> dict[str, Any]:
    """arq's deserializer, which remembers what it read for the task that runs the message: arq's hooks are not told."""
    message = from_json(data)
    _message.set(message)
    return message


async def begin(ctx: dict[str, Any]) -> None:
    """arq's hook before a job: what arq itself logs of it in this task names the job too, as the decorator has its own lines do."""
    message = _message.get({})
    fields = {"job": message.get("f"), "run": ctx["job_try"], "worker": ctx["context"].worker_id} | message.get("k", {})
    _scope.get().enter_context(log.contextualize(**fields))


class LeasedWorker(Worker):
    """arq's worker with a renewed in-progress lease and a poll loop that outlives errors of Redis.

    Args:
        heard: who says when this process sends something; what others send is seen at the next poll.
    """

    def __init__(self, *args: Any, lease_s: float, heard: Heard = lambda _: nullcontext(), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.in_progress_timeout_s = lease_s
        self._heard = heard
        self._woken = asyncio.Event()
        self._renewed_at = 0.0
        self.turned_at = time.monotonic()
        self._picks_nothing = asyncio.Event()
        self._leaves = False

    async def quiet(self) -> None:
        """Pick nothing more, and return once what was being picked has become a task; a Redis that hangs is not waited for."""
        self.allow_pick_jobs = False
        self._woken.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._picks_nothing.wait(), QUIET_S)

    def leave(self) -> None:
        """Have the poll loop end after its present turn: cut off inside one, it would leave a connection in the middle of a transaction."""
        self._leaves = True
        self._woken.set()

    async def main(self) -> None:
        """Poll until told to leave. An iteration that fails costs a pause, not the worker."""
        self.ctx["redis"] = self.pool
        with self._heard(self._woken.set):
            await self._poll()

    async def _poll(self) -> None:
        failures = 0
        await self._give_back_slots()
        while not self._leaves:
            self.turned_at = time.monotonic()
            if not self.allow_pick_jobs:
                self._picks_nothing.set()
            try:
                await self._poll_iteration()
                failures = 0
                await self._rest()
            except (RedisError, OSError) as error:
                log.warning("queue.poll_failed", error_type=type(error).__name__, error=str(error), failures=failures + 1)
                await self._give_back_slots()
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1

    async def _rest(self) -> None:
        """Until the next poll is due, or there is something to do before: a message of this process, a free slot, an order to leave."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.poll_delay_s):
                await self._woken.wait()
        self._woken.clear()

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start what this worker does not run already: a Redis that forgot keys offers it again, and arq would lose sight of the first."""
        await super().start_jobs([job_id for job_id in job_ids if not self._runs(job_id.decode())])

    async def run_job(self, job_id: str, score: int) -> None:
        """Run a message, with a place for what `begin` puts into the log's context."""
        with ExitStack() as scope:
            _scope.set(scope)
            await super().run_job(job_id, score)

    def _release_sem_dec_counter_on_complete(self) -> None:
        super()._release_sem_dec_counter_on_complete()
        self._woken.set()

    def _runs(self, job_id: str) -> bool:
        task = self.tasks.get(job_id)
        return task is not None and not task.done()

    async def heart_beat(self) -> None:
        """Renew what is in progress and enqueue due crons."""
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

    async def _give_back_slots(self) -> None:
        """An error between taking a slot and starting its job leaks the slot; count again once the callbacks have run."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for _ in range(self.job_counter - sum(not task.done() for task in self.tasks.values())):
            self._release_sem_dec_counter_on_complete()


def make_worker(kind: WorkerKind, context: Context, *, slots: int) -> LeasedWorker:
    """An arq worker for one queue, with that queue's jobs and the crons."""
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
        heard=partial(context.queue.heard, QUEUES[kind]),
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
        on_job_start=begin,
        expires_extra_ms=EXPIRES_MS,
        log_results=False,
    )
