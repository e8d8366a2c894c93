"""Shared by drills of hostile images and failing disks: extra pages, decoder processes, a small disk, and log events of the workers."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.drills.lab import FINISH_S, Scene
from tests.drills.plan import Kind, Page
from tests.origin import Exchange, image

__all__ = [
    "LONG_S",
    "SmallDisk",
    "add_page",
    "calm_urls",
    "decoders_of",
    "ends_as",
    "high_water_bytes",
    "lonely_page",
    "said",
    "told",
]

LONG_S = 2 * FINISH_S
"""Seconds for a job that sees several leases run out, one after the other."""


def calm_urls(scene: Scene) -> list[str]:
    """URLs whose origin always gives the same answer: crashes cannot use up their attempts."""
    return [url for url, page in scene.plan.pages.items() if page.costs == 1]


def lonely_page(scene: Scene, *, but: str = "") -> Page:
    """An OK page whose bytes no other page has."""
    pages = scene.plan.pages.values()
    return next(
        page for page in pages if page.kind is Kind.OK and page.url != but and sum(other.sha256 == page.sha256 for other in pages) == 1
    )


def ends_as(scene: Scene, page: Page, *ends: tuple[str, str | None]) -> None:
    """Set the right outcomes of a page."""
    scene.plan.pages[page.url] = replace(page, ends=frozenset(ends))


def add_page(scene: Scene, name: str, body: bytes, *ends: tuple[str, str | None], address: str = "127.0.0.1", rest_s: float = 0.0) -> Page:
    """Add a URL with these bytes and outcomes to the plan."""

    async def step(exchange: Exchange) -> None:
        await exchange.rest(rest_s)
        await image(body)(exchange)

    origin = scene.plan.origin
    origin.script(f"/{name}", step)
    page = Page(origin.url(f"/{name}", address), f"/{name}", Kind.OK, body, sha256(body).hexdigest(), frozenset(ends))
    scene.plan.pages[page.url] = page
    return page


def decoders_of(pid: int) -> list[int]:
    """Pids of a worker's decoder processes."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in (thread / "children").read_text().split():
                if b"app.images.pool.child" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def high_water_bytes(pid: int) -> int:
    """Peak resident memory of a process (VmHWM)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def said(scene: Scene, *events: str) -> list[dict[str, object]]:
    """Lines of these events in the logs of all processes."""
    lines = []
    for log in scene.fleet.logs:
        for text in log.read_text(errors="replace").splitlines() if log.exists() else []:
            with contextlib.suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict) and line.get("event") in events:
                    lines.append(line)
    return lines


def told(scene: Scene, began: float, **figures: object) -> None:
    """Print a drill's duration and figures."""
    words = " ".join(f"{name}={value}" for name, value in figures.items())
    print(f"drill: {time.monotonic() - began:.1f} s, exits {len(scene.fleet.exits)}, {words}")


class SmallDisk:
    """A tmpfs of a given size, mounted at a folder while the body runs: a disk that a drill may fill.

    Needs root, or sudo without a password. Where it cannot be mounted, the drill is skipped.
    """

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        self._size_bytes = size_bytes

    def __enter__(self) -> "SmallDisk":
        self.folder.mkdir(parents=True)
        try:
            _as_root("mount", "-t", "tmpfs", "-o", f"size={self._size_bytes},mode=0777", "tmpfs", str(self.folder))
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no filesystem can be mounted: {error}")
        return self

    def __exit__(self, *_: object) -> None:
        _as_root("umount", "--lazy", str(self.folder))

    def resize(self, size_bytes: int) -> None:
        """Change its size."""
        self._remount(f"size={size_bytes}")

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """Read-only while the body runs, as after an I/O error."""
        self._refuse_writes()
        try:
            yield
        finally:
            self._remount("rw")

    def _refuse_writes(self) -> None:
        """Remount it read-only, as soon as no file is open for writing."""
        deadline = time.monotonic() + 10
        while True:
            try:
                return self._remount("ro")
            except subprocess.CalledProcessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _remount(self, options: str) -> None:
        _as_root("mount", "-o", f"remount,{options}", str(self.folder))


def _as_root(*command: str) -> None:
    sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    subprocess.run([*sudo, *command], check=True, capture_output=True)
