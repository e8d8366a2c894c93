"""Tests of app.exports.formats.captions: image and text side by side, as trainers of image generators read them."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.exports.builders import OPTIONS, SIDECARS, problems, read_rows, reseal, sample, samples, tree, write

SEEN = (".png", ".jpg", ".jpeg", ".webp")
"""Of sd-scripts, ai-toolkit and OneTrainer."""


def trainer_pairs(folder: Path) -> list[tuple[Path, list[str]]]:
    """Each image and the lines of its text. ``read_caption`` of sd-scripts takes the first line, or with wildcards one of them; it stops at
    an empty file. OneTrainer takes one of the lines that are not empty."""
    pairs = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in SEEN):
        lines = path.with_suffix(".txt").read_text(encoding="utf-8").splitlines(keepends=True)
        assert lines, "caption file is empty"
        pairs.append((path, [line.strip() for line in lines]))
    return pairs


async def test_each_image_has_its_text_and_nothing_else_is_in_the_folder(tmp_path: Path) -> None:
    """Rows and papers are one level up."""
    items = samples(6)
    await write("captions", tmp_path, items)
    for split in ("train", "test"):
        pairs = trainer_pairs(tmp_path / split)
        assert {path.name: lines for path, lines in pairs} == {
            f"{item.index:06d}_{item.sha256[:12]}.jpg": [item.caption] for item in items if item.split == split
        }
        assert len([path for path in (tmp_path / split).rglob("*") if path.is_file()]) == 2 * len(pairs)
        for path, _ in pairs:
            with Image.open(path) as image:
                image.load()
    sidecars = SIDECARS | {"metadata.jsonl"}
    assert {path for path in tree(tmp_path) if "/" not in path} == sidecars


async def test_a_single_split_has_a_folder_too(tmp_path: Path) -> None:
    """So that a trainer never finds other files in it."""
    await write("captions", tmp_path, samples(2, split="train"))
    assert len(trainer_pairs(tmp_path / "train")) == 2


@pytest.mark.parametrize(
    ("values", "first", "every"),
    [
        ({"caption": "a"}, "a", "a"),
        ({"caption": "a", "captions": ("a", "b\r\nc")}, "a", "a\nb c"),
        ({"caption": " two\nlines\u2028here ", "label": "cat"}, "two lines here", "two lines here"),
        ({"caption": None, "label": "cat"}, "cat", "cat"),
        ({"caption": None, "label": "cat", "labels": ("cat", "pet")}, "cat", "cat\npet"),
        ({"caption": None, "label": None}, "\n", "\n"),
        ({"caption": "\x1c", "label": None}, "\n", "\n"),
    ],
)
async def test_a_caption_is_one_line(values: dict[str, object], first: str, every: str, tmp_path: Path) -> None:
    """With ``--captions all`` each is; without a caption the label is one, and without either the line is empty."""
    for name, text in (("first", first), ("all", every)):
        items = [sample(0, split="train", **values)]
        report = await write("captions", tmp_path / name, items, replace(OPTIONS, captions=name))
        (path,) = (tmp_path / name / "train").glob("*.txt")
        assert path.read_bytes() == text.encode()
        assert await problems("captions", tmp_path / name, report) == ()


async def test_texts_are_in_the_sums_and_not_in_the_manifest(tmp_path: Path) -> None:
    """There is one for each image: a manifest of ten million files would fit no memory."""
    report = await write("captions", tmp_path, samples(3))
    sums = (tmp_path / "SHA256SUMS").read_text()
    assert sums.count(".txt\n") == 3
    assert not [path for path in report.files if path.endswith(".txt")]
    assert report.size_bytes == sum(map(len, tree(tmp_path).values()))


async def test_verify_notices_a_text_that_is_another_or_missing_or_too_many(tmp_path: Path) -> None:
    """Though the sums agree with what is there."""
    report = await write("captions", tmp_path, samples(3, split="train"))
    changed, missing, _ = sorted((tmp_path / "train").glob("*.txt"))
    changed.write_text("another")
    missing.unlink()
    (tmp_path / "train/more.txt").write_text("more")
    reseal(tmp_path)
    found = await problems("captions", tmp_path, report)
    assert f"train/{changed.name}: differs from the caption of its row" in found
    assert f"train/{missing.name}: missing" in found
    assert "SHA256SUMS: its images differ from those found" in found


async def test_verify_counts_files_that_no_row_names(tmp_path: Path) -> None:
    """Images and texts alike."""
    report = await write("captions", tmp_path, samples(2, split="train"))
    (tmp_path / "train/more.txt").write_text("more")
    assert await problems("captions", tmp_path, report) == ("5 image files and 2 files beside them, but 2 rows name one",)


async def test_verify_notices_rows_that_no_export_has(tmp_path: Path) -> None:
    """A caption that is no text, and an image of another split."""
    report = await write("captions", tmp_path, samples(2, split="train"))
    path = tmp_path / "metadata.jsonl"
    path.write_text(path.read_text().replace('"caption":"=picture 0"', '"caption":7').replace('"split":"train"', '"split":"val"', 1))
    reseal(tmp_path)
    found = await problems("captions", tmp_path, report)
    assert any(text.endswith("its row is not one of an export") for text in found)
    assert any(text.endswith("is not in the folder of its split") for text in found)
    assert len(read_rows(path)) == 2
