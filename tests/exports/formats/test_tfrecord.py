"""Tests of app.exports.formats.tfrecord: records that the ``tfrecord`` package reads, row by row."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tfrecord.reader import tfrecord_loader

from app.domain import Box, Sample
from app.exports import tf_example
from app.exports.exporter import ExportReport
from app.exports.formats import tfrecord
from app.exports.formats.tfrecord import TfRecordExporter
from app.exports.spool import FEATURES
from tests.exports.builders import image, problems, reseal, sample, samples, tree, write

LABELS = ["cat", "Hot Dog", "a/b", "猫", None]
ITEMS = [
    sample(
        at,
        label=LABELS[at % 5],
        split=("train", "val", "test")[at % 3],
        caption=None if at == 4 else f'caption "{at}"\nof two lines',
        extra={"score": at / 4, "n": at, "ok": at % 2 == 0, "who": "é"} if at != 5 else {},
        **({"captions": ("one", "two"), "labels": (LABELS[at], "more")} if at == 1 else {}),
        **({"boxes": (Box("ear", 1, 2, 3.5, 4), Box("Tail", 0, 0, 21, 16))} if at == 6 else {}),
    )
    for at in range(14)
]


def load(folder: Path, split: str) -> list[dict[str, Any]]:
    """The rows of a split as the package gives them."""
    return [row for path in sorted(folder.glob(f"{split}-*.tfrecord")) for row in tfrecord_loader(str(path), None)]


def check(row: dict[str, Any], item: Sample, classes: list[str]) -> None:
    """A record says of its image what the sample does."""
    assert row["image/encoded"] == image(item.index)
    assert Image.open(io.BytesIO(row["image/encoded"])).size == (row["image/width"][0], row["image/height"][0])
    assert row["image/format"] == b"jpeg"
    assert row["image/class/label"].tolist() == [classes.index(item.label) if item.label else -1]
    assert row["image/class/text"].decode() == (item.label or "")
    assert [row[name].decode() for name in ("split", "caption", "url", "who")] == [
        *(item.split, item.caption or "", item.url, item.extra.get("who", ""))
    ]
    assert [row[name].tolist() if name in row else [] for name in ("score", "n", "ok")] == [
        [item.extra[name]] if item.extra else [] for name in ("score", "n", "ok")
    ]


async def test_every_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Bytes, labels, splits, captions and further columns; a missing value is a missing feature."""
    report = await write("tfrecord", tmp_path, ITEMS)
    classes = json.loads((tmp_path / "features.json").read_text())["classes"]
    assert classes == sorted(label for label in LABELS if label)
    for split in ("train", "val", "test"):
        wanted = [item for item in ITEMS if item.split == split]
        rows = load(tmp_path, split)
        assert len(rows) == len(wanted)
        for row, item in zip(rows, wanted, strict=True):
            check(row, item, classes)
    assert await problems("tfrecord", tmp_path, report) == ()


async def test_boxes_are_shares_of_the_sides(tmp_path: Path) -> None:
    """As the Object Detection API takes them; captions and labels are lists where an image has several."""
    await write("tfrecord", tmp_path, ITEMS)
    row = next(row for row in load(tmp_path, "train") if row["url"] == ITEMS[6].url.encode())
    found = [row[f"image/object/bbox/{side}"].tolist() for side in ("xmin", "xmax", "ymin", "ymax")]
    assert found == [pytest.approx(side) for side in ([1 / 21, 0], [4.5 / 21, 1], [2 / 16, 0], [6 / 16, 1])]
    assert row["image/object/class/text"].tolist() == [b"ear", b"Tail"]
    several = next(row for row in load(tmp_path, "val") if row["url"] == ITEMS[1].url.encode())
    assert several["captions"].tolist() == [b"one", b"two"]


async def test_features_json_states_every_feature(tmp_path: Path) -> None:
    """With its type, and whether it may be missing; without labels there are none of classes."""
    await write("tfrecord", tmp_path / "a", ITEMS)
    stated = json.loads((tmp_path / "a/features.json").read_text())["features"]
    present = {name for split in ("train", "val", "test") for row in load(tmp_path / "a", split) for name in row}
    assert present == set(stated)
    assert stated["image/encoded"] == {"dtype": "string", "is_list": False}
    assert {name: stated[name]["dtype"] for name in ("n", "score", "ok", "who")} == {
        "n": "int64",
        "score": "float32",
        "ok": "int64",
        "who": "string",
    }
    assert {name for name in stated if stated[name]["is_list"]} == {
        *("captions", "labels", "n", "score", "ok", *(name for name in FEATURES if "object" in name))
    }
    await write("tfrecord", tmp_path / "b", samples(2, label=None))
    assert not [name for name in json.loads((tmp_path / "b/features.json").read_text())["features"] if "class" in name]


async def test_shards_say_how_many_there_are(tmp_path: Path) -> None:
    """Of each split."""
    await write("tfrecord", tmp_path, samples(11))
    assert sorted(path.name for path in tmp_path.glob("*.tfrecord")) == [
        *("test-00000-of-00001.tfrecord", "train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord")
    ]


async def test_a_column_of_the_list_does_not_take_the_name_of_a_feature(tmp_path: Path) -> None:
    """It gets another, as where it has the name of one of our columns."""
    report = await write("tfrecord", tmp_path, [sample(0, extra={"image/encoded": "text"})])
    (row,) = load(tmp_path, "test")
    assert (row["image/encoded"], row["list_image/encoded"]) == (image(0), b"text")
    assert await problems("tfrecord", tmp_path, report) == ()


def test_images_that_tensorflow_reads_otherwise_are_converted() -> None:
    """GIF has a dimension more, and a palette of BMP is taken for grey; WebP, TIFF and AVIF are not read."""
    assert TfRecordExporter.extensions == {"jpg", "png"}


# --- verification


async def written(tmp_path: Path) -> tuple[ExportReport, Path]:
    """An export of four images in one shard."""
    return await write("tfrecord", tmp_path, samples(4, split="train")), tmp_path / "train-00000-of-00001.tfrecord"


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Write the shard again with a changed first record."""
    with path.open("rb") as file:
        first, *others = tf_example.read_records(file, path.stat().st_size)
    features = tf_example.decode_example(first)
    change(features)
    path.write_bytes(b"".join(map(tf_example.encode_record, [tf_example.encode_example(features), *others])))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda row: row.update({"image/encoded": [image(9)]}), "the bytes differ from those of its row"),
        (lambda row: row.update({"size_bytes": [1]}), "the bytes differ from those of its row"),
        (lambda row: row.update({"split": [b"test"]}), "is in a shard of another split than its row states"),
        (lambda row: row.update({"image/class/label": [0]}), "image/class/label is not the number of image/class/text"),
        (lambda row: row.update({"image/class/text": [b""]}), "image/class/label is not the number of image/class/text"),
        (lambda row: row.update({"image/class/text": [b"owl"]}), "labels: found"),
        (lambda row: row.update({"image/filename": [b"x.jpg"]}), "the name does not match the bytes"),
        (lambda row: row.pop("image/encoded"), "a record without the bytes or the name of its image"),
        (lambda row: row.pop("url"), "url is missing"),
        (lambda row: row.update({"url": [7]}), "url is not of the type that features.json states"),
        (lambda row: row.update({"more": [7]}), "more is not of the type that features.json states"),
    ],
)
async def test_verify_notices_a_record_that_is_wrong(change: Callable[[dict[str, Any]], Any], problem: str, tmp_path: Path) -> None:
    """Though manifest, digests and checksums agree with the file."""
    report, path = await written(tmp_path)
    edit(path, change)
    reseal(tmp_path)
    assert any(problem in found for found in await problems("tfrecord", tmp_path, report))


async def test_verify_notices_damage_of_the_frames(tmp_path: Path) -> None:
    """Cut off, or no example within a sound record."""
    report, path = await written(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    reseal(tmp_path)
    assert any(f"{path.name}: byte " in found and "cut off" in found for found in await problems("tfrecord", tmp_path, report))
    path.write_bytes(whole + tf_example.encode_record(b"\x0a"))
    reseal(tmp_path)
    assert any(f"{path.name}: not a tf.train.Example" in found for found in await problems("tfrecord", tmp_path, report))


@pytest.mark.parametrize("text", ["", "[]", '{"features": 7}', '{"features": {}, "classes": ["cat"]}'])
async def test_verify_notices_features_that_are_not_stated(text: str, tmp_path: Path) -> None:
    """Nonsense is survived."""
    report, _ = await written(tmp_path)
    (tmp_path / tfrecord.FEATURES_FILE).write_text(text)
    reseal(tmp_path)
    assert "features.json: does not state the features and the sorted names of the labels" in await problems("tfrecord", tmp_path, report)


async def test_verify_notices_a_file_that_nothing_lists(tmp_path: Path) -> None:
    """And a shard that is missing from the manifest."""
    report, path = await written(tmp_path)
    path.with_name("train-00001-of-00002.tfrecord").write_bytes(path.read_bytes())
    assert "train-00001-of-00002.tfrecord: not in the manifest" in await problems("tfrecord", tmp_path, report)
    assert set(tree(tmp_path)) > {"features.json"}
