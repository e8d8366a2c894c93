"""Tests of Downloader.fetch_page: a page comes under the crawl policy, with what its headers say."""

import contextlib

import pytest

import errors
from downloader import FetchLimits
from downloader.client import Downloader
from downloader.models import Decisions
from tests.origin import Origin, redirect, reply

LIMITS = FetchLimits(allow_networks=("127.0.0.0/8",), ports=())


async def test_a_page_comes_with_its_type_and_directives() -> None:
    """Of the page that its redirect leads to; only directives for our agents are returned."""
    headers = [("Content-Type", 'Text/HTML; Charset="UTF-8"'), ("X-Robots-Tag", "noindex"), ("X-Robots-Tag", "otherbot: nofollow")]
    async with Origin() as origin, Downloader(LIMITS) as downloader:
        origin.script("/old", redirect("/new"))
        origin.script("/new", reply(200, b"<p>x", headers))
        page = await downloader.fetch_page(origin.url("/old"))
        assert origin.hits("/new")[0].headers["accept"].startswith("text/html") is False  # headers of ours go to the first host only
        assert origin.hits("/old")[0].headers["accept"].startswith("text/html")
    assert (page.url, page.body, page.media_type, page.charset) == (origin.url("/new"), b"<p>x", "text/html", "utf-8")
    assert page.directives == {"noindex"}


async def test_robots_and_opt_outs_hold_for_pages() -> None:
    """A page that robots.txt disallows is not requested; one that is reserved is not read."""
    async with Origin() as origin, Downloader(LIMITS) as downloader:
        origin.script("/robots.txt", reply(200, b"User-agent: *\nDisallow: /closed"))
        origin.script("/noai", reply(200, b"<p>x", {"X-Robots-Tag": "noai", "Content-Type": "text/html"}))
        with pytest.raises(errors.RobotsError):
            await downloader.fetch_page(origin.url("/closed/1"))
        with pytest.raises(errors.OptOutError):
            await downloader.fetch_page(origin.url("/noai"))
        assert not origin.hits("/closed/1")


@pytest.mark.parametrize("media_type", ["video/mp4", "audio/mpeg", "application/pdf", "application/zip", "application/vnd.ms-excel"])
async def test_what_can_be_no_page_is_not_read(media_type: str) -> None:
    """By its Content-Type."""
    async with Origin() as origin, Downloader(LIMITS) as downloader:
        origin.script("/x", reply(200, b"x", {"Content-Type": media_type}))
        with pytest.raises(errors.ProtocolError, match=media_type):
            await downloader.fetch_page(origin.url("/x"))


@pytest.mark.parametrize(
    ("path", "robots", "opt_out"),
    [
        ("/ok", "allowed", "none"),
        ("/closed/1", "disallowed", "not_read"),
        ("/noai", "allowed", "refused"),
        ("/gone", "allowed", "not_read"),
    ],
)
async def test_the_decisions_on_a_page_are_told(path: str, robots: str, opt_out: str) -> None:
    """Once, also where the page is refused or not found."""
    told: list[Decisions] = []
    async with Origin() as origin, Downloader(LIMITS) as downloader:
        origin.script("/robots.txt", reply(200, b"User-agent: *\nDisallow: /closed"))
        origin.script("/ok", reply(200, b"<p>x", {"Content-Type": "text/html"}))
        origin.script("/noai", reply(200, b"<p>x", {"X-Robots-Tag": "noai", "Content-Type": "text/html"}))
        with contextlib.suppress(errors.PermanentError):
            await downloader.fetch_page(origin.url(path), on_decided=told.append)
    assert [(decisions.robots, decisions.opt_out) for decisions in told] == [(robots, opt_out)]
