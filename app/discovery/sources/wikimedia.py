"""Wikimedia Commons: a search for bitmaps, page by page, first by what is depicted, then by category, then by words.

Requests are serial and carry ``maxlag`` (https://www.mediawiki.org/wiki/API:Etiquette). What a file's record says is read in
:mod:`app.discovery.sources.commons_files`. Words of a search: https://www.mediawiki.org/wiki/Help:CirrusSearch, Help:WikibaseCirrusSearch.
A category is searched with those below it (``deepcat``). Where these are too many or cannot be found out, the search engine takes some
of them or none and warns; such an answer is not used, and the category is searched alone (``incategory``).
"""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, ClassVar, Final

import errors
from app.discovery.sources import fields, mediawiki, slicing
from app.discovery.sources.commons_files import METADATA, image_info, read_file, width_for
from app.discovery.sources.source import JsonClient, Part, Place, Query, Reply, Source, SourceInfo, SourceOptions

__all__ = ["Wikimedia"]

DEPTH = 10_000
"""Results that the search engine gives out for one query."""
PAGE_SIZE = 50
"""Files a request; more than 50 thumbnails are not computed in one."""
MAX_REPLIES = 20
"""Replies merged for one batch of files at most."""

SIZES_KB: Final = slicing.Scale((0, 60, 200, 450, 900, 1_600, 2_600, 3_800, 5_500, 8_500, 30_000))
"""Sizes, units of 1024 bytes, that cut the bitmaps of Commons into tenths, estimated. Only the number of requests depends on it."""

_BY, _FROM_KB, _BELOW_KB = "by", "from_kb", "below_kb"
_TREE, _ALONE = "deepcat", "incategory"

_ITEM: Final = re.compile(r"Q[1-9][0-9]{0,11}")
_CATEGORY: Final = re.compile(r"[^\x00-\x1f\x7f\\\"#<>\[\]{}|_]{1,255}")
"""A title that can stand between quotes in a search."""

_FIXED: Final = {
    "action": "query",
    "generator": "search",
    "gsrnamespace": "6",
    "gsrlimit": str(PAGE_SIZE),
    "prop": "imageinfo",
    "iiprop": "url|size|mime|sha1|extmetadata",
    "iiextmetadatafilter": "|".join(METADATA),
    "maxlag": "5",
}
_COUNTING: Final = {
    "action": "query",
    "list": "search",
    "srnamespace": "6",
    "srlimit": "1",
    "srinfo": "totalhits",
    "srprop": "",
    "maxlag": "5",
}
_OFFSET: Final = "gsroffset"
_CATEGORY_BY: Final = "category_by"
"""Marks the pages after a first one that the search of the category alone gave."""


class Wikimedia(Source):
    """Search on Wikimedia Commons.

    Where the Wikidata item of a keyword is known, files that are said to depict it come first, then those of its category, then those that
    the words find besides. What is deeper than the search engine gives out is divided by the size of the files.
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
        is_divisible=True,
    )

    def __init__(self, client: JsonClient, options: SourceOptions) -> None:
        super().__init__(client, options)
        self._url = mediawiki.endpoint(options.base_url)
        self._width_px = width_for(options.side_px)

    async def read(self, query: Query, place: Place) -> Reply:
        """Read a page of up to 50 files, merged from all replies that the API splits it into.

        A search that gives out files does not tell their total. It is asked for where it decides whether to divide: on the first page of
        several, or where the search engine gives out no more.
        """
        start = _parse_page(place.page)
        category_by = _ALONE if start.pop(_CATEGORY_BY, None) else _TREE
        files, next_place, is_cut = await self._gather(_words(query, place.part, category_by), start)
        if is_cut and place.page is not None:
            raise errors.ServiceUnavailableError("the categories below a category cannot be searched now")
        if is_cut:
            category_by = _ALONE
            files, next_place, _ = await self._gather(_words(query, place.part, category_by), start)
        following, note = _advance(start, next_place)
        items = [read_file(file, source=self.info.name, side_px=self._options.side_px) for file in files]
        is_first = place.page is None and following is not None and not self.is_enough(query)
        is_last = _offset(start) + PAGE_SIZE >= DEPTH
        total = (await self._count(_words(query, place.part, category_by)))[0] if is_first or is_last else None
        if following and category_by == _ALONE:
            following = {**following, _CATEGORY_BY: _ALONE}
        return Reply(items, json.dumps(following, sort_keys=True) if following else None, total, note)

    async def count(self, query: Query, part: Part) -> int | None:
        """Ask for the number of hits, without files."""
        total, is_cut = await self._count(_words(query, part))
        return (await self._count(_words(query, part, _ALONE)))[0] if is_cut else total

    async def _count(self, words: str) -> tuple[int | None, bool]:
        reply = await mediawiki.call(self._client, self._url, {**_COUNTING, "srsearch": words})
        total = fields.number(fields.mapping(fields.mapping(reply.get("query")).get("searchinfo")).get("totalhits"))
        return total, _is_cut(words, reply)

    def parts(self, query: Query) -> Sequence[Part]:
        """Search by what is depicted, then by category, then by words, as far as these are known."""
        ways = _ways(query)
        return tuple({_BY: way} for way in ways) if len(ways) > 1 else ({},)

    def divide(self, query: Query, part: Part, total: int) -> Sequence[Part]:
        """Divide by the size of the files."""
        low, high = (int(part[name]) if name in part else None for name in (_FROM_KB, _BELOW_KB))
        return [_sized(part, *bounds) for bounds in SIZES_KB.cut(low, high, slicing.slices_for(total, DEPTH))]

    def _params(self, words: str) -> dict[str, str]:
        params = {**_FIXED, "gsrsearch": words}
        if self._width_px is not None:
            params["iiurlwidth"] = str(self._width_px)
        return params

    async def _gather(self, words: str, start: dict[str, str]) -> tuple[list[dict[str, Any]], dict[str, str] | None, bool]:
        """Return the files of one batch in the search's order, where the next batch begins, as the API says, and whether a category is cut.

        Until ``batchcomplete`` the replies tell of the same files, each a part.
        """
        params = self._params(words)
        files: dict[object, dict[str, Any]] = {}
        place: dict[str, str] | None = start
        for _ in range(MAX_REPLIES):
            reply = await mediawiki.call(self._client, self._url, {**params, **(place or {})})
            if _is_cut(words, reply):
                return [], None, True
            _merge(files, reply)
            previous, place = place, mediawiki.continuation(reply, params)
            if place is None or place == previous or "batchcomplete" in reply:
                break
        return sorted(files.values(), key=_index), place, False


def _ways(query: Query, category_by: str = _TREE) -> dict[str, str]:
    """Return the ways to search for a keyword, the most precise first."""
    depicts = {"depicts": f"haswbstatement:P180={query.qid}"} if _ITEM.fullmatch(query.qid or "") else {}
    category = {"category": f'{category_by}:"{query.category}"'} if _CATEGORY.fullmatch(query.category or "") else {}
    return {**depicts, **category, "words": query.keyword}


def _words(query: Query, part: Part, category_by: str = _TREE) -> str:
    """Return the search for a part of a query; the parts of a query share no file, each leaves out what the ways before it find."""
    ways = _ways(query, category_by)
    way = part.get(_BY, "words")
    by = [ways.get(way, query.keyword), *(f"-{ways[earlier]}" for earlier in takewhile(lambda name: name != way, ways))]
    from_kb = [f"filesize:>{part[_FROM_KB]}"] if _FROM_KB in part else []  # > means "at least", and to negate it "less"
    below_kb = [f"-filesize:>{part[_BELOW_KB]}"] if _BELOW_KB in part else []
    return " ".join(["filetype:bitmap", *by, *from_kb, *below_kb])


def _is_cut(words: str, reply: Mapping[str, Any]) -> bool:
    """Whether the search engine warns that it left out categories below one; its warnings have words and no codes."""
    warned = fields.mapping(fields.mapping(reply.get("warnings")).get("search")).get("warnings")
    return f"{_TREE}:" in words and isinstance(warned, str) and "category" in warned.lower()


def _sized(part: Part, low: int | None, high: int | None) -> Part:
    bounds = {name: str(bound) for name, bound in ((_FROM_KB, low), (_BELOW_KB, high)) if bound is not None}
    return {name: value for name, value in part.items() if name not in (_FROM_KB, _BELOW_KB)} | bounds


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
