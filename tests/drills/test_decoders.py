"""Decoder processes are killed, and images exhaust memory: only the image in the decoder loses its verdict."""

import asyncio
import contextlib
import os
import signal
import time
import zlib
from pathlib import Path

from PIL import Image

from tests.drills import invariants
from tests.drills.conftest import Broken
from tests.drills.fleet import Process
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import Lab, Scene, until
from tests.drills.matter import LONG_S, add_page, decoders_of, ends_as, high_water_bytes, told
from tests.images.samples import chunk, encode, photo, png_bomb, png_header_bomb

HEAVY = 40
"""Number of images that each take a decoder a tenth of a second."""

CRASHED = ("rejected", "decoder_crash")


async def drill_decoder_killed(lab: Lab, *, mutant: str | None = None, kills: int = 8) -> None:
    """SIGKILL the busy decoders of a worker again and again."""
    began = time.monotonic()
    async with lab.open(20, settings={"validate.children": 2}) as scene:
        heavy = encode(photo(2200, 2200, noise=0), "PNG", compress_level=1)
        for number in range(HEAVY):
            add_page(scene, f"heavy-{number}.png", _numbered(heavy, number))
        [worker] = scene.fleet.start_workers(1, mutants=[mutant] if mutant else [])
        await scene.ready(1)
        job_id = await scene.submit()
        async with scene.fleet.supervised():
            await until(lambda: decoders_of(worker.pid), 60)
            finishing = asyncio.create_task(scene.finished(job_id, LONG_S))
            killed = await _kill_some(scene, worker, kills, finishing)
            await finishing
        invariants.stays_up(scene.fleet.exits)
        crashed = await _spare_the_crashed(scene, job_id)
        if crashed > killed:
            raise InvariantBroken("one_each", f"{crashed} images without a verdict, {killed} decoders killed")
        invariants.no_crash(await scene.check(job_id))
        invariants.asked_as_planned(scene.plan.pages, scene.plan.hits())
        told(scene, began, killed=killed, crashed=crashed)


def _numbered(png: bytes, number: int) -> bytes:
    return png[:-12] + chunk(b"tEXt", b"Comment\0" + str(number).encode()) + png[-12:]


async def _kill_some(scene: Scene, worker: Process, kills: int, finishing: "asyncio.Task[object]") -> int:
    killed = 0
    while killed < kills and not finishing.done():
        victims = [pid for pid in decoders_of(worker.pid) if _has_worked(pid)]
        if victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(scene.dice.choice(victims), signal.SIGKILL)
                killed += 1
        await asyncio.sleep(scene.dice.uniform(0.1, 0.6))
    return killed


def _has_worked(pid: int) -> bool:
    """Whether it has used more CPU time than its start takes."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") > 1.0
    return False


async def _spare_the_crashed(scene: Scene, job_id: str) -> int:
    """Accept ``decoder_crash`` as the outcome of the images that have it; return their number."""
    crashed = [image for image in (await scene.rows()).of(job_id).images if image.reason == "decoder_crash"]
    for image in crashed:
        ends_as(scene, scene.plan.pages[image.url], CRASHED)
    return len(crashed)


async def test_a_killed_decoder_costs_one_verdict(lab: Lab) -> None:
    """It costs at most the image that it decodes, no other image, no unit and no request; the worker stays up."""
    await drill_decoder_killed(lab)


async def test_killed_decoders_are_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """If a decoder's death is an error of the worker, a unit dies."""
    with breaks("finishes", "conservation"):
        await drill_decoder_killed(lab, mutant="decoder_takes_the_unit_along", kills=30)


BOMBED = {"validate.max_pixels": 100_000_000, "validate.child_memory_bytes": 400_000_000, "validate.children": 2}
"""A pixel limit that admits an image for which no decoder has the memory."""

MOST_GROWTH_BYTES = 120_000_000
"""Most memory that a worker may gain in a job of small files, whatever their headers declare."""

MANY = ("rejected", "too_many_pixels")
KEPT = ("kept", None)
"""The bomb is in metadata, which are removed unread; the pixels are good."""


async def drill_bombs(lab: Lab, *, mutant: str | None = None) -> None:
    """Decompression bombs among ordinary images."""
    began = time.monotonic()
    async with lab.open(30, settings=BOMBED) as scene:
        _add_bombs(scene)
        [worker] = scene.fleet.start_workers(1, mutants=[mutant] if mutant else [])
        await scene.ready(1)
        before = high_water_bytes(worker.pid)
        job_id = await scene.submit()
        async with scene.fleet.supervised():
            await scene.finished(job_id, LONG_S)
        invariants.stays_up(scene.fleet.exits)
        grown = high_water_bytes(worker.pid) - before
        if grown > MOST_GROWTH_BYTES:
            raise InvariantBroken("bounded", f"the worker took {grown >> 20} MB more at its peak")
        invariants.no_crash(await scene.check(job_id))
        told(scene, began, grown_mb=grown >> 20, ends=await _ends_of_bombs(scene, job_id))


def _add_bombs(scene: Scene) -> None:
    add_page(scene, "pixels.png", png_bomb(9600, 9600), CRASHED)
    add_page(scene, "too-many.png", png_bomb(11_000, 10_000), MANY)
    add_page(scene, "header.png", png_header_bomb(), MANY)
    add_page(scene, "deep.gif", _deep_gif(), MANY)
    add_page(scene, "profile.png", _with_chunk(b"iCCP", b"p\0\0" + _zeros(500_000_000), seed=7), KEPT)
    add_page(scene, "text.png", _with_chunk(b"zTXt", b"t\0\0" + _zeros(500_000_000), seed=8), KEPT)


def _zeros(count: int) -> bytes:
    packer = zlib.compressobj(9)
    piece = bytes(1_000_000)
    return b"".join(packer.compress(piece) for _ in range(count // len(piece))) + packer.flush()


def _with_chunk(kind: bytes, data: bytes, seed: int) -> bytes:
    png = encode(photo(96, 96, seed=seed), "PNG")
    return png[:33] + chunk(kind, data) + png[33:]


def _deep_gif(frames: int = 3_000) -> bytes:
    """An animation whose frames together exceed any pixel limit."""
    gif = encode(Image.new("P", (200, 200)), "GIF")
    at = gif.index(b"\x2c\0\0\0\0", 13)  # the image descriptor; before it the header and the colours
    return gif[:at] + gif[at:-1] * frames + b";"


async def _ends_of_bombs(scene: Scene, job_id: str) -> dict[str, str | None]:
    images = (await scene.rows()).of(job_id).images
    return {image.url.rpartition("/")[2]: image.reason for image in images if scene.plan.pages[image.url].ends}


async def test_bombs_are_refused_and_the_worker_stays_small(lab: Lab) -> None:
    """Each is rejected with its reason, or loses the bomb; the other images are kept, and the worker's memory does not grow with them."""
    await drill_bombs(lab)


async def test_bombs_are_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """If a decoder out of memory is a MemoryError of the worker, the chunk never gets its verdicts."""
    with breaks("finishes", "conservation"):
        await drill_bombs(lab, mutant="bomb_takes_the_worker_along")
