"""What is read out of a document of the web, and how the images of one element become a candidate. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

import errors
from app.discovery import licences, text, urls
from app.discovery.renditions import smallest_sufficient
from app.domain import PAGES_SOURCE, Candidate, LicenseConfidence, Rendition
from downloader import url_syntax

__all__ = ["NO_RIGHTS", "Picture", "ReadingRules", "Rights", "WebDocument", "group_of", "has_image_name", "resolve", "unique"]

MAX_IMAGES: Final = 5_000
"""Of one document."""

MAX_LINKS: Final = 50_000
"""Of one document: what the sitemap protocol allows."""

MAX_RENDITIONS: Final = 20
CAPTION_CHARS: Final = 5_000
LICENCE_CHARS: Final = 500

_GROUP_CHARS: Final = 200
_ASSUMED_ASPECT: Final = 2
"""Longer side over shorter side of an image of which only the width is known."""

_IMAGE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".avif", ".tif", ".tiff", ".bmp", ".heic"})
_NO_ADDRESS: Final = ("#", "{", "[")
"""Beginnings of a place in the document, and of JSON, which some sites put into attributes."""

_UNFILLED: Final = ("{{", "}}", "${", "<%", "%7B%7B", "{%")
"""Parts of a template that a script would have filled in."""


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """How documents are read.

    Attributes:
        side_px: pixels that the shorter side of an image should have; None for the largest size that is offered.
        css_images: whether images of style sheets inside a page are taken.
        robots: whether ``noindex``, ``nofollow`` and ``noimageindex`` are obeyed; ``opt_out`` is about ``noai`` and the like.
    """

    side_px: int | None = None
    css_images: bool = False
    robots: bool = True
    opt_out: bool = True


@dataclass(frozen=True, slots=True)
class WebDocument:
    """What a document offers.

    Attributes:
        links: pages that it names, one link further away.
        parts: documents that it is made of, as an index is of sitemaps; they are no further away.
        canonical: its own address, where it names another spelling of it.
        problem: why nothing could be taken; empty if something could be.
        reserved: the words that reserve it from use, if that is the problem.
        note: a remark for the summary.
        kind: what it is; empty if that is not known.
    """

    url: str
    images: tuple[Candidate, ...] = ()
    links: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    canonical: str | None = None
    problem: str = ""
    reserved: str = ""
    note: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Rights:
    """What is stated on the use of an image, or of all images of a page.

    Attributes:
        statements: of licences and copyright, verbatim.
        url: of the licence.
        is_of_image: whether it was stated for this image rather than for its page.
    """

    statements: tuple[str, ...] = ()
    url: str | None = None
    creator: str | None = None
    creator_url: str | None = None
    credit: str | None = None
    is_of_image: bool = False


NO_RIGHTS: Final = Rights()


@dataclass(frozen=True, slots=True)
class Picture:
    """An image in one or more sizes, as a document shows it.

    Attributes:
        renditions: from the smallest to the largest; URLs are absolute.
        captions: the best first.
    """

    renditions: tuple[Rendition, ...]
    captions: tuple[str, ...] = ()
    title: str | None = None
    rights: Rights = NO_RIGHTS
    tags: tuple[str, ...] = field(default=())

    def candidate(self, page_url: str, side_px: int | None) -> Candidate:
        """Return it as a candidate: in the smallest size that serves, with the others beside it."""
        chosen = _choose(self.renditions, side_px)
        captions = unique(text.clean(item, CAPTION_CHARS) for item in self.captions)
        stated = licences.SEPARATOR.join(unique(text.clean(item, LICENCE_CHARS) for item in self.rights.statements))[:LICENCE_CHARS]
        licence = licences.normalise(stated)
        return Candidate(
            chosen.url,
            PAGES_SOURCE,
            page_url=page_url,
            group_id=group_of(page_url),
            caption=captions[0] if captions else None,
            captions=tuple(captions) if len(captions) > 1 else (),
            title=text.clean(self.title, 500),
            license=licence or stated[:200] or None,
            license_url=self.rights.url,
            license_raw=stated or None,
            license_confidence=_confidence(licence, self.rights),
            creator=text.clean(self.rights.creator, 300),
            creator_url=self.rights.creator_url,
            attribution=text.clean(self.rights.credit, 1000),
            width=chosen.width,
            height=chosen.height,
            stated_bytes=chosen.size_bytes,
            renditions=tuple(one for one in self.renditions if one.url != chosen.url)[:MAX_RENDITIONS],
            tags=self.tags,
        )


def _confidence(licence: str | None, rights: Rights) -> LicenseConfidence:
    if licence is None:
        return "unknown"
    return "asserted" if rights.is_of_image else "derived"


def _choose(renditions: Sequence[Rendition], side_px: int | None) -> Rendition:
    assumed = [one if one.height or not one.width else replace(one, height=one.width // _ASSUMED_ASPECT) for one in renditions]
    chosen = smallest_sufficient(assumed, side_px)
    assert chosen is not None  # a picture has at least one
    return renditions[assumed.index(chosen)]


def resolve(base: str, reference: str | None) -> str | None:
    """Return the absolute URL of a reference in a document, None where it is none that can be requested, or a place in the document."""
    if not reference or reference.lstrip().startswith(_NO_ADDRESS) or any(part in reference for part in _UNFILLED):
        return None
    try:
        return urls.usable(url_syntax.resolve(base, reference))
    except errors.InvalidURLError:
        return None


def has_image_name(url: str) -> bool:
    """Whether a URL ends like the file of an image; ``File:Cat.jpg`` is the page about one."""
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    return PurePosixPath(name).suffix.lower() in _IMAGE_SUFFIXES and ":" not in name


def group_of(page_url: str) -> str:
    """Return the group of the images of a page."""
    group = f"page:{page_url}"
    return group if len(group) <= _GROUP_CHARS else f"page:{sha256(page_url.encode()).hexdigest()}"


def unique(items: Iterable[str | None]) -> list[str]:
    """Return the items that are not empty, each once."""
    return list(dict.fromkeys(item for item in items if item))
