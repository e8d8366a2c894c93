"""Tests of app.gallery.matching, and of the columns below it: the same images, counts and order as a look at each row."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gallery.fields import CATEGORIES
from app.gallery.filters import RANGED, SORTS, Filter, Range, Sort
from app.gallery.matching import FACET_VALUES, find_matches, page
from tests.gallery.rows import Row, columns_of, facets_of, filtered, ordered

WORDS = ("Lynx", "lynx", "red fox", "İstanbul", "straße", "a/b", "100%", "é", "")
URLS = ("https://a.example/x/1.jpg", "https://A.example:8443/x.jpg?key=secret", "https://user:pw@b.example/fox#lynx", "https://c.example/")
SIDES = st.none() | st.sampled_from([1, 2, 640, 641])
MEASURES = st.none() | st.dictionaries(st.sampled_from(["sharpness", "brightness"]), st.sampled_from([-1.0, 0, 0.3, 12345.6789]))

ROWS = st.lists(
    st.builds(
        Row,
        id=st.integers(1, 10**12),
        state=st.sampled_from(["kept", "failed"]),
        reason=st.sampled_from([None, "timeout"]),
        label=st.sampled_from([None, "cat", "Cat", "dog"]),
        split=st.sampled_from([None, "train"]),
        source=st.sampled_from(["list", "flickr"]),
        license=st.sampled_from([None, "CC0-1.0", "CC-BY-4.0", "all mine"]),
        media_type=st.sampled_from([None, "image/jpeg", "image/png"]),
        width=SIDES,
        height=SIDES,
        size_bytes=SIDES,
        fetched_at=st.none() | st.sampled_from([1.5, 2.5]),
        title=st.sampled_from(WORDS),
        caption=st.sampled_from(WORDS),
        url=st.sampled_from(URLS),
        reviewed=st.sampled_from([None, "keep"]),
        measures=MEASURES,
    ),
    max_size=25,
    unique_by=lambda row: row.id,
)

CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "state": st.lists(st.sampled_from(["kept", "failed", "rejected"]), max_size=2),
        "reason": st.lists(st.sampled_from(["", "timeout"]), max_size=2),
        "label": st.lists(st.sampled_from(["", "cat", "Cat", "cow"]), max_size=3),
        "license": st.lists(st.sampled_from(["", "CC0-1.0"]), max_size=2),
        "host": st.lists(st.sampled_from(["a.example", "c.example"]), max_size=2),
        "reviewed": st.lists(st.sampled_from(["", "keep"]), max_size=2),
        "format": st.lists(st.sampled_from(["", "png"]), max_size=1),
    },
)
RANGES = st.lists(
    st.builds(Range, st.sampled_from(RANGED), st.none() | st.sampled_from([-1, 0.3, 1]), st.none() | st.sampled_from([1, 12345.6789])),
    max_size=2,
)
WHERES = st.sampled_from(
    [
        None,
        "label = cat and width >= 2",
        "not (license in (cc0, by) or sharpness > 0)",
        "label is unknown or host = a.example",
        "host ~ example and format != png",
        "aspect < 1.5 or bytes is unknown",
        "license is known and sharpness != 0.3",
        "split not in (train) or source = FLICKR",
        "format = jpg and brightness = 0",
    ]
)
FILTERS = st.builds(
    lambda chosen, ranges, text, where: Filter.of(chosen, ranges, text=text, where=where),
    CHOICES,
    RANGES,
    st.sampled_from(["", "lynx", "fox red", "A/B", "STRASSE", "x/1", "secret", "pw", "user", "example", "0%", "é"]),
    WHERES,
)


@given(ROWS, FILTERS)
def test_columns_find_and_count_what_a_look_at_each_row_does(rows: list[Row], wanted: Filter) -> None:
    """Any filter; a facet leaves the choice of its own category out, and lists what is chosen even where nothing has it."""
    found = find_matches(columns_of(rows), wanted)
    rows = sorted(rows, key=lambda row: row.id)
    assert [row.id for row, is_in in zip(rows, found.mask, strict=True) if is_in] == [row.id for row in filtered(rows, wanted)]
    assert found.total == len(filtered(rows, wanted))
    for name in CATEGORIES:
        expected = facets_of(rows, wanted, name)
        chosen = dict.fromkeys(wanted.values_of(name), 0)
        assert dict(found.facets[name].counts) == chosen | expected


@given(ROWS, FILTERS, st.sampled_from(SORTS), st.booleans(), st.integers(1, 4))
def test_pages_hold_every_image_once_in_order(rows: list[Row], wanted: Filter, name: str, is_descending: bool, limit: int) -> None:
    """By any number, up and down, whatever its ties and gaps; the cursor of each page is decoded for the next one."""
    columns, sort = columns_of(rows), Sort(name, is_descending)
    mask, found, after = find_matches(columns, wanted).mask, list[int](), None
    while len(found) <= len(rows):
        ids, after = page(columns, mask, sort, after=after, limit=limit)
        found += ids
        assert len(ids) == limit or after is None
        if after is None:
            break
        after = type(after).decode(after.encode(sort), sort)
    assert found == ordered(filtered(rows, wanted), sort)


@pytest.mark.parametrize("sort", [Sort("sharpness"), Sort("sharpness", True), Sort(), Sort("id", True)])
def test_pages_go_on_where_rows_are_added(sort: Sort) -> None:
    """The next page begins behind the last image: what came before it moves nothing, what comes behind it is there."""
    rows = [Row(id=number, measures={"sharpness": number % 3}) for number in range(10, 20)]
    columns = columns_of(rows)
    first, after = page(columns, np.ones(10, np.bool_), sort, after=None, limit=4)
    more = [
        *rows,
        *(
            Row(id=number, measures={"sharpness": value})
            for number, value in ((5, -9), (6, 99), (30, 1), (31, None), (32, 0))
            if value is not None
        ),
    ]
    grown = columns_of(more)
    rest, _ = page(grown, np.ones(grown.size, np.bool_), sort, after=after, limit=100)
    expected = ordered(more, sort)
    assert rest == expected[expected.index(first[-1]) + 1 :]


def test_a_facet_lists_its_most_frequent_values_and_those_that_are_chosen() -> None:
    """The others are counted as values only."""
    rows = [Row(id=number, label=f"label {number:03}") for number in range(1, 101)] + [Row(id=200, label="label 099")]
    facet = find_matches(columns_of(rows), Filter.of({"label": ["label 100", "none such"]})).facets["label"]
    assert list(facet.counts.items())[:2] == [("label 099", 2), ("label 001", 1)]
    assert (facet.counts["label 100"], facet.counts["none such"]) == (1, 0)
    assert (len(facet.counts), facet.more) == (FACET_VALUES + 2, 100 - FACET_VALUES - 1)


@pytest.mark.parametrize("rows", [[], [Row(id=1)]])
def test_a_small_dataset_has_columns_too(rows: list[Any]) -> None:
    """Of no image at all, and of one of which nothing is known."""
    found = find_matches(columns_of(rows), Filter.of(text="example"))
    assert found.total == len(rows)
    assert page(columns_of(rows), found.mask, Sort("bytes"), after=None, limit=5) == ([row.id for row in rows], None)
