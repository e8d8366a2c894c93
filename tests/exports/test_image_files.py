"""Tests of app.exports.image_files: rows that name no image, images that no row names."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.exports import image_files
from tests.exports import loaders
from tests.exports.builders import OPTIONS, image, problems, read_rows, reseal, sample, samples, write

FOLDERS = {
    "files": "images",
    "labelstudio": "images",
    "imagefolder": "train/cat",
    "coco": "train",
    "captions": "train",
    "yolo": "train/cat",
}
"""Of each format with image files: where the images of one class and split are."""


def test_an_image_is_never_written_over_a_file(tmp_path: Path) -> None:
    """A generated name that exists is a fault, not something to replace."""
    writer = image_files.ImageWriter(tmp_path, OPTIONS)
    path = writer.write("images", sample(0), image(0), 1)
    assert (tmp_path / path).read_bytes() == image(0)
    with pytest.raises(FileExistsError):
        writer.write("images", sample(0), b"", 1)


@pytest.mark.parametrize(
    ("index", "entries", "files_each", "wanted"),
    [
        (0, 10_000, 1, "images"),
        (9_999, 10_000, 1, "images"),
        (0, 10_001, 1, "images/000"),
        (9_999, 10_001, 1, "images/000"),
        (10_000, 10_001, 1, "images/001"),
        (4_999, 10_002, 2, "images/000"),
        (5_000, 10_002, 2, "images/001"),
        (12_345_678, 20_000_000, 1, "images/1234"),
    ],
)
def test_a_folder_of_too_many_entries_is_divided_by_the_index(
    index: int, entries: int, files_each: int, wanted: str, tmp_path: Path
) -> None:
    """At most 10,000 in each; a smaller one is not divided."""
    path = image_files.ImageWriter(tmp_path, OPTIONS).write("images", sample(index), b"x", entries, files_each)
    assert path.rpartition("/")[0] == wanted
    assert image_files.is_in(path, "images")


@pytest.mark.parametrize(
    "path", ["images2/a.jpg", "images/00/000001_0123456789ab.jpg", "images/000/a.jpg", "images/000/000/000001_0123456789ab.jpg"]
)
def test_other_folders_are_no_part_of_one(path: str) -> None:
    """Nor names that are not generated."""
    assert not image_files.is_in(path, "images")


def entries_of(folder: Path) -> dict[str, int]:
    """How many files and folders each folder has."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    return {path.relative_to(folder).as_posix(): len(list(path.iterdir())) for path in folders}


@pytest.mark.parametrize("name", sorted(FOLDERS))
async def test_no_folder_of_images_has_too_many_entries(tmp_path: Path, name: str) -> None:
    """In each format with image files; verification accepts it, and a dataset that fits looks as ever."""
    items = [sample(number, label="cat", split="train") for number in range(25)]
    report = await write(name, tmp_path / "many", items, replace(OPTIONS, folder_entries=10))
    found = {path: count for path, count in entries_of(tmp_path / "many").items() if path.startswith(FOLDERS[name])}
    assert max(found.values()) <= 10
    assert found[FOLDERS[name]] >= 3
    assert await problems(name, tmp_path / "many", report) == ()
    await write(name, tmp_path / "few", items, replace(OPTIONS, folder_entries=60))
    few = entries_of(tmp_path / "few")
    assert [path for path in few if path.startswith(FOLDERS[name])] == [FOLDERS[name]]


async def test_the_classes_of_torchvision_are_those_of_divided_folders(tmp_path: Path) -> None:
    """It walks them. Images without a label, where they are too many to lie beside the classes, are in a folder of their own."""
    labels = ["cat", "000", None]
    items = [sample(number, label=labels[number % 3], split="train") for number in range(60)]
    report = await write("imagefolder", tmp_path, items, replace(OPTIONS, folder_entries=10))
    found = list(loaders.torchvision_samples(tmp_path / "train"))
    assert {name: sum(other == name for other, _ in found) for name, _ in found} == {"cat": 20, "000": 20, "_unlabelled": 20}
    rows = list(loaders.imagefolder_rows(loaders.splits_by_card(tmp_path)["train"]))
    assert sorted(row["url"] for row, _ in rows) == sorted(item.url for item in items)
    assert max(entries_of(tmp_path).values()) <= 10
    assert "`_unlabelled` in a split holds its images without a label" in (tmp_path / "README.md").read_text()
    assert await problems("imagefolder", tmp_path, report) == ()


async def test_without_labels_the_folder_of_a_split_is_divided(tmp_path: Path) -> None:
    """No folder stands for what no image has."""
    report = await write(
        "imagefolder", tmp_path, [sample(number, label=None, split="train") for number in range(25)], replace(OPTIONS, folder_entries=10)
    )
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == ["000", "001", "002", "metadata.jsonl"]
    assert await problems("imagefolder", tmp_path, report) == ()


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
