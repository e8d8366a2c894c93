"""Names of columns and of what objects hold."""

from typing import Any

import pytest

from app.discovery.lists import header
from app.discovery.lists.header import Header


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("image.src", "nested"),
        ("image.alt.text", "deep"),
        ("photos.url", ["first", "second"]),
        ("photos.tags", ["a", "b", "c"]),
        ("a.b", "literal"),
        ("data.x.y", "literal inside"),
        ("data.x.z", "path beside it"),
        ("image.gone", None),
        ("image.src.more", None),
        ("gone.src", None),
    ],
)
def test_read_inside_when_path_or_literal(name: str, expected: object) -> None:
    """A dot leads into an object, unless the key itself has one; a list gives what each of its objects holds, without gaps."""
    row = {
        "image": {"src": "nested", "alt": {"text": "deep"}},
        "photos": [{"url": "first", "tags": ["a", "b"]}, {"url": None}, {"url": "second", "tags": "c"}],
        "a": {"b": "path"},
        "a.b": "literal",
        "data": {"x.y": "literal inside", "x": {"y": "path", "z": "path beside it"}},
    }
    assert header.read_inside(row, name) == expected


def test_names_inside_when_nested() -> None:
    """All names of objects, of lists that begin with one those of the first; no values, and no end without a bottom."""
    row: dict[str, Any] = {
        "url": "u",
        "image": {"src": "s", "of": {"x": 1}},
        "photos": [{"url": 1}, {"other": 2}],
        "tags": ["a"],
        "none": [],
    }
    assert list(header.names_inside(row)) == ["image.src", "image.of", "image.of.x", "photos.url"]
    deep: dict[str, Any] = {}
    for _ in range(3_000):
        deep = {"a": deep}
    assert len(list(header.names_inside(deep))) == 8


def test_position_when_names_are_alike() -> None:
    """The column of exactly this name wins, then what stands inside an object, then a name that is equal but for its case or dots."""
    known = Header.of(["image", "image_src", "a.b", "a"], ["image.src", "a.b", "Photos.url"], [0, 3])
    assert [known.position(name) for name in ("image.src", "image_src", "a.b", "IMAGE.SRC", "photos[].url", "none")] == [
        4,
        1,
        2,
        1,
        6,
        None,
    ]


def test_first_when_a_column_holds_objects() -> None:
    """An object stands for no field by its name."""
    assert Header.of(["image", "src"], ["image.src"], [0]).first(["image", "src"]) == 1
    assert Header.of(["image"], ["image.src"], [0]).first(["image"]) is None
