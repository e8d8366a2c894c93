"""The downloader as its callers see it: outcomes, the attempt log, many at once, JSON."""

import asyncio
import contextlib
import gc
import hashlib
from dataclasses import replace

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import errors
import logging_setup.config
from downloader import Deferred, Fetched, FetchFailed, FetchLimits, FetchRequest, RetryRules
from downloader.client import Downloader, user_agent
from downloader.content import Body
from downloader.models import HostClosedError
from downloader.request import RequestOptions
from tests.clocks import FakeTime
from tests.downloader.conftest import LIMITS, loopback
from tests.origin import JPEG, image, redirect, reply, stall


class Log:
    """An attempt log that keeps the order of what it was told."""

    def __init__(self, refuse=None):
        self.told = []
        self.refuse = refuse

    async def reserve(self, request, number):
        self.told.append(("reserve", request.key, number))
        if self.refuse is not None:
            raise self.refuse

    def record(self, request, attempt):
        self.told.append(("record", request.key, attempt.number, attempt.error, attempt.wait_s))


async def test_fetched_says_all_about_the_body(origin, downloader):
    """Bytes, digest, real format, where from."""
    url = origin.script("/a.jpg", image(X_License="CC0"))
    outcome = await downloader.fetch(FetchRequest(url, key=("job", 1)))
    assert isinstance(outcome, Fetched)
    assert outcome.body == JPEG
    assert outcome.sha256 == hashlib.sha256(JPEG).hexdigest()
    assert (outcome.media_type, outcome.status, outcome.final_url, outcome.request.key) == ("image/jpeg", 200, url, ("job", 1))
    assert outcome.headers["x-license"] == "CC0"
    assert outcome.attempts[0].elapsed_s > 0


async def test_attempt_is_reserved_before_and_recorded_after_its_request(origin, downloader):
    """One reservation per request, before it; the wait is known when it is recorded."""
    log = Log()
    url = origin.script("/a", reply(503), reply(404))
    await downloader.fetch(FetchRequest(url, key=7), log=log)
    assert log.told == [
        ("reserve", 7, 1),
        ("record", 7, 1, "ServiceUnavailableError", 2.0),
        ("reserve", 7, 2),
        ("record", 7, 2, "NotFoundError", 0.0),
    ]


async def test_redirect_is_reserved_once(origin, downloader):
    """Its hops belong to one attempt."""
    log = Log()
    origin.script("/b", image())
    await downloader.fetch(origin.script("/a", redirect("/b")), log=log)
    assert [entry[0] for entry in log.told] == ["reserve", "record"]


async def test_refused_url_reserves_nothing(downloader):
    """What is never dialled costs no reservation."""
    log = Log()
    outcome = await downloader.fetch("http://10.0.0.1/x", log=log)
    assert (outcome.reason, log.told) == ("blocked_address", [])


@pytest.mark.parametrize(
    "refusal", [errors.NetworkError("lease lost"), errors.DatabaseConnectionError("away"), KeyError("x"), errors.NotFoundError("x")]
)
async def test_what_reserve_raises_reaches_the_caller(origin, downloader, time, refusal):
    """Even where it looks like a fault of the URL: no request, no retry, no outcome."""
    url = origin.script("/a", image())
    with pytest.raises(type(refusal)) as caught:
        await downloader.fetch(url, log=Log(refuse=refusal))
    assert caught.value is refusal
    assert (origin.log, time.waits) == ([], [])


async def test_memory_error_and_cancellation_pass(time):
    """Neither is an outcome."""
    for error in (MemoryError(), asyncio.CancelledError()):

        def fail(request, error=error):
            raise error

        async with Downloader(FetchLimits(robots=False), transport=httpx.MockTransport(fail)) as downloader:
            with pytest.raises(type(error)):
                await downloader.fetch("http://h.test/a")


async def test_fetch_many_yields_everything(origin, downloader):
    """Good and bad, plain and asynchronous feeds."""
    good = [origin.script(f"/{number}", image()) for number in range(5)]
    urls = [FetchRequest(url, key=number) for number, url in enumerate([*good, origin.url("/gone"), "not a url"])]

    async def feed():
        for request in urls:
            yield request

    for source in (urls, feed()):
        outcomes = {outcome.request.key: outcome async for outcome in downloader.fetch_many(source)}
        assert [type(outcomes[number]).__name__ for number in range(7)] == ["Fetched"] * 5 + ["FetchFailed"] * 2


async def test_concurrency_is_shared_by_all_calls(time):
    """Two calls together are not twice as many requests on the wire."""
    now = most = 0

    async def handler(request):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return httpx.Response(200, content=JPEG)

    limits = FetchLimits(concurrency=4, robots=False)
    async with Downloader(limits, transport=httpx.MockTransport(handler)) as downloader:

        async def call(name):
            requests = [FetchRequest(f"http://{name}{number}.test/a") for number in range(12)]
            return [outcome async for outcome in downloader.fetch_many(requests)]

        both = await asyncio.gather(call("a"), call("b"))
    assert [len(outcomes) for outcomes in both] == [12, 12]
    assert most == 4


async def test_stop_finishes_what_is_in_hand(origin, time):
    """Set during the first outcome: the one beside it still comes, no other is started."""
    limits = FetchLimits(allow_networks=("127.0.0.0/8",), ports=(), robots=False, concurrency=2)
    stop, outcomes = asyncio.Event(), []
    urls = [FetchRequest(origin.script(f"/{number}", image())) for number in range(6)]
    async with Downloader(limits, sleep=time.sleep, clock=time.clock) as downloader:
        async for outcome in downloader.fetch_many(urls, stop=stop):
            outcomes.append(outcome)
            stop.set()
    assert len(outcomes) == len(origin.log) <= 3


async def test_consumer_that_leaves_cancels_the_rest(origin, downloader):
    """No task is left behind."""
    urls = [FetchRequest(origin.script("/a", image())), FetchRequest(origin.script("/b", stall()))]
    async with contextlib.aclosing(downloader.fetch_many(urls)) as outcomes:
        assert isinstance(await anext(outcomes), Fetched)
    assert len(asyncio.all_tasks()) <= 1 + len(origin._connections)
    assert downloader.hosts() == ()


async def test_our_own_fault_ends_fetch_many(origin, downloader):
    """What reserve raises is raised."""
    urls = [FetchRequest(origin.script("/a", image()))]
    with pytest.raises(errors.DatabaseConnectionError):
        async for _ in downloader.fetch_many(urls, log=Log(refuse=errors.DatabaseConnectionError("away"))):
            pass


async def test_hosts_shows_what_is_going_on(origin, downloader):
    """A progress display sees the host while it is asked, and forgets it after."""
    url = origin.script("/a", stall())
    task = asyncio.create_task(downloader.fetch(url))
    while not origin.log:
        await asyncio.sleep(0.001)
    assert [(host.host, host.in_flight) for host in downloader.hosts()] == [(f"http://127.0.0.1:{origin.port}", 1)]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert downloader.hosts() == ()


async def test_deferral_frees_the_place_at_once(origin, time):
    """One place in all, and a host that asks for a minute: the next URL is through before any time has passed."""
    origin.script("/busy", reply(429, headers={"Retry-After": "60"}))
    origin.script("/a", image())
    urls = [origin.url("/busy", host="busy.test"), origin.url("/a", host="quick.test")]
    limits, rules = replace(LIMITS, concurrency=1, per_host=1), RetryRules(jitter=0)
    async with Downloader(limits, rules, sleep=time.sleep, clock=time.clock, lookup=loopback) as narrow:
        first, second = [outcome async for outcome in narrow.fetch_many([FetchRequest(url) for url in urls])]
    assert isinstance(first, Deferred)
    assert isinstance(second, Fetched)
    assert (first.until, first.retry_after_s, time.waits) == (time.now + 60, 60, [])


async def test_an_attempt_says_how_long_it_queued_for_its_host(origin):
    """With one place at the host the second URL waits for the first; what it waited is no part of its request's time."""

    async def slow(exchange):
        await exchange.rest(0.2)
        await image()(exchange)

    url = origin.script("/slow", slow, image())
    async with Downloader(replace(LIMITS, per_host=1), RetryRules(), lookup=loopback) as downloader:
        first, second = [outcome async for outcome in downloader.fetch_many([FetchRequest(url, key=n) for n in range(2)])]
    assert second.attempts[0].queued_s > first.attempts[0].queued_s
    assert second.attempts[0].queued_s > second.attempts[0].elapsed_s


@pytest.mark.parametrize("where", ["other.test", "h.test"])
async def test_fetch_json_sends_credentials_to_nobody_else(origin, downloader, where):
    """Neither Authorization nor a cookie of the caller's goes along with a redirect, wherever it leads, nor a body."""
    origin.script("/b", reply(200, b"1"))
    origin.script("/api", redirect(origin.url("/b", host=where), 307))
    await downloader.fetch_json(origin.url("/api", host="h.test"), headers={"Authorization": "Bearer k", "Cookie": "a=b"})
    first, second = origin.log
    assert (first.headers["authorization"], first.headers["cookie"]) == ("Bearer k", "a=b")
    assert not set(second.headers) & {"authorization", "cookie"}


async def test_dead_host_is_deferred(downloader, time):
    """After five failed connections the host's URLs wait instead of knocking."""
    from tests.origin import Origin

    async with Origin() as gone:
        pass
    assert (await downloader.fetch(gone.url("/a"))).reason == "network"
    outcome = await downloader.fetch(gone.url("/b"))
    assert isinstance(outcome, Deferred)
    assert (outcome.reason, len(outcome.attempts)) == ("host_unavailable", 2)


async def test_fetch_json(origin, downloader):
    """Parameters join the query, headers go out, JSON comes back."""
    origin.script("/api", reply(200, b'{"a": [1]}'))
    assert await downloader.fetch_json(origin.url("/api?x=1"), params={"q": "cat & dog"}, headers={"Authorization": "Bearer k"}) == {
        "a": [1]
    }
    hit = origin.log[0]
    assert (hit.target, hit.headers["authorization"], hit.headers["accept"]) == ("/api?x=1&q=cat+%26+dog", "Bearer k", "application/json")


async def test_fetch_json_keeps_headers_from_other_hosts(origin, downloader):
    """A redirect gets no key of ours."""
    origin.script("/b", reply(200, b"1"))
    url = origin.script("/api", redirect(origin.url("/b", host="other.test")))
    assert await downloader.fetch_json(url, headers={"X-Api-Key": "k"}) == 1
    assert "x-api-key" not in origin.hits("/b")[0].headers


@pytest.mark.parametrize(
    ("step", "expected"),
    [(reply(200, b"<html>"), errors.ProtocolError), (reply(404), errors.NotFoundError), (reply(200, b"1" * 2000), errors.TooLargeError)],
)
async def test_fetch_json_raises(origin, downloader, step, expected):
    """Errors of the tree, nothing else."""
    with pytest.raises(expected):
        await downloader.fetch_json(origin.script("/api", step), max_bytes=1000)


async def test_fetch_json_of_a_dead_host(downloader, time):
    """A host that does not answer is unavailable, with the time it stays so."""
    async with Downloader(LIMITS, RetryRules(jitter=0), sleep=time.sleep, clock=time.clock) as own:
        own._requester.send = _deferring(time)
        with pytest.raises(errors.ServiceUnavailableError) as caught:
            await own.fetch_json("http://h.test/api")
    assert (caught.value.retry_after_s, caught.value.slug) == (30, "host_unavailable")


def _deferring(time):
    async def send(state, options):
        raise HostClosedError(time.now + 30, errors.Reason.HOST_UNAVAILABLE)

    return send


async def test_send_posts(origin, downloader):
    """Webhooks take the same way."""
    url = origin.script("/hook", reply(204), reply(200, b"ok"))
    with pytest.raises(errors.EmptyBodyError):
        await downloader.send(url, RequestOptions(1000, method="POST", content=b"{}"))
    reply_ = await downloader.send(url, RequestOptions(1000, method="POST", content=b"{}", headers={"X-Id": "1"}))
    assert (reply_.body, origin.log[1].method, origin.log[1].body, origin.log[1].headers["x-id"]) == (b"ok", "POST", b"{}", "1")


async def test_log_context_of_an_attempt(origin, downloader):
    """Every line of an attempt carries its URL, without the query, and its number; a retry is a warning."""
    lines = []
    sink = logging_setup.config.add_sink(lines.append, "DEBUG")
    await downloader.fetch(origin.script("/a", reply(503), image()) + "?sig=secret")
    logging_setup.config.remove_sink(sink)
    levels = {line["event"]: line["level"] for line in lines}
    assert levels == {"download.retry": "WARNING", "host.paced": "DEBUG", "download.fetched": "DEBUG"}
    assert len(lines) == 3
    assert {line["url"] for line in lines} == {origin.url("/a?***")}
    assert (lines[-1]["event"], lines[-1]["attempt_number"]) == ("download.fetched", 2)
    assert "secret" not in str(lines)


def test_user_agent_names_us_and_the_operator():
    """With and without a contact."""
    assert user_agent("https://ops.test").endswith(f" (+https://ops.test) httpx/{httpx.__version__}")
    assert user_agent().startswith("pictrawl/")
    assert "(" not in user_agent()


@given(
    st.text(max_size=60),
    st.sampled_from(["location", "content-encoding", "content-length", "retry-after", "x-robots-tag", "date"]),
    st.integers(100, 999),
)
@settings(deadline=None)
def test_any_reply_stays_in_the_tree(value, name, status):
    """Whatever a header says, under whatever status, an outcome comes out."""
    time = FakeTime()

    def handler(request):
        return httpx.Response(status, headers=[(name.encode(), value.encode("utf-8", "replace"))], content=JPEG)

    async def run():
        limits = FetchLimits(robots=False)
        async with Downloader(limits, transport=httpx.MockTransport(handler), sleep=time.sleep, clock=time.clock) as downloader:
            return await downloader.fetch("http://h.test/a")

    assert isinstance(asyncio.run(run()), Fetched | FetchFailed | Deferred)


@given(st.text(max_size=60) | st.from_regex(r"https?://[^/]{0,12}(:[0-9]{0,6})?/.{0,12}", fullmatch=True))
@settings(deadline=None)
def test_any_url_stays_in_the_tree(url):
    """Whatever is asked for, an outcome comes out."""

    async def run():
        transport = httpx.MockTransport(lambda request: httpx.Response(200, content=JPEG))
        async with Downloader(FetchLimits(robots=False), transport=transport) as downloader:
            return await downloader.fetch(url)

    assert isinstance(asyncio.run(run()), Fetched | FetchFailed)


class Dropped(httpx.AsyncByteStream):
    """A body that breaks off."""

    async def __aiter__(self):
        yield JPEG
        raise httpx.ReadError("gone")


def held():
    """What there is of bodies and replies in this process."""
    return [found for found in gc.get_objects() if isinstance(found, Body | httpx.Response)]


@pytest.mark.parametrize(
    ("limits", "answer"),
    [
        (LIMITS, lambda: httpx.Response(200, content=JPEG)),
        (LIMITS, lambda: httpx.Response(404)),
        (LIMITS, lambda: httpx.Response(200, content=b"no image")),
        (LIMITS, lambda: httpx.Response(200, stream=Dropped())),
        (replace(LIMITS, max_bytes=len(JPEG) - 1), lambda: httpx.Response(200, stream=Dropped())),
    ],
    ids=["fetched", "not found", "no image", "broken off", "too large"],
)
async def test_nothing_of_a_url_that_is_done_waits_for_the_collector(time, limits, answer):
    """Bodies are large and the collector counts objects, not bytes: what is done must be gone at once, tracebacks included."""
    gc.collect()
    before = held()
    gc.disable()
    try:
        async with Downloader(limits, transport=httpx.MockTransport(lambda _: answer()), sleep=time.sleep, clock=time.clock) as downloader:
            for number in range(3):
                await downloader.fetch(f"http://127.0.0.1/{number}")
            for _ in range(10):  # the loop closes a generator that was left early
                await asyncio.sleep(0)
            left = [type(found).__name__ for found in held() if not any(found is other for other in before)]
    finally:
        gc.enable()
    assert left == []


async def test_plain_get_is_what_the_client_would_have_built(time):
    """The header lines that are ready leave out nothing that httpx sends."""
    sent = []

    def answer(request):
        sent.append(request)
        return httpx.Response(200, content=JPEG)

    url = "http://127.0.0.1:8000/a%2fb?x=%zz"
    async with Downloader(LIMITS, transport=httpx.MockTransport(answer), sleep=time.sleep, clock=time.clock) as downloader:
        await downloader.fetch(url)
        await downloader.send(url, RequestOptions(1000, headers={"X-Of": "a caller"}))
    plain, built = sent
    expected = [header for header in built.headers.raw if header[0] != b"X-Of"]
    assert (plain.method, plain.url, plain.headers.raw, plain.extensions) == (built.method, built.url, expected, built.extensions)
    assert plain.content == built.content == b""


async def test_cookie_of_a_reply_is_neither_kept_nor_sent_back(time):
    """The second request is the first one again."""
    sent = []

    def answer(request):
        sent.append(request.headers.raw)
        return httpx.Response(200, content=JPEG, headers={"Set-Cookie": "a=b; Path=/"})

    async with Downloader(LIMITS, transport=httpx.MockTransport(answer), sleep=time.sleep, clock=time.clock) as downloader:
        for _ in range(2):
            await downloader.fetch("http://127.0.0.1:8000/a")
        assert not downloader._client.cookies
    assert sent[0] == sent[1]
