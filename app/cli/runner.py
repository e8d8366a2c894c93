"""Running a job from the command line: by workers in this process, or by a fleet that this process follows."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import errors
from app.cli.delivery import Destination, deliver
from app.cli.follow import Hosts, follow_job
from app.cli.options import Cli
from app.cli.progress import open_display
from app.cli.report import load_report
from app.cli.session import Interrupts, configure_logging, is_embedded, lock_workspace, warn_without_workers
from app.cli.setting_use import refuse_workers_own
from app.cli.settings import given_settings
from app.db import fleet, jobs, outbox
from app.images.pool.pool import DecoderPool
from app.jobs import cleaning, submit
from app.jobs.event_log import recording
from app.queue import ArqQueue
from app.resources import Resources, make_queue, open_resources, open_worker_resources
from app.settings import Settings
from workers.worker_pool import run_workers

__all__ = ["JobRunner", "connect_queue", "open_job_resources", "open_runner", "take_workspace", "wake_workers"]


@dataclass(slots=True)
class JobRunner:
    """Runs jobs to their end.

    Attributes:
        runs_workers: whether this process does the work itself.
        decoders: decoder processes that were started early.
    """

    cli: Cli
    settings: Settings
    resources: Resources
    interrupts: Interrupts
    runs_workers: bool
    decoders: DecoderPool | None = None
    job_id: str | None = None

    async def run_job(self, start: Callable[[], Awaitable[str]], title: str) -> str:
        """Start a job, follow it until it ends or the user interrupts, drain this process's workers; return the job's id."""
        async with self._workers() as (hosts, loops):
            self.job_id = await start()
            with open_display(self.cli, self.settings, f"{title}  {self.job_id}") as display:
                await follow_job(self.resources.db, self.job_id, display.update, self.interrupts, hosts=hosts, loops=loops)
        return self.job_id

    @asynccontextmanager
    async def _workers(self) -> AsyncIterator[tuple[Hosts, Sequence[asyncio.Task[None]]]]:
        """The workers of the embedded default; nothing where a fleet does the work."""
        if not self.runs_workers:
            await warn_without_workers(self.cli, self.resources.db)
            yield lambda: (), ()
            return
        async with open_worker_resources(self.settings, decoders=self.decoders) as worker_resources:
            async with run_workers(self.resources, worker_resources=worker_resources) as pool:
                yield worker_resources.downloader.hosts, pool.loops

    async def finish_build(self, job_id: str, destination: Destination | None) -> int:
        """Deliver the dataset of a job that has ended, write the report, return the exit code."""
        db = self.resources.db
        job = await jobs.get(db, job_id)
        delivered = await deliver(db, self.resources.store, job, destination) if job.is_final else None
        report = await load_report(db, job_id, delivered=delivered, interrupted=self.interrupts.code)
        text = report.summary(workspace_options=self.cli.workspace_options)
        self.cli.result(text, report.document(), brief=str(delivered) if delivered else job_id)
        await self._clean_daily()
        return report.code

    async def _clean_daily(self) -> None:
        """Remove what is old and unused: a laptop has no worker that lives until the nightly clean-up. After Ctrl-C it is left out."""
        db = self.resources.db
        if not self.runs_workers or self.interrupts.code is not None:
            return
        if await fleet.take_lock(db, "clean_up", owner=str(os.getpid()), for_s=cleaning.GRACE_S):
            await cleaning.clean(db, self.resources.store)

    def say_stopping(self) -> None:
        """After the first Ctrl-C."""
        if not self.runs_workers:
            self.cli.note("stopping to follow the job; the fleet's workers continue it")
            return
        drain_s = self.settings.jobs.drain_s
        self.cli.note(f"stopping after the current downloads (up to {drain_s:.0f} s); Ctrl-C again stops now, and nothing is lost")

    def say_stopped(self) -> None:
        """After the second Ctrl-C."""
        if self.job_id is not None:
            options = self.cli.workspace_options
            self.cli.note(
                f"stopped; nothing is lost\n  to continue                   pictrawl resume {self.job_id}{options}\n"
                f"  to end with what it has now   pictrawl finish {self.job_id}{options}"
            )


@asynccontextmanager
async def open_runner(
    cli: Cli, settings: Settings, command: str, *, given: Mapping[str, Any] = {}, detached: bool = False, prestart: bool = False
) -> AsyncIterator[JobRunner]:
    """Open everything that a job needs; on the embedded default hold the workspace's lock.

    Args:
        given: the settings that options of the command were given for, by dotted name.
        detached: the job is only submitted: run no worker, and do not lock the workspace.
        prestart: start the decoder processes first. They import for as long as the database, the queue and the first requests take.
    """
    configure_logging(cli, settings, default="WARNING")
    runs_workers = is_embedded(settings) and not detached
    if not runs_workers:
        refuse_workers_own(given_settings(cli, given))
    async with AsyncExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        decoders = None
        if runs_workers and prestart:
            decoders = await stack.enter_async_context(DecoderPool.from_settings(settings))
            await decoders.prestart()
        resources = await stack.enter_async_context(open_job_resources(settings))
        if runs_workers:
            await take_workspace(stack, settings, resources, command)
        await stack.enter_async_context(recording(resources.db))
        runner = JobRunner(cli, settings, resources, interrupts, runs_workers, decoders)
        interrupts.on_first, interrupts.on_second = runner.say_stopping, runner.say_stopped
        yield runner


async def take_workspace(stack: AsyncExitStack, settings: Settings, resources: Resources, command: str) -> None:
    """Lock the workspace, and end the leases that a killed process left in it."""
    stack.enter_context(lock_workspace(settings, command))
    await outbox.end_leases(resources.db, max_crashes=settings.jobs.max_crashes)


@asynccontextmanager
async def open_job_resources(settings: Settings, *, queue_retries: int = 0) -> AsyncIterator[Resources]:
    """Open the queue, then the database and the store: if Redis does not answer, no folder has been created.

    Args:
        queue_retries: see `make_queue`; a service waits for its Redis.
    """
    async with connect_queue(settings, retries=queue_retries) as queue, open_resources(settings, queue=queue) as resources:
        yield resources


@asynccontextmanager
async def connect_queue(settings: Settings, *, retries: int = 0) -> AsyncIterator[ArqQueue]:
    """The queue for the body's time.

    Args:
        retries: see `make_queue`.

    Raises:
        errors.QueueUnavailableError: Redis does not answer.
    """
    queue = await make_queue(settings, retries=retries)
    try:
        yield queue
    finally:
        await queue.close()


async def wake_workers(cli: Cli, settings: Settings) -> None:
    """Send what is due to a fleet's workers now. Where the queue does not answer, the workers' next sweep sends it."""
    try:
        async with open_job_resources(settings) as resources:
            await submit.wake(resources)
    except (errors.QueueUnavailableError, errors.StorageError) as error:
        cli.note(f"not sent yet, a worker will send it: {error}")
