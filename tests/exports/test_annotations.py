"""Tests of app.exports.annotations: what a row says of its image."""

from pathlib import Path

import pytest

from app.boxes import Box
from app.exports import annotations
from tests.exports.builders import boxes, read_rows, sample, write


async def test_a_row_says_what_its_sample_does(tmp_path: Path) -> None:
    """One or several, or none; in rows as an export has them."""
    items = [
        sample(0, label="a", labels=("a", "b"), captions=("x", "y"), caption="x"),
        sample(1, label=None, caption=None),
        sample(2, label="b", caption="z", boxes=boxes(2)),
    ]
    await write("files", tmp_path, items)
    rows = read_rows(tmp_path / "metadata.jsonl")
    assert [annotations.labels_of(row) for row in rows] == [["a", "b"], [], ["b"]]
    assert [annotations.captions_of(row) for row in rows] == [["x", "y"], [], ["z"]]
    assert [annotations.boxes_of(row) for row in rows] == [[], [], list(boxes(2))]


def test_a_row_without_the_columns_says_nothing() -> None:
    """As in an export where no image has them."""
    row = {"file_name": "a.jpg"}
    assert (annotations.labels_of(row), annotations.captions_of(row), annotations.boxes_of(row)) == ([], [], [])


@pytest.mark.parametrize(
    "objects", [{"bbox": [[1, 2, 3, 4]], "category": []}, {"bbox": [[1, 2]], "category": ["a"]}, {"bbox": [1], "category": ["a"]}, {}, [1]]
)
def test_a_row_that_no_export_writes_raises_one_of_a_few_errors(objects: object) -> None:
    """So that verification can name it."""
    if objects == {}:
        assert annotations.boxes_of({"objects": objects}) == []
        return
    with pytest.raises(annotations.MALFORMED):
        annotations.boxes_of({"objects": objects})


def test_a_box_has_numbers() -> None:
    """Also where JSON has whole ones."""
    assert annotations.boxes_of({"objects": {"bbox": [[1, 2, 3, 4]], "category": ["a"]}}) == [Box("a", 1.0, 2.0, 3.0, 4.0)]
