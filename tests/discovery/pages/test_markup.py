"""Tests of app.discovery.pages.markup: encodings, limits, and what hostile documents cost."""

import random

import pytest

from app.discovery.pages import markup
from app.discovery.pages.document import ReadingRules, read
from downloader import Page

URL = "https://site.example/"

SMALL = {
    "nested": "<div>" * 20_000 + "<img src=a.jpg>",
    "captions": "<figure>" + "<img src=a.jpg>" * 2_000 + "<figcaption>" + "x" * 50_000,
    "sources": "<picture>" + "<source srcset=a.jpg>" * 5_000 + "<img src=a.jpg>" * 100,
    "licences": "<a rel=license href=x>y" * 3_000,
    "srcset": '<img srcset="' + ", ".join(f"a{number}.jpg {number}w" for number in range(3_000)) + '">',
    "commas": '<img srcset="' + "," * 100_000 + '">',
    "parentheses": '<img srcset="a (' + "(" * 50_000 + '">',
    "css": "<style>" + "url(" * 50_000 + "</style>",
    "json": '<script type="application/ld+json">' + '{"image":[' * 50_000 + "</script>",
    "json nodes": '<script type="application/ld+json">['
    + ",".join(['{"@type":"ImageObject","contentUrl":"a.jpg"}'] * 5_000)
    + "]</script>",
    "comment": "<!--" + "a b " * 50_000 + "--><img src=a.jpg>",
    "templates": "<template>" * 5_000,
    "tables": "<table>" * 5_000,
    "frames": "<iframe srcdoc='<img src=x.jpg>'></iframe>" * 500,
}


@pytest.mark.parametrize("name", SMALL)
def test_a_hostile_page_is_read_within_bounds(name: str) -> None:
    """It costs what a large page costs; whether images are found is no matter."""
    read(Page(URL, SMALL[name].encode(), "text/html"), ReadingRules(css_images=True))


def test_a_tag_of_a_million_attributes_ends_the_page() -> None:
    """libxml2 would compare each of them with all before it: the page is read up to that tag."""
    page = "<img src=before.jpg><div " + " ".join(f"a{number}=1" for number in range(400_000)) + "><img src=after.jpg>"
    found = read(Page(URL, page.encode(), "text/html"), ReadingRules())
    assert [image.url for image in found.images] == [f"{URL}before.jpg"]


def test_many_large_tags_end_the_page_too() -> None:
    """Each of them is within the limit, all together are not."""
    tag = "<div " + " ".join(f"a{number}=1" for number in range(3_000)) + ">"
    assert len(list(markup.parse_html(tag * 10, 100_000_000).iter("div"))) == 10
    assert len(list(markup.parse_html(tag * 10, 50_000_000).iter("div"))) < 10


def test_a_long_script_or_data_url_ends_nothing() -> None:
    """They are one token as well, without attributes."""
    script = "<script>" + "let a = b / c; " * 100_000 + "</script>"
    page = f"<img src='data:image/png;base64,{'QUJD' * 100_000}'>{script}<img src=a.jpg>"
    assert [image.url for image in read(Page(URL, page.encode(), "text/html"), ReadingRules()).images] == [f"{URL}a.jpg"]


TOKENS = (
    "<",
    ">",
    '"',
    "'",
    "=",
    "img",
    "src",
    "a",
    "/",
    "!--",
    "-->",
    " ",
    "&amp;",
    "&#1;",
    "&#x110000;",
    "\0",
    "\x0b",
    "svg",
    "table",
    "tr",
)
TOKENS += ("noscript", "picture", "source", "srcset", "script", "</", "body", "frameset", "template", "xmlns:a", "a:b", "é", "\ufffe", ":")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("head", ["", "<!doctype html>", '<?xml version="1.0"?><rss><item>', '<?xml version="1.0"?><urlset><url>'])
def test_any_bytes_give_a_document(seed: int, head: str) -> None:
    """Random tokens and random bytes are read without an error."""
    chance = random.Random(seed)
    text = head + "".join(chance.choice(TOKENS) for _ in range(1_000))
    for body in (text.encode(), chance.randbytes(300), head.encode() + chance.randbytes(300)):
        for media_type in ("text/html", "text/xml"):
            read(Page(URL, body, media_type), ReadingRules(css_images=True))


LAUGHS = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("entity", ["b", "c"])
def test_entities_of_a_document_are_not_replaced(entity: str) -> None:
    """Neither those that grow, nor those that name a file."""
    body = f"{LAUGHS}<urlset><url><loc>https://site.example/&{entity};</loc></url></urlset>"
    assert read(Page(URL, body.encode(), "text/xml"), ReadingRules()).links == (URL,)


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        ("é".encode(), None, "é"),
        ("é".encode("latin-1"), None, "é"),
        ("é".encode("latin-1"), "ISO-8859-1", "é"),
        (b"\x80", "latin1", "€"),
        ("я".encode("cp1251"), "windows-1251", "я"),
        ("é".encode(), "no-such-charset", "é"),
        (b"a-b", "punycode", "a-b"),
        (b"+AOk-", "utf-7", "+AOk-"),
        (b"\\xe9", "unicode_escape", "\\xe9"),
        ("é".encode(), "hex", "é"),
        (b"\xef\xbb\xbf\xc3\xa9", "windows-1251", "é"),
        ("<meta charset=koi8-r>я".encode("koi8-r"), None, "<meta charset=koi8-r>я"),
        ("<meta charset=utf-16>é".encode(), None, "<meta charset=utf-16>é"),
        (
            b'<meta http-equiv=content-type content="text/html; charset=big5">\xa4\xa4',
            None,
            '<meta http-equiv=content-type content="text/html; charset=big5">中',
        ),
        (b"\x81", None, "\ufffd"),
    ],
)
def test_decode(body: bytes, charset: str | None, text: str) -> None:
    """Byte order mark, header, meta element, then what the bytes are."""
    assert markup.decode(body, charset) == text
