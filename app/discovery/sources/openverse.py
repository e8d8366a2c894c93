"""Openverse: images of many collections, each with the licence that its collection states.

A search gives out 240 results, so a larger one is read in slices by licence, collection, shape and size. API: https://api.openverse.org/v1/
and https://docs.openverse.org/api/reference/authentication_and_throttling.html. Licences are to be verified at the image's page.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import errors
from app.discovery import licences, text, urls
from app.discovery.licences.policy import LicencePolicy
from app.discovery.renditions import smallest_sufficient
from app.discovery.sources import fields, slicing
from app.discovery.sources.source import Part, Place, Query, RateLimit, Reply, Source, SourceInfo, read_offset
from app.domain import Candidate, ListProblem, Rendition

__all__ = ["Openverse"]

DEPTH = 240
"""Results that one search gives out, with or without a token."""
PAGE_SIZE = 20
"""The most for clients without a token; one more is answered with 401."""
PAGE_SIZE_WITH_TOKEN = 48
"""50 are allowed, but 48 divide the depth."""
MAX_QUERY_CHARS = 200
THUMBNAIL_WIDTH_PX = 600

OTHERS: Final = "*"
"""Stands for all collections that are not named here. The API knows no such word; it can leave out those that are."""

SHARES: Final[Mapping[str, Mapping[str, float]]] = {
    "license": {
        "by": 22,
        "by-sa": 22,
        "by-nc-nd": 14,
        "by-nc-sa": 13,
        "by-nc": 9,
        "cc0": 8,
        "by-nd": 6,
        "pdm": 5,
        "sampling+": 0.1,
        "nc-sampling+": 0.1,
    },
    "source": {
        "flickr": 55,
        "wikimedia": 14,
        OTHERS: 12,
        "inaturalist": 5,
        "geographorguk": 3,
        "smithsonian_national_museum_of_natural_history": 3,
        "europeana": 2,
        "stocksnap": 1,
        "rawpixel": 1,
        "museumsvictoria": 1,
        "nypl": 1,
        "met": 1,
        "digitaltmuseum": 1,
    },
    "aspect_ratio": {"wide": 6, "tall": 3, "square": 1},
    "size": {"large": 5, "medium": 4, "small": 1},
}
"""Filters by which a search is divided, in that order, with estimates of how many images each value has; only the number of requests
depends on these. The filters by shape and size leave out the few images whose size Openverse does not know."""

_VERSIONS: Final = ("", " 1.0", " 2.0", " 2.5", " 3.0", " 4.0")


class Openverse(Source):
    """Search on Openverse. The key is an access token of its OAuth, sent as ``Authorization: Bearer``; one lasts 12 hours."""

    info: ClassVar[SourceInfo] = SourceInfo(
        name="openverse",
        title="Openverse",
        base_url="https://api.openverse.org",
        terms_url="https://docs.openverse.org/terms_of_service.html",
        docs_url="https://api.openverse.org/v1/",
        licences="each image has the Creative Commons licence that its collection states; verify it at the image's page",
        depth=DEPTH,
        page_size=PAGE_SIZE,
        limits=(RateLimit(20, 60), RateLimit(200, 86_400)),
        page_size_with_key=PAGE_SIZE_WITH_TOKEN,
        limits_with_key=(RateLimit(100, 60), RateLimit(10_000, 86_400)),
        filters=("license",),
        key="optional",
        key_url="https://docs.openverse.org/api/reference/authentication_and_throttling.html",
        is_divisible=True,
    )

    async def read(self, query: Query, place: Place) -> Reply:
        """Read a page; its word is the number of results before it, since the size of a page depends on the token."""
        size = PAGE_SIZE_WITH_TOKEN if self._options.key else PAGE_SIZE
        page = read_offset(place.page) // size + 1
        reply = await self._ask(query, place.part, page=page, page_size=size)
        results = reply.get("results")
        if not isinstance(results, list):
            raise errors.ProtocolError("Openverse answered without a list of results")
        if _is_unfiltered(place.part, results):
            return Reply((), note=f"Openverse no longer has the collection {place.part['source']}")
        pages = fields.number(reply.get("page_count"))
        has_more = page < pages if pages is not None else len(results) >= size
        items = [_read_item(item, self._options.side_px) for item in results]
        return Reply(items, str(page * size) if has_more else None, fields.number(reply.get("result_count")))

    async def count(self, query: Query, part: Part) -> int | None:
        """Ask for one result, which comes with the number of all."""
        return fields.number((await self._ask(query, part, page=1, page_size=1)).get("result_count"))

    def divide(self, query: Query, part: Part, total: int) -> Sequence[Part]:
        """Divide by the first filter that has several values left."""
        for name, shares in SHARES.items():
            values = part[name].split(",") if name in part else _asked_for(query.licences) if name == "license" else list(shares)
            if len(values) > 1:
                groups = slicing.groups({value: shares[value] for value in values if value in shares}, slicing.slices_for(total, DEPTH))
                return [{**part, name: ",".join(group)} for group in groups]
        return ()

    async def _ask(self, query: Query, part: Part, *, page: int, page_size: int) -> dict[str, Any]:
        key = self._options.key
        params = {"q": query.keyword[:MAX_QUERY_CHARS], **_filters(query, part), "page": str(page), "page_size": str(page_size)}
        headers = {"Authorization": f"Bearer {key}"} if key else None
        try:
            reply = await self._client.fetch_json(f"{self._options.base_url}/v1/images/", params=params, headers=headers)
        except errors.AuthenticationError as error:
            if not key or error.status != 401:
                raise
            words = "Openverse does not accept the access token in sources.openverse.key; one lasts 12 hours, and it answers without one"
            raise errors.AuthenticationError(words, evidence=error.evidence) from error
        return fields.document(reply, "Openverse")


def _filters(query: Query, part: Part) -> dict[str, str]:
    """Return the parameters that restrict a search to a part of it, without what permits everything."""
    params = {"mature": "false", **part}
    codes = _asked_for(query.licences)
    if "license" not in part and len(codes) < len(SHARES["license"]):
        params["license"] = ",".join(codes)
    named = params.get("source", "").split(",")
    if OTHERS in named:
        del params["source"]
        params["excluded_source"] = ",".join(source for source in SHARES["source"] if source not in named)
    return params


def _asked_for(taken: LicencePolicy) -> list[str]:
    """Return the codes under which an image may be taken, whatever the version; all where no code is sure to be one."""
    codes = list(SHARES["license"])
    return [code for code in codes if any(taken.allows(licences.normalise(_name(code) + version)) for version in _VERSIONS)] or codes


def _name(code: str) -> str:
    """Return a code as it is called elsewhere: ``by`` alone is no name of a licence."""
    return f"cc {code}" if code.lower().startswith("by") else code


def _is_unfiltered(part: Part, results: Sequence[Any]) -> bool:
    """Whether results come from elsewhere than asked for: a filter of which the API knows no value is ignored by it."""
    named = part.get("source", OTHERS).split(",")
    found = {str(source).lower() for item in fields.mappings(results) if isinstance(source := item.get("source"), str)}
    return OTHERS not in named and not found <= set(named)


def _read_item(item: object, side_px: int | None) -> Candidate | ListProblem | None:
    """Return a result as a candidate, as a problem if it is broken, or ``None`` if it is of a kind that is not taken."""
    found = fields.mapping(item)
    if found.get("filetype") == "svg" or found.get("mature") is True:
        return None
    renditions = _renditions(found)
    chosen = smallest_sufficient(renditions, side_px)
    if chosen is None:
        return ListProblem(line=0, message="the image has no usable address", text=text.preview(found.get("url", item)))
    name, address = _stated(found)
    licence = licences.settle(name, address)
    title, creator = text.strip_html(found.get("title"), 300), text.strip_html(found.get("creator"), 300)
    return Candidate(
        url=chosen.url,
        source="openverse",
        width=chosen.width,
        height=chosen.height,
        stated_bytes=chosen.size_bytes,
        renditions=renditions,
        page_url=urls.usable(found.get("foreign_landing_url")),
        title=title,
        license=licence or name,
        license_url=urls.usable(address) or licences.url_of(licence),
        license_raw=" | ".join(filter(None, (name, address))) or None,
        license_confidence="asserted" if licence else "unknown",
        creator=creator,
        creator_url=urls.usable(found.get("creator_url")),
        attribution=text.strip_html(found.get("attribution"), 1_000) or fields.attribution(title, creator, "Openverse", licence),
        tags=fields.tags([tag.get("name") for tag in fields.mappings(found.get("tags")) if tag.get("accuracy") is None]),
    )


def _renditions(item: Mapping[str, Any]) -> tuple[Rendition, ...]:
    """Return the thumbnail where it is smaller than the image, and the image."""
    width, height = fields.side(item.get("width")), fields.side(item.get("height"))
    image, thumbnail = urls.usable(item.get("url")), urls.usable(item.get("thumbnail"))
    if image is None:
        return ()
    whole = Rendition(image, width, height, fields.number(item.get("filesize")) or None)
    if thumbnail is None or width is None or height is None or width <= THUMBNAIL_WIDTH_PX:
        return (whole,)
    return (Rendition(thumbnail, THUMBNAIL_WIDTH_PX, max(1, round(height * THUMBNAIL_WIDTH_PX / width))), whole)


def _stated(item: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return name and address of the licence; the name is made of a code such as ``by-sa`` and a version, which stand apart."""
    code, version = text.clean(item.get("license"), 40), text.clean(item.get("license_version"), 20)
    name = f"{_name(code)} {version or ''}".rstrip() if code else None
    return name, text.clean(item.get("license_url"), 300)
