"""pictrawl as a fleet on one machine: Redis, a PostgreSQL that waits for its disk, a builder, a validator, and the command that waits.

Servers are started once for a row. Every run has a database, a store and two worker processes of its own, which are up before it begins.
"""

import contextlib
import itertools
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import contestants
import measuring
import origin

from tests.services import PostgresServer, RedisServer

__all__ = ["Fleet", "Servers", "servers"]

_QUEUES: Final = ("builder", "validator")
_READY_S: Final = 60.0
"""Seconds in which both workers must have given a sign of life; on a busy machine they load their modules for ten."""

_LOOK_S: Final = 0.1
_END_S: Final = 60.0
"""Seconds in which a worker must have ended once it is told to; it drains for 20 at most."""


@dataclass(frozen=True, slots=True)
class Servers:
    """What the fleets of a row share, one after the other."""

    redis: RedisServer
    postgres: PostgresServer
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def pids(self) -> list[int]:
        return [pid for pid in (self.redis.pid, self.postgres.pid) if pid is not None]


@dataclass(frozen=True, slots=True)
class Fleet:
    """``pictrawl build`` carried out by workers elsewhere; CPU and memory are those of workers, servers and command together."""

    name: str = "pictrawl, fleet"
    options: tuple[str, ...] = ("--per-host", "64")
    most: int | None = None
    bytes_per_image: int = 260_000
    servers: Servers | None = None
    """Known once they run."""

    def run(self, place: origin.Place, folder: Path, urls: Sequence[str]) -> contestants.Ran:
        assert self.servers is not None
        servers, database = self.servers, f"bench{next(self.servers.numbers)}"
        contestants.write_list(folder, urls)
        env = _settings(servers, place, folder, database)
        servers.redis.flush()
        _migrate(folder, env)
        with _workers(servers, folder, env, database) as pids:
            command, beside = [*contestants.pictrawl(), *self.options], [*pids, *servers.pids]
            taken = measuring.timed(command, folder, env, needs=place.servers(), beside=beside)
            row = servers.postgres.run_sql(contestants.TIMES, database).split("|") if taken.code == 0 else ()
        return contestants.job_times(self.name, taken, row, len(urls), folder)


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Start both, each with a folder of its own."""
    with RedisServer() as redis, PostgresServer(fsync=True) as postgres:
        yield Servers(redis, postgres)


def _settings(servers: Servers, place: origin.Place, folder: Path, database: str) -> dict[str, str]:
    (folder / "store").mkdir()
    fleet = {
        "WORKSPACE__PATH": str(folder / "workspace"),
        "STORAGE__URL": (folder / "store").as_uri(),
        "DB__URL": servers.postgres.create_database(database),
        "QUEUE__BACKEND": "redis",
        "QUEUE__URL": servers.redis.url,
        "FETCH__PER_HOST": "64",  # the workers fetch: the command's own option would not reach them
    }
    return contestants.settings_of(place, folder, fleet)


def _migrate(folder: Path, env: Mapping[str, str]) -> None:
    """Workers refuse a database without tables."""
    command = [contestants.pictrawl()[0], "db", "upgrade"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pictrawl db upgrade: exit code {done.returncode}\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def _workers(servers: Servers, folder: Path, env: Mapping[str, str], database: str) -> Iterator[list[int]]:
    """One worker process a queue, once both have written that they are there."""
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(_worker(queue, folder, env)) for queue in _QUEUES]
        until = time.monotonic() + _READY_S
        while servers.postgres.run_sql("SELECT count(*) FROM workers", database) != str(len(_QUEUES)):
            if time.monotonic() > until or any(worker.poll() is not None for worker in started):
                raise SystemExit(f"the fleet's workers do not start\n{_said(folder)}")
            time.sleep(_LOOK_S)
        yield [worker.pid for worker in started]


@contextlib.contextmanager
def _worker(queue: str, folder: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    own = {**env, "PICTRAWL_LOG__FILE": str(folder / f"{queue}.jsonl")}
    with (folder / f"{queue}.log").open("wb") as out:
        process = subprocess.Popen([contestants.pictrawl()[0], "worker", queue], cwd=folder, env=own, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _said(folder: Path) -> str:
    return "\n".join(measuring.tail(folder / f"{queue}.log") for queue in _QUEUES)
