"""How long one pass of the sweeper takes over a full database, and how much memory, on a real PostgreSQL that waits for its disk.

::

    python benchmarks/sweep.py                     # 100,000 pending chunks in 1,000 jobs of 50 users, 0 to 1,000,000 finished ones
    python benchmarks/sweep.py --pending 10000 --jobs 100 --finished 0 --passes 20

Between two passes some of the units that were sent finish and some lose their worker, so that each pass has something to send and to
bring back. A whole pass is timed as the worker runs it; its steps are timed in passes of their own, taken apart. Needs redis-server and
PostgreSQL, which it starts itself.
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loguru import logger

from app.db import Database, fleet, schema, sweeping
from app.db.rows import WorkerRow
from app.jobs.dispatch import dispatch, resend_lost
from app.queue import redis_queue
from app.resources import Resources
from app.settings import load_settings
from app.storage import open_store
from tests.services import PostgresServer, RedisServer
from workers.sweeper import sweep_once
from workers.unit import Context

TARGET_MS: Final = 200.0
FLAT: Final = 1.5
"""How many times as long a pass may take at the most finished rows as at the fewest."""

MEMORY_PASSES: Final = 3
UNIT_COLUMNS: Final = "id, job_id, kind, queue, state, payload, epoch, not_before, crashes, created_at, finished_at"


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured at one number of finished rows."""

    finished: int
    passes_ms: list[float]
    sent: int
    expired: int
    steps_ms: dict[str, float]
    memory_kb: float

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.passes_ms)

    @property
    def p95_ms(self) -> float:
        return sorted(self.passes_ms)[max(0, round(len(self.passes_ms) * 0.95) - 1)]


class House:
    """The fleet's database, filled as it is in the middle of a long day."""

    def __init__(self, server: PostgresServer, context: Context, slots: int) -> None:
        self.server, self.context, self.slots = server, context, slots
        self.finished = 0

    def sql(self, statement: str) -> str:
        return self.server.run_sql(statement, "bench")

    def fill(self, users: int, jobs: int, pending: int) -> None:
        """Users' datasets with a job each, and the pending chunks spread over the jobs."""
        self.sql(
            "INSERT INTO datasets (id, user_id, name, created_at) SELECT 'ds_' || n, 'user_' || n % "
            f"{users}, 'bench', extract(epoch from now()) FROM generate_series(0, {jobs - 1}) n"
        )
        self.sql(
            "INSERT INTO jobs (id, user_id, dataset_id, kind, state, desired_state, spec, min_images, priority, open_units, rounds,"
            f" created_at) SELECT 'job_' || n, 'user_' || n % {users}, 'ds_' || n, 'build', 'running', 'running', '{{}}', 0, 0,"
            f" {pending // jobs}, 0, extract(epoch from now()) FROM generate_series(0, {jobs - 1}) n"
        )
        self.sql(self._units("p", 0, pending, jobs, "pending", "NULL"))

    def finish_up_to(self, count: int, jobs: int) -> None:
        """Add finished chunks of the same jobs, then let the planner know, as autovacuum does in time."""
        for start in range(self.finished, count, 100_000):
            self.sql(self._units("f", start, min(start + 100_000, count), jobs, "done", "extract(epoch from now())"))
        self.finished = count
        self.sql("VACUUM ANALYZE units")
        self.sql("CHECKPOINT")

    def _units(self, prefix: str, start: int, end: int, jobs: int, state: str, finished_at: str) -> str:
        return (
            f"INSERT INTO units ({UNIT_COLUMNS}) SELECT 'unit_{prefix}' || n, 'job_' || n % {jobs}, 'fetch', 'builder', '{state}',"
            f" json_build_object('chunk_id', 'chunk_' || n), 0, 0, 0, extract(epoch from now()) + n / 1e6, {finished_at}"
            f" FROM generate_series({start}, {end - 1}) n"
        )

    def go_on(self) -> None:
        """Half of what was sent finishes, a few units lose their worker, and the rest has been in the queue for a while."""
        chosen = "(SELECT id FROM units WHERE state = 'queued' ORDER BY queued_at LIMIT {})"
        self.sql(f"UPDATE units SET state = 'done', finished_at = extract(epoch from now()) WHERE id IN {chosen.format(self.slots)}")
        self.sql("UPDATE locks SET since = 1")  # the database has answered for long, so silence is a crash
        self.sql(f"UPDATE units SET state = 'running', owner = 'wrk_gone', lease_until = 1 WHERE id IN {chosen.format(4)}")
        self.sql("UPDATE units SET queued_at = queued_at - 11 WHERE state = 'queued'")


async def return_expired(ctx: Context) -> None:
    """Expired leases back to pending."""
    async with ctx.db.write() as connection:
        await sweeping.return_expired(connection, lease_s=ctx.settings.jobs.lease_s, max_crashes=ctx.settings.jobs.max_crashes)


STEPS: Final[dict[str, Callable[[Context], Awaitable[object]]]] = {
    "return_expired": return_expired,
    "lost_finalizes": lambda ctx: sweeping.lost_finalizes(ctx.db),
    "resend_lost": lambda ctx: resend_lost(ctx.resources),
    "dispatch": lambda ctx: dispatch(ctx.resources),
}
"""The steps of a pass in their order."""


async def measure(house: House, passes: int) -> Row:
    """Whole passes, passes taken apart, and a few under the eye of the memory tracer."""
    await timed_pass(house)  # the first one fills the queue
    whole = [await timed_pass(house) for _ in range(passes)]
    apart = [await steps_of_pass(house) for _ in range(max(5, passes // 4))]
    return Row(
        house.finished,
        [spent for spent, _ in whole],
        sum(swept.sent for _, swept in whole) // len(whole),
        sum(swept.expired for _, swept in whole) // len(whole),
        {name: statistics.median(steps[name] for steps in apart) for name in STEPS},
        max([await memory_of_pass(house) for _ in range(MEMORY_PASSES)]),
    )


async def timed_pass(house: House) -> tuple[float, sweeping.Swept]:
    """One pass, in milliseconds, and what it moved."""
    await asyncio.to_thread(house.go_on)
    await sign_of_life(house)
    began = time.perf_counter()
    swept = await sweep_once(house.context)
    return (time.perf_counter() - began) * 1000, swept


async def steps_of_pass(house: House) -> dict[str, float]:
    """Milliseconds of each step."""
    await asyncio.to_thread(house.go_on)
    await sign_of_life(house)
    spent = {}
    for name, step in STEPS.items():
        began = time.perf_counter()
        await step(house.context)
        spent[name] = (time.perf_counter() - began) * 1000
    return spent


async def memory_of_pass(house: House) -> float:
    """Kilobytes that Python's memory grows by in one pass, at its peak."""
    await asyncio.to_thread(house.go_on)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    await sweep_once(house.context)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return peak / 1000


async def sign_of_life(house: House) -> None:
    """A worker whose slots the dispatcher counts."""
    row = WorkerRow("wrk_bench-builder", "builder", "bench", 1, "0", house.slots, 0, 0.0, 0.0, 0.0)
    await fleet.beat(house.context.db, row)


@contextlib.asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncIterator[House]:
    """Servers, an empty schema, and the means of a worker."""
    with tempfile.TemporaryDirectory() as folder, RedisServer() as redis, PostgresServer(fsync=True) as server:
        settings = load_settings({"workspace.path": Path(folder)})
        db, store, queue = Database(server.create_database("bench")), open_store(settings.storage_url), await redis_queue(redis.url)
        try:
            await schema.upgrade(db)
            shop: Any = None
            context = Context(Resources(settings, db, store, queue), shop, shop, "wrk_bench")
            house = House(server, context, options.slots)
            house.fill(options.users, options.jobs, options.pending)
            yield house
        finally:
            await queue.close()
            await store.close()
            await db.close()


def show(rows: Sequence[Row]) -> bool:
    """The tables, and the benchmark's own verdict."""
    print("| Finished rows | p50 ms | p95 ms | max ms | sent a pass | brought back | Python memory, peak KB |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        figures = f"{row.p50_ms:.1f} | {row.p95_ms:.1f} | {max(row.passes_ms):.1f} | {row.sent} | {row.expired} | {row.memory_kb:,.0f}"
        print(f"| {row.finished:,} | {figures} |")
    print(f"\n| Finished rows | {' | '.join(STEPS)} |\n|---|{'---|' * len(STEPS)}")
    for row in rows:
        total = sum(row.steps_ms.values())
        print(f"| {row.finished:,} | {' | '.join(f'{spent:.1f} ms ({spent / total:.0%})' for spent in row.steps_ms.values())} |")
    growth = rows[-1].p50_ms / rows[0].p50_ms
    verdicts = {
        f"every pass under {TARGET_MS:.0f} ms": max(max(row.passes_ms) for row in rows) < TARGET_MS,
        f"flat: p50 at {rows[-1].finished:,} finished rows is {growth:.2f} of that at {rows[0].finished:,}, at most {FLAT}": growth <= FLAT,
    }
    print()
    for words, holds in verdicts.items():
        print(f"{'ok    ' if holds else 'MISSED'} {words}")
    return all(verdicts.values())


async def run(options: argparse.Namespace) -> bool:
    """Measure at each number of finished rows."""
    rows = []
    async with opened(options) as house:
        for finished in options.finished:
            await asyncio.to_thread(house.finish_up_to, finished, options.jobs)
            rows.append(await measure(house, options.passes))
            print(f"measured with {finished:,} finished rows", file=sys.stderr, flush=True)
    return show(rows)


def main() -> None:
    """Run, print, and exit with 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pending", type=int, default=100_000, help="pending chunks")
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--finished", type=int, nargs="+", default=[0, 100_000, 1_000_000], help="finished chunks, growing")
    parser.add_argument("--passes", type=int, default=30)
    parser.add_argument("--slots", type=int, default=64, help="units that the fleet runs at once")
    options = parser.parse_args()
    logger.remove()
    sys.exit(0 if asyncio.run(run(options)) else 1)


if __name__ == "__main__":
    main()
