"""The workers of one process: started, supervised, recycled, and drained in order."""

import asyncio
import os
import signal
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import errors
from app import process_setup
from app.db import fleet, new_id
from app.db.rows import WorkerRow
from app.jobs import event_log
from app.observability import being_read, listening, sampled
from app.queue import QUEUES
from app.resources import Resources, Workshop, open_workshop, product_version
from logging_setup import get_logger
from workers import gauging, health, sweeper
from workers.leases import Leases
from workers.unit import Context
from workers.worker import QUIET_S, WorkerKind, make_worker

__all__ = ["Crew", "WorkerKind", "is_alive", "kinds_of", "run_workers", "serve_until_signalled"]

log = get_logger(__name__)

BEAT_S = 5.0
"""Seconds between two signs of life, at most; a third of a lease where that is less."""

DEATHS, DEATHS_WITHIN_S = 5, 60.0
"""A loop that dies this often in this time is not begun again: the process ends, and whoever started it begins with a clean one."""

RESTART_S = 1.0
"""Seconds before a loop that died is begun again."""


@asynccontextmanager
async def run_workers(
    resources: Resources, kinds: Sequence[WorkerKind] = ("builder", "validator"), *, workshop: Workshop | None = None
) -> AsyncIterator["Crew"]:
    """Run workers of these kinds in this process for the body's time, then drain them."""
    async with open_workshop(resources.settings, resources.queue) if workshop is None else _given(workshop) as shop:
        crew = Crew(resources, shop, kinds)
        process_setup.tune_gc()
        async with event_log.recording(resources.db), sampled():
            await crew.start()
            try:
                with being_read(lambda: gauging.read(crew)):
                    yield crew
            finally:
                await asyncio.shield(crew.stop())


@asynccontextmanager
async def _given(workshop: Workshop) -> AsyncIterator[Workshop]:
    yield workshop


class Crew:
    """The workers of one process: one identity, one set of leases, a poll loop for each kind.

    Attributes:
        worn_out: set once ``jobs.recycle_after`` units are done or ``jobs.recycle_rss_bytes`` of memory are taken.
        hurry: set it to end a drain at once.
    """

    def __init__(self, resources: Resources, workshop: Workshop, kinds: Sequence[WorkerKind]) -> None:
        jobs = resources.settings.jobs
        self.resources = resources
        self.kinds = tuple(kinds)
        self.worker_id = new_id("wrk")
        self.leases = Leases(resources.db, owner=self.worker_id, lease_s=jobs.lease_s)
        self.context = Context(resources, workshop, self.leases, self.worker_id)
        self.workers = {kind: make_worker(kind, self.context, slots=self.slots(kind)) for kind in kinds}
        self.loop_lag_s = 0.0
        self.worn_out = asyncio.Event()
        self.hurry = asyncio.Event()
        self._beat_s = min(BEAT_S, jobs.lease_s / 3)
        self._tasks: list[asyncio.Task[None]] = []

    def slots(self, kind: WorkerKind) -> int:
        """Units of this kind that may run at once."""
        jobs = self.resources.settings.jobs
        return jobs.builder_slots if kind == "builder" else jobs.validator_slots

    def running(self, kind: WorkerKind) -> int:
        """Units of this kind that run."""
        return sum(not task.done() for task in self.workers[kind].tasks.values())

    @property
    def loops(self) -> tuple[asyncio.Task[None], ...]:
        """The tasks without which work would stand still; one that is done has died again and again."""
        return tuple(self._tasks)

    async def start(self) -> None:
        """Show a sign of life, sweep once, then poll."""
        with suppress(errors.StorageError):  # its library sets itself up at the first call, and never again if no descriptor is left then
            await self.resources.store.exists("check/none")
        await self._beat()
        await self._sweep_first()
        loops = {f"poll-{kind}": worker.main for kind, worker in self.workers.items()}
        loops |= {"leases": self.leases.keep, "heartbeat": self._live}
        self._tasks = [asyncio.create_task(supervised(name, loop), name=name) for name, loop in loops.items()]
        log.info("worker.started", kinds=list(self.kinds), worker=self.worker_id, pid=os.getpid())

    async def _sweep_first(self) -> None:
        try:
            await sweeper.sweep_once(self.context)
        except (errors.QueueUnavailableError, errors.DatabaseConnectionError) as error:
            log.warning("sweep.failed", error_type=type(error).__name__, error=str(error))

    async def stop(self) -> None:
        """Pick nothing more, let the units in hand end in order for ``jobs.drain_s`` or until hurried, then interrupt and release them."""
        await asyncio.gather(*(worker.quiet() for worker in self.workers.values()))
        self.leases.drain()
        await self._drained()
        for task in self._running():
            task.cancel()
        await asyncio.gather(*self._running(), return_exceptions=True)
        await self.context.dispatcher.finish()
        await self._end_loops()
        await self._retire()
        log.info("worker.stopped", worker=self.worker_id)

    async def _drained(self) -> None:
        waits = [asyncio.create_task(_until_done(self._running())), asyncio.create_task(_until_set(self.hurry))]
        await asyncio.wait(waits, timeout=self.resources.settings.jobs.drain_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _end_loops(self) -> None:
        polls = self._tasks[: len(self.workers)]
        for worker in self.workers.values():
            worker.leave()
        if polls:
            await asyncio.wait(polls, timeout=QUIET_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _running(self) -> list[asyncio.Task[Any]]:
        return [task for worker in self.workers.values() for task in worker.tasks.values() if not task.done()]

    async def _retire(self) -> None:
        health.forget()
        with suppress(errors.DatabaseConnectionError):
            for kind in self.kinds:
                await fleet.retire(self.resources.db, f"{self.worker_id}-{kind}")

    async def _live(self) -> None:
        while True:
            asked = time.monotonic()
            await asyncio.sleep(self._beat_s)
            self.loop_lag_s = max(0.0, time.monotonic() - asked - self._beat_s)
            if self._is_worn_out():
                self.worn_out.set()
            with suppress(errors.DatabaseConnectionError, errors.StorageError):
                await self._beat()

    async def _beat(self) -> None:
        health.touch([self.leases.turned_at, *(worker.turned_at for worker in self.workers.values())])
        for kind in self.workers:
            row = WorkerRow(
                id=f"{self.worker_id}-{kind}",
                kind=kind,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=product_version(),
                slots=self.slots(kind),
                running=self.running(kind),
                loop_lag_s=self.loop_lag_s,
                started_at=0.0,
                beat_at=0.0,
            )
            await fleet.beat(self.resources.db, row)

    def _is_worn_out(self) -> bool:
        jobs = self.resources.settings.jobs
        units = sum(worker.jobs_complete + worker.jobs_failed for worker in self.workers.values())
        if jobs.recycle_after and units >= jobs.recycle_after:
            return True
        return bool(jobs.recycle_rss_bytes) and health.resident_bytes() >= jobs.recycle_rss_bytes


async def _until_done(tasks: Sequence[asyncio.Task[Any]]) -> None:
    if tasks:
        await asyncio.wait(tasks)


async def _until_set(event: asyncio.Event) -> None:
    await event.wait()


async def supervised(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop that is to end only when told to, and begin it again where it dies.

    Raises:
        Exception: what it died of the last time, where it dies too often.
    """
    deaths: deque[float] = deque(maxlen=DEATHS)
    while True:
        try:
            await loop()
            return
        except Exception as error:
            log.opt(exception=error).error("worker.loop_died", loop=name, error_type=type(error).__name__, error=str(error))
            deaths.append(time.monotonic())
            if len(deaths) == DEATHS and deaths[-1] - deaths[0] < DEATHS_WITHIN_S:
                raise
            await asyncio.sleep(RESTART_S)


async def serve_until_signalled(resources: Resources, kinds: Sequence[WorkerKind]) -> int:
    """Run workers until SIGTERM or SIGINT, or until they are worn out; return the exit code. A second signal ends the drain."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    wanted = resources.settings.metrics

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):  # before there is anything to lose
        loop.add_signal_handler(number, on_signal)
    async with run_workers(resources, kinds) as crew, listening(wanted.host, wanted.port, tries=wanted.ports):
        crew.hurry = hurry
        waits = [asyncio.create_task(_until_set(event)) for event in (stop, crew.worn_out)]
        await asyncio.wait([*waits, *crew.loops], return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        dead = [task.get_name() for task in crew.loops if task.done()]
        if dead:
            log.error("worker.gave_up", loops=dead)
            return 1
        if not stop.is_set():
            log.info("worker.recycled", worker=crew.worker_id, rss_bytes=health.resident_bytes())
    return 0


def is_alive() -> bool:
    """Whether the workers on this machine show signs of life: what a container's healthcheck asks."""
    return health.is_alive(fresh_s=4 * BEAT_S)


def kinds_of(name: str) -> tuple[WorkerKind, ...]:
    """``builder``, ``validator``, or ``all``."""
    return tuple(QUEUES) if name == "all" else (name,)
