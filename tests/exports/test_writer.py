"""Tests of app.exports.writer: an export is whole or it is not there."""

import asyncio
import resource
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

import errors
from app.domain import Sample, Verdict
from app.exports import formats
from app.storage import MissingObject
from tests.exports.builders import OPTIONS, Bodies, each, image, sample, samples, tree, write

FORMATS = sorted(formats.EXPORTERS)
WITH_IMAGES = [name for name in FORMATS if formats.EXPORTERS[name].holds_images]
WITHOUT_IMAGES = sorted(set(FORMATS) - set(WITH_IMAGES))


@pytest.mark.parametrize("name", WITH_IMAGES)
@pytest.mark.parametrize("fails_at", [0, 3, 29])
async def test_a_failing_read_leaves_the_folder_empty(tmp_path: Path, name: str, fails_at: int) -> None:
    """What was written before goes away, and the error is the reader's own."""

    async def read(items: Sequence[Sample]) -> list[bytes]:
        for item in items:
            if item.index == fails_at:
                raise MissingObject(f"get {item.sha256}: no such object")
        return [image(item.index) for item in items]

    with pytest.raises(MissingObject):
        await formats.get_exporter(name).write(each(samples(30)), read, tmp_path / "e", OPTIONS)
    assert list((tmp_path / "e").iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
async def test_a_full_disk_is_a_storage_error_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    """The job is released and comes back; no final name exists meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(errors.StorageError, match=f"export {name}: File too large"):
            await write(name, tmp_path / "e", [sample(0, index=number) for number in range(60)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "e").iterdir()) == []


@pytest.mark.parametrize("name", WITH_IMAGES)
async def test_a_cancelled_export_leaves_nothing_and_waits_for_its_reads(tmp_path: Path, name: str) -> None:
    """No task of it runs on afterwards."""
    reached = asyncio.Event()
    running = 0

    async def read(items: Sequence[Sample]) -> list[bytes]:
        nonlocal running
        if items[0].index == 0:
            return [image(item.index) for item in items]
        running += 1
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            running -= 1
        raise AssertionError

    task = asyncio.create_task(formats.get_exporter(name).write(each(samples(80)), read, tmp_path / "e", OPTIONS))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert running == 0
    assert list((tmp_path / "e").iterdir()) == []


@pytest.mark.parametrize("name", WITHOUT_IMAGES)
async def test_images_that_the_export_does_not_hold_are_not_read(tmp_path: Path, name: str) -> None:
    """Neither for writing nor for verification."""
    bodies = Bodies()

    async def load(sources: Sequence[bytes | Path]) -> list[Verdict]:
        raise AssertionError(sources)

    report = await formats.get_exporter(name).write(each(samples(3)), bodies, tmp_path, OPTIONS)
    assert bodies.reads == 0
    assert (await formats.get_exporter(name).verify(tmp_path, report, load)).is_good


@pytest.mark.parametrize("name", WITH_IMAGES)
async def test_bytes_that_are_not_those_of_the_digest_are_refused(tmp_path: Path, name: str) -> None:
    """A damaged blob never enters a dataset."""
    with pytest.raises(errors.ValidationError, match="image 101: the stored bytes do not match the digest"):
        await formats.get_exporter(name).write(each(samples(3)), Bodies([image(0), image(1)[:-1] + b"x", image(2)]), tmp_path, OPTIONS)


async def test_a_size_that_is_not_that_of_the_bytes_is_refused(tmp_path: Path) -> None:
    """The row would promise it."""
    with pytest.raises(errors.ValidationError, match="image 100"):
        await write("files", tmp_path, [sample(0, size_bytes=1)])


async def test_a_folder_that_holds_something_is_refused_and_kept(tmp_path: Path) -> None:
    """Cleaning up after a failure must never take what repeated."""
    (tmp_path / "precious").touch()
    with pytest.raises(errors.ConfigurationError, match="not empty"):
        await write("files", tmp_path, samples())
    assert list(tree(tmp_path)) == ["precious"]


async def test_reading_ahead_is_bounded(tmp_path: Path) -> None:
    """Memory holds a few images, however many there are."""
    in_hand = most = 0

    async def read(items: Sequence[Sample]) -> list[bytes]:
        nonlocal in_hand, most
        in_hand += len(items)
        most = max(most, in_hand)
        await asyncio.sleep(0)
        in_hand -= len(items)
        return [image(item.index) for item in items]

    await formats.get_exporter("files").write(each(samples(160)), read, tmp_path, OPTIONS)
    assert 16 < most <= 64


async def test_large_images_are_read_one_by_one(tmp_path: Path) -> None:
    """Memory is bounded by bytes, not by the number of images."""
    bodies = [image(number) + bytes(3_000_000) for number in range(5)]
    batches: list[int] = []

    async def read(items: Sequence[Sample]) -> list[bytes]:
        batches.append(len(items))
        return [bodies[item.index] for item in items]

    items = [sample(number, body) for number, body in enumerate(bodies)]
    await formats.get_exporter("files").write(each(items), read, tmp_path, OPTIONS)
    assert batches == [2, 2, 1]


async def test_a_source_of_samples_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Before the first image is read."""

    async def broken() -> AsyncIterator[Sample]:
        yield sample(0)
        raise errors.DatabaseConnectionError("gone")

    bodies = Bodies()
    with pytest.raises(errors.DatabaseConnectionError):
        await formats.get_exporter("files").write(broken(), bodies, tmp_path / "e", OPTIONS)
    assert bodies.reads == 0
    assert list((tmp_path / "e").iterdir()) == []
