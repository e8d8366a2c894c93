"""How time and memory grow with the number of images: planning, each stage's work in the database, duplicates, pages, exports.

::

    python benchmarks/scale.py                                              # all of it, on SQLite and PostgreSQL: about an hour
    python benchmarks/scale.py stages pages --sizes 10000 100000 --databases sqlite
    python benchmarks/scale.py near export                                  # no database

Every size has a process of its own, so that its memory is its own, and a database of its own, filled by SQL. Tables hold what 1,000 images
take at each size, in CPU time, and the exponents of growth between sizes: 1 is linear, n log n is 1.09 from 10,000 to 1,000,000. Stages
that work chunk by chunk are timed over 20 chunks in a dataset that has so many images already. Starts PostgreSQL itself.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import measuring
import scale_fill
import scale_stages
from scale_figures import Figure, cpu_s, measure_export, measure_near, show, show_answers
from scale_fill import server_of

from app.db import Database, jobs, schema, units
from app.job_states import UnitKind, UnitState
from app.jobs import settle, submit
from app.queue import ArqQueue, Envelope, embedded_queue
from app.resources import Resources, open_resources
from app.settings import Settings, load_settings
from app.spec import JobRequest, ListSpec
from logging_setup.config import configure
from tests.services import PostgresServer, missing_packages
from workers.worker_pool import run_workers

PARTS = ("plan", "stages", "pages", "near", "export")
EXPORT_SIZES = (1_000, 10_000, 100_000)
DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


# --- planning a list

HOSTS = 5_000
"""Hosts that the URLs are spread over."""

LOOK_S = 0.2
"""Seconds between two polls of the job."""


@dataclass(frozen=True, slots=True)
class Planned:
    """Cost of planning. ``cpu_s`` includes the PostgreSQL server and storing the list; ``peak_rss_mb`` is the whole process's."""

    urls: int
    cpu_s: float
    peak_rss_mb: float


class PlanningOnly(ArqQueue):
    """A queue that drops the messages for fetching chunks."""

    async def send(self, messages: Sequence[Envelope]) -> None:
        await super().send([message for message in messages if message.kind is not UnitKind.FETCH])


def write_list(path: Path, count: int) -> None:
    """Write distinct URLs, one per line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"https://host{number % HOSTS:04d}.example.com/images/{number:09d}.jpg\n" for number in range(count))


async def _plan(settings: Settings, listing: Path) -> Planned:
    """Plan one list; return its cost."""
    if settings.db.url is not None:
        await _upgrade(settings.database_url)
    async with open_resources(settings, queue=PlanningOnly(embedded_queue().pool)) as resources:
        server = await server_of(resources.db)
        began = cpu_s(server)
        stored = await settle.store_list(resources, listing, ListSpec(key="", suffix=".txt", name=listing.name))
        spec = settle.resolve_spec(resources, JobRequest(urls=["the list"]), url_list=stored)
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
    return Planned(search.found, used_s, measuring.peak_rss_bytes() / 1e6)


def measure_plan(count: int, url: str | None) -> Planned:
    """Plan a list of ``count`` URLs in this process, whose peak memory is part of the result."""
    with tempfile.TemporaryDirectory(prefix="pictrawl-bench-") as folder:
        listing = Path(folder) / "list.txt"
        write_list(listing, count)
        flags: dict[str, Any] = {"workspace.path": Path(folder) / "workspace", "queue.backend": "embedded"}
        settings = load_settings(flags | ({"db.url": url} if url else {}))
        return asyncio.run(_plan(settings, listing))


# --- sizes and databases


@contextlib.contextmanager
def database(kind: str, folder: Path) -> Iterator[str | None]:
    """Yield the URL of an empty database; None where PostgreSQL is not installed."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(dir=folder, prefix="pictrawl-scale-") as place:
            yield f"sqlite+aiosqlite:///{Path(place) / 'pictrawl.db'}"
        return
    if missing_packages("postgresql"):
        yield None
        return
    with PostgresServer(fsync=True) as server:
        yield server.create_database("bench")


def in_process(parts: Sequence[str], size: int, folder: Path, url: str = "") -> list[Figure]:
    """Return the figures of one size, measured in a process of its own."""
    command = [sys.executable, __file__, *parts, "--one", str(size), "--url", url, "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = []
        for line in process.stdout:
            found.append(Figure(**json.loads(line)))
            print(f"{found[-1]}", file=sys.stderr, flush=True)
    if process.returncode:
        raise SystemExit(f"{' '.join(parts)} at {size} failed")
    return found


def measure(parts: Sequence[str], size: int, folder: Path, url: str) -> None:
    """Print the figures of these parts at one size, one JSON object per line."""
    configure("WARNING", "json", None)
    where = "SQLite" if url.startswith("sqlite") else "PostgreSQL"
    if "plan" in parts:
        _print(_planned(measure_plan(size, None if where == "SQLite" else url), where))
    if "near" in parts:
        for figure in measure_near(size):
            _print(figure)
    if "export" in parts:
        for figure in measure_export(size, folder):
            _print(figure)
    if {"stages", "pages"} & {*parts}:
        asyncio.run(_in_database(parts, size, url, where))


def _print(figure: Figure) -> None:
    print(json.dumps(asdict(figure)), flush=True)


def _planned(found: Planned, where: str) -> Figure:
    return Figure(where, "plan a list", found.urls, found.cpu_s, found.peak_rss_mb)


async def _in_database(parts: Sequence[str], size: int, url: str, where: str) -> None:
    db = Database(url)
    try:
        untried = scale_stages.CHUNKS * scale_fill.CHUNK
        filled = scale_stages.FilledDatabase(db, *await scale_fill.fill(db, size, untried=untried), size, await scale_fill.server_of(db))
        async for figure in scale_stages.measure_stages(filled, where):
            if "stages" in parts:
                _print(figure)
        if "pages" in parts:
            async for figure in scale_stages.measure_pages(filled, where):
                _print(figure)
    finally:
        await db.close()


def run(parts: Sequence[str], sizes: Sequence[int], kinds: Sequence[str], folder: Path) -> list[Figure]:
    """Return the figures of every part at every size."""
    found: list[Figure] = []
    for kind in kinds:
        for size in sizes:
            for group in (["plan"], ["stages", "pages"]):
                chosen = [part for part in group if part in parts]
                with database(kind, folder) as url:
                    if chosen and url is not None:
                        found += in_process(chosen, size, folder, url)
    for part, part_sizes in (("near", sizes), ("export", EXPORT_SIZES)):
        for size in part_sizes if part in parts else ():
            found += in_process([part], size, folder)
    return found


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=PARTS, default=[*PARTS], help="what is measured; all parts by default")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=[*DATABASES])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="folder for databases and exports")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        measure(options.parts, options.one, options.folder, options.url)
        return
    found = run(options.parts, options.sizes, options.databases, options.folder)
    show([figure for figure in found if not figure.is_answer and figure.where != "export"])
    show([figure for figure in found if figure.where == "export"])
    show_answers([figure for figure in found if figure.is_answer], scale_stages.TARGET_MS)


if __name__ == "__main__":
    main()
