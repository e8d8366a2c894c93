"""The contract of what is loaded: each format, with labels, captions or neither, in one split or three, read back by its real consumer.

Row by row its pixels, label, split and caption are those of the samples, whatever their names.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image
from pycocotools.coco import COCO
from tfrecord.reader import tfrecord_loader

from app.domain import Sample
from app.exports import formats
from tests.exports import loaders
from tests.exports.builders import OPTIONS, image, read_rows, sample, write
from tests.exports.formats.test_captions import trainer_pairs
from tests.exports.formats.test_labelstudio import results_of, served, tasks_of
from tests.exports.formats.test_webdataset import read_with_webdataset
from tests.exports.formats.test_yolo import check_cls_dataset
from tests.exports.test_hugging_face import hf

__all__ = ["hf"]

pytestmark = pytest.mark.exhaustive

ODD = ["猫", "a/b", "..", "con", "ß" * 150, ".hidden", "test tube", "dot.ted", "-dash", "Ünïcode", "aux.txt", "new\nline", "a\\b", "train"]
"""Names that are no folder names somewhere: of letters, dots, slashes, devices, splits, and of 300 bytes."""

CONTENTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "labels": lambda at: {"label": ODD[at % len(ODD)], "caption": None},
    "captions": lambda at: {"label": None, "caption": f"{ODD[at % len(ODD)]} = number {at}"},
    "neither": lambda at: {"label": None, "caption": None},
}
SPLITS = {"one": ("train",), "three": ("train", "val", "test")}

IMAGES = 3 * len(ODD)


class Loaded(NamedTuple):
    """What a consumer gives of one image; None for what its format does not hold."""

    split: str
    label: str | None
    caption: str | None
    picture: Image.Image | None


Found = Iterator[tuple[str, Loaded]]


def of_row(row: dict[str, Any], picture: Image.Image | None) -> tuple[str, Loaded]:
    return row["url"], Loaded(row["split"], row.get("label"), row.get("caption") or None, picture)


def opened(path: Path) -> Image.Image:
    return loaders.pil_loader(path.read_bytes())


def load_files(folder: Path, _: Any) -> Found:
    for row in read_rows(folder / "metadata.jsonl"):
        yield of_row(row, opened(folder / row["file_name"]))


def load_imagefolder(folder: Path, hugging_face: Any) -> Found:
    """Hugging Face, and torchvision for the classes."""
    classes = {name: label for label, name in json.loads((folder / "manifest.json").read_text())["class_folders"].items()}
    for split in loaders.splits_by_card(folder) if classes else ():
        seen = {path: classes[name] for name, path in loaders.torchvision_samples(folder / split)}
        assert seen == {folder / split / row["file_name"]: row["label"] for row in read_rows(folder / split / "metadata.jsonl")}
    yield from load_hugging_face(folder, hugging_face)


def load_hugging_face(folder: Path, hugging_face: Any) -> Found:
    for split, rows in hugging_face.load_dataset(str(folder), cache_dir=str(folder.parent / "cache")).items():
        for row in rows:
            number = row.get("label")
            label = None if number is None else rows.features["label"].int2str(number)
            yield of_row(row | {"split": str(split), "label": label}, row["image"])


def load_webdataset(folder: Path, _: Any) -> Found:
    for split in sorted({shard.name.rpartition("-")[0] for shard in folder.glob("*.tar")}):
        for member in read_with_webdataset(folder, split):
            url, loaded = of_row(member["json"], member["jpg"])
            names = json.loads((folder / "classes.json").read_text()) if "cls" in member else []
            assert loaded.label == (names[member["cls"]] if names else None)
            assert (loaded.caption or "") == member.get("txt", "")
            yield url, loaded._replace(split=split)


def load_tfrecord(folder: Path, _: Any) -> Found:
    for shard in sorted(folder.glob("*.tfrecord")):
        for record in tfrecord_loader(str(shard), None):
            row = {name: record[name].decode() for name in ("url", "split", "caption") if name in record}
            row["label"] = record["image/class/text"].decode() or None if "image/class/text" in record else None
            yield of_row(row, Image.open(io.BytesIO(record["image/encoded"])))


def load_coco(folder: Path, _: Any) -> Found:
    for path in sorted(folder.glob("annotations/instances_*.json")):
        split = path.stem.removeprefix("instances_")
        coco = COCO(str(path))
        labels = text_of(folder / f"annotations/labels_{split}.json", lambda api, note: api.loadCats(note["category_id"])[0]["name"])
        captions = text_of(folder / f"annotations/captions_{split}.json", lambda _, note: note["caption"])
        for entry in coco.loadImgs(coco.getImgIds()):
            name = entry["id"]
            yield entry["coco_url"], Loaded(split, labels.get(name), captions.get(name), opened(folder / split / entry["file_name"]))


def text_of(path: Path, read: Callable[[COCO, dict[str, Any]], str]) -> dict[int, str]:
    if not path.exists():
        return {}
    coco = COCO(str(path))
    return {note["image_id"]: read(coco, note) for note in coco.loadAnns(coco.getAnnIds())}


def load_yolo(folder: Path, _: Any) -> Found:
    """By the rules of Ultralytics; without labels it trains on nothing, and the images lie aside."""
    rows = {row["file_name"]: row for row in read_rows(folder / "metadata.jsonl")}
    classes = {name: label for label, name in json.loads((folder / "manifest.json").read_text())["class_folders"].items()}
    if classes:
        for split, found in check_cls_dataset(folder).items():
            for name, paths in found.items():
                for path in paths:
                    row = rows[path.relative_to(folder).as_posix()]
                    yield row["url"], Loaded(split, classes[name], row.get("caption") or None, opened(path))
        return
    for name, row in rows.items():
        yield of_row(row, opened(folder / name))


def load_captions(folder: Path, _: Any) -> Found:
    """A trainer has one line of text: the caption, else the label."""
    rows = {row["file_name"]: row for row in read_rows(folder / "metadata.jsonl")}
    for split in sorted({row["split"] for row in rows.values()}):
        for path, lines in trainer_pairs(folder / split):
            row = rows[path.relative_to(folder).as_posix()]
            assert lines == [" ".join((row.get("caption") or row.get("label") or "").split())]
            yield row["url"], Loaded(split, row.get("label"), row.get("caption") or None, opened(path))


def load_labelstudio(folder: Path, _: Any) -> Found:
    for task in tasks_of(folder):
        choices = [choice for result in results_of(task, "choices") for choice in result["value"]["choices"]]
        texts = [text for result in results_of(task, "textarea") for text in result["value"]["text"]]
        label, caption = next(iter(choices), None), next(iter(texts), None)
        yield task["data"]["url"], Loaded(task["data"]["split"], label, caption, opened(served(folder, task)))


def load_jsonl(folder: Path, _: Any) -> Found:
    for row in read_rows(folder / "images.jsonl"):
        yield of_row(row, None)


def load_csv(folder: Path, _: Any) -> Found:
    with (folder / "images.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield of_row(row | {"label": row.get("label") or None}, None)


LOADERS: dict[str, Callable[[Path, Any], Found]] = {
    "files": load_files,
    "imagefolder": load_imagefolder,
    "webdataset": load_webdataset,
    "parquet": load_hugging_face,
    "tfrecord": load_tfrecord,
    "coco": load_coco,
    "yolo": load_yolo,
    "captions": load_captions,
    "labelstudio": load_labelstudio,
    "jsonl": load_jsonl,
    "csv": load_csv,
}


def test_every_format_is_loaded() -> None:
    """A new one needs its consumer here."""
    assert LOADERS.keys() == formats.EXPORTERS.keys()


def items_of(contents: str, splits: str) -> list[Sample]:
    """Each odd name is in each split."""
    chosen = SPLITS[splits]
    split = [chosen[at // len(ODD) % len(chosen)] for at in range(IMAGES)]
    return [sample(at, split=split[at], creator=ODD[at % len(ODD)], **CONTENTS[contents](at)) for at in range(IMAGES)]


@pytest.mark.parametrize("splits", SPLITS)
@pytest.mark.parametrize("contents", CONTENTS)
@pytest.mark.parametrize("name", LOADERS)
async def test_a_consumer_gets_what_was_written(hf: Any, tmp_path: Path, name: str, contents: str, splits: str) -> None:
    """Each image once. An attribute of XML, which a choice of Label Studio is, has no line breaks."""
    items = items_of(contents, splits)
    await write(name, tmp_path / "e", items, OPTIONS)
    pairs = list(LOADERS[name](tmp_path / "e", hf))
    found = dict(pairs)
    assert len(pairs) == len(found) == len(items)
    for item in items:
        loaded = found[item.url]
        label = " ".join(item.label.split()) if name == "labelstudio" and item.label else item.label
        assert (loaded.split, loaded.label, loaded.caption) == (item.split, label, item.caption)
        if loaded.picture is not None:
            wanted = Image.open(io.BytesIO(image(item.index))).convert("RGB")
            assert loaded.picture.convert("RGB").tobytes() == wanted.tobytes()
    assert all((loaded.picture is None) == (name in ("jsonl", "csv")) for loaded in found.values())
