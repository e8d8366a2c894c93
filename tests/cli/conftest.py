"""Fixtures: the command in this process or in a process of its own, an origin that counts its requests, and finished builds."""

import asyncio
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import update

from app.cli import entry
from app.cli.demo import pictures
from app.cli.demo.origin import Origin, Step, drip, reply
from app.db import Database, fleet, schema, tables
from app.db.rows import WorkerRow
from app.settings import load_settings
from app.workspace import Holder, Workspace
from logging_setup.config import configure

ROOT = Path(__file__).parents[2]
PICTURES = 100
LOOPBACK = ["--set", "fetch.allow_networks=127.0.0.0/8", "--set", "fetch.ports=[]", "--per-host", "16"]
OPEN = LOOPBACK[:4]
"""Allows loopback addresses, for commands without --per-host."""
SLOWLY = [*LOOPBACK[:4], "--per-host", "4", "--set", "jobs.chunk_size=10"]
STATES = ("pending", "deferred", "queued", "running", "quarantined", "dead")
FORGED = "CC-BY-4.0\x1b[2J"
ROBOTS = b"User-agent: *\nDisallow: /private"
T = TypeVar("T")
Spawn = Callable[..., "subprocess.Popen[str]"]


@dataclass(frozen=True)
class Result:
    """A command's exit code and output."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


Invoke = Callable[..., Result]
Hold = Callable[[str], Workspace]


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Invoke]:
    """Run the command in this process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PICTRAWL_CONFIG", "")  # --config sets it; after the test it is as it was

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = entry.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    yield run
    configure()


@pytest.fixture
def spawn(monkeypatch: pytest.MonkeyPatch) -> Callable[..., "subprocess.Popen[str]"]:
    """Run the command as a process of its own, warnings as errors."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "80")

    def start(*arguments: object, **more: Any) -> "subprocess.Popen[str]":
        command = [sys.executable, "-W", "error", "-m", "app.cli", *(str(argument) for argument in arguments)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": dict(os.environ)} | more
        return subprocess.Popen(command, **options)  # type: ignore[no-any-return]

    return start


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Hold the current folder's workspace as a process of this command would, which does no work. ``serve`` works on all jobs."""
    held: list[Workspace] = []

    def take(command: str) -> Workspace:
        held.append(Workspace(Path(".pictrawl"), Holder(4711, command, job_ids=None if command == "serve" else frozenset())))
        assert held[-1].take()
        return held[-1]

    yield take
    for workspace in held:
        workspace.release()


@pytest.fixture(scope="session")
def bodies() -> list[bytes]:
    """Pictures, each unlike the others."""
    return [pictures.encoded(pictures.photograph(seed)) for seed in range(PICTURES)]


@dataclass
class Site:
    """An origin on a thread of its own, so that it also serves while this one is busy."""

    origin: Origin
    loop: asyncio.AbstractEventLoop
    urls: list[str] = field(default_factory=list)

    def add(self, path: str, *steps: Step) -> str:
        """Serve a path; return its URL."""
        url = self.origin.script(path, *steps)
        self.urls.append(url)
        return url

    def hits(self, path: str) -> int:
        """Requests for a path."""
        return self.origin.hits[path]

    def write_list(self, path: Path) -> Path:
        """All URLs as a list."""
        path.write_text("\n".join(self.urls) + "\n")
        return path


@contextmanager
def serving() -> Iterator[Site]:
    """An origin that serves nothing yet, for the body's time."""
    started: list[Site] = []
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with Origin() as origin:
            started.append(Site(origin, asyncio.get_running_loop()))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield started[0]
    finally:
        started[0].loop.call_soon_threadsafe(stop.set)
        thread.join(10)


@pytest.fixture
def site() -> Iterator[Site]:
    """An origin that serves nothing yet."""
    with serving() as started:
        yield started


@pytest.fixture
def gallery(site: Site, bodies: list[bytes]) -> Site:
    """An origin with a hundred pictures."""
    for at, body in enumerate(bodies):
        site.add(f"/{at:03d}.jpg", reply(body=body))
    return site


@pytest.fixture
def slow_gallery(site: Site, bodies: list[bytes]) -> Site:
    """A hundred pictures, each sent slowly."""
    for at, body in enumerate(bodies):
        site.add(f"/{at:03d}.jpg", drip(body, seconds=0.1, pieces=4))
    return site


def wait_for_hits(site: Site, count: int, path: str | None = None) -> None:
    """Wait until the origin has had this many requests, all in all or for one path."""
    deadline = time.monotonic() + 60
    while (sum(site.origin.hits.values()) if path is None else site.hits(path)) < count:
        assert time.monotonic() < deadline, site.origin.hits
        time.sleep(0.02)


def in_database(body: Callable[[Database], Awaitable[T]]) -> T:
    """Run a coroutine on this workspace's database, which is created if there is none."""

    async def run() -> T:
        db = Database(load_settings().database_url)
        try:
            await schema.upgrade(db)
            return await body(db)
        finally:
            await db.close()

    return asyncio.run(run())


async def employ(db: Database) -> None:
    """Add a builder that is alive and a validator whose last heartbeat is a minute old."""
    await fleet.beat(db, WorkerRow("wrk_1-builder", "builder", "box", 7, "0.1.0", 8, 2, 0.0123, 0.0, 0.0))
    await fleet.beat(db, WorkerRow("wrk_2-validator", "validator", "box", 8, "0.1.0", 4, 0, 0.0, 0.0, 0.0))
    silent = update(tables.workers).where(tables.workers.c.id == "wrk_2-validator")
    async with db.write() as connection:
        await connection.execute(silent.values(beat_at=tables.workers.c.beat_at - 61))


# two builds that ended, made once; each test gets a copy


@pytest.fixture(scope="session")
def mixed_site() -> Iterator[Site]:
    """One origin for all tests of this build."""
    with serving() as started:
        yield started


@pytest.fixture(scope="session")
def mixed_build(mixed_site: Site, bodies: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A small dataset with one of everything: kept, throttled, gone, moved, tiny, double, blocked."""
    mixed_site.add("/kept.jpg", reply(body=bodies[0]))
    mixed_site.add("/busy.jpg", reply(429, headers={"Retry-After": "1"}), reply(body=bodies[1]))
    mixed_site.add("/gone.jpg")
    mixed_site.origin.script("/new.jpg", reply(body=bodies[2]))
    mixed_site.add("/moved.jpg", reply(302, headers={"Location": "/new.jpg"}))
    mixed_site.add("/tiny.jpg", reply(body=pictures.tiny(1)))
    mixed_site.add("/double.jpg", reply(body=bodies[0]))
    mixed_site.add("/blocked.jpg", reply(302, headers={"Location": "http://10.0.0.1/x.jpg"}))
    mixed_site.origin.script("/robots.txt", reply(body=b"# be kind\nUser-agent: *\nDisallow: /private", kind="text/plain"))
    mixed_site.add("/private.jpg", reply(body=bodies[0]))
    mixed_site.add("/noai.jpg", reply(body=bodies[0], headers={"X-Robots-Tag": "noai"}))
    folder = tmp_path_factory.mktemp("built")
    path = mixed_site.write_list(folder / "list.txt")
    path.write_text("not a url\n" + path.read_text())
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = entry.run(["build", "--urls", str(path), "--json", *LOOPBACK])
    assert code == 0
    return folder, Result(code, out.getvalue(), "")


@pytest.fixture
def mixed(mixed_build: tuple[Path, Result]) -> Result:
    """A copy of it for this test, in the current folder."""
    folder, result = mixed_build
    shutil.copytree(folder, Path.cwd(), dirs_exist_ok=True)
    return result


def image_id(invoke: Invoke, path: str) -> int:
    """The id of the image whose URL ends so."""
    items = invoke("images", "ls", "--json").json["items"]
    return int(next(image["id"] for image in items if image["url"].endswith(path)))


@dataclass(frozen=True)
class Built:
    """A job that has ended, in the current folder."""

    job_id: str
    base: str


@pytest.fixture(scope="session")
def licensed_site() -> Iterator[Site]:
    """One origin for all tests of this build."""
    with serving() as started:
        yield started


@pytest.fixture(scope="session")
def licensed_build(licensed_site: Site, bodies: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the job once."""
    licensed_site.add("/kept.jpg?size=large", reply(body=bodies[0]))
    licensed_site.add("/busy.jpg", reply(503), reply(body=bodies[1]))
    licensed_site.add("/asks.jpg", reply(429, headers={"Retry-After": "1"}), reply(body=bodies[2]))
    licensed_site.add("/gone.jpg")
    licensed_site.add("/private.jpg", reply(body=bodies[3]))
    licensed_site.add("/noai.jpg", reply(body=bodies[3], headers={"X-Robots-Tag": "noai"}))
    licensed_site.add("/double.jpg", reply(body=bodies[0]))
    licensed_site.add("/tiny.jpg", reply(body=pictures.tiny(1)))
    licensed_site.add("/broken.jpg", reply(body=bodies[4][:2000]))
    licensed_site.origin.script("/robots.txt", reply(body=ROBOTS, kind="text/plain"))
    folder = tmp_path_factory.mktemp("built")
    (folder / "list.jsonl").write_text("\n".join(json.dumps({"url": url, "license": FORGED}) for url in licensed_site.urls))
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        assert entry.run(["build", "--urls", "list.jsonl", "--json", *LOOPBACK]) == 0
    return folder, json.loads(out.getvalue())["job_id"]


@pytest.fixture
def licensed(licensed_build: tuple[Path, str], licensed_site: Site) -> Built:
    """A copy of it for this test."""
    shutil.copytree(licensed_build[0], Path.cwd(), dirs_exist_ok=True)
    return Built(licensed_build[1], licensed_site.origin.base)
