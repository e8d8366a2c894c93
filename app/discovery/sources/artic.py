"""The Art Institute of Chicago: a search for artworks that have an image, each served in fixed widths by its IIIF server.

API, paging and sizes: https://api.artic.edu/docs/. The documentation gives 10,000 results for one search; since 2023 the API answers
``403 Invalid number of results`` after 1,000 (https://github.com/art-institute-of-chicago/api-data/issues/5).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import errors
from app.discovery import licences, text, urls
from app.discovery.renditions import by_width, smallest_sufficient
from app.discovery.sources import fields
from app.discovery.sources.source import Part, Place, Query, RateLimit, Reply, Source, SourceInfo, next_offset, read_offset
from app.domain import Candidate, ListProblem, Rendition

__all__ = ["Artic", "read_artwork"]

DEPTH: Final = 1_000
PAGE_SIZE: Final = 100

WIDTHS_PX: Final = (200, 400, 600, 843)
"""Widths in the cache of the image server; 843 is the one it recommends."""
LARGE_WIDTH_PX: Final = 1686
"""Served of works in the public domain only."""

ID_RANGE: Final = 300_000
"""Ids of today's artworks are below; the last part is open, for those that come."""
FILL: Final = 0.7
"""Share of the depth that a part should have on average, so that most ranges of ids, which are not equally full, are not divided again."""

FIELDS: Final = (
    "id,title,image_id,is_public_domain,copyright_notice,thumbnail,artist_id,artist_title,date_display,short_description,"
    "subject_titles,classification_titles,style_titles,artwork_type_title"
)
MAX_PARTS: Final = 32
"""Parts of one division; more are divided again, so that a total that is wrong costs no more requests than these."""

_IIIF: Final = "https://www.artic.edu/iiif/2"


class Artic(Source):
    """Search at the Art Institute of Chicago. What is deeper than its limit is read by ranges of artwork ids."""

    info: ClassVar[SourceInfo] = SourceInfo(
        name="artic",
        title="Art Institute of Chicago",
        base_url="https://api.artic.edu",
        terms_url="https://www.artic.edu/terms",
        docs_url="https://api.artic.edu/docs/",
        licences="works marked as public domain are CC0; others are reserved",
        depth=DEPTH,
        page_size=PAGE_SIZE,
        limits=(RateLimit(1, 1), RateLimit(60, 60)),
        filters=("license",),
        is_divisible=True,
    )

    async def read(self, query: Query, place: Place) -> Reply:
        """Read a page of 100 artworks. Pages are numbered from 1; the place names the results before it."""
        offset = read_offset(place.page)
        reply = await self._search(query, place.part, page=offset // PAGE_SIZE + 1, limit=PAGE_SIZE)
        rows = fields.records(reply, "data")
        iiif = urls.usable(fields.mapping(reply.get("config")).get("iiif_url")) or _IIIF
        total = _total(reply)
        items = [read_artwork(row, iiif=iiif, side_px=self._options.side_px) for row in rows]
        return Reply(items, next_offset(offset, PAGE_SIZE if rows else 0, total), total, parts=_sampled(place.part, rows, total or 0))

    async def count(self, query: Query, part: Part) -> int | None:
        """Ask for the total, without artworks."""
        return _total(await self._search(query, part, page=1, limit=0))

    def divide(self, query: Query, part: Part, total: int) -> Sequence[Part]:
        """Return ranges of ids of equal length."""
        first, below = _bounds(part)
        last = first + ID_RANGE if below is None else below
        return _ranges(part, range(first, last, max(1, -(-(last - first) // _part_count(total))))[1:])

    async def _search(self, query: Query, part: Part, *, page: int, limit: int) -> Mapping[str, Any]:
        """Send the query as JSON in one parameter, as the documentation asks for. A 403 of a later page is the depth, not a refusal."""
        asked = {"q": query.keyword, "query": _filters(query, part), "fields": FIELDS, "page": page, "limit": limit}
        agent = {"AIC-User-Agent": f"pictrawl ({self._options.contact.strip()})"} if self._options.contact.strip() else {}
        try:
            return await self.get("/api/v1/artworks/search", {"params": json.dumps(asked, separators=(",", ":"))}, headers=agent)
        except errors.AuthenticationError as error:
            if page == 1 or error.status != 403:
                raise
            raise errors.BadRequestError("the API has no more results for one search", status=403) from error


def _filters(query: Query, part: Part) -> Mapping[str, Any]:
    found: list[Mapping[str, Any]] = [{"exists": {"field": "image_id"}}]
    if query.is_free_only:
        found.append({"term": {"is_public_domain": True}})
    if part:
        first, below = _bounds(part)
        found.append({"range": {"id": {"gte": first} if below is None else {"gte": first, "lt": below}}})
    return {"bool": {"filter": found}}


def _bounds(part: Part) -> tuple[int, int | None]:
    """Return the first id of a part and the first one after it."""
    return read_offset(part.get("from")), read_offset(part["below"]) if "below" in part else None


def _part_count(total: int) -> int:
    return min(max(2, -(-total // round(DEPTH * FILL))), MAX_PARTS)


def _sampled(part: Part, rows: Sequence[object], total: int) -> Sequence[Part]:
    """Divide a deep part by the ids on its first page, since ids of one subject stand close together.

    None where these are too few, or stand in their own order: then they are no sample.
    """
    first, count = _bounds(part)[0], _part_count(total)
    found = [number for row in rows if (number := fields.number(fields.mapping(row).get("id"))) and number > first]
    ids = sorted(set(found))
    if len(ids) < 2 * count or ids == found:
        return ()
    return _ranges(part, [ids[len(ids) * at // count] for at in range(1, count)])


def _ranges(part: Part, cuts: Sequence[int]) -> Sequence[Part]:
    """Return a part cut at these ids; none where there is no cut. The last one is open where the part is."""
    starts = [str(_bounds(part)[0]), *map(str, cuts)]
    ends = [{"below": start} for start in starts[1:]] + [{"below": part["below"]} if "below" in part else {}]
    return [{"from": start} | end for start, end in zip(starts, ends, strict=True)] if cuts else ()


def _total(reply: Mapping[str, Any]) -> int | None:
    return fields.number(fields.mapping(reply.get("pagination")).get("total"))


def read_artwork(row: object, *, iiif: str, side_px: int | None) -> Candidate | ListProblem | None:
    """Return an artwork's image as a candidate, as a problem if its record is broken, or ``None`` if it has none."""
    record = fields.mapping(row)
    number = fields.number(record.get("id"))
    if not number:
        return ListProblem(line=0, message="the artwork has no id", text=text.preview(row))
    image = text.clean(record.get("image_id"), 100)
    if image is None:
        return None
    is_free = record.get("is_public_domain") is True
    renditions = _renditions(record, f"{iiif}/{image}/full/", is_free=is_free)
    chosen = smallest_sufficient(renditions, side_px)
    if chosen is None or urls.usable(chosen.url) is None:
        return ListProblem(line=0, message="the artwork has no usable image id", text=text.preview(image))
    return _candidate(record, f"artic:{number}", chosen, renditions, is_free=is_free)


def _renditions(record: Mapping[str, Any], root: str, *, is_free: bool) -> tuple[Rendition, ...]:
    """Return the sizes of an image, or the recommended one where the museum does not say how large it is."""
    thumbnail = fields.mapping(record.get("thumbnail"))
    width, height = fields.side(thumbnail.get("width")), fields.side(thumbnail.get("height"))
    if not width or not height:
        return (Rendition(f"{root}{WIDTHS_PX[-1]},/0/default.jpg", WIDTHS_PX[-1]),)
    widths = (*WIDTHS_PX, LARGE_WIDTH_PX) if is_free else WIDTHS_PX
    found = by_width(widths, width, height, lambda pixels: f"{root}{pixels},/0/default.jpg")
    whole = [Rendition(f"{root}{width},/0/default.jpg", width, height)] if width <= widths[-1] else []
    return (*found, *whole)


def _candidate(record: Mapping[str, Any], group: str, chosen: Rendition, renditions: tuple[Rendition, ...], *, is_free: bool) -> Candidate:
    title, creator = text.strip_html(record.get("title"), 300), text.strip_html(record.get("artist_title"), 300)
    notice = text.strip_html(record.get("copyright_notice"), 400)
    licence = "CC0-1.0" if is_free else licences.normalise(notice)
    agent = fields.number(record.get("artist_id"))
    caption = fields.mapping(record.get("thumbnail")).get("alt_text") or record.get("short_description")
    return Candidate(
        url=chosen.url,
        source=Artic.info.name,
        width=chosen.width,
        height=chosen.height,
        renditions=renditions,
        page_url=f"https://www.artic.edu/artworks/{group.removeprefix('artic:')}",
        title=title,
        caption=text.strip_html(caption, 2_000),
        license=licence,
        license_url=licences.url_of(licence),
        license_raw=licences.SEPARATOR.join(filter(None, [f"is_public_domain: {str(is_free).lower()}", notice])),
        license_confidence="derived" if licence else "unknown",
        creator=creator,
        creator_url=f"https://www.artic.edu/artists/{agent}" if agent and creator else None,
        attribution=fields.attribution(title, creator, Artic.info.title, licence),
        tags=fields.tags(*(record.get(name) for name in _TAGS)),
        group_id=group,
    )


_TAGS: Final = ("subject_titles", "classification_titles", "style_titles", "artwork_type_title")
