"""C20 to C26: certificates, handshakes, names and ports that lead nowhere."""

import asyncio
import datetime
import socket
from collections.abc import Callable

import trustme

import errors
from downloader import FetchFailed
from tests.downloader.conformance.rows import IMPATIENT, Ending, Row, Scene, answering, final, ok, retried, tls_origin
from tests.origin import Origin, Step, raw, reset

__all__ = ["ROWS"]

PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def at(host: str) -> Callable[[Scene], str]:
    return lambda scene: scene.origin.url("/x", host=host)


def expired(authority: trustme.CA) -> Origin:
    return tls_origin("good.test", authority=authority, not_after=PAST)


def unknown(authority: trustme.CA) -> Origin:
    return tls_origin("good.test", authority=trustme.CA())


def named(*names: str) -> Callable[[trustme.CA], Origin]:
    return lambda authority: tls_origin(*names, authority=authority)


def greeting(step: Step) -> Callable[[trustme.CA], Origin]:
    return lambda authority: Origin(greeting=step)


def refused(words: str) -> Callable[[Scene, Ending], None]:
    """One connection, the certificate's fault in words, and no request that trusted it all the same."""

    def check(scene: Scene, ending: Ending) -> None:
        assert isinstance(ending.outcome, FetchFailed)
        assert words in ending.outcome.message
        assert len(scene.dials.made) == 1

    return check


def three_handshakes(scene: Scene, ending: Ending) -> None:
    """Each attempt is one connection: no hidden repeat, no fall-back to plain HTTP."""
    assert len(scene.dials.made) == 3


def over_tls(scene: Scene) -> str:
    return scene.origin.url("/x", host="good.test").replace("http://", "https://")


async def silent(host: str) -> list[str]:
    await asyncio.Event().wait()
    return []


def nowhere(scene: Scene) -> str:
    """A port on which nobody listens: it was the second origin's."""
    scene.dials.expected.discard(scene.other.port)
    return scene.other.url("/x")


ROWS: list[Row] = [
    final("C20", errors.TLSError, serve=expired, url=at("good.test"), requests=0, attempts=1, check=refused("expired")),
    final("C21", errors.TLSError, serve=unknown, url=at("good.test"), requests=0, attempts=1, check=refused("certificate refused")),
    final(
        "C22", errors.TLSError, serve=named("other.test"), url=at("good.test"), requests=0, attempts=1, check=refused("certificate refused")
    ),
    final(
        "C22-address",
        errors.TLSError,
        serve=named("good.test"),
        url=at("127.0.0.1"),
        requests=0,
        attempts=1,
        check=refused("certificate refused"),
    ),
    ok("C22-right-name", serve=named("good.test"), url=at("good.test")),
    ok("C22-wildcard", serve=named("*.good.test"), url=at("a.good.test")),
    final("C22-wildcard-two-levels", errors.TLSError, serve=named("*.good.test"), url=at("a.b.good.test"), requests=0, attempts=1),
    retried("C23-reset", errors.NetworkError, serve=greeting(reset()), url=over_tls, requests=0, attempts=3, check=three_handshakes),
    retried("C23-close", errors.NetworkError, serve=greeting(raw(b"")), url=over_tls, requests=0, attempts=3, check=three_handshakes),
    retried(
        "C23-plain-http",
        errors.NetworkError,
        serve=greeting(raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")),
        url=over_tls,
        requests=0,
        attempts=3,
        check=three_handshakes,
    ),
    retried("C23-silent", errors.TimeoutException, url=over_tls, requests=0, attempts=3, limits=IMPATIENT, check=three_handshakes),
    final("C24", errors.HostNotFoundError, url=at("gone.test"), lookup=answering(gone_test=socket.EAI_NONAME), requests=0, attempts=1),
    final("C24-no-address", errors.HostNotFoundError, url=at("gone.test"), lookup=answering(gone_test=[]), requests=0, attempts=1),
    retried("C25", errors.NetworkError, url=at("later.test"), lookup=answering(later_test=socket.EAI_AGAIN), requests=0, attempts=3),
    retried("C25-fail", errors.NetworkError, url=at("later.test"), lookup=answering(later_test=socket.EAI_FAIL), requests=0, attempts=3),
    retried("C25-silent", errors.TimeoutException, url=at("slow.test"), lookup=silent, limits=IMPATIENT, requests=0, attempts=3),
    retried("C26", errors.NetworkError, url=nowhere, requests=0, attempts=3),
]
