"""One file on Wikimedia Commons as the API describes it, read into a candidate. No request is sent here.

Fields: https://www.mediawiki.org/wiki/API:Imageinfo and Extension:CommonsMetadata. The metadata is HTML that anybody may edit.
"""

import re
from collections.abc import Mapping
from typing import Any

from app.discovery import licences, text, urls
from app.domain import Candidate, Problem

__all__ = ["DEFAULT_WIDTH_PX", "METADATA", "STANDARD_WIDTHS_PX", "info_of", "read", "standard_width"]

STANDARD_WIDTHS_PX = (20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840)
"""The only thumbnails that are served without limits (https://w.wiki/GHai); any other width is answered with 429."""

DEFAULT_WIDTH_PX = 960
"""More than trainers commonly read (224 to 768), a tenth of an original's bytes."""

METADATA = ("License", "LicenseShortName", "LicenseUrl", "UsageTerms", "Artist", "Credit", "Attribution", "ImageDescription", "ObjectName")

_MIME_TYPES = frozenset(
    {"image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff", "image/bmp", "image/x-bmp", "image/x-ms-bmp", "image/avif"}
)
_FILE_NAME = re.compile(r"(?:File:)?(.*?)(?:\.[A-Za-z0-9]{2,5})?", re.DOTALL)
_MAX_SIDE_PX = 1_000_000


def standard_width(width_px: int | None) -> int | None:
    """Return the smallest standard width that reaches ``width_px``, ``None`` (the original) if none does or none is wanted."""
    if width_px is None:
        return None
    return next((width for width in STANDARD_WIDTHS_PX if width >= width_px), None)


def info_of(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of the file's current version, empty if nothing is."""
    infos = file.get("imageinfo")
    return infos[0] if isinstance(infos, list) and infos and isinstance(infos[0], dict) else {}


def read(file: Mapping[str, Any], *, rank: int, source: str, width_px: int | None) -> Candidate | Problem | None:
    """Return the file as a candidate, as a problem if its record is broken, or ``None`` if it is of a kind that is not taken."""
    info = info_of(file)
    if not info:
        return Problem(line=rank + 1, message="the file has no image information", text=text.preview(str(file.get("title", ""))))
    if info.get("mime") not in _MIME_TYPES:
        return None
    url, width, height = _choose(info, width_px)
    if url is None:
        return Problem(line=rank + 1, message="the file has no usable address", text=text.preview(str(info.get("url", ""))))
    return _candidate(file, info, Candidate(url=url, source=source, rank=rank, width=width, height=height))


def _choose(info: Mapping[str, Any], width_px: int | None) -> tuple[str | None, int | None, int | None]:
    """Return address, width and height of the thumbnail where the original is wider than it, else of the original."""
    original = urls.usable(info.get("url"))
    width, height = _side(info.get("width")), _side(info.get("height"))
    thumb = urls.usable(info.get("thumburl"))
    if thumb is None or width_px is None or width is None or width <= width_px or info.get("thumbwidth") != width_px:
        return original, width, height
    return thumb, width_px, _side(info.get("thumbheight"))


def _side(value: object) -> int | None:
    return value if isinstance(value, int) and 0 < value <= _MAX_SIDE_PX else None


def _candidate(file: Mapping[str, Any], info: Mapping[str, Any], bare: Candidate) -> Candidate:
    said = _metadata(info)
    licence, licence_url = _licence(said)
    title = _title(file, said)
    creator = text.strip_html(said.get("Artist"), 300)
    return Candidate(
        url=bare.url,
        source=bare.source,
        rank=bare.rank,
        width=bare.width,
        height=bare.height,
        page_url=urls.usable(info.get("descriptionurl")),
        title=title,
        caption=text.strip_html(said.get("ImageDescription"), 2_000),
        license=licence,
        license_url=licence_url,
        creator=creator,
        attribution=_attribution(said, title, creator, licence),
    )


def _metadata(info: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata's values that are text."""
    found = info.get("extmetadata")
    entries = found if isinstance(found, dict) else {}
    values = {name: entry.get("value") for name, entry in entries.items() if isinstance(entry, dict)}
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _licence(said: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return id and address: the id where code, address and name agree, else the file's own words."""
    code, name, address = said.get("License"), text.strip_html(said.get("LicenseShortName"), 200), said.get("LicenseUrl")
    known = licences.settle(code, address, name)
    words = known or name or text.strip_html(said.get("UsageTerms"), 200) or text.clean(code, 200)
    return words, urls.usable(address) or licences.url_of(known)


def _title(file: Mapping[str, Any], said: Mapping[str, str]) -> str | None:
    named = text.strip_html(said.get("ObjectName"), 300)
    if named:
        return named
    raw = text.clean(file.get("title"), 300) or ""
    match = _FILE_NAME.fullmatch(raw)
    return (match[1].strip() if match else raw) or None


def _attribution(said: Mapping[str, str], title: str | None, creator: str | None, licence: str | None) -> str:
    """Return the words the creator asks for, or title, creator, source and licence, as Creative Commons recommends."""
    asked_for = text.strip_html(said.get("Attribution"), 1_000)
    if asked_for:
        return asked_for
    who = creator or text.strip_html(said.get("Credit"), 300)
    parts = [f"“{title}”" if title else "Image", f"by {who}" if who else "", "via Wikimedia Commons", f"({licence})" if licence else ""]
    return " ".join(part for part in parts if part)
