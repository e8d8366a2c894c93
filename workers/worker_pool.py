"""The workers of one process: started, supervised, drained, and recycled. Reports the process's heartbeat and its gauges."""

import asyncio
import os
import signal
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import asdict
from typing import Any

import errors
from app import process_setup
from app.db import fleet, new_id
from app.db.rows import WorkerRow
from app.jobs import event_log
from app.observability import metrics
from app.observability.event_loop import measure_lag
from app.observability.registry import Reading, registered
from app.observability.server import metrics_server
from app.queue import QUEUES
from app.resources import Resources, WorkerResources, open_worker_resources, product_version
from downloader import HostSnapshot
from logging_setup import get_logger
from workers import health, sweeper
from workers.leases import Leases
from workers.unit import JobContext
from workers.worker import STOP_PICKING_S, WorkerKind, make_worker

__all__ = ["WorkerKind", "WorkerPool", "busiest", "is_alive", "kinds_of", "run_workers", "serve_until_signalled"]

log = get_logger(__name__)

HEARTBEAT_S = 5.0
"""Longest time between two heartbeats, seconds; a third of a lease if that is shorter."""

MOST_HOSTS = 200
"""Hosts of which a heartbeat tells; a list may name a million of them."""

MAX_CRASHES, CRASH_WINDOW_S = 5, 60.0
"""A loop that crashes this often in this time is not restarted: the process ends, so that its supervisor starts a clean one."""

RESTART_S = 1.0
"""Seconds before a crashed loop is restarted."""


@asynccontextmanager
async def run_workers(
    resources: Resources,
    kinds: Sequence[WorkerKind] = ("builder", "validator"),
    *,
    worker_resources: WorkerResources | None = None,
) -> AsyncIterator["WorkerPool"]:
    """Run workers of these kinds in this process for the body's time, then drain them."""
    opened = open_worker_resources(resources.settings, resources.queue) if worker_resources is None else nullcontext(worker_resources)
    async with opened as worker_resources:
        pool = WorkerPool(resources, worker_resources, kinds)
        process_setup.tune_gc()
        async with event_log.recording(resources.db), measure_lag():
            await pool.start()
            try:
                with registered(lambda: read_gauges(pool)):
                    yield pool
            finally:
                await asyncio.shield(pool.stop())


class WorkerPool:
    """The workers of one process: one identity, one set of leases, and one arq worker for each kind.

    Attributes:
        recycle_due: set once ``jobs.recycle_after`` units are done or the process uses ``jobs.recycle_rss_bytes`` of memory.
        skip_drain: set it to end a drain at once.
    """

    def __init__(self, resources: Resources, worker_resources: WorkerResources, kinds: Sequence[WorkerKind]) -> None:
        jobs = resources.settings.jobs
        self.resources = resources
        self.kinds = tuple(kinds)
        self.worker_id = new_id("wrk")
        self.leases = Leases(resources.db, owner=self.worker_id, lease_s=jobs.lease_s)
        self.context = JobContext(resources, worker_resources, self.leases, self.worker_id)
        self.workers = {kind: make_worker(kind, self.context, slots=self.slots(kind)) for kind in kinds}
        self.loop_lag_s = 0.0
        self.recycle_due = asyncio.Event()
        self.skip_drain = asyncio.Event()
        self._heartbeat_s = min(HEARTBEAT_S, jobs.lease_s / 3)
        self._loops: list[asyncio.Task[None]] = []

    def slots(self, kind: WorkerKind) -> int:
        """Units of this kind that may run at once."""
        jobs = self.resources.settings.jobs
        return jobs.builder_slots if kind == "builder" else jobs.validator_slots

    def running(self, kind: WorkerKind) -> int:
        """Units of this kind that run."""
        return sum(not task.done() for task in self.workers[kind].tasks.values())

    @property
    def loops(self) -> tuple[asyncio.Task[None], ...]:
        """The supervised loops. One that is done has crashed too often, and the process should end."""
        return tuple(self._loops)

    async def start(self) -> None:
        """Write a heartbeat, sweep once, then start polling."""
        with suppress(errors.StorageError):  # obstore initialises at its first call, and never again if no descriptor is left then
            await self.resources.store.exists("check/none")
        await self._write_heartbeat()
        await self._sweep_first()
        loops = {f"poll-{kind}": worker.main for kind, worker in self.workers.items()}
        loops |= {"leases": self.leases.run, "heartbeat": self._run_heartbeat}
        self._loops = [asyncio.create_task(supervise(name, loop), name=name) for name, loop in loops.items()]
        log.info("worker.started", kinds=list(self.kinds), worker=self.worker_id, pid=os.getpid())

    async def _sweep_first(self) -> None:
        try:
            await sweeper.sweep_once(self.context)
        except (errors.QueueUnavailableError, errors.DatabaseConnectionError) as error:
            log.warning("sweep.failed", error_type=type(error).__name__, error=str(error))

    async def stop(self) -> None:
        """Pick no more messages, let running units stop in order for up to ``jobs.drain_s``, then cancel and release the rest."""
        await asyncio.gather(*(worker.stop_picking() for worker in self.workers.values()))
        self.leases.drain()
        await self._drain()
        for task in self._running_tasks():
            task.cancel()
        await asyncio.gather(*self._running_tasks(), return_exceptions=True)
        await self.context.dispatcher.finish()
        await self._stop_loops()
        await self._retire()
        log.info("worker.stopped", worker=self.worker_id)

    async def _drain(self) -> None:
        waits = [asyncio.create_task(_until_done(self._running_tasks())), asyncio.create_task(_until_set(self.skip_drain))]
        await asyncio.wait(waits, timeout=self.resources.settings.jobs.drain_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _stop_loops(self) -> None:
        polls = self._loops[: len(self.workers)]
        for worker in self.workers.values():
            worker.request_exit()
        if polls:
            await asyncio.wait(polls, timeout=STOP_PICKING_S)
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    def _running_tasks(self) -> list[asyncio.Task[Any]]:
        return [task for worker in self.workers.values() for task in worker.tasks.values() if not task.done()]

    async def _retire(self) -> None:
        health.remove()
        with suppress(errors.DatabaseConnectionError):
            for kind in self.kinds:
                await fleet.retire(self.resources.db, f"{self.worker_id}-{kind}")

    async def _run_heartbeat(self) -> None:
        while True:
            slept_at = time.monotonic()
            await asyncio.sleep(self._heartbeat_s)
            self.loop_lag_s = max(0.0, time.monotonic() - slept_at - self._heartbeat_s)
            if self._should_recycle():
                self.recycle_due.set()
            with suppress(errors.DatabaseConnectionError, errors.StorageError):
                await self._write_heartbeat()

    async def _write_heartbeat(self) -> None:
        health.touch([self.leases.iterated_at, *(worker.iterated_at for worker in self.workers.values())])
        hosts = [asdict(host) for host in busiest(self.context.downloader.hosts())]
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
                hosts=hosts if kind == self.kinds[0] else None,  # the kinds of a process share its downloader
            )
            await fleet.beat(self.resources.db, row)

    def _should_recycle(self) -> bool:
        jobs = self.resources.settings.jobs
        units = sum(worker.jobs_complete + worker.jobs_failed for worker in self.workers.values())
        if jobs.recycle_after and units >= jobs.recycle_after:
            return True
        return bool(jobs.recycle_rss_bytes) and health.resident_bytes() >= jobs.recycle_rss_bytes


def busiest(hosts: Sequence[HostSnapshot]) -> list[HostSnapshot]:
    """Return the hosts that a heartbeat tells of: those with most requests in flight and waiting, then those that are closed longest."""
    return sorted(hosts, key=lambda host: (-host.in_flight, -host.waiting, -host.not_before, host.host))[:MOST_HOSTS]


async def _until_done(tasks: Sequence[asyncio.Task[Any]]) -> None:
    if tasks:
        await asyncio.wait(tasks)


async def _until_set(event: asyncio.Event) -> None:
    await event.wait()


def read_gauges(pool: WorkerPool) -> Iterator[Reading]:
    """Read the gauges of the worker pool: slots, requests in flight, decoders. Called on the pool's event loop at scrape time."""
    for kind in pool.kinds:
        yield metrics.SLOTS, (kind,), pool.slots(kind)
        yield metrics.RUNNING, (kind,), pool.running(kind)
    hosts, now = pool.context.downloader.hosts(), time.time()
    yield metrics.IN_FLIGHT, (), sum(host.in_flight for host in hosts)
    yield metrics.WAITING, (), sum(host.waiting for host in hosts)
    yield metrics.HOSTS_AWAY, (), sum(host.not_before > now for host in hosts)
    stats = pool.context.decoders.stats()
    yield metrics.DECODERS, (), stats.size
    yield metrics.DECODERS_ALIVE, (), stats.alive
    yield metrics.DECODERS_BUSY, (), stats.busy
    yield metrics.DECODER_RESTARTS, (), stats.restarts
    yield metrics.DECODER_CRASHES, (), stats.crashes
    yield metrics.DECODER_TIMEOUTS, (), stats.timeouts


async def supervise(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop until it returns, and restart it when it crashes.

    Raises:
        Exception: the last crash's exception, if the loop crashes too often.
    """
    crashes: deque[float] = deque(maxlen=MAX_CRASHES)
    while True:
        try:
            await loop()
            return
        except Exception as error:
            log.opt(exception=error).error("worker.loop_died", loop=name, error_type=type(error).__name__, error=str(error))
            crashes.append(time.monotonic())
            if len(crashes) == MAX_CRASHES and crashes[-1] - crashes[0] < CRASH_WINDOW_S:
                raise
            await asyncio.sleep(RESTART_S)


async def serve_until_signalled(resources: Resources, kinds: Sequence[WorkerKind]) -> int:
    """Run workers until SIGTERM or SIGINT, or until they are to be recycled; return the exit code. A second signal skips the drain."""
    stop, skip_drain = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    wanted = resources.settings.metrics

    def on_signal() -> None:
        (skip_drain if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):  # before anything is claimed
        loop.add_signal_handler(number, on_signal)
    async with run_workers(resources, kinds) as pool, metrics_server(wanted.host, wanted.port, tries=wanted.ports):
        pool.skip_drain = skip_drain
        waits = [asyncio.create_task(_until_set(event)) for event in (stop, pool.recycle_due)]
        await asyncio.wait([*waits, *pool.loops], return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        crashed = [task.get_name() for task in pool.loops if task.done()]
        if crashed:
            log.error("worker.gave_up", loops=crashed)
            return 1
        if not stop.is_set():
            log.info("worker.recycled", worker=pool.worker_id, rss_bytes=health.resident_bytes())
    return 0


def is_alive() -> bool:
    """Whether the workers on this machine write heartbeats; a container's healthcheck calls this."""
    return health.is_alive(fresh_s=4 * HEARTBEAT_S)


def kinds_of(name: str) -> tuple[WorkerKind, ...]:
    """Return the kinds of workers for ``builder``, ``validator`` or ``all``."""
    return tuple(QUEUES) if name == "all" else (name,)
