"""A file of Wikimedia Commons: which of its sizes is fetched, its licence, creator and attribution. Pure.

Fields: https://www.mediawiki.org/wiki/API:Imageinfo and Extension:CommonsMetadata. The metadata is HTML that anybody may edit.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import errors
from app.discovery import licences, text, urls
from app.discovery.renditions import longer_side, smallest_sufficient
from app.discovery.sources import fields
from app.domain import Candidate, ListProblem, Rendition
from downloader import url_syntax

__all__ = ["METADATA", "STANDARD_WIDTHS_PX", "image_info", "read_file", "width_for"]

STANDARD_WIDTHS_PX: Final = (20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840)
"""The only widths that thumbnails have (https://w.wiki/GHai); any other is answered with 400."""

METADATA: Final = (
    "License",
    "LicenseShortName",
    "LicenseUrl",
    "UsageTerms",
    "Artist",
    "Credit",
    "Attribution",
    "ImageDescription",
    "ObjectName",
    "Categories",
)

_MIME_TYPES: Final = frozenset(
    {"image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff", "image/bmp", "image/x-bmp", "image/x-ms-bmp", "image/avif"}
)
_FILE_NAME: Final = re.compile(r"(?:File:)?(.*?)(?:\.[A-Za-z0-9]{2,5})?", re.DOTALL)
_WIDTH_IN_URL: Final = re.compile(r"/(?:[a-z0-9-]*-)?([0-9]{2,5})px-[^/]*\Z")
_SHA1: Final = re.compile(r"[0-9a-f]{40}")
_UPKEEP: Final = re.compile(
    r"(?i)(?:cc-|pd[- ]|self-published|uploaded |files? |all media|media |items |pages |images (?:from|with)|taken with|flickr )"
)
"""Categories that are about the file and its upkeep, not about what it shows."""


def image_info(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of the file's current version, empty if nothing is."""
    infos = file.get("imageinfo")
    return infos[0] if isinstance(infos, list) and infos and isinstance(infos[0], dict) else {}


def width_for(side_px: int | None) -> int | None:
    """Return the standard width of a thumbnail whose shorter side is at least ``side_px`` in most photographs; ``None``: originals."""
    if side_px is None:
        return None
    return next((width for width in STANDARD_WIDTHS_PX if width >= longer_side(side_px)), None)


def read_file(file: Mapping[str, Any], *, source: str, side_px: int | None) -> Candidate | ListProblem | None:
    """Return the file as a candidate, as a problem if its record is broken, or ``None`` if it is of a kind that is not taken."""
    info = image_info(file)
    if not info:
        return ListProblem(line=0, message="the file has no image information", text=text.preview(file.get("title", "")))
    if info.get("mime") not in _MIME_TYPES:
        return None
    renditions = tuple(_renditions(info))
    chosen = smallest_sufficient(renditions, side_px)
    if chosen is None:
        return ListProblem(line=0, message="the file has no usable address", text=text.preview(info.get("url", "")))
    return _candidate(file, info, source, renditions, chosen)


def _renditions(info: Mapping[str, Any]) -> Iterator[Rendition]:
    """Yield the thumbnails that are offered, from the smallest, and the original. Their addresses are not ours to make (T66214)."""
    original = urls.usable(info.get("url"))
    if original is None:
        return
    width, height = fields.side(info.get("width")), fields.side(info.get("height"))
    found: dict[int, str] = {}
    if width and height:
        for address in (info.get("thumburl"), *fields.mapping(info.get("responsiveUrls")).values()):
            url = urls.usable(address)
            thumb_px = _width_in(url)
            if url and thumb_px and thumb_px < width:
                found.setdefault(thumb_px, url)
        for thumb_px in sorted(found):
            yield Rendition(found[thumb_px], thumb_px, max(1, round(height * thumb_px / width)))
    yield Rendition(original, width, height, fields.number(info.get("size")) or None)


def _width_in(url: str | None) -> int | None:
    """The width of a thumbnail by its address: ``thumbwidth`` may be the one that was asked for (T388792)."""
    match = _WIDTH_IN_URL.search(url or "")
    return int(match[1]) if match else None


def _candidate(
    file: Mapping[str, Any], info: Mapping[str, Any], source: str, renditions: tuple[Rendition, ...], chosen: Rendition
) -> Candidate:
    said = _metadata(info)
    licence, licence_url = _licence(said)
    title, creator, page_url = _title(file, said), text.strip_html(said.get("Artist"), 300), urls.usable(info.get("descriptionurl"))
    sha1 = info.get("sha1")
    return Candidate(
        url=chosen.url,
        source=source,
        width=chosen.width,
        height=chosen.height,
        stated_bytes=chosen.size_bytes,
        renditions=renditions,
        page_url=page_url,
        title=title,
        caption=text.strip_html(said.get("ImageDescription"), 2_000),
        license=licence,
        license_url=licence_url,
        license_raw=_stated(said),
        license_confidence="asserted" if licences.normalise(licence) else "unknown",
        creator=creator,
        creator_url=_creator_url(said, page_url),
        attribution=_attribution(said, title, creator, licence),
        tags=fields.tags([name for name in said.get("Categories", "").split("|") if not _UPKEEP.match(name)]),
        identities=(f"sha1:{sha1}",) if isinstance(sha1, str) and _SHA1.fullmatch(sha1) else (),
    )


def _metadata(info: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata's values that are text."""
    entries = fields.mapping(info.get("extmetadata"))
    values = {name: entry.get("value") for name, entry in entries.items() if isinstance(entry, dict)}
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _licence(said: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return id and address: the id where code, address and name agree, else the file's own words."""
    code, name, address = said.get("License"), text.strip_html(said.get("LicenseShortName"), 200), said.get("LicenseUrl")
    known = licences.settle(code, address, name)
    words = known or name or text.strip_html(said.get("UsageTerms"), 200) or text.clean(code, 200)
    return words, urls.usable(address) or licences.url_of(known)


def _stated(said: Mapping[str, str]) -> str | None:
    """What the file says of its licence, in its own words."""
    words = (text.strip_html(said.get(name), 200) for name in ("License", "LicenseShortName", "LicenseUrl", "UsageTerms"))
    return licences.SEPARATOR.join(dict.fromkeys(filter(None, words)))[:500] or None


def _title(file: Mapping[str, Any], said: Mapping[str, str]) -> str | None:
    named = text.strip_html(said.get("ObjectName"), 300)
    if named:
        return named
    raw = text.clean(file.get("title"), 300) or ""
    match = _FILE_NAME.fullmatch(raw)
    return (match[1].strip() if match else raw) or None


def _creator_url(said: Mapping[str, str], page_url: str | None) -> str | None:
    """Return where the creator's name leads; not to a page that is yet to be written."""
    link = text.first_link(said.get("Artist"))
    if link is None or "redlink=1" in link or page_url is None:
        return None
    try:
        return urls.usable(url_syntax.resolve(page_url, link))
    except errors.InvalidURLError:
        return None


def _attribution(said: Mapping[str, str], title: str | None, creator: str | None, licence: str | None) -> str:
    """Return the words the creator asks for, or title, creator, source and licence."""
    asked_for = text.strip_html(said.get("Attribution"), 1_000)
    return asked_for or fields.attribution(title, creator or text.strip_html(said.get("Credit"), 300), "Wikimedia Commons", licence)
