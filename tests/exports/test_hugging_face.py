"""Every export that says so, loaded row by row by the ``datasets`` library itself. All its tests are here: importing it costs seconds."""

import io
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.domain import Box, Sample
from app.exports import names
from app.split_names import split_by_name
from tests.exports import loaders
from tests.exports.builders import OPTIONS, image, sample, write

LABELS = ["cat", "Hot Dog", "a/b", ".hidden", "test tube", "con", "猫", "x" * 300, None, "val", "2024"]
ITEMS = [
    sample(
        at,
        label=LABELS[at % len(LABELS)],
        split=("train", "val", "test")[at % 3],
        caption=None if at == 4 else f'caption "{at}", of two\nlines',
        extra={"score": at / 4, "n": at, "ok": at % 2 == 0, "who: is": "é"} if at != 5 else {},
        **({"captions": ("one", "two"), "labels": (LABELS[at], "more")} if at == 1 else {}),
        **({"boxes": (Box("ear", 1, 2, 3.5, 4), Box("Tail", 0, 0, 5, 5))} if at > 19 else {}),
    )
    for at in range(23)
]


@pytest.fixture(scope="module")
def hf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The library, without a network, with its caches in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        import datasets

        datasets.disable_progress_bars()
        yield datasets


def load(hf: Any, folder: Path, cache: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each split, by the call that the documentation shows."""
    loaded = hf.load_dataset(str(folder), cache_dir=str(cache))
    return {split: [row | {"names": loaded[split].features} for row in loaded[split]] for split in loaded}


def pixels(picture: Image.Image) -> bytes:
    """What is to be seen."""
    return picture.convert("RGB").tobytes()


def label_of(row: dict[str, Any]) -> Any:
    """The name of the class of a row."""
    return None if row["label"] is None else row["names"]["label"].int2str(row["label"])


def check(row: dict[str, Any], item: Sample) -> None:
    """A row says of its image what the sample does."""
    assert pixels(row["image"]) == pixels(Image.open(io.BytesIO(image(item.index))))
    assert label_of(row) == item.label
    assert (row["split"], row["caption"], row["url"]) == (item.split, item.caption or "", item.url)
    assert row["captions"] == (list(item.captions) or ([item.caption] if item.caption else []))
    boxes = [[box.x, box.y, box.width, box.height] for box in item.boxes]
    assert row["objects"] == {"bbox": boxes, "category": [box.label for box in item.boxes]}
    assert [row[name] for name in ("score", "n", "ok", "who: is")] == [
        item.extra.get(name, "" if name == "who: is" else None) for name in ("score", "n", "ok", "who: is")
    ]


@pytest.mark.parametrize("name", ["parquet", "imagefolder", "files"])
async def test_every_row_is_loaded_as_it_was_written(hf: Any, tmp_path: Path, name: str) -> None:
    """Pixels, labels, splits, captions and further columns. ``files`` is one split, with the true one in a column."""
    await write(name, tmp_path / "e", ITEMS)
    found = load(hf, tmp_path / "e", tmp_path / "cache")
    assert {split: len(rows) for split, rows in found.items()} == ({"train": 23} if name == "files" else {"train": 8, "val": 8, "test": 7})
    for split, rows in found.items():
        wanted = [item for item in ITEMS if name == "files" or item.split == split]
        by_url = {row["url"]: row for row in rows}
        assert len(by_url) == len(rows) == len(wanted)
        for item in wanted:
            check(by_url[item.url], item)


@pytest.mark.parametrize("name", ["jsonl", "csv"])
async def test_rows_without_images_are_loaded_as_they_were_written(hf: Any, tmp_path: Path, name: str) -> None:
    """In order. In CSV lists and further columns are text, and a missing text is no value."""
    await write(name, tmp_path / "e", ITEMS)
    (rows,) = load(hf, tmp_path / "e", tmp_path / "cache").values()
    assert [label_of(row) for row in rows] == [item.label for item in ITEMS]
    assert [(row["split"], row["caption"] or "", row["url"]) for row in rows] == [(it.split, it.caption or "", it.url) for it in ITEMS]
    assert [row["width"] for row in rows] == [item.width for item in ITEMS]
    wanted = [item.extra.get("n") for item in ITEMS]
    assert [row["n"] for row in rows] == (wanted if name == "jsonl" else [None if n is None else str(n) for n in wanted])


@pytest.mark.parametrize("changes", [{"label": None}, {"caption": None}, {"label": None, "caption": None}])
@pytest.mark.parametrize("name", ["parquet", "jsonl"])
async def test_a_dataset_without_labels_or_captions_loads(hf: Any, tmp_path: Path, name: str, changes: dict[str, None]) -> None:
    """Such columns are absent, and the only split keeps its name."""
    await write(name, tmp_path / "e", [sample(at, split="holdout", **changes) for at in range(3)])
    (found,) = load(hf, tmp_path / "e", tmp_path / "cache").items()
    assert found[0] == ("holdout" if name == "parquet" else "train")
    assert len(found[1]) == 3
    assert not set(changes) & set(found[1][0])


@pytest.mark.parametrize("name", ["imagefolder", "files"])
async def test_divided_folders_load(hf: Any, tmp_path: Path, name: str) -> None:
    """The library sees images in subfolders, and takes none of these for a class or a split."""
    await write(name, tmp_path / "e", ITEMS, replace(OPTIONS, folder_entries=2))
    found = load(hf, tmp_path / "e", tmp_path / "cache")
    rows = {row["url"]: row for loaded in found.values() for row in loaded}
    assert len(rows) == len(ITEMS)
    for item in ITEMS:
        check(rows[item.url], item)


async def test_splits_of_other_types_load_one_by_one(hf: Any, tmp_path: Path) -> None:
    """As the card says where a split has no value of a column; all at once they are refused, and Parquet has the types."""
    items = [sample(0, split="train", extra={"score": 1.5}), sample(1, split="val")]
    await write("imagefolder", tmp_path / "e", items)
    with pytest.raises(ValueError, match="have different features"):
        load(hf, tmp_path / "e", tmp_path / "cache")
    (alone,) = hf.load_dataset("imagefolder", data_dir=str(tmp_path / "e/train"), cache_dir=str(tmp_path / "cache")).values()
    assert [row["score"] for row in alone] == [1.5]
    await write("parquet", tmp_path / "p", items)
    found = load(hf, tmp_path / "p", tmp_path / "cache")
    assert {split: [row["score"] for row in rows] for split, rows in found.items()} == {"train": [1.5], "val": [None]}


# --- the words for splits


def matches(hf: Any, split: str, path: str) -> bool:
    """Whether the library takes a path for one of a split, by the names of its folders; its patterns end in ``/**``."""
    patterns = hf.data_files.DEFAULT_PATTERNS_SPLIT_IN_DIR_NAME[split]
    folders = path.split("/")[:-1]
    return any(fnmatchcase(folder, pattern.split("/")[1]) for pattern in patterns for folder in folders)


def test_the_tests_own_words_for_splits_are_those_of_the_library(hf: Any) -> None:
    """`tests.exports.loaders` and `app.split_names` follow them."""
    assert {str(split): words for split, words in hf.data_files.SPLIT_KEYWORDS.items()} == loaders.SPLIT_KEYWORDS
    assert hf.data_files.NON_WORDS_CHARS == loaders.NON_WORDS_CHARS
    for split, words in loaders.SPLIT_KEYWORDS.items():
        for word in words:
            for folder in (word, f"{word}-1", f"my.{word}", f"my {word}_2", f"{word} of mine", f"x{word}", f"{word}s"):
                assert (split_by_name(folder) == split) is matches(hf, split, f"{folder}/1.jpg"), folder


@pytest.mark.parametrize("folder", [*sorted(names.class_folders(label for label in LABELS if label).values()), "000", "012", "images"])
def test_no_folder_of_ours_is_taken_for_a_split(hf: Any, folder: str) -> None:
    """Of a class, nor one of those among which many files are divided."""
    assert not any(matches(hf, split, f"{folder}/000/1.jpg") for split in loaders.SPLIT_KEYWORDS)


@pytest.mark.parametrize("text", ["train", "Valid test", "dev_1", "eval", "training.set", "a-test-b", "validation"])
def test_a_class_with_a_word_for_a_split_gets_another_folder(hf: Any, text: str) -> None:
    """Which the library's own patterns do not match."""
    assert not any(matches(hf, split, f"{names.slug(text)}/1.jpg") for split in loaders.SPLIT_KEYWORDS)
    assert any(matches(hf, split, f"{text.lower().replace(' ', '-')}/1.jpg") for split in loaders.SPLIT_KEYWORDS)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", ["files", "captions", "labelstudio"])
async def test_a_few_images_are_found_among_the_papers(hf: Any, tmp_path: Path, name: str, count: int) -> None:
    """Whose JSON would otherwise be the most frequent kind of file."""
    await write(name, tmp_path / "e", ITEMS[:count])
    (rows,) = load(hf, tmp_path / "e", tmp_path / "cache").values()
    assert sorted(label_of(row) for row in rows) == sorted(str(item.label) for item in ITEMS[:count])
