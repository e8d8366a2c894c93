"""The Metropolitan Museum of Art: a search gives object ids, and each object takes a request of its own.

https://metmuseum.github.io/. ``v1/search``, which gave all ids at once, was retired on 2026-10-01; ``v1.1/search`` has pages and reaches
10,000 ids. The firewall before the API answers 403 with HTML after some 30 requests in a short time
(https://github.com/metmuseum/openaccess/issues/60), so one request a second is sent, and a 403 is a reason to wait.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import errors
from app.discovery import licences, text, urls
from app.discovery.sources import fields
from app.discovery.sources.source import Part, Place, Query, RateLimit, Reply, Source, SourceInfo, read_offset
from app.domain import Candidate, ListProblem, Rendition

__all__ = ["Met", "read_object"]

DEPTH: Final = 10_000
PAGE_SIZE: Final = 20
"""Objects of one page of ours: 21 requests, after which the place is kept."""

DEPARTMENTS: Final = (1, *range(3, 20), 21)
"""Ids of ``/departments``; every object is in one."""

SMALL_SIDE_PX: Final = 300
"""Shorter side that ``primaryImageSmall`` surely has; its size is not documented, longer sides of 480 to 1,300 pixels are seen."""


class Met(Source):
    """Search at the Met. The images of an object are one group; what is deeper than the search reaches is read by department."""

    info: ClassVar[SourceInfo] = SourceInfo(
        name="met",
        title="The Metropolitan Museum of Art",
        base_url="https://collectionapi.metmuseum.org",
        terms_url="https://www.metmuseum.org/policies/terms-and-conditions",
        docs_url="https://metmuseum.github.io/",
        licences="objects marked as public domain are CC0; of others there are no images",
        depth=DEPTH,
        page_size=PAGE_SIZE,
        limits=(RateLimit(1, 1),),
        is_divisible=True,
        throttles_with_403=True,
        calls_per_result=1,
    )

    async def read(self, query: Query, place: Place) -> Reply:
        """Read a page of 20 objects by 21 requests; one where the search has to be divided."""
        offset = read_offset(place.page)
        ids, total = await self._search(query, place.part, offset=offset, limit=PAGE_SIZE)
        if place.page is None and total > DEPTH and (parts := self.divide(query, place.part, total)):
            return Reply((), total=total, parts=parts)
        items = [item for number in ids for item in await self._read_object(number)]
        end = offset + len(ids)
        return Reply(items, str(end) if ids and end < total else None, total, results=len(ids))

    async def count(self, query: Query, part: Part) -> int | None:
        """Ask for the total with one id."""
        return (await self._search(query, part, offset=0, limit=1))[1]

    def divide(self, query: Query, part: Part, total: int) -> Sequence[Part]:
        """Return the departments; one of them is not divided."""
        return () if part else [{"department": str(number)} for number in DEPARTMENTS]

    async def _search(self, query: Query, part: Part, *, offset: int, limit: int) -> tuple[list[object], int]:
        """Return ids, of which there may be none (``null``), and the total. The words stand last, as documented: order matters."""
        filters = {"hasImages": "true"} | ({"departmentId": part["department"]} if part else {})
        params = {**filters, "offset": str(offset), "limit": str(limit), "q": query.keyword}
        reply = await self.get("/public/collection/v1.1/search", params)
        ids, total = reply.get("objectIDs"), fields.number(reply.get("total"))
        if total is None or not isinstance(ids, list | None):
            raise errors.ProtocolError("the Met's answer has no list of object ids")
        return ids or [], total

    async def _read_object(self, number: object) -> list[Candidate | ListProblem | None]:
        """Request an object. Some that the search lists do not exist: loans, and objects that were withdrawn."""
        if not fields.number(number):
            return [ListProblem(line=0, message="the object's id is no number", text=text.preview(number))]
        try:
            record = await self.get(f"/public/collection/v1/objects/{number}")
        except (errors.NotFoundError, errors.BadRequestError) as error:
            return [ListProblem(line=0, message=f"the object cannot be read ({error.status or error.slug})", text=str(number))]
        return list(read_object(record, side_px=self._options.side_px))


def read_object(record: Mapping[str, Any], *, side_px: int | None) -> Iterator[Candidate | ListProblem | None]:
    """Return the images of an object as candidates, as a problem if its record is broken, or ``None`` if it has none."""
    number = fields.number(record.get("objectID"))
    if not number:
        yield ListProblem(line=0, message="the object has no id", text=text.preview(record))
        return
    views = _views(record)
    for renditions in views:
        yield _candidate(record, f"met:{number}", renditions, side_px)
    if not views:
        yield ListProblem(line=0, message="the object has no usable address", text=str(number)) if record.get("primaryImage") else None


def _views(record: Mapping[str, Any]) -> list[tuple[Rendition, ...]]:
    """Return the sizes of each image of an object, the smaller first. An empty text stands for no image."""
    more = record.get("additionalImages")
    views = [[record.get("primaryImageSmall"), record.get("primaryImage")], *([one] for one in (more if isinstance(more, list) else []))]
    found: dict[str, tuple[Rendition, ...]] = {}
    for view in views:
        if usable := tuple(Rendition(url) for one in view if (url := urls.usable(one))):
            found.setdefault(usable[-1].url, usable)
    return list(found.values())


def _candidate(record: Mapping[str, Any], group: str, renditions: tuple[Rendition, ...], side_px: int | None) -> Candidate:
    is_small_enough = side_px is not None and side_px <= SMALL_SIDE_PX
    title, creator = text.strip_html(record.get("title"), 300), text.strip_html(record.get("artistDisplayName"), 300)
    is_free = record.get("isPublicDomain") is True
    notice = text.strip_html(record.get("rightsAndReproduction"), 400)
    licence = "CC0-1.0" if is_free else licences.normalise(notice)
    terms = [one.get("term") for one in fields.mappings(record.get("tags"))]
    return Candidate(
        url=renditions[0 if is_small_enough else -1].url,
        source=Met.info.name,
        renditions=renditions,
        page_url=urls.usable(record.get("objectURL")),
        title=title,
        caption=_caption(record, title),
        license=licence,
        license_url=licences.url_of(licence),
        license_raw=licences.SEPARATOR.join(filter(None, [f"isPublicDomain: {str(is_free).lower()}", notice])),
        license_confidence="derived" if licence else "unknown",
        creator=creator,
        creator_url=urls.usable(record.get("artistWikidata_URL")) or urls.usable(record.get("artistULAN_URL")),
        attribution=fields.attribution(title, creator, Met.info.title, licence),
        tags=fields.tags(terms, record.get("objectName"), record.get("classification"), record.get("department")),
        group_id=group,
    )


def _caption(record: Mapping[str, Any], title: str | None) -> str | None:
    """Return title, date, medium and culture: there is no description."""
    said = (text.strip_html(record.get(name), 300) for name in ("objectDate", "medium", "culture"))
    return ", ".join(filter(None, [title, *said])) or None
