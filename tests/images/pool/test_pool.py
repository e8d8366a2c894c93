"""A decoder that dies costs one image its verdict, and nothing is left behind.

A named pipe stands in for an image that takes forever: the child that opens it has begun, and waits until it is written to.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

import pytest

from app.domain import Reason, Verdict
from app.images.pool.pool import DecoderPool, load_images
from app.images.rendering import compress
from app.images.verdict import validate
from app.rules import CompressionRules, ValidationRules
from app.settings import load_settings
from errors import StorageError, ValidationError
from tests.images import samples

RULES = ValidationRules()
SMALL = CompressionRules("webp", resize="center_crop", size=64)


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    """Two children."""
    async with DecoderPool(2) as opened:
        yield opened


class Endless:
    """A named pipe that a child opens and cannot read to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: BinaryIO | None = None
        os.mkfifo(path)

    async def opened(self) -> None:
        """Return once a child has the file open, and so has begun."""
        self._writer = await asyncio.to_thread(self.path.open, "wb")

    def close(self) -> None:
        """Let whoever still reads it come to the end."""
        if self._writer is not None:
            with contextlib.suppress(BrokenPipeError):
                self._writer.close()


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Endless]:
    """One of them."""
    file = Endless(tmp_path / "endless")
    yield file
    file.close()


def _pids(pool: DecoderPool) -> set[int]:
    return {child.pid for child in pool._processes}


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_processes_that_are_begun_ahead_are_those_that_work(jpeg: bytes) -> None:
    """None is started again for the images; the pool is of use at once, and closes while they still load."""
    async with DecoderPool(2) as pool:
        before = _children()
        await pool.prestart()
        assert len(_children() - before) == 2
        verdicts = await asyncio.gather(*(pool.validate(jpeg, RULES) for _ in range(4)))
        assert verdicts == [validate(jpeg, RULES)] * 4
        assert pool.stats().started == 2
    async with DecoderPool(2) as hasty:
        await hasty.prestart()
    assert hasty.stats().alive == 0


async def test_a_process_that_could_not_begin_ahead_is_tried_again(jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever needs it hears of it, if it fails again."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    async with DecoderPool(1) as pool:
        await pool.prestart()
        with pytest.raises(StorageError):
            await pool.validate(jpeg, RULES)
        monkeypatch.undo()
        assert await pool.validate(jpeg, RULES) == validate(jpeg, RULES)


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split())


async def test_the_pool_says_what_the_functions_say(pool: DecoderPool, jpeg: bytes, tmp_path: Path) -> None:
    """From bytes or from a path, a valid image or not."""
    path = tmp_path / "image"
    path.write_bytes(jpeg)
    assert await pool.validate(jpeg, RULES) == await pool.validate(path, RULES) == validate(jpeg, RULES)
    assert await pool.compress(path, SMALL) == compress(jpeg, SMALL)
    broken = await pool.validate(jpeg[:-100], RULES)
    assert broken == validate(jpeg[:-100], RULES)
    assert broken.reason is Reason.CORRUPT


async def test_many_images_share_few_children(pool: DecoderPool, jpeg: bytes) -> None:
    """More calls than children wait for their turn; children live on."""
    verdicts = await asyncio.gather(*(pool.validate(jpeg, RULES) for _ in range(30)))
    assert {verdict.reason for verdict in verdicts} == {None}
    stats = pool.stats()
    assert (stats.size, stats.alive, stats.busy, stats.started, stats.restarts) == (2, 2, 0, 2, 0)


async def test_compress_raises_what_is_wrong(pool: DecoderPool, tmp_path: Path) -> None:
    """The image's fault is a ValidationError with its reason, an unreadable file is ours."""
    with pytest.raises(ValidationError) as caught:
        await pool.compress(b"<html>", SMALL)
    assert caught.value.slug is Reason.NOT_AN_IMAGE
    for call in (pool.compress(tmp_path / "none", SMALL), pool.validate(tmp_path / "none", RULES)):
        with pytest.raises(StorageError, match="No such file"):
            await call
    assert pool.stats().restarts == 0


async def test_a_killed_child_costs_the_image_it_had_in_hand(pool: DecoderPool, endless: Endless, jpeg: bytes) -> None:
    """Killed in the middle: that image is a decoder crash, all others get their verdicts."""
    victim = asyncio.create_task(pool.validate(endless.path, RULES))
    await endless.opened()
    (pid,) = _pids(pool)
    innocents = [asyncio.create_task(pool.validate(jpeg, RULES)) for _ in range(10)]
    os.kill(pid, signal.SIGKILL)
    verdict = await victim
    assert verdict.reason is Reason.DECODER_CRASH
    assert "SIGKILL" in verdict.detail
    assert {(await innocent).reason for innocent in innocents} == {None}
    assert (pool.stats().crashes, pool.stats().restarts) == (1, 1)


async def test_a_killed_child_fails_its_compression(pool: DecoderPool, endless: Endless) -> None:
    """With the same reason."""
    victim = asyncio.create_task(pool.compress(endless.path, SMALL))
    await endless.opened()
    os.kill(_pids(pool).pop(), signal.SIGSEGV)
    with pytest.raises(ValidationError, match="SIGSEGV") as caught:
        await victim
    assert caught.value.slug is Reason.DECODER_CRASH


async def test_an_idle_child_that_dies_costs_nobody_anything(jpeg: bytes) -> None:
    """Whether its end is noticed before or after the next image is sent."""
    async with DecoderPool(1) as pool:
        for _ in range(3):
            await pool.validate(jpeg, RULES)
            os.kill(_pids(pool).pop(), signal.SIGKILL)
            assert (await pool.validate(jpeg, RULES)).reason is None
            os.kill(_pids(pool).pop(), signal.SIGKILL)
            while next(iter(pool._processes)).is_alive:
                await asyncio.sleep(0)
            assert (await pool.validate(jpeg, RULES)).reason is None
        assert pool.stats().crashes == 0


SLOW_RULES = ValidationRules(level="basic", max_pixels=100_000_000)


@pytest.fixture(scope="module")
def slow() -> bytes:
    """A picture whose verdict takes seconds of CPU."""
    return samples.png_bomb(7000, 7000)


async def test_the_deadline_ends_an_image(slow: bytes, jpeg: bytes) -> None:
    """And only that one; its child is replaced."""
    async with DecoderPool(1, deadline_s=0.2) as pool:
        verdict = await pool.validate(slow, SLOW_RULES)
        assert verdict.reason is Reason.DECODER_CRASH
        assert verdict.detail == "decoding takes more than 0.2 s of CPU"
        assert (await pool.validate(jpeg, RULES)).reason is None
        assert (pool.stats().timeouts, pool.stats().restarts, pool.stats().started) == (1, 1, 2)


async def test_a_memory_bomb_costs_one_image(jpeg: bytes) -> None:
    """256 MB of pixels in an address space of 384: out of memory, and the next image is fine."""
    bomb = samples.png_bomb(8000, 8000)
    async with DecoderPool(1, memory_bytes=384 << 20) as pool:
        verdict = await pool.validate(bomb, ValidationRules(level="basic", max_pixels=100_000_000))
        assert (verdict.reason, verdict.detail) == (Reason.DECODER_CRASH, "out of memory")
        assert (await pool.validate(jpeg, RULES)).reason is None
        assert (pool.stats().crashes, pool.stats().restarts) == (1, 1)


async def test_children_are_recycled(jpeg: bytes) -> None:
    """After as many images as were asked for, by a fresh process."""
    async with DecoderPool(1, recycle_after=2) as pool:
        pids = []
        for _ in range(5):
            await pool.validate(jpeg, RULES)
            pids.append(_pids(pool))
        assert pids[0] != set()
        assert pids[1] == pids[3] == set()
        assert pool.stats().started == 3
        assert pool.stats().restarts == 2


async def test_cancelling_a_call_leaves_the_pool_whole(endless: Endless, jpeg: bytes) -> None:
    """The child at work is killed, so no late answer can be taken for another image's."""
    async with DecoderPool(1) as pool:
        call = asyncio.create_task(pool.validate(endless.path, RULES))
        waiting = asyncio.create_task(pool.validate(jpeg, RULES))
        await endless.opened()
        assert pool.stats().busy == 1
        (pid,) = _pids(pool)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await waiting).reason is None
        assert pid not in _pids(pool)
        assert pool.stats().busy == 0


async def test_cancelling_while_a_child_starts_or_a_slot_is_awaited(jpeg: bytes) -> None:
    """At whatever point the call is: its slot comes back."""
    async with DecoderPool(1) as pool:
        for rounds in range(12):
            call = asyncio.create_task(pool.validate(jpeg, RULES))
            for _ in range(rounds):
                await asyncio.sleep(0)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call
        assert (await pool.validate(jpeg, RULES)).reason is None


async def test_close_leaves_no_child_behind(endless: Endless, jpeg: bytes) -> None:
    """Idle ones, busy ones and those that are starting; whoever waits is told, and so is whoever comes later."""
    pool = DecoderPool(3)
    await asyncio.gather(pool.validate(jpeg, RULES), pool.validate(jpeg, RULES))
    busy = asyncio.create_task(pool.validate(endless.path, RULES))
    await endless.opened()
    pids = _pids(pool)
    more = [asyncio.create_task(pool.validate(jpeg, RULES)) for _ in range(6)]
    await asyncio.sleep(0)
    await pool.close()
    await pool.close()
    told, *others = await asyncio.gather(busy, *more, return_exceptions=True)
    assert isinstance(told, StorageError)
    assert all(isinstance(other, StorageError) or other == validate(jpeg, RULES) for other in others)
    assert not any(_exists(pid) for pid in pids)
    assert pool.stats().alive == 0
    with pytest.raises(StorageError, match="closed"):
        await pool.validate(jpeg, RULES)


async def _all(
    pool: DecoderPool, sources: Sequence[bytes | Path], compression: CompressionRules | None = None, rules: ValidationRules = RULES
) -> list[Verdict]:
    async with aclosing(pool.run_batch(sources, rules, compression)) as groups:
        return [answer.as_verdict() async for group in groups for answer in group]


async def test_a_batch_is_answered_in_order_by_one_child(pool: DecoderPool, jpeg: bytes, png: bytes, tmp_path: Path) -> None:
    """Bytes and paths, good and bad; with rules for compression valid images come with their output."""
    path = tmp_path / "image"
    path.write_bytes(png)
    assert await _all(pool, [jpeg, path, b"<html>"]) == [validate(body, RULES) for body in (jpeg, png, b"<html>")]
    assert await _all(pool, [path, b"<html>"], SMALL) == [validate(body, RULES, SMALL) for body in (png, b"<html>")]
    assert await _all(pool, []) == []
    assert (pool.stats().started, pool.stats().restarts) == (1, 0)


async def test_a_crash_costs_exactly_the_image_that_was_begun(endless: Endless, jpeg: bytes) -> None:
    """What came before keeps its answer, what comes after goes to another child untouched."""
    async with DecoderPool(1) as pool:
        batch = asyncio.create_task(_all(pool, [jpeg, jpeg, endless.path, jpeg, b"<html>"]))
        await endless.opened()
        os.kill(_pids(pool).pop(), signal.SIGKILL)
        verdicts = await batch
        assert [verdict.reason for verdict in verdicts] == [None, None, Reason.DECODER_CRASH, None, Reason.NOT_AN_IMAGE]
        assert "SIGKILL" in verdicts[2].detail
        assert (pool.stats().crashes, pool.stats().started, pool.stats().busy) == (1, 2, 0)


async def test_the_deadline_is_that_of_one_image(slow: bytes, jpeg: bytes) -> None:
    """Two that take too long cost a deadline each; their neighbours are judged, however much CPU all of them take together."""
    async with DecoderPool(1, deadline_s=0.2) as pool:
        verdicts = await _all(pool, [jpeg, slow, *[jpeg] * 200, slow, jpeg], rules=SLOW_RULES)
        assert [verdict.detail for verdict in verdicts if verdict.reason] == ["decoding takes more than 0.2 s of CPU"] * 2
        assert (pool.stats().timeouts, pool.stats().started, pool.stats().restarts) == (2, 3, 2)


async def test_time_without_cpu_gives_no_verdict(endless: Endless, jpeg: bytes) -> None:
    """A child that is stopped, or waits for a disk, does not use up its image's time; a backstop by the clock has it judged again."""
    async with DecoderPool(1, deadline_s=0.2, stall_s=0.5) as pool:
        with pytest.raises(StorageError, match=r"no answer within 0.5 s"):
            await pool.validate(endless.path, RULES)
        assert (await pool.validate(jpeg, RULES)).reason is None
        assert (pool.stats().timeouts, pool.stats().crashes, pool.stats().started) == (0, 0, 2)


async def test_a_memory_bomb_in_a_batch_costs_one_image(jpeg: bytes) -> None:
    """Its process is replaced, and the rest is done by the next one."""
    rules = ValidationRules(level="basic", max_pixels=100_000_000)
    async with (
        DecoderPool(1, memory_bytes=384 << 20) as pool,
        aclosing(pool.run_batch([jpeg, samples.png_bomb(8000, 8000), jpeg], rules)) as groups,
    ):
        details = [answer.as_verdict().detail async for group in groups for answer in group]
        assert details == ["", "out of memory", ""]
        assert (pool.stats().crashes, pool.stats().started) == (1, 2)


async def test_a_bug_in_a_batch_costs_a_process_for_each_image(jpeg: bytes) -> None:
    """A process in which an unexpected exception was raised gets no further image."""
    rules = ValidationRules(level="no such level")  # type: ignore[arg-type]
    async with DecoderPool(1) as pool, aclosing(pool.run_batch([jpeg, jpeg], rules)) as groups:
        reasons = [answer.as_verdict().reason async for group in groups for answer in group]
        assert reasons == [Reason.DECODER_CRASH] * 2
        assert (pool.stats().crashes, pool.stats().started) == (2, 2)


async def test_recycling_counts_images_and_not_batches(jpeg: bytes) -> None:
    """A batch longer than the remaining life of a child is cut."""
    async with DecoderPool(1, recycle_after=2) as pool:
        assert {verdict.reason for verdict in await _all(pool, [jpeg] * 5)} == {None}
        assert (pool.stats().started, pool.stats().restarts, pool.stats().crashes) == (3, 2, 0)


async def test_a_file_that_cannot_be_read_is_our_fault(jpeg: bytes, tmp_path: Path) -> None:
    """The whole batch is left to be tried again, and the pool goes on."""
    async with DecoderPool(1) as pool:
        with pytest.raises(StorageError, match="No such file"):
            await _all(pool, [jpeg, tmp_path / "none", jpeg])
        assert [verdict.reason for verdict in await _all(pool, [jpeg])] == [None]


async def test_cancelling_a_batch_kills_its_child(endless: Endless, jpeg: bytes) -> None:
    """A late answer of its other images cannot be attributed to another batch."""
    async with DecoderPool(1) as pool:
        batch = asyncio.create_task(_all(pool, [jpeg, endless.path, jpeg]))
        await endless.opened()
        (pid,) = _pids(pool)
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch
        assert [verdict.reason for verdict in await _all(pool, [b"<html>"])] == [Reason.NOT_AN_IMAGE]
        assert pid not in _pids(pool)


async def test_a_batch_that_is_left_halfway_kills_its_child(endless: Endless, jpeg: bytes) -> None:
    """A process with unread answers is not reused."""
    async with DecoderPool(1) as pool:
        async with aclosing(pool.run_batch([jpeg, endless.path], RULES)) as groups:
            assert len(await anext(groups)) == 1
            (pid,) = _pids(pool)
        assert pid not in _pids(pool)
        assert (await pool.validate(jpeg, RULES)).reason is None


async def test_a_pool_that_was_never_used_closes() -> None:
    """No child was started."""
    async with DecoderPool() as pool:
        assert pool.stats().size >= 1
        assert pool.stats().started == 0


async def test_children_that_never_come_up_are_our_fault(monkeypatch: pytest.MonkeyPatch, jpeg: bytes) -> None:
    """The image gets no verdict, and the pool recovers."""
    async with DecoderPool(1) as pool:
        with monkeypatch.context() as broken:
            broken.setattr("sys.executable", "/bin/false")
            with pytest.raises(StorageError, match="ended while it started"):
                await pool.validate(jpeg, RULES)
        assert (await pool.validate(jpeg, RULES)).reason is None


async def test_children_that_die_before_they_begin_are_not_tried_forever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After three of them a StorageError is raised."""
    ready_then_gone = tmp_path / "python"
    ready_then_gone.write_text("#!/bin/sh\nprintf R\n")
    ready_then_gone.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(ready_then_gone))
    async with DecoderPool(1) as pool:
        with pytest.raises(StorageError, match="3 decoder processes ended"):
            await pool.validate(b"x", RULES)
        assert pool.stats().crashes == 0


async def test_a_pool_is_built_from_the_settings() -> None:
    """As many processes as are configured; one per core by default."""
    async with DecoderPool.from_settings(load_settings({"validate.children": 3})) as configured:
        assert configured.stats().size == 3
    async with DecoderPool.from_settings(load_settings()) as default:
        assert default.stats().size >= 1


async def test_images_are_loaded_as_loaders_do(pool: DecoderPool, jpeg: bytes, tmp_path: Path) -> None:
    """Many of them, from memory and from files, in their order; one that does not load costs no other."""
    path = tmp_path / "turned"
    path.write_bytes(samples.with_orientation(samples.photo(), 6))
    found = await load_images(pool, [jpeg, path, b"odd"] * 7)
    assert [(verdict.width, verdict.height) for verdict in found] == [(320, 240), (240, 320), (None, None)] * 7
    assert [verdict.reason for verdict in found] == [None, None, Reason.NOT_AN_IMAGE] * 7
    assert await load_images(pool, []) == []
