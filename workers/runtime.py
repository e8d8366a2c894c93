"""The arq worker as we run it: a short lease on what is in progress, a poll loop that survives Redis, a heartbeat, and a drain.

arq's own in-progress key lasts as long as the longest timeout of any function; ours lasts a lease and is renewed while the job runs.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from arq import cron, func
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.worker import Worker
from redis.exceptions import RedisError

import errors
from app import collector, journal
from app.db import fleet, new_id
from app.db.rows import WorkerRow
from app.queue import EXPIRES_MS, QUEUES, from_json, to_json
from app.resources import Resources, Workshop, open_workshop, product_version
from logging_setup import get_logger
from workers import builder, sweeper, validator
from workers.job import JOBS
from workers.leases import Leases
from workers.work import Context

__all__ = ["HEARTBEAT_FILE", "WorkerKind", "is_alive", "run_workers"]

log = get_logger(__name__)

WorkerKind = str
"""``builder`` or ``validator``."""

NO_TIMEOUT_S = 30 * 24 * 3600
"""arq's timeout, set out of the way: lease and progress are the limit."""

MANY_TRIES = 10_000
"""arq's tries, set out of the way: deploys and crashes eat them, so they are never the budget."""

BEAT_S = 5.0
"""Seconds between two signs of life."""

BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds before the poll loop looks at a failing Redis again; the last repeats."""

HEARTBEAT_FILE = Path("/tmp/pictrawl-heartbeat")  # noqa: S108 - a container's own tmpfs; read by its healthcheck only
"""Touched by a worker process with each sign of life."""


class LeasedWorker(Worker):
    """arq's worker with a renewed in-progress lease and a poll loop that outlives errors of Redis."""

    def __init__(self, *args: Any, lease_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.in_progress_timeout_s = lease_s
        self._renewed_at = 0.0

    async def main(self) -> None:
        """Poll until cancelled. An iteration that fails costs a pause, not the worker."""
        self.ctx["redis"] = self.pool
        failures = 0
        while True:
            try:
                await self._poll_iteration()
                failures = 0
                await asyncio.sleep(self.poll_delay_s)
            except (RedisError, OSError) as error:
                log.warning("queue.poll_failed", error_type=type(error).__name__, error=str(error), failures=failures + 1)
                await self._give_back_slots()
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1

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
                pipe.pexpire(in_progress_key_prefix + job_id, int(self.in_progress_timeout_s * 1000))
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
            cron(JOBS["sweep"], name="sweep", second=seconds, run_at_startup=False, keep_result=0, max_tries=MANY_TRIES),
            cron(JOBS["clean_up"], name="clean_up", hour={3}, minute={17}, second={0}, keep_result=0, max_tries=MANY_TRIES),
        ]
    pool = ArqRedis(context.queue.pool.connection_pool, job_serializer=to_json, job_deserializer=from_json, expires_extra_ms=EXPIRES_MS)
    return LeasedWorker(
        [func(JOBS[name], name=name) for name in names],
        queue_name=QUEUES[kind],
        cron_jobs=crons,
        redis_pool=pool,
        lease_s=settings.jobs.lease_s,
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
        job_deserializer=from_json,
        expires_extra_ms=EXPIRES_MS,
        log_results=False,
    )


@asynccontextmanager
async def run_workers(
    resources: Resources, kinds: Sequence[WorkerKind] = ("builder", "validator"), *, workshop: Workshop | None = None
) -> AsyncIterator["Crew"]:
    """Run workers of these kinds in this process for the body's time, then drain them."""
    async with open_workshop(resources.settings, resources.queue) if workshop is None else _given(workshop) as shop:
        crew = Crew(resources, shop, kinds)
        collector.calm()
        async with journal.recording(resources.db):
            await crew.start()
            try:
                yield crew
            finally:
                await asyncio.shield(crew.stop())


@asynccontextmanager
async def _given(workshop: Workshop) -> AsyncIterator[Workshop]:
    yield workshop


class Crew:
    """The workers of one process: one identity, one set of leases, a poll loop for each kind."""

    def __init__(self, resources: Resources, workshop: Workshop, kinds: Sequence[WorkerKind]) -> None:
        self.resources = resources
        self.kinds = tuple(kinds)
        self.worker_id = new_id("wrk")
        self.leases = Leases(resources.db, owner=self.worker_id, lease_s=resources.settings.jobs.lease_s)
        self.context = Context(resources, workshop, self.leases, self.worker_id)
        self.workers = {kind: make_worker(kind, self.context, slots=self._slots(kind)) for kind in kinds}
        self.loop_lag_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    def _slots(self, kind: WorkerKind) -> int:
        jobs = self.resources.settings.jobs
        return jobs.builder_slots if kind == "builder" else jobs.validator_slots

    @property
    def loops(self) -> tuple[asyncio.Task[None], ...]:
        """The tasks without which work would stand still; one that is done has died."""
        return tuple(self._tasks)

    async def start(self) -> None:
        """Show a sign of life, sweep once, then poll."""
        await self._beat()
        await self._sweep_first()
        self._tasks = [asyncio.create_task(worker.main(), name=f"poll-{kind}") for kind, worker in self.workers.items()]
        self._tasks += [asyncio.create_task(self.leases.keep(), name="leases"), asyncio.create_task(self._live(), name="heartbeat")]
        log.info("worker.started", kinds=list(self.kinds), worker=self.worker_id, pid=os.getpid())

    async def _sweep_first(self) -> None:
        try:
            await sweeper.sweep_once(self.context)
        except (errors.QueueUnavailableError, errors.DatabaseConnectionError) as error:
            log.warning("sweep.failed", error_type=type(error).__name__, error=str(error))

    async def stop(self) -> None:
        """Pick nothing more, let the units in hand end in order for ``jobs.drain_s``, then interrupt and release them."""
        for worker in self.workers.values():
            worker.allow_pick_jobs = False
        self.leases.drain()
        await _until_done(self._running(), self.resources.settings.jobs.drain_s)
        for task in self._running():
            task.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._running(), *self._tasks, return_exceptions=True)
        await self._retire()
        log.info("worker.stopped", worker=self.worker_id)

    def _running(self) -> list[asyncio.Task[Any]]:
        return [task for worker in self.workers.values() for task in worker.tasks.values() if not task.done()]

    async def _retire(self) -> None:
        with suppress(errors.DatabaseConnectionError):
            for kind in self.kinds:
                await fleet.retire(self.resources.db, f"{self.worker_id}-{kind}")

    async def _live(self) -> None:
        while True:
            asked = time.monotonic()
            await asyncio.sleep(BEAT_S)
            self.loop_lag_s = max(0.0, time.monotonic() - asked - BEAT_S)
            with suppress(errors.DatabaseConnectionError):
                await self._beat()

    async def _beat(self) -> None:
        for kind, worker in self.workers.items():
            row = WorkerRow(
                id=f"{self.worker_id}-{kind}",
                kind=kind,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=product_version(),
                slots=self._slots(kind),
                running=sum(not task.done() for task in worker.tasks.values()),
                loop_lag_s=self.loop_lag_s,
                started_at=0.0,
                beat_at=0.0,
            )
            await fleet.beat(self.resources.db, row)
        _touch_heartbeat()


def _touch_heartbeat() -> None:
    with suppress(OSError):
        HEARTBEAT_FILE.write_text(f"{time.time():.0f} {os.getpid()}\n")


async def _until_done(tasks: Iterable[asyncio.Task[Any]], timeout_s: float) -> None:
    waiting = list(tasks)
    if waiting:
        await asyncio.wait(waiting, timeout=timeout_s)


async def serve_until_signalled(resources: Resources, kinds: Sequence[WorkerKind]) -> int:
    """Run workers until SIGTERM or SIGINT; return the exit code. A second signal ends the drain."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with run_workers(resources, kinds) as crew:
        watched = [asyncio.create_task(stop.wait()), *crew.loops]
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        watched[0].cancel()
        if not stop.is_set():
            log.error("worker.loop_died", loops=[task.get_name() for task in crew.loops if task.done()])
            return 1
    return 0


def is_alive(*, fresh_s: float = 3 * BEAT_S) -> bool:
    """Whether a worker process on this machine showed a sign of life lately: what a container's healthcheck asks."""
    try:
        return time.time() - HEARTBEAT_FILE.stat().st_mtime < fresh_s
    except OSError:
        return False


def kinds_of(name: str) -> tuple[WorkerKind, ...]:
    """``builder``, ``validator``, or ``all``."""
    return tuple(QUEUES) if name == "all" else (name,)
