"""Tests of app.discovery.lists.boxes, through lists: the forms in which lists give boxes, and what is wrong with others."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.boxes import MAX_BOXES, Box
from app.discovery import url_list
from app.discovery.lists import boxes
from app.domain import Candidate, ListProblem
from app.spec import ListedImage, ListSpec

URL = "https://example.org/1.jpg"
CAT, DOG = Box("cat", 1.0, 2.0, 3.0, 4.5), Box("dog", 5.0, 6.0, 7.0, 8.0)
CORNERS = [[1, 2, 3, 4.5], [5, 6, 7, 8]]


def read_one(folder: Path, suffix: str, body: bytes, **columns: Any) -> Candidate | ListProblem:
    """The only row of a list."""
    path = folder / f"list{suffix}"
    path.write_bytes(body)
    (found,) = url_list.read(path, ListSpec(key="", suffix=suffix, **columns))
    return found


def boxes_of(folder: Path, row: dict[str, Any], **columns: Any) -> tuple[Box, ...]:
    """The boxes of a row of JSON Lines."""
    found = read_one(folder, ".jsonl", json.dumps({"url": URL} | row).encode(), **columns)
    assert isinstance(found, Candidate), found
    return found.boxes


@pytest.mark.parametrize(
    "row",
    [
        {"objects": {"bbox": CORNERS, "category": ["cat", "dog"]}},
        {"objects": {"id": [7, 8], "area": [1, 2], "bbox": CORNERS, "categories": ["cat", "dog"]}},
        {"objects": [{"bbox": CORNERS[0], "category": "cat"}, {"bbox": CORNERS[1], "label": "dog"}]},
        {"boxes": [{"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4.5}, {"label": "dog", "x": 5, "y": 6, "width": 7, "height": 8}]},
        {"Bounding Boxes": json.dumps({"bbox": CORNERS, "category": ["cat", "dog"]})},
    ],
)
def test_the_usual_forms_are_the_same_boxes(row: dict[str, Any], tmp_path: Path) -> None:
    """Columns or objects, as values or as JSON text; other keys are no matter."""
    assert boxes_of(tmp_path, row) == (CAT, DOG)


@pytest.mark.parametrize("column", ["bbox", "boxes", "bboxes"])
@pytest.mark.parametrize(("value", "count"), [(CORNERS, 2), (CORNERS[0], 1), ([], 0), (None, 0)])
def test_boxes_without_a_class_have_that_of_the_row(column: str, value: Any, count: int, tmp_path: Path) -> None:
    """A list of boxes, or one."""
    found = boxes_of(tmp_path, {column: value, "label": "cat"})
    assert [box.label for box in found] == ["cat"] * count
    assert [(box.x, box.y, box.width, box.height) for box in found] == [tuple(map(float, corners)) for corners in CORNERS[:count]]


def test_numbers_of_classes_are_their_names(tmp_path: Path) -> None:
    """As of labels: a list of Hugging Face has no more."""
    found = boxes_of(tmp_path, {"objects": {"bbox": CORNERS, "category": [3, 4.0]}})
    assert [box.label for box in found] == ["3", "4"]


def test_parquet_has_them_as_a_struct(tmp_path: Path) -> None:
    """Or as a list of structs; the column is neither left out nor a further column."""
    whole = {"bbox": [[1.0, 2.0, 3.0, 4.5], [5.0, 6.0, 7.0, 8.0]], "category": ["cat", "dog"]}
    for value in (whole, [{"bbox": corners, "category": name} for corners, name in zip(CORNERS, whole["category"], strict=True)]):
        table = pa.table({"url": [URL], "objects": pa.array([value]), "n": [1]})
        file = io.BytesIO()
        pq.write_table(table, file)
        found = read_one(tmp_path, ".parquet", file.getvalue())
        assert isinstance(found, Candidate)
        assert (found.boxes, found.extra) == ((CAT, DOG), {"n": 1})
        assert url_list.inspect(tmp_path / "list.parquet", ListSpec(key="", suffix=".parquet")).left_out == ()


def test_csv_has_them_as_json(tmp_path: Path) -> None:
    """In one cell."""
    text = io.StringIO()
    csv.writer(text).writerows([["url", "objects"], [URL, json.dumps({"bbox": CORNERS, "category": ["cat", "dog"]})]])
    found = read_one(tmp_path, ".csv", text.getvalue().encode())
    assert isinstance(found, Candidate)
    assert (found.boxes, found.extra) == ((CAT, DOG), {})


@pytest.mark.parametrize("value", ["vase, table", 3, "[not json"])
def test_a_column_that_holds_something_else_is_a_further_column(value: Any, tmp_path: Path) -> None:
    """Museums have a column of that name, too."""
    found = read_one(tmp_path, ".jsonl", json.dumps({"url": URL, "objects": value}).encode())
    assert isinstance(found, Candidate)
    assert (found.boxes, found.extra) == ((), {"objects": value})


def test_columns_that_are_kept_by_name_keep_their_boxes(tmp_path: Path) -> None:
    """They are read, not copied."""
    found = read_one(
        tmp_path, ".jsonl", json.dumps({"url": URL, "bbox": CORNERS, "label": "cat", "n": 1}).encode(), keep_columns=["n", "bbox"]
    )
    assert isinstance(found, Candidate)
    assert (len(found.boxes), found.extra) == (2, {"n": 1})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([[1, 2, 3]], "box 1 is not four numbers [x, y, width, height]: [1, 2, 3]"),
        ([[1, 2, 3, 4], [1, 2, "3", 4]], "box 2 is not four numbers"),
        ([[1, 2, 3, True]], "box 1 is not four numbers"),
        ([[1, 2, 3, None]], "box 1 is not four numbers"),
        ([[1, 2, 0, 4]], "box 1 has no size: width 0, height 4"),
        ([[1, 2, 3, -4]], "box 1 has no size"),
        ([[1, 2, 3e9, 4]], "box 1 is larger than any picture"),
        ([[1, 2, 10**400, 4]], "box 1 is larger than any picture"),
        ([[1, 2, 3, 4]] * (MAX_BOXES + 1), f"{MAX_BOXES + 1} boxes, at most {MAX_BOXES} are taken"),
        ({"bbox": CORNERS, "category": ["cat"]}, "2 boxes, and not as many classes"),
        ({"x": 1}, "no list 'bbox' or 'bboxes' in it"),
        (["cat"], "box 1 is not four numbers"),
        ({"bbox": CORNERS}, "box 1 has no class: add 'category' to it, or a label to the row"),
    ],
)
def test_what_is_no_box_is_a_problem_of_its_line(value: Any, problem: str, tmp_path: Path) -> None:
    """That names the column and the box."""
    row = {"url": URL, "objects": value} | ({} if "no class" in problem else {"label": "cat"})
    found = read_one(tmp_path, ".jsonl", json.dumps(row).encode())
    assert isinstance(found, ListProblem)
    assert found.line == 1
    assert found.message.startswith(f"the boxes of the column 'objects': {problem}")


def test_not_a_number_is_no_box() -> None:
    """Where a list has it as a number."""
    with pytest.raises(ValueError, match="box 1 is not four numbers"):
        boxes.read_boxes([[1.0, 2.0, float("nan"), 4.0]], "cat")


def test_a_request_gives_them_as_objects(tmp_path: Path) -> None:
    """What the API takes is a row of a list."""
    image = ListedImage.model_validate({"url": URL, "boxes": [{"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4.5}]})
    assert boxes_of(tmp_path, image.model_dump(exclude_none=True)) == (CAT,)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["bbox", "category", "x", "label", "z"]), inner, max_size=3)
    ),
    max_leaves=15,
)


@given(value=VALUES, label=st.none() | st.just("a"))
def test_no_value_raises_anything_else(value: Any, label: str | None) -> None:
    """Boxes with a size and a class, or one kind of error."""
    found = boxes.find_boxes(value)
    if found is None:
        return
    try:
        read = boxes.read_boxes(found, label)
    except ValueError:
        return
    assert all(box.label and min(box.width, box.height) > 0 for box in read)
