"""Fields of an answer by their type."""

import pytest

import errors
from app.discovery.sources import fields


@pytest.mark.parametrize("reply", [None, [], "x", 1, [["what"], "is this"]])
def test_document_when_it_is_no_object(reply: object) -> None:
    """The error names the source that answered."""
    with pytest.raises(errors.ProtocolError, match="Some source answered with no JSON object"):
        fields.document(reply, "Some source")
    assert fields.document({"a": 1}, "Some source") == {"a": 1}


@pytest.mark.parametrize("value", [None, "x", 7, [1, "x", None, [{}]]])
def test_mapping_when_it_is_none(value: object) -> None:
    """What is no object, and no list of objects, is empty."""
    assert fields.mapping(value) == {}
    assert fields.mappings(value) == []
    assert fields.mappings([1, {"a": 1}, None]) == [{"a": 1}]


@pytest.mark.parametrize(
    ("value", "number"),
    [(0, 0), (7, 7), ("12", 12), *((other, None) for other in (True, -1, "-1", "1.5", "²", 1.5, None, [], "9" * 17, "9" * 5000, 10**18))],
)
def test_number(value: object, number: int | None) -> None:
    """Whole numbers from 0 in either form, and nothing that is too large to be one."""
    assert fields.number(value) == number


@pytest.mark.parametrize(("value", "side"), [(640, 640), ("640", 640), (0, None), (1_000_001, None), ("x", None), (True, None)])
def test_side(value: object, side: int | None) -> None:
    """No image has a side of 0 or of a million pixels and more."""
    assert fields.side(value) == side


def test_lines() -> None:
    """A field that is text in one item is a list in the next."""
    assert fields.lines("a <b>cat</b> &amp; dog", 40) == "a cat & dog"
    assert fields.lines(["Ann", None, "", "Bob\x00"], 40) == "Ann, Bob"
    assert fields.lines(["Ann", "Bob"], 5) == "Ann"
    assert [fields.lines(value, 40) for value in (None, 3, {}, [], [[]])] == [None] * 5


def test_tags() -> None:
    """Each once, in order, at most 50 of at most 100 characters."""
    assert fields.tags("Cat", ["cat", " sofa ", None, 4], None, {"x": 1}) == ("Cat", "sofa")
    assert len(fields.tags([f"tag {number}" for number in range(80)])) == 50
    assert len(fields.tags("x" * 500)[0]) == 100


def test_attribution() -> None:
    """What is not known is left out."""
    assert fields.attribution("Cat", "Ann", "NASA", "CC0-1.0") == "“Cat” by Ann via NASA (CC0-1.0)"
    assert fields.attribution(None, None, "NASA", None) == "Image via NASA"


def test_records() -> None:
    """The list of an answer, or an error that names it."""
    assert fields.records({"data": [1]}, "data") == [1]
    for odd in ({}, {"data": None}, {"data": {}}):
        with pytest.raises(errors.ProtocolError, match="no list 'data'"):
            fields.records(odd, "data")


def test_texts() -> None:
    """The texts of a list or of one text, without markup; nothing else is one."""
    assert fields.texts(["a <b>b</b>", "", 7, None, ["x"], "c"], 10) == ["a b", "c"]
    assert fields.texts("a", 10) == ["a"]
    assert fields.texts({"0": "a"}, 10) == []
