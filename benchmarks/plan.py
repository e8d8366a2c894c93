"""How long it takes, and how much memory, to plan a large URL list: store it, submit it, and turn every line into a row of a chunk.

::

    python benchmarks/plan.py                                          # 1,000,000 URLs, SQLite
    python benchmarks/plan.py --urls 100000 --postgres postgresql+asyncpg://postgres@127.0.0.1:5432/empty

It is the ordinary way of a job, with the ordinary worker; only messages for the fetching of chunks are kept from the queue, so that
planning is measured and not the origin. Each database gets a process of its own, so that its peak memory is its own.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app import submit
from app.db import jobs, schema, units
from app.db.engine import Database
from app.queue import ArqQueue, Envelope, embedded_queue
from app.records import UnitKind, UnitState
from app.resources import Resources, open_resources
from app.settings import Settings, load_settings
from app.spec import JobRequest, ListSpec
from logging_setup import configure
from workers.runtime import run_workers

HOSTS = 5_000
"""Hosts that the URLs are spread over."""

LOOK_S = 0.2
"""Seconds between two looks at the job."""


class PlanningOnly(ArqQueue):
    """A queue that lets every message through but those that would fetch."""

    async def send(self, messages: Sequence[Envelope]) -> None:
        await super().send([message for message in messages if message.kind is not UnitKind.FETCH])


def write_list(path: Path, count: int) -> None:
    """Distinct URLs, one a line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"https://host{number % HOSTS:04d}.example.com/images/{number:09d}.jpg\n" for number in range(count))


async def measure(settings: Settings, listing: Path) -> dict[str, Any]:
    """Plan one list; return what it took."""
    if settings.db.url is not None:
        await _upgrade(settings.database_url)
    async with open_resources(settings, queue=PlanningOnly(embedded_queue().pool)) as resources:
        started = time.perf_counter()
        stored = await submit.store_list(resources, listing, ListSpec(key="", suffix=".txt", name=listing.name))
        spec = submit.settle(resources, JobRequest(urls=["the list"]), url_list=stored)
        submitted_at = time.perf_counter()
        job = await submit.submit_build(resources, spec, name="benchmark")
        async with run_workers(resources, ("builder",)):
            await _until_planned(resources, job.job_id)
            planned_at = time.perf_counter()
        return await _result(resources, job.job_id, stored_s=submitted_at - started, planned_s=planned_at - submitted_at)


async def _upgrade(url: str) -> None:
    db = Database(url)
    try:
        await schema.upgrade(db)
    finally:
        await db.close()


async def _until_planned(resources: Resources, job_id: str) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        found = await jobs.searches_of(resources.db, job_id)
        if found and all(search.is_exhausted for search in found):
            return


async def _result(resources: Resources, job_id: str, *, stored_s: float, planned_s: float) -> dict[str, Any]:
    counts = await units.counts(resources.db, job_id)
    [search] = await jobs.searches_of(resources.db, job_id)
    assert not [key for key in counts if key[0] == UnitKind.FETCH and key[1] in (UnitState.DONE, UnitState.RUNNING)], "something fetched"
    return {
        "database": "SQLite" if resources.db.is_sqlite else "PostgreSQL",
        "urls": search.found,
        "chunks": sum(count for (kind, _), count in counts.items() if kind == UnitKind.FETCH),
        "stored_s": round(stored_s, 2),
        "planned_s": round(planned_s, 2),
        "urls_per_s": round(search.found / planned_s),
        "peak_rss_mb": round(peak_rss_bytes() / 1e6),
    }


def peak_rss_bytes() -> int:
    """The most memory this process has held. Not ru_maxrss, which counts what its parent held when it forked."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024


def run_one(count: int, url: str | None) -> None:
    """Measure one database in this process and print its result as JSON."""
    configure("WARNING", "json", None)
    with tempfile.TemporaryDirectory(prefix="pictrawl-bench-") as folder:
        listing = Path(folder) / "list.txt"
        write_list(listing, count)
        flags: dict[str, Any] = {"workspace.path": Path(folder) / "workspace", "queue.backend": "embedded"}
        settings = load_settings(flags | ({"db.url": url} if url else {}))
        print(json.dumps(asyncio.run(measure(settings, listing))))


def main() -> None:
    """One process for each database, then a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--urls", type=int, default=1_000_000, help="lines of the list")
    parser.add_argument("--postgres", metavar="URL", help="also measure an empty database there")
    parser.add_argument("--one", metavar="URL", nargs="?", const="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        run_one(options.urls, options.one or None)
        return
    rows = []
    for url in ["", *([options.postgres] if options.postgres else [])]:
        command = [sys.executable, __file__, "--urls", str(options.urls), "--one", url]
        rows.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    print(f"{'database':<12}{'URLs':>10}{'chunks':>9}{'store s':>9}{'plan s':>9}{'URLs/s':>9}{'peak MB':>9}")
    for row in rows:
        print("{database:<12}{urls:>10,}{chunks:>9,}{stored_s:>9}{planned_s:>9}{urls_per_s:>9,}{peak_rss_mb:>9}".format(**row))


if __name__ == "__main__":
    main()
