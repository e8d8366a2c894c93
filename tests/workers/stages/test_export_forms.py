"""Exports in other forms than the dataset has: made of the originals, all or none, in several formats at once."""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select, update

import errors
from app.db import datasets, tables
from app.export_spec import ExportRequest
from app.job_states import UnitKind
from app.jobs import submit
from app.jobs.settle import settle_export, settle_spec
from app.spec import Compression, JobRequest
from app.storage import paths
from tests.images.samples import encode, opened, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench, open_bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A worker's means."""
    async with open_bench(tmp_path) as opened_bench:
        yield opened_bench


async def test_an_export_in_another_form_is_made_of_the_originals(bench: Bench, origin: Origin) -> None:
    """Not of what a build made smaller: the export is as sharp as the original, and no origin is asked."""
    body = encode(photo(640, 400), "PNG")
    origin.script("/a.png", image(body))
    small: Any = {"format": "jpeg", "level": 30, "resize": "longest", "size": 64}
    job_id = await bench.submit([origin.url("/a.png")], export_format="files", compression=small)
    await bench.drive()
    requests = len(origin.log)
    dataset_id = (await bench.job(job_id)).dataset_id
    for compression in ({"format": "webp-lossless"}, {"format": "keep"}, {"resize": "longest", "size": 320}, None):
        asked = ExportRequest(export_format="files", compression=None if compression is None else Compression(**compression))
        await submit.submit_export(bench.resources, dataset_id, asked)
        await bench.drive()
    assert len(origin.log) == requests
    _, lossless, original, resized, as_built = await exports(bench)
    assert opened(await only_image(bench, lossless)).convert("RGB").tobytes() == opened(body).convert("RGB").tobytes()
    assert await only_image(bench, original) == body
    assert (opened(await only_image(bench, resized)).size, opened(await only_image(bench, resized)).format) == ((320, 200), "PNG")
    assert opened(await only_image(bench, as_built)).size == (64, 40)
    assert (await row_of(bench, lossless))["source_sha256"] == hashlib.sha256(body).hexdigest()
    assert lossless.options["compression"]["format"] == "webp-lossless"
    manifest = json.loads(await bench.context.store.get(f"{resized.prefix}/manifest.json"))
    assert manifest["options"] == {"compression": {"format": "keep", "level": 95, "resize": "longest", "size": 320, "only_if_bigger": True}}
    assert json.loads(await bench.context.store.get(f"{as_built.prefix}/manifest.json"))["options"] == {}


async def test_all_images_that_cannot_be_written_are_named_at_once(bench: Bench, origin: Origin) -> None:
    """Nothing is left out without a word, and nothing is published; the others are not made again."""
    tall = encode(Image.linear_gradient("L").resize((8, 16_384)), "PNG")
    for name, body in (("a.png", encode(photo(), "PNG")), ("b.png", tall), ("c.png", encode(photo(9000, 2), "PNG"))):
        origin.script(f"/{name}", image(body))
    urls = [origin.url(f"/{name}.png") for name in "abc"]
    await bench.submit(urls, export_format="files", min_width=1, min_height=1, validation_level="basic", dedupe="none")
    await bench.drive()
    dataset_id = (await exports(bench))[0].dataset_id
    await submit.submit_export(bench.resources, dataset_id, ExportRequest(export_format="files", compression=Compression(format="webp")))
    await bench.drive()
    first, second = await exports(bench)
    assert (first.samples, second.state, second.prefix) == (3, "failed", None)
    assert len(second.problems) == 1
    assert ": webp takes at most 16383 pixels a side, not 8x16384; resize" in second.problems[0]
    assert second.error.startswith("1 of 3 images cannot be written in this form; the first is image ")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"export_format": "imagefolder", "compression": {"format": "avif"}}, "the loaders of imagefolder do not read avif, but"),
        ({"export_format": "files", "also": ["webdataset"], "compression": {"format": "avif"}}, "loaders of webdataset do not read avif"),
        ({"export_format": "jsonl", "compression": {"resize": "longest"}}, "jsonl holds no images to encode or resize; take another"),
        ({"export_format": "files", "also": ["csv"], "compression": {}}, "csv holds no images to encode or resize"),
        ({"export_format": "files", "also": ["files"]}, "also files: the dataset is written as files anyway; name each format once"),
        ({"export_format": "files", "also": ["csv", "jsonl", "csv"]}, "also csv: the dataset is written as csv anyway"),
    ],
)
async def test_a_form_that_a_format_cannot_hold_is_refused(bench: Bench, request_: dict[str, Any], words: str) -> None:
    """Before anything is written."""
    with pytest.raises(errors.ValidationError, match=words):
        settle_export(bench.resources.settings, ExportRequest(**request_))


async def test_a_build_refuses_it_too(bench: Bench) -> None:
    """Before anything is fetched."""
    request = JobRequest(urls=["https://example.org/a.jpg"], export_format="webdataset", compression=Compression(format="avif"))
    with pytest.raises(errors.ValidationError, match="the loaders of webdataset do not read avif"):
        settle_spec(bench.resources.settings, request)
    request = JobRequest(urls=["https://example.org/a.jpg"], also=["files"])
    with pytest.raises(errors.ValidationError, match="name each format once"):
        settle_spec(bench.resources.settings, request)


async def test_several_formats_are_exports_of_one_job(bench: Bench, origin: Origin) -> None:
    """The first format first, all of one version; one that fails does not stop the others."""
    origin.script("/a.avif", image(encode(photo(), "AVIF")))
    await bench.submit([origin.url("/a.avif")], export_format="imagefolder", also=["jsonl", "webdataset"])
    await bench.drive(until=UnitKind.EXPORT)
    async with bench.db.write() as connection:
        digest = hashlib.sha256(b"no picture").hexdigest()
        await bench.context.store.put(paths.blob(digest), b"no picture")
        changed = {"sha256": digest, "size_bytes": 10}
        await connection.execute(update(tables.images).values(changed))
    await bench.drive()
    (job_id,) = {row.job_id for row in await exports(bench)}
    made = await datasets.exports_of_job(bench.db, job_id)
    assert [(one.format, one.state) for one in made] == [("imagefolder", "failed"), ("jsonl", "ready"), ("webdataset", "failed")]
    assert {one.version for one in made} == {"1.0.0"}
    await submit.submit_export(bench.resources, made[0].dataset_id, ExportRequest(export_format="csv", also=["jsonl"]))
    await bench.drive()
    again = await datasets.exports_of_job(bench.db, (await exports(bench))[-1].job_id)
    assert [(one.format, one.state) for one in again] == [("csv", "ready"), ("jsonl", "ready")]


async def test_an_export_that_an_earlier_version_began_goes_by_its_job(bench: Bench, origin: Origin) -> None:
    """Its row has no options."""
    origin.script("/a.png", image(encode(photo(96, 64), "PNG")))
    await bench.submit([origin.url("/a.png")], export_format="files", compression={"format": "webp", "level": 80})
    await bench.drive(until=UnitKind.EXPORT)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.exports).values(options=None))
    await bench.drive()
    (export,) = await exports(bench)
    assert (export.state, opened(await only_image(bench, export)).format) == ("ready", "WEBP")


async def only_image(bench: Bench, export: Any) -> bytes:
    return await bench.context.store.get(f"{export.prefix}/{(await row_of(bench, export))['file_name']}")


async def row_of(bench: Bench, export: Any) -> Any:
    """The row of the only image of an export in the format files."""
    return json.loads(await bench.context.store.get(f"{export.prefix}/metadata.jsonl"))


async def exports(bench: Bench) -> Sequence[Any]:
    """All rows, oldest first."""
    async with bench.db.read() as connection:
        return (await connection.execute(select(tables.exports).order_by(tables.exports.c.created_at))).all()
