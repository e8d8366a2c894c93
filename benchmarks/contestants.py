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
    *("CACHED_CONTEXT", "MALLOC", "TIMES", "Contestant", "Fleet", "Img2dataset", "Pictrawl", "RunResult", "Servers"),
    *("job_times", "pictrawl", "servers", "settings_of", "write_list"),
]

MALLOC: Final = {"MALLOC_MMAP_THRESHOLD_": "268435456", "MALLOC_TRIM_THRESHOLD_": "536870912"}
"""Bytes: with these thresholds glibc keeps large buffers instead of returning them to the kernel."""

CACHED_CONTEXT: Final = {"PICTRAWL_BENCH_CACHED_CONTEXT": "1"}
"""img2dataset with one TLS context for each process instead of one for each connection."""

_SHIM: Final = """\
import os
if os.environ.get("PICTRAWL_BENCH_CACHED_CONTEXT"):
    import functools, ssl
    ssl.create_default_context = functools.lru_cache(maxsize=None)(ssl.create_default_context)
    ssl._create_default_https_context = ssl.create_default_context
"""

_PROCESSES: Final = 2
_SHARDS: Final = 4
"""Shards of one img2dataset run, two for each of its processes, so that neither process waits for the other."""

TIMES: Final = (
    "SELECT (SELECT state FROM jobs), (SELECT started_at FROM jobs), (SELECT finished_at FROM jobs), "
    "(SELECT count(*) FROM images WHERE state = 'kept'), (SELECT min(fetched_at) FROM images)"
)
"""One row, in SQLite and PostgreSQL: state, start and end of the only job, kept images, time of the first stored image."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run. ``steady_s`` excludes the start-up; ``first_s`` is from exec to the first stored image, where known."""

    images: int
    wall_s: float
    steady_s: float
    cpu_s: float
    peak_mb: float
    first_s: float | None
    output: Path

    @property
    def per_s(self) -> float:
        """Images per second of the whole command."""
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
        """The most images of one run."""

    @property
    def bytes_per_image(self) -> int:
        """Disk space of a run, per image."""

    def run(self, place: origin.Place, folder: Path, urls: Sequence[str]) -> RunResult:
        """Run once in a new folder."""


@dataclass(frozen=True, slots=True)
class Pictrawl:
    """``pictrawl build`` with the embedded queue and every feature enabled."""

    name: str = "pictrawl"
    options: tuple[str, ...] = ("--per-host", "64")
    env: Mapping[str, str] = field(default_factory=dict)
    most: int | None = None
    bytes_per_image: int = 260_000

    def run(self, place: origin.Place, folder: Path, urls: Sequence[str]) -> RunResult:
        workspace, log = folder / "workspace", folder / "log.jsonl"
        env = settings_of(place, folder, {"WORKSPACE__PATH": str(workspace)}) | self.env
        write_list(folder, urls)
        usage = measuring.timed([*pictrawl(), *self.options], folder, env, needs=place.servers())
        row = _job_row(workspace / "pictrawl.db") if usage.code == 0 else ()
        ran = job_times(self.name, usage, row, len(urls), folder)
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

    def run(self, place: origin.Place, folder: Path, urls: Sequence[str]) -> RunResult:
        write_list(folder, urls)
        output = folder / "out"
        command = [str(peers.environment(place) / "bin" / "img2dataset"), *self.flags, *self._usual(len(urls))]
        own = {"SSL_CERT_FILE": str(place.home / "bundle.pem"), "PYTHONPATH": str(_shim(place))}
        env = environment_without_settings() | peers.QUIET | own | dict(self.env)
        usage = measuring.timed(command, folder, env, needs=place.servers())
        stats = [json.loads(path.read_text()) for path in output.glob("*_stats.json")]
        got = sum(shard["successes"] for shard in stats)
        if usage.code or got != len(urls):
            said = measuring.tail(folder / "out.log")
            raise SystemExit(f"{self.name}: exit code {usage.code}, {got} of {len(urls)} images\n{said}")
        steady_s = max(shard["end_time"] for shard in stats) - min(shard["start_time"] for shard in stats)
        return RunResult(len(urls), usage.wall_s, steady_s, usage.cpu_s, usage.peak_mb, None, output)

    def _usual(self, count: int) -> list[str]:
        """The options of every run."""
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
    """The command of both pictrawl contestants."""
    return [str(Path(sys.executable).parent / "pictrawl"), "build", "--urls", "list.txt", "--format", "webdataset", "-o", "out"]


def settings_of(place: origin.Place, folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without the caller's settings: only what loopback needs, and a log at INFO."""
    settings = {
        "FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
        "FETCH__PORTS": "[]",
        "LOG__FILE": str(folder / "log.jsonl"),
        "LOG__LEVEL": "INFO",
        **more,
    }
    own = {"SSL_CERT_FILE": str(place.home / "bundle.pem")}
    return environment_without_settings() | own | {f"PICTRAWL_{name}": value for name, value in settings.items()}


def environment_without_settings() -> dict[str, str]:
    """This process's environment without the caller's settings. Bytecode may be written, so that only the warm-up run compiles modules."""
    unwanted = ("PICTRAWL_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def write_list(folder: Path, urls: Sequence[str]) -> None:
    """Write the URL list that each contestant reads."""
    (folder / "list.txt").write_text("".join(f"{url}\n" for url in urls), encoding="utf-8")


def job_times(name: str, usage: measuring.Usage, row: Sequence[Any], count: int, folder: Path) -> RunResult:
    """Return the result of a run from its job's row (see `TIMES`; empty where the command failed).

    Raises:
        SystemExit: not every image was kept.
    """
    said = f"exit code {usage.code}\n{measuring.tail(folder / 'out.log')}"
    if not row:
        raise SystemExit(f"{name}: {said}")
    state, started_at, finished_at, kept, first_at = row
    if state != "succeeded" or int(kept) != count:
        raise SystemExit(f"{name}: job {state}, {kept} of {count} images kept, {said}")
    steady_s, first_s = float(finished_at) - float(started_at), float(first_at) - usage.started_at
    return RunResult(count, usage.wall_s, steady_s, usage.cpu_s, usage.peak_mb, first_s, folder / "out")


def _job_row(path: Path) -> Sequence[Any]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        row: Sequence[Any] = database.execute(TIMES).fetchone()
        return row


def _shim(place: origin.Place) -> Path:
    """A folder whose ``sitecustomize`` Python imports before img2dataset; it does nothing without the environment variable."""
    folder = place.home / "shim"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SHIM)
    return folder


# --- pictrawl as a fleet

_QUEUES: Final = ("builder", "validator")
_READY_S: Final = 60.0
"""Seconds in which both workers must have written a heartbeat; on a busy machine loading their modules takes ten."""

_LOOK_S: Final = 0.1
_END_S: Final = 60.0
"""Seconds in which a worker must end after SIGTERM; it drains for at most 20."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers that the fleets of a row use in turn."""

    redis: RedisServer
    postgres: PostgresServer
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def pids(self) -> list[int]:
        return [pid for pid in (self.redis.pid, self.postgres.pid) if pid is not None]


@dataclass(frozen=True, slots=True)
class Fleet:
    """``pictrawl build`` executed by separate workers; CPU and memory are those of workers, servers and command together."""

    name: str = "pictrawl, fleet"
    options: tuple[str, ...] = ("--per-host", "64")
    most: int | None = None
    bytes_per_image: int = 260_000
    servers: Servers | None = None
    """Set after the servers were started."""

    def run(self, place: origin.Place, folder: Path, urls: Sequence[str]) -> RunResult:
        assert self.servers is not None
        servers, database = self.servers, f"bench{next(self.servers.numbers)}"
        write_list(folder, urls)
        env = _settings(servers, place, folder, database)
        servers.redis.flush()
        _migrate(folder, env)
        with _workers(servers, folder, env, database) as pids:
            command, beside = [*pictrawl(), *self.options], [*pids, *servers.pids]
            usage = measuring.timed(command, folder, env, needs=place.servers(), beside=beside)
            row = servers.postgres.run_sql(TIMES, database).split("|") if usage.code == 0 else ()
        return job_times(self.name, usage, row, len(urls), folder)


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Start Redis and PostgreSQL, each with a folder of its own."""
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
        "FETCH__PER_HOST": "64",  # the workers fetch, so the command's own option has no effect
    }
    return settings_of(place, folder, fleet)


def _migrate(folder: Path, env: Mapping[str, str]) -> None:
    """Create the tables; workers refuse a database without them."""
    command = [pictrawl()[0], "db", "upgrade"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pictrawl db upgrade: exit code {done.returncode}\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def _workers(servers: Servers, folder: Path, env: Mapping[str, str], database: str) -> Iterator[list[int]]:
    """Start one worker process for each queue and wait for both heartbeats."""
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(_worker(queue, folder, env)) for queue in _QUEUES]
        until = time.monotonic() + _READY_S
        while servers.postgres.run_sql("SELECT count(*) FROM workers", database) != str(len(_QUEUES)):
            if time.monotonic() > until or any(worker.poll() is not None for worker in started):
                raise SystemExit(f"the fleet's workers do not start\n{_worker_logs(folder)}")
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


def _worker_logs(folder: Path) -> str:
    return "\n".join(measuring.tail(folder / f"{queue}.log") for queue in _QUEUES)
