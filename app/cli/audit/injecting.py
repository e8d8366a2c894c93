"""A build whose process runs out of memory, and loses its database, in the middle of a chunk: how often is an origin asked then?"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import errors
from app.audit.traced import Injected
from app.cli.audit.site import good_urls
from app.cli.demo.origin import Origin, reply
from app.cli.session import opened
from app.cli.state import Cli
from app.db import jobs
from app.decoders import make_decoders
from app.jobs import submit
from app.resources import Resources, Workshop
from app.settings import Settings
from app.spec import JobRequest
from downloader import AttemptLog, Downloader, FetchLimits, FetchRequest, Outcome, RetryRules
from logging_setup import add_sink, configure, remove_sink
from workers.worker_pool import run_workers

__all__ = ["FailingDownloader", "inject"]

FAULTS = (MemoryError, errors.DatabaseConnectionError, MemoryError)
AFTER = 5
"""Outcomes of a run before its fault."""

FAILING, GOOD = 4, 16
PATIENCE_S = 120.0
LOOK_S = 0.05

FLAGS = {
    "fetch.allow_networks": ["127.0.0.0/8"],
    "fetch.ports": [],
    "fetch.per_host": 4,
    "retry.attempts": 3,
    "retry.backoff_base_s": 0.1,
    "retry.jitter": 0,
    "jobs.retries": len(FAULTS),
    "jobs.retry_delay_s": 0.1,
    "queue.backend": "embedded",
    "db.url": None,
    "db.password_file": None,
    "storage.url": None,
    "log.file": None,
}
"""Waits are short here: what counts is who is asked how often. No setting of the user's leads elsewhere."""


class FailingDownloader(Downloader):
    """Raises a fault after some outcomes of a chunk, each fault once; then it is a downloader like any other."""

    def __init__(self, limits: FetchLimits, rules: RetryRules, faults: Iterable[type[BaseException]]) -> None:
        super().__init__(limits, rules)
        self.faults = list(faults)

    async def fetch_many(
        self,
        requests: AsyncIterable[FetchRequest] | Iterable[FetchRequest],
        *,
        log: AttemptLog | None = None,
        stop: asyncio.Event | None = None,
    ) -> AsyncGenerator[Outcome, None]:
        """Fetch as ever, until it is time for the next fault."""
        seen = 0
        async with aclosing(super().fetch_many(requests, log=log, stop=stop)) as outcomes:
            async for outcome in outcomes:
                yield outcome
                seen += 1
                if seen == AFTER and self.faults:
                    raise self.faults.pop(0)("injected by the audit")


async def inject(cli: Cli, folder: Path) -> Injected:
    """Run a build of one chunk with every fault in it; count the requests of its origin and the retries that the job layer announced."""
    lines: list[dict[str, Any]] = []
    settings = cli.settings({**FLAGS, "workspace.path": folder / "workspace"})
    configure("CRITICAL")
    sink = add_sink(lambda record: lines.append(dict(record)), level="WARNING")
    try:
        async with Origin() as origin:
            urls = await asyncio.to_thread(_urls, origin)
            state = await _run(settings, urls)
            hits = {url: origin.hits[url.removeprefix(origin.base)] for url in urls}
    finally:
        remove_sink(sink)
    retries = tuple(str(line["error_type"]) for line in lines if line["event"] == "job.retry")
    return Injected(hits, retries, state, tuple(fault.__name__ for fault in FAULTS))


def _urls(origin: Origin) -> list[str]:
    """The failing ones first, so that each run has some of them in hand when it fails."""
    return [*(origin.script(f"/down/{at}.jpg", reply(503)) for at in range(FAILING)), *good_urls(origin, "good", GOOD)]


async def _run(settings: Settings, urls: list[str]) -> str:
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(opened(settings))
        limits, rules = FetchLimits(**settings.fetch.model_dump()), RetryRules(**settings.retry.model_dump())
        downloader = await stack.enter_async_context(FailingDownloader(limits, rules, FAULTS))
        decoders = await stack.enter_async_context(make_decoders(settings))
        await stack.enter_async_context(run_workers(resources, workshop=Workshop(downloader, decoders)))
        return await _ended(resources, await _submitted(resources, urls))


async def _submitted(resources: Resources, urls: list[str]) -> str:
    url_list = await submit.store_urls(resources, urls)
    spec = submit.settle(resources, JobRequest(urls=urls, dedupe="none"), url_list=url_list)
    return (await submit.submit_build(resources, spec, name="audit")).job_id


async def _ended(resources: Resources, job_id: str) -> str:
    async with asyncio.timeout(PATIENCE_S):
        while not (job := await jobs.get(resources.db, job_id)).is_final:  # noqa: ASYNC110 - a row wakes nobody
            await asyncio.sleep(LOOK_S)
    return job.state.value
