"""robots.txt (RFC 9309): what is asked before a request, and what is made of the answer."""

import asyncio
from dataclasses import replace

import pytest

from downloader import Deferred, Fetched, FetchFailed, RetryRules
from downloader.client import Downloader
from downloader.tdmrep import PATH as TDMREP
from tests.downloader.conftest import IMPATIENT, LIMITS, loopback
from tests.origin import drip, image, redirect, reply, stall


@pytest.fixture
async def polite(time):
    limits = replace(LIMITS, robots=True, contact="https://ops.test/")
    async with Downloader(limits, RetryRules(jitter=0), sleep=time.sleep, clock=time.clock, lookup=loopback) as made:
        yield made


def robots(text):
    return reply(200, text.encode(), {"Content-Type": "text/plain"})


async def test_disallowed_url_is_not_requested(origin, polite):
    """A rule for us, or for everybody, is kept; the evidence says where it stands."""
    origin.script("/robots.txt", robots("User-agent: *\nDisallow: /private/\n\nUser-agent: other\nDisallow: /"))
    origin.script("/a.jpg", image())
    outcome = await polite.fetch(origin.url("/private/a.jpg"))
    assert isinstance(outcome, FetchFailed)
    evidence = f"http://127.0.0.1:{origin.port}/robots.txt line 2, user-agent *: Disallow: /private/"
    assert (outcome.reason, outcome.evidence) == ("robots", evidence)
    assert isinstance(await polite.fetch(origin.url("/a.jpg")), Fetched)
    assert [hit.target for hit in origin.log] == ["/robots.txt", TDMREP, "/a.jpg"]
    assert "(+https://ops.test/)" in origin.log[0].headers["user-agent"]


async def test_our_own_group_comes_before_the_general_one(origin, polite):
    """The most specific group counts."""
    origin.script("/robots.txt", robots("\ufeffUser-agent: pictrawl\nAllow: /\n\nUser-agent: *\nDisallow: /"))
    assert isinstance(await polite.fetch(origin.script("/a", image())), Fetched)


@pytest.mark.parametrize(
    "step",
    [
        *(reply(404), reply(403), reply(410), reply(204), reply(206)),
        *(redirect(where) for where in ("/robots.txt", None, "http://10.0.0.1/", "ftp://h.test/")),
    ],
)
async def test_no_file_allows_everything(origin, polite, step):
    """4xx, redirects without end and redirects to where nobody may go: there are no rules."""
    origin.script("/robots.txt", step)
    assert isinstance(await polite.fetch(origin.script("/a", image())), Fetched)


async def test_server_error_allows_nothing_for_now(origin, polite, time):
    """5xx disallows everything: the URL is deferred rather than lost, and asked again later."""
    origin.script("/robots.txt", reply(503), reply(404))
    url = origin.script("/a", image())
    outcome = await polite.fetch(url)
    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.until, outcome.attempts) == ("host_unavailable", time.now + 60, ())
    assert isinstance(await polite.fetch(url), Deferred)
    assert [hit.target for hit in origin.log] == ["/robots.txt"]
    time.now += 60
    assert isinstance(await polite.fetch(url), Fetched)


async def test_server_error_with_retry_after_allows_nothing_until_then(origin, polite, time):
    """The host says when to come back for its robots.txt: not a minute later, then."""
    origin.script("/robots.txt", reply(503, headers={"Retry-After": "120"}), reply(404))
    url = origin.script("/a", image())
    assert (await polite.fetch(url)).until == time.now + 120
    time.now += 119
    assert isinstance(await polite.fetch(url), Deferred)
    time.now += 1
    assert isinstance(await polite.fetch(url), Fetched)
    assert [hit.target for hit in origin.log] == ["/robots.txt", "/robots.txt", TDMREP, "/a"]


async def test_host_that_never_replies_is_not_asked_for_its_file_for_ever(origin, time):
    """Its URLs use up their attempts for a minute and a half; the error of the next one says since when the host is silent."""
    limits = replace(IMPATIENT, robots=True, contact="https://ops.test/")

    async def never_reply(exchange):
        time.now += 30
        await stall()(exchange)

    origin.script("/robots.txt", never_reply)
    async with Downloader(limits, RetryRules(jitter=0), sleep=time.sleep, clock=time.clock, lookup=loopback) as downloader:
        began = time.now
        first, second = await downloader.fetch(origin.url("/a")), await downloader.fetch(origin.url("/b"))
    assert (first.reason, len(first.attempts)) == ("timeout", 3)
    assert isinstance(second, Deferred)
    assert (second.reason, second.attempts, second.silence.since) == ("host_unavailable", (), began)
    assert second.until - second.silence.since > RetryRules().dead_host_s
    assert [hit.target for hit in origin.log] == ["/robots.txt"] * 3


@pytest.mark.parametrize(("headers", "wait_s"), [({}, 60), ({"Retry-After": "120"}, 120), ({"Retry-After": "9999999"}, 86_400)])
async def test_429_closes_the_host_for_a_while(origin, polite, time, headers, wait_s):
    """Too many requests is no word on the file: nothing is allowed until then, and the URL says why it waits."""
    origin.script("/robots.txt", reply(429, headers=headers), reply(404))
    url = origin.script("/a", image())
    outcome = await polite.fetch(url)
    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.until, outcome.attempts) == ("rate_limited", time.now + wait_s, ())
    assert outcome.evidence == f"the origin answered 429 for {origin.url('/robots.txt')}"
    time.now += wait_s
    assert isinstance(await polite.fetch(url), Fetched)


async def test_redirect_to_a_host_that_is_down_closes_the_host(origin, polite, time):
    """The image's own host is not at fault: the URL waits, under its own name."""
    origin.script("/robots.txt", redirect("http://127.0.0.1:1/robots.txt"))
    outcome = await polite.fetch(origin.script("/a", image()))
    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.until) == ("host_unavailable", time.now + 60)


async def test_five_redirects_are_followed(origin, time):
    """RFC 9309 2.3.1.2, whatever ``fetch.max_redirects`` says of images; the sixth is one too many."""
    limits = replace(LIMITS, robots=True, max_redirects=0)
    for hops, reason in ((5, "robots"), (6, None)):
        origin.script("/robots.txt", *(redirect(f"/robots.txt?{hop}") for hop in range(hops)), robots("User-agent: *\nDisallow: /"))
        async with Downloader(limits, RetryRules(jitter=0), sleep=time.sleep, clock=time.clock, lookup=loopback) as downloader:
            outcome = await downloader.fetch(origin.script("/a", image()))
        assert getattr(outcome, "reason", None) == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("\ufeffUser-agent: *\nDisallow: /".encode(), "robots"),
        ("User-agent: *\nDisallow: /".encode("utf-16"), "robots"),
        ("User-agent: *\nDisallow: /b\xe9\n".encode("latin-1") + b"Disallow: /a", "robots"),
        (b"\x00\xff\xfe<html>" * 100, None),
        (b"<html><body>Not found</body></html>", None),
        (b"User-agent: *\nDisallow: /\n" + b"#" * (600_000 - 36) + b"\nAllow: /a.jpg", "robots"),  # cut inside the last line
    ],
)
async def test_body_of_any_kind_is_read(origin, polite, body, reason):
    """Whatever the encoding, what can be read counts; half a line that was cut off does not."""
    origin.script("/robots.txt", reply(200, body))
    outcome = await polite.fetch(origin.script("/a.jpg", image()))
    assert getattr(outcome, "reason", None) == reason


async def test_crawl_delay_spaces_the_requests(origin, polite, time):
    """Of one host, from the first image on; tdmrep.json is a request like any other."""
    origin.script("/robots.txt", robots("User-agent: *\nCrawl-delay: 4"))
    for name in ("/a", "/b"):
        assert isinstance(await polite.fetch(origin.script(name, image())), Fetched)
    assert time.waits == [4.0, 4.0]


async def test_long_crawl_delay_is_capped_and_defers(origin, time):
    """``fetch.crawl_delay_max_s`` is the longest; a start further off than the inline wait defers the URL until then. 0 ignores it."""
    origin.script("/robots.txt", robots("User-agent: *\nCrawl-delay: 3600"))
    url = origin.script("/a", image())
    limits = replace(LIMITS, robots=True, opt_out=False)
    async with Downloader(limits, RetryRules(jitter=0), sleep=time.sleep, clock=time.clock, lookup=loopback) as downloader:
        assert isinstance(await downloader.fetch(url), Fetched)
        outcome = await downloader.fetch(url)
    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.until) == ("rate_limited", time.now + 30)
    async with Downloader(replace(limits, crawl_delay_max_s=0), RetryRules(jitter=0), sleep=time.sleep, clock=time.clock) as hasty:
        assert isinstance(await hasty.fetch(url), Fetched)
        assert isinstance(await hasty.fetch(url), Fetched)


async def test_robots_txt_that_drips_is_not_absent(origin, time):
    """A status was seen, but no file and no word that there is none: nothing is allowed by that."""
    origin.script("/robots.txt", drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"#" * 1000, every_s=0.05))
    url = origin.script("/a", image())
    async with Downloader(replace(IMPATIENT, robots=True), RetryRules(jitter=0), sleep=time.sleep, clock=time.clock) as hasty:
        outcome = await hasty.fetch(url)
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, origin.hits("/a")) == ("timeout", [])


async def test_host_that_cannot_be_reached_is_the_urls_own_failure(origin, time):
    """A timeout of robots.txt is retried like the URL's, and then has its name."""
    origin.script("/robots.txt", stall())
    url = origin.script("/a", image())
    async with Downloader(replace(IMPATIENT, robots=True), RetryRules(jitter=0), sleep=time.sleep, clock=time.clock) as hasty:
        outcome = await hasty.fetch(url)
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, len(outcome.attempts), time.waits, origin.hits("/a")) == ("timeout", 3, [2.0, 4.0], [])


async def test_file_is_kept_for_a_day_and_fetched_once(origin, polite, time):
    """Many URLs at once ask once; after 24 hours it is asked again."""
    origin.script("/robots.txt", robots("User-agent: *\nDisallow: /x"))
    urls = [origin.script(f"/{number}", image()) for number in range(6)]
    await asyncio.gather(*(polite.fetch(url) for url in urls))
    assert len(origin.hits("/robots.txt")) == 1
    time.now += 86_401
    await polite.fetch(urls[0])
    assert len(origin.hits("/robots.txt")) == 2


async def test_hop_of_a_redirect_is_asked_for_too(origin, polite):
    """A redirect is no way around."""
    origin.script("/robots.txt", robots("User-agent: *\nDisallow: /private"))
    origin.script("/private", image())
    outcome = await polite.fetch(origin.script("/a", redirect("/private")))
    assert (outcome.reason, origin.hits("/private")) == ("robots", [])


async def test_huge_file_is_cut_not_refused(origin, polite):
    """The first 500 KiB count."""
    origin.script("/robots.txt", robots("User-agent: *\nDisallow: /private\n" + "# filler\n" * 200_000))
    assert (await polite.fetch(origin.url("/private"))).reason == "robots"
