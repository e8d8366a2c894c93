"""Further columns: one name and one type over the whole export."""

from typing import Any

import pytest

from app.exports.extra_columns import MAX_COLUMNS, ColumnCounter


def counted(*rows: dict[str, Any]) -> ColumnCounter:
    """A counter that has seen these samples."""
    counter = ColumnCounter()
    for row in rows:
        counter.add(row)
    return counter


@pytest.mark.parametrize(
    ("values", "dtype", "written"),
    [
        ([1, None, 2**53 + 1], "int64", [1, None, 2**53 + 1]),
        ([1, 0.5], "float64", [1.0, 0.5]),
        ([0.0, 1.0], "float64", [0.0, 1.0]),
        ([2**53 + 1, 0.5], "string", [str(2**53 + 1), "0.5"]),
        ([True, None], "bool", [True, None]),
        ([True, 1], "string", ["true", "1"]),
        (["1", "2", None], "string", ["1", "2", ""]),
        ([1, "x", None], "string", ["1", "x", ""]),
        ([["1"], None, ["-2"]], "int64", [1, None, -2]),
        ([["0.10"], ["NA"], ["3"], ["inf"]], "float64", [0.1, None, 3.0, None]),
        ([["1e-05"], ["2.5E3"]], "float64", [1e-05, 2500.0]),
        ([["true"], ["False"]], "bool", [True, False]),
        ([["1.10"], ["1.9"], ["1.10.2"]], "string", ["1.10", "1.9", "1.10.2"]),
        ([["007"], ["8"]], "string", ["007", "8"]),
        ([["12e7"], ["1"]], "string", ["12e7", "1"]),
        ([["NA"], ["DE"]], "string", ["NA", "DE"]),
        ([["NA"]], "string", ["NA"]),
        ([["9223372036854775808"], ["1"]], "string", ["9223372036854775808", "1"]),
        ([["1"], 2], "int64", [1, 2]),
    ],
)
def test_columns_have_one_type(values: list[Any], dtype: str, written: list[Any]) -> None:
    """Of text without a type the whole column decides; mixed types are text, which comes out as it went in."""
    rows = [{} if value is None else {"x": value} for value in values]
    (column,) = counted(*rows).columns(())
    found = [column.value(row) for row in rows]
    assert (column.dtype, found, [type(value) for value in found]) == (dtype, written, [type(value) for value in written])


def test_columns_are_renamed_where_a_name_is_taken() -> None:
    """In any case, and again where the new name is taken as well."""
    found = counted({"Split": 1, "list_url": 2, "url": 3, "x": 4}).columns(("split", "url"))
    assert [(column.source, column.name) for column in found] == [
        ("Split", "list_Split"),
        ("list_url", "list_url"),
        ("url", "list_url_2"),
        ("x", "x"),
    ]


def test_columns_are_bounded() -> None:
    """Objects of JSON may each have other keys; those beyond the limit are counted."""
    counter = counted(*({f"k{number}": 1} for number in range(MAX_COLUMNS + 7)))
    assert (len(counter.columns(())), counter.left_out) == (MAX_COLUMNS, 7)
