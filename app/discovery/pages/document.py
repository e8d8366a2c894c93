"""Reads the body of any document of the web by what it holds: a page, a sitemap, a feed, an IIIF manifest or an image."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal

import orjson

from app.discovery.pages import feed, html, iiif, markup, sitemap
from app.discovery.pages.model import ReadingRules, WebDocument
from app.domain import PAGES_SOURCE, Candidate
from downloader import Page
from downloader.content import sniff

__all__ = ["Kind", "ReadingRules", "WebDocument", "kind_of", "read"]

MAX_BYTES: Final = 52_428_800
"""Of an unpacked document: what the sitemap protocol allows."""

MAX_JSON_BYTES: Final = 20_000_000
"""Of a manifest, as of the answer of an API: parsed it takes many times its size."""

Kind = Literal["html", "sitemap", "feed", "iiif", "links", "image", "other"]

_ROOTS: Final[dict[str, Kind]] = {
    "urlset": "sitemap",
    "sitemapindex": "sitemap",
    "rss": "feed",
    "feed": "feed",
    "rdf": "feed",
    "html": "html",
}
_HEAD_BYTES: Final = 4_096
_GZIP: Final = b"\x1f\x8b"
_HTML_SIGNS: Final = (
    b"<!doctype html",
    b"<html",
    b"<head",
    b"<body",
    b"<title",
    b"<meta",
    b"<div",
    b"<p",
    b"<a ",
    b"<img",
    b"<h1",
    b"<table",
    b"<!--",
)


def read(page: Page, rules: ReadingRules) -> WebDocument:
    """Return the images and links of a document. Any bytes give an answer; what cannot be read is said in its ``problem``."""
    body = unpack(page.body)
    if body is None:
        return WebDocument(page.url, problem="it is packed with gzip and broken, or larger than 50 MB")
    kind = kind_of(body, page.media_type)
    return replace(_read(kind, body, page, rules), kind=kind)


def _read(kind: Kind, body: bytes, page: Page, rules: ReadingRules) -> WebDocument:
    if kind == "image":
        return WebDocument(page.url, (Candidate(page.url, PAGES_SOURCE, page_url=page.url),))
    if kind == "html":
        return html.read(markup.decode(body, page.charset), page.url, rules, page.directives)
    reader = _READERS.get(kind)
    if reader is None:
        return WebDocument(page.url, problem=f"it is no page, sitemap, feed or IIIF manifest, but {page.media_type or 'something unknown'}")
    return reader(body, page.url, rules)


_READERS: Final[dict[Kind, Callable[[bytes, str, ReadingRules], WebDocument]]] = {
    "sitemap": sitemap.read,
    "links": sitemap.read_text,
    "feed": feed.read,
    "iiif": iiif.read,
}


def unpack(body: bytes, max_bytes: int = MAX_BYTES) -> bytes | None:
    """Return a body without its gzip, if it has one; None where that is broken or the content too large."""
    if not body.startswith(_GZIP):
        return body
    unpacker = zlib.decompressobj(31)
    try:
        content = unpacker.decompress(body, max_bytes)
    except zlib.error:
        return None
    return content if not unpacker.unconsumed_tail else None


def kind_of(body: bytes, media_type: str) -> Kind:
    """Return what a body is, by its first bytes; servers send sitemaps as HTML and manifests as text."""
    if sniff(body[:64]) is not None:
        return "image"
    head = body[:_HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        head = markup.decode(head).encode()
    if head.startswith((b"{", b"[")):
        return "iiif" if _is_iiif(body) else "other"
    if head.startswith(b"<?xml") or b"xmlns" in head[:200] or media_type.endswith("xml"):
        root = _root_name(head)
        return _ROOTS.get(root, "other" if root else "html" if "html" in media_type else "other")
    if media_type in ("text/html", "application/xhtml+xml") or head.lower().startswith(_HTML_SIGNS):
        return "html"
    root = _root_name(head)
    if root in _ROOTS:
        return _ROOTS[root]
    return "links" if head.startswith((b"http://", b"https://")) and b"<" not in head else "other"


def _root_name(head: bytes) -> str:
    """Return the name of the first element in lower case, without its prefix."""
    for part in head.split(b"<")[1:]:
        if part[:1].isalpha():
            name = part.split(b">")[0].split()[0].rstrip(b"/")
            return name.rpartition(b":")[2].decode("ascii", "replace").lower()
    return ""


def _is_iiif(body: bytes) -> bool:
    try:
        document = orjson.loads(body) if len(body) <= MAX_JSON_BYTES else None
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict) and iiif.is_presentation(document)
