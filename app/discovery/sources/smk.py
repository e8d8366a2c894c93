"""SMK, the National Gallery of Denmark: a search for artworks with images, served in any width by its IIIF server.

https://api.smk.dk/api/v1/docs/ and https://www.smk.dk/en/article/smk-api/. ``rights`` is the address of a licence or of the museum's terms.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote

from app.discovery import licences, text, urls
from app.discovery.renditions import by_width, smallest_sufficient, without_tiff
from app.discovery.sources import fields
from app.discovery.sources.source import Part, Place, Query, Reply, Source, SourceInfo, next_offset, read_offset
from app.domain import Candidate, ListProblem, Rendition

__all__ = ["Smk", "read_artwork"]

PAGE_SIZE: Final = 100
WIDTHS_PX: Final = (400, 800, 1024, 1600, 2048)
"""Widths that are asked for; 1024 is the museum's own thumbnail, 2048 what its readers use."""


class Smk(Source):
    """Search at SMK. Other images of a work are not read: they are details or repeats of less quality."""

    info: ClassVar[SourceInfo] = SourceInfo(
        name="smk",
        title="SMK – National Gallery of Denmark",
        base_url="https://api.smk.dk",
        terms_url="https://www.smk.dk/en/article/smk-open-download-images/",
        docs_url="https://api.smk.dk/api/v1/docs/",
        licences="each work names the address of its licence",
        depth=None,
        page_size=PAGE_SIZE,
        filters=("license",),
    )

    async def read(self, query: Query, place: Place) -> Reply:
        """Read a page of 100 works."""
        offset = read_offset(place.page)
        reply = await self._search(query, offset=offset, rows=PAGE_SIZE)
        rows = fields.records(reply, "items")
        total = fields.number(reply.get("found"))
        return Reply([read_artwork(row, side_px=self._options.side_px) for row in rows], next_offset(offset, len(rows), total), total)

    async def count(self, query: Query, part: Part) -> int | None:
        """Ask for the total with one work."""
        return fields.number((await self._search(query, offset=0, rows=1)).get("found"))

    async def _search(self, query: Query, *, offset: int, rows: int) -> Mapping[str, Any]:
        filters = "[has_image:true]" + (",[public_domain:true]" if query.is_free_only else "")
        params = {"keys": query.keyword, "filters": filters, "offset": str(offset), "rows": str(rows), "lang": "en"}
        return await self.get("/api/v1/art/search/", params)


def read_artwork(row: object, *, side_px: int | None) -> Candidate | ListProblem | None:
    """Return a work's image as a candidate, as a problem if its record is broken, or ``None`` if it has none."""
    record = fields.mapping(row)
    number = text.clean(record.get("object_number"), 100)
    if number is None:
        return ListProblem(line=0, message="the work has no number", text=text.preview(row))
    renditions = _renditions(record)
    chosen = smallest_sufficient(without_tiff(renditions), side_px)
    if chosen is not None:
        return _candidate(record, number, chosen, renditions)
    is_named = bool(record.get("image_iiif_id") or record.get("image_native"))
    return ListProblem(line=0, message="the work has no usable address", text=text.preview(number)) if is_named else None


def _renditions(record: Mapping[str, Any]) -> tuple[Rendition, ...]:
    """Return the IIIF server's sizes, and the original where its address is stated. Works that came early have an original only."""
    width, height = fields.side(record.get("image_width")), fields.side(record.get("image_height"))
    iiif, original = urls.usable(record.get("image_iiif_id")), urls.usable(record.get("image_native"))
    found: list[Rendition] = []
    if iiif and width and height:
        found += by_width(WIDTHS_PX, width, height, lambda pixels: _scaled(iiif, pixels))
    if original:
        found.append(Rendition(original, width, height, fields.number(record.get("image_size")) or None))
    elif iiif and not found:
        is_small = width is not None and width <= WIDTHS_PX[-1]
        found.append(Rendition(_scaled(iiif, width), width, height) if width and is_small else Rendition(_scaled(iiif, WIDTHS_PX[-1])))
    return tuple(found)


def _scaled(iiif: str, width: int) -> str:
    return f"{iiif}/full/!{width},/0/default.jpg"


def _candidate(record: Mapping[str, Any], number: str, chosen: Rendition, renditions: tuple[Rendition, ...]) -> Candidate:
    title, creator = _title(record), _creator(record)
    stated = text.clean(record.get("rights"), 500)
    licence = licences.normalise(stated)
    return Candidate(
        url=chosen.url,
        source=Smk.info.name,
        width=chosen.width,
        height=chosen.height,
        stated_bytes=chosen.size_bytes,
        renditions=renditions,
        page_url=f"https://open.smk.dk/en/artwork/image/{quote(number, safe='')}",
        title=title,
        caption=fields.lines(record.get("content_description"), 2_000),
        license=licence,
        license_url=urls.usable(stated) or licences.url_of(licence),
        license_raw=stated,
        license_confidence="asserted" if licence else "unknown",
        creator=creator,
        attribution=fields.attribution(title, creator, "SMK", licence),
        tags=fields.tags(*([one.get("name") for one in fields.mappings(record.get("object_names"))], record.get("techniques"))),
        group_id=f"smk:{number}",
    )


def _title(record: Mapping[str, Any]) -> str | None:
    """Return the English title, else the first."""
    titles = fields.mappings(record.get("titles"))
    titles.sort(key=lambda one: str(one.get("language")).lower() not in ("en", "engelsk"))
    return next((words for one in titles if (words := text.strip_html(one.get("title"), 300))), None)


def _creator(record: Mapping[str, Any]) -> str | None:
    found = (text.strip_html(one.get("creator"), 200) for one in fields.mappings(record.get("production")))
    return "; ".join(filter(None, found))[:300] or fields.lines(record.get("artist"), 300)
