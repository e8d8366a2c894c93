"""Retry-After, read strictly (RFC 9110 10.2.3): what is not exactly one of its forms counts as absent. Pure."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["parse", "parse_date"]

_SECONDS: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
"""Ten digits are three centuries; more is noise, and int() has limits of its own."""

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH: Final = "(?P<month>" + "|".join(_MONTHS) + ")"
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_DATES: Final = tuple(
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        rf"(?:mon|tue|wed|thu|fri|sat|sun), (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"(?:mon|tues|wednes|thurs|fri|satur|sun)day, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"(?:mon|tue|wed|thu|fri|sat|sun) {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
"""IMF-fixdate, RFC 850 and asctime: RFC 9110 5.6.7 makes a recipient read all three."""

_SANE_SKEW_S: Final = 86_400.0
"""A server's clock that is further off than a day is not believed."""


def parse(values: Iterable[str], *, date: str | None, now: float) -> float | None:
    """Return the seconds to wait that a reply asks for, or None.

    Args:
        values: every Retry-After header of the reply; the largest valid one counts.
        date: the reply's own Date header, the clock that its dates are read against.
        now: Unix time, used where ``date`` is absent or more than a day off.

    Returns:
        More than 0, or None for absent, malformed, 0 and past.
    """
    server_now = _server_time(date, now)
    waits = [wait for value in values if (wait := _seconds(value.strip(" \t"), now, server_now)) is not None]
    return max((wait for wait in waits if wait > 0), default=None)


def parse_date(text: str, *, now: float) -> float | None:
    """Return an HTTP date as Unix time, or None where it is none of the three forms or no day that exists."""
    for pattern in _DATES:
        if parts := pattern.fullmatch(text):
            return _timestamp(parts, now)
    return None


def _seconds(value: str, now: float, server_now: float) -> float | None:
    if _SECONDS.fullmatch(value):
        return float(value)
    when = parse_date(value, now=now)
    return None if when is None else when - server_now


def _server_time(date: str | None, now: float) -> float:
    said = None if date is None else parse_date(date.strip(" \t"), now=now)
    return said if said is not None and abs(said - now) < _SANE_SKEW_S else now


def _timestamp(parts: re.Match[str], now: float) -> float | None:
    year, second = int(parts["year"]), int(parts["second"])
    if len(parts["year"]) == 2:
        year = _full_year(year, now)
    month = _MONTHS.index(parts["month"].lower()) + 1
    try:
        day = datetime(year, month, int(parts["day"]), int(parts["hour"]), int(parts["minute"]), tzinfo=UTC)
    except ValueError:
        return None
    return (day + timedelta(seconds=second)).timestamp() if second <= 60 else None


def _full_year(two_digits: int, now: float) -> int:
    """RFC 9110 5.6.7: a year that looks more than 50 years ahead is the most recent past one with those digits."""
    latest = datetime.fromtimestamp(now, UTC).year + 50
    return latest - (latest - two_digits) % 100
