"""C54 to C67: too much, too little, packed, mislabelled, unasked and unwanted bodies."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import errors
from downloader import Fetched
from tests.bombs import gzip_zeros, zlib_zeros
from tests.downloader.conformance.rows import HEAD, WAITS, Ending, Row, Scene, final, ok, retried
from tests.origin import JPEG, Exchange, Step, image, raw, reply, reset

__all__ = ["ROWS"]

MB = 1_000_000
PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)
PAGE = b"<!doctype html><title>Sign in</title>"
WHOLE_RANGE = f"bytes 0-{len(JPEG) - 1}/{len(JPEG)}"
BOMB = gzip_zeros(50)


def packed(data: bytes, coding: str = "gzip") -> Step:
    return reply(200, data, {"Content-Encoding": coding, "Content-Type": "image/jpeg"})


def part(status: int, content_range: str) -> Step:
    """The image, with what Content-Range says of it."""
    return reply(status, JPEG, {"Content-Range": content_range} if content_range else {})


class Tap:
    """Answers with a head and then zeros for as long as they are taken, and counts them."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self.sent_bytes = 0

    async def __call__(self, exchange: Exchange) -> None:
        self.sent_bytes = 0
        await exchange.send(self._head)
        while not exchange.stopping.is_set():
            await exchange.send(bytes(65_536))
            self.sent_bytes += 65_536

    def little(self, scene: Scene, ending: Ending) -> None:
        """What was sent is the limit and what the two sockets hold, not more."""
        assert self.sent_bytes < scene.downloader._limits.max_bytes + 8 * MB


ANNOUNCED = Tap(HEAD + b"Content-Length: 11000000\r\n\r\n")
ENDLESS = Tap(HEAD + b"\r\n")


def light(scene: Scene, ending: Ending) -> None:
    """The bomb never was in memory."""
    assert tracemalloc.get_traced_memory()[1] < 16 * MB


def armed(scene: Scene) -> str:
    tracemalloc.reset_peak()
    return scene.origin.url("/x")


def is_really(media_type: str) -> Callable[[Scene, Ending], None]:
    """The bytes say what they are, whatever the header said."""

    def check(scene: Scene, ending: Ending) -> None:
        assert isinstance(ending.outcome, Fetched)
        assert ending.outcome.media_type == media_type

    return check


def never_a_part(scene: Scene, ending: Ending) -> None:
    """We do not resume: no request asks for a range, and the body is whole."""
    for hit in scene.origin.log:
        assert not set(hit.headers) & {"range", "if-range", "if-none-match", "if-modified-since"}
    if isinstance(ending.outcome, Fetched):
        assert ending.outcome.body == JPEG


def as_it_came(scene: Scene, ending: Ending) -> None:
    assert ending.outcome.body == JPEG  # type: ignore[union-attr]


def on_record(evidence: str) -> Callable[[Scene, Ending], None]:
    def check(scene: Scene, ending: Ending) -> None:
        assert ending.outcome.evidence == evidence  # type: ignore[union-attr]

    return check


CUT = reset(HEAD + b'ETag: "1"\r\nAccept-Ranges: bytes\r\nContent-Length: 1000\r\n\r\n' + JPEG[:100])

ROWS: list[Row] = [
    final("C54", errors.TooLargeError, ANNOUNCED, check=ANNOUNCED.little),
    final("C55", errors.TooLargeError, ENDLESS, check=ENDLESS.little),
    final("C55-one-byte-over", errors.TooLargeError, reply(200, JPEG + b"x"), limits={"max_bytes": len(JPEG)}),
    ok("C55-to-the-byte", limits={"max_bytes": len(JPEG)}),
    final("C56", errors.TooLargeError, packed(BOMB), url=armed, check=light),
    final("C56-deflate", errors.TooLargeError, packed(zlib_zeros(50), "deflate"), url=armed, check=light),
    final("C57", errors.ProtocolError, packed(gzip.compress(BOMB), "gzip, gzip"), url=armed, check=light),
    final("C57-two-headers", errors.ProtocolError, reply(200, BOMB, [("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")])),
    ok("C58-not-packed", packed(JPEG), check=as_it_came),
    ok("C58-not-deflated", packed(JPEG, "deflate"), check=as_it_came),
    final("C58-bad", errors.ProtocolError, packed(b"\x1f\x8b\x08" + bytes(90))),
    retried("C58-cut", errors.TruncatedBodyError, packed(gzip.compress(JPEG)[:-4])),
    final("C58-junk-after", errors.ProtocolError, packed(gzip.compress(JPEG) + b"junk")),
    final("C58-second-member", errors.ProtocolError, packed(gzip.compress(JPEG) + gzip.compress(b"more"))),
    ok("C58-well", packed(gzip.compress(JPEG))),
    ok("C58-deflate", packed(zlib.compress(JPEG), "deflate")),
    ok("C58-bare-deflate", packed(zlib.compress(JPEG)[2:-4], "deflate")),
    *(
        ok(f"C59-{coding}", packed(JPEG, coding), check=as_it_came)
        for coding in ("br", "zstd", "x-unknown", "UTF-8", "aws-chunked", "none", "binary", "image/jpeg", "", "gzip, gzip")
    ),
    ok("C59-aws-gzip", packed(gzip.compress(JPEG), "aws-chunked,GZIP;q=1"), check=as_it_came),
    *(final(f"C59-really-{coding}", errors.ProtocolError, packed(b"\x0b\x02\x80abc", coding)) for coding in ("br", "zstd", "compress")),
    ok("C59-identity", packed(JPEG, "identity")),
    ok("C60", reply(200, PNG, {"Content-Type": "image/jpeg"}), check=is_really("image/png")),
    final("C61-page", errors.NotAnImageError, reply(200, PAGE, {"Content-Type": "text/html"})),
    final("C61-lying", errors.NotAnImageError, reply(200, PAGE, {"Content-Type": "image/jpeg"})),
    final("C61-video", errors.NotAnImageError, reply(200, b"\0\0\0\x18ftypmp42" + bytes(40), {"Content-Type": "image/jpeg"})),
    final("C61-svg", errors.NotAnImageError, reply(200, b'<svg xmlns="http://www.w3.org/2000/svg"/>', {"Content-Type": "image/svg+xml"})),
    ok("C62-octets", reply(200, JPEG, {"Content-Type": "application/octet-stream"}), check=is_really("image/jpeg")),
    ok("C62-untyped", reply(200, JPEG), check=is_really("image/jpeg")),
    ok("C62-nonsense", reply(200, JPEG, {"Content-Type": "; ;;"}), check=is_really("image/jpeg")),
    final("C63-nothing", errors.EmptyBodyError, reply(200)),
    final("C63-nothing-chunked", errors.EmptyBodyError, raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
    final("C63-nothing-packed", errors.EmptyBodyError, packed(gzip.compress(b""))),
    *(final(f"C63-{status}", errors.EmptyBodyError, reply(status)) for status in (204, 205)),
    *(
        ok(f"C64-{name}", part(206, said), check=never_a_part)
        for name, said in (("whole", WHOLE_RANGE), ("sign", WHOLE_RANGE.replace(" ", "=")))
    ),
    *(
        final(f"C64-{name}", errors.ProtocolError, part(206, said), check=never_a_part)
        for name, said in (
            ("nothing-said", ""),
            ("unknown-size", "bytes 0-221/*"),
            ("first-part", "bytes 0-221/999"),
            ("last", "bytes 1-222/223"),
        )
    ),
    retried("C64-short", errors.TruncatedBodyError, part(206, f"bytes 0-{len(JPEG)}/{len(JPEG) + 1}")),
    final("C64-200-first-part", errors.ProtocolError, part(200, f"bytes 0-{len(JPEG) - 1}/999")),
    ok("C64-200-whole", part(200, WHOLE_RANGE), check=as_it_came),
    ok("C64-200-nonsense", part(200, f"bytes 5-9/{len(JPEG)}"), check=as_it_came),
    final(
        "C64-wrong-range",
        errors.ProtocolError,
        CUT,
        reply(206, JPEG[50:], {"Content-Range": "bytes 50-99/999"}),
        requests=2,
        waits=(2.0,),
        check=never_a_part,
    ),
    final("C65", errors.ProtocolError, reply(304, headers={"ETag": '"1"'})),
    final("C66", errors.PermanentError, CUT, reply(416), reason="http_4xx", requests=2, waits=(2.0,), check=never_a_part),
    ok("C66-from-the-start", CUT, CUT, image(), requests=3, waits=WAITS, check=never_a_part),
    final("C67", errors.OptOutError, image(X_Robots_Tag="noai"), check=on_record("x-robots-tag: noai")),
    final("C67-images", errors.OptOutError, image(X_Robots_Tag="noindex, noimageai"), check=on_record("x-robots-tag: noindex, noimageai")),
    final("C67-tdm", errors.OptOutError, image(TDM_Reservation="1"), check=on_record("tdm-reservation: 1")),
    final("C67-usage", errors.OptOutError, image(Content_Usage="train-ai=n"), check=on_record("content-usage: train-ai=n")),
    ok("C67-switched-off", image(X_Robots_Tag="noai"), limits={"opt_out": False}),
]
