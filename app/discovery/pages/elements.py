"""The images of a page's elements: img, picture, lazy attributes, noscript, links to a larger form, and what is only decoration."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from app.discovery.pages import markup, srcset
from app.discovery.pages.markup import Element, tokens
from app.discovery.pages.model import MAX_IMAGES, Picture, ReadingRules, has_image_name, resolve, unique
from app.discovery.pages.rights import PageRights
from app.domain import Rendition

__all__ = ["css_urls", "pictures"]

LAZY: Final = (
    *("data-src", "data-lazy-src", "data-original", "data-original-src", "data-lazyload", "data-echo", "data-img-src", "data-image-src"),
    *("data-ll-src", "data-cfsrc", "data-pagespeed-lazy-src", "data-flickity-lazyload", "data-delayed-url", "data-defer-src"),
    "nitro-lazy-src",
)
"""Attributes in which scripts find the image that they put into ``src``."""

MAYBE_LAZY: Final = ("data-lazy", "data-image", "data-img", "data-url")
"""Attributes that do the same, or something else: they count where they name a file of an image."""

LAZY_SETS: Final = (
    "data-srcset",
    "data-lazy-srcset",
    "data-original-set",
    "data-ll-srcset",
    "data-flickity-lazyload-srcset",
    "nitro-lazy-srcset",
)
LARGER: Final = (
    *("data-zoom-image", "data-zoom-src", "data-zoom", "data-large_image", "data-large-file", "data-large", "data-large-src", "data-full"),
    *("data-full-src", "data-full-url", "data-fullsrc", "data-orig-file", "data-highres", "data-high-res-src", "data-hi-res-src"),
    *("data-pswp-src", "data-original-url", "data-max"),
)
"""Attributes that name a larger form, the largest last."""

TINY_PX: Final = 2
"""Declared sides up to this are of trackers and spacers."""

ICON_PX: Final = 48
"""Images whose sides are declared to be at most this are icons, unless they lead to a larger form."""

_DECORATION: Final = re.compile(
    r"(?:.*[-_.])?(?:sprites?|favicon|apple-touch-icon)(?:[-_.@].*)?|(?:spacer|blank|pixel|shim|transparent|trans|clear|dot|1x1)"
    r"|(?:[a-z]+-)?(?:loader|loading|spinner|placeholder|lazyload)",
    re.IGNORECASE,
)
"""Names, without suffix, of files that are no content."""

_BEACON_SUFFIXES: Final = frozenset({"", ".gif", ".php", ".aspx", ".ashx"})
_MAX_SOURCES: Final = 20
"""Of a ``picture``; a form for each of a few widths and types."""

_LENGTH: Final = re.compile(r"\s*(\d{1,6})(?:\.\d*)?\s*(?:px)?\s*")
_CSS_URL: Final = re.compile(r"url\(\s*(?:\"([^\"]{1,4000})\"|'([^']{1,4000})'|([^\s\"'()]{1,4000}))\s*\)", re.IGNORECASE)
_CSS_CHARS: Final = 1_000_000
_IMAGES: Final = frozenset({"img", "amp-img", "amp-anim", "image"})
_PLAIN_TYPES: Final = frozenset({"", "image/jpeg", "image/jpg", "image/png", "image/webp", "image/gif"})
_WORDPRESS_FIGURES: Final = frozenset({"wp-caption", "gallery-item"})
_WORDPRESS_CAPTIONS: Final = frozenset({"wp-caption-text", "gallery-caption"})
_MAX_CAPTIONS: Final = 50
_WIDTH_PARTS: Final = ("{width}", "{w}", "%7Bwidth%7D")
_FILLED_WIDTH: Final = "1024"
"""What is put in for the width in a URL of a shop's theme, which a script would have replaced."""


def pictures(root: Element, base: str, rules: ReadingRules, rights: PageRights) -> list[Picture]:
    """Return the pictures of a page's elements in their order; decoration is left out."""
    reader = _Reader(base, rights)
    found: list[Picture] = []
    for element in root.iter(*_IMAGES, "a", "object"):
        if picture := reader.read(element):
            found.append(picture)
        if len(found) >= MAX_IMAGES:
            break
    if rules.css_images:
        found += [Picture((Rendition(url),)) for url in _css_images(root, base)]
    return found


@dataclass(slots=True)
class _Reader:
    """Reads elements one after the other.

    Attributes:
        taken: elements that another one has already spoken for: fallbacks in ``noscript``, links whose image was read.
        captions: of the figures so far.
    """

    base: str
    rights: PageRights
    taken: set[Element] = field(default_factory=set)
    captions: dict[Element, str | None] = field(default_factory=dict)

    def read(self, element: Element) -> Picture | None:
        """Return the picture of an element, None where it shows none."""
        if element in self.taken or _is_inert(element):
            return None
        if element.tag == "object":
            url = resolve(self.base, element.get("data")) if (element.get("type") or "").startswith("image/") else None
            return self._picture(element, [Rendition(url)]) if url and "svg" not in element.get("type") else None
        return self._link(element) if element.tag == "a" else self._image(element)

    def _link(self, link: Element) -> Picture | None:
        """A link to an image file that shows no image itself."""
        url = resolve(self.base, link.get("href"))
        if url is None or not has_image_name(url) or _is_decoration_name(url) or any(True for _ in link.iter(*_IMAGES)):
            return None
        return self._picture(link, [Rendition(url)], markup.text_of(link, 300))

    def _image(self, element: Element) -> Picture | None:
        attributes = dict(element.attrib)
        sizes = _sizes_of(element, attributes, self.base)
        fallback = _fallback(element, is_named=bool(sizes)) if _is_deferred(attributes, sizes) else None
        if fallback is not None:
            self.taken.add(fallback)
            sizes = sizes if sizes and _is_lazy(attributes) else _sizes_of(fallback, dict(fallback.attrib), self.base) or sizes
        larger = self._larger(element, attributes)
        if _is_decoration(element, attributes, sizes, has_larger=bool(larger)):
            return None
        sizes = [one for one in sizes if one.url not in {big.url for big in larger}] + larger
        alt = attributes.get("alt") or (fallback.get("alt") if fallback is not None else None)
        return self._picture(element, sizes, alt, attributes.get("title")) if sizes else None

    def _larger(self, element: Element, attributes: Mapping[str, str]) -> list[Rendition]:
        """Return larger forms: those that attributes name, and the image that the link around the element leads to."""
        urls = [resolve(self.base, attributes.get(name)) for name in LARGER]
        link = next((around for around in markup.ancestors(element) if around.tag == "a"), None)
        if link is not None and link not in self.taken:
            self.taken.add(link)
            target = resolve(self.base, link.get("href"))
            urls += [*(resolve(self.base, link.get(name)) for name in ("data-src", *LARGER)), target]
        return [Rendition(url) for url in unique(urls) if has_image_name(url)]

    def _picture(self, element: Element, sizes: list[Rendition], alt: str | None = None, title: str | None = None) -> Picture:
        words = [None if _is_file_name(alt, sizes) else alt, self._caption(element)]
        return Picture(tuple(sizes), tuple(filter(None, words)), title, self.rights.of(element))

    def _caption(self, element: Element) -> str | None:
        """Return the caption of the figure around an image; WordPress has its own classes for older galleries."""
        for around in markup.ancestors(element):
            if around.tag == "figure" or tokens(around.get("class")) & _WORDPRESS_FIGURES:
                if around not in self.captions:
                    self.captions[around] = _find_caption(around)
                if caption := self.captions[around]:
                    return caption
        return None


def _find_caption(figure: Element) -> str | None:
    """Return the caption of a figure itself, not that of a figure inside of it."""
    captions = islice(figure.iter("figcaption"), _MAX_CAPTIONS)
    caption = next((one for one in captions if next(around for around in markup.ancestors(one) if around.tag == "figure") is figure), None)
    if caption is None and figure.tag != "figure":
        caption = next((one for one in figure.iter() if tokens(one.get("class")) & _WORDPRESS_CAPTIONS), None)
    return None if caption is None else markup.text_of(caption, 1000)


def _is_inert(element: Element) -> bool:
    """Whether an element is part of a drawing, or of a template that no browser shows."""
    for around in markup.ancestors(element):
        if around.tag == "svg" or (
            around.tag == "template" and "shadowrootmode" not in around.attrib and "shadowroot" not in around.attrib
        ):
            return True
    return element.tag == "image" and element.getparent() is not None and element.getparent().tag == "svg"


def _sizes_of(element: Element, attributes: Mapping[str, str], base: str) -> list[Rendition]:
    """Return the sizes of an image, the smallest first; of a lazy one those that it will show."""
    ratio = _ratio(attributes)
    sets = [attributes.get(name, "") for name in LAZY_SETS] if _is_lazy(attributes) else []
    if not any(sets):
        sets = [attributes.get("srcset", "")]
    picture = next((around for around in markup.ancestors(element) if around.tag == "picture"), None)
    sources = [] if picture is None else list(islice(picture.iter("source", "amp-source"), _MAX_SOURCES))
    plain = [one for one in sources if _type_of(one) in _PLAIN_TYPES]
    sets += [one.get("srcset") or one.get("data-srcset") or one.get("src") or "" for one in plain]
    found = _set_sizes(sets, base, ratio, _length(attributes.get("width")))
    singles: list[str | None] = [_lazy_url(attributes, name, base) for name in (*LAZY, *MAYBE_LAZY)]
    if not any(singles) and not (found and _is_lazy(attributes)):
        singles = [resolve(base, attributes.get("src"))]
    known = {one.url for one in found}
    found = [Rendition(url) for url in unique(singles) if url not in known] + found
    if found or not sources:
        return found
    return _set_sizes([one.get("srcset") or "" for one in sources if "svg" not in _type_of(one)], base, ratio, None)


def _lazy_url(attributes: Mapping[str, str], name: str, base: str) -> str | None:
    """Return the image that an attribute names; some of these also hold ``true``, a number or the address of a page."""
    url = resolve(base, _filled(attributes.get(name)))
    is_meant = has_image_name(url or "") or (name in LAZY and not attributes[name].isalnum() if url else False)
    return url if is_meant else None


def _set_sizes(sets: list[str], base: str, ratio: float | None, shown_px: int | None) -> list[Rendition]:
    """Return the candidates of some ``srcset``, the smallest first, each URL once."""
    sized: dict[str, tuple[float, Rendition]] = {}
    for value in sets:
        for one in srcset.parse(value):
            url = resolve(base, _filled(one.url))
            width = one.width or (round(shown_px * one.density) if shown_px else None)
            height = one.height or (round(width / ratio) if width and ratio else None)
            if url is not None:
                sized.setdefault(url, (width or one.density, Rendition(url, width, height)))
    return [rendition for _, rendition in sorted(sized.values(), key=lambda item: item[0])]


def _is_lazy(attributes: Mapping[str, str]) -> bool:
    return any(attributes.get(name) for name in (*LAZY, *LAZY_SETS, *MAYBE_LAZY))


def _is_deferred(attributes: Mapping[str, str], sizes: list[Rendition]) -> bool:
    """Whether something else stands in for an image until a script has run."""
    return _is_lazy(attributes) or "lazy" in attributes.get("class", "").lower() or all(_is_decoration_name(one.url) for one in sizes)


def _filled(url: str | None) -> str | None:
    for part in _WIDTH_PARTS:
        url = url.replace(part, _FILLED_WIDTH) if url else url
    return url


def _type_of(source: Element) -> str:
    return (source.get("type") or "").partition(";")[0].strip().lower()


def _fallback(element: Element, *, is_named: bool) -> Element | None:
    """Return the image in the ``noscript`` right beside a lazy one, which shows the same.

    Args:
        is_named: whether the lazy one names a file; then its fallback is no file that may only count visits.
    """
    parent = element.getparent()
    for place in (element, parent) if parent is not None and parent.tag == "picture" else (element,):
        before, after = place.getprevious(), place.getnext()
        for beside, between in ((after, place.tail), (before, before.tail if before is not None else None)):
            if beside is not None and beside.tag == "noscript" and not (between or "").strip():
                images = list(beside.iter(*_IMAGES))
                if len(images) == 1 and not _counts_visits(images[0], is_named=is_named):
                    return images[0]
    return None


def _counts_visits(fallback: Element, *, is_named: bool) -> bool:
    is_tiny = min(_declared_sides(fallback.attrib), default=ICON_PX) <= TINY_PX
    return is_tiny or (is_named and _is_beacon(fallback, fallback.attrib, fallback.get("src") or ""))


def _is_decoration(element: Element, attributes: Mapping[str, str], sizes: list[Rendition], *, has_larger: bool) -> bool:
    """Whether an image is a tracker, a spacer, a sprite or an icon, by what is declared about it."""
    declared = _declared_sides(attributes)
    if declared and min(declared) <= TINY_PX:
        return True
    if sizes and all(_is_decoration_name(one.url) or _is_drawing(one.url) for one in sizes) and not has_larger:
        return True
    if declared and max(declared) <= ICON_PX and not has_larger and not any((one.width or 0) > ICON_PX for one in sizes):
        return True
    return bool(sizes) and not has_larger and not declared and _is_beacon(element, attributes, sizes[-1].url)


def _is_beacon(element: Element, attributes: Mapping[str, str], url: str) -> bool:
    """Whether an image counts visits: hidden, or for browsers without scripts only, and not named like an image."""
    style = "".join(attributes.get("style", "").lower().split())
    is_hidden = "display:none" in style or "visibility:hidden" in style or "hidden" in attributes
    is_for_few = any(around.tag == "noscript" for around in markup.ancestors(element))
    return (is_hidden or is_for_few) and PurePosixPath(urlsplit(url).path).suffix.lower() in _BEACON_SUFFIXES


def _is_decoration_name(url: str) -> bool:
    return bool(_DECORATION.fullmatch(PurePosixPath(unquote(urlsplit(url).path)).stem)) or urlsplit(url).path.lower().endswith(".ico")


def _is_drawing(url: str) -> bool:
    return urlsplit(url).path.lower().endswith((".svg", ".svgz"))


def _declared_sides(attributes: Mapping[str, str]) -> list[int]:
    """Return the sides of an image that attributes or its own style declare, pixels."""
    style = dict(part.partition(":")[::2] for part in attributes.get("style", "").lower().replace(" ", "").split(";"))
    sides = (_length(attributes.get(name)) for name in ("width", "height"))
    styled = (_length(style.get(name)) for name in ("width", "height"))
    return [side for side in (own if own is not None else other for own, other in zip(sides, styled, strict=True)) if side is not None]


def _length(value: str | None) -> int | None:
    match = _LENGTH.fullmatch(value) if value else None
    return int(match[1]) if match else None


def _ratio(attributes: Mapping[str, str]) -> float | None:
    width, height = _length(attributes.get("width")), _length(attributes.get("height"))
    return width / height if width and height and width > TINY_PX and height > TINY_PX else None


def _is_file_name(alt: str | None, sizes: list[Rendition]) -> bool:
    """Whether an alternative text is only the name of the file, as some programs write it."""
    names = {unquote(urlsplit(one.url).path.rpartition("/")[2]).lower() for one in sizes}
    return bool(alt) and alt is not None and alt.strip().lower() in names | {PurePosixPath(name).stem for name in names}


def _css_images(root: Element, base: str) -> Iterator[str]:
    """Yield images of inline styles, style elements and attributes that scripts turn into backgrounds."""
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        styles = [element.get("style") or "", element.text or "" if element.tag == "style" else ""]
        references = [found for style in styles for found in css_urls(style)]
        references += [
            value.removeprefix("url(").removesuffix(")").strip("\"'")
            for name in ("data-bg", "data-background-image", "data-background")
            if (value := element.get(name))
        ]
        for reference in references:
            url = resolve(base, reference)
            if url is not None and not _is_decoration_name(url) and not _is_drawing(url):
                yield url


def css_urls(style: str) -> list[str]:
    """Return the addresses in a style sheet's ``url(...)``; fonts and other sheets among them are known by their names."""
    found = ["".join(match).strip() for match in _CSS_URL.findall(style[:_CSS_CHARS])]
    return [
        one
        for one in found
        if not one.lower().partition("?")[0].partition("#")[0].endswith((".css", ".woff", ".woff2", ".ttf", ".eot", ".otf"))
    ]
