"""Tests of app.discovery.folders.folder: every image of every kind of folder, each once, whatever interrupts the reading."""

import csv
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import errors
from app.discovery.folders.folder import Cursor, FolderReader
from app.discovery.folders.place import Place
from app.discovery.folders.unpacked import TarFiles
from app.domain import FOLDER_SOURCE, Candidate
from tests.discovery.folders.trees import (
    hugging_face_table,
    img2dataset_shard,
    jpeg,
    read_all,
    read_interrupted,
    spec_of,
    tar,
    write,
)

ODD_NAMES = ["a b.jpg", "é.jpg", "50%.jpg", "x#1.jpg", "q?.jpg", "日本.jpg", "\udcff.jpg"]


def shown(candidates: list[Candidate], root: Path) -> list[tuple[str, str | None, str | None]]:
    """Path, split and label of each."""
    return [(Place.parse(item.url).path.removeprefix(f"{root}/"), item.split, item.label) for item in candidates]


def tree(root: Path) -> Path:
    """Class folders in splits, with texts beside images and files that are none."""
    files: dict[str, bytes | str] = {
        f"{split}/{label}/{n}.jpg": jpeg(n) for split in ("train", "val") for label in ("cat", "dog") for n in range(3)
    }
    files |= {
        "train/cat/0.txt": "a cat",
        "train/cat/0.json": '{"license": "CC-BY-4.0", "creator": "Jane"}',
        "train/dog/1.txt": "0 0.5 0.5 1 1\n",
    }
    return write(root, files | {"readme.md": "", ".cache/1.jpg": "", "train/notes.txt": ""})


def own_files(root: Path) -> Path:
    """An export of ours in the format ``files``."""
    rows = [own_row(n) | {"file_name": f"images/{n:06d}.jpg"} for n in range(4)]
    write(root, {f"images/{n:06d}.jpg": jpeg(n) for n in range(4)})
    return write(root, {"metadata.jsonl": "\n".join(map(json.dumps, rows)), "manifest.json": "{}", "README.md": ""})


def own_row(number: int, **more: Any) -> dict[str, Any]:
    """A row of an export of ours."""
    row = {"label": "cat", "split": "train" if number else "test", "width": 9, "height": 9, "size_bytes": 5, "media_type": "image/jpeg"}
    row |= {"sha256": f"{number:064x}", "source_sha256": "f" * 64, "source": "wikimedia", "url": f"https://img.example/{number}.jpg"}
    return row | {"caption": f"picture {number}", "license": "CC-BY-4.0", "creator": "Jane", "group_id": f"g{number}", "phash": "0"} | more


def shards(root: Path) -> Path:
    """What img2dataset leaves: shards, and beside each its table and its figures."""
    for shard in range(2):
        img2dataset_shard(root / f"{shard:05d}.tar", range(3 * shard, 3 * shard + 3))
        write(root, {f"{shard:05d}_stats.json": "{}"})
    return root


def packed(root: Path) -> Path:
    """A packed shard."""
    img2dataset_shard(root / "00000.tar.gz", range(6), "w:gz")
    return root


def tables(root: Path) -> Path:
    """A dataset as ``datasets`` writes it."""
    hugging_face_table(root / "data/train-00000-of-00002.parquet", range(5))
    hugging_face_table(root / "data/train-00001-of-00002.parquet", range(5, 8))
    hugging_face_table(root / "data/test-00000-of-00001.parquet", range(8, 10))
    return root


KINDS: dict[str, tuple[Callable[[Path], Path], int]] = {
    "tree": (tree, 12),
    "own": (own_files, 4),
    "shards": (shards, 6),
    "packed": (packed, 6),
    "tables": (tables, 10),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_reader_that_dies_after_each_page_reads_the_same(tmp_path: Path, kind: str, size: int) -> None:
    """Every image once, with the same rank: from nothing but the cursor, in every kind of folder."""
    make, number = KINDS[kind]
    root = make(tmp_path / "data")
    found, problems, _ = read_all(root)
    assert (len(found), problems) == (number, [])
    assert [item.rank for item in found] == list(range(number))
    assert len({item.url for item in found}) == number
    assert {item.source for item in found} == {FOLDER_SOURCE}
    assert read_interrupted(root, size) == found


def test_class_folders_are_labels_and_folders_of_splits_are_splits(tmp_path: Path) -> None:
    """What lies beside an image describes it; what is no image is counted."""
    found, _, reader = read_all(tree(tmp_path))
    expected = [(f"{split}/{label}/{n}.jpg", split, label) for split in ("train", "val") for label in ("cat", "dog") for n in range(3)]
    assert shown(found, tmp_path) == expected
    assert (found[0].caption, found[0].license, found[0].creator) == ("a cat", "CC-BY-4.0", "Jane")
    assert {item.caption for item in found[1:]} == {None}  # boxes of a detector are no caption
    assert reader.left_out == "left out: 2 .txt, 1 .md, 1 hidden"


def test_almost_boxes_are_a_caption(tmp_path: Path) -> None:
    """Numbers up to the last word, in no time however many they are."""
    words = "0 0.5 0.5 0.1 0.2\n" * 1_000
    write(tmp_path, {"1.jpg": jpeg(1), "1.txt": words, "2.jpg": jpeg(2), "2.txt": words + "and a cat"})
    found, _, _ = read_all(tmp_path)
    assert [item.caption is None for item in found] == [True, False]


def test_a_description_that_is_damaged_is_counted_as_such(tmp_path: Path) -> None:
    """Beside a file and in a tar: the image is taken, and whoever wrote its licence there learns that it was not read."""
    write(tmp_path, {"cat/1.jpg": jpeg(1), "cat/1.json": '{"license": ', "cat/2.jpg": jpeg(2), "cat/2.json": "[]", "cat/x.json": "{"})
    tar(tmp_path / "a.tar", [("3.jpg", jpeg(3)), ("3.json", b"{"), ("4.jpg", jpeg(4)), ("4.json", b"[1]")])
    found, problems, reader = read_all(tmp_path)
    assert (len(found), problems) == (4, [])
    assert reader.left_out == "left out: 1 .json, 1 damaged .json, 1 damaged .json in tars"


def test_a_count_is_the_same_if_reading_was_interrupted(tmp_path: Path) -> None:
    """It stands in the cursor."""
    root = tree(tmp_path)
    cursor, is_last = Cursor(), False
    while not is_last:
        reader = FolderReader(spec_of(root), TarFiles(), Cursor.decode(cursor.encode()))
        _, is_last = reader.read(1)
        cursor = reader.cursor
    assert reader.left_out == read_all(root)[2].left_out


def test_names_may_be_anything(tmp_path: Path) -> None:
    """Spaces, signs of URLs, other scripts, bytes that are no UTF-8; also where reading goes on behind them."""
    write(tmp_path, {f"a class/{name}": jpeg(at) for at, name in enumerate(ODD_NAMES)})
    found, _, _ = read_all(tmp_path)
    assert {Place.parse(item.url).path for item in found} == {f"{tmp_path}/a class/{name}" for name in ODD_NAMES}
    assert all(item.url.isascii() for item in found)
    assert read_interrupted(tmp_path, 1) == found
    assert {item.label for item in found} == {"a class"}


def test_an_image_without_a_suffix_is_known_by_its_bytes(tmp_path: Path) -> None:
    """Other files without one are left out."""
    write(tmp_path, {"4f2a": jpeg(1), "LICENSE": "free"})
    found, _, reader = read_all(tmp_path)
    assert shown(found, tmp_path) == [("4f2a", None, None)]
    assert reader.left_out == "left out: 1 without a suffix"


def test_the_rows_of_a_metadata_file_are_the_images(tmp_path: Path) -> None:
    """As with Hugging Face: each row is one, a missing file included; files that no row names are counted, and so are rows without one."""
    rows = [{"file_name": "a/1.jpg", "text": "one", "label": "owl"}, {"text": "none"}, {"file_name": "gone.jpg"}, {"file_name": "../x.jpg"}]
    write(tmp_path, {"a/1.jpg": jpeg(1), "a/2.jpg": jpeg(2), "metadata.jsonl": "\n".join(map(json.dumps, rows)), "metadata.csv": "x\n1\n"})
    found, problems, reader = read_all(tmp_path)
    assert [(Place.parse(item.url).path, item.caption, item.label, item.line) for item in found] == [
        (f"{tmp_path}/a/1.jpg", "one", "owl", 1),
        (f"{tmp_path}/gone.jpg", None, None, 3),
    ]
    assert [(problem.line, problem.message.split(":")[0]) for problem in problems] == [(2, "metadata.jsonl"), (4, "metadata.jsonl")]
    assert reader.left_out == "left out: 1 metadata.csv, 1 not named in metadata.jsonl"
    assert read_interrupted(tmp_path, 1) == read_interrupted(tmp_path, 3)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_metadata_files_of_every_kind(tmp_path: Path, kind: str) -> None:
    """Each in the folder of its split, whose name is the split of its rows; further columns are kept."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split in ("train", "test"):
        write(tmp_path, {f"{split}/1.jpg": jpeg(1)})
        row = {"file_name": "1.jpg", "label": "owl", "license": "CC0-1.0", "url": "https://img.example/1.jpg", "camera": "Leica"}
        if kind == "parquet":
            pq.write_table(pa.table({name: [value] for name, value in row.items()}), tmp_path / split / "metadata.parquet")
            continue
        text = io.StringIO()
        writer = csv.DictWriter(text, list(row))
        writer.writeheader()
        writer.writerow(row)
        write(tmp_path, {f"{split}/metadata.csv": text.getvalue()})
    found, problems, reader = read_all(tmp_path)
    assert (problems, reader.left_out) == ([], "")
    assert shown(found, tmp_path) == [("test/1.jpg", "test", "owl"), ("train/1.jpg", "train", "owl")]
    first = found[0]
    assert (first.license, first.origin_url) == ("CC0-1.0", "https://img.example/1.jpg")
    assert dict(first.extra) in ({"camera": "Leica"}, {"camera": ["Leica"]})


def test_a_metadata_file_that_names_no_file_is_none(tmp_path: Path) -> None:
    """The images come in as those of any folder."""
    write(tmp_path, {"a/1.jpg": jpeg(1), "metadata.jsonl": '{"name": "x"}', "metadata.csv": "a,b\n1,2\n"})
    found, problems, reader = read_all(tmp_path)
    assert (shown(found, tmp_path), problems) == ([("a/1.jpg", None, "a")], [])
    assert reader.left_out == "left out: 1 metadata.csv, 1 metadata.jsonl"


def test_an_earlier_dataset_of_ours(tmp_path: Path) -> None:
    """Its rows say where each image came from; its digest is the one of the file that lies there."""
    found, _, reader = read_all(own_files(tmp_path))
    first = found[0]
    assert first.origin_url == "https://img.example/0.jpg"
    assert first.origin == "wikimedia"
    assert (first.license, first.creator, first.group_id, first.split) == ("CC-BY-4.0", "Jane", "g0", "test")
    assert first.expected_sha256 == f"{0:064x}"
    assert not first.extra
    assert reader.left_out == "left out: 1 .json, 1 .md"


def test_shards_of_img2dataset(tmp_path: Path) -> None:
    """Every sample with what its json says; the digest there is that of the download, so nothing is compared with it."""
    write(tmp_path, {"00000.parquet": b""})
    found, problems, reader = read_all(shards(tmp_path))
    assert [item.origin_url for item in found] == [f"https://img.example/{n}.jpg" for n in range(6)]
    assert [item.caption for item in found] == [f"picture {n}" for n in range(6)]
    assert {item.expected_sha256 for item in found} == {None}
    assert found[0].extra["original_width"] == 1024
    assert [problem.message for problem in problems] == ["00000.parquet is no Parquet file, or a damaged one"]
    assert reader.left_out == "left out: 2 .json"


def test_shards_of_ours_and_of_others(tmp_path: Path) -> None:
    """Classes by the list beside them, splits by their names, labels by the folders of members; a damaged shard costs its own rest."""
    members = [
        ("000000_a.jpg", jpeg(0)),
        ("000000_a.cls", b"1"),
        ("000000_a.json", json.dumps(own_row(0, label="dog", split="val")).encode()),
    ]
    tar(tmp_path / "val-000000.tar", members)
    tar(tmp_path / "train-000000.tar", [("1.jpg", jpeg(1)), ("1.cls", b"0"), ("1.txt", b"one")])
    tar(tmp_path / "plain.tar", [("./test/owl/1.jpg", jpeg(2)), ("./test/owl/1.npy", b"x")])
    body = tar(tmp_path / "zz.tar", [("1.jpg", jpeg(3)), ("2.jpg", jpeg(4))]).read_bytes()
    write(tmp_path, {"classes.json": '["cat", "dog"]', "zz.tar": body[:1_030]})
    found, problems, reader = read_all(tmp_path)
    assert [(Place.parse(item.url).member, item.split, item.label, item.caption) for item in found] == [
        ("./test/owl/1.jpg", "test", "owl", None),
        ("1.jpg", "train", "cat", "one"),
        ("000000_a.jpg", "val", "dog", "picture 0"),
        ("1.jpg", None, None, None),
    ]
    assert found[2].expected_sha256 == f"{0:064x}"
    assert [problem.message for problem in problems] == ["zz.tar is damaged behind 1.jpg: nothing from there on can be read"]
    assert reader.left_out == "left out: 1 .json, 1 .npy in tars"


def test_tables_of_hugging_face(tmp_path: Path) -> None:
    """Labels by the names in the schema, splits by the names of files, one row for each image."""
    pytest.importorskip("pyarrow")
    found, _, _ = read_all(tables(tmp_path))
    assert [(Place.parse(item.url).row, item.split, item.label, item.caption, item.line) for item in found[:3]] == [
        (0, "test", "dog", "picture 8", 1),
        (1, "test", None, "picture 9", 2),
        (0, "train", None, "picture 0", 1),
    ]


@pytest.mark.parametrize("name", ["0.tar", "train-00000.parquet", "1.jpg"])
def test_one_file_is_read_alone(tmp_path: Path, name: str) -> None:
    """And not what lies beside it; also from its middle on."""
    write(tmp_path, {"other.jpg": jpeg(9)})
    make = {"0.tar": lambda p: img2dataset_shard(p, range(3)), "1.jpg": lambda p: write(p.parent, {p.name: jpeg(1)})}
    make.get(name, lambda p: hugging_face_table(p, range(3)))(tmp_path / name)
    found, _, _ = read_all(tmp_path / name)
    assert {Place.parse(item.url).path for item in found} == {str(tmp_path / name)}
    assert len(found) == (1 if name == "1.jpg" else 3)
    assert read_interrupted(tmp_path / name, 1) == found


def test_shards_that_are_linked_from_elsewhere_are_named(tmp_path: Path) -> None:
    """Their content is not read: a dataset from elsewhere must not bring in other files of this machine."""
    img2dataset_shard(tmp_path / "else/0.tar", range(2))
    hugging_face_table(tmp_path / "else/0.parquet", range(2))
    data = write(tmp_path / "data", {"1.jpg": jpeg(1)})
    for name in ("0.tar", "0.parquet"):
        (data / name).symlink_to(tmp_path / "else" / name)
    found, problems, _ = read_all(data)
    assert len(found) == 1
    assert all("leads out of the folder" in problem.message for problem in problems)
    assert len(problems) == 2


def test_words_that_are_linked_from_elsewhere_are_not_read(tmp_path: Path) -> None:
    """A text beside an image would carry any file of this machine into the dataset; one inside of the folder describes it."""
    write(tmp_path, {"else/secret.txt": "secret", "else/secret.json": '{"caption": "secret"}'})
    write(tmp_path, {"else/metadata.jsonl": '{"file_name": "3.jpg", "caption": "secret"}\n'})
    data = write(tmp_path / "data", {"1.jpg": jpeg(1), "2.jpg": jpeg(2), "b/3.jpg": jpeg(3), "4.jpg": jpeg(4), "words": "own"})
    (data / "1.txt").symlink_to(tmp_path / "else/secret.txt")
    (data / "2.json").symlink_to(tmp_path / "else/secret.json")
    (data / "b/metadata.jsonl").symlink_to(tmp_path / "else/metadata.jsonl")
    (data / "4.txt").symlink_to("words")
    found, problems, _ = read_all(data)
    assert {Path(item.url).name: item.caption for item in found} == {"1.jpg": None, "2.jpg": None, "3.jpg": None, "4.jpg": "own"}
    assert problems == []


def test_what_cannot_be_read_is_a_problem_and_the_rest_is_read(tmp_path: Path) -> None:
    """A shard that vanished between the listing and its reading, a folder as well."""
    write(tmp_path, {"a/1.jpg": jpeg(1), "b/1.jpg": jpeg(2)})
    (tmp_path / "0.tar").symlink_to("nothing.tar")
    reader = FolderReader(spec_of(tmp_path), TarFiles(), Cursor())
    first, _ = reader.read(1)
    assert "0.tar cannot be read: No such file or directory" in first[0].message  # type: ignore[union-attr]
    (tmp_path / "a/1.jpg").unlink()
    (tmp_path / "a").rmdir()
    rest, _ = reader.read(10)
    assert [type(item).__name__ for item in rest] == ["ListProblem", "Candidate"]
    assert rest[0].message == "a cannot be read: No such file or directory"  # type: ignore[union-attr]


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """It is not an empty one."""
    spec = spec_of(tmp_path).model_copy(update={"path": str(tmp_path / "gone")})
    with pytest.raises(errors.StorageError, match="is its disk mounted"):
        FolderReader(spec, TarFiles(), Cursor()).read(1)


@pytest.mark.exhaustive
def test_a_large_folder_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """20,000 files in one directory: what is held does not grow with what was read."""
    for number in range(20_000):
        (tmp_path / f"{number:05d}.jpg").touch()
    reader = FolderReader(spec_of(tmp_path), TarFiles(), Cursor())
    read, is_last, peaks = 0, False, []
    tracemalloc.start()
    try:
        while not is_last:
            found, is_last = reader.read(2_000)
            read += len(found)
            found.clear()
            peaks.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert read == 20_000
    assert max(peaks) < 8_000_000
    assert max(peaks[1:]) - peaks[0] < 200_000
