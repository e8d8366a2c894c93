"""The command in this process or as a process of its own, and an origin with pictures that remembers who asked for what."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.cli import entry
from app.cli.demo import pictures
from app.cli.demo.origin import Origin, Step, reply
from logging_setup.config import configure

ROOT = Path(__file__).parents[2]
PICTURES = 100
LOOPBACK = ["--set", "fetch.allow_networks=127.0.0.0/8", "--set", "fetch.ports=[]", "--per-host", "16"]
OPEN = LOOPBACK[:4]
"""Loopback may be fetched from, for commands without --per-host."""


@dataclass(frozen=True)
class Result:
    """What a command left on its way out."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


Invoke = Callable[..., Result]


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
