"""The environment of a drill: servers, a store, an origin with its plan, worker processes, and a watcher of recorded outcomes."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from app.jobs.settle import resolve_spec, store_urls
from app.jobs.submit import submit_build
from app.resources import Resources, open_resources
from app.settings import load_settings
from app.spec import JobRequest
from app.storage import open_store
from tests.drills import invariants
from tests.drills.fleet import Fleet
from tests.drills.invariants import Footprint
from tests.drills.orders import Forge
from tests.drills.plan import SEED_VARIABLE, Page, Plan, PlanOrigin, choose_seed, make_plan
from tests.drills.world import Rows, connect, read_disk, read_rows
from tests.services import PostgresServer, RedisServer
from tests.templates import postgres_like_new

__all__ = ["FINISH_S", "LEASE_S", "SHORT_LEASE", "SWEEP_S", "Lab", "Scene", "until"]

LEASE_S = 6.0
"""Seconds of a lease in drills in which leases run out. Workers renew each third: one that is stalled for 4 s still holds its units."""

SHORT_LEASE: dict[str, object] = {"jobs.lease_s": LEASE_S}
"""Settings for drills in which leases run out. All other drills have production's lease, which no stall of a busy machine outlasts."""

SWEEP_S = 1.0

FINISH_S = 120.0
"""Seconds a job may take after its faults are over. It needs a few; only that it ends matters, and the machine may be busy."""

SETTINGS: dict[str, object] = {
    "queue.backend": "redis",
    "fetch.allow_networks": '["127.0.0.0/8"]',
    "fetch.ports": "[]",
    "fetch.per_host": 8,
    "fetch.robots": "false",
    "retry.backoff_base_s": 0.1,
    "retry.jitter": 0,
    "jobs.chunk_size": 10,
    "jobs.drain_s": 5,
    "jobs.lease_s": 30,
    "jobs.retry_delay_s": 0.5,
    "jobs.sweep_interval_s": SWEEP_S,
    "validate.children": 1,
    "log.format": "json",
}
"""Settings by dotted name: as in production, with shorter waits."""


class Lab:
    """What drills share in one test process: the servers and the forking process. :meth:`open` makes the rest for each drill."""

    def __init__(self, folder: Path, forge: Forge, redis: RedisServer, postgres: PostgresServer) -> None:
        self.folder = folder
        self.forge = forge
        self.redis = redis
        self.postgres = postgres
        self.seed = choose_seed()

    @asynccontextmanager
    async def open(
        self,
        count: int = 80,
        *,
        latency_s: float = 0.05,
        settings: Mapping[str, object] | None = None,
        redis: RedisServer | None = None,
        postgres: PostgresServer | None = None,
        redis_url: str | None = None,
    ) -> AsyncIterator["Scene"]:
        """Open a drill's scene. A failure in it carries the seed and the last log lines of the processes.

        Args:
            redis, postgres: the drill's own servers, if it breaks them; the caller closes them.
            redis_url: the address that workers get, where it is not the server's.
        """
        async with AsyncExitStack() as stack:
            server = postgres or self.postgres
            name = f"drill_{time.time_ns():x}"
            dsn = await asyncio.to_thread(postgres_like_new, server, name)
            if postgres is None:
                stack.push_async_callback(asyncio.to_thread, server.drop_database, name)
            chosen = redis or self.redis
            await asyncio.to_thread(chosen.flush)
            flags = SETTINGS | dict(settings or {}) | self._places(dsn, redis_url or chosen.url)
            origin = await stack.enter_async_context(PlanOrigin())
            plan = make_plan(origin, self.seed, count, latency_s=latency_s)
            fleet = Fleet(self.forge, self.folder, _as_variables(flags))
            stack.push_async_callback(fleet.close)
            own = flags | {"queue.url": chosen.url, "fetch.allow_networks": ["127.0.0.0/8"], "fetch.ports": []}
            resources = await stack.enter_async_context(open_resources(load_settings(own)))
            scene = Scene(plan, fleet, resources, dsn, self.folder / "store", random.Random(self.seed))
            watcher = asyncio.create_task(scene.watch())
            try:
                yield scene
            except BaseException as error:
                error.add_note(f"repeat it with {SEED_VARIABLE}={self.seed}\n{await scene.summary()}\n{fleet.tail()}")
                raise
            finally:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)

    def _places(self, dsn: str, redis_url: str) -> dict[str, object]:
        store = (self.folder / "store").as_uri()
        return {"db.url": dsn, "queue.url": redis_url, "storage.url": store, "workspace.path": self.folder / "workspace"}


def _as_variables(flags: Mapping[str, object]) -> dict[str, str]:
    return {f"PICTRAWL_{name.upper().replace('.', '__')}": str(value) for name, value in flags.items()}


@dataclass(slots=True)
class Scene:
    """One running drill.

    Attributes:
        submitted: URLs by job id.
        settled: for each URL with a recorded outcome, its number of requests when the outcome was first seen.
    """

    plan: Plan
    fleet: Fleet
    resources: Resources
    dsn: str
    store: Path
    dice: random.Random
    submitted: dict[str, list[str]] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    footprints: dict[str, Footprint] = field(default_factory=dict)

    async def submit(self, urls: list[str] | None = None) -> str:
        """Submit URLs, all of the plan by default, as the API does; return the job's id."""
        wanted = urls or self.plan.urls
        request = JobRequest(urls=wanted, validation_level="basic", dedupe="exact", export_format="files")
        spec = resolve_spec(self.resources, request, url_list=await store_urls(self.resources, wanted))
        job_id = (await submit_build(self.resources, spec, name="drill")).job_id
        self.submitted[job_id] = wanted
        return job_id

    def pages_of(self, job_id: str) -> dict[str, Page]:
        """The pages of a job's URLs."""
        return {url: self.plan.pages[url] for url in self.submitted[job_id]}

    async def rows(self) -> Rows:
        """A snapshot of the tables."""
        async with self.connection() as connection:
            return await read_rows(connection)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """A connection to the database that does not come from the product's pool."""
        connection = await connect(self.dsn)
        try:
            yield connection
        finally:
            await connection.close(timeout=5)

    async def summary(self) -> str:
        """Jobs, and units that are not done at the first claim, for the note of a failure."""
        try:
            rows = await self.rows()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            return f"the database cannot be read: {error}"
        odd = [unit for unit in rows.units if unit.state != "done" or unit.epoch != 1 or unit.crashes]
        return "\n".join(str(row) for row in (*rows.jobs, *odd[:20]))

    async def watch(self) -> None:
        """Record each URL's number of requests when its outcome is first seen in the database."""
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                async with self.connection() as connection:
                    while True:
                        await self._note(connection)
                        await asyncio.sleep(0.1)
            await asyncio.sleep(0.2)

    async def _note(self, connection: "asyncpg.Connection[Any]") -> None:
        rows = await connection.fetch("SELECT url FROM images WHERE state NOT IN ('pending', 'deferred')")
        hits = self.plan.hits()
        for row in rows:
            self.settled.setdefault(row["url"], hits[row["url"]])

    def measure(self) -> None:
        """Record descriptors and memory of each worker, before the faults."""
        self.footprints = self._footprints()

    def _footprints(self) -> dict[str, Footprint]:
        return {
            f"{p.name} {p.pid}": Footprint(p.descriptors(), p.resident_bytes()) for p in self.fleet.living if p.name.startswith("worker")
        }

    async def ready(self, workers: int, within_s: float = 120.0) -> None:
        """Wait for the first heartbeats of so many worker processes."""
        async with self.connection() as connection:

            async def all_there() -> bool:
                alive = [process.pid for process in self.fleet.living]
                return bool(await connection.fetchval("SELECT count(DISTINCT pid) >= $1 FROM workers WHERE pid = ANY($2)", workers, alive))

            await until(all_there, within_s)

    async def finished(self, job_id: str, within_s: float = FINISH_S) -> Rows:
        """Wait for a job's end. Breaks the invariant ``finishes`` if the job does not end, or fails."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if await self._ended(job_id, deadline):
                    break
            await asyncio.sleep(0.1)
        rows = await self.rows()
        invariants.finishes(next((job for job in rows.jobs if job.id == job_id), None), within_s)
        return rows

    async def _ended(self, job_id: str, deadline: float) -> bool:
        async with self.connection() as connection:
            while time.monotonic() < deadline:
                if await connection.fetchval("SELECT finished_at IS NOT NULL FROM jobs WHERE id = $1", job_id):
                    return True
                await asyncio.sleep(0.1)
        return False

    async def check(self, *job_ids: str) -> Rows:
        """Check every invariant that holds for any drill whose jobs ended."""
        await asyncio.sleep(0.3)  # for writes that should not happen any more
        rows = await self.rows()
        for job_id in job_ids:
            mine, pages = rows.of(job_id), self.pages_of(job_id)
            invariants.conservation(pages, mine)
            invariants.counted(mine)
            invariants.classes(pages, mine)
            invariants.doubled(pages, mine)
        invariants.hits(self.plan.hits())
        invariants.asked_once_settled(self.settled, self.plan.hits())
        disk = await asyncio.to_thread(read_disk, self.store)
        invariants.blobs(rows, disk)
        invariants.archive(rows, disk)
        invariants.acknowledged(job_ids, rows)
        invariants.bounded(self.footprints, self._footprints())
        await open_store(self.store.as_uri()).clear_leftovers(0.0)
        invariants.leftovers(await asyncio.to_thread(read_disk, self.store))
        return rows


async def until(condition: Callable[[], Any], within_s: float = 90.0, *, every_s: float = 0.05) -> Any:
    """Call a condition, which may be a coroutine function, until it returns something true; return that."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{condition} did not become true within {within_s:g} s")
        await asyncio.sleep(every_s)
