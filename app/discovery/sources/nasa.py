"""The NASA Image and Video Library: a search for images, each with its sizes, in spans of years where one search does not reach all.

API: https://images.nasa.gov/docs/images.nasa.gov_api_docs.pdf. No licence is stated; that of NASA's own images follows from its guidelines,
https://www.nasa.gov/nasa-brand-center/images-and-media/. Records that credit others, or speak of copyright, stay without one.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

import errors
from app.discovery import text, urls
from app.discovery.renditions import longer_side, smallest_sufficient
from app.discovery.sources import fields
from app.discovery.sources.source import Part, Place, Query, Reply, Source, SourceInfo, read_offset
from app.domain import Candidate, ListProblem, Rendition

__all__ = ["Nasa"]

DEPTH = 10_000
"""Results of one search; the page after them is answered with 400."""
PAGE_SIZE = 100
"""Results a request; more are not given out."""

EARLIEST, LATEST = 1900, 2050
"""Years between which spans are halved; the first and the last span have an open end."""

GUIDELINES = "https://www.nasa.gov/nasa-brand-center/images-and-media/"
OWN_WORK = "LicenseRef-USGovernmentWork"
"""What the guidelines come to: not subject to copyright in the United States, NASA to be named as the source."""

SIZES_PX = {"thumb": 0, "small": 640, "medium": 1280, "large": 1920, "orig": 10**6}
"""Longer side of each size, from the smallest to the original, as sizes have it where they are stated; that of a thumb differs."""

_SIZE = re.compile(r"~(thumb|small|medium|large|orig)\.(?:jpe?g|png|gif|tiff?|webp|bmp)$", re.IGNORECASE)
_PLAIN_HTTP = re.compile(r"^http://(?=[^/?#]*\.nasa\.gov(?:[/?#]|$))", re.IGNORECASE)
_CREDIT = re.compile(r"\bcredits?\s*(?:to\b|:)\s*([^\n]{1,200}?)(?:\.(?:\s|$)|\n|$)", re.IGNORECASE)
_NOTICE = re.compile(r"[^.\n]{0,80}(?:©|\(c\)\s*(?:19|20)\d\d|copyright|all rights reserved)[^.\n]{0,80}", re.IGNORECASE)
_NO_NOTICE = re.compile(
    r"\b(?:not\s+(?:subject\s+to|protected\s+by|under)\s+copyright|not\s+copyrighted|(?:no|without|free\s+of)\s+(?:known\s+)?copyright)\w*",
    re.IGNORECASE,
)
_OTHERS = re.compile(
    r"\b(?:ESA|ESO|JAXA|CSA|ASI|DLR|CNES|ISRO|Roscosmos|Roskosmos|GCTC|Energia|SpaceX|Boeing|Lockheed|Northrop|ULA|United Launch Alliance"
    r"|Blue Origin|Sierra (?:Nevada|Space)|Rocket Lab|Orbital (?:Sciences|ATK)|Virgin|Bigelow|Axiom|Getty|Reuters|AFP|AP Photo"
    r"|European (?:Space Agency|Southern Observatory))\b|\bcourtesy(?: of)?:? (?!NASA|JPL|the NASA)",
    re.IGNORECASE,
)
"""Those whose images NASA shows with their permission. A name counts in a credit only: many records tell of a launch by a company."""


class Nasa(Source):
    """Search of the NASA Image and Video Library."""

    info: ClassVar[SourceInfo] = SourceInfo(
        name="nasa",
        title="NASA Image and Video Library",
        base_url="https://images-api.nasa.gov",
        terms_url=GUIDELINES,
        docs_url="https://images.nasa.gov/docs/images.nasa.gov_api_docs.pdf",
        licences="none is stated; NASA's own images are works of the US government by its guidelines (derived), those that credit others, "
        "such as ESA, or that speak of copyright are unknown",
        depth=DEPTH,
        page_size=PAGE_SIZE,
        is_divisible=True,
    )

    async def read(self, query: Query, place: Place) -> Reply:
        """Read up to 100 results, and the list of sizes of each whose record has only a preview."""
        page = max(1, read_offset(place.page))
        found = await self._search(query, place.part, page, PAGE_SIZE)
        results = fields.records(found, "items")
        items = [await self._read_item(result) for result in results]
        has_more = any(link.get("rel") == "next" for link in fields.mappings(found.get("links")))
        return Reply(items, str(page + 1) if has_more and results else None, _total(found))

    async def count(self, query: Query, part: Part) -> int | None:
        """Ask for one result; the answer has the number of all."""
        return _total(await self._search(query, part, 1, 1))

    def divide(self, query: Query, part: Part, total: int) -> Sequence[Part]:
        """Return the two halves of a span of years. Open ends stay open, so that no year is left out."""
        first, last = (read_offset(part.get(name, str(bound))) for name, bound in (("year_start", EARLIEST), ("year_end", LATEST)))
        if first >= last:
            return ()
        middle = (first + last) // 2
        return {**part, "year_end": str(middle)}, {**part, "year_start": str(middle + 1)}

    async def _search(self, query: Query, part: Part, page: int, size: int) -> dict[str, Any]:
        params = {"q": query.keyword, "media_type": "image", "page": str(page), "page_size": str(size), **part}
        reply = await self.get("/search", params)
        if not isinstance(reply.get("collection"), dict):
            raise errors.ProtocolError(f"NASA answered with no collection: {text.preview(reply.get('reason'))}")
        return fields.mapping(reply["collection"])

    async def _read_item(self, item: object) -> Candidate | ListProblem | None:
        record = fields.mapping(item)
        about = next(iter(fields.mappings(record.get("data"))), {})
        if about.get("media_type", "image") != "image":
            return None
        nasa_id = text.clean(about.get("nasa_id"), 300)
        if not nasa_id:
            return ListProblem(0, "the item has no nasa_id", text.preview(item))
        sizes = _renditions(fields.mappings(record.get("links")))
        if all(_name(one.url) == "thumb" for one in sizes):
            sizes = await self._list_sizes(nasa_id) or sizes
        chosen = _choose(sizes, self._options.side_px)
        if chosen is None:
            return ListProblem(0, "the item has no image in a format that is taken", text.preview(nasa_id))
        return _candidate(nasa_id, about, chosen, [one for one in sizes if one != chosen])

    async def _list_sizes(self, nasa_id: str) -> list[Rendition]:
        """Return the files of an item, which have names only; none where there is no list."""
        try:
            reply = await self.get(f"/asset/{quote(nasa_id, safe='')}")
        except (errors.NotFoundError, errors.BadRequestError):
            return []
        return _renditions(fields.mappings(fields.mapping(reply.get("collection")).get("items")))


def _total(found: Mapping[str, Any]) -> int | None:
    return fields.number(fields.mapping(found.get("metadata")).get("total_hits"))


def _renditions(links: Sequence[Mapping[str, Any]]) -> list[Rendition]:
    """Return the sizes from the smallest to the original, without files of other kinds and formats."""
    found: dict[str, Rendition] = {}
    for link in links:
        url = urls.usable(link.get("href"))
        if url and _name(url):
            url = _PLAIN_HTTP.sub("https://", url)
            found[url] = Rendition(url, fields.side(link.get("width")), fields.side(link.get("height")), fields.number(link.get("size")))
    return sorted(found.values(), key=lambda one: SIZES_PX[_name(one.url)])


def _name(url: str) -> str:
    match = _SIZE.search(url)
    return match[1].lower() if match else ""


def _choose(sizes: Sequence[Rendition], side_px: int | None) -> Rendition | None:
    """Return the smallest size that serves: by the sides that are stated, else by those that a name stands for."""
    if not sizes or side_px is None or any(one.width and one.height for one in sizes):
        return smallest_sufficient(sizes, side_px)
    wanted = longer_side(side_px)
    return next((one for one in sizes if SIZES_PX[_name(one.url)] >= wanted), sizes[-1])


def _candidate(nasa_id: str, about: Mapping[str, Any], chosen: Rendition, others: Sequence[Rendition]) -> Candidate:
    title, caption = text.strip_html(about.get("title"), 300), text.strip_html(about.get("description"), 2_000)
    people = [found for name in ("photographer", "secondary_creator") if (found := fields.lines(about.get(name), 300))]
    is_own, credit = _rights(people, caption or "")
    licence = OWN_WORK if is_own else None
    creator = ", ".join(dict.fromkeys(people)) or "NASA"
    keywords = [word for line in fields.texts(about.get("keywords"), 1_000) for word in re.split(r"[,;]", line)]
    return Candidate(
        url=chosen.url,
        source=Nasa.info.name,
        width=chosen.width,
        height=chosen.height,
        page_url=f"https://images.nasa.gov/details/{quote(nasa_id, safe='')}",
        title=title,
        caption=caption,
        license=licence,
        license_url=GUIDELINES if is_own else None,
        license_raw=credit,
        license_confidence="derived" if is_own else "unknown",
        creator=creator,
        attribution=fields.attribution(title, creator, Nasa.info.title, licence),
        tags=fields.tags(keywords),
        stated_bytes=chosen.size_bytes,
        renditions=tuple(others),
    )


def _rights(people: Sequence[str], description: str) -> tuple[bool, str | None]:
    """Return whether an image is NASA's own, and what the record says of its origin."""
    credits = [*people, *(match[1].strip() for match in _CREDIT.finditer(description))]
    notices = [match[0].strip() for said in (*people, description) for match in _NOTICE.finditer(_NO_NOTICE.sub("", said))]
    words = " | ".join(dict.fromkeys([*credits, *notices]))[:500]
    return not notices and not any(map(_OTHERS.search, credits)), words or None
