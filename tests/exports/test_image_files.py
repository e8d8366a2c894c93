"""Tests of app.exports.image_files: rows that name no image, images that no row names."""

import json
from pathlib import Path

import pytest

from app.exports import image_files
from tests.exports.builders import image, problems, read_rows, reseal, sample, samples, write


def test_write_image_never_writes_over_a_file(tmp_path: Path) -> None:
    """A generated name that exists is a fault, not something to replace."""
    name = image_files.write_image(tmp_path / "images", sample(0), image(0))
    assert (tmp_path / "images" / name).read_bytes() == image(0)
    with pytest.raises(FileExistsError):
        image_files.write_image(tmp_path / "images", sample(0), b"")


@pytest.mark.parametrize("file_name", ["/etc/passwd", "../outside.jpg", "images/../../x", "a\\b", "", "images//x", "a\0b", 7, None])
async def test_a_row_that_points_outside_is_noticed_and_not_followed(tmp_path: Path, file_name: object) -> None:
    """Verification opens nothing outside the folder."""
    report = await write("files", tmp_path, samples(2))
    rows = read_rows(tmp_path / "metadata.jsonl")
    rows[1]["file_name"] = file_name
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reseal(tmp_path)
    assert "metadata.jsonl line 2: no row with a file_name inside this folder" in await problems("files", tmp_path, report)


async def test_a_row_that_is_no_json_is_noticed(tmp_path: Path) -> None:
    """A torn line, and a row that is no object."""
    report = await write("files", tmp_path, samples(2))
    with (tmp_path / "metadata.jsonl").open("a") as file:
        file.write('{"file_name": "im\n[]\n')
    reseal(tmp_path)
    found = await problems("files", tmp_path, report)
    assert [problem.split(":")[0] for problem in found[:2]] == ["metadata.jsonl line 3", "metadata.jsonl line 4"]


async def test_a_row_that_names_a_folder_is_noticed(tmp_path: Path) -> None:
    """A folder is no image."""
    report = await write("files", tmp_path, samples(1))
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "images"}\n')
    reseal(tmp_path)
    assert "images: missing" in await problems("files", tmp_path, report)


async def test_an_image_that_no_row_names_is_noticed(tmp_path: Path) -> None:
    """Loaders that walk folders would take it."""
    report = await write("imagefolder", tmp_path, samples(4))
    (tmp_path / "train/cat/000099_0123456789ab.jpg").write_bytes(image(1))
    assert await problems("imagefolder", tmp_path, report) == ("5 image files, but 4 rows name one",)
