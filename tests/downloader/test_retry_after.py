"""Retry-After, by RFC 9110: three date forms, plain seconds, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.retry_after import parse, parse_date

NOW = 784_111_777.0
"""Sun, 06 Nov 1994 08:49:37 GMT, the moment of RFC 9110's own examples."""


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "sun, 06 nov 1994 08:49:37 gmt"]
)
def test_three_date_forms(text):
    """IMF-fixdate, RFC 850 and asctime are one moment."""
    assert parse_date(text, now=NOW) == NOW


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 EST",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37",
        "1994-11-06T08:49:37Z",
        "06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, ０６ Nov 1994 08:49:37 GMT",
    ],
)
def test_what_is_no_date(text):
    """No zone but GMT, no day that does not exist, no other notation."""
    assert parse_date(text, now=NOW) is None


def test_leap_second_is_read():
    """:60 is the next minute's first second."""
    assert parse_date("Sun, 06 Nov 1994 08:49:60 GMT", now=NOW) == NOW + 23


def test_two_digit_year_is_never_more_than_50_years_ahead():
    """RFC 9110 5.6.7."""
    assert parse_date("Sunday, 06-Nov-44 08:49:37 GMT", now=NOW) > NOW
    assert parse_date("Sunday, 06-Nov-46 08:49:37 GMT", now=NOW) < NOW


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        (["5"], 5),
        ([" 5\t"], 5),
        (["007"], 7),
        (["99999999"], 99_999_999),
        (["1", "3"], 3),
        (["3", "junk"], 3),
        (["junk", "bad"], None),
        (["0"], None),
        (["-5"], None),
        (["+5"], None),
        (["5.5"], None),
        (["5s"], None),
        ([""], None),
        (["1e3"], None),
        (["0x10"], None),
        (["5, 10"], None),
        (["NaN"], None),
        (["inf"], None),
        (["1_000"], None),
        (["１２"], None),
        (["9" * 30], None),
        (["9" * 5000], None),
        (["Sun, 06 Nov 1994 08:51:07 GMT"], 90),
        (["Sun, 06 Nov 1994 08:49:37 GMT"], None),
        (["Sat, 05 Nov 1994 08:49:37 GMT"], None),
    ],
)
def test_parse(values, expected):
    """Seconds or a date from now on; zero, past and malformed are absent."""
    assert parse(values, date=None, now=NOW) == expected


def test_date_is_read_against_the_servers_clock():
    """A server whose clock is an hour ahead means the same wait; one that is years off is not believed."""
    ahead = "Sun, 06 Nov 1994 09:49:37 GMT"
    assert parse(["Sun, 06 Nov 1994 09:50:07 GMT"], date=ahead, now=NOW) == 30
    assert parse(["Sun, 06 Nov 1994 08:50:07 GMT"], date="Sun, 06 Nov 1970 08:49:37 GMT", now=NOW) == 30
    assert parse(["Sun, 06 Nov 1994 08:50:07 GMT"], date="yesterday", now=NOW) == 30


@given(st.lists(st.text(), max_size=3), st.none() | st.text())
def test_any_text_is_a_wait_or_none(values, date):
    """Total."""
    wait = parse(values, date=date, now=NOW)
    assert wait is None or wait > 0
