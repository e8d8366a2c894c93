"""Tests of app.db.paging: cursors that only we can have written, and the rows beyond them."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, String, Table

import errors
from app.db import paging

TIMES = st.floats(min_value=0, max_value=1e11)
IDS = st.from_regex("[a-z]{2,6}_[0-9a-f]{32}", fullmatch=True)


def cursor_of(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@given(st.tuples(TIMES, IDS))
def test_a_cursor_gives_its_values_back(values: tuple[float, str]) -> None:
    """Exactly, to the last bit of a time, and in characters that need no escaping in a URL."""
    cursor = paging.encode(*values)
    assert paging.decode(cursor, float, str) == values
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text() | st.text(alphabet="ABCabc012-_=", max_size=40))
def test_anything_else_is_refused(cursor: str) -> None:
    """No text of anybody's makes anything but a ValidationError, or a cursor that we could have written."""
    try:
        values = paging.decode(cursor, float, str)
    except errors.ValidationError:
        return
    assert paging.encode(*values) == cursor


@pytest.mark.parametrize(
    "value",
    [
        [], [1, 2], {"0": 1}, "text", None, 5, [True], ["1"], [1.0], [None], [[1]],
        [2**63], [-(2**63) - 1], [float("inf")], [float("nan")], [10**400],
    ],
)  # fmt: skip
def test_values_that_no_list_orders_by_are_refused(value: Any) -> None:
    """Wrong shapes and types, and numbers that no database holds."""
    with pytest.raises(errors.ValidationError, match="omit it to start at the beginning"):
        paging.decode(cursor_of(value), int)


@pytest.mark.parametrize("text", ["nul\0", "half \ud800", "line\n", "é"])
def test_text_that_is_no_id_is_refused(text: str) -> None:
    """Nor does any text that a database would choke on pass for an id."""
    with pytest.raises(errors.ValidationError):
        paging.decode(cursor_of([1.0, text]), float, str)


def test_a_cursor_that_is_nested_without_end_is_refused() -> None:
    """A parser that runs out of stack is no server error."""
    with pytest.raises(errors.ValidationError):
        paging.decode(base64.urlsafe_b64encode(b"[" * 100_000).decode(), int)


@pytest.mark.parametrize(("descending", "sign"), [(True, "<"), (False, ">")])
def test_the_condition_compares_whole_keys(descending: bool, sign: str) -> None:
    """Row values, so that rows of the same moment are told apart by their ids."""
    table = Table("t", MetaData(), Column("a", String), Column("b", String))
    condition = paging.after([table.c.a, table.c.b], ("x", "y"), descending=descending)
    assert str(condition.compile(compile_kwargs={"literal_binds": True})) == f"(t.a, t.b) {sign} ('x', 'y')"
