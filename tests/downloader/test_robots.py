"""robots.txt (RFC 9309): what is asked before a request, and what is made of the answer."""

import asyncio
from dataclasses import replace

import protego
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from downloader import Deferred, Fetched, FetchFailed, RetryRules
from downloader import robots as robots_module
from downloader.client import Downloader
from downloader.robots import deciding_rule, disallow_rules
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
    assert [hit.target for hit in origin.log] == ["/robots.txt", "/a.jpg"]
    assert "(+https://ops.test/)" in origin.log[0].headers["user-agent"]


async def test_our_own_group_comes_before_the_general_one(origin, polite):
    """The most specific group counts."""
    origin.script("/robots.txt", robots("\ufeffUser-agent: pictrawl\nAllow: /\n\nUser-agent: *\nDisallow: /"))
    assert isinstance(await polite.fetch(origin.script("/a", image())), Fetched)


@pytest.mark.parametrize("step", [reply(404), reply(403), reply(429), reply(204), redirect("/robots.txt"), redirect(None), reply(206)])
async def test_no_file_allows_everything(origin, polite, step):
    """4xx and redirects without end: there are no rules."""
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
    assert [hit.target for hit in origin.log] == ["/robots.txt", "/robots.txt", "/a"]


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


SITE = "http://h.test"


def deciding(text: str, path: str) -> str | None:
    rule = deciding_rule(disallow_rules(text, "pictrawl"), SITE + path)
    return None if rule is None else str(rule)


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("User-agent: *\nDisallow: /", "/a", "line 2, user-agent *: Disallow: /"),
        ("User-agent: *\nDisallow: /\nDisallow: /a/b\nDisallow: /a", "/a/b/c", "line 3, user-agent *: Disallow: /a/b"),
        ("User-agent: *\nDisallow: /a\nDisallow: /a", "/a", "line 2, user-agent *: Disallow: /a"),
        ("User-agent: *\nDisallow: /a*\nDisallow: /*.jpg$", "/a.jpg", "line 3, user-agent *: Disallow: /*.jpg$"),
        ("User-agent: *\nDisallow: /b\nDisallow:", "/a", None),
        ("Disallow: /\nUser-agent: *\nAllow: /", "/a", None),
        ("# ours\n\nUSER-AGENT : PicTrawl # us\nDISALLOW:/a # no\n", "/a", "line 4, user-agent pictrawl: Disallow: /a"),
        ("User-agent: *\nDisallow: /\nUser-agent: pictrawl\nDisallow: /a", "/a", "line 4, user-agent pictrawl: Disallow: /a"),
        ("User-agent: *\nDisallow: /\nUser-agent: pictrawl\nAllow: /", "/a", None),
        ("User-agent: pictrawl*\nDisallow: /a", "/a", "line 2, user-agent pictrawl: Disallow: /a"),
        ("User-agent: pic\nDisallow: /b\nUser-agent: *\nDisallow: /a", "/b", "line 2, user-agent pic: Disallow: /b"),
        ("User-agent: trawl\nDisallow: /a\nUser-agent: tpictrawl\nDisallow: /a", "/a", None),
        ("User-agent: a\nUser-agent: *\nUser-agent: b\nDisallow: /a", "/a", "line 4, user-agent *: Disallow: /a"),
        ("User-agent: *\nSitemap: http://h.test/s\nUser-agent: a\nDisallow: /a", "/a", "line 4, user-agent *: Disallow: /a"),
        ("User-agent: *\nCrawl-delay: 1\nUser-agent: a\nDisallow: /a", "/a", None),
        ("User-agent: *\nDisallow: /b\nUser-agent: a\nAllow: /\nUser-agent: *\nDisallow: /a", "/a", "line 6, user-agent *: Disallow: /a"),
        ("user agent *\ndissallow /a", "/a", "line 2, user-agent *: Disallow: /a"),
        ("User-agent: *\nDisallow: /%61b", "/ab", "line 2, user-agent *: Disallow: /%61b"),
        ("User-agent: *\nDisallow: /ü", "/%C3%BC", "line 2, user-agent *: Disallow: /ü"),
        ("User-agent: *\nDisallow: /a?b", "/a?b=c", "line 2, user-agent *: Disallow: /a?b"),
        ("nonsense\nUser-agent: *\n:\nnonsense: x\nDisallow: /a", "/a", "line 5, user-agent *: Disallow: /a"),
        ("User-agent: *\rDisallow: /a", "/a", "line 2, user-agent *: Disallow: /a"),
        ("User-agent: *\nDisallow: http://h.test/a", "/http://h.test/a", "line 2, user-agent *: Disallow: http://h.test/a"),
        ("User-agent: *\nDisallow: /a/b", "/%61/b", "line 2, user-agent *: Disallow: /a/b"),
        ("User-agent: *\nDisallow: //a", "//a", "line 2, user-agent *: Disallow: //a"),
        ("", "/a", None),
    ],
)
def test_deciding_rule(text: str, path: str, line: str | None) -> None:
    """The most specific group that names us, its longest match, the first of equals."""
    assert deciding(text, path) == line


FIELDS = [
    "User-agent", "useragent", "User agent", "Disallow", "Dissallow", "disallow ", "Allow", "Sitemap", "Host", "Crawl-delay", "crawl delay",
    "Request-rate", "Visit-time", "Noindex", "Clean-param", "",
]  # fmt: skip
VALUES = [
    "*", "pictrawl", "PicTrawl*", "pic", "p", "otherbot", "pictrawler", "trawl", "", "/", "/a", "/a/", "/a/b", "/a/b.jpg", "/*", "/*/b",
    "/a*$", "/*.jpg$", "/a$", "/a$b", "/a/index.html", "/%61", "/ü", "/a?b", "/a?", "http://h.test/a", "a", "10", "1/5", "/a: b", "/a:b",
    "/a b",
]  # fmt: skip
COLONS = st.sampled_from([": ", ":", " : ", " ", ""])
LINES = st.tuples(st.sampled_from(FIELDS), COLONS, st.sampled_from(VALUES), st.sampled_from(["", " # x", "#", "\t"])).map("".join)
FILES = st.lists(LINES | st.text("dD:# /a*\n\r\x85", max_size=12), max_size=14).map("\n".join)
OURS = FILES.map("User-agent: *\n".__add__) | FILES
PATHS = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b.jpg",
    "/a/index.html",
    "/a$b",
    "/%61",
    "/%C3%BC",
    "/a?b=c",
    "/a?",
    "/ab",
    "/b.jpg",
    "//a",
    "/http://h.test/a",
]


@given(OURS, st.sampled_from(PATHS))
@example("User-agent: *\nDisallow: /a/\nAllow: /a/index.html", "/a/")
@settings(deadline=None, max_examples=400)
def test_there_is_a_deciding_rule_for_whatever_protego_disallows(text: str, path: str) -> None:
    """It stands where we say, disallows by itself, and no other line of its group matches longer."""
    parsed = protego.Protego.parse(text)
    if parsed.can_fetch(SITE + path, "pictrawl"):
        return
    rules = disallow_rules(text, "pictrawl")
    rule = deciding_rule(rules, SITE + path)
    assert rule is not None
    line = text.splitlines()[rule.line - 1]
    assert rule.value in line
    assert line.strip().lower().startswith("dis")
    for other in rules:
        alone = f"User-agent: *\nAllow: {rule.value}\nDisallow: {other.value}"
        assert protego.Protego.parse(alone).can_fetch(SITE + path, "*")


@given(OURS, st.sampled_from(PATHS))
@settings(deadline=None, max_examples=400)
def test_where_no_rule_decides_protego_allows(text: str, path: str) -> None:
    """No rule of ours, no refusal of its; a rule of ours and no Allow in the file, and it refuses."""
    allowed = protego.Protego.parse(text).can_fetch(SITE + path, "pictrawl")
    if deciding(text, path) is None:
        assert allowed
    elif not any(line.strip().lower().startswith("allow") for line in text.splitlines()):
        assert not allowed


def test_rules_that_cannot_match_are_not_weighed() -> None:
    """protego is asked about the few lines that begin like the path: a long file must not cost a long time for every URL."""
    text = "User-agent: *\n" + "".join(f"Disallow: /{number}\n" for number in range(1000, 9000))
    rules = disallow_rules(text, "pictrawl")
    robots_module._parsed.cache_clear()
    assert str(deciding_rule(rules, f"{SITE}/8999x")) == "line 8001, user-agent *: Disallow: /8999"
    assert robots_module._parsed.cache_info().misses == 1
