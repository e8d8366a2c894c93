"""Carrying a job out and watching it: embedded workers in this process, or those of a fleet elsewhere."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import errors
from app.cli.failures import Refused
from app.cli.interrupts import Interrupts
from app.cli.locking import is_embedded, working_alone
from app.cli.progress import Display, display
from app.cli.progress.snapshot import Hosts, Snapshot, look
from app.cli.session import log_to, opened
from app.cli.state import Cli
from app.db import Database, fleet, jobs, sweeping
from app.domain import JobState
from app.jobs.event_log import recording
from app.resources import Resources, open_workshop

if TYPE_CHECKING:
    from app.images import DecoderPool
    from app.settings import Settings

__all__ = ["Desk", "follow", "warn_without_workers", "workplace"]

T = TypeVar("T")

LOOK_S = 0.25
"""Seconds between two looks at the job; a look that takes long is waited for ten times as long."""

GLANCE_S, END_GLANCE_S = 0.25, 0.05
"""Seconds between two glances at whether the job has ended, a look at one row; the second once it is about to."""

PATIENCE_S = 60.0
"""Seconds a database may be away before watching is given up."""

FRESH_S = 30.0
"""Seconds since its last sign of life within which a worker counts as alive."""


@dataclass(slots=True)
class Desk:
    """Where jobs are carried out. ``works`` is whether this process does the work itself, ``decoders`` what it began ahead."""

    cli: Cli
    settings: "Settings"
    resources: Resources
    interrupts: Interrupts
    works: bool
    decoders: "DecoderPool | None" = None

    async def carry_out(self, start: Callable[[], Awaitable[str]], title: str) -> str:
        """Begin a job, see it to its end or until interrupted, let the workers of this process drain; return the job's id."""
        async with self._workers() as (hosts, loops):
            job_id = await start()
            with display(self.cli, self.settings, f"{title}  {job_id}") as shown:
                await follow(self.resources.db, job_id, shown, self.interrupts, hosts=hosts, loops=loops)
        return job_id

    @asynccontextmanager
    async def _workers(self) -> AsyncIterator[tuple[Hosts, tuple[asyncio.Task[None], ...]]]:
        """Workers for the embedded default. What a killed process left running is taken over at once: nobody else works here."""
        if not self.works:
            await warn_without_workers(self.cli, self.resources.db)
            yield lambda: (), ()
            return
        from workers.worker_pool import run_workers

        await sweeping.end_leases(self.resources.db, max_crashes=self.settings.jobs.max_crashes)
        async with open_workshop(self.settings, decoders=self.decoders) as workshop:
            async with run_workers(self.resources, workshop=workshop) as crew:
                yield workshop.downloader.hosts, crew.loops


@asynccontextmanager
async def workplace(
    cli: Cli, settings: "Settings", command: str, *, detached: bool = False, decoders: "DecoderPool | None" = None
) -> AsyncIterator[Desk]:
    """Open everything a job needs. On the embedded default the workspace is this process's own, unless it only hands a job in."""
    log_to(cli, settings, default="WARNING")
    works = is_embedded(settings) and not detached
    async with AsyncExitStack() as stack:
        interrupts = stack.enter_context(Interrupts(cli.note))
        resources = await stack.enter_async_context(opened(settings))
        if works:
            stack.enter_context(working_alone(settings, command))
        await stack.enter_async_context(recording(resources.db))
        yield Desk(cli, settings, resources, interrupts, works, decoders)


async def warn_without_workers(cli: Cli, db: Database) -> None:
    """Say so where a job would wait for ever."""
    if not await fleet.workers(db, fresh_s=FRESH_S):
        cli.warn("no worker is alive: the job waits until one is", "start `pictrawl worker all` or `pictrawl serve`")


async def follow(
    db: Database,
    job_id: str,
    shown: Display,
    interrupts: Interrupts,
    *,
    hosts: Hosts = lambda: (),
    loops: tuple[asyncio.Task[None], ...] = (),
) -> Snapshot:
    """Look at a job until it has ended or somebody interrupts; return the last look.

    Raises:
        errors.DatabaseConnectionError: the database was away for too long.
        Refused: a worker loop of this process died.
    """
    while True:
        began = time.monotonic()
        snapshot = await _patiently(lambda: look(db, job_id, hosts), interrupts)
        shown.update(snapshot)
        if snapshot.job.is_final:
            return snapshot
        dead = [task.get_name() for task in loops if task.done()]
        if dead:
            raise Refused(f"the worker's {dead[0]} loop died", "the log says why; `pictrawl resume` goes on from here", code=1)
        if await _until_next_look(db, snapshot, interrupts, wait_s=max(LOOK_S, 10 * (time.monotonic() - began))):
            return snapshot


async def _until_next_look(db: Database, snapshot: Snapshot, interrupts: Interrupts, *, wait_s: float) -> bool:
    """Wait so long, or until the job has ended; tell whether somebody interrupted."""
    due = time.monotonic() + wait_s
    glance_s = END_GLANCE_S if snapshot.job.state is JobState.FINALIZING else GLANCE_S
    while (left_s := due - time.monotonic()) > 0:
        if await interrupts.wait(min(glance_s, left_s)):
            return True
        if left_s > glance_s and (await _patiently(lambda: jobs.get(db, snapshot.job.id), interrupts)).is_final:
            return False
    return False


async def _patiently(ask: Callable[[], Awaitable[T]], interrupts: Interrupts) -> T:
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await ask()
        except errors.DatabaseConnectionError:
            if time.monotonic() > give_up_at or await interrupts.wait(1.0):
                raise
