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


def named(name: str, words: str, step: Step) -> Row:
    """Refused, and the message says what the server sent."""

    def check(scene: Scene, ending: Ending) -> None:
        assert words in ending.outcome.message  # type: ignore[union-attr]

    return final(name, errors.ProtocolError, step, check=check)


def whole(scene: Scene, ending: Ending) -> None:
    assert isinstance(ending.outcome, Fetched)
    assert ending.outcome.body == JPEG


SAID = str(len(JPEG)).encode()

ROWS: list[Row] = [
    either("C45", lines(b"Content-Length: " + SAID, body=JPEG + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")),
    ok("C46-twice", lines(b"Content-Length: " + SAID, b"content-length:0" + SAID), check=whole),
    ok("C46-list", lines(b"Content-Length: " + SAID + b", " + SAID), check=whole),
    named("C47-two-lengths", "different values of Content-Length: 2, 5", lines(b"Content-Length: 2", b"Content-Length: 5")),
    *(
        named(f"C47-{name}", f'Content-Length is "{value}", not a number', lines(b"Content-Length: " + value.encode()))
        for name, value in (
            ("negative", "-2"),
            ("signed", "+2"),
            ("word", "many"),
            ("20-digits", "9" * 20),
            ("unit", "5 bytes"),
            ("empty", ""),
        )
    ),
    named(
        "C47-with-chunks",
        "both Content-Length and Transfer-Encoding",
        lines(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
    ),
    ok("C48", raw(b"HTTP/1.0 200 OK\r\n\r\n" + JPEG), check=whole),
    ok("C48-1.1", raw(HEAD + b"Connection: close\r\n\r\n" + JPEG), check=whole),
    named("C49-http-0.9", "does not begin like HTTP", raw(JPEG)),
    named("C49-ssh", 'does not begin like HTTP but with "SSH-2.0-OpenSSH_9.2"', raw(b"SSH-2.0-OpenSSH_9.2\r\n")),
    named("C49-smtp", 'does not begin like HTTP but with "220 mail.test ESMTP"', raw(b"220 mail.test ESMTP\r\n")),
    named("C49-http-2", "does not begin like HTTP", raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
    named("C49-nul", "does not begin like HTTP", raw(b"\0\0\0\0\r\n\r\n")),
    named("C49-html", "does not begin like HTTP", raw(b"<html><body>hello</body></html>\r\n\r\n")),
    ok("C50-no-colon", lines(LENGTH.strip(), b"nonsense"), check=whole),
    ok("C50-no-colon-first", lines(b"a line without a colon", b" folded: yes", LENGTH.strip()), check=whole),
    ok("C50-space-in-name", lines(LENGTH.strip(), b"a b: c"), check=whole),
    ok("C50-space-before-colon", lines(LENGTH.replace(b":", b" :").strip()), check=whole),
    ok("C50-nul-in-value", lines(LENGTH.strip(), b"a: b\0c"), check=whole),
    ok("C50-empty-name", lines(LENGTH.strip(), b": c"), check=whole),
    final("C50-opt-out-survives", errors.OptOutError, lines(b"nonsense", b"X-Robots-Tag : noai", LENGTH.strip())),
    ok("C51-high-bytes", lines(LENGTH.strip(), b"x: \x80\xff\xfc"), check=whole),
    ok("C51-folded", lines(LENGTH.strip(), b"x: a\r\n b"), check=whole),
    ok("C51-bare-line-feeds", raw(b"HTTP/1.1 200 OK\n" + LENGTH.strip() + b"\n\n" + JPEG), check=whole),
    ok("C51-no-phrase", lines(LENGTH.strip(), status=b"HTTP/1.1 200"), check=whole),
    ok("C51-spaces-in-status-line", lines(LENGTH.strip(), status=b"HTTP/1.1\t 200  OK"), check=whole),
    ok("C51-lower-case-status-line", lines(LENGTH.strip(), status=b"http/1.1 200 ok"), check=whole),
    ok("C51-lower-case", lines(LENGTH.strip().lower()), check=whole),
    named("C51-http-9.9", 'status line of the reply is not valid: "HTTP/9.9 200 OK"', lines(LENGTH.strip(), status=b"HTTP/9.9 200 OK")),
    named("C51-no-status", 'status line of the reply is not valid: "HTTP/1.1 2OO X"', lines(LENGTH.strip(), status=b"HTTP/1.1 2OO X")),
    named("C52-200-kb", "header line of the reply has more than 32768 bytes", lines(LENGTH.strip(), b"x: " + b"y" * 200_000)),
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
