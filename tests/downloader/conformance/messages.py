"""C45 to C53: replies that are not quite HTTP, and replies that only look odd."""

import errors
from downloader import Fetched
from tests.downloader.conformance.rows import HEAD, Ending, Row, Scene, final, ok
from tests.origin import JPEG, Step, raw

__all__ = ["ROWS"]

LENGTH = b"Content-Length: %d\r\n" % len(JPEG)


def lines(*headers: bytes, status: bytes = b"HTTP/1.1 200 OK", body: bytes = JPEG) -> Step:
    """Answer with these raw header lines."""
    return raw(b"\r\n".join([status, *headers, b"", b""]) + body)


def never_another_body(scene: Scene, ending: Ending) -> None:
    """Refused or whole: the bytes announced, and the connection not used again."""
    if isinstance(ending.outcome, Fetched):
        assert ending.outcome.body == JPEG


def either(name: str, step: Step) -> Row:
    """The table leaves the choice between a refusal and the body announced."""
    return Row(name, (step,), ends=("ok", errors.ProtocolError.reason), error=errors.ProtocolError, check=never_another_body)


def whole(scene: Scene, ending: Ending) -> None:
    assert isinstance(ending.outcome, Fetched)
    assert ending.outcome.body == JPEG


SAID = str(len(JPEG)).encode()

ROWS: list[Row] = [
    either("C45", lines(b"Content-Length: " + SAID, body=JPEG + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")),
    either("C46-twice", lines(b"Content-Length: " + SAID, b"Content-Length: " + SAID)),
    either("C46-list", lines(b"Content-Length: " + SAID + b", " + SAID)),
    final("C47-two-lengths", errors.ProtocolError, lines(b"Content-Length: 2", b"Content-Length: 5")),
    final("C47-negative", errors.ProtocolError, lines(b"Content-Length: -2")),
    final("C47-signed", errors.ProtocolError, lines(b"Content-Length: +2")),
    final("C47-word", errors.ProtocolError, lines(b"Content-Length: many")),
    final("C47-20-digits", errors.ProtocolError, lines(b"Content-Length: 99999999999999999999")),
    final(
        "C47-with-chunks", errors.ProtocolError, lines(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n")
    ),
    ok("C48", raw(b"HTTP/1.0 200 OK\r\n\r\n" + JPEG), check=whole),
    ok("C48-1.1", raw(HEAD + b"Connection: close\r\n\r\n" + JPEG), check=whole),
    final("C49-http-0.9", errors.ProtocolError, raw(JPEG)),
    final("C49-ssh", errors.ProtocolError, raw(b"SSH-2.0-OpenSSH_9.2\r\n")),
    final("C49-smtp", errors.ProtocolError, raw(b"220 mail.test ESMTP\r\n")),
    final("C49-http-2", errors.ProtocolError, raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
    final("C49-nul", errors.ProtocolError, raw(b"\0\0\0\0\r\n\r\n")),
    final("C49-html", errors.ProtocolError, raw(b"<html><body>hello</body></html>\r\n\r\n")),
    final("C50-no-colon", errors.ProtocolError, lines(LENGTH.strip(), b"nonsense")),
    final("C50-space-in-name", errors.ProtocolError, lines(LENGTH.strip(), b"a b: c")),
    final("C50-nul-in-value", errors.ProtocolError, lines(LENGTH.strip(), b"a: b\0c")),
    final("C50-empty-name", errors.ProtocolError, lines(LENGTH.strip(), b": c")),
    ok("C51-high-bytes", lines(LENGTH.strip(), b"x: \x80\xff\xfc"), check=whole),
    ok("C51-folded", lines(LENGTH.strip(), b"x: a\r\n b"), check=whole),
    ok("C51-bare-line-feeds", raw(b"HTTP/1.1 200 OK\n" + LENGTH.strip() + b"\n\n" + JPEG), check=whole),
    ok("C51-no-phrase", lines(LENGTH.strip(), status=b"HTTP/1.1 200"), check=whole),
    ok("C51-lower-case", lines(LENGTH.strip().lower()), check=whole),
    final("C51-http-9.9", errors.ProtocolError, lines(LENGTH.strip(), status=b"HTTP/9.9 200 OK")),
    final("C52-200-kb", errors.ProtocolError, lines(LENGTH.strip(), b"x: " + b"y" * 200_000)),
    final("C52-90-kb-in-all", errors.ProtocolError, lines(LENGTH.strip(), *(b"x%d: %b" % (n, b"y" * 30_000) for n in range(3)))),
    final("C52-5000-headers", errors.ProtocolError, lines(LENGTH.strip(), *(b"x%d: y" % n for n in range(5000)))),
    ok("C52-100-headers", lines(LENGTH.strip(), *(b"x%d: y" % n for n in range(100))), check=whole),
    final("C53-101", errors.ProtocolError, raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n")),
    final("C53-101-unasked", errors.ProtocolError, raw(b"HTTP/1.1 101 X\r\n\r\n")),
    *(
        ok(f"C53-{status}-then-200", raw(b"HTTP/1.1 %d X\r\n\r\n" % status + HEAD + LENGTH + b"\r\n" + JPEG), check=whole)
        for status in (100, 102, 103)
    ),
]
