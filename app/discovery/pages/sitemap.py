"""Sitemaps: the pages they list, the images of each (image:image), the sitemaps of an index. https://www.sitemaps.org/protocol.html"""

from itertools import islice
from typing import Final

from app.discovery import urls
from app.discovery.pages import markup
from app.discovery.pages.markup import Element
from app.discovery.pages.model import MAX_LINKS, Picture, ReadingRules, Rights, WebDocument, resolve, unique
from app.domain import Candidate, Rendition

__all__ = ["read", "read_text"]

_IMAGE: Final = "{http://www.google.com/schemas/sitemap-image/1.1}"
_MAX_IMAGES: Final = 1_000
"""Of one page: what the extension of the protocol allows."""


def read(body: bytes, url: str, rules: ReadingRules) -> WebDocument:
    """Read a sitemap or an index of sitemaps."""
    links: list[str] = []
    parts: list[str] = []
    images: list[Candidate] = []
    for record in markup.records(body, ("{*}url", "{*}sitemap")):
        place = resolve(url, _child(record, "{*}loc"))
        if record.tag.endswith("}sitemap") or record.tag == "sitemap":
            parts += [place] if place else []
            continue
        links += [place] if place else []
        images += _images(record, url, place or url, rules)
        if max(len(links), len(images)) >= MAX_LINKS:
            break
    problem = "" if links or parts or images else "the sitemap lists nothing"
    return WebDocument(url, tuple(images), tuple(unique(links)), tuple(unique(parts)), problem=problem)


def read_text(body: bytes, url: str, rules: ReadingRules) -> WebDocument:
    """Read a sitemap that is a text with one URL a line."""
    lines = markup.decode(body).splitlines()[:MAX_LINKS]
    return WebDocument(url, links=tuple(unique(urls.usable(line) for line in lines if line.strip())))


def _images(record: Element, base: str, page_url: str, rules: ReadingRules) -> list[Candidate]:
    found = []
    for image in islice(record.iter(f"{_IMAGE}image"), _MAX_IMAGES):
        if place := resolve(base, _child(image, f"{_IMAGE}loc")):
            captions = tuple(filter(None, [_child(image, f"{_IMAGE}caption")]))
            licence = _child(image, f"{_IMAGE}license")
            rights = Rights((licence,), resolve(base, licence), is_of_image=True) if licence else Rights()
            picture = Picture((Rendition(place),), captions, _child(image, f"{_IMAGE}title"), rights)
            found.append(picture.candidate(page_url, rules.side_px))
    return found


def _child(element: Element, name: str) -> str | None:
    value = element.findtext(name)
    return value.strip() if value and value.strip() else None
