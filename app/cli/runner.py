"""Running a job from the command line: by workers in this process, or by other processes that this one follows."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import errors
from app.cli.delivery import Destination, deliver, verified_exports
from app.cli.follow import Hosts, Snapshot, follow_job
from app.cli.holder import HolderWatch, claim_workspace, open_workspace, say_who_works
from app.cli.options import Cli
from app.cli.progress import open_display
from app.cli.report import load_report
from app.cli.session import Interrupts, configure_logging, warn_without_workers, workspace_of
from app.cli.setting_use import refuse_workers_own
from app.cli.settings import given_settings
from app.db import fleet, jobs
from app.db.rows import Job
from app.exports.destination import Delivery
from app.exports.sidecars import REPORT
from app.images.pool.pool import DecoderPool
from app.jobs import cleaning, submit
from app.jobs.attendance import is_unattended
from app.jobs.dispatch import dispatch_requests
from app.jobs.event_log import recording
from app.queue import ArqQueue
from app.resources import Resources, make_network, make_queue, open_resources, open_worker_resources
from app.settings import Settings
from app.workspace import Workspace
from downloader import Network
from logging_setup import get_logger
from workers.worker_pool import run_workers

__all__ = ["JobRunner", "connect_queue", "log_what_is_not_checked", "open_job_resources", "open_runner", "wake_workers"]

log = get_logger(__name__)


@dataclass(slots=True)
class JobRunner:
    """Runs jobs to their end.

    Attributes:
        decoders: decoder processes that were started early.
        last: the last snapshot of the job that is followed.
        own_url: where this process shows the pages, with ``--ui``.
    """

    cli: Cli
    settings: Settings
    resources: Resources
    interrupts: Interrupts
    decoders: DecoderPool | None = None
    job_id: str | None = None
    last: Snapshot | None = None
    own_url: str | None = None

    def page_of(self, job_id: str) -> str | None:
        """The page of a job, where a server shows this workspace."""
        workspace = self.resources.workspace
        url = self.own_url or (workspace.find_url() if workspace is not None else None)
        return f"{url}/jobs/{job_id}" if url else None

    @property
    def works_itself(self) -> bool:
        """Whether this process does the work, and not a fleet or the process that holds the workspace."""
        return self.resources.workspace is not None and self.resources.workspace.is_held

    async def run_job(self, start: Callable[[], Awaitable[str]], title: str) -> str:
        """Start a job and follow it until it ends or the user interrupts; return its id.

        If another process works on the workspace and goes away before the job has ended, this one continues the work.
        """
        async with self._workers() as (hosts, loops):
            self.job_id = job_id = await start()
            if (page := self.page_of(job_id)) is not None:
                self.cli.note(f"  page       {page}")
            watch = HolderWatch(self.cli, self.resources, job_id)
            last = await self._follow(f"{title}  {job_id}", job_id, hosts, loops, watch.has_gone)
        if not last.job.is_final and self.interrupts.code is None:
            await self._take_over(f"{title}  {job_id}", job_id)
        return job_id

    async def _take_over(self, title: str, job_id: str) -> None:
        """Continue a job whose worker has gone."""
        self.cli.note("the process that worked on this workspace has gone; this command continues the job")
        await claim_workspace(self.resources)
        async with self._workers() as (hosts, loops):
            await submit.wake(self.resources, job_id)
            await self._follow(title, job_id, hosts, loops)

    async def _follow(
        self,
        title: str,
        job_id: str,
        hosts: Hosts,
        loops: Sequence[asyncio.Task[None]],
        is_over: Callable[[], Awaitable[bool]] | None = None,
    ) -> Snapshot:
        with open_display(self.cli, self.settings, title) as display:
            workspace = self.resources.workspace

            def show(snapshot: Snapshot) -> None:
                self.last = snapshot
                display.update(snapshot)

            return await follow_job(
                self.resources.db, job_id, show, self.interrupts, hosts=hosts, loops=loops, workspace=workspace, is_over=is_over
            )

    @asynccontextmanager
    async def _workers(self) -> AsyncIterator[tuple[Hosts, Sequence[asyncio.Task[None]]]]:
        """The workers of this process, drained at the end; nothing where other processes do the work."""
        workspace = self.resources.workspace
        if workspace is None or not workspace.is_held:
            if workspace is None:
                await warn_without_workers(self.cli, self.settings, self.resources.db)
            yield lambda: (), ()
            return
        async with open_worker_resources(self.settings, decoders=self.decoders) as worker_resources:
            async with run_workers(self.resources, worker_resources=worker_resources) as pool, dispatch_requests(self.resources, workspace):
                yield worker_resources.downloader.hosts, pool.loops

    async def finish_build(self, job_id: str, destination: Destination | Delivery | None) -> int:
        """Deliver the dataset of a job that has ended, write the report, return the exit code."""
        db = self.resources.db
        job = await jobs.get(db, job_id)
        delivered = await self.deliver(job, destination) if job.is_final else {}
        page = next(iter(delivered.values())) / REPORT if delivered and self.settings.export.report else None
        report = await load_report(db, job_id, delivered=delivered, page=page, interrupted=self.interrupts.code)
        text = report.summary(workspace_options=self.cli.workspace_options)
        document = report.document() | {"url": None if self.own_url else self.page_of(job_id)}  # the own pages end with this command
        self.cli.result(text, document, brief=str(delivered.get(report.exports[0].id, job_id) if report.exports else job_id))
        await self._clean_daily()
        return report.code

    async def deliver(self, job: Job, destination: Destination | Delivery | None) -> dict[str, Path]:
        """Write a job's newest verified exports to their folders, each with the report beside it; return the folders by the exports' ids.

        What goes elsewhere is sent by the job itself.
        """
        exports = await verified_exports(self.resources.db, job) if isinstance(destination, Destination) else []
        if not exports or not isinstance(destination, Destination):
            return {}
        beside = {REPORT: await self._make_report(job.dataset_id)} if self.settings.export.report else {}
        return await deliver(self.resources.store, job, exports, destination, beside)

    async def _make_report(self, dataset_id: str) -> bytes:
        from app.report import make_report  # needs Pillow and Jinja: a build loads them after its last image, when there is a dataset

        return await make_report(self.resources.db, self.resources.store, dataset_id)

    async def _clean_daily(self) -> None:
        """Remove what is old and unused: a laptop has no worker that lives until the nightly clean-up. After Ctrl-C it is left out."""
        db = self.resources.db
        if not self.works_itself or self.interrupts.code is not None:
            return
        if await fleet.take_lock(db, "clean_up", owner=str(os.getpid()), for_s=cleaning.GRACE_S):
            await cleaning.clean(db, self.resources.store, thumbnail_bytes=self.settings.storage.thumbnail_bytes)

    def say_stopping(self) -> None:
        """After the first Ctrl-C."""
        if not self.works_itself:
            self.cli.note(self._leaving())
            return
        drain_s = self.settings.jobs.drain_s
        self.cli.note(f"stopping after the current downloads (up to {drain_s:.0f} s); Ctrl-C again stops now, and nothing is lost")

    def _leaving(self) -> str:
        workspace = self.resources.workspace
        holder = workspace.find_holder() if workspace is not None else None
        if workspace is None:
            has_worker = self.last is None or not is_unattended(self.last.job)
            who = "the fleet's workers continue it" if has_worker else "it continues when a worker starts"
        elif holder is None or not holder.is_service:
            who = f"{holder or 'the process that works on it'} works on it until its own job has ended"
        else:
            who = f"{holder} continues it"
        options = self.cli.workspace_options
        return f"stopping to follow the job; {who}" + (
            f"\n  to end with what it has now   pictrawl finish {self.job_id}{options}"
            f"\n  to end it without a dataset   pictrawl jobs cancel {self.job_id}{options}"
            if self.job_id is not None
            else ""
        )

    def say_stopped(self) -> None:
        """After the second Ctrl-C."""
        if self.job_id is not None:
            options = self.cli.workspace_options
            self.cli.note(
                f"stopped; nothing is lost\n  to continue                   pictrawl resume {self.job_id}{options}\n"
                f"  to end with what it has now   pictrawl finish {self.job_id}{options}"
            )


def _say_what_is_not_checked(cli: Cli, network: Network) -> None:
    if network.proxy is not None and network.proxy.resolves_names:
        cli.note(network.proxy.blind_spot)


def log_what_is_not_checked(settings: Settings) -> None:
    """Log at the start of a service what the address guard does not see; a build says it on stderr."""
    proxy = make_network(settings).proxy
    if proxy is not None and proxy.resolves_names:
        log.warning("proxy.resolves_names", proxy=proxy.url, hint=proxy.blind_spot)


@asynccontextmanager
async def open_runner(
    cli: Cli,
    settings: Settings,
    command: str,
    *,
    given: Mapping[str, Any] = {},
    detached: bool = False,
    prestart: bool = False,
    ui_port: int | None = None,
) -> AsyncIterator[JobRunner]:
    """Open everything that a job needs; on the embedded default take the workspace, unless another process works on it.

    Args:
        given: the settings that options of the command were given for, by dotted name.
        detached: the job is only submitted: run no worker, and do not take the workspace.
        ui_port: serve the pages there while it is open; 0 for a free port.
        prestart: start the decoder processes first. They import for as long as the database, the queue and the first requests take.
    """
    configure_logging(cli, settings, default="WARNING")
    asked = given_settings(cli, given)
    workspace = open_workspace(settings, command)
    if workspace is None or detached:
        refuse_workers_own(asked)
    network = make_network(settings) if workspace is not None and not detached else None  # before anything is written
    async with AsyncExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        works_itself = workspace is not None and not detached and workspace.take()
        if workspace is not None:
            stack.callback(workspace.release)
        decoders = None
        if works_itself and network is not None:
            _say_what_is_not_checked(cli, network)
        if works_itself and prestart:
            decoders = await stack.enter_async_context(DecoderPool.from_settings(settings))
            await decoders.prestart()
        resources = await stack.enter_async_context(open_job_resources(settings, workspace=workspace))
        if works_itself:
            await claim_workspace(resources)
        elif workspace is not None and (holder := workspace.find_holder()) is not None:
            say_who_works(cli, settings, workspace, holder, asked)
        await stack.enter_async_context(recording(resources.db))
        runner = JobRunner(cli, settings, resources, interrupts, decoders)
        interrupts.on_first, interrupts.on_second = runner.say_stopping, runner.say_stopped
        if ui_port is not None:
            from app.cli.pages import serve_pages  # with it comes FastAPI, which no other build waits for

            runner.own_url = await stack.enter_async_context(serve_pages(cli, resources, ui_port))
            cli.note(f"pages on {runner.own_url}, as long as this command runs")
        yield runner


@asynccontextmanager
async def open_job_resources(settings: Settings, *, queue_retries: int = 0, workspace: Workspace | None = None) -> AsyncIterator[Resources]:
    """Open the queue, then the database and the store: if Redis does not answer, no folder has been created.

    Args:
        queue_retries: see `make_queue`; a service waits for its Redis.
        workspace: of the embedded queue; by default this process does not work on it.
    """
    if workspace is None:
        workspace = workspace_of(settings)
    async with (
        connect_queue(settings, retries=queue_retries) as queue,
        open_resources(settings, queue=queue, workspace=workspace) as resources,
    ):
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


async def wake_workers(cli: Cli, settings: Settings, *job_ids: str) -> None:
    """Have the due units of these jobs worked on now. Where the queue does not answer, the workers' next sweep sends them."""
    try:
        async with open_job_resources(settings) as resources:
            await submit.wake(resources, *job_ids)
    except (errors.QueueUnavailableError, errors.StorageError) as error:
        cli.note(f"not sent yet, a worker will send it: {error}")
