"""Fixtures for all tests. Every test has an environment without our settings and an empty working directory, and fails if it leaks.

On demand: settings, databases, and the real servers of :mod:`tests.services`. Tests marked ``services`` are skipped if a package is
missing, and name it; with PICTRAWL_TEST_REQUIRE_SERVICES=1 they fail instead.
"""

import asyncio
import faulthandler
import inspect
import itertools
import os
import time
import warnings
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key, get_timeout_config_value
from coverage import Coverage
from hypothesis import settings as hypothesis_settings
from hypothesis.configuration import set_hypothesis_home_dir

from app import process_setup
from app.db import Database
from app.settings import ENV_PREFIX, Settings, load_settings
from tests.services import PIDS, PostgresServer, RedisServer, missing_packages
from tests.templates import postgres_like_new, sqlite_like_new

REQUIRE_SERVICES = os.environ.get("PICTRAWL_TEST_REQUIRE_SERVICES") == "1"
"""Read before the environment is emptied."""

if "PYTEST_XDIST_WORKER" in os.environ:  # measured itself, but not the processes that its tests start: that doubles the CPU of each start
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)

SERVICE_OF = {"redis_server": "redis", "redis_url": "redis", "postgres_server": "postgresql", "postgres_url": "postgresql"}
"""The service of each fixture. Tests that use such a fixture are marked."""

hypothesis_settings.register_profile("busy machine", deadline=None)
hypothesis_settings.load_profile("busy machine")
set_hypothesis_home_dir(Path(__file__).parents[1] / ".hypothesis")  # else its tables of characters are made anew in each working directory

process_setup.defer_gc()

GRACE_S = 2.0
"""Seconds in which child processes must end after their test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that need a service, and check the tasks of tests that run on an event loop."""
    for item in items:
        names = getattr(item, "fixturenames", [])
        needed = {SERVICE_OF[name] for name in names if name in SERVICE_OF}
        if needed:
            item.add_marker(pytest.mark.services(*sorted(needed)))
        if inspect.iscoroutinefunction(getattr(item, "function", None)):
            names.insert(0, "no_leaked_tasks")  # set up first, so that it looks last


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking at what collection has made, in every collection of every test."""
    process_setup.tune_gc()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose service is not installed, or fail it if services are required."""
    for mark in item.iter_markers("services"):
        if packages := missing_packages(*mark.args):
            reason = f"needs {', '.join(packages)}: apt-get install {' '.join(packages)}"
            (pytest.fail if REQUIRE_SERVICES else pytest.skip)(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Pause the measurement of coverage, which makes a test take three times as long, for exhaustive tests."""
    coverage = Coverage.current() if item.get_closest_marker("exhaustive") else None
    if coverage is None:
        return (yield)
    coverage.stop()
    try:
        return (yield)
    finally:
        with warnings.catch_warnings(action="ignore"):  # of files that were imported before
            coverage.start()


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Bound the teardown of a failed test too: pytest has just stopped its timer, for debuggers."""
    if isinstance(node, pytest.Item) and (limit_s := get_timeout_config_value(node.config)):
        faulthandler.dump_traceback_later(limit_s, exit=True, file=node.config.stash[fault_handler_stderr_fd_key])


@pytest.fixture(scope="session")
def _working_directories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of working directories, one after the other."""
    base = tmp_path_factory.mktemp("cwd")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _hermetic(monkeypatch: pytest.MonkeyPatch, _working_directories: Iterator[Path]) -> None:
    """No setting comes from the shell or from a file in the working directory, and no test writes into the checkout."""
    for name in list(os.environ):
        if name.upper().startswith(ENV_PREFIX):
            monkeypatch.delenv(name)
    place = next(_working_directories)
    place.mkdir()
    monkeypatch.chdir(place)


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fail a test that leaves asyncio tasks behind."""
    yield
    for _ in range(3):  # callbacks of what has just been closed
        await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.done()]
    assert not left, f"the test left tasks behind: {left}"


@pytest.fixture(autouse=True)
def _no_leaked_children() -> Iterator[None]:
    """Fail a test that leaves child processes behind."""
    before = children()
    yield
    deadline = time.monotonic() + GRACE_S
    while left := children() - before - PIDS:
        if time.monotonic() > deadline:
            pytest.fail(f"the test left processes behind: {sorted(left)}")
        time.sleep(0.01)


def children() -> set[int]:
    """Running child processes of all threads of this process. Empty on systems other than Linux."""
    found: set[int] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found.update(int(pid) for pid in listing.read_text().split())
    return {pid for pid in found if not _is_zombie(pid)}


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The defaults with a workspace in ``tmp_path``, and loopback addresses and all ports allowed."""
    return load_settings({"workspace.path": tmp_path / "workspace", "fetch.allow_networks": ["127.0.0.0/8", "::1/128"], "fetch.ports": []})


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One redis-server for the session. A test that kills a server starts its own."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty Redis."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the session. A test that kills a server starts its own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of an empty database of this test."""
    name = f"test_{time.time_ns():x}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of a database file that does not exist yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'pictrawl.db'}"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """SQLite with the newest schema."""
    async for db in opened(sqlite_like_new(tmp_path / "pictrawl.db")):
        yield db


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services("postgresql"))])
def any_database_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database, for each supported kind."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services("postgresql"))])
async def any_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database with the newest schema, for each supported kind."""
    if request.param == "sqlite":
        async for db in opened(sqlite_like_new(tmp_path / "pictrawl.db")):
            yield db
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"like_new_{time.time_ns():x}"
    async for db in opened(postgres_like_new(server, name)):
        yield db
    server.drop_database(name)


async def opened(url: str) -> AsyncIterator[Database]:
    """Open a database and close it at the end: its thread would keep the process alive."""
    db = Database(url)
    try:
        yield db
    finally:
        await db.close()
