"""A chunk's verdicts, with what leaves where the job compresses: from one decode, and none of it twice."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app.db import tables
from app.domain import ImageState, Reason
from app.images.rendering import compress
from app.job_states import JobState, UnitKind
from app.rules import CompressionRules
from app.storage import paths
from tests.images.samples import encode, photo
from tests.images.test_metadata import BROKEN
from tests.origin import Origin, image
from tests.workers.bench import Bench, forget_outputs, open_bench

COMPRESSION = {"format": "jpeg", "level": 90, "resize": "keep_ratio", "size": 100}
RULES = CompressionRules("jpeg", 90, "keep_ratio", 100)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A worker's means."""
    async with open_bench(tmp_path) as opened:
        yield opened


async def built(bench: Bench, origin: Origin, bodies: Mapping[str, bytes], **request: Any) -> str:
    """A build of these files, up to the decision on duplicates."""
    for name, body in bodies.items():
        origin.script(f"/{name}", image(body))
    job_id = await bench.submit([origin.url(f"/{name}") for name in bodies], **request)
    await bench.drive(until=UnitKind.DUPLICATES)
    return job_id


async def found(bench: Bench) -> dict[str, Any]:
    """Every image's row by the name of its file."""
    async with bench.db.read() as connection:
        rows = (await connection.execute(select(tables.images).order_by(tables.images.c.id))).all()
    return {row.url.rsplit("/", 1)[1]: row for row in rows}


async def test_what_leaves_is_made_along_with_the_verdict(bench: Bench, origin: Origin, lines: list[Mapping[str, Any]]) -> None:
    """The same bytes as the later stage would make; a rejected image has none; no unit is made for what is done."""
    good, tiny = encode(photo(320, 240)), encode(photo(20, 20))
    job_id = await built(bench, origin, {"good.jpg": good, "tiny.jpg": tiny}, compression=COMPRESSION)
    rows = await found(bench)
    assert (rows["good.jpg"].state, rows["tiny.jpg"].reason) == (ImageState.VALID, Reason.TOO_SMALL)
    assert rows["tiny.jpg"].out_sha256 is None
    out = rows["good.jpg"]
    assert (out.out_media_type, out.out_width, out.out_height) == ("image/jpeg", 133, 100)
    assert await bench.context.store.get(paths.blob(out.out_sha256)) == compress(good, RULES).body
    assert out.out_size_bytes == len(compress(good, RULES).body)
    await bench.drive()
    assert (await bench.job(job_id)).state is JobState.SUCCEEDED
    async with bench.db.read() as connection:
        kinds = {row.kind for row in (await connection.execute(select(tables.units.c.kind))).all()}
    assert UnitKind.COMPRESS not in kinds
    (told,) = [line for line in lines if line["event"] == "chunk.compressed"]
    assert (told["ok"], told["failed"], told["file_count"], told["format"], told["compression_level"]) == (1, 0, 2, "jpeg", 90)
    assert told["saved_bytes"] == len(good) - out.out_size_bytes


async def test_what_is_valid_and_cannot_leave_is_rejected(bench: Bench, origin: Origin, lines: list[Mapping[str, Any]]) -> None:
    """With the reason of compression, and everything that was measured."""
    wide = encode(photo(390, 100))
    rules = {"format": "jpeg", "level": 90, "resize": "keep_ratio", "size": 10_000, "only_if_bigger": False}
    await built(bench, origin, {"wide.jpg": wide}, compression=rules)
    row = (await found(bench))["wide.jpg"]
    assert (row.state, row.reason) == (ImageState.REJECTED, Reason.TOO_MANY_PIXELS)
    assert row.detail.startswith("cannot be compressed: ")
    assert row.phash
    assert row.out_sha256 is None
    assert [line["failed"] for line in lines if line["event"] == "chunk.compressed"] == [1]


async def test_what_is_compressed_already_is_only_judged(bench: Bench, origin: Origin) -> None:
    """Judged anew, an image keeps the output it has."""
    await built(bench, origin, {"a.jpg": encode(photo(seed=1)), "b.jpg": encode(photo(seed=2))}, compression=COMPRESSION)
    before = await found(bench)
    async with bench.db.write() as connection:
        columns = tables.images.c
        await connection.execute(update(tables.images).values(state=ImageState.FETCHED, phash=None))
        await connection.execute(update(tables.images).where(columns.id == before["a.jpg"].id).values(out_sha256=None, out_width=None))
        await connection.execute(update(tables.images).where(columns.id == before["b.jpg"].id).values(out_width=7))
        await connection.execute(update(tables.units).where(tables.units.c.kind == UnitKind.VALIDATE).values(state="pending"))
    assert await bench.run_kind(UnitKind.VALIDATE) == 1
    after = await found(bench)
    assert {row.state for row in after.values()} == {ImageState.VALID}
    assert (after["a.jpg"].out_sha256, after["a.jpg"].out_width) == (before["a.jpg"].out_sha256, 133)
    assert after["b.jpg"].out_width == 7
    assert (int(after["b.jpg"].phash, 16) ^ int(before["b.jpg"].phash, 16)).bit_count() <= 2


async def test_bytes_that_are_gone_or_not_as_promised_are_corrupt(bench: Bench, origin: Origin) -> None:
    """Each says which it is."""
    await built(bench, origin, {"gone.jpg": encode(photo(seed=1)), "other.jpg": encode(photo(seed=2)), "good.jpg": encode(photo(seed=3))})
    rows = await found(bench)
    await bench.context.store.delete([paths.blob(rows["gone.jpg"].sha256)])
    async with bench.db.write() as connection:
        await connection.execute(update(tables.images).values(state=ImageState.FETCHED))
        wanted = update(tables.images).where(tables.images.c.id == rows["other.jpg"].id)
        await connection.execute(wanted.values(expected_sha256="0" * 64))
        await connection.execute(update(tables.units).where(tables.units.c.kind == UnitKind.VALIDATE).values(state="pending"))
    await bench.run_kind(UnitKind.VALIDATE)
    after = await found(bench)
    assert after["gone.jpg"].detail == "its bytes are no longer in the store"
    other = rows["other.jpg"].sha256
    assert after["other.jpg"].detail == f"the origin now serves other bytes: expected sha256 {'0' * 64}, got {other}"
    assert after["good.jpg"].state == ImageState.VALID


async def test_what_an_earlier_run_left_is_compressed_later(bench: Bench, origin: Origin, lines: list[Mapping[str, Any]]) -> None:
    """The stage has only what is not compressed yet; what it cannot open is rejected."""
    bodies = {f"{name}.jpg": encode(photo(seed=seed)) for seed, name in enumerate("abc")}
    job_id = await built(bench, origin, bodies, compression=COMPRESSION)
    rows = await found(bench)
    await forget_outputs(bench.db)
    await bench.drive(until=UnitKind.COMPRESS)
    await bench.context.store.delete([paths.blob(rows["b.jpg"].sha256)])
    await bench.drive()
    after = await found(bench)
    assert {name: row.out_sha256 for name, row in after.items()} == {
        "a.jpg": rows["a.jpg"].out_sha256,
        "b.jpg": None,
        "c.jpg": rows["c.jpg"].out_sha256,
    }
    assert (after["b.jpg"].state, after["b.jpg"].detail) == (
        ImageState.REJECTED,
        "cannot be compressed: its bytes are no longer in the store",
    )
    assert (await bench.job(job_id)).state is JobState.SUCCEEDED
    told = [(line["ok"], line["failed"], line["file_count"]) for line in lines if line["event"] == "chunk.compressed"]
    assert told == [(3, 0, 3), (2, 1, 3)]


async def test_broken_metadata_leave_a_form_without_them(bench: Bench, origin: Origin) -> None:
    """The fetched bytes stay, the output is derived, the row says what was removed; sound files have no output; a check changes nothing."""
    await built(bench, origin, {"broken.jpg": BROKEN["jpeg: rational that cannot be written"][0], "sound.jpg": encode(photo(seed=2))})
    rows = await found(bench)
    broken, sound = rows["broken.jpg"], rows["sound.jpg"]
    assert (broken.state, sound.state) == (ImageState.VALID, ImageState.VALID)
    assert (sound.out_sha256, sound.changes) == (None, None)
    assert broken.changes.startswith("removed the EXIF block: jpeg metadata: ")
    assert (
        (broken.out_media_type, broken.out_width, broken.out_height)
        == ("image/jpeg", broken.width, broken.height)
        == ("image/jpeg", 120, 160)
    )
    fetched, output = [await bench.context.store.get(paths.blob(digest)) for digest in (broken.sha256, broken.out_sha256)]
    assert fetched == BROKEN["jpeg: rational that cannot be written"][0]
    assert len(output) == broken.out_size_bytes
    async with bench.db.write() as connection:
        await connection.execute(update(tables.images).values(state=ImageState.FETCHED, out_size_bytes=7))
        await connection.execute(update(tables.units).where(tables.units.c.kind == UnitKind.VALIDATE).values(state="pending"))
    assert await bench.run_kind(UnitKind.VALIDATE) == 1
    after = (await found(bench))["broken.jpg"]
    assert (after.state, after.out_sha256, after.out_size_bytes) == (ImageState.VALID, broken.out_sha256, 7)
