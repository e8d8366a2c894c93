"""Tests of app.gallery.filters: what is no filter is refused with its name, its value, and what there is."""

import pytest

import errors
from app.db import paging
from app.gallery.filters import Filter, Place, Range, Sort


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Filter.of({"colour": ["red"]}),
            "'colour' is no category; there are state, reason, label, split, source, license, host, format or reviewed",
        ),
        (lambda: Filter.of({"label": map(str, range(101))}), "label has 101 values; at most 100 are taken"),
        (lambda: Filter.of(ranges=[Range("weight", 1)]), "'weight' is no number of an image; there are width, height"),
        (lambda: Filter.of(ranges=[Range("width", 2, 1.5)]), "min_width 2 is above max_width 1.5"),
        (
            lambda: Filter.of(where="caption ~ dog"),
            "where asks for caption, which a list of images is not searched by; there is label, split",
        ),
        (lambda: Filter.of(where="width >"), "position 8: the selection ends: expected a value of width"),
        (lambda: Sort.parse("beauty"), "sort 'beauty' does not exist; there is id, width, height"),
        (lambda: Sort.parse("--width"), "sort '--width' does not exist"),
        (lambda: Place.decode(paging.encode("-width", "1.0", 7), Sort("width")), "cursor is not one of a list sorted by width"),
        (lambda: Place.decode(paging.encode("width", "wide", 7), Sort("width")), "cursor is not one of a list sorted by width"),
        (lambda: Place.decode(paging.encode(7), Sort("width")), "cursor is not one that this list returned"),
    ],
)
def test_what_is_no_filter_is_refused_by_name(make: object, words: str) -> None:
    with pytest.raises(errors.ValidationError) as refused:
        make()  # type: ignore[operator]
    assert words in str(refused.value)


def test_what_limits_nothing_is_left_out() -> None:
    """So that equal questions are equal, and are answered once."""
    assert Filter.of({"label": [], "split": ["b", "a", "b"]}, [Range("width")], text=" ", where="") == Filter.of({"split": ["a", "b"]})


def test_a_cursor_in_the_order_of_the_ids_is_that_of_every_list() -> None:
    """A list that an index began goes on from columns."""
    assert Place(None, 7).encode(Sort()) == paging.encode(7)
    assert Place.decode(paging.encode(7), Sort()) == Place(None, 7)
