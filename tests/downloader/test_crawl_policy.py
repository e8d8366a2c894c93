"""What was decided on robots.txt and opt-outs is on the outcome, hop by hop, whatever the outcome is."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import errors
from downloader import Decisions, Deferred, Fetched, FetchFailed, FetchRequest, OptOutVerdict, RetryRules, RobotsDecision, tdmrep
from downloader import RobotsVerdict as Robots
from downloader.client import Downloader
from downloader.crawl_policy import find_opt_out
from tests.clocks import FakeTime
from tests.downloader.conftest import LIMITS, loopback
from tests.origin import JPEG, Origin, image, redirect, reply


@pytest.fixture
async def polite(time: FakeTime) -> AsyncIterator[Downloader]:
    async with _downloader(time, robots=True) as made:
        yield made


def _downloader(time: FakeTime, **limits: Any) -> Downloader:
    rules = RetryRules(jitter=0)
    return Downloader(replace(LIMITS, **limits), rules, sleep=time.sleep, clock=time.clock, lookup=loopback)


def _robots(*lines: str) -> Any:
    return reply(200, "\n".join(lines).encode())


def hop(origin: Origin, verdict: Robots, evidence: str | None = None, host: str = "127.0.0.1") -> RobotsDecision:
    return RobotsDecision(origin.url("/robots.txt", host=host), verdict, evidence)


async def test_allowed_and_not_refused(origin: Origin, polite: Downloader) -> None:
    """A file that says nothing against it, and a reply that does not either."""
    origin.script("/robots.txt", _robots("User-agent: *", "Disallow: /b"))
    outcome = await polite.fetch(origin.script("/a", image()))
    assert isinstance(outcome, Fetched)
    assert outcome.decisions == Decisions(Robots.ALLOWED, (hop(origin, Robots.ALLOWED),), OptOutVerdict.NONE)


async def test_disallowed_by_a_line(origin: Origin, polite: Downloader) -> None:
    """The line is the evidence of the outcome and of the decision; what is read of no reply is said so."""
    origin.script("/robots.txt", _robots("User-agent: pictrawl", "Disallow: /a", "Allow: /a/b"))
    outcome = await polite.fetch(origin.url("/a"))
    assert isinstance(outcome, FetchFailed)
    evidence = f"{origin.url('/robots.txt')} line 2, user-agent pictrawl: Disallow: /a"
    assert outcome.evidence == evidence
    assert outcome.decisions == Decisions(Robots.DISALLOWED, (hop(origin, Robots.DISALLOWED, evidence),), OptOutVerdict.NOT_READ)


async def test_evidence_of_a_hostile_file_is_fit_to_be_shown(origin: Origin, polite: Downloader) -> None:
    """Control characters in a rule are escaped, an endless one is cut."""
    origin.script("/robots.txt", _robots("User-agent: *", "Disallow: /a\x1b[31m\u202e", "Disallow: /" + "*" * 5000 + "b"))
    first = await polite.fetch(origin.url("/a%1B%5B31m%E2%80%AE"))
    second = await polite.fetch(origin.url("/b"))
    assert isinstance(first, FetchFailed)
    assert isinstance(second, FetchFailed)
    assert first.evidence == f"{origin.url('/robots.txt')} line 2, user-agent *: Disallow: " + r"/a\x1b[31m\u202e"
    assert second.evidence is not None
    assert (len(second.evidence), second.evidence[-1]) == (300, "…")


async def test_no_file(origin: Origin, polite: Downloader) -> None:
    """404 allows, with a verdict of its own beside a file that allows."""
    outcome = await polite.fetch(origin.script("/a", image()))
    why = f"the origin answered 404 for {origin.url('/robots.txt')}"
    assert outcome.decisions.hops == (hop(origin, Robots.NO_FILE, why),)
    assert outcome.decisions.robots is Robots.NO_FILE


async def test_server_error_of_robots_txt(origin: Origin, polite: Downloader) -> None:
    """The deferral says that it is robots.txt's; so does the next, for which nobody was asked."""
    origin.script("/robots.txt", reply(503))
    why = f"the origin answered 503 for {origin.url('/robots.txt')}"
    for _ in range(2):
        outcome = await polite.fetch(origin.url("/a"))
        assert isinstance(outcome, Deferred)
        assert outcome.evidence == why
        assert outcome.decisions == Decisions(Robots.UNREACHABLE, (hop(origin, Robots.UNREACHABLE, why),), OptOutVerdict.NOT_READ)
    assert len(origin.log) == 1


async def test_host_that_cannot_be_reached(time: FakeTime) -> None:
    """The URL's own failure, found out while asking for robots.txt."""

    async def private(host: str) -> list[str]:
        return ["10.0.0.1"]

    async with Downloader(replace(LIMITS, robots=True), sleep=time.sleep, clock=time.clock, lookup=private) as downloader:
        outcome = await downloader.fetch("https://h.test/a")
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.evidence) == ("blocked_address", "10.0.0.1")
    decided = RobotsDecision("https://h.test/robots.txt", Robots.UNREACHABLE, "10.0.0.1 is not a public address")
    assert outcome.decisions.hops == (decided,)


async def test_every_hop_is_asked_at_its_own_host(origin: Origin, polite: Downloader) -> None:
    """A redirect to another host: two files, two decisions, and the last is the one that counted."""
    async with Origin() as other:
        other.script("/robots.txt", _robots("User-agent: *", "Disallow: /"))
        outcome = await polite.fetch(origin.script("/a", redirect(other.url("/b", host="other.test"))))
        assert isinstance(outcome, FetchFailed)
        assert outcome.decisions.robots is Robots.DISALLOWED
        assert [(found.robots_txt, found.verdict) for found in outcome.decisions.hops] == [
            (origin.url("/robots.txt"), Robots.NO_FILE),
            (other.url("/robots.txt", host="other.test"), Robots.DISALLOWED),
        ]
        assert other.hits("/b") == []


async def test_opt_out_of_the_reply(origin: Origin, polite: Downloader) -> None:
    """The header is on record with the decision."""
    outcome = await polite.fetch(origin.script("/a", image(X_Robots_Tag="noai")))
    assert isinstance(outcome, FetchFailed)
    assert (outcome.decisions.opt_out, outcome.decisions.opt_out_evidence) == (OptOutVerdict.REFUSED, "x-robots-tag: noai")


@pytest.mark.parametrize("header", [("X-Robots-Tag", "noai"), ("TDM-Reservation", "1"), ("Content-Usage", "train-ai=n")])
async def test_opt_out_of_a_redirect(origin: Origin, polite: Downloader, header: tuple[str, str]) -> None:
    """Each hop speaks for what lies behind it; nothing more is requested."""
    outcome = await polite.fetch(origin.script("/a", redirect("/b", headers=[header])))
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.evidence) == ("opt_out", f"{header[0].lower()}: {header[1]}")
    assert outcome.decisions.opt_out is OptOutVerdict.REFUSED
    assert origin.hits("/b") == []


async def test_opt_out_of_robots_txt(origin: Origin, polite: Downloader) -> None:
    """The image is not requested; the line is on record with both decisions."""
    origin.script("/robots.txt", _robots("User-agent: *", "Content-Signal: search=yes, ai-train=no", "Allow: /"))
    outcome = await polite.fetch(origin.url("/a"))
    assert isinstance(outcome, FetchFailed)
    evidence = f"{origin.url('/robots.txt')} line 2, user-agent *: Content-Signal: search=yes, ai-train=no"
    assert (outcome.reason, outcome.error, outcome.evidence) == ("opt_out", "OptOutError", evidence)
    assert outcome.decisions == Decisions(Robots.ALLOWED, (hop(origin, Robots.ALLOWED),), OptOutVerdict.REFUSED, evidence)
    assert [hit.target for hit in origin.log] == ["/robots.txt"]


async def test_opt_out_of_tdmrep_json(origin: Origin, polite: Downloader, time: FakeTime) -> None:
    """Fetched once a day for a site; of the entries the first match counts."""
    entries = b'[{"location": "/ok/", "tdm-reservation": 0}, {"location": "/*.jpg$", "tdm-reservation": 1}]'
    origin.script(tdmrep.PATH, reply(200, entries))
    outcome = await polite.fetch(origin.url("/a.jpg"))
    assert isinstance(outcome, FetchFailed)
    evidence = f"{origin.url(tdmrep.PATH)} entry 2: location /*.jpg$, tdm-reservation 1"
    assert (outcome.reason, outcome.evidence, outcome.decisions.opt_out_evidence) == ("opt_out", evidence, evidence)
    assert isinstance(await polite.fetch(origin.script("/ok/a.jpg", image())), Fetched)
    assert [hit.target for hit in origin.log] == ["/robots.txt", tdmrep.PATH, "/ok/a.jpg"]
    time.now += 86_401
    await polite.fetch(origin.url("/ok/a.jpg"))
    assert len(origin.hits(tdmrep.PATH)) == 2


async def test_tdmrep_json_is_not_fetched_where_nobody_wants_it(origin: Origin, time: FakeTime) -> None:
    """Where robots.txt disallows it to us, or a setting says so."""
    origin.script(tdmrep.PATH, reply(200, b'[{"location": "/", "tdm-reservation": 1}]'))
    url = origin.script("/a", image())
    origin.script("/robots.txt", _robots("User-agent: *", "Disallow: /.well-known/"))
    for limits in ({"robots": True}, {"robots": True, "opt_out": False}, {"robots": False}):
        async with _downloader(time, **limits) as downloader:
            assert isinstance(await downloader.fetch(url), Fetched)
    assert origin.hits(tdmrep.PATH) == []


async def test_429_of_tdmrep_json_closes_the_host(origin: Origin, polite: Downloader, time: FakeTime) -> None:
    """As that of robots.txt does; any other failure reserves nothing."""
    origin.script(tdmrep.PATH, reply(429, headers={"Retry-After": "90"}), reply(500))
    url = origin.script("/a", image())
    outcome = await polite.fetch(url)
    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.until) == ("rate_limited", time.now + 90)
    time.now += 90
    assert isinstance(await polite.fetch(url), Fetched)


async def test_last_attempt_counts(origin: Origin, polite: Downloader) -> None:
    """Three attempts, one decision each; the outcome has one."""
    outcome = await polite.fetch(origin.script("/a", reply(503), reply(503), image()))
    assert len(outcome.attempts) == 3
    assert outcome.decisions.hops == (hop(origin, Robots.NO_FILE, f"the origin answered 404 for {origin.url('/robots.txt')}"),)
    assert outcome.decisions.opt_out is OptOutVerdict.NONE


async def test_switched_off(origin: Origin, time: FakeTime) -> None:
    """Neither asked nor read, and the record says so."""
    origin.script("/robots.txt", _robots("User-agent: *", "Disallow: /"))
    async with _downloader(time, robots=False, opt_out=False) as careless:
        outcome = await careless.fetch(origin.script("/a", image(X_Robots_Tag="noai")))
    assert isinstance(outcome, Fetched)
    assert outcome.decisions == Decisions(Robots.OFF, (), OptOutVerdict.OFF)
    assert [hit.target for hit in origin.log] == ["/a"]


@pytest.mark.parametrize("request_", [FetchRequest("no url"), FetchRequest("http://h.test/", attempts_made=3)])
async def test_nothing_was_asked(polite: Downloader, request_: FetchRequest) -> None:
    """No URL, or no attempt left: it did not come to that."""
    assert (await polite.fetch(request_)).decisions == Decisions()


async def test_deferral_by_retry_after_keeps_what_was_decided(origin: Origin, polite: Downloader) -> None:
    """Nothing against it, but not now; that there is no robots.txt is no evidence for a deferral of the host's."""
    url = origin.script("/a", reply(503, headers={"Retry-After": "60"}))
    for _ in range(2):
        outcome = await polite.fetch(url)
        assert isinstance(outcome, Deferred)
        assert (outcome.evidence, outcome.decisions.robots) == (None, Robots.NO_FILE)


ROBOTS, TDM, USAGE = "X-Robots-Tag", "TDM-Reservation", "Content-Usage"

REFUSED: list[tuple[str, list[tuple[str, str]], str]] = [
    ("plain", [(ROBOTS, "noai")], "x-robots-tag: noai"),
    ("images only", [(ROBOTS, "noimageai")], "x-robots-tag: noimageai"),
    ("both", [(ROBOTS, "noai, noimageai")], "x-robots-tag: noai, noimageai"),
    ("upper case", [(ROBOTS, "NOAI")], "x-robots-tag: NOAI"),
    ("mixed case", [(ROBOTS, "NoImageAI")], "x-robots-tag: NoImageAI"),
    ("header in upper case", [("X-ROBOTS-TAG", "noai")], "x-robots-tag: noai"),
    ("after others", [(ROBOTS, "noindex, nofollow, noai")], "x-robots-tag: noindex, nofollow, noai"),
    ("before others", [(ROBOTS, "noai, noindex")], "x-robots-tag: noai, noindex"),
    ("no spaces", [(ROBOTS, "noindex,noai")], "x-robots-tag: noindex,noai"),
    ("many spaces", [(ROBOTS, "  noindex ,\t noai  ")], r"x-robots-tag: noindex ,\t noai"),
    ("empty members", [(ROBOTS, ",,noai,")], "x-robots-tag: ,,noai,"),
    ("our token", [(ROBOTS, "pictrawl: noai")], "x-robots-tag: pictrawl: noai"),
    ("our token in upper case", [(ROBOTS, "PicTrawl: NoAI")], "x-robots-tag: PicTrawl: NoAI"),
    ("our token with a version", [(ROBOTS, "pictrawl/1.0: noai")], "x-robots-tag: pictrawl/1.0: noai"),
    ("our token, no space", [(ROBOTS, "pictrawl:noai")], "x-robots-tag: pictrawl:noai"),
    ("our token, second directive", [(ROBOTS, "pictrawl: noindex, noai")], "x-robots-tag: pictrawl: noindex, noai"),
    ("every agent", [(ROBOTS, "*: noai")], "x-robots-tag: *: noai"),
    ("ours after another's", [(ROBOTS, "otherbot: noindex, pictrawl: noai")], "x-robots-tag: otherbot: noindex, pictrawl: noai"),
    ("ours before another's", [(ROBOTS, "pictrawl: noai, otherbot: noindex")], "x-robots-tag: pictrawl: noai, otherbot: noindex"),
    ("everybody's after another's", [(ROBOTS, "otherbot: all, *: noai")], "x-robots-tag: otherbot: all, *: noai"),
    ("everybody's before another's", [(ROBOTS, "noai, otherbot: all")], "x-robots-tag: noai, otherbot: all"),
    ("second header", [(ROBOTS, "noindex"), (ROBOTS, "noai")], "x-robots-tag: noai"),
    ("a header of one's own after another's", [(ROBOTS, "otherbot: noindex"), (ROBOTS, "noai")], "x-robots-tag: noai"),
    ("first of two", [(ROBOTS, "noai"), (ROBOTS, "all")], "x-robots-tag: noai"),
    (
        "after a short date",
        [(ROBOTS, "unavailable_after: 25 Jun 2010 15:00:00 PST, noai")],
        "x-robots-tag: unavailable_after: 25 Jun 2010 15:00:00 PST, noai",
    ),
    (
        "before a date",
        [(ROBOTS, "noai, unavailable_after: 25 Jun 2010 15:00:00 PST")],
        "x-robots-tag: noai, unavailable_after: 25 Jun 2010 15:00:00 PST",
    ),
    (
        "after an RFC 822 date",
        [(ROBOTS, "unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai")],
        "x-robots-tag: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai",
    ),
    (
        "after an RFC 850 date",
        [(ROBOTS, "unavailable_after: Friday, 25-Jun-10 15:00:00 GMT, noai")],
        "x-robots-tag: unavailable_after: Friday, 25-Jun-10 15:00:00 GMT, noai",
    ),
    (
        "after an ISO 8601 date",
        [(ROBOTS, "unavailable_after: 2010-06-25T15:00:00+00:00, noai")],
        "x-robots-tag: unavailable_after: 2010-06-25T15:00:00+00:00, noai",
    ),
    (
        "after an agent's date",
        [(ROBOTS, "*: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai")],
        "x-robots-tag: *: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai",
    ),
    (
        "date in upper case",
        [(ROBOTS, "UNAVAILABLE_AFTER: FRI, 25 JUN 2010 15:00:00 GMT, NOAI")],
        "x-robots-tag: UNAVAILABLE_AFTER: FRI, 25 JUN 2010 15:00:00 GMT, NOAI",
    ),
    ("after a snippet", [(ROBOTS, "max-snippet: 20, noai")], "x-robots-tag: max-snippet: 20, noai"),
    (
        "after previews",
        [(ROBOTS, "max-image-preview:large, max-video-preview:-1, noai")],
        "x-robots-tag: max-image-preview:large, max-video-preview:-1, noai",
    ),
    ("reserved", [(TDM, "1")], "tdm-reservation: 1"),
    ("reserved, spaces", [(TDM, " 1 ")], "tdm-reservation: 1"),
    ("reserved, upper case", [("TDM-RESERVATION", "1")], "tdm-reservation: 1"),
    ("reserved, parameter", [(TDM, "1;x")], "tdm-reservation: 1;x"),
    ("reserved, with a policy", [(TDM, "1"), ("TDM-Policy", "https://h.test/p.json")], "tdm-reservation: 1"),
    ("reserved in the second", [(TDM, "0"), (TDM, "1")], "tdm-reservation: 1"),
    ("reserved, merged", [(TDM, "0, 1")], "tdm-reservation: 0, 1"),
    ("semicolons", [(ROBOTS, "noindex; noai")], "x-robots-tag: noindex; noai"),
    ("after an unknown directive with a value", [(ROBOTS, "foo: bar, noai")], "x-robots-tag: foo: bar, noai"),
    ("ours, after an unknown directive", [(ROBOTS, "other: none, pictrawl: x:y, noai")], "x-robots-tag: other: none, pictrawl: x:y, noai"),
    ("two directives in a line", [(ROBOTS, "noai noimageai")], "x-robots-tag: noai noimageai"),
    ("all use", [(USAGE, "bots=n")], "content-usage: bots=n"),
    ("all of AI", [(USAGE, "ai=n, search=y")], "content-usage: ai=n, search=y"),
    ("no training", [(USAGE, "train-ai=n")], "content-usage: train-ai=n"),
    ("no training, upper case", [("CONTENT-USAGE", "Train-AI=N")], "content-usage: Train-AI=N"),
    ("no training, spaces", [(USAGE, "train-ai = n")], "content-usage: train-ai = n"),
    ("no training, among others", [(USAGE, "search=y, train-ai=n, bots=y")], "content-usage: search=y, train-ai=n, bots=y"),
    ("no training, parameters", [(USAGE, "train-ai=n;reason=law;q=1")], "content-usage: train-ai=n;reason=law;q=1"),
    ("no training, quoted comma before", [(USAGE, 'note="a, b";c, train-ai=n')], 'content-usage: note="a, b";c, train-ai=n'),
    ("no training, escaped quote before", [(USAGE, 'note="a\\", b", train-ai=n')], 'content-usage: note="a\\", b", train-ai=n'),
    ("no generative training", [(USAGE, "train-genai=n")], "content-usage: train-genai=n"),
    ("last one counts", [(USAGE, "train-ai=y, train-ai=n")], "content-usage: train-ai=y, train-ai=n"),
    ("second header counts", [(USAGE, "search=y"), (USAGE, "train-ai=n")], "content-usage: search=y, train-ai=n"),
    ("general yes, generative no", [(USAGE, "train-ai=y, train-genai=n")], "content-usage: train-ai=y, train-genai=n"),
    ("several kinds at once", [(TDM, "1"), (USAGE, "train-ai=n"), (ROBOTS, "noai")], "x-robots-tag: noai"),
]

ALLOWED: list[tuple[str, list[tuple[str, str]]]] = [
    ("nothing", []),
    ("other directives", [(ROBOTS, "noindex, nofollow, noarchive, nosnippet, noimageindex")]),
    ("all", [(ROBOTS, "all")]),
    ("none, which is noindex and nofollow", [(ROBOTS, "none")]),
    ("none, to us", [(ROBOTS, "pictrawl: none, noindex")]),
    ("empty", [(ROBOTS, "")]),
    ("another agent", [(ROBOTS, "otherbot: noai")]),
    ("another agent, spaces", [(ROBOTS, "otherbot: noindex noai")]),
    ("another agent, semicolons", [(ROBOTS, "otherbot: noindex; noai")]),
    ("another agent, unknown directive with a value", [(ROBOTS, "otherbot: noindex, foo: bar, noai")]),
    ("nothing reserved, merged", [(TDM, "0, 0")]),
    ("all use but training", [(USAGE, "bots=n, train-ai=y")]),
    ("another agent, second directive", [(ROBOTS, "otherbot: noindex, noai")]),
    ("two other agents", [(ROBOTS, "otherbot: noai, thirdbot: noimageai")]),
    ("an agent with our name inside", [(ROBOTS, "notpictrawl: noai")]),
    ("an agent that begins like us", [(ROBOTS, "pictrawler: noai")]),
    ("ours allows, another's does not", [(ROBOTS, "pictrawl: all, otherbot: noai")]),
    ("another agent's date and directive", [(ROBOTS, "otherbot: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai")]),
    ("a date that reads like one", [(ROBOTS, "unavailable_after: noai")]),
    ("a directive that begins so", [(ROBOTS, "noaim")]),
    ("a directive that ends so", [(ROBOTS, "xnoai")]),
    ("two words", [(ROBOTS, "no ai")]),
    ("value of another directive", [(ROBOTS, "max-snippet: noai")]),
    ("other header", [("X-Robots", "noai")]),
    ("not reserved", [(TDM, "0")]),
    ("reserved, but eleven", [(TDM, "11")]),
    ("reserved in words", [(TDM, "true")]),
    ("empty reservation", [(TDM, "")]),
    ("policy alone", [("TDM-Policy", "https://h.test/p.json")]),
    ("training allowed", [(USAGE, "train-ai=y")]),
    ("other usage", [(USAGE, "search=n")]),
    ("no is no n", [(USAGE, "train-ai=no")]),
    ("none is no n", [(USAGE, "train-ai=none")]),
    ("a boolean", [(USAGE, "train-ai")]),
    ("a false", [(USAGE, "train-ai=?0")]),
    ("a string", [(USAGE, 'train-ai="n"')]),
    ("inside a string", [(USAGE, 'note="x, train-ai=n, y"')]),
    ("inside a parameter", [(USAGE, "search=y;train-ai=n")]),
    ("a longer key", [(USAGE, "x-train-ai=n")]),
    ("last one counts", [(USAGE, "train-ai=n, train-ai=y")]),
    ("last header counts", [(USAGE, "train-ai=n"), (USAGE, "train-ai=y")]),
    ("empty usage", [(USAGE, "")]),
]


@pytest.mark.parametrize(("headers", "evidence"), [pytest.param(headers, evidence, id=name) for name, headers, evidence in REFUSED])
async def test_opt_out(headers: list[tuple[str, str]], evidence: str) -> None:
    """A refusal in any notation is final, costs one request, and leaves the header as evidence."""
    time = FakeTime()
    async with Origin() as origin, _quiet_downloader(time) as downloader:
        outcome = await downloader.fetch(origin.script("/x", reply(200, JPEG, headers)))
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.error, outcome.evidence) == ("opt_out", "OptOutError", evidence)
    assert (len(origin.log), time.waits) == (1, [])


@pytest.mark.parametrize("headers", [pytest.param(headers, id=name) for name, headers in ALLOWED])
async def test_no_opt_out(headers: list[tuple[str, str]]) -> None:
    """What is said to others, about other things, or allows, is no refusal."""
    async with Origin() as origin, _quiet_downloader(FakeTime()) as downloader:
        assert isinstance(await downloader.fetch(origin.script("/x", reply(200, JPEG, headers))), Fetched)


@pytest.mark.parametrize("headers", [pytest.param(headers, id=name) for name, headers, _ in REFUSED])
def test_order_of_headers_does_not_matter_to_the_verdict(headers: list[tuple[str, str]]) -> None:
    """Other headers around them change nothing."""
    around = [("Content-Type", "image/jpeg"), *headers, ("Vary", "noai")]
    assert find_opt_out(httpx.Headers(around)) is not None


@pytest.mark.parametrize(
    ("header", "value", "deciding"),
    [
        (ROBOTS, "noindex, " * 100 + "noimageai", "x-robots-tag: … noimageai … (of 909 characters)"),
        (USAGE, "search=y, " * 100 + "train-genai=n", "content-usage: … train-genai=n … (of 1013 characters)"),
        (TDM, "1;" + "x" * 400, "tdm-reservation: … 1 … (of 402 characters)"),
    ],
)
def test_evidence_of_a_long_header_is_the_part_that_refuses(header: str, value: str, deciding: str) -> None:
    """A row keeps no essay of a stranger's, and what it keeps is what counted."""
    assert find_opt_out(httpx.Headers([(header, value)])) == deciding


@given(st.text(max_size=40), st.text(max_size=400))
def test_evidence_is_fit_to_be_shown(before: str, after: str) -> None:
    """Whatever else the header holds: one line, printable, bounded."""
    value = f"{before},noai,{after}".encode("utf-8", "replace")
    evidence = find_opt_out(httpx.Headers([(b"X-Robots-Tag", value)]))
    assert evidence is None or (evidence.isprintable() and len(evidence) <= errors.EVIDENCE_CHARS)


def test_the_table_is_long_enough() -> None:
    """Sixty cases and more; nobody thins them out unseen."""
    assert len(REFUSED) + len(ALLOWED) >= 80


def _quiet_downloader(time: FakeTime) -> Downloader:
    return Downloader(replace(LIMITS, robots=False), sleep=time.sleep, clock=time.clock, lookup=loopback)


async def test_opt_out_when_switched_off() -> None:
    """The operator answers for it."""
    async with Origin() as origin, Downloader(replace(LIMITS, opt_out=False), lookup=loopback) as downloader:
        assert isinstance(await downloader.fetch(origin.script("/x", reply(200, JPEG, [(ROBOTS, "noai")]))), Fetched)


def test_opt_out_in_when_quotes_do_not_close() -> None:
    """A header made to take long takes none."""
    assert find_opt_out(httpx.Headers([(USAGE, '"\\' * 15_000)])) is None
    assert find_opt_out(httpx.Headers([(USAGE, 'note="open, train-ai=n')])) is not None
