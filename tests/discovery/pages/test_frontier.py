"""Tests of app.discovery.pages.frontier: hosts, one key for a page, and traps."""

import pytest

from app.discovery.pages.frontier import CrawlScope, page_key, why_trap
from app.discovery.pages.model import resolve
from app.pages_spec import PagesSpec

PAGE = "https://www.site.example/gallery/"


@pytest.mark.parametrize(
    ("follow_hosts", "host", "is_followed"),
    [
        ((), "www.site.example", True),
        ((), "site.example", True),
        ((), "img.site.example", False),
        ((), "evilsite.example", False),
        (("other.example",), "other.example", True),
        (("other.example",), "cdn.other.example", True),
        (("other.example",), "another.example", False),
        (("*",), "anything.example", True),
    ],
)
def test_hosts(follow_hosts: tuple[str, ...], host: str, is_followed: bool) -> None:
    """The page's own host, with and without www, and those that are asked for, with their subdomains."""
    assert CrawlScope(follow_hosts).is_followed(host, "www.site.example") is is_followed


def test_an_international_host_is_followed_in_every_spelling() -> None:
    """A link is compared in ASCII, whichever form the request and the page have."""
    links = [resolve("https://site.example/", link) for link in ("https://BÜCHER.example/a", "https://xn--bcher-kva.example/b")]
    for given in ("bücher.example", "BÜCHER.EXAMPLE", "xn--bcher-kva.example"):
        spec = PagesSpec(urls=["https://site.example/"], follow_hosts=[given])
        scope = CrawlScope(tuple(spec.follow_hosts))
        assert len(scope.select([link for link in links if link], "https://site.example/")) == 2, given


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://a.example/p", "https://a.example/p#top"),
        ("http://a.example/p", "https://a.example/p"),
        ("https://a.example/p?b=2&a=1", "https://a.example/p?a=1&b=2"),
        ("https://a.example/p?a=1&utm_source=x&fbclid=y", "https://a.example/p?a=1"),
        ("https://a.example/p;jsessionid=A1?x=1", "https://a.example/p?x=1&PHPSESSID=9"),
        ("https://a.example/p/index.html", "https://a.example/p/"),
        ("https://a.example", "https://a.example/"),
    ],
)
def test_one_page_has_one_key(one: str, other: str) -> None:
    """Whatever fragment, session, campaign and order of parameters a link has."""
    assert page_key(one) == page_key(other)


def test_other_pages_have_other_keys() -> None:
    """Pages of a list, and paths that differ in case."""
    urls = ["https://a.example/p?page=1", "https://a.example/p?page=2", "https://a.example/P?page=1", "https://b.example/p?page=1"]
    assert len({page_key(url) for url in urls}) == len(urls)


@pytest.mark.parametrize(
    "path",
    [
        "/calendar/2031/05",
        "/events?month=5&year=2031",
        "/shop?sort=price",
        "/shop?filter_colour=red",
        "/shop?a=1&b=2&c=3&d=4&e=5",
        "/a/b/a/b/a/b",
        "/1/2/3/4/5/6/7/8/9/10/11/12/13",
        f"/{'x' * 1000}",
        "/login",
        "/cart",
        "/post?replytocom=7",
        "/wiki?title=Cat&action=edit",
        "/report.PDF",
        "/film.mp4",
        "/archive.tar.gz",
    ],
)
def test_a_trap_is_not_followed(path: str) -> None:
    """Calendars, orders and filters, paths without end, actions, and files that are no page."""
    assert why_trap(f"https://a.example{path}")


@pytest.mark.parametrize(
    "path",
    ["/", "/photo/1234", "/blog/2024/05/12/walk", "/album?page=3", "/view.php?id=17", "/sitemap-1.xml.gz", "/feed", "/manifest.json"],
)
def test_a_page_of_a_gallery_is_followed(path: str) -> None:
    """Numbers, dates of posts and pages of a list are no traps."""
    assert not why_trap(f"https://a.example{path}")


def test_select_takes_each_page_once_and_never_the_page_itself() -> None:
    """In the order of the page."""
    links = [
        f"{PAGE}#x",
        "https://site.example/b",
        "https://site.example/a",
        "https://site.example/b?utm_source=m",
        "https://away.example/c",
    ]
    assert CrawlScope().select([*links, "https://site.example/login"], PAGE) == ["https://site.example/b", "https://site.example/a"]
