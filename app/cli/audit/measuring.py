"""The audit's runs: one against a host that fails, read line by line; three whose CPU and calls are counted."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from app.audit import pipeline
from app.audit.costs import logging_costs, retry_costs
from app.audit.figures import Overhead
from app.audit.overhead import parts
from app.audit.traced import Evidence, Injected
from app.cli.audit.injecting import inject
from app.cli.audit.site import good_urls, troubled_urls
from app.cli.demo.origin import Origin
from app.cli.state import Cli
from app.db import Database, events

__all__ = ["Measured", "measure"]

FEW = 10
"""Images of the run whose CPU is that of starting and ending: it is taken off."""

COUNTED = 80
"""Images of the run under the profiler; what is done once for a job makes its counts a little too high."""

GOOD = 20
PLAIN = ("--dedupe", "none")
EVERYTHING = ("--encode", "webp:80", "--split", "train=0.8,test=0.2")
"""So that the traced run compresses, labels and exports as well."""

MOST_EVENTS = 100_000


@dataclass(frozen=True, slots=True)
class Measured:
    """What the runs gave."""

    evidence: Evidence
    injected: Injected
    overhead: Overhead


async def measure(cli: Cli, folder: Path, images: int, calls: int) -> Measured:
    """Run everything in a folder, which may be thrown away afterwards.

    Args:
        images: of the run whose CPU is measured, more than `FEW`.
        calls: how often each call is timed, in each of several batches.
    """
    async with Origin() as calm, Origin() as troubled:
        urls = await asyncio.to_thread(good_urls, calm, "photo", images)
        evidence, often, injected = await asyncio.gather(
            _traced(folder, calm, troubled), _counted(folder, urls[:COUNTED]), inject(cli, folder / "injected")
        )  # nobody's CPU is measured here
        few, many = await asyncio.gather(  # at once, so that both start on the same machine: its speed drifts
            asyncio.to_thread(pipeline.build, folder / "few", urls[:FEW], *PLAIN),
            asyncio.to_thread(pipeline.build, folder / "many", urls, *PLAIN),
        )
    cpu_us = (many.cpu_s - few.cpu_s) / (images - FEW) * 1e6
    retrying, logging = await retry_costs(many.workspace, calls), logging_costs(folder, calls)
    return Measured(evidence, injected, Overhead(cpu_us, parts(often, len(many.lines) / images, retrying, logging)))


async def _traced(folder: Path, calm: Origin, troubled: Origin) -> Evidence:
    urls = await asyncio.to_thread(lambda: [*good_urls(calm, "traced", GOOD), *troubled_urls(troubled)])
    built = await asyncio.to_thread(pipeline.build, folder / "traced", urls, *EVERYTHING, level="DEBUG")
    hits = {f"{host.base}{path}": hits for host in (calm, troubled) for path, hits in host.hits.items()}
    return Evidence(built, {url: hits.get(url, 0) for url in urls}, await _journal(built))


async def _journal(built: pipeline.Built) -> int:
    db = Database(f"sqlite+aiosqlite:///{built.workspace / 'pictrawl.db'}")
    try:
        return len(await events.after(db, str(built.document["job_id"]), limit=MOST_EVENTS))
    finally:
        await db.close()


async def _counted(folder: Path, urls: list[str]) -> pipeline.Counts:
    profile = folder / "profile"
    await asyncio.to_thread(pipeline.build, folder / "counted", urls, *PLAIN, profile=profile)
    return pipeline.counts(profile, len(urls))
