"""RSS 0.9 to 2.0 and Atom: the images of each entry, from its enclosures, Media RSS and content, and the page that it links.

https://www.rssboard.org/media-rss, RFC 4287.
"""

from collections.abc import Iterator
from typing import Final

from app.discovery.pages import html, markup
from app.discovery.pages.markup import Element
from app.discovery.pages.model import (
    MAX_IMAGES,
    NO_RIGHTS,
    Picture,
    ReadingRules,
    Rights,
    WebDocument,
    has_image_name,
    resolve,
    unique,
)
from app.domain import Candidate, Rendition

__all__ = ["read"]

_MEDIA: Final = "{http://search.yahoo.com/mrss/}"
_CREATIVE_COMMONS: Final = ("{http://backend.userland.com/creativeCommonsRssModule}license", "{http://creativecommons.org/ns#}license")
_XML_BASE: Final = "{http://www.w3.org/XML/1998/namespace}base"
_CONTENT: Final = (
    "{http://purl.org/rss/1.0/modules/content/}encoded",
    "description",
    "{*}content",
    "{*}summary",
    "{http://purl.org/rss/1.0/}description",
)
_CREATORS: Final = (f"{_MEDIA}credit", "{http://purl.org/dc/elements/1.1/}creator", "{*}author/{*}name")


def read(body: bytes, url: str, rules: ReadingRules) -> WebDocument:
    """Read a feed. An entry without images is still a link."""
    links: list[str] = []
    images: list[Candidate] = []
    for entry in markup.records(body, ("{*}item", "{*}entry")):
        base = resolve(url, entry.get(_XML_BASE)) or url
        page_url = _link(entry, base)
        links += [page_url] if page_url and not has_image_name(page_url) else []
        images += _images(entry, page_url or url, base, rules)
        if len(images) >= MAX_IMAGES:
            break
    problem = "" if links or images else "the feed has no entry"
    return WebDocument(url, tuple(images), tuple(unique(links)), problem=problem)


def _link(entry: Element, base: str) -> str | None:
    """Return the page of an entry: RSS has it as text, Atom as an attribute."""
    for link in entry.iterfind("{*}link"):
        rel = link.get("rel", "alternate")
        if rel == "alternate" and (found := resolve(base, link.get("href") or (link.text or "").strip())):
            return found
    guid = entry.find("{*}guid")
    return resolve(base, guid.text) if guid is not None and guid.get("isPermaLink", "true") == "true" else None


def _images(entry: Element, page_url: str, base: str, rules: ReadingRules) -> list[Candidate]:
    rights = _rights(entry, base)
    found = {candidate.url: candidate for candidate in (p.candidate(page_url, rules.side_px) for p in _pictures(entry, base, rights))}
    known = set(found) | {one.url for candidate in found.values() for one in candidate.renditions}
    for name in _CONTENT:
        for element in entry.iterfind(name):
            content = element.text or ""
            for picture in html.pictures_of(content, page_url, rules, rights) if "<" in content else ():
                if known.isdisjoint(one.url for one in picture.renditions):
                    candidate = picture.candidate(page_url, rules.side_px)
                    found.setdefault(candidate.url, candidate)
    return list(found.values())


def _pictures(entry: Element, base: str, rights: Rights) -> Iterator[Picture]:
    """Yield what an entry attaches. The contents of a media:group are one picture in several sizes."""
    groups = list(entry.iterfind(f"{_MEDIA}group"))
    for contents in [[item] for item in entry.iterfind(f"{_MEDIA}content")] + [list(g.iterfind(f"{_MEDIA}content")) for g in groups]:
        sizes = [size for item in contents if _is_image(item) and (size := _rendition(item, base))]
        if sizes:
            words = [item.findtext(f"{_MEDIA}{name}") for item in [*contents, entry, *groups] for name in ("description", "title")]
            sizes.sort(key=lambda size: (size.width or 0, size.height or 0))
            yield Picture(tuple(sizes), tuple(filter(None, words)), rights=_media_rights(contents, base, rights))
    if not entry.findall(f".//{_MEDIA}content"):
        for thumbnail in entry.iterfind(f"{_MEDIA}thumbnail"):
            if size := _rendition(thumbnail, base):
                yield Picture((size,), _titles(entry), rights=rights)
    enclosures = [*entry.iterfind("{*}enclosure"), *(link for link in entry.iterfind("{*}link") if link.get("rel") == "enclosure")]
    for item in enclosures:
        if _is_image(item) and (size := _rendition(item, base)):
            yield Picture((size,), _titles(entry), rights=rights)


def _is_image(item: Element) -> bool:
    media_type, medium = item.get("type", ""), item.get("medium", "")
    if media_type or medium:
        return medium == "image" or (media_type.startswith("image/") and "svg" not in media_type)
    return has_image_name(item.get("url") or item.get("href") or "")


def _rendition(item: Element, base: str) -> Rendition | None:
    url = resolve(base, item.get("url") or item.get("href"))
    size = item.get("fileSize") or item.get("length")
    return Rendition(url, _number(item.get("width")), _number(item.get("height")), _number(size)) if url else None


def _number(value: str | None) -> int | None:
    return int(value) or None if value and value.isascii() and value.isdigit() and len(value) < 10 else None


def _titles(entry: Element) -> tuple[str, ...]:
    return tuple(filter(None, [entry.findtext("{*}title")]))


def _rights(entry: Element, base: str) -> Rights:
    """Return what an entry states on its use."""
    licence = next((found.strip() for name in _CREATIVE_COMMONS if (found := entry.findtext(name))), None)
    links = [link.get("href") for link in entry.iterfind("{*}link") if link.get("rel") == "license"]
    statements = tuple(filter(None, [licence, *links, entry.findtext("{*}rights")]))
    creator = next((found for name in _CREATORS if (found := entry.findtext(name))), None)
    return (
        Rights(statements, resolve(base, licence or next(iter(links), None)), creator, is_of_image=True)
        if statements or creator
        else NO_RIGHTS
    )


def _media_rights(contents: list[Element], base: str, rights: Rights) -> Rights:
    for item in contents:
        licence = item.find(f"{_MEDIA}license")
        if licence is not None:
            statements = tuple(filter(None, [licence.get("href"), licence.text]))
            creator = item.findtext(f"{_MEDIA}credit") or rights.creator
            return Rights(statements, resolve(base, licence.get("href")), creator, is_of_image=True)
    return rights
