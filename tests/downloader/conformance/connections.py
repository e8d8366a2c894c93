"""C36 to C44: connections that break, stall or drip, and bodies that stop short."""

import errors
from tests.downloader.conformance.rows import HEAD, IMPATIENT, Ending, Row, Scene, final, ok, retried
from tests.origin import JPEG, drip, hang_up, image, raw, reply, reset, stall

__all__ = ["ROWS"]

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = HEAD + b"Content-Length: 1000\r\n\r\n"
WARM = {"/warm": [image()]}
"""Leaves a kept-alive connection."""

WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(JPEG) + JPEG


def three_connections(scene: Scene, ending: Ending) -> None:
    """A connection that broke is not used again."""
    assert scene.origin.connections == 3


def repeated_at_once(scene: Scene, ending: Ending) -> None:
    """The keep-alive race costs an attempt, and no wait."""
    assert scene.targets() == ["/warm", "/x", "/x"]
    assert [attempt.error for attempt in ending.attempts] == ["NetworkError", None]


ROWS: list[Row] = [
    retried("C36-reset", errors.NetworkError, reset(), check=three_connections),
    retried("C36-close", errors.NetworkError, hang_up(), check=three_connections),
    retried("C36-half-a-status-line", errors.NetworkError, raw(b"HTTP/1.1 2"), check=three_connections),
    ok("C36-then-well", reset(), image(), requests=2, waits=(2.0,)),
    *(
        ok(f"C37-{name}", step, image(), before=("/warm",), paths=WARM, requests=3, attempts=2, check=repeated_at_once)
        for name, step in (("close", hang_up()), ("reset", reset()))
    ),
    *(
        retried(f"C37-{name}-always", errors.NetworkError, step, before=("/warm",), paths=WARM, requests=4, attempts=3, waits=(4.0,))
        for name, step in (("close", hang_up()), ("reset", reset()))
    ),
    *(
        ok(f"C37-a-byte-came-{name}", step, image(), before=("/warm",), paths=WARM, requests=3, attempts=2, waits=(2.0,))
        for name, step in (("close", raw(b"H")), ("reset", reset(b"H")), ("hint", raw(b"HTTP/1.1 103 X\r\n\r\n")))
    ),
    ok("C37-after-a-503", reply(503), hang_up(), image(), requests=3, waits=(2.0, 4.0)),
    retried("C38", errors.TruncatedBodyError, reset(LONG + b"abc"), check=three_connections),
    ok("C38-then-well", reset(LONG + b"abc"), image(), requests=2, waits=(2.0,)),
    retried("C39-body", errors.TimeoutException, stall(LONG + b"abc"), limits=IMPATIENT),
    retried("C39-reply", errors.TimeoutException, stall(), limits=IMPATIENT),
    retried("C40", errors.TimeoutException, drip(LONG, b"x" * 1000, every_s=0.05), limits=IMPATIENT),
    retried("C41-headers", errors.TimeoutException, drip(b"", HEAD + b"X: y\r\n" * 500, every_s=0.05), limits=IMPATIENT),
    ok("C41-hints", raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000 + WHOLE)),
    retried("C41-endless-hints", errors.TimeoutException, drip(b"", b"HTTP/1.1 103 X\r\n\r\n" * 500, every_s=0.05), limits=IMPATIENT),
    retried("C42", errors.TruncatedBodyError, reply(200, b"x" * 100, length=1000), check=three_connections),
    retried("C42-nothing-came", errors.TruncatedBodyError, reply(200, b"", length=1000)),
    retried("C43-mid-chunk", errors.TruncatedBodyError, raw(CHUNKED + b"5\r\nab")),
    retried("C43-no-final-chunk", errors.TruncatedBodyError, raw(CHUNKED + b"2\r\nab\r\n")),
    retried("C43-cut-in-the-size", errors.TruncatedBodyError, raw(CHUNKED + b"2\r\nab\r\n1")),
    final("C44-no-number", errors.ProtocolError, raw(CHUNKED + b"ZZ\r\nabc\r\n0\r\n\r\n")),
    final("C44-negative", errors.ProtocolError, raw(CHUNKED + b"-5\r\nabc\r\n0\r\n\r\n")),
    final("C44-huge", errors.ProtocolError, raw(CHUNKED + b"F" * 40 + b"\r\nabc\r\n0\r\n\r\n")),
]
