"""What the values of a list mean."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.discovery.lists import values

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("value", "untyped", "typed"),
    [
        *((word, True, True) for word in ("", "  ", "\t", "nan", "NaN", " nan ", "-nan", "<NA>", "NaT")),
        *((word, True, False) for word in ("None", "null", "NULL", "N/A", "n/a", "#N/A", "[]", "\\N")),
        *((word, False, False) for word in ("NA", "none", "inf", "0", "false", "nano", "Nan Goldin")),
        *((value, True, True) for value in (None, NAN, INF, -INF, Decimal("NaN"))),
        *((value, False, False) for value in (0, 0.0, False, [], Decimal(0))),
    ],
)
def test_is_missing_when_typed_or_not(value: object, untyped: bool, typed: bool) -> None:
    """Words for a missing value count where cells have no type; printed missing values everywhere."""
    assert values.is_missing(value, typed=False) is untyped
    assert values.is_missing(value, typed=True) is typed


@pytest.mark.parametrize(
    ("value", "label"),
    [
        *((value, "0") for value in (0, 0.0, -0.0, "0", "0.0", "-0.0", Decimal("0.00"))),
        *((value, "7") for value in (7, 7.0, "7.0", Decimal("7.0"), b"7")),
        *((value, "1.5") for value in (1.5, "1.5", Decimal("1.5"))),
        *((text, text) for text in ("1.50", "2.00", "007", "01.0", "1e3", "v1.0")),
        (2**53 + 1, "9007199254740993"),
        (1e22, "1e+22"),
        (True, "True"),
        (date(2020, 1, 2), "2020-01-02"),
        (datetime(2020, 1, 2, 3, 4, tzinfo=UTC), "2020-01-02T03:04:00+00:00"),
        (time(3, 4), "03:04:00"),
        (timedelta(hours=1), "1:00:00"),
        (" Cat\t dog ", "Cat dog"),
    ],
)
def test_identifiers_when_numbers_are_whole(value: object, label: str) -> None:
    """A whole float is a whole number; a decimal that is a name of its own stays."""
    assert list(values.identifiers(value, 100, typed=True)) == [label]


@pytest.mark.parametrize(
    ("cell", "labels", "captions"),
    [
        ("['a', \"b's\"]", ["a", "b's"], ["a", "b's"]),
        ('["a", null, "c"]', ["a", "c"], ["a", "c"]),
        ("[1, 2.0]", ["1", "2"], ["[1, 2.0]"]),
        ("['a b' 'c']", ["a b", "c"], ["a b", "c"]),
        ("['a'\n\"it's\" None]", ["a", "it's"], ["a", "it's"]),
        ("['it\\'s', nan, 'b',]", ["it's", "b"], ["it's", "b"]),
        ('[null, "b"]', ["b"], ["b"]),
        ("[nan]", [], []),
        ("[0. 1.5 -2]", ["0", "1.5", "-2"], ["[0. 1.5 -2]"]),
        ("[true, false]", ["True", "False"], ["[true, false]"]),
        ("['a''b']", ["['a''b']"], ["['a''b']"]),
        ("[1, 2", ["[1, 2"], ["[1, 2"]),
        ("[broken", ["[broken"], ["[broken"]),
        ("['broken, 'x']", ["['broken, 'x']"], ["['broken, 'x']"]),
        ("[a]", ["[a]"], ["[a]"]),
    ],
)
def test_texts_when_a_cell_holds_a_printed_list(cell: str, labels: list[str], captions: list[str]) -> None:
    """As JSON, Python or numpy prints it; what is none stays as it is. With types a text is a text."""
    assert list(values.identifiers(cell, 100, typed=False)) == labels
    assert list(values.texts(cell, 100, typed=False)) == captions
    assert list(values.texts(cell, 100, typed=True)) == [cell.replace("\n", " ")]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("a\x00b", "ab"),
        (3, 3),
        (2**63 - 1, 2**63 - 1),
        (2**63, str(2**63)),
        (0.25, 0.25),
        (NAN, None),
        (True, True),
        (Decimal("1.50"), "1.50"),
        (date(2020, 1, 2), "2020-01-02"),
        ([1], None),
        ({}, None),
    ],
)
def test_keep_when_typed(value: object, kept: Any) -> None:
    """Single values in their types, as JSON can hold them."""
    found = values.keep(value, typed=True, nested=False)
    assert (found, type(found)) == (kept, type(kept))


def test_keep_when_untyped_or_nested() -> None:
    """Text without a type comes in a list; lists and objects are JSON, if asked for and not too long."""
    assert values.keep("0.10", typed=False, nested=False) == ["0.10"]
    assert values.keep(" ", typed=False, nested=True) is None
    assert values.keep([{"a": date(2020, 1, 2)}], typed=True, nested=True) == '[{"a": "2020-01-02"}]'
    assert values.keep(["x" * 100_000], typed=True, nested=True) is None
