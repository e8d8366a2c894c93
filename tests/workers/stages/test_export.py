"""An export holds what its loaders see: other formats are converted from what is stored, and what cannot be converted stops it."""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image, ImageChops, ImageOps
from sqlalchemy import select, update

from app.boxes import Box
from app.db import tables
from app.domain import ImageState, Sample, StoredImage
from app.export_spec import ExportRequest
from app.images.rendering import compress
from app.job_states import CheckKind, UnitKind
from app.jobs import submit
from app.rules import CompressionRules, Resize
from app.spec import ListedImage
from app.storage import paths
from tests.db.builders import claimed
from tests.exports.builders import sample
from tests.images.samples import encode, opened, photo
from tests.images.test_metadata import BROKEN
from tests.origin import Origin, image
from tests.workers.bench import Bench, open_bench
from workers.stages.export import boxes_in_export, count_read
from workers.unit import ClaimedUnit


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
    why = f"image {row.id}: 10 bytes without the signature of an image format"
    assert (export.problems, export.prefix) == ([why], None)
    assert export.error == (
        f"1 of 2 images cannot be written in this form; the first is {why}; leave them out with --where, or take another encoding or size"
    )


async def test_a_dataset_of_an_earlier_version_is_mended_by_a_validation(bench: Bench, origin: Origin) -> None:
    """Its kept images were never loaded: an export names those that do not load; after a validation check the next export has them."""
    origin.script("/odd.jpg", image(BROKEN["jpeg: rational that cannot be written"][0]))
    await bench.submit([origin.url("/odd.jpg")], export_format="files")
    await bench.drive(until=UnitKind.EXPORT)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.images).values(out_sha256=None, out_media_type=None, out_size_bytes=None, changes=None))
    await bench.drive()
    dataset = (await exports(bench))[0].dataset_id
    await submit.submit_check(bench.resources, CheckKind.VALIDATION, dataset_id=dataset)
    await bench.drive()
    await submit.submit_export(bench.resources, dataset, ExportRequest(export_format="files"))
    await bench.drive()
    first, second = await exports(bench)
    assert (first.state, second.state) == ("failed", "ready")
    assert ": cannot be loaded as jpeg: " in first.problems[0]  # the rest are the words of this Python


async def test_an_export_says_how_much_of_it_is_written(bench: Bench, origin: Origin) -> None:
    """In its row, once a second; less often where batches are slower. A database that is away costs the figure only."""
    await built(bench, origin, until=UnitKind.EXPORT)
    (delivery,) = await bench.due()
    unit = ClaimedUnit(bench.context, await claimed(bench.db, delivery.unit_id, owner="wrk_test"))
    (export,) = await exports(bench)
    read = count_read(_bytes_of, unit, export.id, clock=iter((0.0, 0.9, 1.0, 1.9, 5.0, 9.0)).__next__)
    written = []
    for _ in range(4):
        assert await read([sample(0), sample(1)]) == [b"x", b"x"]
        written.append((await exports(bench))[0].samples)
    assert written == [None, 4, 4, 8]
    await bench.db.close()
    path = bench.resources.settings.workspace.path / "pictrawl.db"
    path.unlink()
    path.mkdir()  # which no database opens
    assert await read([sample(2)]) == [b"x"]


SIZE = (320, 240)
RED = Box("red", 40.0, 60.0, 80.0, 100.0)
"""Where `framed` is red."""


def stored(**values: Any) -> StoredImage:
    """A kept image."""
    return StoredImage(
        id=1, dataset_id="d", job_id="j", chunk_id=None, url="https://img.example/1.jpg", source="list", state=ImageState.KEPT, **values
    )


def framed() -> Image.Image:
    """A grey picture with a red rectangle."""
    picture = Image.new("RGB", SIZE, "grey")
    picture.paste("red", (40, 60, 120, 160))
    return picture


def red_area(picture: Image.Image) -> tuple[int, int, int, int]:
    """The edges of what is red."""
    red, green, _ = picture.convert("RGB").split()
    found = ImageChops.subtract(red, green).point(lambda value: 255 * (value > 100)).getbbox()
    assert found is not None
    return found


@pytest.mark.parametrize("only_if_bigger", [True, False])
@pytest.mark.parametrize("size", [100, 300, 400])
@pytest.mark.parametrize("resize", get_args(Resize))
def test_a_box_is_where_the_renderer_draws_its_object(resize: Resize, size: int, only_if_bigger: bool) -> None:
    """However an image is resized, cropped or padded, to two pixels."""
    rules = CompressionRules(format="png", resize=resize, size=size, only_if_bigger=only_if_bigger)
    exported = compress(encode(framed(), "PNG"), rules)
    image = stored(width=SIZE[0], height=SIZE[1], out_width=exported.width, out_height=exported.height, boxes=[asdict(RED)])
    (box,) = boxes_in_export(image, rules)
    edges = (box.x, box.y, box.x + box.width, box.y + box.height)
    assert all(abs(edge - other) <= 2 for edge, other in zip(edges, red_area(opened(exported.body)), strict=True)), (edges, rules)


def test_boxes_are_scaled_to_the_exported_size_whatever_rules_made_it() -> None:
    """The shape tells that the picture is whole; of another one nothing is known without the rules: no box rather than a wrong one."""
    image = stored(width=320, height=240, boxes=[asdict(RED)])
    assert boxes_in_export(image, CompressionRules()) == (RED,)
    assert boxes_in_export(replace(image, out_width=160, out_height=120), CompressionRules()) == (Box("red", 20.0, 30.0, 40.0, 50.0),)
    assert boxes_in_export(replace(image, out_width=161, out_height=120), CompressionRules()) != ()
    assert boxes_in_export(replace(image, out_width=120, out_height=120), CompressionRules()) == ()
    assert boxes_in_export(replace(image, boxes=None), CompressionRules()) == ()
    assert boxes_in_export(replace(image, width=None), CompressionRules()) == ()


async def test_boxes_of_a_list_reach_the_export(bench: Bench, origin: Origin) -> None:
    """In pixels of the upright image; what lies outside is cut off, and what is lost is said."""
    turned = Image.Exif()
    turned[0x0112] = 6  # the file is 240 x 320, and is shown as 320 x 240
    origin.script("/a.jpg", image(encode(framed().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=turned.tobytes(), quality=95)))
    origin.script("/b.jpg", image(encode(photo(seed=2))))
    outside = {"label": "far", "x": 500.0, "y": 0.0, "width": 10.0, "height": 10.0}
    edge = {"label": "edge", "x": 300.0, "y": 200.0, "width": 100.0, "height": 100.0}
    listed = [
        ListedImage.model_validate({"url": origin.url("/a.jpg"), "boxes": [asdict(RED), outside, edge]}),
        ListedImage.model_validate({"url": origin.url("/b.jpg")}),
    ]
    await bench.submit(listed, export_format="coco")
    await bench.drive()
    async with bench.db.read() as connection:
        export = (await connection.execute(select(tables.exports))).one()
    assert (export.state, export.problems) == ("ready", [])
    rows = [json.loads(line) for line in (await bench.context.store.get(f"{export.prefix}/train/metadata.jsonl")).splitlines()]
    assert [row["objects"] for row in rows] == [
        {"bbox": [[40.0, 60.0, 80.0, 100.0], [300.0, 200.0, 20.0, 40.0]], "category": ["red", "edge"]},
        {"bbox": [], "category": []},
    ]
    exported = opened(await bench.context.store.get(f"{export.prefix}/train/{rows[0]['file_name']}"))
    area = red_area(ImageOps.exif_transpose(exported))
    assert all(abs(edge - other) <= 2 for edge, other in zip(area, (40, 60, 120, 160), strict=True)), area


async def test_boxes_follow_the_resize_of_their_export(bench: Bench, origin: Origin) -> None:
    """Not that of the build: the export is made of the originals."""
    origin.script("/a.png", image(encode(framed(), "PNG")))
    listed = [ListedImage.model_validate({"url": origin.url("/a.png"), "boxes": [asdict(RED)]})]
    await bench.submit(listed, compression={"format": "png", "resize": "border", "size": 400, "only_if_bigger": False})
    await bench.drive()
    async with bench.db.read() as connection:
        dataset_id = (await connection.execute(select(tables.datasets.c.id))).scalar_one()
    asked = ExportRequest(export_format="files", compression={"format": "png", "resize": "center_crop", "size": 120})
    await submit.submit_export(bench.resources, dataset_id, asked)
    await bench.drive()
    async with bench.db.read() as connection:
        built, exported = (await connection.execute(select(tables.exports).order_by(tables.exports.c.created_at))).all()
    for export, size in ((built, (400, 400)), (exported, (120, 120))):
        (line,) = (await bench.context.store.get(f"{export.prefix}/metadata.jsonl")).splitlines()
        row = json.loads(line)
        picture = opened(await bench.context.store.get(f"{export.prefix}/{row['file_name']}"))
        ((x, y, width, height),) = row["objects"]["bbox"]
        assert picture.size == size
        found = zip((x, y, x + width, y + height), red_area(picture), strict=True)
        assert all(abs(edge - other) <= 2 for edge, other in found), row["objects"]


async def test_a_rule_that_a_format_does_not_allow_fails_the_export(bench: Bench, origin: Origin) -> None:
    """With what is wrong; the job ends, and nothing is tried again."""
    origin.script("/a.jpg", image(encode(photo())))
    await bench.submit([ListedImage.model_validate({"url": origin.url("/a.jpg"), "split": "holdout"})], export_format="yolo")
    await bench.drive()
    async with bench.db.read() as connection:
        export = (await connection.execute(select(tables.exports))).one()
        job = (await connection.execute(select(tables.jobs))).one()
    problem = "the format yolo has the splits train, val and test, not 'holdout'; use these names in --split"
    assert (export.state, export.error, export.problems) == ("failed", problem, [problem])
    assert job.state == "succeeded"  # the images are kept, and other formats hold them


async def _bytes_of(samples: Sequence[Sample]) -> Sequence[bytes]:
    return [b"x" for _ in samples]


async def exports(bench: Bench) -> Sequence[Any]:
    """All rows, oldest first."""
    async with bench.db.read() as connection:
        return (await connection.execute(select(tables.exports).order_by(tables.exports.c.created_at))).all()
