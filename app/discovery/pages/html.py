"""A page: its images with captions and rights, its links, what its meta elements and headers reserve, and whether it needs JavaScript."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from app.discovery.pages import elements, json_ld, markup
from app.discovery.pages.markup import Element, tokens
from app.discovery.pages.model import (
    MAX_LINKS,
    Picture,
    ReadingRules,
    Rights,
    WebDocument,
    has_image_name,
    resolve,
    unique,
)
from app.discovery.pages.rights import PageRights, read_rights
from app.domain import Rendition
from downloader.robots_tag import AGENTS, OPT_OUT_DIRECTIVES, directives

__all__ = ["pictures_of", "read"]

_SOCIAL: Final = ("og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src")
_APP_IDS: Final = frozenset({"root", "app", "__next", "__nuxt", "app-root", "main-app", "svelte", "gatsby-focus-wrapper", "___gatsby"})
_MAX_FRAMES: Final = 100
"""That hold a page of their own; each is parsed."""

_SHELL_CHARS: Final = 300
"""Characters of text below which a page without images may be the shell of an application."""


def read(markup_text: str, url: str, rules: ReadingRules, header_directives: frozenset[str] = frozenset()) -> WebDocument:
    """Read a page."""
    root = markup.parse_html(markup_text)
    base = _base(root, url)
    said = header_directives | _meta_directives(root)
    if rules.opt_out and (reserved := _reservation(root, said)):
        return WebDocument(url, problem=f"the page reserves its images from use for training ({reserved})", reserved=reserved)
    obeyed = said if rules.robots else frozenset()
    links = () if {"nofollow", "none"} & obeyed else tuple(_links(root, base))
    canonical = _canonical(root, base)
    if kept_back := sorted({"noindex", "noimageindex", "none"} & obeyed):
        note = f"images not taken, as it asks ({', '.join(kept_back)})"
        return WebDocument(url, links=links, canonical=canonical, problem="" if links else note, note=note)
    pictures = _pictures(root, base, rules)
    page_url = canonical or url
    found = {candidate.url: candidate for candidate in (picture.candidate(page_url, rules.side_px) for picture in pictures)}
    return WebDocument(url, tuple(found.values()), links, canonical=canonical, note="" if found else _shell_note(root))


def pictures_of(fragment: str, url: str, rules: ReadingRules, rights: Rights) -> list[Picture]:
    """Return the pictures of a piece of HTML, as a feed has it, under rights that are stated beside it."""
    root = markup.parse_html(fragment)
    return elements.pictures(root, _base(root, url), rules, PageRights(rights))


def _pictures(root: Element, base: str, rules: ReadingRules) -> list[Picture]:
    """Return all pictures of a page, each once. What structured data says of one that an element shows is joined to it."""
    rights = read_rights(root, base)
    shown = elements.pictures(root, base, rules, rights)
    for frame in islice(root.iter("iframe"), _MAX_FRAMES):
        if inner := frame.get("srcdoc"):
            shown += elements.pictures(markup.parse_html(inner), base, rules, rights)
    scripts = (script.text or "" for script in root.iter("script") if "ld+json" in (script.get("type") or "").lower())
    return _joined(shown, [*json_ld.pictures(scripts, base), *_meta_pictures(root, base, rights)])


def _joined(shown: Sequence[Picture], described: Iterable[Picture]) -> list[Picture]:
    pictures: list[Picture] = []
    places: dict[str, int] = {}
    for picture in (*shown, *described):
        at = next((places[one.url] for one in picture.renditions if one.url in places), None)
        if at is None:
            at = len(pictures)
            pictures.append(picture)
        else:
            pictures[at] = _join(pictures[at], picture)
        places.update((one.url, at) for one in picture.renditions if one.url not in places)
    return pictures


def _join(first: Picture, second: Picture) -> Picture:
    """Return what two places of a page say about one picture; rights of the image go before those of its page."""
    known, shared = {one.url for one in first.renditions}, [one.url for one in second.renditions]
    at = next((place for place, url in enumerate(shared) if url in known), 0)
    smaller, larger = ([one for one in part if one.url not in known] for part in (second.renditions[:at], second.renditions[at:]))
    is_better = second.rights.is_of_image and not first.rights.is_of_image and second.rights != Rights(is_of_image=True)
    return Picture(
        (*smaller, *first.renditions, *larger),
        (*first.captions, *second.captions),
        first.title or second.title,
        second.rights if is_better else first.rights,
    )


def _meta_pictures(root: Element, base: str, rights: PageRights) -> list[Picture]:
    """Return what a page names as its picture for others: Open Graph, Twitter, ``image_src``, ``itemprop=image``."""
    found: list[Picture] = []
    alt = next((meta.get("content") for meta in root.iter("meta") if _name(meta) in ("og:image:alt", "twitter:image:alt")), None)
    for element in root.iter("meta", "link"):
        is_image = _name(element) in _SOCIAL or "image_src" in tokens(element.get("rel")) or "image" in tokens(element.get("itemprop"))
        url = resolve(base, element.get("content") or element.get("href")) if is_image else None
        if url is not None and not url.lower().partition("?")[0].endswith(".svg"):
            found.append(Picture((Rendition(url),), (alt,) if alt else (), rights=rights.of_page))
    return found


def _name(meta: Element) -> str:
    return (meta.get("property") or meta.get("name") or "").strip().lower()


def _base(root: Element, url: str) -> str:
    """Return the address that references of a page are relative to: that of the first ``base`` with one (WHATWG HTML 4.2.3)."""
    found = next((base.get("href") for base in root.iter("base") if base.get("href") is not None), None)
    return resolve(url, found) or url


def _canonical(root: Element, base: str) -> str | None:
    return next(
        (found for link in root.iter("link") if "canonical" in tokens(link.get("rel")) and (found := resolve(base, link.get("href")))), None
    )


def _meta_directives(root: Element) -> frozenset[str]:
    """Return the words of the robots elements that are for every crawler or for us."""
    values = [meta.get("content") or "" for meta in root.iter("meta") if _name(meta) == "robots" or _name(meta) in AGENTS]
    return directives(values)


def _reservation(root: Element, said: frozenset[str]) -> str:
    """Return what reserves a page from use for training, empty if nothing does."""
    if found := next(iter(sorted(OPT_OUT_DIRECTIVES & said)), ""):
        return f"robots: {found}"
    is_reserved = any(_name(meta) == "tdm-reservation" and (meta.get("content") or "").strip() == "1" for meta in root.iter("meta"))
    return "tdm-reservation: 1" if is_reserved else ""


def _links(root: Element, base: str) -> list[str]:
    """Return the pages that a page links or frames, images and ``nofollow`` left out."""
    found: list[str] = []
    for element in islice(root.iter("a", "area", "iframe", "frame", "link"), MAX_LINKS):
        rel = tokens(element.get("rel"))
        if "nofollow" in rel or (element.tag == "link" and "next" not in rel):
            continue
        url = resolve(base, element.get("href") or element.get("src"))
        if url is not None and not has_image_name(url):
            found.append(url)
    return unique(found)


def _shell_note(root: Element) -> str:
    """Say that a page without images is filled by scripts, where that shows."""
    body = next(root.iter("body"), root)
    if not any(True for _ in root.iter("script")) or len(markup.text_of(body, _SHELL_CHARS)) >= _SHELL_CHARS:
        return ""
    hints = [markup.text_of(one, 500).lower() for one in root.iter("noscript")]
    hints += [(one.text or "").lower() for one in root.iter("noscript")]
    is_shell = any((one.get("id") or "").lower() in _APP_IDS for one in root.iter("div", "main", "app-root")) or any(
        "javascript" in hint for hint in hints
    )
    return "needs JavaScript, its HTML holds no image" if is_shell else ""
