"""A worker's bench without a worker: real database, store, queue and downloader, decoders in this process, and units run one by one."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import update

from app.db import Database, images, jobs, outbox, tables
from app.db.funnel import Funnel
from app.db.rows import Job
from app.discovery.folders.unpacked import TarFiles
from app.images.pool.child import answer
from app.images.pool.protocol import Answer, Request
from app.job_states import UnitKind
from app.jobs.dispatch import envelope, mark_due
from app.jobs.settle import resolve_spec, store_urls
from app.jobs.submit import submit_build
from app.queue import JOB_NAMES, ArqQueue, embedded_queue
from app.resources import Resources, WorkerResources, make_network
from app.rules import CompressionRules
from app.settings import Settings, load_settings
from app.spec import JobRequest, ListSpec
from app.storage import open_store
from downloader import RetryRules
from downloader.client import Downloader
from logging_setup.capture import RemarkCollector
from tests.templates import sqlite_like_new
from workers import builder, sweeper, validator
from workers.job import JOBS
from workers.leases import Leases
from workers.unit import JobContext, StopReason

assert builder
assert validator
assert sweeper


class InlineDecoders:
    """The decoders' work, done in this process."""

    size = 1

    async def run_batch(self, sources: Sequence[bytes | Path], rules: Any, compression: CompressionRules | None = None) -> Any:
        for source in sources:
            body = source if isinstance(source, bytes) else source.read_bytes()
            yield [Answer(answer(Request(rules, (body,), compression), body, RemarkCollector()))]


async def no_sleep(_seconds: float) -> None:
    """The downloader's waits, skipped."""


class Bench:
    """What a test holds in its hand."""

    def __init__(self, context: JobContext, leases: Leases) -> None:
        self.context = context
        self.leases = leases

    @property
    def resources(self) -> Resources:
        return self.context.resources

    @property
    def db(self) -> Database:
        return self.context.db

    async def submit(self, urls: list[str], **request: Any) -> str:
        """Submit a build of a URL list, return the job's id."""
        asked = JobRequest(urls=urls, **request)
        url_list: ListSpec = await store_urls(self.resources, urls)
        spec = resolve_spec(self.resources, asked, url_list=url_list)
        return (await submit_build(self.resources, spec, name=asked.name or "test")).job_id

    async def search(self, *keywords: str, **request: Any) -> str:
        """Submit a build by keywords, return the job's id; most sources of tests state no licence, and what they find is kept."""
        asked = JobRequest(keywords=list(keywords), **{"license_unknown": "keep"} | request)
        return (await submit_build(self.resources, resolve_spec(self.resources, asked), name="test")).job_id

    async def due(self) -> list[outbox.Delivery]:
        """Every unit that is sent or could be."""
        await mark_due(self.db, {"builder": 10_000, "validator": 10_000}, max_crashes=3)
        return await outbox.queued(self.db, older_than_s=-10.0)

    async def run(self, delivery: outbox.Delivery, *, job_try: int = 1) -> None:
        """Run one unit as arq would."""
        ctx = {"context": self.context, "job_try": job_try}
        await asyncio.create_task(JOBS[JOB_NAMES[delivery.kind]](ctx, **dict(envelope(delivery).ids)))

    def stop_what_runs(self) -> None:
        """Ask the units in hand to end in order, as a drain does."""
        for work in list(self.leases._held.values()):
            work.request_stop(StopReason.DRAIN)

    async def run_kind(self, kind: UnitKind) -> int:
        """Run the units of one kind that are due now; return how many."""
        chosen = [delivery for delivery in await self.due() if delivery.kind is kind]
        for delivery in chosen:
            await self.run(delivery)
        return len(chosen)

    async def drive(self, *, until: UnitKind | None = None, at_most: int = 500) -> None:
        """Run due units until none is left, or until one of a kind is next."""
        for _ in range(at_most):
            deliveries = await self.due()
            if not deliveries or (until and any(delivery.kind is until for delivery in deliveries)):
                return
            await self.run(deliveries[0])
        raise AssertionError("the job does not come to an end")

    async def job(self, job_id: str) -> Job:
        return await jobs.get(self.db, job_id)

    async def funnel(self, job_id: str) -> Funnel:
        return Funnel(await images.counts(self.db, dataset_id=(await self.job(job_id)).dataset_id))


async def forget_outputs(db: Database) -> None:
    """Make every image one that was judged and not compressed, as those of earlier runs are."""
    names = ("out_sha256", "out_media_type", "out_size_bytes", "out_width", "out_height")
    async with db.write() as connection:
        await connection.execute(update(tables.images).values(dict.fromkeys(names)))


def bench_settings(folder: Path, flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings for a bench: loopback may be dialled, waits are exact, chunks small."""
    base: dict[str, Any] = {
        "workspace.path": folder,
        "fetch.allow_networks": ("127.0.0.0/8",),
        "fetch.ports": (),
        "fetch.contact": "tests@example.org",
        "retry.jitter": 0.0,
        "jobs.chunk_size": 10,
    }
    return load_settings(base | dict(flags or {}))


@asynccontextmanager
async def open_bench(
    folder: Path,
    flags: Mapping[str, Any] | None = None,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    url: str | None = None,
    queue: ArqQueue | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Bench]:
    """A bench on a database of its own: SQLite in ``folder``, or the one at ``url``; ``clock`` is the downloader's.

    The queue is embedded unless one is given; either is closed at the end.
    """
    settings = bench_settings(folder, flags)
    db = Database(url or sqlite_like_new(folder / "pictrawl.db"))
    queue = queue or embedded_queue()
    store = open_store(settings.storage_url)
    limits = settings.fetch.limits()
    try:
        rules = RetryRules(**settings.retry.model_dump())
        async with Downloader(limits, rules, make_network(settings), transport=transport, sleep=no_sleep, clock=clock) as downloader:
            resources = Resources(settings, db, store, queue)
            leases = Leases(db, owner="wrk_test", lease_s=settings.jobs.lease_s)
            with closing(TarFiles()) as tars:
                worker_resources = WorkerResources(downloader, InlineDecoders(), tars)  # type: ignore[arg-type]
                yield Bench(JobContext(resources, worker_resources, leases, "wrk_test"), leases)
    finally:
        await queue.close()
        await store.close()
        await db.close()
