"""Flickr: photos of its members, each with the licence that the member chose.

A search gives out 4,000 results and then repeats itself, so a larger one is read in slices by the date of upload. API:
https://www.flickr.com/services/api/flickr.photos.search.html. Errors come with status 200. Its terms ask for a link to the photo's page.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import errors
from app.discovery import licences, text, urls
from app.discovery.licences.policy import LicencePolicy
from app.discovery.renditions import smallest_sufficient
from app.discovery.sources import fields, slicing
from app.discovery.sources.source import (
    JsonClient,
    Part,
    Place,
    Query,
    RateLimit,
    Reply,
    Source,
    SourceInfo,
    SourceOptions,
    read_offset,
)
from app.domain import Candidate, ListProblem, Rendition

__all__ = ["Flickr", "FlickrLicence"]

DEPTH = 4_000
"""Results of one search that differ."""
PAGE_SIZE = 500

SIZES: Final = ("s", "n", "w", "m", "z", "c", "l", "h", "k", "o")
"""Suffixes of sizes that show the whole photo, from 240 pixels on the longer side to the original."""

_EXTRAS: Final = ("description", "license", "media", "owner_name", "tags", *(f"url_{size}" for size in SIZES))

_TENTHS: Final = ("2004-02", "2007-11", "2009-04", "2010-06", "2011-08", "2012-09", "2013-09", "2014-11", "2016-03", "2018-09", "2027-01")
"""Months that cut the public photos into tenths, estimated: uploads grew until 2013. Only the number of requests depends on it."""

UPLOADS: Final = slicing.Scale(tuple(int(datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).timestamp()) for month in _TENTHS))
"""Seconds of upload, Unix time."""

_FROM, _BEFORE = "uploaded_from", "uploaded_before"

_REFUSED: Final = frozenset({98, 99, 100})
_AWAY: Final = frozenset({0, 10, 105, 106})
"""Codes of errors, as the documentation of each method lists them: 100 is an invalid key, 105 a service that is not available now."""

_OWNER: Final = re.compile(r"[0-9]{1,12}@N[0-9]{2}")
_PHOTO: Final = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class FlickrLicence:
    """A licence of the site: its name and its address."""

    name: str
    url: str = ""

    @property
    def id(self) -> str | None:
        """The id of the licence, ``None`` if it is not understood."""
        return licences.settle(self.name, self.url or None)


_CC: Final = "https://creativecommons.org"
LICENCES: Final[Mapping[str, FlickrLicence]] = {
    "0": FlickrLicence("All Rights Reserved"),
    "1": FlickrLicence("Attribution-NonCommercial-ShareAlike License", f"{_CC}/licenses/by-nc-sa/2.0/"),
    "2": FlickrLicence("Attribution-NonCommercial License", f"{_CC}/licenses/by-nc/2.0/"),
    "3": FlickrLicence("Attribution-NonCommercial-NoDerivs License", f"{_CC}/licenses/by-nc-nd/2.0/"),
    "4": FlickrLicence("Attribution License", f"{_CC}/licenses/by/2.0/"),
    "5": FlickrLicence("Attribution-ShareAlike License", f"{_CC}/licenses/by-sa/2.0/"),
    "6": FlickrLicence("Attribution-NoDerivs License", f"{_CC}/licenses/by-nd/2.0/"),
    "7": FlickrLicence("No known copyright restrictions", "https://www.flickr.com/commons/usage/"),
    "8": FlickrLicence("United States Government Work", "http://www.usa.gov/copyright.shtml"),
    "9": FlickrLicence("Public Domain Dedication (CC0)", f"{_CC}/publicdomain/zero/1.0/"),
    "10": FlickrLicence("Public Domain Mark", f"{_CC}/publicdomain/mark/1.0/"),
}
"""What numbers have meant since 2013. Those of later licences are asked for, never guessed."""


class Flickr(Source):
    """Search on Flickr. The key is a parameter of every request, so no address of one is ever shown."""

    info: ClassVar[SourceInfo] = SourceInfo(
        name="flickr",
        title="Flickr",
        base_url="https://api.flickr.com",
        terms_url="https://www.flickr.com/help/terms/api",
        docs_url="https://www.flickr.com/services/api/flickr.photos.search.html",
        licences="each photo has the licence that its owner chose; its terms ask for a link to the photo's page",
        depth=DEPTH,
        page_size=PAGE_SIZE,
        limits=(RateLimit(3_600, 3_600),),
        filters=("license",),
        key="required",
        key_url="https://www.flickr.com/services/apps/create/",
        is_divisible=True,
    )

    def __init__(self, client: JsonClient, options: SourceOptions) -> None:
        super().__init__(client, options)
        self._licences: Mapping[str, FlickrLicence] | None = None
        """What the site says its numbers mean, once it was asked: a fact, and no state of a search."""

    async def read(self, query: Query, place: Place) -> Reply:
        """Read a page; its word is the number of results before it."""
        restriction = await self._restriction(query.licences)
        if restriction is None:
            return Reply((), note="none of the licences that Flickr has is taken")
        page = read_offset(place.page) // PAGE_SIZE + 1
        extras = {"extras": ",".join(_EXTRAS), "sort": "relevance", "page": str(page), "per_page": str(PAGE_SIZE)}
        found = await self._search(query, place.part, restriction | extras)
        photos = found.get("photo")
        if not isinstance(photos, list):
            raise errors.ProtocolError("Flickr answered without a list of photos")
        known = await self._known(photos)
        pages = fields.number(found.get("pages"))
        has_more = page < pages if pages is not None else len(photos) >= PAGE_SIZE
        items = [_read_photo(photo, known, self._options.side_px) for photo in photos]
        return Reply(items, str(page * PAGE_SIZE) if has_more else None, fields.number(found.get("total")))

    async def count(self, query: Query, part: Part) -> int | None:
        """Ask for one photo, which comes with the number of all."""
        restriction = await self._restriction(query.licences)
        if restriction is None:
            return 0
        return fields.number((await self._search(query, part, restriction | {"per_page": "1"})).get("total"))

    def divide(self, query: Query, part: Part, total: int) -> Sequence[Part]:
        """Divide by the date of upload, to the second if need be."""
        low, high = (int(part[name]) if name in part else None for name in (_FROM, _BEFORE))
        return [_part(*bounds) for bounds in UPLOADS.cut(low, high, slicing.slices_for(total, DEPTH))]

    async def _search(self, query: Query, part: Part, params: Mapping[str, str]) -> dict[str, Any]:
        fixed = {"text": query.keyword, "media": "photos", "content_types": "0", "safe_search": "1"}
        return fields.mapping((await self._call("photos.search", {**fixed, **_dates(part), **params})).get("photos"))

    async def _restriction(self, taken: LicencePolicy) -> dict[str, str] | None:
        """Return the parameter that asks for the licences that are taken: none where all are, ``None`` where the site has none of them."""
        if taken.allows(None) and all(taken.allows(licence.id) for licence in LICENCES.values()):
            return {}
        numbers = [number for number, licence in (await self._ask_licences()).items() if taken.allows(licence.id)]
        return {"license": ",".join(numbers)} if numbers else None

    async def _known(self, photos: Sequence[object]) -> Mapping[str, FlickrLicence]:
        """Return the licences of photos: the site is asked where one has a number that this module does not know."""
        stated = {_licence_number(photo) for photo in fields.mappings(photos)} - {None}
        return LICENCES if stated <= LICENCES.keys() else await self._ask_licences()

    async def _ask_licences(self) -> Mapping[str, FlickrLicence]:
        """Ask once what the numbers of licences mean; where the answer is none, use what is known."""
        if self._licences is None:
            try:
                reply = await self._call("photos.licenses.getInfo", {})
            except (errors.BadRequestError, errors.ProtocolError):
                reply = {}
            self._licences = _read_licences(reply) or LICENCES
        return self._licences

    async def _call(self, method: str, params: Mapping[str, str]) -> dict[str, Any]:
        fixed = {"method": f"flickr.{method}", "api_key": self._options.key or "", "format": "json", "nojsoncallback": "1"}
        reply = fields.document(
            await self._client.fetch_json(f"{self._options.base_url}/services/rest/", params={**fixed, **params}), "Flickr"
        )
        if reply.get("stat") != "ok":
            raise _error(reply)
        return reply


def _error(reply: Mapping[str, Any]) -> errors.PictrawlError:
    if reply.get("stat") != "fail":
        return errors.ProtocolError("Flickr's answer says neither that it is one nor that it is an error")
    code, evidence = fields.number(reply.get("code")), text.clean(reply.get("message"), 200)
    if code in _REFUSED:
        words = f"Flickr does not accept the API key in sources.flickr.key (code {code}); get one at {Flickr.info.key_url}"
        return errors.AuthenticationError(words, evidence=evidence)
    if code in _AWAY:
        return errors.ServiceUnavailableError(f"Flickr is not available now (code {code})", evidence=evidence)
    return errors.BadRequestError(f"Flickr refuses the request (code {code})", evidence=evidence)


def _read_licences(reply: Mapping[str, Any]) -> dict[str, FlickrLicence]:
    listed = fields.mappings(fields.mapping(reply.get("licenses")).get("license"))
    found = {fields.number(one.get("id")): (text.clean(one.get("name"), 200), text.clean(one.get("url"), 300)) for one in listed}
    return {str(number): FlickrLicence(name, url or "") for number, (name, url) in found.items() if number is not None and name}


def _part(low: int | None, high: int | None) -> Part:
    return {name: str(bound) for name, bound in ((_FROM, low), (_BEFORE, high)) if bound is not None}


def _dates(part: Part) -> dict[str, str]:
    """Return the parameters of a part; both bounds of the API are part of the range."""
    dates = {"min_upload_date": part[_FROM]} if _FROM in part else {}
    return dates | ({"max_upload_date": str(int(part[_BEFORE]) - 1)} if _BEFORE in part else {})


def _licence_number(photo: Mapping[str, Any]) -> str | None:
    number = fields.number(photo.get("license"))
    return None if number is None else str(number)


def _read_photo(photo: object, known: Mapping[str, FlickrLicence], side_px: int | None) -> Candidate | ListProblem | None:
    """Return a photo as a candidate, as a problem if its record is broken, or ``None`` if it is a video."""
    found = fields.mapping(photo)
    if found.get("media", "photo") != "photo":
        return None
    renditions = _renditions(found)
    chosen = smallest_sufficient(renditions, side_px)
    if chosen is None:
        return ListProblem(line=0, message="the photo has no usable address", text=text.preview(found.get("id", photo)))
    number = _licence_number(found)
    stated = None if number is None else known.get(number, FlickrLicence(f"Flickr licence {number}"))
    licence = stated.id if stated else None
    photo_id, owner = _matching(_PHOTO, found.get("id")), _matching(_OWNER, found.get("owner"))
    title, creator = text.strip_html(found.get("title"), 300), text.clean(found.get("ownername"), 300)
    return Candidate(
        url=chosen.url,
        source="flickr",
        width=chosen.width,
        height=chosen.height,
        renditions=renditions,
        page_url=f"https://www.flickr.com/photos/{owner}/{photo_id}" if owner and photo_id else None,
        title=title,
        caption=text.strip_html(fields.mapping(found.get("description")).get("_content"), 2_000),
        license=licence or (stated.name if stated else None),
        license_url=(urls.usable(stated.url) if stated else None) or licences.url_of(licence),
        license_raw=" | ".join(filter(None, (stated.name, stated.url))) if stated else None,
        license_confidence="asserted" if licence else "unknown",
        creator=creator,
        creator_url=f"https://www.flickr.com/people/{owner}/" if owner else None,
        attribution=fields.attribution(title, creator, "Flickr", licence),
        tags=fields.tags(str(found.get("tags", "")).split()),
        identities=(f"flickr:{photo_id}",) if photo_id else (),
    )


def _renditions(photo: Mapping[str, Any]) -> tuple[Rendition, ...]:
    """Return the sizes that are offered, from the smallest to the original."""
    offered = ((urls.usable(photo.get(f"url_{size}")), size) for size in SIZES)
    return tuple(
        Rendition(url, fields.side(photo.get(f"width_{size}")), fields.side(photo.get(f"height_{size}"))) for url, size in offered if url
    )


def _matching(pattern: re.Pattern[str], value: object) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
