"""Cost of the job layer: chunks per second through claim, run and finish, and CPU per chunk, compared with bare arq jobs.

::

    python benchmarks/jobs.py                      # 3 rounds of 1,000 chunks each
    python benchmarks/jobs.py --chunks 400 --rounds 1 --slots 32

Ours is a worker process on a real Redis and a PostgreSQL that waits for its disk. Its chunks hold no image: ``no-op`` is a job function of
nothing but its claim, ``validate_chunk`` the real one. Bare arq is its own worker with a function that does nothing, the same slots and
the same poll delay. Rounds alternate. CPU is that of whole process trees, from /proc. Starts its servers itself; Linux only.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import measuring
from arq import Worker, func
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from arq.jobs import serialize_job
from sqlalchemy import func as sql
from sqlalchemy import select

from app.db import Database, datasets, fleet, lifecycle, schema, tables
from app.db.rows import NewUnit
from app.job_states import JobKind, UnitKind, UnitState
from app.jobs.dispatch import dispatch
from app.queue import redis_queue
from app.resources import Resources, open_resources
from app.settings import Settings, load_settings
from app.storage import open_store
from logging_setup.config import configure
from tests.services import PostgresServer, RedisServer
from workers.job import INFRASTRUCTURE, claim, job
from workers.unit import JobContext
from workers.worker_pool import serve_until_signalled

TARGET_CPU_MS: Final = 10.0
JOBS: Final = 8
WARM_UP: Final = 200
LOOK_S: Final = 0.1
BARE_QUEUE: Final = "bench:bare"
NEVER: Final = 4e9
"""Unix seconds at which the unit that keeps a job open is due."""

KINDS: Final = {"no-op": UnitKind.FETCH, "validate_chunk": UnitKind.VALIDATE}


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one run."""

    who: str
    per_s: float
    cpu_ms: dict[str, float]
    """CPU milliseconds per chunk, by process."""

    @property
    def total_ms(self) -> float:
        return sum(self.cpu_ms.values())


async def run_no_op(settings: Settings) -> None:
    """Run a builder whose ``process_chunk`` only claims its unit."""

    @job(retry_on=INFRASTRUCTURE)
    async def process_chunk(ctx: JobContext, *, job_id: str, chunk_id: str, unit_id: str) -> None:
        """Claim the unit and return.

        Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart.
        """
        async with claim(ctx, unit_id):
            pass

    async with open_resources(settings) as resources:
        await serve_until_signalled(resources, ("builder",))


async def run_validator(settings: Settings) -> None:
    """Run an unchanged validator."""
    async with open_resources(settings) as resources:
        await serve_until_signalled(resources, ("validator",))


async def run_bare(settings: Settings) -> None:
    """Run arq's own worker."""

    async def nothing(_: dict[str, Any], *, job_id: str, chunk_id: str, unit_id: str) -> None:
        """Do nothing."""

    pool = (await redis_queue(settings.queue.url.get_secret_value())).pool
    slots = settings.jobs.builder_slots
    worker = Worker(
        [func(nothing, name="nothing")],
        queue_name=BARE_QUEUE,
        redis_pool=pool,
        max_jobs=slots,
        poll_delay=settings.jobs.poll_s,
        keep_result=0,
        log_results=False,
    )
    with contextlib.suppress(asyncio.CancelledError):  # raised at SIGTERM
        await worker.async_run()


RUNS: Final[dict[str, Callable[[Settings], Awaitable[None]]]] = {"no-op": run_no_op, "validate_chunk": run_validator, "bare arq": run_bare}


class Bench:
    """Servers, a database and a queue for them."""

    def __init__(self, resources: Resources, redis: RedisServer, postgres: PostgresServer, flags: dict[str, Any]) -> None:
        self.resources, self.redis, self.postgres, self.flags = resources, redis, postgres, flags

    @contextlib.contextmanager
    def worker(self, who: str) -> Iterator[int]:
        """Start a worker process of a kind; yield its process id."""
        flags = [f"--set={name}={value}" for name, value in self.flags.items()]
        process = subprocess.Popen([sys.executable, __file__, f"--worker={who}", *flags])
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait()

    async def measure(self, who: str, chunks: int) -> Result:
        """Start the worker, run a warm-up batch, then time a batch."""
        give = self.give_bare if who == "bare arq" else self.give
        with self.worker(who) as pid:
            await give(who, WARM_UP)
            trees = {"worker": pid, "PostgreSQL": self.postgres.pid or 0, "Redis": self.redis.pid or 0}
            before = {name: measuring.cpu_s(root) for name, root in trees.items()}
            seconds = await give(who, chunks)
            spent = {name: (measuring.cpu_s(root) - before[name]) / chunks * 1000 for name, root in trees.items()}
        return Result(who, chunks / seconds, spent)

    async def give(self, who: str, chunks: int) -> float:
        """Insert units of some jobs, send the first ones and wait for the last; return the seconds."""
        kind, db = KINDS[who], self.resources.db
        each = [NewUnit(kind, {"chunk_id": f"chunk_{number}"}) for number in range(chunks // JOBS)]
        async with db.write() as connection:
            for number in range(JOBS):
                dataset_id = await datasets.create_dataset(connection, user_id=f"user_{number}", name="bench")
                first = [*each, NewUnit(UnitKind.FINALIZE, not_before=NEVER)]
                known = {"user_id": f"user_{number}", "dataset_id": dataset_id}
                await lifecycle.create(connection, **known, kind=JobKind.BUILD, spec={}, first=first)
        while not await self._slots(kind):
            await asyncio.sleep(LOOK_S)
        began = await db.now()
        await dispatch(self.resources)
        while await self._open(kind):
            await asyncio.sleep(LOOK_S)
        return await self._last(kind) - began

    async def _slots(self, kind: UnitKind) -> int:
        async with self.resources.db.read() as connection:
            return (await fleet.slots(connection, fresh_s=10)).get(kind.queue, 0)

    async def _open(self, kind: UnitKind) -> bool:
        unit = tables.units.c
        query = select(unit.id).where(unit.kind == kind, unit.state.in_([UnitState.PENDING, UnitState.QUEUED, UnitState.RUNNING])).limit(1)
        async with self.resources.db.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def _last(self, kind: UnitKind) -> float:
        query = select(sql.max(tables.units.c.finished_at), sql.count()).where(tables.units.c.kind == kind)
        dead = query.where(tables.units.c.state != UnitState.DONE)
        async with self.resources.db.read() as connection:
            assert not (await connection.execute(dead)).one()[1], "units did not end well"
            return float((await connection.execute(query)).one()[0])

    async def give_bare(self, _: str, chunks: int) -> float:
        """Enqueue arq jobs with the same ids at once and wait for them."""
        pool: ArqRedis = self.resources.queue.pool
        now_ms = int(time.time() * 1000)
        async with pool.pipeline(transaction=False) as pipe:
            for number in range(chunks):
                ids = {"job_id": f"job_{number % JOBS}", "chunk_id": f"chunk_{number}", "unit_id": f"unit_{number}"}
                pipe.set(f"{job_key_prefix}bare_{number}", serialize_job("nothing", (), ids, None, now_ms))
                pipe.zadd(BARE_QUEUE, {f"bare_{number}": now_ms})
            began = time.perf_counter()
            await pipe.execute()
        while await pool.zcard(BARE_QUEUE):
            await asyncio.sleep(LOOK_S / 2)
        return time.perf_counter() - began


@contextlib.asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncIterator[Bench]:
    """Start the servers and create the tables."""
    with tempfile.TemporaryDirectory() as folder, RedisServer() as redis, PostgresServer(fsync=True) as server:
        flags = {
            "workspace.path": folder,
            "db.url": server.create_database("bench"),
            "queue.backend": "redis",
            "queue.url": redis.url,
            "jobs.builder_slots": options.slots,
            "jobs.validator_slots": options.slots,
            "validate.children": 1,
            "log.level": "INFO",
            "log.file": f"{folder}/log.jsonl",
        }
        settings = load_settings(flags)
        db, store, queue = Database(settings.database_url), open_store(settings.storage_url), await redis_queue(redis.url)
        try:
            await schema.upgrade(db)
            yield Bench(Resources(settings, db, store, queue), redis, server, flags)
        finally:
            await queue.close()
            await store.close()
            await db.close()


def show(results: Sequence[Result]) -> bool:
    """Print the table; return whether the target is met."""
    names = ("worker", "PostgreSQL", "Redis")
    print("| Who | chunks/s | CPU ms a chunk | " + " | ".join(f"of it {name}" for name in names) + " | x bare arq's CPU | x its speed |")
    print("|---|---|---|" + "---|" * len(names) + "---|---|")
    bare = [result for result in results if result.who == "bare arq"]
    worst = {}
    for who in RUNS:
        mine = [result for result in results if result.who == who]
        cells = [_spread([result.per_s for result in mine], ",.0f"), _spread([result.total_ms for result in mine], ".2f")]
        cells += [f"{statistics.median(result.cpu_ms[name] for result in mine):.2f}" for name in names]
        pairs = list(zip(mine, bare, strict=True))
        cells.append(f"{statistics.median(one.total_ms / other.total_ms for one, other in pairs):.1f}")
        cells.append(f"{statistics.median(one.per_s / other.per_s for one, other in pairs):.2f}")
        print(f"| {who} | {' | '.join(cells)} |")
        worst[who] = statistics.median(result.total_ms for result in mine)
    holds = worst["no-op"] <= TARGET_CPU_MS
    print(f"\n{'ok    ' if holds else 'MISSED'} the job layer costs {worst['no-op']:.2f} ms of CPU a chunk, at most {TARGET_CPU_MS:.0f}")
    return holds


def _spread(values: Sequence[float], style: str) -> str:
    return f"{statistics.median(values):{style}} ({min(values):{style}} to {max(values):{style}})"


async def run(options: argparse.Namespace) -> bool:
    """Run all rounds, the kinds in turn."""
    results = []
    async with opened(options) as bench:
        for number in range(options.rounds):
            for who in RUNS:
                results.append(await bench.measure(who, options.chunks))
                print(f"round {number + 1}: {results[-1]}", file=sys.stderr, flush=True)
    return show(results)


def main() -> None:
    """Run, print, and exit with 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=8, help="chunks that a worker runs at once")
    parser.add_argument("--worker", choices=list(RUNS), help=argparse.SUPPRESS)
    parser.add_argument("--set", action="append", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        settings = load_settings(dict(flag.partition("=")[::2] for flag in options.set))
        with Path(os.devnull).open("w") as stream:
            configure(settings.log.level, "json", str(settings.log.file), stream)
            asyncio.run(RUNS[options.worker](settings))
        return
    configure("ERROR", "json", None)
    sys.exit(0 if asyncio.run(run(options)) else 1)


if __name__ == "__main__":
    main()
