"""iNaturalist: photos of observations of a taxon, research grade, by id upwards, which has no end of depth.

API: https://api.inaturalist.org/v1/docs/ and https://www.inaturalist.org/pages/api+recommended+practices. The licence is the photo's, not
the observation's; codes stand for version 4.0 (``CC_VERSION`` in https://github.com/inaturalist/inaturalist). Photos that users flagged, as
infringing or made by AI, are left out until the flag is resolved.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

from app.discovery import licences, text, urls
from app.discovery.licences.policy import LicencePolicy
from app.discovery.renditions import by_longest_side, longer_side, smallest_sufficient
from app.discovery.sources import fields
from app.discovery.sources.source import Part, Place, Query, RateLimit, Reply, Source, SourceInfo, read_offset
from app.domain import Candidate, LicenseConfidence, ListProblem, Rendition
from app.formatting import count

__all__ = ["INaturalist", "choose", "renditions"]

WEBSITE = "https://www.inaturalist.org"
PAGE_SIZE = 200
"""Observations a request; more are not given out."""
MAX_TAXA = 30
"""Taxa that are offered for a word; more are not given out."""

SIZES_PX = {"small": 240, "medium": 500, "large": 1024}
"""Longer side of each size in which a photo is kept. ``square`` is cropped, ``original`` has at most 2,048."""

CODES = ("cc0", "cc-by", "cc-by-nc", "cc-by-sa", "cc-by-nd", "cc-by-nc-sa", "cc-by-nc-nd")
"""Licences that a search can be limited to."""

_PHOTO = re.compile(r"(https?://[^?#]+/photos/\d{1,15}/)(?:square|thumb|small|medium|large|original)(\.[A-Za-z]{3,4}(?:\?[^#]*)?)")


class INaturalist(Source):
    """Search of iNaturalist by the name of a taxon."""

    info: ClassVar[SourceInfo] = SourceInfo(
        name="inaturalist",
        title="iNaturalist",
        base_url="https://api.inaturalist.org",
        terms_url="https://www.inaturalist.org/pages/terms",
        docs_url="https://api.inaturalist.org/v1/docs/",
        licences="each photo has a code for a Creative Commons 4.0 licence or CC0; without one all rights are reserved",
        depth=None,
        page_size=PAGE_SIZE,
        limits=(RateLimit(60, 60), RateLimit(10_000, 86_400)),
        filters=("license", "taxon"),
    )

    async def read(self, query: Query, place: Place) -> Reply:
        """Read up to 200 observations; before the first page the taxon is looked up."""
        codes = _codes(query.licences)
        if codes == ():
            return Reply((), note="it has no licence that is taken")
        at = _Page.parse(place.page) if place.page is not None else _Page(await self._find_taxon(query.keyword))
        reply = await self._search(at.params(query.keyword), codes, per_page=PAGE_SIZE)
        observations = fields.records(reply, "results")
        total = fields.number(reply.get("total_results"))
        items, flagged = self._items(observations)
        note = "; ".join(_remarks(query.keyword, at, flagged))
        return Reply(items, at.following(observations, total), None if place.page else total, note, results=len(observations))

    async def count(self, query: Query, part: Part) -> int | None:
        """Look the taxon up and ask for the number of its observations; each has one photo or more."""
        codes = _codes(query.licences)
        if codes == ():
            return 0
        at = _Page(await self._find_taxon(query.keyword))
        return fields.number((await self._search(at.params(query.keyword), codes, per_page=0)).get("total_results"))

    async def _find_taxon(self, keyword: str) -> int | None:
        """Return the taxon that is called exactly ``keyword``, the most observed of several; it stands for all that belong to it."""
        params = {"q": keyword, "per_page": str(MAX_TAXA), "is_active": "true"}
        return _best_taxon((await self.get("/v1/taxa/autocomplete", params)).get("results"), keyword)

    async def _search(self, params: Mapping[str, str], codes: Sequence[str] | None, *, per_page: int) -> Mapping[str, Any]:
        asked = {"photos": "true", "quality_grade": "research", "order_by": "id", "order": "asc", "per_page": str(per_page), **params}
        if codes is not None:
            asked["photo_license"] = ",".join(codes)
        return await self.get("/v1/observations", asked)

    def _items(self, observations: Sequence[object]) -> tuple[list[Candidate | ListProblem], int]:
        """Return the photos of observations, and how many of them were left out as flagged."""
        items: list[Candidate | ListProblem] = []
        flagged = 0
        for observation in observations:
            photos = fields.mappings(observation.get("photos")) if isinstance(observation, dict) else []
            if not isinstance(observation, dict) or not photos:
                items.append(ListProblem(0, "the observation has no photo", text.preview(observation)))
            for photo in photos:
                if _is_flagged(photo):
                    flagged += 1
                else:
                    items.append(_read_photo(photo, fields.mapping(observation), self._options.side_px))
        return items, flagged


@dataclass(frozen=True, slots=True)
class _Page:
    """The observations of a taxon, or of all taxa with the words of the keyword in a name, above an id; as ``TAXON:ID``."""

    taxon: int | None
    above: int = 0

    @classmethod
    def parse(cls, page: str) -> "_Page":
        taxon, _, above = page.partition(":")
        return cls(read_offset(taxon) or None, read_offset(above))

    def params(self, keyword: str) -> dict[str, str]:
        """Return the parameters of the search."""
        which = {"taxon_name": keyword} if self.taxon is None else {"taxon_id": str(self.taxon)}
        return {**which, "id_above": str(self.above)}

    def following(self, observations: Sequence[object], total: int | None) -> str | None:
        """Return the next page, ``None`` after the last. ``total`` counts what is above the id only."""
        ids = [found for one in observations if isinstance(one, dict) and (found := fields.number(one.get("id"))) is not None]
        has_more = len(observations) >= PAGE_SIZE if total is None else total > len(observations)
        return f"{self.taxon or 0}:{max(ids)}" if ids and has_more else None


def _codes(taken: LicencePolicy) -> tuple[str, ...] | None:
    """Return the codes that a search is limited to, ``None`` for no limit: where reserved rights are taken too."""
    return None if taken.allows(licences.RESERVED) else tuple(code for code in CODES if taken.allows(_licence_of(code)))


def _licence_of(code: str) -> str | None:
    return licences.normalise(f"{code}-4.0" if code.startswith("cc-by") else code)


def _best_taxon(taxa: object, keyword: str) -> int | None:
    wanted = (text.clean(keyword, 300) or "").casefold()
    names = ("name", "preferred_common_name", "english_common_name", "matched_term")
    exact = [taxon for taxon in fields.mappings(taxa) if wanted in ((text.clean(taxon.get(name), 300) or "").casefold() for name in names)]
    exact.sort(key=lambda taxon: fields.number(taxon.get("observations_count")) or 0, reverse=True)
    return next((found for taxon in exact if (found := fields.number(taxon.get("id")))), None)


def _remarks(keyword: str, at: _Page, flagged: int) -> Iterator[str]:
    if at.taxon is None and at.above == 0:
        yield f"no taxon is called {keyword[:60]!r}, so all with these words in a name are taken"
    if flagged:
        yield f"{count(flagged, 'photo')} left out, flagged by users"


def _is_flagged(photo: Mapping[str, Any]) -> bool:
    return any(flag.get("resolved") is not True for flag in fields.mappings(photo.get("flags")))


def _read_photo(photo: Mapping[str, Any], observation: Mapping[str, Any], side_px: int | None) -> Candidate | ListProblem:
    sizes = renditions(photo.get("url"), fields.mapping(photo.get("original_dimensions")))
    chosen = choose(sizes, side_px)
    if chosen is None:
        return ListProblem(0, "the photo has no address in the sizes of iNaturalist", text.preview(photo.get("url")))
    user, taxon = fields.mapping(observation.get("user")), fields.mapping(observation.get("taxon"))
    number, login = fields.number(observation.get("id")), text.clean(user.get("login"), 100)
    licence, raw, confidence = _licence(photo)
    title, creator = _title(taxon), text.clean(user.get("name"), 300) or login
    page_url = f"{WEBSITE}/observations/{number}" if number is not None else None
    words = text.strip_html(photo.get("attribution"), 500)
    return Candidate(
        url=chosen.url,
        source=INaturalist.info.name,
        width=chosen.width,
        height=chosen.height,
        page_url=urls.usable(observation.get("uri")) or page_url,
        title=title,
        caption=text.strip_html(observation.get("description"), 2_000),
        license=licence,
        license_url=licences.url_of(licence),
        license_raw=raw,
        license_confidence=confidence,
        creator=creator,
        creator_url=f"{WEBSITE}/people/{quote(login, safe='')}" if login else None,
        attribution=words or fields.attribution(title, creator, INaturalist.info.title, licence),
        tags=fields.tags(taxon.get("name"), taxon.get("preferred_common_name"), taxon.get("iconic_taxon_name"), observation.get("tags")),
        identities=tuple(f"inaturalist:{found}" for found in [fields.number(photo.get("id"))] if found is not None),
        group_id=f"inaturalist:{number}" if number is not None else None,
        renditions=tuple(one for one in sizes if one != chosen),
    )


def choose(sizes: Sequence[Rendition], side_px: int | None) -> Rendition | None:
    """Return the smallest size whose shorter side reaches ``side_px``; for a photo without dimensions by their usual proportion."""
    if not sizes or side_px is None or sizes[-1].width:
        return smallest_sufficient(sizes, side_px)
    wanted = longer_side(side_px)
    return next((size for size, longest in zip(sizes, SIZES_PX.values(), strict=False) if longest >= wanted), sizes[-1])


def renditions(url: object, original: Mapping[str, Any]) -> list[Rendition]:
    """Return the sizes of a photo from the smallest to the original; none of an address that is not of a photo."""
    match = _PHOTO.fullmatch(urls.usable(url) or "")
    if match is None:
        return []
    names = {longest: f"{match[1]}{name}{match[2]}" for name, longest in SIZES_PX.items()}
    whole = f"{match[1]}original{match[2]}"
    width, height = fields.side(original.get("width")), fields.side(original.get("height"))
    if width is None or height is None:
        return [*map(Rendition, names.values()), Rendition(whole)]
    return [*by_longest_side(list(names), width, height, names.__getitem__), Rendition(whole, width, height)]


def _licence(photo: Mapping[str, Any]) -> tuple[str | None, str | None, LicenseConfidence]:
    """Return id, the photo's own words and how it is known. A code that is null reserves all rights; one that is missing says nothing."""
    words = text.strip_html(photo.get("attribution"), 300)
    code = text.clean(photo.get("license_code"), 100)
    raw = " | ".join(filter(None, [code, words])) or None
    if code:
        known = _licence_of(code.lower())
        return known or code, raw, "asserted" if known else "unknown"
    if "license_code" not in photo or photo["license_code"] is not None:
        return None, raw, "unknown"
    return licences.RESERVED, raw, "asserted" if licences.normalise(words) == licences.RESERVED else "derived"


def _title(taxon: Mapping[str, Any]) -> str | None:
    """``Vulpes vulpes (Red Fox)``."""
    name, common = text.clean(taxon.get("name"), 200), text.clean(taxon.get("preferred_common_name"), 200)
    return f"{name} ({common})" if name and common else name or common
