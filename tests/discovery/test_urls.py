"""The fast look at URLs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.discovery import urls
from downloader import url_guard


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.jpg",
        "https://example.org",
        "HTTPS://EXAMPLE.org:8443/x?y=1#z",
        "https://a-b.c_d.example.org/ü.png",
        "https://müller.example/bild.jpg",
        "http://127.0.0.1:8000/1.png",
        "http://[::1]/x",
        f"https://{'a' * 60}.{'b' * 60}.org/x",
    ],
)
def test_fault_when_url_is_good(url: str) -> None:
    """What can be requested has no fault."""
    assert urls.fault(url) == ""


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no URL"),
        ("cat.jpg", "does not begin with http"),
        ("mailto:x@y", "does not begin with http"),
        ("ftp://host/x.jpg", "the scheme is ftp"),
        ("http://", "not a URL that can be requested"),
        ("http:///x", "not a URL that can be requested"),
        ("http://ho st/x", "space"),
        ("http://host/a b.jpg", "space"),
        ("http://user:pw@host/", "credentials"),
        ("http://host:99999/", "port"),
        ("http://0/", "not a public address"),
        ("http://host\\x", "backslash"),
        ("http://host/\ud800", "not a URL"),
        (f"http://{'a' * 64}.org/", "is longer than 63 characters"),
        ("http://host/" + "x" * 9000, "longer than 8192"),
    ],
)
def test_fault_when_url_is_bad(url: str, words: str) -> None:
    """The fault says what is wrong."""
    assert words in urls.fault(url)


@settings(deadline=None)
@given(st.from_regex(r"https?://[A-Za-z0-9.\-_:]{1,40}([/?#][!-~ é]{0,20})?", fullmatch=True))
def test_fault_never_kinder_than_downloader(url: str) -> None:
    """What the fast look lets pass can be normalised."""
    if not urls.fault(url):
        assert url_guard.normalise(url)


def test_usable_when_scheme_is_left_out() -> None:
    """A wiki's ``//host`` means https."""
    assert urls.usable(" //example.org/x ") == "https://example.org/x"
    assert urls.usable("nothing") is None
    assert urls.usable(None) is None
