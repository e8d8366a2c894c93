"""Tests of app.discovery.folders.layout: what folders and names say."""

from pathlib import Path

import pytest

from app.discovery.folders import layout
from tests.discovery.folders.trees import write


@pytest.mark.parametrize(
    ("folders", "has_splits", "found"),
    [
        ("", True, (None, None)),
        ("cat", False, (None, "cat")),
        ("cat/indoor/deep", False, (None, "cat")),
        ("train", False, (None, "train")),
        ("train/cat", True, ("train", "cat")),
        ("Val2017", True, ("val", None)),
        ("images/train/cat", True, ("train", "cat")),
        ("images", False, (None, None)),
        ("train/images/cat", True, ("train", "cat")),
        ("00012", False, (None, None)),
        ("7", False, (None, "7")),
        ("n01440764", False, (None, "n01440764")),
    ],
)
def test_folders_say_split_and_label(folders: str, has_splits: bool, found: tuple[str | None, str | None]) -> None:
    """The class is the first folder below the split; folders of pictures and of shards are none."""
    assert layout.read_folders(folders.split("/") if folders else [], has_splits=has_splits) == found


@pytest.mark.parametrize(
    ("files", "has_splits"),
    [
        (["train/cat/1.jpg", "val/cat/2.jpg"], True),
        (["train/1.tar", "docs/readme.md"], True),
        (["images/train/1.jpg", "images/val/2.jpg", "labels/train/1.txt"], True),
        (["train/1.jpg", "bus/2.jpg"], False),
        (["cat/1.jpg"], False),
        (["1.jpg"], False),
        (["train/readme.md"], False),
        ([".git/train/1.jpg"], False),
    ],
)
def test_folders_are_splits_if_all_with_images_are(tmp_path: Path, files: list[str], has_splits: bool) -> None:
    """A train beside a bus is a class."""
    write(tmp_path, dict.fromkeys(files, b""))
    assert layout.has_split_folders(str(tmp_path)) is has_splits


def test_a_folder_that_is_gone_has_no_splits(tmp_path: Path) -> None:
    """It is reported by what reads it."""
    assert not layout.has_split_folders(str(tmp_path / "gone"))


def test_not_every_file_is_looked_at_for_an_image(tmp_path: Path) -> None:
    """A folder with a million texts costs no more than one with some thousand."""
    write(tmp_path, {f"train/{number}.txt": b"" for number in range(20)} | {"train/z/1.jpg": b""})
    assert not layout.has_split_folders(str(tmp_path), looked_at=20)
    assert layout.has_split_folders(str(tmp_path), looked_at=21)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("1.JPG", "image"),
        ("a.b.webp", "image"),
        ("0.tar", "tar"),
        ("0.TAR.GZ", "tar"),
        ("0.tgz", "tar"),
        ("0.tar.zst", "tar"),
        ("0.parquet", "parquet"),
        ("Metadata.jsonl", "metadata"),
        ("metadata.parquet", "metadata"),
        ("readme.md", "other"),
        ("4f2a", "unnamed"),
        (".jpg", "unnamed"),
    ],
)
def test_files_are_known_by_their_names(name: str, kind: str) -> None:
    """In any case."""
    assert layout.kind_of(name) == kind


@pytest.mark.parametrize(
    ("name", "parts"), [("1.jpg", ("1", "jpg")), ("a.b/1.x.JPG", ("a.b/1", "x.jpg")), ("x", ("x", "")), ("a/1", ("a/1", ""))]
)
def test_a_key_ends_at_the_first_dot(name: str, parts: tuple[str, str]) -> None:
    """As WebDataset reads it."""
    assert layout.stem_and_suffix(name) == parts
