"""Europeana: a search over the collections of Europe's museums, libraries and archives, whose images rest on their own servers.

https://europeana.atlassian.net/wiki/spaces/EF/pages/2385739812/Search+API+Documentation and ``…/2480209953``, the thumbnails. Nearly every
field is a list of texts. Addresses in an answer hold the caller's key (``guid``, ``link``), so none of them is kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

import errors
from app.discovery import licences, text, urls
from app.discovery.renditions import longer_side
from app.discovery.sources import fields
from app.discovery.sources.source import JsonClient, Part, Place, Query, Reply, Source, SourceInfo, SourceOptions
from app.domain import Candidate, ListProblem, Rendition

__all__ = ["Europeana", "read_item"]

PAGE_SIZE: Final = 100
FIRST_CURSOR: Final = "*"
MAX_CURSOR_CHARS: Final = 2_000

THUMBNAIL_PX: Final = 400
"""Width of the larger thumbnail."""

REUSABILITY: Final[Mapping[str, tuple[str, ...]]] = {
    "open": ("CC0-1.0", "CC-PDM-1.0", "CC-BY-4.0", "CC-BY-SA-4.0"),
    "restricted": (
        *("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-4.0", "CC-BY-ND-4.0"),
        *(f"LicenseRef-rightsstatements-{name}-1.0" for name in ("NoC-NC", "NoC-OKLR", "InC-EDU")),
    ),
    "permission": (*(f"LicenseRef-rightsstatements-{name}-1.0" for name in ("InC", "InC-OW-EU")), licences.RESERVED),
}
"""What the parameter ``reusability`` stands for, by ids. Of copyright that was not evaluated (CNE) no licence is known."""


class Europeana(Source):
    """Search in Europeana, by cursor, so without limit."""

    info: ClassVar[SourceInfo] = SourceInfo(
        name="europeana",
        title="Europeana",
        base_url="https://api.europeana.eu",
        terms_url="https://www.europeana.eu/rights/terms-of-use",
        docs_url="https://europeana.atlassian.net/wiki/spaces/EF/pages/2385739812/Search+API+Documentation",
        licences="each item names the address of its licence or rights statement",
        depth=None,
        page_size=PAGE_SIZE,
        filters=("license",),
        key="required",
        key_url="https://apis.europeana.eu/",
    )

    def __init__(self, client: JsonClient, options: SourceOptions) -> None:
        super().__init__(client, options)
        self._key = options.key or ""

    async def read(self, query: Query, place: Place) -> Reply:
        """Read a page of 100 items."""
        cursor = place.page or FIRST_CURSOR
        if len(cursor) > MAX_CURSOR_CHARS or not cursor.isprintable():
            raise errors.ValidationError(f"{cursor[:40]!r} is no page of a Europeana search")
        reply = await self._search(query, rows=PAGE_SIZE, cursor=cursor)
        rows = fields.records(reply, "items")
        following = reply.get("nextCursor")
        is_more = bool(rows) and isinstance(following, str) and 0 < len(following) <= MAX_CURSOR_CHARS
        items = [read_item(row, key=self._key, side_px=self._options.side_px) for row in rows]
        return Reply(items, following if is_more else None, fields.number(reply.get("totalResults")))

    async def count(self, query: Query, part: Part) -> int | None:
        """Ask for the total, without items."""
        return fields.number((await self._search(query, rows=0)).get("totalResults"))

    async def _search(self, query: Query, *, rows: int, cursor: str | None = None) -> Mapping[str, Any]:
        """Send one request. Some errors come with status 200; their words may hold the key, so only ours are passed on."""
        words = text.plain_words(query.keyword)
        params: dict[str, str | list[str]] = {"query": words, "qf": "TYPE:IMAGE", "media": "true", "profile": "rich"}
        params |= {"rows": str(rows)} | ({"cursor": cursor} if cursor else {})
        if kinds := _reusability(query):
            params["reusability"] = kinds
        reply = await self.get("/record/v2/search.json", params, headers={"X-Api-Key": self._key})
        if reply.get("success") is not True:
            raise _failure(text.clean(reply.get("error"), 300) or "")
        return reply


def _reusability(query: Query) -> list[str]:
    """Return the kinds of rights to ask for; none for all of them, and where unknown rights are taken."""
    if query.licences.allows(None):
        return []
    kinds = [kind for kind, ids in REUSABILITY.items() if any(map(query.licences.allows, ids))]
    return [] if len(kinds) == len(REUSABILITY) else kinds


def _failure(words: str) -> errors.PictrawlError:
    lowered = words.lower()
    if "limit" in lowered:
        return errors.RateLimitError("Europeana limits the key's requests")
    if "key" in lowered:
        return errors.AuthenticationError("Europeana refuses the API key; check sources.europeana.key (PICTRAWL_SOURCES__EUROPEANA__KEY)")
    if "cursor" in lowered or "paginate" in lowered or "parameter" in lowered:
        return errors.BadRequestError("Europeana refuses the request")
    return errors.ProtocolError("Europeana's answer says that the search failed")


def read_item(row: object, *, key: str, side_px: int | None) -> Candidate | ListProblem | None:
    """Return an item's image as a candidate, as a problem if its record is broken, or ``None`` if it has none.

    Args:
        key: the API key, of which no address may tell.
    """
    record = fields.mapping(row)
    number = text.clean(record.get("id"), 300)
    if number is None or not number.startswith("/"):
        return ListProblem(line=0, message="the item has no id")
    shown = next(iter(fields.texts(record.get("edmIsShownBy"), 8_000)), None)
    image = _without_key(shown, key)
    if image is None:
        return ListProblem(line=0, message="the item has no usable address", text=number) if shown else None
    thumbnail = _thumbnail(record, key)
    renditions = (thumbnail, Rendition(image)) if thumbnail else (Rendition(image),)
    is_small_enough = side_px is not None and longer_side(side_px) <= THUMBNAIL_PX
    return _candidate(record, number, renditions[0 if is_small_enough else -1], renditions)


def _thumbnail(record: Mapping[str, Any], key: str) -> Rendition | None:
    """Return the larger thumbnail; the address of an answer leads to either."""
    address = _without_key(next(iter(fields.texts(record.get("edmPreview"), 8_000)), None), key)
    parts = urlsplit(address) if address else None
    if parts is None or not parts.path.endswith("/url.json"):
        return None
    query = "&".join([*(one for one in parts.query.split("&") if one and not one.startswith("size=")), f"size=w{THUMBNAIL_PX}"])
    return Rendition(parts._replace(query=query).geturl(), width=THUMBNAIL_PX)


def _without_key(value: object, key: str) -> str | None:
    """Return a usable address, none where it holds the key."""
    address = urls.usable(value)
    return None if address is None or (key and key in address) else address


def _candidate(record: Mapping[str, Any], number: str, chosen: Rendition, renditions: tuple[Rendition, ...]) -> Candidate:
    rights = fields.texts(record.get("rights"), 200)
    licence = licences.settle(*rights)
    title, creators = _first(record, "title", 300), fields.texts(record.get("dcCreator"), 300)
    creator = next((one for one in creators if urls.usable(one) is None), None)  # agents may be named by their address
    provider = _first(record, "dataProvider", 200)
    return Candidate(
        url=chosen.url,
        source=Europeana.info.name,
        width=chosen.width if chosen.height else None,
        height=chosen.height,
        renditions=renditions,
        page_url=f"https://www.europeana.eu/item{quote(number, safe='/')}",
        title=title,
        caption=_first(record, "dcDescription", 2_000),
        license=licence,
        license_url=_address_of(licence, rights),
        license_raw=licences.SEPARATOR.join(rights)[:500] or None,
        license_confidence="asserted" if licence else "unknown",
        creator=creator,
        creator_url=next((url for one in creators if (url := urls.usable(one))), None),
        attribution=fields.attribution(title, creator, f"{provider}, Europeana" if provider else "Europeana", licence),
        tags=fields.tags(*(fields.mapping(record.get(name)).get("en") for name in ("edmConceptPrefLabelLangAware", "dcTypeLangAware"))),
        group_id=f"europeana:{number}",
    )


def _address_of(licence: str | None, rights: Sequence[str]) -> str | None:
    """Return the stated address of the licence that holds."""
    stated = (url for one in rights if (url := urls.usable(one)) and licences.normalise(one) == licence)
    return next(stated, licences.url_of(licence))


def _first(record: Mapping[str, Any], name: str, limit: int) -> str | None:
    return next(iter(fields.texts(record.get(name), limit)), None)
