"""Wikimedia Commons: a search for bitmaps, page by page, each with its licence, creator and attribution.

Owns the paging; :mod:`app.discovery.commons` reads one file's record. Requests are serial and carry ``maxlag``, as API:Etiquette asks.
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import errors
from app.discovery import commons, mediawiki
from app.discovery.base import JsonClient, Page
from app.domain import Candidate, Problem

__all__ = ["Wikimedia"]

ROOT = "https://commons.wikimedia.org"
DEPTH = 10_000
"""Results that the search engine gives out for one query."""
PAGE_SIZE = 50
"""Files a request; more than 50 thumbnails are not computed in one."""
MAX_REPLIES = 20
"""Replies to gather for one batch of files before it is taken as it is."""

_FIXED = {
    "action": "query",
    "generator": "search",
    "gsrnamespace": "6",
    "gsrlimit": str(PAGE_SIZE),
    "prop": "imageinfo",
    "iiprop": "url|size|mime|extmetadata",
    "iiextmetadatafilter": "|".join(commons.METADATA),
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

    def __init__(self, client: JsonClient, *, base_url: str | None = None, width_px: int | None = commons.DEFAULT_WIDTH_PX) -> None:
        self._client = client
        self._url = mediawiki.endpoint(base_url or ROOT)
        self._width_px = commons.standard_width(width_px)

    async def pages(self, keyword: str, cursor: str | None) -> AsyncIterator[Page]:
        """Yield pages of up to 50 files; a page is whole, however many replies the API cuts it into."""
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

    def _page(self, files: list[dict[str, Any]], first: int, following: dict[str, str] | None, note: str) -> Page:
        candidates: list[Candidate] = []
        problems: list[Problem] = []
        for rank, file in enumerate(files, first):
            found = commons.read(file, rank=rank, source=self.name, width_px=self._width_px)
            if isinstance(found, Candidate):
                candidates.append(found)
            elif found is not None:
                problems.append(found)
        passed_over = len(files) - len(candidates) - len(problems)
        words = [note] if note else []
        if passed_over:
            words.append(f"{passed_over} of {len(files)} files are of a kind that is not taken")
        return Page(tuple(candidates), json.dumps(following, sort_keys=True) if following else None, tuple(problems), "; ".join(words))


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
    """Return where to go on, or why not: an answer that does not lead further would be asked for again and again."""
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
        infos = {**commons.info_of(known), **commons.info_of(page)}
        known.update(page)
        if infos:
            known["imageinfo"] = [infos]


def _index(file: Mapping[str, Any]) -> int:
    """Position in the search; replies come in no order."""
    index = file.get("index")
    return index if isinstance(index, int) else DEPTH
