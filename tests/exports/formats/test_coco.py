"""Tests of app.exports.formats.coco: annotation files that pycocotools loads, and that say no more than is known."""

from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from PIL import Image
from pycocotools.coco import COCO

from app.boxes import Box
from tests.exports.builders import SIDECARS, boxes, problems, reseal, sample, samples, tree, write


def loaded(folder: Path, kind: str, split: str) -> COCO:
    """An annotation file as pycocotools loads it."""
    return COCO(str(folder / f"annotations/{kind}_{split}.json"))


async def test_layout(tmp_path: Path) -> None:
    """Images and their rows by split; a file of each kind of annotation for each split."""
    items = samples(6)
    await write("coco", tmp_path, items)
    images = {f"{item.split}/{item.index:06d}_{item.sha256[:12]}.jpg" for item in items}
    found = {f"annotations/{kind}_{split}.json" for kind in ("instances", "captions", "labels") for split in ("train", "test")}
    sidecars = SIDECARS | {"train/metadata.jsonl", "test/metadata.jsonl"}
    assert set(tree(tmp_path)) == images | found | sidecars


async def test_images_load_with_their_pixels_licences_and_origin(tmp_path: Path) -> None:
    """By pycocotools and Pillow, as the card says; licences have ids, names and addresses."""
    items = samples(7, boxes=())
    items[3] = sample(3, license=None)
    await write("coco", tmp_path, items)
    seen = {}
    for split in ("train", "test"):
        coco = loaded(tmp_path, "instances", split)
        licenses = {entry["id"]: (entry["name"], entry["url"]) for entry in coco.dataset["licenses"]}
        for entry in coco.loadImgs(coco.getImgIds()):
            with Image.open(tmp_path / split / entry["file_name"]) as image:
                assert image.size == (entry["width"], entry["height"])
            seen[entry["coco_url"]] = (split, licenses[entry["license"]])
    stated = ("CC-BY-4.0", "https://creativecommons.org/licenses/by/4.0/")
    assert seen == {item.url: (item.split, stated if item.license else ("not stated", "")) for item in items}


async def test_boxes_load_with_area_and_category(tmp_path: Path) -> None:
    """Ids begin with 1: tools take 0 for nothing. Categories are those of boxes and of labels, sorted."""
    items = [sample(number, boxes=boxes(number), split="train") for number in range(6)]
    await write("coco", tmp_path, items)
    coco = loaded(tmp_path, "instances", "train")
    names = {entry["id"]: entry["name"] for entry in coco.loadCats(coco.getCatIds())}
    assert names == {1: "Hot Dog", 2: "cat", 3: "nose", 4: "tail"}
    assert sorted(coco.getAnnIds()) == list(range(1, 7))
    found = {
        coco.loadImgs(image_id)[0]["coco_url"]: [
            (names[entry["category_id"]], *entry["bbox"]) for entry in coco.loadAnns(coco.getAnnIds(imgIds=image_id))
        ]
        for image_id in coco.getImgIds()
    }
    assert found == {item.url: [(box.label, box.x, box.y, box.width, box.height) for box in item.boxes] for item in items}
    assert [entry["area"] for entry in coco.loadAnns(coco.getAnnIds(catIds=coco.getCatIds("nose")))] == [12.75] * 4
    assert coco.getAnnIds(iscrowd=False, areaRng=[12, 13]) == [1, 2, 4, 5]


async def test_a_label_is_no_box(tmp_path: Path) -> None:
    """It stands in a file of its own, without a box, as iNaturalist has it; of several labels each."""
    items = [
        sample(0, split="train", label="cat", labels=("cat", "pet")),
        sample(1, split="train", label=None),
        sample(2, split="train", label="cat"),
    ]
    await write("coco", tmp_path, items)
    assert loaded(tmp_path, "instances", "train").getAnnIds() == []
    coco = loaded(tmp_path, "labels", "train")
    names = {entry["id"]: entry["name"] for entry in coco.loadCats(coco.getCatIds())}
    assert [(entry["image_id"], names[entry["category_id"]]) for entry in coco.loadAnns(coco.getAnnIds())] == [
        (1, "cat"),
        (1, "pet"),
        (3, "cat"),
    ]
    assert all("bbox" not in entry for entry in coco.dataset["annotations"])
    assert len(coco.getImgIds()) == 3


async def test_all_captions_are_there(tmp_path: Path) -> None:
    """However many an image has."""
    await write("coco", tmp_path, [sample(0, split="train", captions=("a", "ü\n😀"), caption="a"), sample(1, split="train", caption=None)])
    coco = loaded(tmp_path, "captions", "train")
    assert [(entry["id"], entry["image_id"], entry["caption"]) for entry in coco.loadAnns(coco.getAnnIds())] == [
        (1, 1, "a"),
        (2, 1, "ü\n😀"),
    ]


async def test_images_alone_are_an_export(tmp_path: Path) -> None:
    """Without labels, captions or boxes there is one file for each split, without annotations."""
    report = await write("coco", tmp_path, samples(3, label=None, caption=None))
    assert [path for path in tree(tmp_path) if path.startswith("annotations/")] == [
        "annotations/instances_test.json",
        "annotations/instances_train.json",
    ]
    assert loaded(tmp_path, "instances", "train").getCatIds() == []
    assert await problems("coco", tmp_path, report) == ()


async def test_hugging_face_loads_boxes_in_its_own_form(tmp_path: Path) -> None:
    """``objects`` with ``bbox`` and ``category``, of which the card gives the types."""
    items = [sample(number, boxes=boxes(number)) for number in range(6)]
    await write("coco", tmp_path / "export", items)
    found: Any = load_dataset(str(tmp_path / "export"), cache_dir=str(tmp_path / "cache"))
    assert str(found["train"].features["objects"]) == "{'bbox': List(List(Value('float64'), length=4)), 'category': List(Value('string'))}"
    rows = {row["url"]: row for split in ("train", "test") for row in found[split]}
    for item in items:
        assert rows[item.url]["objects"]["category"] == [box.label for box in item.boxes]
        assert rows[item.url]["objects"]["bbox"] == [[box.x, box.y, box.width, box.height] for box in item.boxes]
        assert rows[item.url]["image"].size == (item.width, item.height)


def change_annotations(folder: Path, kind: str, old: str, new: str) -> None:
    """Change a text in an annotation file, and make the manifest agree."""
    path = folder / f"annotations/{kind}_train.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    reseal(folder)


@pytest.mark.parametrize(
    ("kind", "old", "new", "problem"),
    [
        ("instances", '"width":22', '"width":23', "annotations/instances_train.json: the entry of train/000002_"),
        ("instances", '"bbox":[1.5', '"bbox":[2.5', "annotations/instances_train.json: the annotations of train/000001_"),
        ("captions", "=picture 1", "=picture 9", "annotations/captions_train.json: the annotations of train/000001_"),
        ("labels", '"category_id":1', '"category_id":2', "annotations/labels_train.json: the annotations of train/000001_"),
        ("labels", '"name":"cat"', '"name":"dog"', "annotations/labels_train.json: its licences or categories are not those"),
        ("labels", '},\n{"id":2,"image_id"', '}\n{"id":2,"image_id"', "annotations/labels_train.json: annotations: a comma is missing"),
    ],
)
async def test_verify_notices_annotations_that_differ_from_the_rows(kind: str, old: str, new: str, problem: str, tmp_path: Path) -> None:
    """Though every digest is right."""
    items = [sample(number, split="train", boxes=boxes(number)) for number in range(4)]
    report = await write("coco", tmp_path, items)
    change_annotations(tmp_path, kind, old, new)
    found = await problems("coco", tmp_path, report)
    assert any(text.startswith(problem) for text in found), found


async def test_verify_notices_entries_without_a_row(tmp_path: Path) -> None:
    """At the end of a file, where no row asks for them."""
    report = await write("coco", tmp_path, [sample(0, split="train")])
    path = tmp_path / "annotations/labels_train.json"
    path.write_text(path.read_text().replace("}\n]}", '},\n{"id":2,"image_id":1,"category_id":1}\n]}'))
    reseal(tmp_path)
    found = await problems("coco", tmp_path, report)
    assert "annotations/labels_train.json: has images or annotations of which no row is known" in found


async def test_verify_names_a_missing_annotation_file_and_a_row_that_is_none(tmp_path: Path) -> None:
    """And goes on."""
    report = await write("coco", tmp_path, [sample(number, split="train", boxes=boxes(1)) for number in range(2)])
    (tmp_path / "annotations/labels_train.json").unlink()
    path = tmp_path / "train/metadata.jsonl"
    path.write_text(path.read_text().replace('"category":["nose"]', '"category":[]', 1))
    reseal(tmp_path)
    found = await problems("coco", tmp_path, report)
    assert "annotations/labels_train.json: missing" in found
    assert any(text.endswith("its row is not one of an export") for text in found)


async def test_verify_notices_an_image_of_another_split(tmp_path: Path) -> None:
    """The row says where it belongs."""
    report = await write("coco", tmp_path, samples(2))
    path = tmp_path / "train/metadata.jsonl"
    path.write_text(path.read_text().replace('"split":"train"', '"split":"test"'))
    reseal(tmp_path)
    assert any("is not in the folder of its split" in text for text in await problems("coco", tmp_path, report))


async def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """Nor the annotations that wait."""
    with pytest.raises(Exception, match="do not match the digest"):
        await write("coco", tmp_path, [sample(0, boxes=(Box("a", 0.0, 0.0, 2.0, 2.0),)), sample(1, sha256="0" * 64)])
    assert list(tmp_path.iterdir()) == []
