"""The Smithsonian's Open Access API: records of its museums, each with several images that say whether they are CC0.

https://edan.si.edu/openaccess/apidocs/; keys, their limits and errors: https://api.data.gov/docs/developer-manual/. The key is sent as a
header. The image server, ids.si.edu, scales to any longer side (``max``).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from app.discovery import licences, text, urls
from app.discovery.renditions import by_longest_side, longer_side, smallest_sufficient
from app.discovery.sources import fields
from app.discovery.sources.source import Part, Place, Query, RateLimit, Reply, Source, SourceInfo, next_offset, read_offset
from app.domain import Candidate, ListProblem, Rendition

__all__ = ["Smithsonian", "read_record"]

PAGE_SIZE: Final = 100
"""Records of a page. The API gives out 1,000; a record may have hundreds of images."""
MAX_IMAGES: Final = 100
"""Images that are read of one record: books and albums have a page each."""

SIDES_PX: Final = (400, 800, 1200, 1600, 2400, 3200)
"""Longer sides that the image server is asked for."""

_DELIVERY: Final = "/ids/deliveryService"


class Smithsonian(Source):
    """Search in the Smithsonian's collections. The images of a record are one group."""

    info: ClassVar[SourceInfo] = SourceInfo(
        name="smithsonian",
        title="Smithsonian Open Access",
        base_url="https://api.si.edu",
        terms_url="https://www.si.edu/termsofuse",
        docs_url="https://edan.si.edu/openaccess/apidocs/",
        licences="each image says whether it is CC0",
        depth=None,
        page_size=PAGE_SIZE,
        limits=(RateLimit(1_000, 3_600),),
        filters=("license",),
        key="required",
        key_url="https://api.data.gov/signup/",
    )

    async def read(self, query: Query, place: Place) -> Reply:
        """Read a page of 100 records."""
        offset = read_offset(place.page)
        response = await self._search(query, start=offset, rows=PAGE_SIZE)
        rows = fields.records(response, "rows")
        total = fields.number(response.get("rowCount"))
        items = [item for row in rows for item in read_record(row, side_px=self._options.side_px)]
        return Reply(items, next_offset(offset, len(rows), total), total, results=len(rows))

    async def count(self, query: Query, part: Part) -> int | None:
        """Ask for the total with one record."""
        return fields.number((await self._search(query, start=0, rows=1)).get("rowCount"))

    async def _search(self, query: Query, *, start: int, rows: int) -> Mapping[str, Any]:
        usage = ' AND media_usage:"CC0"' if query.is_free_only else ""
        words = f'({text.plain_words(query.keyword)}) AND online_media_type:"Images"{usage}'
        params = {"q": words, "start": str(start), "rows": str(rows)}
        reply = await self.get("/openaccess/api/v1.0/search", params, headers={"X-Api-Key": self._options.key or ""})
        return fields.mapping(reply.get("response"))


def read_record(row: object, *, side_px: int | None) -> Iterator[Candidate | ListProblem | None]:
    """Return the images of a record as candidates, as a problem if it is broken, or ``None`` if it has none."""
    record = fields.mapping(row)
    content = fields.mapping(record.get("content"))
    name = text.clean(record.get("id"), 200)
    if name is None or not content:
        yield ListProblem(line=0, message="the record has no id or no content", text=text.preview(row))
        return
    media = fields.mapping(fields.mapping(content.get("descriptiveNonRepeating")).get("online_media")).get("media")
    images = [one for one in fields.mappings(media) if one.get("type") == "Images"]
    for image in images[:MAX_IMAGES]:
        yield _read_image(record, content, image, f"smithsonian:{name}", side_px)
    if not images:
        yield None


def _read_image(
    record: Mapping[str, Any], content: Mapping[str, Any], image: Mapping[str, Any], group: str, side_px: int | None
) -> Candidate | ListProblem:
    renditions = _renditions(image)
    if not renditions:
        return ListProblem(line=0, message="the image has no usable address", text=text.preview(image.get("content")))
    chosen = smallest_sufficient(renditions, side_px)
    if chosen is None or (chosen.width is None and side_px is not None):
        chosen = _guess(renditions[-1], side_px or 0)
    about = fields.mapping(content.get("descriptiveNonRepeating"))
    title, creator = _title(record, about), _creator(content)
    stated = text.clean(fields.mapping(image.get("usage")).get("access"), 200)
    licence, number = licences.normalise(stated), text.clean(image.get("idsId"), 180)
    return Candidate(
        url=chosen.url,
        source=Smithsonian.info.name,
        width=chosen.width,
        height=chosen.height,
        renditions=renditions,
        page_url=urls.usable(about.get("record_link")) or urls.usable(about.get("guid")) or urls.usable(image.get("guid")),
        title=title,
        caption=_caption(content, image),
        license=licence,
        license_url=licences.url_of(licence),
        license_raw=stated,
        license_confidence="asserted" if licence else "unknown",
        creator=creator,
        attribution=fields.attribution(title, creator, text.clean(about.get("data_source"), 200) or Smithsonian.info.title, licence),
        tags=fields.tags(*(fields.mapping(content.get("indexedStructured")).get(name) for name in ("object_type", "topic", "place"))),
        identities=(f"smithsonian:{number}",) if number else (),
        group_id=group,
    )


def _renditions(image: Mapping[str, Any]) -> tuple[Rendition, ...]:
    """Return the scaled sizes and the JPEG original; an address alone where no resource states a size."""
    address = urls.usable(image.get("content"))
    original = next((one for one in fields.mappings(image.get("resources")) if one.get("label") == "High-resolution JPEG"), {})
    url, width, height = urls.usable(original.get("url")), fields.side(original.get("width")), fields.side(original.get("height"))
    scale = _scaling(address)
    scaled = by_longest_side(SIDES_PX, width, height, scale) if scale and width and height else []
    last = [Rendition(url, width, height)] if url else [Rendition(address)] if address else []
    return (*scaled, *last)


def _guess(original: Rendition, side_px: int) -> Rendition:
    """Return the size that most likely reaches ``side_px`` of an image whose size is not stated."""
    scale, side = _scaling(original.url), next((side for side in SIDES_PX if side >= longer_side(side_px)), None)
    return Rendition(scale(side)) if scale and side else original


def _scaling(address: str | None) -> Callable[[int], str] | None:
    """Return how the image server is asked for a longer side: by a parameter, or at the end of a path; ``None`` for other servers."""
    parts = urlsplit(address or "")
    if parts.path == _DELIVERY and parts.query.startswith("id="):
        return lambda side: f"{address}&max={side}"
    if parts.path.startswith(f"{_DELIVERY}/id/") and not parts.query:
        return lambda side: f"{address}/{side}"
    return None


def _title(record: Mapping[str, Any], about: Mapping[str, Any]) -> str | None:
    return text.strip_html(record.get("title"), 300) or text.strip_html(fields.mapping(about.get("title")).get("content"), 300)


def _caption(content: Mapping[str, Any], image: Mapping[str, Any]) -> str | None:
    """Return the image's alternative text, else the record's first note."""
    notes = fields.mappings(fields.mapping(content.get("freetext")).get("notes"))
    said = [image.get("altTextAccessibility"), image.get("caption"), *(note.get("content") for note in notes)]
    return next((words for one in said if (words := text.strip_html(one, 2_000))), None)


def _creator(content: Mapping[str, Any]) -> str | None:
    """Return the first name whose role made something: not collectors, sitters and donors."""
    names = fields.mappings(fields.mapping(content.get("freetext")).get("name"))
    made = [one for one in names if str(one.get("label")).lower() in _MAKERS]
    return next((words for one in made if (words := text.strip_html(one.get("content"), 300))), None)


_MAKERS: Final = frozenset(
    {
        *("architect", "artist", "artist/maker", "attributed to", "author", "carver", "cartographer", "created by", "creator", "designer"),
        *("engraver", "etcher", "illustrator", "lithographer", "maker", "manufacturer", "painter", "photographer", "print maker"),
        *("potter", "sculptor", "silversmith", "weaver"),
    }
)
