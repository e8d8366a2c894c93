"""Wikimedia Commons: a search for bitmaps, page by page, each file with its licence, creator and attribution.

Requests are serial and carry ``maxlag`` (https://www.mediawiki.org/wiki/API:Etiquette). Fields of a file:
https://www.mediawiki.org/wiki/API:Imageinfo and Extension:CommonsMetadata. The metadata is HTML that anybody may edit.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import errors
from app.discovery import licences, text, urls
from app.discovery.sources import mediawiki
from app.discovery.sources.source import JsonClient, SearchPage
from app.domain import Candidate, ListProblem

__all__ = ["DEFAULT_WIDTH_PX", "METADATA", "STANDARD_WIDTHS_PX", "Wikimedia", "image_info", "read_file", "standard_width"]

ROOT = "https://commons.wikimedia.org"
DEPTH = 10_000
"""Results that the search engine gives out for one query."""
PAGE_SIZE = 50
"""Files a request; more than 50 thumbnails are not computed in one."""
MAX_REPLIES = 20
"""Replies merged for one batch of files at most."""

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
_OFFSET = "gsroffset"


class Wikimedia:
    """Search on Wikimedia Commons (or on the wiki at ``base_url``, scheme and host).

    ``width_px`` is the width that images are wanted in; the smallest standard width that reaches it is taken where the original is
    wider. ``None`` takes originals.
    """

    name = "wikimedia"
    title = "Wikimedia Commons"
    needs_contact = True
    needs_key = False
    terms_url = "https://foundation.wikimedia.org/wiki/Policy:Terms_of_Use"
    licences = "each file names its free licence and its creator"
    depth: int | None = DEPTH

    def __init__(self, client: JsonClient, *, base_url: str | None = None, width_px: int | None = DEFAULT_WIDTH_PX) -> None:
        self._client = client
        self._url = mediawiki.endpoint(base_url or ROOT)
        self._width_px = standard_width(width_px)

    async def pages(self, keyword: str, cursor: str | None) -> AsyncIterator[SearchPage]:
        """Yield pages of up to 50 files, each merged from all replies that the API splits it into."""
        place = _parse_cursor(cursor)
        while True:
            files, following, note = await self._gather(keyword, place)
            page = self._page(files, _offset(place), following, note)
            yield page
            if following is None:
                return
            place = following

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

    def _page(self, files: list[dict[str, Any]], first: int, following: dict[str, str] | None, note: str) -> SearchPage:
        candidates: list[Candidate] = []
        problems: list[ListProblem] = []
        for rank, file in enumerate(files, first):
            found = read_file(file, rank=rank, source=self.name, width_px=self._width_px)
            if isinstance(found, Candidate):
                candidates.append(found)
            elif found is not None:
                problems.append(found)
        passed_over = len(files) - len(candidates) - len(problems)
        words = [note] if note else []
        if passed_over:
            words.append(f"{passed_over} of {len(files)} files are of a kind that is not taken")
        return SearchPage(
            tuple(candidates), json.dumps(following, sort_keys=True) if following else None, tuple(problems), "; ".join(words)
        )


def _parse_cursor(cursor: str | None) -> dict[str, str]:
    if cursor is None:
        return {}
    try:
        place = json.loads(cursor)
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


def read_file(file: Mapping[str, Any], *, rank: int, source: str, width_px: int | None) -> Candidate | ListProblem | None:
    """Return the file as a candidate, as a problem if its record is broken, or ``None`` if it is of a kind that is not taken."""
    info = image_info(file)
    if not info:
        return ListProblem(line=rank + 1, message="the file has no image information", text=text.preview(str(file.get("title", ""))))
    if info.get("mime") not in _MIME_TYPES:
        return None
    url, width, height = _choose(info, width_px)
    if url is None:
        return ListProblem(line=rank + 1, message="the file has no usable address", text=text.preview(str(info.get("url", ""))))
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
