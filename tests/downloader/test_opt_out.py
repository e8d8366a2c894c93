"""The golden table of opt-out headers: what reserves an image from training, what does not, and the evidence that is kept."""

from dataclasses import replace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import errors
from downloader import Downloader, Fetched, FetchFailed
from downloader.opt_out import opt_out_in, refuse_opt_out
from tests.clocks import FakeTime
from tests.downloader.conftest import LIMITS, loopback
from tests.origin import JPEG, Origin, reply

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
    async with Origin() as origin, _downloader(time) as downloader:
        outcome = await downloader.fetch(origin.script("/x", reply(200, JPEG, headers)))
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.error, outcome.evidence) == ("opt_out", "OptOutError", evidence)
    assert (len(origin.log), time.waits) == (1, [])


@pytest.mark.parametrize("headers", [pytest.param(headers, id=name) for name, headers in ALLOWED])
async def test_no_opt_out(headers: list[tuple[str, str]]) -> None:
    """What is said to others, about other things, or allows, is no refusal."""
    async with Origin() as origin, _downloader(FakeTime()) as downloader:
        assert isinstance(await downloader.fetch(origin.script("/x", reply(200, JPEG, headers))), Fetched)


@pytest.mark.parametrize("headers", [pytest.param(headers, id=name) for name, headers, _ in REFUSED])
def test_order_of_headers_does_not_matter_to_the_verdict(headers: list[tuple[str, str]]) -> None:
    """Other headers around them change nothing."""
    around = [("Content-Type", "image/jpeg"), *headers, ("Vary", "noai")]
    assert opt_out_in(httpx.Headers(around)) is not None


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
    with pytest.raises(errors.OptOutError) as caught:
        refuse_opt_out(httpx.Headers([(header, value)]))
    assert caught.value.evidence == deciding


@given(st.text(max_size=40), st.text(max_size=400))
def test_evidence_is_fit_to_be_shown(before: str, after: str) -> None:
    """Whatever else the header holds: one line, printable, bounded."""
    value = f"{before},noai,{after}".encode("utf-8", "replace")
    evidence = opt_out_in(httpx.Headers([(b"X-Robots-Tag", value)]))
    assert evidence is None or (evidence.isprintable() and len(evidence) <= errors.EVIDENCE_CHARS)


def test_the_table_is_long_enough() -> None:
    """Sixty cases and more; nobody thins them out unseen."""
    assert len(REFUSED) + len(ALLOWED) >= 80


def _downloader(time: FakeTime) -> Downloader:
    return Downloader(replace(LIMITS, robots=False), sleep=time.sleep, clock=time.clock, lookup=loopback)


async def test_opt_out_when_switched_off() -> None:
    """The operator answers for it."""
    async with Origin() as origin, Downloader(replace(LIMITS, opt_out=False), lookup=loopback) as downloader:
        assert isinstance(await downloader.fetch(origin.script("/x", reply(200, JPEG, [(ROBOTS, "noai")]))), Fetched)


def test_opt_out_in_when_quotes_do_not_close() -> None:
    """A header made to take long takes none."""
    assert opt_out_in(httpx.Headers([(USAGE, '"\\' * 15_000)])) is None
    assert opt_out_in(httpx.Headers([(USAGE, 'note="open, train-ai=n')])) is not None
