"""The Cleveland Museum of Art: a search for artworks with images in two JPEG sizes, whose pixels and bytes are stated.

https://openaccess-api.clevelandart.org. Its third size, ``full``, is an uncompressed TIFF, often of more than 100 MB.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from app.discovery import licences, text, urls
from app.discovery.renditions import smallest_sufficient, without_tiff
from app.discovery.sources import fields
from app.discovery.sources.source import Part, Place, Query, Reply, Source, SourceInfo, next_offset, read_offset
from app.domain import Candidate, ListProblem, Rendition

__all__ = ["Cleveland", "read_artwork"]

PAGE_SIZE: Final = 100
"""The API gives out 1,000; a tenth keeps an answer below a megabyte."""

FIELDS: Final = (
    "id,accession_number,title,url,share_license_status,copyright,creators,images,alternate_images,tombstone,description,"
    "type,technique,culture,department"
)


class Cleveland(Source):
    """Search at the Cleveland Museum of Art. Several views of a work are one group."""

    info: ClassVar[SourceInfo] = SourceInfo(
        name="cleveland",
        title="Cleveland Museum of Art",
        base_url="https://openaccess-api.clevelandart.org",
        terms_url="https://www.clevelandart.org/open-access",
        docs_url="https://openaccess-api.clevelandart.org",
        licences="each work says whether it is CC0",
        depth=None,
        page_size=PAGE_SIZE,
        filters=("license",),
    )

    async def read(self, query: Query, place: Place) -> Reply:
        """Read a page of 100 works."""
        offset = read_offset(place.page)
        reply = await self._search(query, skip=offset, limit=PAGE_SIZE)
        rows = fields.records(reply, "data")
        total = _total(reply)
        items = [item for row in rows for item in read_artwork(row, side_px=self._options.side_px)]
        return Reply(items, next_offset(offset, len(rows), total), total, results=len(rows))

    async def count(self, query: Query, part: Part) -> int | None:
        """Ask for the total with one work."""
        return _total(await self._search(query, skip=0, limit=1))

    async def _search(self, query: Query, *, skip: int, limit: int) -> Mapping[str, Any]:
        params = {"q": query.keyword, "has_image": "1", "skip": str(skip), "limit": str(limit), "fields": FIELDS}
        return await self.get("/api/artworks/", params | ({"cc0": "1"} if query.is_free_only else {}))


def _total(reply: Mapping[str, Any]) -> int | None:
    return fields.number(fields.mapping(reply.get("info")).get("total"))


def read_artwork(row: object, *, side_px: int | None) -> Iterator[Candidate | ListProblem | None]:
    """Return the images of a work as candidates, as a problem if its record is broken, or ``None`` if it has none."""
    record = fields.mapping(row)
    number = fields.number(record.get("id"))
    if not number:
        yield ListProblem(line=0, message="the work has no id", text=text.preview(row))
        return
    views = [renditions for view in _views(record) if (renditions := _renditions(view))]
    for renditions in views:
        yield _candidate(record, f"cleveland:{number}", renditions, side_px)
    if not views:
        has_images = bool(fields.mapping(record.get("images")))
        yield ListProblem(line=0, message="the work has no usable address", text=str(number)) if has_images else None


def _views(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [fields.mapping(record.get("images")), *fields.mappings(record.get("alternate_images"))]


def _renditions(view: Mapping[str, Any]) -> tuple[Rendition, ...]:
    """Return the sizes of one view from the smallest to the largest."""
    sizes = [fields.mapping(view.get(name)) for name in ("web", "print", "full")]
    return tuple(
        Rendition(url, fields.side(size.get("width")), fields.side(size.get("height")), fields.number(size.get("filesize")) or None)
        for size in sizes
        if (url := urls.usable(size.get("url")))
    )


def _candidate(record: Mapping[str, Any], group: str, renditions: tuple[Rendition, ...], side_px: int | None) -> Candidate:
    chosen = smallest_sufficient(without_tiff(renditions), side_px) or renditions[-1]
    title, creator = text.strip_html(record.get("title"), 300), _creator(record)
    stated = [text.clean(record.get(name), 240) for name in ("share_license_status", "copyright")]
    licence = licences.settle(*stated)
    return Candidate(
        url=chosen.url,
        source=Cleveland.info.name,
        width=chosen.width,
        height=chosen.height,
        stated_bytes=chosen.size_bytes,
        renditions=renditions,
        page_url=urls.usable(record.get("url")),
        title=title,
        caption=text.strip_html(record.get("description") or record.get("tombstone"), 2_000),
        license=licence,
        license_url=licences.url_of(licence),
        license_raw=licences.SEPARATOR.join(filter(None, stated)) or None,
        license_confidence="asserted" if licence else "unknown",
        creator=creator,
        attribution=fields.attribution(title, creator, Cleveland.info.title, licence),
        tags=fields.tags(*(record.get(name) for name in ("type", "technique", "culture", "department"))),
        group_id=group,
    )


def _creator(record: Mapping[str, Any]) -> str | None:
    """Return the creators, such as ``Winslow Homer (American, 1836-1910)``, separated by semicolons."""
    found = (text.strip_html(one.get("description"), 200) for one in fields.mappings(record.get("creators")))
    return "; ".join(filter(None, found))[:300] or None
