"""Tests of app.report.folder: what the folder of a dataset tells without its workspace."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from app.images.pool.pool import DecoderPool
from app.report import make_folder_report
from app.report.folder import read_folder
from tests.exports.builders import sample, write
from tests.report.rows import XSS


@pytest.mark.parametrize("form", ["files", "imagefolder", "webdataset", "coco"])
async def test_a_folder_tells_of_its_images(tmp_path: Path, form: str) -> None:
    """Labels, splits, sizes and licences are in its rows, pictures in its images."""
    await write(form, tmp_path / "out", [sample(number) for number in range(10)])
    async with DecoderPool(1) as decoders:
        report, thumbs = await read_folder(tmp_path / "out", decoders)
    facts = dict(report.facts)
    assert (report.kept, facts["images"], facts["format"]) == (10, "10", form)
    assert sum(sheet.total for sheet in report.sheets) == 10
    assert {row.label for row in report.labels} == {"cat", "Hot Dog"}
    assert len(thumbs) == 10
    assert all(Image.open(io.BytesIO(body or b"")).format == "JPEG" for body in thumbs.values())
    if form != "coco":
        assert {line.licence: line.kept for line in report.licences} == {"CC-BY-4.0": 10}
        assert facts["splits"] == "train 8, test 2"
    assert str(tmp_path) not in repr(report)


async def test_the_place_of_a_folder_changes_nothing(tmp_path: Path) -> None:
    """The same dataset elsewhere has the same report."""
    reports = []
    async with DecoderPool(1) as decoders:
        for place in ("one", "two/deep"):
            await write("files", tmp_path / place, [sample(number) for number in range(6)])
            reports.append(await make_folder_report(tmp_path / place, decoders))
    assert reports[0] == reports[1]


async def test_rows_alone_and_damaged_folders_have_a_report(tmp_path: Path) -> None:
    """Of a format without images, and where an image is gone or broken."""
    await write("jsonl", tmp_path / "rows", [sample(number) for number in range(3)])
    await write("files", tmp_path / "files", [sample(number) for number in range(3)])
    first, second, _ = sorted((tmp_path / "files/images").iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:50])
    async with DecoderPool(1) as decoders:
        rows = (await make_folder_report(tmp_path / "rows", decoders)).decode()
        files = (await make_folder_report(tmp_path / "files", decoders)).decode()
    assert "Cats &amp; dogs" in rows
    assert "2 pictures of this report have no thumbnail" in files


async def test_planted_markup_is_escaped(tmp_path: Path) -> None:
    """A folder may come from anybody; so may its manifest."""
    await write("files", tmp_path / "out", [sample(number, label=text, caption=text, license=text) for number, text in enumerate(XSS)])
    manifest = tmp_path / "out/manifest.json"
    stated = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(stated | {"dataset": {"id": XSS[0], "name": XSS[1], "version": XSS[2]}, "format": XSS[3]}))
    async with DecoderPool(1) as decoders:
        body = (await make_folder_report(tmp_path / "out", decoders)).decode()
    assert body.count("<script") == 1
    assert "<img" not in body
    assert "<svg onload" not in body
