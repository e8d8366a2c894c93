"""Tests of app.exports.formats.yolo: folders that Ultralytics reads, by its own rules, which stand here."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

import errors
from app.boxes import Box
from tests.exports.builders import OPTIONS, boxes, problems, reseal, sample, samples, tree, write

IMG_FORMATS = {"avif", "bmp", "dng", "heic", "heif", "jp2", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp"}
"""``ultralytics.data.utils``, 8.4."""


def torchvision_classes(split: Path) -> dict[str, list[Path]]:
    """``find_classes`` and ``make_dataset`` of torchvision, which Ultralytics' ClassificationDataset is built on: sorted folders."""
    names = sorted(entry.name for entry in split.iterdir() if entry.is_dir())
    found = {name: sorted(path for path in (split / name).rglob("*") if path.suffix[1:].lower() in IMG_FORMATS) for name in names}
    assert names
    assert all(found.values())
    return found


def check_cls_dataset(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """``check_cls_dataset``: train is a folder of classes; val and test, where they are, have images of its classes only."""
    splits = {split: torchvision_classes(folder / split) for split in ("train", "val", "test") if (folder / split).exists()}
    assert "train" in splits
    for split in splits:
        holders = {path.parent for path in (folder / split).rglob("*.*") if path.suffix[1:].lower() in IMG_FORMATS}
        assert {path.name for path in holders} <= set(splits["train"])
    return splits


def check_det_dataset(folder: Path) -> dict[str, list[tuple[Path, list[tuple[float, ...]]]]]:
    """``check_det_dataset``, ``img2label_paths`` and ``verify_image_label``: the images of each split with the rows of their labels."""
    data = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert {"train", "val", "names"} <= set(data)
    assert sorted(data["names"]) == list(range(len(data["names"])))
    found = {}
    for split in ("train", "val", "test"):
        if split in data:
            assert (folder / data[split]).is_dir()
            images = sorted(path for path in (folder / data[split]).rglob("*.*") if path.suffix[1:].lower() in IMG_FORMATS)
            assert images
            found[split] = [(path, verify_image_label(path, len(data["names"]))) for path in images]
    return found


def verify_image_label(path: Path, classes: int) -> list[tuple[float, ...]]:
    """The rows of one image: five numbers, a class that is named, coordinates from 0 to 1; the path has its last ``images`` exchanged."""
    with Image.open(path) as image:
        image.verify()
        assert (image.format or "").lower() in IMG_FORMATS
    before, _, after = str(path).rpartition("/images/")
    rows = [line.split() for line in Path(f"{before}/labels/{after}").with_suffix(".txt").read_text().strip().splitlines()]
    assert all(len(row) == 5 for row in rows)
    assert all(0 <= float(number) <= 1 for row in rows for number in row[1:])
    assert all(0 <= int(row[0]) < classes for row in rows)
    return [(int(row[0]), *map(float, row[1:])) for row in rows]


def convert_ndjson(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """``convert_ndjson_to_yolo``: the dataset, then images with a split, a name, a URL, and numbers of classes that are integers."""
    dataset, *images = [json.loads(line) for line in (folder / "dataset.ndjson").read_text(encoding="utf-8").splitlines()]
    assert dataset["type"] == "dataset"
    names = {int(number): name for number, name in dataset["class_names"].items()}
    for image in images:
        assert image["split"] in {"train", "val", "test"}
        assert image["file"].rpartition(".")[2] in IMG_FORMATS
        assert image["url"].startswith(("http://", "https://"))
        (kind, found), *more = image["annotations"].items()
        assert not more
        numbers = found if kind == "classification" else [row[0] for row in found]
        assert all(isinstance(number, int) and number in names for number in numbers)
        assert kind == {"classify": "classification", "detect": "boxes"}[dataset["task"]]
    return dataset, images


async def test_classification_is_a_folder_for_each_class(tmp_path: Path) -> None:
    """In splits with the names of Ultralytics; what is no class is out of its sight."""
    items = [
        sample(number, split=("train", "validation")[number % 4 == 3], label=("cat", "Hot Dog", "cat", "cat")[number % 4])
        for number in range(8)
    ]
    items += [sample(8, split="validation", label="Hot Dog"), sample(9, split="train", label=None)]
    report = await write("yolo", tmp_path, items)
    splits = check_cls_dataset(tmp_path)
    assert {split: {name: len(paths) for name, paths in found.items()} for split, found in splits.items()} == {
        "train": {"cat": 4, "hot-dog": 2},
        "val": {"cat": 2, "hot-dog": 1},
    }
    assert [path for path in tree(tmp_path) if path.startswith("unlabelled/")] == [f"unlabelled/train/000009_{items[9].sha256[:12]}.jpg"]
    assert report.splits == {"train": 7, "validation": 3}
    assert await problems("yolo", tmp_path, report) == ()


async def test_classes_of_the_list_have_the_numbers_of_their_folders(tmp_path: Path) -> None:
    """And their true names; an image without a label would be taken for the first class, so it is not in it."""
    items = [sample(0, label="B b"), sample(1, label="a"), sample(2, label=None, split="train"), sample(3, label="B b")]
    await write("yolo", tmp_path, items)
    dataset, images = convert_ndjson(tmp_path)
    folders = list(torchvision_classes(tmp_path / "train"))
    assert (dataset["task"], dataset["class_names"], folders) == ("classify", {"0": "a", "1": "B b"}, ["a", "b-b"])
    assert [(image["url"], image["split"], image["annotations"]) for image in images] == [
        (items[0].url, "test", {"classification": [1]}),
        (items[1].url, "train", {"classification": [0]}),
        (items[3].url, "train", {"classification": [1]}),
    ]


async def test_the_list_has_only_what_its_urls_give(tmp_path: Path) -> None:
    """An image that was resized or converted is another picture at its URL, and a file has none."""
    items = [sample(0, split="train", source_sha256="0" * 64), sample(1, split="train", url="photos/a.jpg"), sample(2, split="train")]
    report = await write("yolo", tmp_path, items)
    assert [image["url"] for image in convert_ndjson(tmp_path)[1]] == [items[2].url]
    assert await problems("yolo", tmp_path, report) == ()


async def test_boxes_make_a_dataset_for_detection(tmp_path: Path) -> None:
    """Classes are those of the boxes; an image without a box has an empty file, as background has."""
    items = [sample(number, boxes=boxes(number), label="photo" if number % 2 else None) for number in range(6)]
    report = await write("yolo", tmp_path, items)
    found = check_det_dataset(tmp_path)
    assert yaml.safe_load((tmp_path / "data.yaml").read_text())["names"] == {0: "nose", 1: "tail"}
    rows = {path.name: rows for split in ("train", "test") for path, rows in found[split]}
    for item in items:
        seen = [
            Box(
                ("nose", "tail")[int(number)],
                *(round(value, 3) for value in ((x - w / 2) * item.width, (y - h / 2) * item.height, w * item.width, h * item.height)),
            )
            for number, x, y, w, h in rows[f"{item.index:06d}_{item.sha256[:12]}.jpg"]
        ]
        assert seen == list(item.boxes)
    dataset, images = convert_ndjson(tmp_path)
    assert dataset["task"] == "detect"
    assert [len(image["annotations"]["boxes"]) for image in images] == [len(item.boxes) for item in items]
    assert await problems("yolo", tmp_path, report) == ()
    assert report.size_bytes == sum(map(len, tree(tmp_path).values()))


async def test_labels_are_found_where_images_are_divided_among_folders(tmp_path: Path) -> None:
    """The rule that exchanges `images` for `labels` keeps what is below."""
    items = [sample(number, split="train", boxes=boxes(number)) for number in range(9)]
    report = await write("yolo", tmp_path, items, replace(OPTIONS, folder_entries=4))
    (images, *_) = check_det_dataset(tmp_path).values()
    assert [len(rows) for _, rows in images] == [number % 3 for number in range(9)]
    assert len({path.parent for path, _ in images}) == 3
    assert await problems("yolo", tmp_path, report) == ()


async def test_only_the_folder_of_a_large_class_is_divided(tmp_path: Path) -> None:
    """A small one stays as it is."""
    items = [sample(number, split="train", label="few" if number == 3 else "many") for number in range(9)]
    report = await write("yolo", tmp_path, items, replace(OPTIONS, folder_entries=4))
    found = check_cls_dataset_folders(tmp_path / "train")
    assert found == {"few": {"few"}, "many": {"000", "001", "002"}}
    assert await problems("yolo", tmp_path, report) == ()


def check_cls_dataset_folders(split: Path) -> dict[str, set[str]]:
    """For each class the folders that hold its images."""
    return {name: {path.parent.name for path in paths} for name, paths in torchvision_classes(split).items()}


@pytest.mark.parametrize(
    ("splits", "val", "test"),
    [(("train", "dev"), "images/val", None), (("train", "test"), "images/test", "images/test"), (("train",), "images/train", None)],
)
async def test_validation_has_a_stand_in_which_is_told(splits: tuple[str, ...], val: str, test: str | None, tmp_path: Path) -> None:
    """Ultralytics fails without ``val``."""
    items = [sample(number, split=splits[number % len(splits)], boxes=boxes(1)) for number in range(4)]
    await write("yolo", tmp_path, items)
    data = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert (data["train"], data["val"], data.get("test")) == ("images/train", val, test)
    check_det_dataset(tmp_path)
    assert ("no split for validation" in (tmp_path / "README.md").read_text()) is (val != "images/val")


async def test_names_of_classes_survive_yaml(tmp_path: Path) -> None:
    """Whatever YAML would take them for."""
    labels = ["1", "no", "a: b", 'q"', "日本", "\x07", "~"]
    items = [sample(number, split="train", boxes=(Box(label, 1.0, 1.0, 2.0, 2.0),)) for number, label in enumerate(labels)]
    await write("yolo", tmp_path, items)
    assert list(yaml.safe_load((tmp_path / "data.yaml").read_text())["names"].values()) == sorted(labels)


@pytest.mark.parametrize("splits", [("train", "holdout"), ("validation",), ("train", "val", "dev")])
async def test_splits_that_ultralytics_cannot_have_are_refused(splits: tuple[str, ...], tmp_path: Path) -> None:
    """And nothing is left."""
    with pytest.raises(errors.ValidationError, match="format yolo"):
        await write("yolo", tmp_path, [sample(number, split=split) for number, split in enumerate(splits)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "problem"),
    [
        ("data.yaml", "nose", "toes", "data.yaml: does not have the splits and classes of the dataset"),
        ("dataset.ndjson", '"nose"', '"toes"', "dataset.ndjson: does not have the classes of the dataset"),
        ("dataset.ndjson", '"boxes":[[0', '"boxes":[[1', ": its line in dataset.ndjson differs from its row"),
        ("metadata.jsonl", '"category":["nose"]', '"category":[]', ": its row is not one of an export"),
        ("metadata.jsonl", '"split":"test"', '"split":"train"', ": is not in the folder of its split and label"),
    ],
)
async def test_verify_notices_what_differs_from_the_rows(path: str, old: str, new: str, problem: str, tmp_path: Path) -> None:
    """Though every digest is right."""
    report = await write("yolo", tmp_path, [sample(number, boxes=boxes(number)) for number in range(3)])
    text = (tmp_path / path).read_text()
    assert old in text
    (tmp_path / path).write_text(text.replace(old, new, 1))
    reseal(tmp_path)
    found = await problems("yolo", tmp_path, report)
    assert any(text.endswith(problem) for text in found), found


async def test_verify_notices_other_boxes_and_lines_without_a_row(tmp_path: Path) -> None:
    """In files beside the images, and at the end of the list."""
    report = await write("yolo", tmp_path, [sample(0, split="train", boxes=boxes(1))])
    (text,) = (tmp_path / "labels/train").iterdir()
    text.write_text("0 0.5 0.5 0.1 0.1\n")
    with (tmp_path / "dataset.ndjson").open("a") as file:
        file.write("{}\n")
    reseal(tmp_path)
    found = await problems("yolo", tmp_path, report)
    assert f"labels/train/{text.name}: differs from the boxes of its row" in found
    assert "dataset.ndjson: has images of which no row is known" in found


async def test_verify_names_splits_that_no_export_has(tmp_path: Path) -> None:
    """Instead of failing over them."""
    report = await write("yolo", tmp_path, samples(2, split="train"))
    reseal(tmp_path, splits={"holdout": 2})
    assert any("format yolo has the splits" in text for text in await problems("yolo", tmp_path, report))
