"""The contestants, as commands: how each is run over a list of URLs, and what one run took.

pictrawl runs embedded, or as a fleet on this machine: Redis, a PostgreSQL that waits for its disk, a builder, a validator, and the command
that waits for them. A run that did not get every image is an error, never a figure.
"""

import contextlib
import itertools
import json
import math
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import measuring
import origin
import peers

from tests.services import PostgresServer, RedisServer

__all__ = [
    *("CACHED_CONTEXT", "MALLOC", "TIMES", "Contestant", "Fleet", "Img2dataset", "Pictrawl", "Ran", "Servers"),
    *("job_times", "pictrawl", "servers", "settings_of", "write_list"),
]

MALLOC: Final = {"MALLOC_MMAP_THRESHOLD_": "268435456", "MALLOC_TRIM_THRESHOLD_": "536870912"}
"""Bytes: glibc then keeps large buffers instead of asking the kernel for each anew, which is worth most where pages are cleared slowly."""

CACHED_CONTEXT: Final = {"PICTRAWL_BENCH_CACHED_CONTEXT": "1"}
"""img2dataset with one TLS context a process instead of one a connection."""

_SHIM: Final = """\
import os
if os.environ.get("PICTRAWL_BENCH_CACHED_CONTEXT"):
    import functools, ssl
    ssl.create_default_context = functools.lru_cache(maxsize=None)(ssl.create_default_context)
    ssl._create_default_https_context = ssl.create_default_context
"""

_PROCESSES: Final = 2
_SHARDS: Final = 4
"""Shards of a run of img2dataset's, two for each of its processes: 1,250 images each of 5,000, so that neither waits for the other."""

TIMES: Final = (
    "SELECT (SELECT state FROM jobs), (SELECT started_at FROM jobs), (SELECT finished_at FROM jobs), "
    "(SELECT count(*) FROM images WHERE state = 'kept'), (SELECT min(fetched_at) FROM images)"
)
"""One row, in SQLite and PostgreSQL: the only job's state, its start and end, the images kept, when the first one was stored."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run. ``steady_s`` leaves its start-up out; ``first_s`` is from exec to the first stored image, where that is known."""

    images: int
    wall_s: float
    steady_s: float
    cpu_s: float
    peak_mb: float
    first_s: float | None
    output: Path

    @property
    def per_s(self) -> float:
        """Images a second of the whole command."""
        return self.images / self.wall_s

    @property
    def steady_per_s(self) -> float:
        return self.images / self.steady_s

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds an image."""
        return self.cpu_s / self.images * 1000


class Contestant(Protocol):
    """One line of the table."""

    @property
    def name(self) -> str: ...

    @property
    def most(self) -> int | None:
        """Images that a run of it takes at most."""

    @property
    def bytes_per_image(self) -> int:
        """Room that a run takes on disk."""

    def run(self, place: origin.Place, folder: Path, urls: Sequence[str]) -> Ran:
        """Run once in a new folder."""


@dataclass(frozen=True, slots=True)
class Pictrawl:
    """``pictrawl build`` on the embedded default, everything on."""

    name: str = "pictrawl"
    options: tuple[str, ...] = ("--per-host", "64")
    env: Mapping[str, str] = field(default_factory=dict)
    most: int | None = None
    bytes_per_image: int = 260_000

    def run(self, place: origin.Place, folder: Path, urls: Sequence[str]) -> Ran:
        workspace, log = folder / "workspace", folder / "log.jsonl"
        env = settings_of(place, folder, {"WORKSPACE__PATH": str(workspace)}) | self.env
        write_list(folder, urls)
        taken = measuring.timed([*pictrawl(), *self.options], folder, env, needs=place.servers())
        row = _asked(workspace / "pictrawl.db") if taken.code == 0 else ()
        ran = job_times(self.name, taken, row, len(urls), folder)
        if not log.stat().st_size:
            raise SystemExit(f"{self.name}: wrote no log, so logging was not measured")
        return ran


@dataclass(frozen=True, slots=True)
class Img2dataset:
    """img2dataset in an environment of its own."""

    name: str
    flags: tuple[str, ...]
    threads: int = 64
    env: Mapping[str, str] = field(default_factory=dict)
    most: int | None = None
    bytes_per_image: int = 130_000

    def run(self, place: origin.Place, folder: Path, urls: Sequence[str]) -> Ran:
        write_list(folder, urls)
        output = folder / "out"
        command = [str(peers.environment(place) / "bin" / "img2dataset"), *self.flags, *self._usual(len(urls))]
        own = {"SSL_CERT_FILE": str(place.home / "bundle.pem"), "PYTHONPATH": str(_shim(place))}
        env = surroundings() | peers.QUIET | own | dict(self.env)
        taken = measuring.timed(command, folder, env, needs=place.servers())
        stats = [json.loads(path.read_text()) for path in output.glob("*_stats.json")]
        got = sum(shard["successes"] for shard in stats)
        if taken.code or got != len(urls):
            said = measuring.tail(folder / "out.log")
            raise SystemExit(f"{self.name}: exit code {taken.code}, {got} of {len(urls)} images\n{said}")
        steady_s = max(shard["end_time"] for shard in stats) - min(shard["start_time"] for shard in stats)
        return Ran(len(urls), taken.wall_s, steady_s, taken.cpu_s, taken.peak_mb, None, output)

    def _usual(self, count: int) -> list[str]:
        """What every run of it gets."""
        flags = {
            "url_list": "list.txt",
            "output_folder": "out",
            "output_format": "webdataset",
            "processes_count": _PROCESSES,
            "thread_count": self.threads,
            "number_sample_per_shard": math.ceil(count / _SHARDS),
            "timeout": 30,
            "enable_wandb": False,
        }
        return [f"--{name}={value}" for name, value in flags.items()]


def pictrawl() -> list[str]:
    """The command that both of our contestants give."""
    return [str(Path(sys.executable).parent / "pictrawl"), "build", "--urls", "list.txt", "--format", "webdataset", "-o", "out"]


def settings_of(place: origin.Place, folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with no settings of the caller's: only what loopback asks for, and a log at INFO."""
    settings = {
        "FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
        "FETCH__PORTS": "[]",
        "LOG__FILE": str(folder / "log.jsonl"),
        "LOG__LEVEL": "INFO",
        **more,
    }
    own = {"SSL_CERT_FILE": str(place.home / "bundle.pem")}
    return surroundings() | own | {f"PICTRAWL_{name}": value for name, value in settings.items()}


def surroundings() -> dict[str, str]:
    """This process's environment without the caller's settings; bytecode may be written, so that the warm-up compiles, and nobody else."""
    unwanted = ("PICTRAWL_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def write_list(folder: Path, urls: Sequence[str]) -> None:
    """The list that both read."""
    (folder / "list.txt").write_text("".join(f"{url}\n" for url in urls), encoding="utf-8")


def job_times(name: str, taken: measuring.Taken, row: Sequence[Any], count: int, folder: Path) -> Ran:
    """What a job's row (see `TIMES`; empty where the command failed) says of its run.

    Raises:
        SystemExit: not every image was kept.
    """
    said = f"exit code {taken.code}\n{measuring.tail(folder / 'out.log')}"
    if not row:
        raise SystemExit(f"{name}: {said}")
    state, started_at, finished_at, kept, first_at = row
    if state != "succeeded" or int(kept) != count:
        raise SystemExit(f"{name}: job {state}, {kept} of {count} images kept, {said}")
    steady_s, first_s = float(finished_at) - float(started_at), float(first_at) - taken.started_at
    return Ran(count, taken.wall_s, steady_s, taken.cpu_s, taken.peak_mb, first_s, folder / "out")


def _asked(path: Path) -> Sequence[Any]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        row: Sequence[Any] = database.execute(TIMES).fetchone()
        return row


def _shim(place: origin.Place) -> Path:
    """A folder whose ``sitecustomize`` Python imports before img2dataset: it does nothing unless it is asked to."""
    folder = place.home / "shim"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SHIM)
    return folder


# --- pictrawl as a fleet

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

    def run(self, place: origin.Place, folder: Path, urls: Sequence[str]) -> Ran:
        assert self.servers is not None
        servers, database = self.servers, f"bench{next(self.servers.numbers)}"
        write_list(folder, urls)
        env = _settings(servers, place, folder, database)
        servers.redis.flush()
        _migrate(folder, env)
        with _workers(servers, folder, env, database) as pids:
            command, beside = [*pictrawl(), *self.options], [*pids, *servers.pids]
            taken = measuring.timed(command, folder, env, needs=place.servers(), beside=beside)
            row = servers.postgres.run_sql(TIMES, database).split("|") if taken.code == 0 else ()
        return job_times(self.name, taken, row, len(urls), folder)


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
    return settings_of(place, folder, fleet)


def _migrate(folder: Path, env: Mapping[str, str]) -> None:
    """Workers refuse a database without tables."""
    command = [pictrawl()[0], "db", "upgrade"]
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
        process = subprocess.Popen([pictrawl()[0], "worker", queue], cwd=folder, env=own, stdout=out, stderr=out)
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
