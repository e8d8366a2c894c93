"""How long it takes, and how much memory, to plan a large URL list: store it, submit it, and turn every line into a row of a chunk.

::

    python benchmarks/plan.py --urls 1000000        # the same as: python benchmarks/scale.py plan --sizes 1000000

It is the ordinary way of a job, with the ordinary worker; only messages for the fetching of chunks are kept from the queue, so that
planning is measured and not the origin.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scale_figures import cpu_s, peak_rss_bytes
from scale_fill import server_of

from app.db import jobs, schema, units
from app.db.engine import Database
from app.domain import UnitKind, UnitState
from app.jobs import submit
from app.queue import ArqQueue, Envelope, embedded_queue
from app.resources import Resources, open_resources
from app.settings import Settings, load_settings
from app.spec import JobRequest, ListSpec
from workers.worker_pool import run_workers

HOSTS = 5_000
"""Hosts that the URLs are spread over."""

LOOK_S = 0.2
"""Seconds between two looks at the job."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What it took. ``cpu_s`` includes a PostgreSQL server's, and storing the list; ``peak_rss_mb`` is all that the process held."""

    urls: int
    cpu_s: float
    peak_rss_mb: float


class PlanningOnly(ArqQueue):
    """A queue that lets every message through but those that would fetch."""

    async def send(self, messages: Sequence[Envelope]) -> None:
        await super().send([message for message in messages if message.kind is not UnitKind.FETCH])


def write_list(path: Path, count: int) -> None:
    """Distinct URLs, one a line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"https://host{number % HOSTS:04d}.example.com/images/{number:09d}.jpg\n" for number in range(count))


async def measure(settings: Settings, listing: Path) -> Planned:
    """Plan one list; return what it took."""
    if settings.db.url is not None:
        await _upgrade(settings.database_url)
    async with open_resources(settings, queue=PlanningOnly(embedded_queue().pool)) as resources:
        server = await server_of(resources.db)
        began = cpu_s(server)
        stored = await submit.store_list(resources, listing, ListSpec(key="", suffix=".txt", name=listing.name))
        spec = submit.settle(resources, JobRequest(urls=["the list"]), url_list=stored)
        job = await submit.submit_build(resources, spec, name="benchmark")
        async with run_workers(resources, ("builder",)):
            await _until_planned(resources, job.job_id)
        return await _result(resources, job.job_id, cpu_s(server) - began)


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


async def _result(resources: Resources, job_id: str, used_s: float) -> Planned:
    counts = await units.counts(resources.db, job_id)
    [search] = await jobs.searches_of(resources.db, job_id)
    assert not [key for key in counts if key[0] == UnitKind.FETCH and key[1] in (UnitState.DONE, UnitState.RUNNING)], "something fetched"
    return Planned(search.found, used_s, peak_rss_bytes() / 1e6)


def measured(count: int, url: str | None) -> Planned:
    """Plan so many URLs in this process, whose peak memory is then told."""
    with tempfile.TemporaryDirectory(prefix="pictrawl-bench-") as folder:
        listing = Path(folder) / "list.txt"
        write_list(listing, count)
        flags: dict[str, Any] = {"workspace.path": Path(folder) / "workspace", "queue.backend": "embedded"}
        settings = load_settings(flags | ({"db.url": url} if url else {}))
        return asyncio.run(measure(settings, listing))


def main() -> None:
    """What scale.py makes of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--urls", type=int, default=1_000_000, help="lines of the list")
    options = parser.parse_args()
    scale = Path(__file__).with_name("scale.py")
    sys.exit(subprocess.run([sys.executable, scale, "plan", "--sizes", str(options.urls)], check=False).returncode)


if __name__ == "__main__":
    main()
