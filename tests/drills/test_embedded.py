"""One process with store, SQLite and log in one folder: its disk is full for a while, or it is killed again and again."""

import asyncio
import json
import time
from collections.abc import Iterable
from pathlib import Path

from tests.drills import faults, invariants
from tests.drills.conftest import Broken
from tests.drills.fleet import Process
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import SHORT_LEASE, Lab, Scene, until
from tests.drills.matter import LONG_S, SmallDisk, calm_urls, said, told
from tests.drills.plan import Kind, Page

MOST_HITS = 3 + 1

SIZE_BYTES = 24_000_000

FULL_S = 6.0
"""Seconds without free space. A released unit waits two."""


async def drill_full_workspace(lab: Lab, *, mutant: str | None = None, finish_s: float = LONG_S) -> None:
    """``pictrawl build`` in a workspace on a small disk that fills up in the middle."""
    began = time.monotonic()
    with SmallDisk(lab.folder / "small", SIZE_BYTES) as disk:
        async with lab.open(60, latency_s=0.3, settings={"fetch.per_host": 2} | SHORT_LEASE) as scene:
            arguments = _build(scene, disk.folder, scene.plan.urls)
            build = _start(scene, arguments, mutant)
            await until(lambda: scene.plan.hits().total() > 8, LONG_S)
            await asyncio.to_thread(faults.fill, disk.folder)
            await asyncio.sleep(FULL_S)
            (disk.folder / faults.BALLAST).unlink()
            await _succeeds(build, finish_s)
            _is_whole(scene.plan.pages.values(), disk.folder / "out")
            invariants.hits(scene.plan.hits(), MOST_HITS)
            told(scene, began, requests=scene.plan.hits().total())


def _build(scene: Scene, folder: Path, urls: list[str]) -> list[str]:
    """Set the embedded default up in a folder; return the arguments of a build there."""
    environment = scene.fleet.environment
    for name in ("DB__URL", "STORAGE__URL", "QUEUE__URL"):
        del environment[f"PICTRAWL_{name}"]
    environment |= {"PICTRAWL_QUEUE__BACKEND": "embedded", "PICTRAWL_WORKSPACE__PATH": str(folder / "workspace")}
    listed = folder.parent / "urls.txt"
    listed.write_text("\n".join(urls))
    return ["build", "--urls", str(listed), "--level", "basic", "--dedupe", "exact", "-o", str(folder / "out")]


def _start(scene: Scene, arguments: list[str], mutant: str | None) -> Process:
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


def _is_whole(pages: Iterable[Page], out: Path) -> None:
    """The dataset holds each available image once."""
    lines = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    had = sorted(line["sha256"] for line in lines)
    wanted = sorted({page.sha256 for page in pages if page.kind not in (Kind.MISSING, Kind.BROKEN)})
    if had != wanted:
        raise InvariantBroken("classes", f"{len(had)} images, not {len(wanted)}")


async def test_a_full_workspace_is_waited_for(lab: Lab) -> None:
    """The build continues when there is space again, and its dataset is complete."""
    await drill_full_workspace(lab)


async def test_a_full_workspace_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """A unit whose end could not be written is taken over when its lease has run out; without take-over the build does not end."""
    with breaks("finishes"):
        await drill_full_workspace(lab, mutant="no_takeover", finish_s=20)


async def drill_killed_builds(lab: Lab, *, mutant: str | None = None, kills: int = 10) -> None:
    """SIGKILL ``pictrawl build``, and then each ``pictrawl resume``, before it writes its first outcomes."""
    began = time.monotonic()
    async with lab.open(300, latency_s=0.15, settings={"fetch.per_host": 2, "jobs.chunk_size": 100}) as scene:
        folder = lab.folder / "embedded"
        folder.mkdir()
        urls = calm_urls(scene)
        arguments = _build(scene, folder, urls)
        for _ in range(kills):
            await _kill_at_work(scene, _start(scene, arguments, mutant))
            arguments = ["resume"]
        killed_at, requests = time.monotonic(), scene.plan.hits().total()
        await _succeeds(_start(scene, arguments, mutant), LONG_S)
        if alone := said(scene, "quarantine.began", "image.poison"):
            raise InvariantBroken("accuses_nobody", f"{alone[:3]}")
        _is_whole([scene.plan.pages[url] for url in urls], folder / "out")
        invariants.hits(scene.plan.hits(), MOST_HITS)
        rest_s = round(time.monotonic() - killed_at, 1)
        told(scene, began, urls=len(urls), before_the_last_start=requests, in_all=scene.plan.hits().total(), rest_s=rest_s)


async def _kill_at_work(scene: Scene, build: Process) -> None:
    before = scene.plan.hits().total()
    await until(lambda: scene.plan.hits().total() > before, LONG_S)
    await asyncio.sleep(scene.dice.uniform(0.05, 0.4))
    build.kill()
    await build.ended()


async def test_kills_of_the_whole_process_accuse_nobody(lab: Lab) -> None:
    """After ten kills the dataset is complete, no unit ran alone, and no URL was requested more than four times."""
    await drill_killed_builds(lab)


async def test_kills_of_the_whole_process_are_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """If each death counts for each unit that the process held, whole chunks run alone."""
    with breaks("accuses_nobody"):
        await drill_killed_builds(lab, mutant="blames_every_unit", kills=3)
