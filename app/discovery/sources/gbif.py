"""GBIF: images of occurrence records (observations, specimens) from all its publishers, by taxon where the keyword names one.

API: https://techdocs.gbif.org/en/openapi/v1/occurrence and .../v1/species, resized images: https://techdocs.gbif.org/en/openapi/images.
Licences of images are free text of their publishers; an image without one has that of its record.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from app.discovery import identities, licences, text, urls
from app.discovery.licences.policy import LicencePolicy
from app.discovery.renditions import longer_side
from app.discovery.sources import fields, inaturalist
from app.discovery.sources.source import Part, Place, Query, Reply, Source, SourceInfo, read_offset
from app.domain import Candidate, LicenseConfidence, ListProblem, Rendition
from app.formatting import count

__all__ = ["Gbif"]

DEPTH = 100_000
"""The largest sum of offset and limit that is answered."""
PAGE_SIZE = 300
"""Records a request; more are not given out."""
MAX_FACETS = 1_000
"""Years or countries that are counted in one request; there are fewer."""
EARLIEST, LATEST = 1600, 2050
"""Years between which spans are halved where an answer has no counts of years."""
CACHE_SIDE_PX = 1_200
"""Longer side of the largest image that the image cache gives out."""

BACKBONE = "d7dddbf4-2cf0-4f39-9b2a-bb099caae36c"
"""Dataset of the names that records are filed under."""

LICENCES = {"CC0_1_0": "CC0-1.0", "CC_BY_4_0": "CC-BY-4.0", "CC_BY_NC_4_0": "CC-BY-NC-4.0"}
"""Licences that a record can have, by their names in a search."""

WEBSITE = "https://www.gbif.org"
_OBSERVATION = re.compile(r"https?://www\.inaturalist\.org/observations/(\d{1,15})/?")


class Gbif(Source):
    """Search of GBIF's occurrence records with images."""

    info: ClassVar[SourceInfo] = SourceInfo(
        name="gbif",
        title="GBIF",
        base_url="https://api.gbif.org",
        terms_url="https://www.gbif.org/terms/data-user",
        docs_url="https://techdocs.gbif.org/en/openapi/v1/occurrence",
        licences="each image has the words of its publisher; one without any has the licence of its record: CC0, CC BY or CC BY-NC",
        depth=DEPTH,
        page_size=PAGE_SIZE,
        filters=("license", "taxon"),
        is_divisible=True,
    )

    async def read(self, query: Query, place: Place) -> Reply:
        """Read up to 300 records. Before the first page the taxon is looked up; that page also counts years, or countries."""
        at = _Page.parse(place.page) if place.page is not None else _Page(await self._taxon_of(query, place.part))
        depth = self.info.depth or DEPTH
        limit = min(PAGE_SIZE, max(0, depth - at.offset))
        dimension = _dimension(place.part) if at.offset == 0 else None
        facet = {"facet": dimension, "facetLimit": str(MAX_FACETS)} if dimension else {}
        reply = await self._search(query, place.part, at.taxon, {"offset": str(at.offset), "limit": str(limit), **facet})
        records = fields.records(reply, "results")
        total = fields.number(reply.get("count"))
        items = [item for record in records for item in self._read_record(record)]
        parts = _parts(reply, place.part, at.taxon, depth) if dimension and total is not None and total > depth else _Parts()
        note = "; ".join(_remarks(query, place, at, parts, total))
        return Reply(items, at.following(len(records), reply), total, note, results=len(records), parts=parts.parts)

    async def count(self, query: Query, part: Part) -> int | None:
        """Look the taxon up and ask for the number of its records; each has one image or more."""
        taxon = await self._taxon_of(query, part)
        return fields.number((await self._search(query, part, taxon, {"limit": "0"})).get("count"))

    def divide(self, query: Query, part: Part, total: int) -> Sequence[Part]:
        """Return the two halves of a span of years, for who has no counts of years from an answer; a single year is not divided."""
        if "country" in part or part.get("year", "").isdecimal():
            return ()
        first, _, last = part.get("year", f"{EARLIEST},{LATEST}").partition(",")
        middle = (read_offset(first) + read_offset(last)) // 2
        return [{**part, "year": _span(years)} for years in ((first, str(middle)), (str(middle + 1), last))]

    async def _taxon_of(self, query: Query, part: Part) -> int | None:
        """Return the taxon that is called exactly as the keyword, by a scientific or a common name; it stands for all that belong to it."""
        if "taxonKey" in part:
            return read_offset(part["taxonKey"]) or None
        params = {"q": query.keyword, "datasetKey": BACKBONE, "limit": "20"}
        return _best_taxon((await self.get("/v1/species/search", params)).get("results"), query.keyword)

    async def _search(self, query: Query, part: Part, taxon: int | None, paging: Mapping[str, str]) -> Mapping[str, Any]:
        which = {"q": query.keyword} if taxon is None else {"taxonKey": str(taxon)}
        filters: dict[str, str | Sequence[str]] = {"mediaType": "StillImage", **which, **paging}
        if "year" in part:
            filters["year"] = part["year"]
        if "country" in part:
            filters["country"] = part["country"].split()
        if names := _record_licences(query.licences):
            filters["license"] = names
        return await self.get("/v1/occurrence/search", filters)

    def _read_record(self, record: object) -> Iterator[Candidate | ListProblem | None]:
        found = fields.mapping(record)
        key = fields.number(found.get("key", found.get("gbifID")))
        media = fields.mappings(found.get("media"))
        if key is None or not media:
            yield ListProblem(0, "the record has no key or no media", text.preview(record))
            return
        for medium in media:
            yield self._read_medium(medium, found, key)

    def _read_medium(self, medium: Mapping[str, Any], record: Mapping[str, Any], key: int) -> Candidate | ListProblem | None:
        kind, media_type = medium.get("type", "StillImage"), medium.get("format", "image/")
        if kind != "StillImage" or not (isinstance(media_type, str) and media_type.startswith("image")):
            return None
        url, others = self._choose(medium.get("identifier"), key)
        if url is None:
            return ListProblem(0, "the image has no usable address", text.preview(medium.get("identifier")))
        names = filter(None, [identities.read(str(medium["identifier"]))])
        return replace(_candidate(medium, record, key), url=url, renditions=tuple(others), identities=tuple(names))

    def _choose(self, identifier: object, key: int) -> tuple[str | None, list[Rendition]]:
        """Return the address of the size that is wanted, and of other sizes: of the cache, of iNaturalist, or the publisher's own file."""
        original = urls.usable(identifier)
        if original is None or not isinstance(identifier, str):
            return None, []
        side_px = self._options.side_px
        is_photo = (identities.read(original) or "").startswith("inaturalist:")
        sizes = inaturalist.renditions(original, {}) if is_photo else []
        chosen = inaturalist.choose(sizes, side_px)
        if chosen is None:
            name = hashlib.md5(identifier.encode(errors="replace"), usedforsecurity=False).hexdigest()
            cache, file = f"{self._options.base_url.rstrip('/')}/v1/image/cache", f"occurrence/{key}/media/{name}"
            longest = None if side_px is None else longer_side(side_px)
            is_enough = longest is not None and longest <= CACHE_SIDE_PX
            sizes = [Rendition(f"{cache}/fit-in/{longest}x{longest}/{file}" if is_enough else f"{cache}/{file}"), Rendition(original)]
            chosen = sizes[0] if is_enough else sizes[1]
        return chosen.url, [one for one in sizes if one != chosen]


@dataclass(frozen=True, slots=True)
class _Page:
    """The records of a taxon, or those with the words of the keyword, from an offset; as ``TAXON:OFFSET``."""

    taxon: int | None
    offset: int = 0

    @classmethod
    def parse(cls, page: str) -> "_Page":
        taxon, _, offset = page.partition(":")
        return cls(read_offset(taxon) or None, read_offset(offset))

    def following(self, count: int, reply: Mapping[str, Any]) -> str | None:
        """Return the next page, ``None`` after the last."""
        return f"{self.taxon or 0}:{self.offset + count}" if count and reply.get("endOfRecords") is not True else None


def _best_taxon(taxa: object, keyword: str) -> int | None:
    """Return the taxon of that scientific name, else the first with that common name; a synonym stands for the accepted name."""
    wanted = (text.clean(keyword, 300) or "").casefold()
    ranked = sorted(fields.mappings(taxa), key=lambda taxon: wanted not in _names(taxon, "canonicalName", "scientificName"))
    for taxon in ranked:
        common = (name for given in fields.mappings(taxon.get("vernacularNames")) for name in _names(given, "vernacularName"))
        key = fields.number(taxon.get("acceptedKey", taxon.get("key")))
        if key and wanted in (*_names(taxon, "canonicalName", "scientificName"), *common):
            return key
    return None


def _names(given: Mapping[str, Any], *names: str) -> list[str]:
    return [found.casefold() for name in names if (found := text.clean(given.get(name), 300))]


def _record_licences(taken: LicencePolicy) -> list[str]:
    """Return the licences that records are limited to. None where all are taken; nor where none is: an image may have another licence."""
    names = [name for name, licence in LICENCES.items() if taken.allows(licence)]
    return names if len(names) < len(LICENCES) else []


def _dimension(part: Part) -> str | None:
    """Return what a part is divided by: by year, a single year by country."""
    if "country" in part:
        return None
    return "country" if part.get("year", "").isdecimal() else "year"


@dataclass(frozen=True, slots=True)
class _Parts:
    """Parts of a part, and how many records are in one of them."""

    parts: Sequence[Part] = ()
    records: int = 0


def _parts(reply: Mapping[str, Any], part: Part, taxon: int | None, depth: int) -> _Parts:
    """Return the parts of a part by the counts of years or countries in the answer."""
    dimension = _dimension(part) or ""
    counts = _counts(reply, dimension)
    groups = _packed(counts, depth)
    if len(groups) < 2:
        return _Parts()
    values = list(map(_span, groups)) if dimension == "year" else list(map(" ".join, groups))
    return _Parts([{**part, "taxonKey": str(taxon or 0), dimension: value} for value in values], sum(counts.values()))


def _span(years: Sequence[str]) -> str:
    return years[0] if years[0] == years[-1] else f"{years[0]},{years[-1]}"


def _counts(reply: Mapping[str, Any], dimension: str) -> dict[str, int]:
    """Return how many records each year or country has, in order of years or names."""
    form = re.compile(r"\d{1,4}" if dimension == "year" else r"[A-Z]{2}")
    facets = [facet for facet in fields.mappings(reply.get("facets")) if str(facet.get("field")).lower().startswith(dimension)]
    pairs = (
        (str(entry.get("name")), fields.number(entry.get("count"))) for facet in facets for entry in fields.mappings(facet.get("counts"))
    )
    found = {name: count for name, count in pairs if count and form.fullmatch(name)}
    return dict(sorted(found.items(), key=lambda pair: (len(pair[0]), pair[0])))


def _packed(counts: Mapping[str, int], depth: int) -> list[list[str]]:
    """Return neighbours together as long as they are not too deep: fewer parts have fewer pages that are not full."""
    groups: list[list[str]] = []
    size = depth
    for name, records in counts.items():
        if size + records > depth:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += records
    return groups


def _remarks(query: Query, place: Place, at: _Page, parts: _Parts, total: int | None) -> Iterator[str]:
    if at.taxon is None and place == Place():
        yield f"no taxon is called {query.keyword[:60]!r}, so records with these words are taken"
    if parts.parts and total is not None and total > parts.records:
        yield f"{count(total - parts.records, 'record')} without a year or a country cannot be reached"


def _candidate(medium: Mapping[str, Any], record: Mapping[str, Any], key: int) -> Candidate:
    """Return an image without its address."""
    licence, raw, confidence = _licence(medium.get("license"), record.get("license"))
    title = text.strip_html(medium.get("title"), 300) or text.clean(record.get("scientificName"), 300)
    creator = next(
        filter(None, (fields.lines(said, 300) for said in (medium.get("creator"), medium.get("rightsHolder"), record.get("recordedBy")))),
        None,
    )
    return Candidate(
        url="",
        source=Gbif.info.name,
        page_url=f"{WEBSITE}/occurrence/{key}",
        title=title,
        caption=text.strip_html(medium.get("description"), 2_000),
        license=licence,
        license_url=licences.url_of(licence),
        license_raw=raw,
        license_confidence=confidence,
        creator=creator,
        attribution=fields.attribution(title, creator, Gbif.info.title, licence),
        tags=fields.tags(*(record.get(name) for name in ("species", "vernacularName", "genus", "family", "order", "class"))),
        group_id=_group(record, key),
    )


def _licence(own: object, of_record: object) -> tuple[str | None, str | None, LicenseConfidence]:
    """Return id, words and how it is known: the image's own words, even where they are not understood, else the licence of the record."""
    words = text.strip_html(own, 300)
    if words:
        known = licences.normalise(str(own))
        return known or words, words, "asserted" if known else "unknown"
    words = text.clean(of_record, 300)
    known = licences.normalise(words)
    return known or words, words, "derived" if known else "unknown"


def _group(record: Mapping[str, Any], key: int) -> str:
    """Return the observation that the record came from, so that GBIF's copy of it is in the same split, else the record."""
    match = next((found for name in ("references", "occurrenceID") if (found := _OBSERVATION.fullmatch(str(record.get(name))))), None)
    return f"inaturalist:{match[1]}" if match else f"gbif:{key}"
