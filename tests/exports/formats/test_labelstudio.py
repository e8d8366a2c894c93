"""Tests of app.exports.formats.labelstudio: tasks that fit their labelling interface, by the schema that Label Studio documents."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from PIL import Image

from app.boxes import Box
from tests.exports.builders import OPTIONS, boxes, problems, reseal, sample, samples, tree, write

TAGS = {"choices": ("Choices", "Choice"), "rectanglelabels": ("RectangleLabels", "Label"), "textarea": ("TextArea", None)}
"""For each type of a result the tag of its control, and that of its values."""


def tasks_of(folder: Path) -> Iterator[dict[str, Any]]:
    """Every task, checked as Label Studio reads it: its image is served from the document root, each result has a control of its type."""
    config = ElementTree.fromstring((folder / "labeling_config.xml").read_bytes())
    assert config.tag == "View"
    (image,) = config.findall("Image")
    assert image.get("value") == "$image"
    for path in sorted(folder.glob("tasks-*.json")):
        for task in json.loads(path.read_text(encoding="utf-8")):
            assert set(task) <= {"data", "predictions"}
            for prediction in task.get("predictions", ()):
                results = prediction["result"]
                assert len({result["id"] for result in results}) == len(results) > 0
                for result in results:
                    check_result(config, image.get("name"), result)
            yield task


def check_result(config: ElementTree.Element, image: str | None, result: dict[str, Any]) -> None:
    """A result names its control and the image, and its values are those of the control."""
    control, value = TAGS[result["type"]]
    (found,) = (tag for tag in config.findall(control) if tag.get("name") == result["from_name"])
    assert found.get("toName") == result["to_name"] == image
    if value is not None:
        known = [tag.get("value") for tag in found.findall(value)]
        assert len(set(known)) == len(known)
        assert set(result["value"][result["type"]]) <= set(known)
    if control == "RectangleLabels":
        assert all(0 <= result["value"][name] <= 100 for name in ("x", "y", "width", "height"))
        assert result["value"]["x"] + result["value"]["width"] <= 100.0001
        assert result["original_width"] > 0 < result["original_height"]


def served(folder: Path, task: dict[str, Any]) -> Path:
    """The file that Label Studio serves for a task, where the document root is the export."""
    url = urlsplit(task["data"]["image"])
    assert url.path == "/data/local-files/"
    return folder / parse_qs(url.query)["d"][0]


def results_of(task: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The results of one type."""
    return [result for prediction in task.get("predictions", ()) for result in prediction["result"] if result["type"] == kind]


async def test_a_task_has_its_image_and_what_is_known_of_it(tmp_path: Path) -> None:
    """Labels are choices, captions texts; the columns of the row are data of the task."""
    items = samples(5)
    items[3] = sample(3, label="cat", labels=("cat", "pet"), caption="a", captions=("a", "b"))
    items[4] = sample(4, label=None, caption=None)
    await write("labelstudio", tmp_path, items)
    tasks = {task["data"]["url"]: task for task in tasks_of(tmp_path)}
    assert list(tasks) == [item.url for item in items]
    for item in items:
        task = tasks[item.url]
        with Image.open(served(tmp_path, task)) as image:
            assert image.size == (item.width, item.height)
        assert [result["value"]["choices"] for result in results_of(task, "choices")] == [
            *([list(item.labels) or [item.label]] if item.label else [])
        ]
        assert [result["value"]["text"] for result in results_of(task, "textarea")] == [
            *([list(item.captions) or [item.caption]] if item.caption else [])
        ]
        assert (task["data"]["split"], task["data"]["license"]) == (item.split, "CC-BY-4.0")
    assert "predictions" not in tasks[items[4].url]


async def test_classes_of_boxes_are_no_choices_of_images(tmp_path: Path) -> None:
    """And the other way round; a second label is a choice as the first is."""
    await write("labelstudio", tmp_path, [sample(0, label="a", labels=("a", "b"), boxes=(Box("a", 1.0, 1.0, 2.0, 2.0), *boxes(1)))])
    assert len(list(tasks_of(tmp_path))) == 1
    config = ElementTree.fromstring((tmp_path / "labeling_config.xml").read_bytes())
    assert [tag.get("value") for tag in config.findall("Choices/Choice")] == ["a", "b"]
    assert [tag.get("value") for tag in config.findall("RectangleLabels/Label")] == ["a", "nose"]


async def test_boxes_are_in_percent(tmp_path: Path) -> None:
    """Of the width and height of the exported image."""
    items = [sample(number, split="train", label=None, boxes=boxes(number)) for number in range(3)]
    await write("labelstudio", tmp_path, items)
    for item, task in zip(items, tasks_of(tmp_path), strict=True):
        found = [
            Box(
                result["value"]["rectanglelabels"][0],
                *(
                    round(result["value"][name] * side / 100, 4)
                    for name, side in (("x", item.width), ("y", item.height), ("width", item.width), ("height", item.height))
                ),
            )
            for result in results_of(task, "rectanglelabels")
        ]
        assert found == list(item.boxes)
    assert "<Choices" not in (tmp_path / "labeling_config.xml").read_text()


async def test_tasks_are_divided_among_files(tmp_path: Path) -> None:
    """Of at most ``export.shard_samples`` each, and never more than a project should hold."""
    report = await write("labelstudio", tmp_path, samples(9), replace(OPTIONS, shard_samples=4))
    names = [path for path in tree(tmp_path) if path.startswith("tasks")]
    assert names == ["tasks-00000.json", "tasks-00001.json", "tasks-00002.json"]
    assert [len(json.loads((tmp_path / name).read_text())) for name in names] == [4, 4, 1]
    assert len(list(tasks_of(tmp_path))) == 9
    assert await problems("labelstudio", tmp_path, report) == ()


async def test_classes_of_any_characters_are_choices(tmp_path: Path) -> None:
    """XML holds no control characters, and makes a space of a line break: such classes have other names, each its own."""
    labels = ["a \"b\" <c> & 'd'", "x\ny", "x y", "\x01", "\x02", "日本", "$image"]
    report = await write("labelstudio", tmp_path, [sample(number, label=label) for number, label in enumerate(labels)])
    shown = {task["data"]["label"]: results_of(task, "choices")[0]["value"]["choices"][0] for task in tasks_of(tmp_path)}
    assert set(shown) == set(labels)
    assert len(set(shown.values())) == len(labels)
    assert shown["日本"] == "日本"
    assert shown["a \"b\" <c> & 'd'"] == "a \"b\" <c> & 'd'"
    assert await problems("labelstudio", tmp_path, report) == ()


@pytest.mark.parametrize(
    ("path", "old", "new", "problem"),
    [
        ("tasks-00000.json", '"choices":["cat"]', '"choices":["dog"]', ": its task differs from its row"),
        ("tasks-00000.json", '},\n{"data"', '}\n{"data"', "tasks-00000.json: a comma is missing in an array"),
        ("tasks-00000.json", "[\n", "{\n", "tasks-00000.json: not an array of tasks"),
        ("tasks-00000.json", "}\n]", '},\n{"data":{}}\n]', "tasks: there are more than rows"),
        ("labeling_config.xml", 'value="cat"', 'value="dog"', "labeling_config.xml: does not have the classes of the dataset"),
        ("metadata.jsonl", '"category":["nose"]', '"category":[]', ": its task differs from its row"),
    ],
)
async def test_verify_notices_tasks_that_differ_from_the_rows(path: str, old: str, new: str, problem: str, tmp_path: Path) -> None:
    """Though every digest is right."""
    report = await write("labelstudio", tmp_path, [sample(number, boxes=boxes(number)) for number in range(2)])
    text = (tmp_path / path).read_text()
    assert old in text
    (tmp_path / path).write_text(text.replace(old, new, 1))
    reseal(tmp_path)
    found = await problems("labelstudio", tmp_path, report)
    assert any(text.endswith(problem) for text in found), found


async def test_verify_notices_an_image_elsewhere(tmp_path: Path) -> None:
    """Label Studio serves what lies in the storage of the project."""
    report = await write("labelstudio", tmp_path, samples(1))
    (image,) = (tmp_path / "images").iterdir()
    image.rename(tmp_path / image.name)
    for path in ("metadata.jsonl", "SHA256SUMS"):
        (tmp_path / path).write_text((tmp_path / path).read_text().replace("images/", ""))
    reseal(tmp_path)
    assert f"{image.name}: is outside images/" in await problems("labelstudio", tmp_path, report)
