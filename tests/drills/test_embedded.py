"""One process with store, SQLite and log in one folder whose disk is full for a while."""

import asyncio
import json
import time
from pathlib import Path

from tests.drills import faults, invariants
from tests.drills.conftest import Broken
from tests.drills.fleet import Process
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import SHORT_LEASE, Lab, Scene, until
from tests.drills.matter import LONG_S, SmallDisk, told
from tests.drills.plan import Kind

MOST_HITS = 3 + 1

SIZE_BYTES = 24_000_000

FULL_S = 6.0
"""Seconds without free space. A released unit waits two."""


async def drill_full_workspace(lab: Lab, *, mutant: str | None = None, finish_s: float = LONG_S) -> None:
    """``pictrawl build`` in a workspace on a small disk that fills up in the middle."""
    began = time.monotonic()
    with SmallDisk(lab.folder / "small", SIZE_BYTES) as disk:
        async with lab.open(60, latency_s=0.3, settings={"fetch.per_host": 2} | SHORT_LEASE) as scene:
            build = _start(scene, disk.folder, mutant)
            await until(lambda: scene.plan.hits().total() > 8, LONG_S)
            await asyncio.to_thread(faults.fill, disk.folder)
            await asyncio.sleep(FULL_S)
            (disk.folder / faults.BALLAST).unlink()
            await _succeeds(build, finish_s)
            _is_whole(scene, disk.folder / "out")
            invariants.hits(scene.plan.hits(), MOST_HITS)
            told(scene, began, requests=scene.plan.hits().total())


def _start(scene: Scene, folder: Path, mutant: str | None) -> Process:
    environment = scene.fleet.environment
    for name in ("DB__URL", "STORAGE__URL", "QUEUE__URL"):
        del environment[f"PICTRAWL_{name}"]
    environment |= {"PICTRAWL_QUEUE__BACKEND": "embedded", "PICTRAWL_WORKSPACE__PATH": str(folder / "workspace")}
    urls = folder.parent / "urls.txt"
    urls.write_text("\n".join(scene.plan.urls))
    arguments = ["build", "--urls", str(urls), "--level", "basic", "--dedupe", "exact", "-o", str(folder / "out")]
    build = scene.fleet.start("build", "pictrawl", arguments, mutants=[mutant] if mutant else [])
    build.is_kept = False
    return build


async def _succeeds(build: Process, within_s: float) -> None:
    try:
        code = await build.ended(within_s)
    except TimeoutError as error:
        raise InvariantBroken("finishes", f"still running after {within_s:g} s") from error
    if code != 0:
        raise InvariantBroken("finishes", f"exit code {code}")


def _is_whole(scene: Scene, out: Path) -> None:
    """The dataset holds each available image once."""
    lines = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    had = sorted(line["sha256"] for line in lines)
    wanted = sorted({page.sha256 for page in scene.plan.pages.values() if page.kind not in (Kind.MISSING, Kind.BROKEN)})
    if had != wanted:
        raise InvariantBroken("classes", f"{len(had)} images, not {len(wanted)}")


async def test_a_full_workspace_is_waited_for(lab: Lab) -> None:
    """The build continues when there is space again, and its dataset is complete."""
    await drill_full_workspace(lab)


async def test_a_full_workspace_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """A unit whose end could not be written is taken over when its lease has run out; without take-over the build does not end."""
    with breaks("finishes"):
        await drill_full_workspace(lab, mutant="no_takeover", finish_s=20)
