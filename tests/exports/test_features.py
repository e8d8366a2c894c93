"""The columns and classes that a card states are those that ``load_dataset`` of the folder gives, by its own rules."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain import Box, Sample
from tests.exports import loaders
from tests.exports.builders import read_rows, sample, write

LABELS = ["zebra", "1", "0", None, '😀 "q"', "null", "true", "a: b", "-1", "NaN"]
EXTRA = {"n": 7, "at": "2024-01-01", "s: x": "y", "ok": True}


def odd_samples(labels: list[Any] = LABELS) -> list[Sample]:
    """Labels that YAML or the loader could take for something else, lists, and further columns of every type."""
    several = {"labels": ("zebra", "1"), "captions": ("a", "b")}
    return [sample(at, label=label, extra=EXTRA | {"f": at / 2}, **(several if at < 2 else {})) for at, label in enumerate(labels)]


def numbers(items: list[Sample]) -> dict[str, int | None]:
    """By URL, the position of each label among the names in order: what ``cls`` is."""
    names = sorted({item.label for item in items if item.label})
    return {item.url: names.index(item.label) if item.label else None for item in items}


def labels_of(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By URL, the label that the loader of image folders gives; every column of a row must be stated, and no other."""
    features = loaders.features_by_card(folder, "imagefolder")
    assert features is not None
    assert all({"image", *row} - {"file_name"} == set(features) for row in rows)
    return {row["url"]: loaders.class_number(features["label"], row["label"]) for row in rows}


async def test_imagefolder_loads_labels_as_the_numbers_of_their_classes(tmp_path: Path) -> None:
    """In every split, whatever the names look like."""
    await write("imagefolder", tmp_path, odd_samples())
    found = [row for files in loaders.splits_by_card(tmp_path).values() for row, _ in loaders.imagefolder_rows(files)]
    assert labels_of(tmp_path, found) == numbers(odd_samples())


async def test_files_loads_labels_as_the_numbers_of_their_classes(tmp_path: Path) -> None:
    """The card names the rows and the images, which are one split: among few images the JSON of the papers would be the most frequent."""
    await write("files", tmp_path, odd_samples())
    (config,) = loaders.front_matter(tmp_path)["configs"]
    assert config["data_files"] == [{"split": "train", "path": ["metadata.jsonl", "images/**"]}]
    assert labels_of(tmp_path, read_rows(tmp_path / "metadata.jsonl")) == numbers(odd_samples())


async def test_webdataset_loads_cls_as_the_numbers_of_the_classes(tmp_path: Path) -> None:
    """Each member of a sample is a column, and so is each format of the images; -1 is no class."""
    items = odd_samples()
    items[4] = sample(4, label=items[4].label, extension="png", media_type="image/png", extra=items[4].extra)
    await write("webdataset", tmp_path, items)
    features = loaders.features_by_card(tmp_path, "webdataset")
    assert features is not None
    assert [name for name in features if features[name] == "image"] == ["jpg", "png"]
    assert {name: features[name] for name in ("txt", "__key__", "__url__")} == dict.fromkeys(("txt", "__key__", "__url__"), "string")
    stated = {field["name"]: field.get("dtype", field) for field in features["json"]["struct"]}
    assert (stated["label"], stated["labels"]["sequence"], stated["n"], stated["f"]) == ("string", "string", "int64", "float64")
    found = {}
    for shard in sorted(tmp_path.glob("*.tar")):
        for members in loaders.webdataset_samples(shard):
            assert set(members) <= set(features)
            assert set(members["json"]) == set(stated)
            found[members["json"]["url"]] = loaders.class_number(features["cls"], int(members["cls"]))
    assert found == {url: -1 if number is None else number for url, number in numbers(items).items()}
    assert json.loads((tmp_path / "classes.json").read_text()) == list(features["cls"]["class_label"]["names"].values())


@pytest.mark.parametrize("name", ["imagefolder", "files", "webdataset"])
async def test_a_dataset_without_labels_states_no_classes(tmp_path: Path, name: str) -> None:
    """Its other columns have their types."""
    await write(name, tmp_path, odd_samples([None, None]))
    features = loaders.features_by_card(tmp_path, "webdataset" if name == "webdataset" else "imagefolder")
    assert features is not None
    assert not {"label", "cls"} & set(features)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"extra": {"score": 1.5}}, "score"),
        ({"extra": {"label": 7}}, "list_label"),
        ({"captions": ("a", "b")}, "captions"),
        ({"boxes": (Box("ear", 1, 2, 3, 4),)}, "objects"),
        ({"label": "cat"}, "label"),
        ({"extra": {"word": "x"}}, None),
        ({"title": "x"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("name", ["imagefolder", "coco"])
async def test_a_column_that_a_split_leaves_without_a_type_is_told(
    tmp_path: Path, name: str, values: dict[str, Any], told: str | None
) -> None:
    """In the card: the loader refuses splits of different types, and JSON has none for what is missing everywhere."""
    plain: dict[str, Any] = {"label": None, "caption": None}
    await write(name, tmp_path / "two", [sample(0, split="train", **plain | values), sample(1, split="val", **plain)])
    card = (tmp_path / "two/README.md").read_text()
    assert (f"`val` has no value in {told}. Load each split alone" in card.replace("\\", "")) is (told is not None)
    await write(name, tmp_path / "one", [sample(0, split="train", **plain | values), sample(1, split="train", **plain)])
    assert "Load each split alone" not in (tmp_path / "one/README.md").read_text()


async def test_labels_that_look_like_dates_stay_text(tmp_path: Path) -> None:
    """The loader would read them as times, which no class is called."""
    await write("imagefolder", tmp_path, odd_samples(["2024-01-01", "2024-01-02", "cat"]))
    features = loaders.features_by_card(tmp_path, "imagefolder")
    assert features is not None
    assert features["label"] == "string"
