"""C01 to C19: statuses, and Retry-After in all its spellings."""

import errors
from tests.downloader.conformance.rows import WAITS, Ending, Row, Scene, final, http_date, ok, retried
from tests.origin import JPEG, Step, image, raw, redirect, reply

__all__ = ["ROWS"]


def asks(status: int, *values: str, **headers: str) -> Step:
    """Answer a status with these Retry-After headers."""
    return reply(status, headers=[*(("Retry-After", value) for value in values), *headers.items()])


def dated(status: int, form: str = "imf") -> tuple[Step, ...]:
    """GrantRequest for three more seconds each time, by date; the clock has moved by as much."""
    return tuple(asks(status, http_date(3 * number, form)) for number in (1, 2, 3))


def whole(scene: Scene, ending: Ending) -> None:
    """The bytes are the origin's, the URL is ours, nothing was waited for."""
    assert ending.outcome.body == JPEG  # type: ignore[union-attr]
    assert ending.outcome.status == 200


def asked_for_a_day(scene: Scene, ending: Ending) -> None:
    """The record says how long."""
    assert ending.outcome.retry_after_s == 86400  # type: ignore[union-attr]


NO_RETRY_AFTER = {
    "negative": "-1",
    "signed": "+5",
    "fraction": "1.5",
    "empty": "",
    "word": "soon",
    "full-width": "１２".encode().decode("latin-1"),
    "5000-digits": "9" * 5000,
    "30-digits": "9" * 30,
    "underscore": "1_000",
    "unit": "5s",
    "list": "5, 10",
    "exponent": "1e3",
    "hex": "0x10",
    "infinite": "inf",
    "nan": "NaN",
    "iso-8601": "2023-11-14T22:13:23Z",
    "no-such-day": "Fri, 32 Dec 2023 00:00:00 GMT",
    "zone": "Tue, 14 Nov 2023 22:13:23 EST",
    "no-zone": "Tue, 14 Nov 2023 22:13:23",
}

PERMANENT = {
    400: (errors.BadRequestError, "http_400"),
    401: (errors.AuthenticationError, "http_401"),
    403: (errors.AuthenticationError, "http_403"),
    404: (errors.NotFoundError, "http_404"),
    410: (errors.PermanentError, "http_410"),
    451: (errors.PermanentError, "http_451"),
    **dict.fromkeys(
        (402, 405, 406, 407, 409, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 426, 428, 431, 499),
        (errors.PermanentError, "http_4xx"),
    ),
    **dict.fromkeys((501, 505, 506, 507, 508, 510, 511, 530, 599), (errors.PermanentError, "http_5xx")),
}

UNMAPPED = {**dict.fromkeys((500, 502, 520, 521, 522, 523, 524), "http_5xx"), 408: "http_4xx", 425: "http_4xx"}
"""Often tried again elsewhere; here by the operator's leave only."""

ROWS: list[Row] = [
    ok("C01", check=whole),
    ok("C02", reply(503), reply(503), image(), requests=3, waits=WAITS),
    retried("C03", errors.RateLimitError, reply(429)),
    ok("C04", asks(429, "1"), image(), requests=2, waits=(1.0,)),
    ok("C04-spaces", asks(429, "  007 "), image(), requests=2, waits=(7.0,)),
    retried("C05", errors.RateLimitError, *dated(429), waits=(3.0, 3.0)),
    retried("C06-rfc850", errors.RateLimitError, *dated(429, "rfc850"), waits=(3.0, 3.0)),
    retried("C06-asctime", errors.RateLimitError, *dated(429, "asctime"), waits=(3.0, 3.0)),
    ok(
        "C06-leap-second",
        asks(429, "Tue, 14 Nov 2023 22:13:60 GMT", Date="Tue, 14 Nov 2023 22:13:55 GMT"),
        image(),
        requests=2,
        waits=(5.0,),
    ),
    retried("C07-past", errors.RateLimitError, asks(429, http_date(-5))),
    retried("C07-zero", errors.RateLimitError, asks(429, "0")),
    *(retried(f"C08-{name}", errors.RateLimitError, asks(429, value)) for name, value in NO_RETRY_AFTER.items()),
    retried("C08-two-bad-dates", errors.RateLimitError, asks(429, "Fri, 32 Dec 2023 00:00:00 GMT", "Xxx, 01 Jan 2024 00:00:00 GMT")),
    retried("C09", errors.RateLimitError, asks(429, "60"), waits=(), deferred=(60.0, 60.0)),
    retried("C09-date", errors.RateLimitError, *(asks(429, http_date(60 * n)) for n in (1, 2, 3)), waits=(), deferred=(60.0, 60.0)),
    ok("C09-then-well", asks(503, "11"), image(), requests=2, deferred=(11.0,)),
    ok("C09-ten-is-in-place", asks(503, "10"), image(), requests=2, waits=(10.0,)),
    ok("C09-cap-is-deferred", asks(503, "3600"), image(), requests=2, deferred=(3600.0,)),
    final("C10", errors.RetryAfterOverCapError, asks(429, "86400"), check=asked_for_a_day),
    final("C10-503", errors.RetryAfterOverCapError, asks(503, "86400"), check=asked_for_a_day),
    final("C10-one-over", errors.RetryAfterOverCapError, asks(503, "3601")),
    final("C10-year-9999", errors.RetryAfterOverCapError, asks(429, "Fri, 31 Dec 9999 23:59:59 GMT")),
    retried("C11", errors.RateLimitError, asks(429, "1", "3"), waits=(3.0, 3.0)),
    retried("C11-one-is-none", errors.RateLimitError, asks(429, "soon", "3", "-7"), waits=(3.0, 3.0)),
    *(
        retried(f"C12-{skew:+}", errors.RateLimitError, asks(429, http_date(skew + 3), Date=http_date(skew)), waits=(3.0, 3.0))
        for skew in (3600, -3600)
    ),
    final("C12-clock-off-by-days", errors.RetryAfterOverCapError, asks(429, http_date(200_003), Date=http_date(200_000))),
    retried("C13", errors.ServiceUnavailableError, asks(503, "1"), waits=(1.0, 1.0)),
    retried("C14-503-date", errors.ServiceUnavailableError, *dated(503), waits=(3.0, 3.0)),
    retried("C14-504", errors.ServiceUnavailableError, asks(504, "3"), waits=(3.0, 3.0)),
    ok("C14-301", redirect("/y", 301, [("Retry-After", "3")]), paths={"/y": [image()]}, requests=2, attempts=1, waits=(3.0,)),
    ok("C14-302-none", redirect("/y", 302, [("Retry-After", "soon")]), paths={"/y": [image()]}, requests=2, attempts=1),
    ok(
        "C14-302-later",
        redirect("/y", 302, [("Retry-After", "60")]),
        redirect("/y"),
        paths={"/y": [image()]},
        requests=3,
        attempts=2,
        deferred=(60.0,),
    ),
    retried(
        "C14-302-always-later",
        errors.ServiceUnavailableError,
        redirect("/y", 302, [("Retry-After", "60")]),
        waits=(),
        deferred=(60.0, 60.0),
    ),
    final("C14-302-over-cap", errors.RetryAfterOverCapError, redirect("/y", 302, [("Retry-After", "86400")])),
    *(
        final(f"C14-{status}", PERMANENT[status][0], asks(status, wait), reason=PERMANENT[status][1])
        for status, wait in ((404, "3"), (413, "3"))
    ),
    *(final(f"C14-{status}-long", PERMANENT[status][0], asks(status, "60"), reason=PERMANENT[status][1]) for status in (403, 404, 413)),
    final("C14-500-over-cap", errors.PermanentError, asks(500, "86400"), reason="http_5xx"),
    retried("C15", errors.ServiceUnavailableError, reply(504)),
    *(
        final(f"{'C17' if status < 500 else 'C16'}-{status}", errors.PermanentError, reply(status), reason=reason)
        for status, reason in UNMAPPED.items()
    ),
    *(
        retried(
            f"{'C17' if status < 500 else 'C16'}-{status}-extra",
            errors.ServiceUnavailableError,
            reply(status),
            rules={"extra_statuses": (status,)},
        )
        for status in UNMAPPED
    ),
    ok("C17-425-extra-then-well", reply(425), image(), requests=2, waits=(2.0,), rules={"extra_statuses": (425,)}),
    *(final(f"C18-{status}", error, reply(status), reason=reason) for status, (error, reason) in PERMANENT.items()),
    *(
        final(f"C19-{line}", errors.ProtocolError, raw(f"HTTP/1.1 {line} X\r\nContent-Length: 0\r\n\r\n".encode()))
        for line in ("999", "600", "1000", "099", "000", "-1", "2OO")
    ),
]
