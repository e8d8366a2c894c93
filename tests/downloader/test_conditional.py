"""Conditional requests: validators are kept where they are well-formed, sent to the URL that gave them, and 304 is then a success."""

import httpx
import pytest

from downloader import Fetched, FetchFailed, FetchRequest, NotModified, OptOutVerdict, Validators
from downloader.conditional import header_lines, validators_of
from tests.origin import JPEG, image, redirect, reply

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
URL = "http://h.test/a.jpg"


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ([("ETag", '"a1"'), ("Last-Modified", DATE)], ('"a1"', DATE)),
        ([("ETag", 'W/"a1"')], ('W/"a1"', None)),
        ([("ETag", '""')], ('""', None)),
        ([("Last-Modified", DATE)], (None, DATE)),
    ],
)
def test_validators_are_kept_as_they_came(headers, kept):
    """Strong and weak tags, and the date, byte for byte."""
    assert validators_of(httpx.Headers(headers), URL) == Validators(URL, *kept)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("ETag", "a1")],
        [("ETag", '"a"1"')],
        [("ETag", 'w/"a1"')],
        [("ETag", '"' + "x" * 300 + '"')],
        [("ETag", '"a1"'), ("ETag", '"a2"')],
        [(b"ETag", b'"\xe4"')],
        [("Last-Modified", "yesterday")],
        [("Last-Modified", "Wednesday, 21-Oct-26 07:28:00 GMT")],
    ],
)
def test_malformed_validators_are_not_kept(headers):
    """They could not be sent back in the form in which the origin would recognise them."""
    assert validators_of(httpx.Headers(headers), URL) is None


def test_validators_are_sent_to_their_own_url_only():
    """Another URL, such as the one that redirects to it, gets none."""
    validators = Validators(URL, '"a1"', DATE)
    assert header_lines(validators, URL) == [(b"If-None-Match", b'"a1"'), (b"If-Modified-Since", DATE.encode())]
    assert header_lines(validators, "http://h.test/b.jpg") == []
    assert header_lines(None, URL) == []


async def test_304_is_a_success_where_it_was_asked_for(origin, downloader):
    """The second request sends what the first reply gave; one attempt with status 304 and no error, and no body."""
    url = origin.script("/a.jpg", image(ETag='"a1"', Last_Modified=DATE), reply(304))
    first = await downloader.fetch(url)
    assert isinstance(first, Fetched)
    assert first.validators == Validators(url, '"a1"', DATE)
    second = await downloader.fetch(FetchRequest(url, key=7, validators=first.validators))
    assert isinstance(second, NotModified)
    assert (second.final_url, second.status, second.request.key) == (url, 304, 7)
    assert [(attempt.status, attempt.error) for attempt in second.attempts] == [(304, None)]
    asked, conditional = origin.hits("/a.jpg")
    assert "if-none-match" not in asked.headers
    assert (conditional.headers["if-none-match"], conditional.headers["if-modified-since"]) == ('"a1"', DATE)


async def test_new_bytes_after_a_conditional_request(origin, downloader):
    """200 brings the new bytes with their new validators."""
    url = origin.script("/a.jpg", image(ETag='"a2"'))
    outcome = await downloader.fetch(FetchRequest(url, validators=Validators(url, '"a1"')))
    assert isinstance(outcome, Fetched)
    assert (outcome.body, outcome.validators) == (JPEG, Validators(url, '"a2"'))


async def test_redirect_target_gets_the_validators_and_the_redirect_does_not(origin, downloader):
    """They belong to the URL at the end of the redirects."""
    final = origin.script("/b.jpg", reply(304))
    url = origin.script("/a.jpg", redirect("/b.jpg"))
    outcome = await downloader.fetch(FetchRequest(url, validators=Validators(final, '"b1"')))
    assert isinstance(outcome, NotModified)
    assert outcome.final_url == final
    assert "if-none-match" not in origin.hits("/a.jpg")[0].headers
    assert origin.hits("/b.jpg")[0].headers["if-none-match"] == '"b1"'


async def test_304_from_a_url_that_was_not_asked_is_a_protocol_error(origin, downloader):
    """A redirect that now leads elsewhere, and a 304 from there: there are no bytes that it could mean."""
    origin.script("/c.jpg", reply(304))
    url = origin.script("/a.jpg", redirect("/c.jpg"))
    outcome = await downloader.fetch(FetchRequest(url, validators=Validators(origin.url("/b.jpg"), '"b1"')))
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.status) == ("protocol", 304)


async def test_opt_out_header_of_a_304_refuses(origin, downloader):
    """What the site says now counts, whatever bytes we have."""
    url = origin.script("/a.jpg", reply(304, headers={"X-Robots-Tag": "noai"}))
    outcome = await downloader.fetch(FetchRequest(url, validators=Validators(url, '"a1"')))
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.decisions.opt_out) == ("opt_out", OptOutVerdict.REFUSED)


async def test_attempt_after_an_overload_is_conditional_too(origin, downloader):
    """A retry asks the same question."""
    url = origin.script("/a.jpg", reply(503), reply(304))
    outcome = await downloader.fetch(FetchRequest(url, validators=Validators(url, '"a1"')))
    assert isinstance(outcome, NotModified)
    assert [hit.headers.get("if-none-match") for hit in origin.hits("/a.jpg")] == ['"a1"', '"a1"']
