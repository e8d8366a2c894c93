"""GBIF as https://techdocs.gbif.org/en/openapi/v1/occurrence, .../v1/species and https://techdocs.gbif.org/en/openapi/images document it.

A request whose offset and limit are beyond 100,000 is answered with 400, of more than 300 records only 300 come.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tests.providers.answers import Request, Response, detail, listing, page, refusal
from tests.providers.faults import Context, Fault, change
from tests.providers.server import Facts, Provider

__all__ = ["GbifProvider"]

DEPTH = 100_000
FIRST_KEY = 4_000_000_000
FIRST_YEAR, YEARS = 1990, 30
COUNTRIES = ("DE", "FR", "JP", "SE")

LICENCES: tuple[tuple[str | None, str, str], ...] = (
    ("http://creativecommons.org/licenses/by-nc/4.0/", "http://creativecommons.org/licenses/by/4.0/legalcode", "CC-BY-NC-4.0"),
    (None, "http://creativecommons.org/licenses/by-nc/4.0/legalcode", "CC-BY-NC-4.0"),
    ("Attribution-ShareAlike 4.0 International", "http://creativecommons.org/licenses/by/4.0/legalcode", "CC-BY-SA-4.0"),
    ("© Ann Example. All rights reserved.", "http://creativecommons.org/licenses/by/4.0/legalcode", "LicenseRef-AllRightsReserved"),
    (None, "http://creativecommons.org/publicdomain/zero/1.0/legalcode", "CC0-1.0"),
)
"""Words of an image and of its record, and what holds."""

NAMES = {
    "CC0_1_0": "http://creativecommons.org/publicdomain/zero/1.0/legalcode",
    "CC_BY_4_0": "http://creativecommons.org/licenses/by/4.0/legalcode",
    "CC_BY_NC_4_0": "http://creativecommons.org/licenses/by-nc/4.0/legalcode",
}

_CACHED = re.compile(r"/v1/image/cache/(?:(?:fit-in/)?\d*x\d*/)?occurrence/(\d+)/media/([0-9a-f]{32})")
_OWN = re.compile(r"/specimens/(\d+)\.jpg")


def _other_media(good: Response, context: Context) -> Response:
    """Records of images have sounds too."""
    sound = {"type": "Sound", "format": "audio/mpeg", "identifier": "https://sounds.test/1.mp3"}
    return change(good, ("results",), [{**found, "media": [sound, *found["media"]]} for found in good.document["results"]])


def _no_end(good: Response, context: Context) -> Response:
    return change(good, ("endOfRecords",), None)


class GbifProvider(Provider):
    """Answers ``/v1/species/search`` and ``/v1/occurrence/search``. Every keyword is a name of a taxon, but ``nothing``.

    Args:
        images: of each record.
        undated: one record of so many states no year; 0 for none.
        depth: the largest sum of offset and limit.
    """

    name = "gbif"
    page_size = 300
    count_calls = 2
    items_way = ("results",)
    total_way = ("count",)
    own_faults: ClassVar[dict[str, Fault]] = {"other_media": _other_media, "no_end": _no_end}

    def __init__(self, total: int = 2_000, *, images: int = 1, undated: int = 0, depth: int = DEPTH, **options: Any) -> None:
        super().__init__(total, **options)
        self.images, self.undated, self.depth = images, undated, depth
        self._taxa: dict[str, int] = {}

    def answer(self, request: Request) -> Response:
        answers: dict[str, Callable[[Request], Response]] = {
            "/v1/species/search": self._species,
            "/v1/occurrence/search": self._occurrences,
        }
        found = answers.get(request.path)
        return found(request) if found else page(404, "Not found")

    def facts(self, number: int) -> Facts:
        return Facts(
            licence=LICENCES[number % len(LICENCES)][2],
            page_url=f"https://www.gbif.org/occurrence/{FIRST_KEY + number // self.images}",
            creator=f"Ann Example {number % 7}",
            title="Felis catus Linnaeus, 1758",
        )

    def counted(self, keyword: str) -> int:
        return -(-self.found(keyword) // self.images)

    def reachable(self, keyword: str = "cat") -> int:
        records = range(self.counted(keyword))
        if len(records) > self.depth:
            return self.images * sum(self._year(record) is not None for record in records)
        return self.found(keyword)

    def image_url(self, number: int, size: str = "full") -> str:
        return self.url(f"/specimens/{number}.jpg")

    def image_number(self, path: str) -> int | None:
        if match := _OWN.fullmatch(path):
            return int(match[1])
        match = _CACHED.fullmatch(path)
        first = (int(match[1]) - FIRST_KEY) * self.images if match else 0
        return next((number for number in range(first, first + self.images) if match and self._digest(number) == match[2]), None)

    def error(self, message: str) -> Any:
        return {"statusCode": 500, "message": message}

    def _digest(self, number: int) -> str:
        return hashlib.md5(self.image_url(number).encode(), usedforsecurity=False).hexdigest()

    def _year(self, record: int) -> int | None:
        """Most records are of the last years."""
        if self.undated and record % self.undated == 0:
            return None
        return FIRST_YEAR + YEARS - 1 - (record * record) % (YEARS * YEARS) // YEARS

    def _species(self, request: Request) -> Response:
        word = request.get("q")
        taxa: list[dict[str, Any]] = [{"key": 1, "canonicalName": "Pisces", "vernacularNames": [{"vernacularName": f"{word}fish"}]}]
        if self.found(word):
            self._taxa.setdefault(word, 2_435_000 + len(self._taxa))
            names = [{"vernacularName": "Katze", "language": "deu"}, {"vernacularName": word.title(), "language": "eng"}]
            taxa.append({"key": 77, "acceptedKey": self._taxa[word], "canonicalName": "Felis catus", "vernacularNames": names})
        return detail({"offset": 0, "limit": request.number("limit", 20), "endOfRecords": True, "count": len(taxa), "results": taxa})

    def _occurrences(self, request: Request) -> Response:
        offset, limit = request.number("offset", 0), min(request.number("limit", 20), 300)
        if offset + limit > self.depth:
            return refusal(400, {"statusCode": 400, "message": f"Max offset of {self.depth + 1} exceeded: {offset} + {limit}"})
        found = self._matching(request)
        reply: dict[str, Any] = {
            "offset": offset,
            "limit": limit,
            "endOfRecords": offset + limit >= len(found),
            "count": len(found),
            "results": [self._record(record) for record in found[offset : offset + limit]],
            "facets": [self._facet(name, found, request.number("facetLimit", 10)) for name in request.query.get("facet", [])],
        }
        return listing(reply) if limit else detail(reply)

    def _matching(self, request: Request) -> Sequence[int]:
        keyword = request.get("q") or next((word for word, key in self._taxa.items() if str(key) == request.get("taxonKey")), "nothing")
        licences = [NAMES[name] for name in request.query.get("license", [])]
        first, _, last = request.get("year").partition(",")
        countries = request.query.get("country", [])
        return [
            record
            for record in range(self.counted(keyword))
            if (not licences or LICENCES[record * self.images % len(LICENCES)][1] in licences)
            and (not first or int(first) <= (self._year(record) or 0) <= int(last or first))
            and (not countries or COUNTRIES[record % len(COUNTRIES)] in countries)
        ]

    def _facet(self, name: str, found: Sequence[int], limit: int) -> dict[str, Any]:
        counts: dict[str, int] = {}
        for record in found:
            value = self._year(record) if name == "year" else COUNTRIES[record % len(COUNTRIES)]
            if value is not None:
                counts[str(value)] = counts.get(str(value), 0) + 1
        ordered = sorted(counts.items(), key=lambda pair: -pair[1])[:limit]
        return {"field": name.upper(), "counts": [{"name": value, "count": count} for value, count in ordered]}

    def _record(self, record: int) -> dict[str, Any]:
        first = record * self.images
        return {
            "key": FIRST_KEY + record,
            "gbifID": str(FIRST_KEY + record),
            "scientificName": self.facts(first).title,
            "species": "Felis catus",
            "family": "Felidae",
            "year": self._year(record),
            "countryCode": COUNTRIES[record % len(COUNTRIES)],
            "license": LICENCES[first % len(LICENCES)][1],
            "media": [self._medium(number) for number in range(first, first + self.images)],
        }

    def _medium(self, number: int) -> dict[str, Any]:
        words = LICENCES[number % len(LICENCES)][0]
        medium = {
            "type": "StillImage",
            "format": "image/jpeg",
            "identifier": self.image_url(number),
            "creator": self.facts(number).creator,
            "publisher": "A museum",
        }
        return {**medium, "license": words} if words else medium
