"""URLs as lists hold them, and the URL that is requested for each."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import errors
from app.discovery import urls
from downloader import url_guard

READ = [
    ("http://example.org/a.jpg", "http://example.org/a.jpg"),
    ("https://example.org", "https://example.org/"),
    ("HTTPS://EXAMPLE.org:8443/x?y=1#z", "https://example.org:8443/x?y=1"),
    ("https://a-b.c_d.example.org/ü.png", "https://a-b.c_d.example.org/%C3%BC.png"),
    ("https://müller.example/bild.jpg", "https://xn--mller-kva.example/bild.jpg"),
    ("http://127.0.0.1:8000/1.png", "http://127.0.0.1:8000/1.png"),
    ("http://[::1]/x", "http://[::1]/x"),
    (f"https://{'a' * 60}.{'b' * 60}.org/x", f"https://{'a' * 60}.{'b' * 60}.org/x"),
    ("http://example.org/with space.jpg", "http://example.org/with%20space.jpg"),
    ("http://0/", "http://0.0.0.0/"),  # the guard judges it where it is dialled
    # entities
    ("http://example.org/x?a=1&amp;b=2&amp;c=3", "http://example.org/x?a=1&b=2&c=3"),
    ("http://example.org/x?a=1&amp;amp;b=2", "http://example.org/x?a=1&b=2"),
    ("http://example.org/x?a=1&#38;b=2&#x26;c&#038;d", "http://example.org/x?a=1&b=2&c&d"),
    ("http://example.org/&quot;caf&eacute;&quot;.jpg", "http://example.org/%22caf%C3%A9%22.jpg"),
    ("http://example.org/a&#39;b&apos;c", "http://example.org/a'b'c"),
    ("http:&#x2F;&sol;example.org&#47;x&nbsp;", "http://example.org/x"),
    ("http://example.org/x?a&copy=1&lt=2&notit;&foo;&;&#;", "http://example.org/x?a&copy=1&lt=2&notit;&foo;&;&"),
    ("http://example.org/x?amp;=1&amp", "http://example.org/x?amp;=1&amp"),
    # ends
    ("http://example.org/x\u200b", "http://example.org/x"),
    ("\ufeffhttp://example.org/x\u00a0", "http://example.org/x"),
    ("\u2060\u200e \u3000http://example.org/x\u202c\u200d\u00ad\r\n", "http://example.org/x"),
    ("http://example.org/a\tb\n c", "http://example.org/ab%20c"),
    ("http://example.org/a\u200bb", "http://example.org/a%E2%80%8Bb"),
    ("http://exam\u200bple.org/x", "http://example.org/x"),
    ("http://example.org/🏴\U000e0067\U000e007f", "http://example.org/%F0%9F%8F%B4%F3%A0%81%A7%F3%A0%81%BF"),
    # no scheme: https, but http where browsers use it for an address without one
    ("//example.org/x", "https://example.org/x"),
    (" \\\\example.org\\x", "https://example.org/x"),
    ("//example.org:443/x", "https://example.org/x"),
    ("//example.org:8080/x", "http://example.org:8080/x"),
    ("//127.0.0.1/x", "http://127.0.0.1/x"),
    ("//[::1]:8000/x", "http://[::1]:8000/x"),
    ("//[::1]/x", "http://[::1]/x"),
    ("//localhost/x", "http://localhost/x"),
]


@pytest.mark.parametrize(("text", "requested"), READ)
def test_read(text: str, requested: str) -> None:
    """Copied, typed or escaped: what a browser would request. What was read is read the same again."""
    assert urls.read(text) == urls.usable(text) == requested
    assert urls.read(requested) == requested


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no URL"),
        (" \u200b\ufeff", "no URL"),
        ("cat.jpg", "does not begin with http"),
        ("example.org/cat.jpg", "does not begin with http"),
        ("mailto:x@y", "does not begin with http"),
        ("ftp://host/x.jpg", "scheme 'ftp'"),
        ("http://", "no host"),
        ("//", "no host"),
        ("http://ho st/x", "host 'ho st'"),
        ("http://user:pw@host/", "credentials"),
        ("//user:pw@host/", "credentials"),
        ("http://host:99999/", "port"),
        ("http://host/\ud800", "half a character"),
        (f"http://{'a' * 64}.org/", "is longer than 63 characters"),
        ("http://host/" + "x" * 9000, "longer than 8192"),
        ("&amp;" * 1600, "does not begin with http"),
    ],
)
def test_read_when_it_is_no_url(text: str, words: str) -> None:
    """The error says what is wrong."""
    with pytest.raises(errors.InvalidURLError) as caught:
        urls.read(text)
    assert words in str(caught.value)
    assert urls.usable(text) is None


_PIECES = st.sampled_from(
    ["&", "amp;", "&amp;", "#38;", "&#x26;", "lt;", ";", "\t", "\n", " ", "\u200b", "ü", "%41", "x", "/", "?", "#", "\\"]
)


@settings(deadline=None)
@given(
    st.from_regex(r"https?://[A-Za-z0-9.\-_:]{1,40}([/?#][!-~ é]{0,20})?", fullmatch=True)
    | st.lists(_PIECES, max_size=12).map(lambda pieces: "http://h.test/" + "".join(pieces))
)
def test_read_url_is_the_one_that_is_requested(text: str) -> None:
    """The fast way included: what is stored is what guard, robots.txt, limiter and transport see."""
    url = urls.usable(text)
    if url is not None:
        assert url == url_guard.check_url(url, ()).url == urls.read(url)
        assert url_guard.normalise(url) == url_guard.normalise(urls.read(text))


def test_usable_when_it_is_no_text() -> None:
    """Columns hold anything."""
    assert urls.usable(None) is None
    assert urls.usable(7) is None
