"""An export holds what its loaders see: other formats are converted from what is stored, and what cannot be converted stops it."""

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.db import tables
from app.domain import UnitKind
from app.storage import paths
from tests.images.samples import encode, opened, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench, open_bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A worker's means."""
    async with open_bench(tmp_path) as opened_bench:
        yield opened_bench


async def built(bench: Bench, origin: Origin, *, until: UnitKind | None = None) -> None:
    """A build of an AVIF and a JPEG."""
    for name, body in (("a.avif", encode(photo(), "AVIF")), ("b.jpg", encode(photo(seed=2)))):
        origin.script(f"/{name}", image(body))
    await bench.submit([origin.url("/a.avif"), origin.url("/b.jpg")], export_format="imagefolder")
    await bench.drive(until=until)


async def test_other_formats_are_converted_from_the_store(bench: Bench, origin: Origin) -> None:
    """The row and the fetched bytes stay as they are; the export has a PNG of the same size; no origin is asked again."""
    await built(bench, origin)
    async with bench.db.read() as connection:
        rows = (await connection.execute(select(tables.images).order_by(tables.images.c.id))).all()
        export = (await connection.execute(select(tables.exports))).one()
    assert [(row.media_type, row.out_sha256, row.changes) for row in rows] == [("image/avif", None, None), ("image/jpeg", None, None)]
    assert (export.state, export.samples, export.problems) == ("ready", 2, [])
    lines = (await bench.context.store.get(f"{export.prefix}/train/metadata.jsonl")).splitlines()
    avif, jpeg = [json.loads(line) for line in lines]
    assert (avif["media_type"], avif["source_sha256"], avif["width"], avif["height"]) == ("image/png", rows[0].sha256, 320, 240)
    assert avif["changes"] == "converted from image/avif to image/png, which the loaders of this format read"
    assert (jpeg["media_type"], jpeg["changes"]) == ("image/jpeg", "")
    png = opened(await bench.context.store.get(f"{export.prefix}/train/{avif['file_name']}"))
    fetched = opened(await bench.context.store.get(paths.blob(rows[0].sha256)))
    assert (png.format, png.convert("RGB").tobytes()) == ("PNG", fetched.convert("RGB").tobytes())
    assert len(origin.hits("/a.avif")) == 1


async def test_an_image_that_cannot_be_converted_is_named(bench: Bench, origin: Origin) -> None:
    """Rather than left out, or exported where no loader sees it: the export fails."""
    await built(bench, origin, until=UnitKind.EXPORT)
    async with bench.db.write() as connection:
        row = (await connection.execute(select(tables.images).order_by(tables.images.c.id))).first()
        digest = hashlib.sha256(b"no picture").hexdigest()
        await bench.context.store.put(paths.blob(digest), b"no picture")
        changed = {"sha256": digest, "size_bytes": 10}
        await connection.execute(update(tables.images).where(tables.images.c.id == row.id).values(changed))
    await bench.drive()
    async with bench.db.read() as connection:
        export = (await connection.execute(select(tables.exports))).one()
    assert export.state == "failed"
    where = f"train/000000_{digest[:12]}.avif"
    assert f"{where}: the loaders of this format do not see files with this suffix" in export.problems
    assert f"{where}: not an image of a known format: no signature" in export.problems
