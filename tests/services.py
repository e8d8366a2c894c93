"""A real redis-server, PostgreSQL and Prometheus for tests, each on a free loopback port and in a folder of its own.

Each can be killed and started again on the same port with its files, as fault drills need it. As root, PostgreSQL runs as the user
``postgres``, since it refuses to be root.
"""

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import asyncpg  # type: ignore[import-untyped]

__all__ = ["PIDS", "PostgresServer", "PrometheusServer", "RedisServer", "Server", "free_port", "missing_packages"]

PIDS: set[int] = set()
"""Process ids of running servers. The check for leaked child processes ignores them."""

START_S = 60.0
"""Seconds in which a server must answer after its start."""

STOP_S = 15.0
"""Seconds in which a server must end before it is killed."""

LOOK_S = 0.02
"""Seconds between two polls of a server that starts or ends."""

PACKAGES = {"redis": "redis-server", "postgresql": "postgresql", "prometheus": "prometheus"}
"""Debian package of each service, by its name in the ``services`` mark."""


def missing_packages(*services: str) -> list[str]:
    """Packages of these services (default: all) whose programs are not installed."""
    programs = {"redis": shutil.which("redis-server"), "postgresql": postgres_program("initdb"), "prometheus": _prometheus()}
    return [PACKAGES[service] for service in services or PACKAGES if programs[service] is None]


def _prometheus() -> str | None:
    """The server, if the tool that checks its rules is there too."""
    return shutil.which("prometheus") and shutil.which("promtool")


def postgres_program(name: str) -> str | None:
    """Path of a program of PostgreSQL. Debian keeps them outside of the PATH, by version."""
    newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]), reverse=True)
    return str(newest[0]) if newest else shutil.which(name)


def free_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One process that listens on ``port`` and has its files in ``folder``."""

    name = "server"
    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"pictrawl-{self.name}-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = self._spawn(self._command(), log)
        PIDS.add(self._process.pid)
        self._wait_until_ready()

    def stop(self) -> None:
        """Shut it down in order."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """Kill it: what it has not written is lost."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Shut it down in order if it runs, and start it on the same port."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Shut it down and remove its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def _spawn(self, command: list[str], log: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        PIDS.discard(self._process.pid)
        self._process = None

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end(signal.SIGKILL)
                raise RuntimeError(f"{self.name} did not start:\n{(self.folder / 'server.log').read_text()[-2000:]}")
            time.sleep(LOOK_S)


class RedisServer(Server):
    """redis-server without persistence: after a restart it is empty. With ``keep`` it logs every command and loses nothing."""

    name = "redis"

    def __init__(self, *, keep: bool = False) -> None:
        super().__init__()
        self.keep = keep

    @property
    def url(self) -> str:
        """URL of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def flush(self) -> None:
        """Delete everything."""
        reply = self._say(b"FLUSHALL\r\n")
        assert reply == b"+OK\r\n", reply

    def _command(self) -> list[str]:
        kept = ["--appendonly", "yes", "--appendfsync", "always"] if self.keep else ["--appendonly", "no"]
        return ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), "--save", "", *kept]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self._say(b"PING\r\n") == b"+PONG\r\n"
        return False

    def _say(self, command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(command)
            return connection.recv(64)


class PostgresServer(Server):
    """PostgreSQL with a cluster of its own. Every local client may be its superuser.

    Args:
        fsync: wait for the disk, as in production. Without it only a crash of the machine loses data, not one of the process.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": sessions are ended, transactions rolled back

    def __init__(self, *, fsync: bool = False) -> None:
        super().__init__()
        self.fsync = fsync
        self._owner = "postgres" if os.geteuid() == 0 else None
        if self._owner is not None:
            user = pwd.getpwnam(self._owner)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self._make_cluster()

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy URL of a database."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Create a database, empty or as a copy of ``template``, and return its URL."""
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, even if clients are connected."""
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        """Run a statement from a thread, since the caller may be in an event loop. A tenth of the cost of starting ``psql``."""
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, self._run(statement)).result()

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url().replace("+asyncpg", ""), timeout=START_S)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def run_sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement with ``psql`` as superuser and return its output."""
        address = ["--host", "127.0.0.1", "--port", str(self.port), "--username", "postgres", "--dbname", database]
        command = [_required("psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", *address, "--command", statement]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def _end(self, how: signal.Signals) -> None:
        """Wait for the backends too: they outlive a killed server for a moment and lock its folder."""
        backends = _children(self.pid) if self._process else []
        super()._end(how)
        deadline = time.monotonic() + STOP_S
        while any(_is_alive(pid) for pid in backends) and time.monotonic() < deadline:
            time.sleep(LOOK_S)

    def _make_cluster(self) -> None:
        options = ["--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"]
        with (self.folder / "initdb.log").open("wb") as log:
            process = self._spawn([_required("initdb"), "--pgdata", str(self.folder / "data"), *options], log)
        if process.wait():
            raise RuntimeError(f"initdb failed:\n{(self.folder / 'initdb.log').read_text()}")

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "fsync": "on" if self.fsync else "off",
            "full_page_writes": "on" if self.fsync else "off",
            "max_connections": "200",
            "shared_buffers": "64MB",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [_required("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *flags]

    def _spawn(self, command: list[str], log: object) -> subprocess.Popen[bytes]:
        plain = {"cwd": self.folder, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True}
        if self._owner is None:
            return subprocess.Popen(command, **plain)
        return subprocess.Popen(command, user=self._owner, group=self._owner, extra_groups=[], **plain)

    def _answers(self) -> bool:
        command = [_required("pg_isready"), "--quiet", "--host", "127.0.0.1", "--port", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0


class PrometheusServer(Server):
    """Prometheus with the caller's configuration and the files that it names."""

    name = "prometheus"

    def __init__(self, config: str, files: Mapping[str, str]) -> None:
        super().__init__()
        for name, text in {"prometheus.yml": config, **files}.items():
            (self.folder / name).write_text(text)

    def get(self, path: str, **query: str) -> Any:
        """The ``data`` of an answer of its HTTP API."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def _command(self) -> list[str]:
        where = ["--config.file=prometheus.yml", f"--storage.tsdb.path={self.folder / 'data'}"]
        return ["prometheus", *where, f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).status == 200  # type: ignore[no-any-return]
        return False


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _required(program: str) -> str:
    found = postgres_program(program)
    if found is None:
        raise RuntimeError(f"{program} is not installed: apt-get install {PACKAGES['postgresql']}")
    return found
