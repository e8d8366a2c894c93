"""Tests of app.exports.formats.imagefolder: folders that Hugging Face datasets and torchvision read alike."""

import json
from pathlib import Path

import pytest

from tests.exports import loaders
from tests.exports.builders import SIDECARS, problems, read_rows, reseal, sample, samples, tree, write


def classes_as_torchvision_finds_them(split: Path) -> dict[str, int]:
    """torchvision.datasets.folder.find_classes and make_dataset: sorted folders, each with at least one image."""
    classes = sorted(entry.name for entry in split.iterdir() if entry.is_dir())
    assert classes
    assert all(any(path.suffix in (".jpg", ".png", ".webp") for path in (split / name).rglob("*")) for name in classes)
    return {name: number for number, name in enumerate(classes)}


async def test_layout(tmp_path: Path) -> None:
    """Split, class, image; each split has its rows beside its classes; names in rows are relative to them."""
    items = samples(6)
    await write("imagefolder", tmp_path, items)
    paths = {item.index: f"{('cat', 'hot-dog')[item.index % 2]}/{item.index:06d}_{item.sha256[:12]}.jpg" for item in items}
    images = {f"{item.split}/{paths[item.index]}" for item in items}
    sidecars = SIDECARS | {"train/metadata.jsonl", "test/metadata.jsonl"}
    assert set(tree(tmp_path)) == images | sidecars
    rows = read_rows(tmp_path / "train/metadata.jsonl")
    assert [row["file_name"] for row in rows] == [paths[number] for number in (1, 2, 3, 4)]
    assert {row["label"] for row in rows} == {"cat", "Hot Dog"}


async def test_every_split_has_the_same_columns(tmp_path: Path) -> None:
    """Metadata files with different features, or with nothing but nulls in a column, do not load."""
    await write("imagefolder", tmp_path, [sample(0, caption=None, title=None), sample(1, title=None, creator=None)])
    (test,), (train,) = read_rows(tmp_path / "test/metadata.jsonl"), read_rows(tmp_path / "train/metadata.jsonl")
    assert [(name, type(value)) for name, value in test.items()] == [(name, type(value)) for name, value in train.items()]
    assert "title" not in test
    assert None not in test.values()


async def test_torchvision_finds_the_same_classes_in_every_split(tmp_path: Path) -> None:
    """Sorted folders, none of them empty; the manifest tells whose they are."""
    await write("imagefolder", tmp_path, samples(10))
    assert classes_as_torchvision_finds_them(tmp_path / "train") == classes_as_torchvision_finds_them(tmp_path / "test")
    folders = json.loads((tmp_path / "manifest.json").read_text())["class_folders"]
    assert folders == {"Hot Dog": "hot-dog", "cat": "cat"}


async def test_a_class_that_a_split_lacks_has_no_folder_and_is_told(tmp_path: Path) -> None:
    """An empty class folder would be an error in torchvision."""
    await write("imagefolder", tmp_path, [sample(0, label="a"), sample(1, label="b")])
    assert classes_as_torchvision_finds_them(tmp_path / "train") == {"b": 0}
    assert json.loads((tmp_path / "manifest.json").read_text())["absent_labels"] == {"test": ["b"], "train": ["a"]}


async def test_labels_cannot_leave_their_split_or_share_a_folder(tmp_path: Path) -> None:
    """Hostile and colliding labels."""
    labels = ["../../up", "A b", "a b", "CON", "", "metadata.jsonl", "x" * 300]
    report = await write("imagefolder", tmp_path / "e", [sample(number, label=label, split="train") for number, label in enumerate(labels)])
    assert len([path for path in (tmp_path / "e/train").iterdir() if path.is_dir()]) == len(labels) - 1  # one has no label
    assert [path.name for path in tmp_path.iterdir()] == ["e"]
    assert await problems("imagefolder", tmp_path / "e", report) == ()


async def test_without_labels_images_lie_in_their_split(tmp_path: Path) -> None:
    """No class, no class folder, no label column."""
    report = await write("imagefolder", tmp_path, samples(3, label=None))
    assert not [path for path in (tmp_path / "train").iterdir() if path.is_dir()]
    assert "label" not in read_rows(tmp_path / "train/metadata.jsonl")[0]
    assert await problems("imagefolder", tmp_path, report) == ()


async def test_verify_notices_an_image_in_the_folder_of_another_class(tmp_path: Path) -> None:
    """torchvision would learn it wrong, though every digest is right."""
    report = await write("imagefolder", tmp_path, samples(4))
    for path in ("train/metadata.jsonl", "SHA256SUMS"):
        (tmp_path / path).write_text((tmp_path / path).read_text().replace("cat/000002", "hot-dog/000002"))
    (image,) = (tmp_path / "train/cat").iterdir()
    image.rename(tmp_path / "train/hot-dog" / image.name)
    (tmp_path / "train/cat").rmdir()
    reseal(tmp_path)
    found = await problems("imagefolder", tmp_path, report)
    assert f"train/hot-dog/{image.name}: is not in the folder of its split and label" in found


async def test_verify_notices_an_empty_class(tmp_path: Path) -> None:
    """It would stop torchvision."""
    report = await write("imagefolder", tmp_path, samples(4))
    (tmp_path / "train/empty").mkdir()
    assert await problems("imagefolder", tmp_path, report) == ("train/empty: empty folder",)


@pytest.mark.parametrize(
    ("splits", "is_told"),
    [
        (("train",), False),
        (("holdout",), False),
        (("train", "val", "test"), False),
        (("train", "holdout"), True),
        (("train", "train_small"), True),
    ],
)
async def test_splits_that_a_loader_does_not_find_by_name_are_told(splits: tuple[str, ...], is_told: bool, tmp_path: Path) -> None:
    """In the card: one form of the call would drop or join them."""
    await write("imagefolder", tmp_path, [sample(number, split=split) for number, split in enumerate(splits)])
    assert ("knows the splits train, validation and test only" in (tmp_path / "README.md").read_text()) is is_told


async def test_a_class_named_like_a_split_stays_in_its_split(tmp_path: Path) -> None:
    """Each image is in one split only, by the rule of names and by the card."""
    labels = ["test tube", "Train", "dev", "cat"]
    report = await write("imagefolder", tmp_path, [sample(number, label=labels[number % 4]) for number in range(12)])
    for splits in (loaders.splits_by_name(tmp_path), loaders.splits_by_card(tmp_path)):
        assert {split: len(list(loaders.imagefolder_rows(files))) for split, files in splits.items()} == {"test": 3, "train": 9}
    assert await problems("imagefolder", tmp_path, report) == ()


async def test_an_image_without_a_label_lies_beside_the_classes(tmp_path: Path) -> None:
    """It is null in its row, and no class for torchvision; the card gives every column a type."""
    items = [
        sample(0, split="train", label="a", captions=("x", "y"), extra={"score": 0.5}),
        sample(1, split="train", label=None, extra={"kind: of": ["v1"]}),
    ]
    report = await write("imagefolder", tmp_path, items)
    assert classes_as_torchvision_finds_them(tmp_path / "train") == {"a": 0}
    rows = read_rows(tmp_path / "train/metadata.jsonl")
    assert [(row["file_name"].rpartition("/")[0], row["label"], row["score"], row["kind: of"]) for row in rows] == [
        ("a", "a", 0.5, ""),
        ("", None, None, "v1"),
    ]
    card = (tmp_path / "README.md").read_text()
    assert "  - name: captions\n    sequence: string\n" in card
    assert '  - name: "score"\n    dtype: float64\n  - name: "kind: of"\n    dtype: string\n' in card
    assert "| score | float64 | score |" in card
    assert await problems("imagefolder", tmp_path, report) == ()
