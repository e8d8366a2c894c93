"""Wikimedia Commons: a search for bitmaps, page by page, each file with its licence, creator and attribution.

Requests are serial and carry ``maxlag`` (https://www.mediawiki.org/wiki/API:Etiquette). Fields of a file:
https://www.mediawiki.org/wiki/API:Imageinfo and Extension:CommonsMetadata. The metadata is HTML that anybody may edit.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import errors
from app.discovery import licences, text, urls
from app.discovery.sources import mediawiki
from app.discovery.sources.source import JsonClient, Part, Place, Query, Reply, Source, SourceInfo, SourceOptions
from app.domain import Candidate, ListProblem

__all__ = ["METADATA", "STANDARD_WIDTHS_PX", "Wikimedia", "image_info", "read_file", "standard_width", "width_for"]

DEPTH = 10_000
"""Results that the search engine gives out for one query."""
PAGE_SIZE = 50
"""Files a request; more than 50 thumbnails are not computed in one."""
MAX_REPLIES = 20
"""Replies merged for one batch of files at most."""

STANDARD_WIDTHS_PX = (20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840)
"""The only thumbnails that are served without limits (https://w.wiki/GHai); any other width is answered with 429."""

ASPECT = 1.5
"""Width over height of most photographs: a thumbnail this much wider than the shorter side that is wanted has it."""

METADATA = ("License", "LicenseShortName", "LicenseUrl", "UsageTerms", "Artist", "Credit", "Attribution", "ImageDescription", "ObjectName")

_MIME_TYPES = frozenset(
    {"image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff", "image/bmp", "image/x-bmp", "image/x-ms-bmp", "image/avif"}
)
_FILE_NAME = re.compile(r"(?:File:)?(.*?)(?:\.[A-Za-z0-9]{2,5})?", re.DOTALL)
_MAX_SIDE_PX = 1_000_000

_FIXED = {
    "action": "query",
    "generator": "search",
    "gsrnamespace": "6",
    "gsrlimit": str(PAGE_SIZE),
    "prop": "imageinfo",
    "iiprop": "url|size|mime|extmetadata",
    "iiextmetadatafilter": "|".join(METADATA),
    "maxlag": "5",
}
_COUNTING = {"action": "query", "list": "search", "srnamespace": "6", "srlimit": "1", "srinfo": "totalhits", "srprop": "", "maxlag": "5"}
_OFFSET = "gsroffset"


class Wikimedia(Source):
    """Search on Wikimedia Commons.

    The smallest standard width that has the wanted shorter side in a photograph is taken where the original is wider.
    """

    info: ClassVar[SourceInfo] = SourceInfo(
        name="wikimedia",
        title="Wikimedia Commons",
        base_url="https://commons.wikimedia.org",
        terms_url="https://foundation.wikimedia.org/wiki/Policy:Terms_of_Use",
        docs_url="https://www.mediawiki.org/wiki/API:Search",
        licences="each file names its free licence and its creator",
        depth=DEPTH,
        page_size=PAGE_SIZE,
        needs_contact=True,
    )

    def __init__(self, client: JsonClient, options: SourceOptions) -> None:
        super().__init__(client, options)
        self._url = mediawiki.endpoint(options.base_url)
        self._width_px = width_for(options.side_px)

    async def read(self, query: Query, place: Place) -> Reply:
        """Read a page of up to 50 files, merged from all replies that the API splits it into."""
        start = _parse_page(place.page)
        files, following, note = await self._gather(query.keyword, start)
        items = [read_file(file, source=self.info.name, width_px=self._width_px) for file in files]
        return Reply(items, json.dumps(following, sort_keys=True) if following else None, note=note)

    async def count(self, query: Query, part: Part) -> int | None:
        """Ask for the number of hits, without files."""
        reply = await mediawiki.call(self._client, self._url, {**_COUNTING, "srsearch": f"filetype:bitmap {query.keyword}"})
        found = reply.get("query")
        info = found.get("searchinfo") if isinstance(found, dict) else None
        total = info.get("totalhits") if isinstance(info, dict) else None
        return total if isinstance(total, int) else None

    def _params(self, keyword: str) -> dict[str, str]:
        params = {**_FIXED, "gsrsearch": f"filetype:bitmap {keyword}"}
        if self._width_px is not None:
            params["iiurlwidth"] = str(self._width_px)
        return params

    async def _gather(self, keyword: str, start: dict[str, str]) -> tuple[list[dict[str, Any]], dict[str, str] | None, str]:
        """Return the files of one batch in the search's order, where the next batch begins, and a note.

        Until ``batchcomplete`` the replies tell of the same files, each a part.
        """
        params = self._params(keyword)
        files: dict[object, dict[str, Any]] = {}
        place: dict[str, str] | None = start
        for _ in range(MAX_REPLIES):
            reply = await mediawiki.call(self._client, self._url, {**params, **(place or {})})
            _merge(files, reply)
            previous, place = place, mediawiki.continuation(reply, params)
            if place is None or place == previous or "batchcomplete" in reply:
                break
        following, note = _advance(start, place)
        return sorted(files.values(), key=_index), following, note


def _parse_page(page: str | None) -> dict[str, str]:
    if page is None:
        return {}
    try:
        place = json.loads(page)
    except (ValueError, RecursionError) as exc:
        raise errors.ValidationError("the cursor of a Wikimedia search is not JSON") from exc
    is_ours = isinstance(place, dict) and all(isinstance(value, str) for value in place.values()) and not _FIXED.keys() & place.keys()
    if not is_ours or not place.get(_OFFSET, "0").isdecimal():
        raise errors.ValidationError("the cursor of a Wikimedia search is not one that it gave out")
    return dict(place)


def _offset(place: Mapping[str, str]) -> int:
    value = place.get(_OFFSET, "0")
    return int(value) if value.isdecimal() and len(value) <= 9 else 0


def _advance(start: Mapping[str, str], following: dict[str, str] | None) -> tuple[dict[str, str] | None, str]:
    """Return where to continue, or why not: a continuation that does not advance would loop."""
    if following is None:
        return None, ""
    if _offset(following) >= DEPTH:
        return None, f"the search ends at {DEPTH} results"
    if _offset(following) <= _offset(start):
        return None, "the source's continuation leads nowhere"
    return following, ""


def _merge(files: dict[object, dict[str, Any]], reply: Mapping[str, Any]) -> None:
    """Add a reply's files to those known, and its parts of a file to the parts known."""
    query = reply.get("query")
    pages = query.get("pages") if isinstance(query, dict) else None
    for page in pages if isinstance(pages, list) else []:
        if not isinstance(page, dict):
            continue
        key = str(page.get("pageid", page.get("title")))
        known = files.setdefault(key, {})
        infos = {**image_info(known), **image_info(page)}
        known.update(page)
        if infos:
            known["imageinfo"] = [infos]


def _index(file: Mapping[str, Any]) -> int:
    """Position in the search; replies come in no order."""
    index = file.get("index")
    return index if isinstance(index, int) else DEPTH


def standard_width(width_px: int | None) -> int | None:
    """Return the smallest standard width that reaches ``width_px``, ``None`` (the original) if none does or none is wanted."""
    if width_px is None:
        return None
    return next((width for width in STANDARD_WIDTHS_PX if width >= width_px), None)


def image_info(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of the file's current version, empty if nothing is."""
    infos = file.get("imageinfo")
    return infos[0] if isinstance(infos, list) and infos and isinstance(infos[0], dict) else {}


def width_for(side_px: int | None) -> int | None:
    """Return the standard width of a thumbnail whose shorter side is at least ``side_px`` in most photographs; ``None``: originals."""
    return None if side_px is None else standard_width(round(side_px * ASPECT))


def read_file(file: Mapping[str, Any], *, source: str, width_px: int | None) -> Candidate | ListProblem | None:
    """Return the file as a candidate, as a problem if its record is broken, or ``None`` if it is of a kind that is not taken."""
    info = image_info(file)
    if not info:
        return ListProblem(line=0, message="the file has no image information", text=text.preview(str(file.get("title", ""))))
    if info.get("mime") not in _MIME_TYPES:
        return None
    url, width, height = _choose(info, width_px)
    if url is None:
        return ListProblem(line=0, message="the file has no usable address", text=text.preview(str(info.get("url", ""))))
    return _candidate(file, info, Candidate(url=url, source=source, width=width, height=height))


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
        width=bare.width,
        height=bare.height,
        page_url=urls.usable(info.get("descriptionurl")),
        title=title,
        caption=text.strip_html(said.get("ImageDescription"), 2_000),
        license=licence,
        license_url=licence_url,
        license_raw=_stated(said),
        license_confidence="asserted" if licences.normalise(licence) else "unknown",
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


def _stated(said: Mapping[str, str]) -> str | None:
    """What the file says of its licence, in its own words."""
    words = (text.strip_html(said.get(name), 200) for name in ("License", "LicenseShortName", "LicenseUrl", "UsageTerms"))
    return " | ".join(dict.fromkeys(filter(None, words)))[:500] or None


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
