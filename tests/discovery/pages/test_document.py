"""Tests of app.discovery.pages.document: what a body is, whatever its Content-Type says."""

import gzip

import pytest

from app.discovery.pages import document
from app.discovery.pages.document import ReadingRules, kind_of, read
from downloader import Page
from tests.origin import JPEG

URL = "https://site.example/x"
SITEMAP = b'<?xml version="1.0"?><urlset><url><loc>https://site.example/p</loc></url></urlset>'


@pytest.mark.parametrize(
    ("body", "media_type", "kind"),
    [
        (b"<!doctype html><p>x", "text/html", "html"),
        (b"  <HTML><body>", "application/octet-stream", "html"),
        (b"plain words", "text/html", "html"),
        (b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>', "application/xhtml+xml", "html"),
        (SITEMAP, "text/html", "sitemap"),
        (b"<sitemapindex/>", "text/plain", "sitemap"),
        (b'<rss version="2.0">', "text/xml", "feed"),
        (b"<?xml version='1.0'?><!-- c --><rdf:RDF xmlns:rdf='x'>", "text/xml", "feed"),
        (b'<feed xmlns="http://www.w3.org/2005/Atom">', "text/html", "feed"),
        (b'{"@context":"http://iiif.io/api/presentation/3/context.json"}', "application/json", "iiif"),
        (b'{"a":1}', "application/json", "other"),
        (b"{ broken", "application/json", "other"),
        (b"https://site.example/1\nhttps://site.example/2", "text/plain", "links"),
        (JPEG, "text/html", "image"),
        (b"%PDF-1.7", "application/pdf", "other"),
        (b"", "", "other"),
    ],
)
def test_kind(body: bytes, media_type: str, kind: str) -> None:
    """Bytes count before what the server calls them."""
    assert kind_of(body, media_type) == kind


def test_a_packed_sitemap_is_unpacked() -> None:
    """As ``sitemap.xml.gz`` comes."""
    assert read(Page(URL, gzip.compress(SITEMAP), "application/gzip"), ReadingRules()).links == ("https://site.example/p",)


@pytest.mark.parametrize("body", [gzip.compress(SITEMAP, mtime=0)[:30], b"\x1f\x8bnonsense"])
def test_a_broken_archive_is_a_problem(body: bytes) -> None:
    """Cut off or no gzip at all: said, not raised."""
    found = read(Page(URL, body, "application/gzip"), ReadingRules())
    assert found.problem
    assert not found.links


def test_a_bomb_is_not_unpacked() -> None:
    """A sitemap may have 50 MB."""
    assert document.unpack(gzip.compress(bytes(1001)), 1000) is None
    assert document.unpack(gzip.compress(bytes(1000)), 1000) == bytes(1000)


def test_an_index_names_sitemaps_and_a_text_names_pages() -> None:
    """Sitemaps of an index are parts of it, no pages."""
    index = b'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><sitemap><loc>/s1.xml.gz</loc></sitemap></sitemapindex>'
    found = read(Page(URL, index, "application/xml"), ReadingRules())
    assert (found.parts, found.links) == (("https://site.example/s1.xml.gz",), ())
    assert read(Page(URL, b"https://site.example/1\n\nnot a url\n", "text/plain"), ReadingRules()).links == ("https://site.example/1",)


def test_an_image_is_its_own_page() -> None:
    """A link may turn out to lead to one."""
    assert [found.url for found in read(Page(URL, JPEG, "image/jpeg"), ReadingRules()).images] == [URL]


@pytest.mark.parametrize("body", [b"%PDF", b"<urlset/>", b"<rss/>", b'{"@context":"http://iiif.io/api/presentation/3/context.json"}'])
def test_what_offers_nothing_says_so(body: bytes) -> None:
    """An empty sitemap, feed or manifest, and what is none of them."""
    assert read(Page(URL, body), ReadingRules()).problem


def test_a_collection_names_its_manifests() -> None:
    """Presentation 2 and 3."""
    two = b'{"@context":"http://iiif.io/api/presentation/2/context.json","manifests":[{"@id":"https://m.example/1"}],"members":["https://m.example/2"]}'
    three = b'{"@context":"http://iiif.io/api/presentation/3/context.json","type":"Collection","items":[{"id":"https://m.example/1","type":"Manifest"}]}'
    assert read(Page(URL, two), ReadingRules()).links == ("https://m.example/1", "https://m.example/2")
    assert read(Page(URL, three), ReadingRules()).links == ("https://m.example/1",)


def test_directives_of_headers_hold_as_those_of_the_page() -> None:
    """X-Robots-Tag: noindex keeps the images back, nofollow the links; neither where robots are ignored."""
    page = Page(URL, b"<a href=/n>n</a><img src=a.jpg>", "text/html", directives=frozenset({"noindex"}))
    assert (read(page, ReadingRules()).images, read(page, ReadingRules()).links) == ((), ("https://site.example/n",))
    assert read(page, ReadingRules(robots=False)).images
    closed = Page(URL, b"<a href=/n>n</a><img src=a.jpg>", "text/html", directives=frozenset({"nofollow"}))
    assert (len(read(closed, ReadingRules()).images), read(closed, ReadingRules()).links) == (1, ())
    none = Page(URL, b"<meta name=robots content=none><a href=/n>n</a><img src=a.jpg>", "text/html")
    assert "none" in read(none, ReadingRules()).problem


def test_a_reservation_is_named_unless_opt_outs_are_ignored() -> None:
    """noai for every crawler or for us, and the TDM reservation protocol."""
    for meta in ('name="pictrawl" content="noai"', 'name="tdm-reservation" content="1"'):
        page = Page(URL, f"<meta {meta}><img src=a.jpg>".encode(), "text/html")
        assert read(page, ReadingRules()).reserved
        assert read(page, ReadingRules(opt_out=False)).images


def test_the_images_of_one_page_of_a_sitemap_are_bounded() -> None:
    """The protocol's extension allows a page 1000."""
    image = "<image:image><image:loc>https://site.example/{}.jpg</image:loc></image:image>"
    images = "".join(image.format(number) for number in range(1_100))
    body = f'<urlset xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"><url>{images}</url></urlset>'
    assert len(read(Page(URL, body.encode(), "application/xml"), ReadingRules()).images) == 1_000


def test_the_frames_of_a_page_are_bounded() -> None:
    """Each holds a page of its own, which is parsed."""
    body = "".join(f"<iframe srcdoc='<img src={number}.jpg>'></iframe>" for number in range(120))
    assert len(read(Page(URL, body.encode(), "text/html"), ReadingRules()).images) == 100


def test_large_json_is_not_parsed() -> None:
    """It takes many times its size in memory."""
    body = b'{"@context":"http://iiif.io/api/presentation/3/context.json"}'
    assert kind_of(body + b" " * document.MAX_JSON_BYTES, "application/json") == "other"


@pytest.mark.parametrize("key", ["label", "rights", "homepage", "profile", "width"])
def test_json_that_is_nested_deep_is_read(key: str) -> None:
    """As deep as it can be parsed, deeper than Python may recurse."""
    deep = "[" * 1_000 + "]" * 1_000
    service = f'{{"id":"https://site.example/s","{key}":{deep}}}'
    canvas = f'{{"items":[{{"items":[{{"body":{{"id":"https://site.example/a.jpg","service":[{service}]}}}}]}}]}}'
    manifest = f'{{"@context":"http://iiif.io/api/presentation/3/context.json","type":"Manifest","{key}":{deep},"items":[{canvas}]}}'
    assert len(read(Page(URL, manifest.encode(), "application/json"), ReadingRules()).images) == 1
