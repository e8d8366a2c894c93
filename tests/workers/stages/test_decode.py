"""Images reach the decoders in batches, and whatever is said comes back to the right one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import errors
from app.domain import ImageState, Reason, StoredImage, Verdict
from app.images.pool.protocol import Answer
from app.rules import ValidationRules
from app.storage import open_store, paths
from logging_setup.capture import Remark
from logging_setup.config import add_sink, remove_sink
from workers.stages import decode

RULES = ValidationRules()


def _image(number: int, size_bytes: int = 1000) -> StoredImage:
    return StoredImage(number, "d", "j", "c", "http://h/x", "list", ImageState.FETCHED, sha256=f"{number:064x}", size_bytes=size_bytes)


class Decoders:
    """Decoders whose answers name the image, one answer at a time."""

    size = 2

    async def run_batch(self, sources: Sequence[bytes], rules: Any, compression: Any = None) -> AsyncGenerator[list[Answer], None]:
        for source in sources:
            yield [Answer(Verdict(Reason.CORRUPT, source.decode()), (Remark("libx", f"over {source.decode()}"),) if source == b"2" else ())]


class Bench:
    """A context and a unit with the attributes that the module reads."""

    def __init__(self) -> None:
        self.ctx: Any = SimpleNamespace(store=open_store("memory://"), decoders=Decoders())
        self.unit: Any = SimpleNamespace(stop=asyncio.Event(), begin=_begin)

    async def batches(self, images: Sequence[StoredImage], step: Any) -> list[Any]:
        async with aclosing(decode.in_batches(self.ctx, self.unit, images, step)) as results:
            return [result async for result in results]


async def _begin(_batch: Sequence[StoredImage]) -> None:
    pass


async def _ids(batch: Sequence[StoredImage]) -> list[int]:
    return [image.id for image in batch]


async def test_batches_are_short_and_light() -> None:
    """At most eight images, at most 8 MB, but a heavy image goes all the same; every image is in one batch, in order."""
    bench = Bench()
    got = await bench.batches([_image(number) for number in range(19)], _ids)
    assert sorted(got) == [list(range(8)), list(range(8, 16)), [16, 17, 18]]
    heavy = [_image(1), _image(2, 9 << 20), _image(3), _image(4, 8 << 20)]
    assert sorted(await bench.batches(heavy, _ids)) == [[1], [2], [3], [4]]
    assert await bench.batches([], _ids) == []


async def test_one_told_to_stop_begins_no_further_batch() -> None:
    """What is in hand comes to its end."""
    bench = Bench()

    async def stopping(batch: Sequence[StoredImage]) -> int:
        bench.unit.stop.set()
        return batch[0].id

    assert sorted(await bench.batches([_image(number) for number in range(80)], stopping)) == [0, 8, 16]


async def test_an_error_ends_the_others() -> None:
    """And is raised."""
    bench, ended = Bench(), []

    async def step(batch: Sequence[StoredImage]) -> None:
        try:
            if batch[0].id:
                raise OSError("disk")
            await asyncio.Event().wait()
        finally:
            ended.append(batch[0].id)

    with pytest.raises(OSError, match="disk"):
        await bench.batches([_image(number) for number in range(80)], step)
    assert set(ended) == {0, 8, 16}


async def test_answers_find_their_images_and_remarks_their_context() -> None:
    """Also beside an image whose bytes are gone."""
    bench, lines = Bench(), []
    for number in (1, 2, 4):
        await bench.ctx.store.put(paths.blob(f"{number:064x}"), str(number).encode())
    sink = add_sink(lines.append, "DEBUG")
    try:
        found = dict(await decode.decode_batch(bench.ctx, [_image(number) for number in (1, 2, 3, 4)], RULES, validation_level="basic"))
    finally:
        remove_sink(sink)
    details = {number: answer and answer.as_verdict().detail for number, answer in found.items()}
    assert details == {1: "1", 2: "2", 3: None, 4: "4"}
    assert [(line["image_id"], line["validation_level"], line["text"]) for line in lines] == [(2, "basic", "over 2")]


async def test_a_local_store_gives_paths(tmp_path: Path) -> None:
    """A child reads them itself; of what is gone there is none."""
    ctx: Any = SimpleNamespace(store=open_store(str(tmp_path)))
    await ctx.store.put(paths.blob("ab" * 32), b"x")
    path = await decode.image_source(ctx, "ab" * 32)
    assert isinstance(path, Path)
    assert path.read_bytes() == b"x"
    assert await decode.image_source(ctx, "cd" * 32) is None


async def test_all_that_can_be_are_stored_before_an_error_is_raised(tmp_path: Path) -> None:
    """One that is refused takes no other with it, and nothing is still being written."""
    ctx: Any = SimpleNamespace(store=open_store(str(tmp_path)))
    (tmp_path / "in/the/way").mkdir(parents=True)
    with pytest.raises(errors.StorageError, match="put in/the/way: Is a directory"):
        await decode.put_all(ctx, [("a", b"1"), ("in/the/way", b"2"), ("b", b"3")])
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["a", "b"]
