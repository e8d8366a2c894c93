"""Tests of app.exports.verify: an export is believed in nothing that was not read back."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import errors
from app.domain import Reason, Verdict
from app.exports import formats, names, verify
from app.images import loading
from tests.exports.builders import image, problems, read_rows, reseal, sample, samples, tree, write

FORMATS = sorted(formats.EXPORTERS)
WITH_IMAGES = [name for name in FORMATS if formats.EXPORTERS[name].holds_images]


@pytest.mark.parametrize("name", FORMATS)
async def test_every_file_is_read(tmp_path: Path, name: str) -> None:
    """One byte changed in any file is found; so is any file that is gone."""
    report = await write(name, tmp_path, samples(5))
    for path, body in tree(tmp_path).items():
        if path == "manifest.json":
            continue
        (tmp_path / path).write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
        assert any(path in problem for problem in await problems(name, tmp_path, report)), path
        (tmp_path / path).unlink()
        assert f"{path}: missing" in await problems(name, tmp_path, report)
        (tmp_path / path).write_bytes(body)
    assert await problems(name, tmp_path, report) == ()


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"schema_version": 2, "format": "files"}', '{"schema_version": 1, "format": "zip"}']
)
async def test_a_manifest_that_is_not_ours_is_noticed(tmp_path: Path, text: str | None) -> None:
    """Absent, torn, of another version or format."""
    report = await write("files", tmp_path, samples(2))
    if text is None:
        (tmp_path / "manifest.json").unlink()
    else:
        (tmp_path / "manifest.json").write_text(text)
    assert await problems("files", tmp_path, report) == ("manifest.json: missing, or not of version 1 and format files",)


async def test_a_manifest_of_nonsense_is_survived(tmp_path: Path) -> None:
    """Values of every wrong type are problems, not crashes."""
    report = await write("imagefolder", tmp_path, samples(2))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    for nonsense in (7, None, [1], {"a": 1}, {"../../x": {"size_bytes": 1}}, {"a\0b": []}):
        broken = manifest | dict.fromkeys(("files", "splits", "labels", "class_folders", "samples"), nonsense)
        (tmp_path / "manifest.json").write_text(json.dumps(broken))
        assert await problems("imagefolder", tmp_path, report)


@pytest.mark.parametrize("name", FORMATS)
async def test_counts_are_held_against_the_report_and_the_manifest(tmp_path: Path, name: str) -> None:
    """Either of them may be the one that is wrong."""
    report = await write(name, tmp_path, samples(5))
    wrong = replace(report, samples=6, splits={"train": 6}, labels={"cat": 6}, files={})
    for what in ("samples", "splits", "labels", "files"):
        assert any(problem.startswith(f"{what}: found") for problem in await problems(name, tmp_path, wrong))
    reseal(tmp_path, samples=4, image_bytes=1)
    found = await problems(name, tmp_path, report)
    assert [problem.split(":")[0] for problem in found] == ["samples", "image_bytes"]


async def test_an_image_under_another_images_name_is_noticed(tmp_path: Path) -> None:
    """Row and bytes agree, but the name belongs to other bytes, and one index is there twice."""
    report = await write("files", tmp_path, samples(2))
    rows = read_rows(tmp_path / "metadata.jsonl")
    body = (tmp_path / rows[1]["file_name"]).read_bytes()
    (tmp_path / rows[0]["file_name"]).write_bytes(body)
    rows[0] |= {"sha256": rows[1]["sha256"], "size_bytes": len(body)}
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reseal(tmp_path)
    found = await problems("files", tmp_path, report)
    assert f"{rows[0]['file_name']}: the name does not match the bytes" in found
    assert "SHA256SUMS: its images differ from those found" in found


async def test_at_most_a_hundred_problems_are_kept(tmp_path: Path) -> None:
    """A dataset that is wholly wrong does not fill a row of the database."""
    report = await write("files", tmp_path, samples(150))
    for path in (tmp_path / "images").iterdir():
        path.write_bytes(image(999))
    verdict = await formats.get_exporter("files").verify(tmp_path, report)
    assert verdict.samples == 150
    assert len(verdict.problems) == verify.MAX_PROBLEMS
    assert not verdict.is_good


@pytest.mark.parametrize("name", WITH_IMAGES)
async def test_an_image_that_a_loader_does_not_read_is_a_problem(name: str, tmp_path: Path) -> None:
    """Every image is loaded once, from a file or from a shard; an error and a wrong size are reported with the image."""
    items = [sample(0), sample(1), sample(2, width=999), sample(3)]
    report = await write(name, tmp_path, items)
    sources: list[bytes | Path] = []

    async def load(given: Sequence[bytes | Path]) -> list[Verdict]:
        sources.extend(given)
        bodies = [source if isinstance(source, bytes) else source.read_bytes() for source in given]
        broken = Verdict(Reason.CORRUPT, "cannot be loaded as jpeg: odd")
        return [broken if body == image(1) else loading.load(body) for body in bodies]

    found = (await formats.get_exporter(name).verify(tmp_path, report, load)).problems
    assert len(sources) == 4
    assert len(found) == 2
    for item, words in ((items[1], "cannot be loaded as jpeg: odd"), (items[2], "loads as 22x16 pixels, its row says 999x16")):
        assert any(names.stem(item) in problem and problem.endswith(f": {words}") for problem in found), found


@pytest.mark.parametrize(
    ("name", "extension", "is_seen"), [("imagefolder", "gif", False), ("webdataset", "gif", True), ("files", "avif", True)]
)
async def test_an_image_that_loaders_do_not_see_is_a_problem(name: str, extension: str, is_seen: bool, tmp_path: Path) -> None:
    """By its suffix: loaders pass over others without a word."""
    report = await write(name, tmp_path, [sample(0, extension=extension)])
    assert (not await problems(name, tmp_path, report)) is is_seen


async def test_a_folder_that_cannot_be_read_is_a_storage_error(tmp_path: Path) -> None:
    """A disk that refuses says nothing about the export."""
    report = await write("files", tmp_path / "e", samples(1))
    (tmp_path / "e/manifest.json").unlink()
    (tmp_path / "e/manifest.json").mkdir()
    with pytest.raises(errors.StorageError, match="verify files: Is a directory"):
        await problems("files", tmp_path / "e", report)


def test_sums_are_compared_as_sets() -> None:
    """The order makes no difference; an added, missing or different line does."""
    sums = verify.ChecksumSet()
    for line in (("a" * 64, "x"), ("b" * 64, "y")):
        sums.add_image(*line)
    assert sums.matches([("b" * 64, "y"), ("a" * 64, "x")])
    assert not sums.matches([("a" * 64, "x")])
    assert not sums.matches([("a" * 64, "y"), ("b" * 64, "x")])
    assert not sums.matches([("a" * 64, "x"), ("b" * 64, "y"), ("b" * 64, "y")])
