"""."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.api.downloads import Slice, Unsatisfiable, disposition, has_current, parse_range


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("a.jpg", "attachment; filename=\"a.jpg\"; filename*=UTF-8''a.jpg"),
        ('a"b\\c%.tar', "attachment; filename=\"a_b_c_.tar\"; filename*=UTF-8''a%22b%5Cc%25.tar"),
        ("vogël\r\nX: y", "attachment; filename=\"vog_l__X: y\"; filename*=UTF-8''vog%C3%ABl%0D%0AX%3A%20y"),
    ],
)
def test_disposition_quotes_whatever_a_name_holds(filename: str, expected: str) -> None:
    """RFC 6266: a plain name for old clients, the exact one for the others, and no header can be broken."""
    assert disposition(filename) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", Slice(0, 1)),
        ("bytes=2-5", Slice(2, 6)),
        ("BYTES = 7-", Slice(7, 10)),
        ("bytes=7-99", Slice(7, 10)),
        ("bytes=-3", Slice(7, 10)),
        ("bytes=-99", Slice(0, 10)),
        (None, None),
        ("", None),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("bytes=" + "9" * 30 + "-", None),
    ],
)
def test_parse_range_reads_one_range_and_ignores_what_makes_no_sense(header: str | None, expected: Slice | None) -> None:
    """RFC 9110 14.1.2 and 14.2, on ten bytes."""
    assert parse_range(header, None, size=10, etag='"e"') == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=10-20", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)])
def test_parse_range_refuses_what_lies_outside(header: str, size: int) -> None:
    """416 where not one byte can be sent."""
    with pytest.raises(Unsatisfiable):
        parse_range(header, None, size=size, etag='"e"')


@pytest.mark.parametrize(
    ("if_range", "is_part"), [(None, True), ('"e"', True), ('"other"', False), ('W/"e"', False), ("Mon, 01 Jan 2024 00:00:00 GMT", False)]
)
def test_parse_range_gives_all_where_the_file_is_another_now(if_range: str | None, is_part: bool) -> None:
    """If-Range: the part only if the rest still fits (RFC 9110 13.1.5)."""
    assert (parse_range("bytes=1-2", if_range, size=10, etag='"e"') is not None) is is_part


@given(st.text(max_size=30), st.integers(0, 100))
def test_parse_range_never_leaves_the_file(text: str, size: int) -> None:
    """Whatever the header says."""
    try:
        part = parse_range("bytes=" + text, None, size=size, etag='"e"')
    except Unsatisfiable:
        return
    assert part is None or 0 <= part.start < part.stop <= size
    assert part is None or part.size == part.stop - part.start


@pytest.mark.parametrize(
    ("header", "expected"), [(None, False), ('"e"', True), ('W/"e"', True), ('"a", "e"', True), ("*", True), ('"x"', False), ("e", False)]
)
def test_has_current_compares_weakly(header: str | None, expected: bool) -> None:
    """If-None-Match (RFC 9110 13.1.2)."""
    assert has_current(header, '"e"') is expected
