"""Tests of app.gallery.columns: what pages of rows become."""

import numpy as np

from app.gallery.filters import Filter
from app.gallery.matching import find_matches
from tests.gallery.rows import Row, columns_of


def test_the_last_row_of_an_image_counts() -> None:
    """One that changed while the pages were read came twice: it is in the columns once, as it became, with its words."""
    before = [Row(id=7, state="pending", title="old"), Row(id=8, state="pending")]
    columns = columns_of([*before, Row(id=3), Row(id=7, state="kept", title="new", width=640)])
    assert columns.ids.tolist() == [3, 7, 8]
    assert [find_matches(columns, Filter.of(text=text)).total for text in ("old", "new", "example")] == [0, 1, 3]
    assert find_matches(columns, Filter.of({"state": ["pending"]})).mask.tolist() == [False, False, True]
    assert np.nan_to_num(columns.numbers["width"]).tolist() == [0, 640, 0]


def test_categories_take_as_little_room_as_they_need() -> None:
    """A byte for each row while there are few values."""
    few, many = (columns_of([Row(id=number + 1, label=str(number)) for number in range(size)]) for size in (200, 300))
    assert [columns.codes["label"].dtype for columns in (few, many)] == [np.uint8, np.uint16]
    assert few.codes["state"].dtype == np.uint8


def test_what_is_no_number_and_no_url_is_missing() -> None:
    """Measures of another kind, a null, and a host that cannot be read."""
    odd = columns_of([Row(id=1, url="http://[bad/x.jpg", measures={"sharpness": "much", "edges": True, "entropy": 2, "frames": None})])
    assert [bool(np.isnan(odd.numbers[name][0])) for name in ("sharpness", "edges", "entropy", "frames")] == [True, True, False, True]
    assert odd.values["host"][odd.codes["host"][0]] is None
