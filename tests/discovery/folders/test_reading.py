"""Tests of app.discovery.folders.reading: bytes where they lie, an error for each image that has none."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import errors
from app.discovery.folders.place import Place
from app.discovery.folders.reading import LocalBytes, Reading
from app.discovery.folders.unpacked import TarFiles
from tests.discovery.folders.trees import hugging_face_table, img2dataset_shard, jpeg, read_all, tar, write


@pytest.fixture
def files() -> Iterator[TarFiles]:
    """Opens tars."""
    with closing(TarFiles()) as files:
        yield files


def read(root: Path, places: list[Place], files: TarFiles, max_bytes: int = 1_000) -> list[str | bytes]:
    """The bytes of each place, or its error as ``reason: words``."""
    found = dict(Reading(str(root.resolve()), max_bytes, files).read(list(enumerate(places))))
    outcomes = [found[number] for number in range(len(places))]
    return [item.body if isinstance(item, LocalBytes) else f"{item.slug}: {item}" for item in outcomes]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.parquet", "tree"])
def test_every_image_that_is_listed_is_read(tmp_path: Path, files: TarFiles, name: str) -> None:
    """In any order, each with its digest and its type."""
    if name == "tree":
        write(tmp_path, {f"{number}.jpg": jpeg(number) for number in range(5)})
    elif name == "a.parquet":
        hugging_face_table(tmp_path / name, range(5))
    else:
        img2dataset_shard(tmp_path / name, range(5), "w:gz" if name.endswith(".gz") else "w")
    places = [Place.parse(item.url) for item in read_all(tmp_path)[0]]
    assert read(tmp_path, places[::-1], files) == [jpeg(number) for number in reversed(range(5))]
    ((_, found), *_) = Reading(str(tmp_path), 1_000, files).read([(0, places[0])])
    assert isinstance(found, LocalBytes)
    assert (found.sha256, found.media_type) == (hashlib.sha256(jpeg(0)).hexdigest(), "image/jpeg")
    assert (found.file is not None) == (name == "tree")


def test_what_is_wrong_with_a_file_is_its_error(tmp_path: Path, files: TarFiles) -> None:
    """And the others are read."""
    write(
        tmp_path,
        {"empty.jpg": b"", "text.jpg": b"hello", "page.jpg": b"<!doctype html><html>", "big.jpg": jpeg(1) * 100, "ok.jpg": jpeg(1)},
    )
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "folder.jpg").mkdir()
    names = ["empty", "text", "page", "big", "pipe", "loop", "folder", "gone", "ok"]
    assert read(tmp_path, [Place(f"{tmp_path}/{name}.jpg") for name in names], files) == [
        "empty_body: the file is empty",
        "not_an_image: the file begins like no image format",
        "not_an_image: the file is HTML",
        "too_large: 1100 bytes, more than 1000",
        "unreadable: it is no regular file",
        "unreadable: the file cannot be read: Too many levels of symbolic links",
        "unreadable: it is no regular file",
        "unreadable: the file cannot be read: No such file or directory",
        jpeg(1),
    ]


def test_a_link_is_followed_within_the_folder_only(tmp_path: Path, files: TarFiles) -> None:
    """A dataset from elsewhere must not bring in other images of this machine, by a link to a file or through one to a folder."""
    data = write(tmp_path / "data", {"a/1.jpg": jpeg(1)})
    write(tmp_path / "else", {"2.jpg": jpeg(2)})
    (data / "in.jpg").symlink_to("a/1.jpg")
    (data / "out.jpg").symlink_to(tmp_path / "else/2.jpg")
    (data / "up").symlink_to(tmp_path / "else")
    out = "unreadable: a link leads out of the folder"
    assert read(data, [Place(f"{data}/{name}") for name in ("in.jpg", "out.jpg", "up/2.jpg")], files) == [jpeg(1), out, out]


def test_what_was_changed_since_it_was_listed_is_an_error(tmp_path: Path, files: TarFiles) -> None:
    """A shard with other members, a table with fewer rows, one without images, and one that is damaged."""
    shard = img2dataset_shard(tmp_path / "0.tar", range(3))
    table = hugging_face_table(tmp_path / "0.parquet", range(3))
    places = [Place.parse(item.url) for item in read_all(tmp_path)[0]]
    tar(shard, [("x.jpg", jpeg(7))])
    hugging_face_table(table, range(2))
    words = read(tmp_path, places, files)
    assert words[:2] == [jpeg(0), jpeg(1)]
    assert words[2] == "unreadable: the Parquet file has 2 rows, no row 3 any more"
    assert words[3] == "unreadable: another member stands at offset 0 than when the tar was listed"
    assert words[4] == "unreadable: there is no member of a tar at offset 3072 any more"
    write(tmp_path, {"0.parquet": b"PAR1"})
    assert read(tmp_path, places[:1], files) == ["unreadable: the file is no Parquet file, or a damaged one"]
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [1]}), table)
    assert read(tmp_path, places[:1], files) == ["unreadable: the Parquet file holds no images any more"]
    pq.write_table(pa.table({"image": [None, b"", jpeg(1) * 100]}, schema=pa.schema([("image", pa.binary())])), table)
    assert read(tmp_path, [Place(str(table), row=row) for row in range(3)], files) == [
        "unreadable: the row has no bytes of an image",
        "empty_body: its bytes are empty",
        "too_large: 1100 bytes, more than 1000",
    ]


def test_a_folder_that_is_gone_fails_no_image(tmp_path: Path, files: TarFiles) -> None:
    """Its disk may be mounted again: the error is this machine's."""
    place = Place(f"{tmp_path}/gone/1.jpg")
    with pytest.raises(errors.StorageError, match="is its disk mounted"):
        list(Reading(f"{tmp_path}/gone", 1_000, files).read([(0, place)]))


def test_a_machine_without_descriptors_fails_no_image(tmp_path: Path, files: TarFiles) -> None:
    """The next image would meet the same error."""
    import resource

    write(tmp_path, {"1.jpg": jpeg(1)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(errors.StorageError, match="Too many open files"):
            list(Reading(str(tmp_path), 1_000, files).read([(0, Place(f"{tmp_path}/1.jpg"))]))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
