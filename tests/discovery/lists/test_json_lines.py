"""JSON arrays and JSON lines."""

import io
import json

import pytest

from app.discovery.lists import json_lines, streams
from app.domain import Candidate, ListProblem
from app.spec import ListSpec

SPEC = ListSpec(key="k", suffix=".json")


def items(data: bytes, spec: ListSpec = SPEC, size: int = 10**9) -> list[Candidate | ListProblem]:
    class Small(io.BytesIO):
        def read(self, wanted: int | None = -1, /) -> bytes:
            return super().read(size)

    table = json_lines.table(Small(data), spec)
    return [payload if isinstance(payload, ListProblem) else table.build(payload, line, rank) for rank, line, payload in table.rows]


def shown(found: list[Candidate | ListProblem]) -> list[str | tuple[int, str]]:
    return [item.caption or item.url if isinstance(item, Candidate) else (item.line, item.message) for item in found]


ELEMENTS = [
    {"url": f"http://a.org/{n}", "caption": f'é 😀 \\ " {n}', "nested": [{"a": 1}, {"b": 2}], "width": 10 * n} for n in range(1, 30)
]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10**6])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_array_when_cut_anywhere(size: int, ascii_only: bool) -> None:
    """Where the blocks of a file end makes no difference."""
    found = items(json.dumps(ELEMENTS, ensure_ascii=ascii_only, indent=1).encode("utf-8-sig"), size=size)
    assert shown(found) == [element["caption"] for element in ELEMENTS]
    assert [item.line for item in found] == list(range(1, 30))
    assert isinstance(found[4], Candidate)
    assert (found[4].rank, found[4].width) == (4, 50)


def test_array_when_an_element_is_broken() -> None:
    """A broken element is one problem, and reading goes on with the next object."""
    found = items(
        b'[{"url": "http://a.org/1"}, {"url": nonsense, "x": "}"}, {"url": "http://a.org/3"}, {"a": 1,}, {"url": "http://a.org/5"}]'
    )
    assert shown(found) == ["http://a.org/1", (2, "broken JSON"), "http://a.org/3", (4, "broken JSON"), "http://a.org/5"]


def test_array_when_values_are_not_objects() -> None:
    """URLs are taken as they are; other values are problems."""
    found = items(b'["http://a.org/1", 12, null, ["http://a.org"], "cat", oops, " http://a.org/2"]')
    assert shown(found) == [
        "http://a.org/1",
        (2, "neither an object nor a URL"),
        (3, "neither an object nor a URL"),
        (4, "neither an object nor a URL"),
        (5, "not a URL: it does not begin with http:// or https://"),
        (6, "broken JSON"),
        "http://a.org/2",
    ]


def test_array_when_another_follows() -> None:
    """Arrays that were joined are all read; any other text behind the end is reported."""
    one, two = b'[{"url": "http://a.org/1"}]', b'["http://a.org/2"]'
    assert shown(items(one + b"\n" + two + b"[]\n")) == ["http://a.org/1", "http://a.org/2"]
    message = "text stands behind the end of the array; nothing from here on is read"
    assert shown(items(one + b" {}" + two)) == ["http://a.org/1", (2, message)]


@pytest.mark.parametrize("tail", [b"", b",", b' {"url": "http://a.o', b" {"])
def test_array_when_file_is_cut_off(tail: bytes) -> None:
    """A missing end is told; what stands before it is read."""
    found = shown(items(b'[{"url": "http://a.org/1"},' + tail))
    assert found[0] == "http://a.org/1"
    assert found[-1] == (len(found), "the array is not closed: the file is cut off here")


def test_array_when_bytes_are_not_utf8() -> None:
    """Only the element that holds them is lost."""
    found = items(b'[{"url": "http://a.org/1", "caption": "\xff"}, {"url": "http://a.org/2"}]')
    assert shown(found) == [(1, "the element is not UTF-8"), "http://a.org/2"]


def test_array_when_nested_without_end() -> None:
    """Depth is no way to bring the reader down."""
    assert shown(items(b'[{"url":' + b"[" * 100_000 + b'}, {"url": "http://a.org/2"}]'))[-1] == "http://a.org/2"


def test_array_when_an_element_is_endless() -> None:
    """An element is held up to its limit, then passed over."""
    data = b'[{"url": "' + b"x" * 3_000_000 + b'"}, {"url": "http://a.org/2"}]'
    assert shown(items(data, size=streams.BLOCK_BYTES)) == [(1, "broken JSON"), "http://a.org/2"]


def test_lines_when_good_and_bad() -> None:
    """Each line stands for itself; blank ones are no rows."""
    data = b'{"url": "http://a.org/1"}\r\n\n"http://a.org/2"\n{"url":}\n{"a": "\xff"}\n{"name": "x"}\n' + b"9" * 1_000_001 + b"\n"
    assert shown(items(data)) == [
        "http://a.org/1",
        "http://a.org/2",
        (4, "broken JSON"),
        (5, "the line is not UTF-8"),
        (6, "no key holds a URL; the keys are name"),
        (7, "the line is longer than 1000000 bytes"),
    ]


def test_lines_when_keys_differ() -> None:
    """Columns are found for each object, however many kinds there are."""
    kinds = [{f"k{n}": 1, "url": f"http://a.org/{n}"} for n in range(1, 1500)]
    data = b"\n".join(json.dumps(kind).encode() for kind in kinds)
    assert shown(items(data)) == [kind["url"] for kind in kinds]


def test_lines_when_spec_names_columns() -> None:
    """The spec's columns win; an object without the URL's is a problem."""
    found = items(
        b'{"url": "http://a.org/1", "u": "http://a.org/2"}\n{"url": "http://a.org/3"}', ListSpec(key="k", suffix=".json", url_column="u")
    )
    assert shown(found) == ["http://a.org/2", (2, "no key holds a URL; the keys are url")]


def test_lines_when_numbers_are_not_json() -> None:
    """A bare NaN, as Python and pandas write it, is a missing value; an integer keeps all its digits."""
    data = (
        b'{"url": "http://a.org/1", "caption": NaN, "label": Infinity, "x": -Infinity}\n'
        b'{"url": "http://a.org/2", "label": 123456789012345678901234567890, "x": 12345678901234567890}\n'
        b'{"url": "http://a.org/3", "caption": "None", "label": "nan", "x": {"a": 1}}\n'
    )
    for found in (items(data), items(b"[" + b",".join(data.splitlines()) + b"]")):
        first, second, third = found
        assert isinstance(first, Candidate)
        assert (first.caption, first.label, first.extra) == (None, None, {})
        assert isinstance(second, Candidate)
        assert (second.label, second.extra) == ("123456789012345678901234567890", {"x": "12345678901234567890"})
        assert isinstance(third, Candidate)
        assert (third.caption, third.label, third.extra) == ("None", None, {})


def test_table_when_values_are_left_out() -> None:
    """The names of keys with values that are not kept are known afterwards."""
    table = json_lines.table(io.BytesIO(b'{"url": "http://a.org/1", "box": [1], "captions": [{"text": "a"}]}'), SPEC)
    for rank, line, payload in table.rows:
        table.build(payload, line, rank)
    assert table.left_out == {"box", "captions"}
