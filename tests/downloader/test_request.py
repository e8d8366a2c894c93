"""One attempt against a scripted origin: each way a reply can be wrong has its name, its number of requests, and no body."""

import gzip
from dataclasses import replace

import pytest

from downloader import Fetched, FetchFailed, FetchLimits, RetryRules
from downloader.client import Downloader
from tests.downloader.conftest import LIMITS
from tests.origin import JPEG, Origin, drip, endless, hang_up, image, raw, redirect, reply, reset, stall

HEAD = b"HTTP/1.1 200 OK\r\n"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

FAILURES = {
    "connection reset": (reset(), "network", 3),
    "closed without a word": (hang_up(), "network", 3),
    "reset in the body": (reset(HEAD + b"Content-Length: 1000\r\n\r\nabc"), "truncated_body", 3),
    "body shorter than announced": (reply(200, b"x" * 10, length=100), "truncated_body", 3),
    "chunk cut": (raw(CHUNKED + b"5\r\nab"), "truncated_body", 3),
    "no final chunk": (raw(CHUNKED + b"2\r\nab\r\n"), "truncated_body", 3),
    "chunk size is no number": (raw(CHUNKED + b"ZZ\r\nabc\r\n0\r\n\r\n"), "protocol", 1),
    "no reply": (stall(), "timeout", 3),
    "body stalls": (stall(HEAD + b"Content-Length: 10\r\n\r\na"), "timeout", 3),
    "body drips": (drip(HEAD + b"Content-Length: 100\r\n\r\n", b"x" * 100, every_s=0.05), "timeout", 3),
    "headers drip": (drip(b"", HEAD + b"X: y\r\n" * 50, every_s=0.05), "timeout", 3),
    "banner of another protocol": (raw(b"SSH-2.0-OpenSSH\r\n"), "protocol", 1),
    "zero bytes instead of http": (raw(b"\0\0\0\0\r\n\r\n"), "protocol", 1),
    "two lengths": (raw(HEAD + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\nabcde"), "protocol", 1),
    "negative length": (raw(HEAD + b"Content-Length: -2\r\n\r\nabcde"), "protocol", 1),
    "more than announced": (raw(HEAD + b"Content-Length: 2\r\n\r\nabcde"), "protocol", 1),
    "5000 headers": (raw(HEAD + b"".join(b"x-%d: y\r\n" % number for number in range(5000)) + b"\r\nabc"), "protocol", 1),
    "200 KB header": (raw(HEAD + b"x: " + b"y" * 200_000 + b"\r\n\r\nabc"), "protocol", 1),
    "headers of 90 KB in all": (raw(HEAD + b"".join(b"x%d: %b\r\n" % (n, b"y" * 30_000) for n in range(3)) + b"\r\nabc"), "protocol", 1),
    "status 999": (reply(999), "protocol", 1),
    "switching protocols": (raw(b"HTTP/1.1 101 X\r\n\r\n"), "protocol", 1),
    "206 unasked": (reply(206, JPEG), "protocol", 1),
    "304 unasked": (reply(304), "protocol", 1),
    "204": (reply(204), "empty_body", 1),
    "205": (reply(205), "empty_body", 1),
    "200 without a body": (reply(200), "empty_body", 1),
    "too large as announced": (raw(HEAD + b"Content-Length: 1000001\r\n\r\n"), "too_large", 1),
    "endless": (endless(), "too_large", 1),
    "gzip bomb": (reply(200, gzip.compress(b"\0" * 5_000_000), {"Content-Encoding": "gzip"}), "too_large", 1),
    "two codings": (reply(200, gzip.compress(gzip.compress(JPEG)), {"Content-Encoding": "gzip, gzip"}), "protocol", 1),
    "coding not asked for": (reply(200, b"\x0b\x02\x80abc", {"Content-Encoding": "br"}), "protocol", 1),
    "broken gzip": (reply(200, b"\x1f\x8b\x08" + bytes(90), {"Content-Encoding": "gzip"}), "protocol", 1),
    "gzip cut": (reply(200, gzip.compress(JPEG)[:-4], {"Content-Encoding": "gzip"}), "truncated_body", 3),
    "login page": (reply(200, b"<html>sign in</html>", {"Content-Type": "text/html"}), "not_an_image", 1),
    "html as image": (reply(200, b"<html>no</html>", {"Content-Type": "image/jpeg"}), "not_an_image", 1),
    "noai": (image(X_Robots_Tag="noai"), "opt_out", 1),
    "redirect without location": (redirect(None), "redirect", 1),
    "redirect to nothing": (redirect(""), "redirect", 1),
    "two locations": (redirect("/a", headers=[("Location", "/b")]), "redirect", 1),
    "300": (reply(300), "redirect", 1),
    "to a file": (redirect("file:///etc/passwd"), "redirect", 1),
    "to data": (redirect("data:image/png;base64,AA"), "redirect", 1),
    "to a script": (redirect("javascript:alert(1)"), "redirect", 1),
    "to itself": (redirect("/x.jpg"), "redirect", 1),
    "to a private address": (redirect("http://10.0.0.1/x"), "blocked_address", 1),
    "to metadata": (redirect("http://169.254.169.254/latest"), "blocked_address", 1),
    "to a number": (redirect("http://167772161:1/x"), "blocked_address", 1),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_failure_has_its_reason_and_number_of_requests(case, origin, downloader, impatient, time):
    """The row of the conformance table: what the origin sends, what we call it, how often we ask."""
    step, reason, requests = FAILURES[case]
    chosen = impatient if reason == "timeout" else downloader
    outcome = await chosen.fetch(origin.script("/x.jpg", step))
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, len(origin.hits("/x.jpg"))) == (reason, requests)
    assert time.waits == [2.0, 4.0][: requests - 1]
    assert len(outcome.attempts) == requests
    assert "\n" not in outcome.message


SUCCESSES = {
    "plain": (image(), "image/jpeg"),
    "another format than announced": (reply(200, PNG, {"Content-Type": "image/jpeg"}), "image/png"),
    "no type": (reply(200, JPEG), "image/jpeg"),
    "octet stream": (reply(200, JPEG, {"Content-Type": "application/octet-stream"}), "image/jpeg"),
    "no length": (reply(200, JPEG, length=-1), "image/jpeg"),
    "http 1.0": (raw(b"HTTP/1.0 200 OK\r\n\r\n" + JPEG), "image/jpeg"),
    "chunked": (raw(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(JPEG), JPEG)), "image/jpeg"),
    "gzip": (reply(200, gzip.compress(JPEG), {"Content-Encoding": "gzip"}), "image/jpeg"),
    "early hints": (raw(b"HTTP/1.1 103 X\r\n\r\n" * 20 + HEAD + b"Content-Length: %d\r\n\r\n" % len(JPEG) + JPEG), "image/jpeg"),
    "high bytes in a header": (raw(HEAD + b"X: \xfc\xff\r\nContent-Length: %d\r\n\r\n" % len(JPEG) + JPEG), "image/jpeg"),
    "header without colon": (raw(HEAD + b"nonsense\r\nContent-Length: %d\r\n\r\n" % len(JPEG) + JPEG), "image/jpeg"),
    "unknown coding": (reply(200, JPEG, {"Content-Encoding": "UTF-8"}), "image/jpeg"),
    "no gzip": (reply(200, JPEG, {"Content-Encoding": "gzip"}), "image/jpeg"),
    "bare line feeds": (raw(b"HTTP/1.1 200 OK\nContent-Length: %d\n\n" % len(JPEG) + JPEG), "image/jpeg"),
}


@pytest.mark.parametrize("case", SUCCESSES)
async def test_success(case, origin, downloader):
    """Odd but whole replies are images; the format is read from the bytes."""
    step, media_type = SUCCESSES[case]
    outcome = await downloader.fetch(origin.script("/x.jpg", step))
    assert isinstance(outcome, Fetched), outcome
    assert outcome.media_type == media_type
    assert outcome.body in (JPEG, PNG)
    assert (outcome.status, len(outcome.attempts)) == (200, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_followed(origin, downloader, status):
    """One attempt, two requests, and the URL it ended at is recorded."""
    origin.script("/b", image())
    outcome = await downloader.fetch(origin.script("/a", redirect("/b", status)))
    assert isinstance(outcome, Fetched)
    assert (outcome.final_url, len(outcome.attempts)) == (origin.url("/b"), 1)
    assert [hit.method for hit in origin.log] == ["GET", "GET"]


async def test_redirects_are_bounded(origin, downloader):
    """Five hops are followed, the sixth is refused."""
    for hop in range(8):
        origin.script(f"/{hop}", redirect(f"/{hop + 1}"))
    origin.script("/5", image())
    assert isinstance(await downloader.fetch(origin.url("/0")), Fetched)
    origin.script("/5", redirect("/6"))
    before = len(origin.log)
    outcome = await downloader.fetch(origin.url("/0"))
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, len(origin.log) - before) == ("redirect", 6)


async def test_circle_ends_before_the_bound(origin, downloader):
    """A URL seen before in the chain is not asked again."""
    origin.script("/a", redirect("/b"))
    origin.script("/b", redirect("/a"))
    outcome = await downloader.fetch(origin.url("/a"))
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, len(origin.log)) == ("redirect", 2)


async def test_nothing_of_ours_or_theirs_is_sent_on(origin, downloader):
    """No cookie, no referrer, no credentials from a Location; identity coding; our own name."""
    origin.script("/b", image())
    where = origin.url("/b").replace("://", "://user:secret@")
    await downloader.fetch(origin.script("/a", redirect(where, headers=[("Set-Cookie", "a=b")])))
    await downloader.fetch(origin.url("/b"))
    for hit in origin.log:
        assert not set(hit.headers) & {"cookie", "authorization", "referer", "origin"}
        assert hit.headers["accept-encoding"] == "identity"
        assert hit.headers["user-agent"].startswith("pictrawl/")


async def test_formats_that_every_loader_reads_are_asked_for_first(origin, downloader):
    """AVIF is accepted and not named: many servers send it to whoever names it, others go by the weights."""
    await downloader.fetch(origin.script("/a", image()))
    accept = origin.log[0].headers["accept"]
    weights = {kind: float(weight or 1) for kind, _, weight in (part.partition(";q=") for part in accept.split(","))}
    assert weights["image/jpeg"] == weights["image/png"] > weights["image/webp"] > weights["image/*"] > weights["*/*"] > 0
    assert "avif" not in accept


async def test_no_cookie_ever_comes_back(origin, downloader):
    """Set on a failure, on a redirect, on a success, for the path, the host or its domain: the next request has none."""
    cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/; Max-Age=999"), ("Set-Cookie", "c=3; Domain=h.test; Path=/")]
    origin.script("/a", reply(503, headers=cookies), redirect("/b", headers=cookies))
    origin.script("/b", reply(200, JPEG, cookies))
    for _ in range(2):
        assert isinstance(await downloader.fetch(origin.url("/a", host="h.test")), Fetched)
    assert [hit.target for hit in origin.log] == ["/a", "/a", "/b", "/a", "/b"]
    assert not any("cookie" in hit.headers for hit in origin.log)


async def test_retry_after_is_waited_once_by_whatever_clock(origin, time):
    """A sleep that ends a little early by the wall clock is not followed by another one at the host's gate."""

    async def slightly_short(seconds):
        await time.sleep(seconds)
        time.now -= 0.01

    url = origin.script("/a", reply(503, headers={"Retry-After": "3"}))
    async with Downloader(LIMITS, RetryRules(jitter=0), sleep=slightly_short, clock=time.clock) as downloader:
        await downloader.fetch(url)
    assert time.waits == [3.0, 3.0]


async def test_retry_after_beyond_the_cap_fails_its_url_and_no_other(origin, downloader, time):
    """A host is not given up on the word of one reply: its other URLs are asked at once."""
    origin.script("/a", reply(503, headers={"Retry-After": "3601"}))
    first = await downloader.fetch(origin.url("/a"))
    second = await downloader.fetch(origin.script("/b", image()))
    assert (first.reason, first.retry_after_s) == ("retry_after_over_cap", 3601)
    assert isinstance(second, Fetched)
    assert time.waits == []


async def test_patience_with_a_redirect_counts_against_the_url(origin, time):
    """10 s at each of two redirects, of 13 s in all: there is no time left for a third attempt."""
    origin.script("/a", redirect("/b", headers=[("Retry-After", "10")]))
    origin.script("/b", reply(503))
    limits = replace(LIMITS, url_deadline_s=13.0)
    async with Downloader(limits, RetryRules(jitter=0), sleep=time.sleep, clock=time.clock) as downloader:
        outcome = await downloader.fetch(origin.url("/a"))
    assert (outcome.reason, len(outcome.attempts), time.waits) == ("service_unavailable", 2, [10.0, 2.0, 10.0])


async def test_redirect_counts_against_the_attempt_as_a_whole(origin, impatient):
    """Slow hops share one attempt's time."""
    for hop in range(5):
        origin.script(f"/{hop}", drip(b"", b"HTTP/1.1 302 X\r\nLocation: /%d\r\n\r\n" % (hop + 1), every_s=0.02))
    outcome = await impatient.fetch(origin.url("/0"))
    assert isinstance(outcome, FetchFailed)
    assert outcome.reason == "timeout"


async def test_target_is_sent_byte_for_byte(origin, downloader):
    """Signed URLs depend on it; the fragment stays here."""
    for target in ("/%2e%2e/a%zz?x=%2F&&y=a+b", "/a/../b", "/a//b?q=|^`{}[]'"):
        await downloader.fetch(origin.url(target) + "#frag")
    assert [hit.target for hit in origin.log] == ["/%2e%2e/a%zz?x=%2F&&y=a+b", "/a/../b", "/a//b?q=|^`{}[]'"]


async def test_connection_refused(downloader, time, unused_port):
    """Three attempts, then network."""
    outcome = await downloader.fetch(f"http://127.0.0.1:{unused_port}/x")
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.error, time.waits) == ("network", "NetworkError", [2.0, 4.0])


@pytest.fixture
async def unused_port():
    async with Origin() as gone:
        pass
    return gone.port


async def test_url_deadline_ends_the_attempts(origin, time):
    """The active time of a URL is bounded over its attempts; the waits count."""
    limits = FetchLimits(allow_networks=("127.0.0.0/8",), ports=(), robots=False, attempt_timeout_s=0.1, url_deadline_s=4.0)
    url = origin.script("/x", stall())
    async with Downloader(limits, RetryRules(jitter=0), sleep=time.sleep, clock=time.clock) as downloader:
        outcome = await downloader.fetch(url)
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, len(origin.hits("/x")), time.waits) == ("timeout", 2, [2.0])


async def test_closed_hop_defers_the_url(origin, time):
    """A redirect to a host that is closed defers; the request that was made is kept."""
    origin.script("/wait", reply(429, headers={"Retry-After": "60"}))
    origin.script("/a", redirect(origin.url("/b", host="other.test")))
    async with Downloader(LIMITS, RetryRules(jitter=0), sleep=time.sleep, clock=time.clock, lookup=_here) as downloader:
        await downloader.fetch(origin.url("/wait", host="other.test"))
        outcome = await downloader.fetch(origin.url("/a"))
    assert type(outcome).__name__ == "Deferred"
    assert [(attempt.number, attempt.error, attempt.status) for attempt in outcome.attempts] == [(1, "HostUnavailableError", 302)]


async def _here(host):
    return ["127.0.0.1"]
