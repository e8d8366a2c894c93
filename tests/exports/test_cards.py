"""Tests of app.exports.cards: a card that people and the hub can read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.boxes import Box
from app.exports import cards
from app.paper_texts import PaperTexts
from tests.exports.builders import OPTIONS, sample, samples, write


async def card_of(folder: Path, name: str = "imagefolder", items: Any = None, **options: Any) -> tuple[dict[str, Any], str]:
    """Front matter and body of the card of an export."""
    await write(name, folder, samples() if items is None else items, replace(OPTIONS, **options))
    _, front, body = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), body


async def test_front_matter_is_yaml_with_what_the_hub_wants(tmp_path: Path) -> None:
    """Name, size, splits and columns; a hostile name changes nothing else."""
    front, _ = await card_of(tmp_path, dataset_name='x"\n---\nlicense: mit 😀')
    assert front["pretty_name"] == 'x"\n---\nlicense: mit 😀'
    assert front["license"] == "cc-by-4.0"
    assert front["size_categories"] == ["n<1K"]
    (config,) = front["configs"]
    assert config["config_name"] == "default"
    assert config["data_files"] == [{"split": "test", "path": "test/**"}, {"split": "train", "path": "train/**"}]
    assert front["task_categories"] == ["image-classification", "image-to-text"]


async def test_a_part_of_a_dataset_says_so(tmp_path: Path) -> None:
    """The card of an export with a selection, and with boxes, is not that of the whole dataset."""
    items = [sample(0, boxes=(Box("cat", 1, 2, 3, 4),))]
    front, body = await card_of(tmp_path, items=items, asked={"where": "label = cat", "max_per_label": 1})
    assert "This export holds only images where label = cat." in body
    assert "This export holds at most 1 image of a label." in body
    assert "object-detection" in front["task_categories"]


async def test_mixed_licences_are_other(tmp_path: Path) -> None:
    """Only one licence for all can be the dataset's."""
    front, body = await card_of(tmp_path, items=[sample(0, license=None), sample(1)])
    assert (front["license"], front["license_link"]) == ("other", "ATTRIBUTION.md")
    assert "| not stated by the source | 1 |" in body


async def test_body_tells_counts_notes_and_absent_classes(tmp_path: Path) -> None:
    """And cannot be broken by a label or a description."""
    items = [sample(0, label="a|b"), sample(1, label="c")]
    _, body = await card_of(tmp_path, items=items, dataset_name="<b>", texts=PaperTexts(description="*what*", licence_note="ask [me]"))
    assert "# \\<b\\>\n" in body
    assert "\\*what\\*" in body
    assert "ask \\[me\\]" in body
    assert "| a\\|b | 1 |" in body
    assert "**Split `train` has no image of 1 of 2 classes**" in body
    assert "torchvision" in body


async def test_long_label_tables_are_cut(tmp_path: Path) -> None:
    """A card of ten thousand rows helps nobody."""
    _, body = await card_of(tmp_path, items=[sample(number, label=f"l{number}") for number in range(205)])
    assert "and 5 more, in `manifest.json`" in body


async def test_an_empty_or_bare_dataset_has_a_card_too(tmp_path: Path) -> None:
    """No splits, no labels, no captions: nothing that the hub would trip over."""
    front, _ = await card_of(tmp_path / "none", items=[])
    assert "configs" not in front
    assert "dataset_info" not in front
    for name in ("files", "webdataset"):
        front, _ = await card_of(tmp_path / name, name, items=[])
        assert not {"configs", "dataset_info"} & set(front)
    front, body = await card_of(tmp_path / "bare", items=[sample(0, label=None, caption=None)])
    assert "task_categories" not in front
    assert "## Labels" not in body


@pytest.mark.parametrize(("count", "name"), [(999, "n<1K"), (1000, "1K<n<10K"), (9_999_999, "1M<n<10M"), (10_000_000, "10M<n<100M")])
def test_size_category_uses_the_hubs_words(count: int, name: str) -> None:
    """Limits belong to the larger class."""
    assert cards._size_category(count) == name


async def test_webdataset_card_names_the_members_it_has(tmp_path: Path) -> None:
    """The loading lines work as they stand."""
    _, body = await card_of(tmp_path, "webdataset")
    assert 'wds.WebDataset("train-000000.tar", shardshuffle=False).decode("pil").rename(image="jpg")' in body


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (None, ""),
        ("a | b", "a \\| b"),
        ("two\nlines\u2028here\x00", "two lines here"),
        ("<script>", "\\<script\\>"),
        ("[x](javascript:1)", "\\[x\\](javascript:1)"),
        ("\u202egpj.exe", "gpj.exe"),
        ("`code` *bold*", "\\`code\\` \\*bold\\*"),
    ],
)
def test_cell_is_inert(text: str | None, safe: str) -> None:
    """One line of text."""
    assert cards.escape_cell(text) == safe


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        (None, ""),
        ("https://a.example/x y?q=1|2", "<https://a.example/x%20y?q=1%7C2>"),
        ("https://a.example/<b>", "<https://a.example/%3Cb%3E>"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("http://[broken", "http://\\[broken"),
    ],
)
def test_link_is_only_made_of_web_addresses(url: str | None, safe: str) -> None:
    """Everything else is plain text."""
    assert cards.autolink(url) == safe


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_yaml_text_reads_back_as_it_was(text: str) -> None:
    """Quotes, backslashes, emoji and control characters included: class names must match exactly."""
    assert yaml.safe_load(f"- {cards.yaml_string(text)}") == [text]
