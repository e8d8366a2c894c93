"""iNaturalist as https://api.inaturalist.org/v1/docs/ and https://www.inaturalist.org/pages/api+recommended+practices document it.

What the documentation leaves open is as in https://github.com/inaturalist/iNaturalistAPI: ``taxon_name`` takes every taxon with the words
in a name, ``taxon_id`` the taxon with all below it, ``total_results`` counts above ``id_above`` only, and ``page`` ends at 10,000.
"""

import re
from collections.abc import Callable
from typing import Any, ClassVar

from tests.providers.answers import Request, Response, detail, listing, page, refusal
from tests.providers.faults import Context, Fault, change
from tests.providers.server import Facts, Limit, Provider

__all__ = ["INaturalistProvider"]

WINDOW = 10_000
FIRST_ID = 1_000

CODES: tuple[tuple[str | None, str, str], ...] = (
    ("cc-by-nc", "some rights reserved (CC BY-NC)", "CC-BY-NC-4.0"),
    ("cc0", "no rights reserved", "CC0-1.0"),
    ("cc-by", "some rights reserved (CC BY)", "CC-BY-4.0"),
    (None, "all rights reserved", "LicenseRef-AllRightsReserved"),
    ("cc-by-sa", "some rights reserved (CC BY-SA)", "CC-BY-SA-4.0"),
)
"""Code and words of each licence, and what it is."""

SIZES = ("square", "small", "medium", "large", "original")
_IMAGE = re.compile(rf"/photos/(\d+)/(?:{'|'.join(SIZES)})\.jpg")


def _varnish(good: Response, context: Context) -> Response:
    """Too many requests are refused before the API sees them."""
    return page(429, "<html><head><title>429 Too Many Requests</title></head><body>Varnish cache server</body></html>")


def _no_photos(good: Response, context: Context) -> Response:
    return change(good, ("results",), [{**found, "photos": []} for found in good.document["results"]])


class INaturalistProvider(Provider):
    """Answers ``/v1/taxa/autocomplete`` and ``/v1/observations``. Every keyword is the name of a taxon, but ``nothing``.

    Args:
        photos: of each observation.
    """

    name = "inaturalist"
    page_size = 200
    count_calls = 2
    limits = (Limit(100, 60), Limit(10_000, 86_400))
    items_way = ("results",)
    total_way = ("total_results",)
    own_faults: ClassVar[dict[str, Fault]] = {"varnish": _varnish, "no_photos": _no_photos}

    def __init__(self, total: int = 2_000, *, photos: int = 1, **options: Any) -> None:
        super().__init__(total, **options)
        self.photos = photos
        self._taxa: dict[str, int] = {}

    def answer(self, request: Request) -> Response:
        answers: dict[str, Callable[[Request], Response]] = {
            "/v1/taxa/autocomplete": self._autocomplete,
            "/v1/observations": self._observations,
        }
        found = answers.get(request.path)
        return found(request) if found else refusal(404, {"error": "Not Found", "status": 404})

    def facts(self, number: int) -> Facts:
        code, words, licence = CODES[number % len(CODES)]
        creator = f"Ann Example {number // self.photos % 7}"
        return Facts(
            licence=licence,
            page_url=self.url(f"/observations/{self._id(number)}"),
            creator=creator,
            title="Felis catus (Domestic Cat)",
            attribution=f"{words}, uploaded by {creator}" if code == "cc0" else f"(c) {creator}, {words}",
        )

    def counted(self, keyword: str) -> int:
        return -(-self.found(keyword) // self.photos)

    def image_url(self, number: int, size: str = "original") -> str:
        return self.url(f"/photos/{number}/{size}.jpg")

    def image_number(self, path: str) -> int | None:
        match = _IMAGE.fullmatch(path)
        return int(match[1]) if match else None

    def error(self, message: str) -> Any:
        return {"error": message, "status": 500}

    def _id(self, number: int) -> int:
        """The observation of a photo; ids have gaps."""
        return FIRST_ID + 3 * (number // self.photos)

    def _autocomplete(self, request: Request) -> Response:
        word = request.get("q")
        taxa = [self._taxon(2, f"{word}fish", 900_000)]
        if self.found(word):
            self._taxa.setdefault(word, 41_000 + len(self._taxa))
            taxa += [self._taxon(3, word, 5), self._taxon(self._taxa[word], word, 700)]
        return detail({"total_results": len(taxa), "page": 1, "per_page": request.number("per_page", 10), "results": taxa})

    def _taxon(self, key: int, name: str, observations: int) -> dict[str, Any]:
        named = {"name": f"Felis {key}", "preferred_common_name": name.title(), "matched_term": name}
        return {"id": key, "rank": "species", "is_active": True, "observations_count": observations, **named}

    def _observations(self, request: Request) -> Response:
        keyword = request.get("taxon_name") or next(
            (word for word, key in self._taxa.items() if str(key) == request.get("taxon_id")), "nothing"
        )
        per_page, at = min(request.number("per_page", 30), 200), request.number("page", 1)
        if per_page * at > WINDOW:
            return refusal(
                403, {"error": "Result window is too large, page * per_page must be less than or equal to: [10000]", "status": 403}
            )
        wanted = request.get("photo_license").split(",") if request.get("photo_license") else None
        numbers = range(0, self.found(keyword), self.photos)
        above = [first for first in numbers if self._id(first) > request.number("id_above", 0) and self._is_licensed(first, wanted)]
        results = [self._observation(first, keyword) for first in above[(at - 1) * per_page : at * per_page]]
        reply = {"total_results": len(above), "page": at, "per_page": per_page, "results": results}
        return listing(reply) if per_page else detail(reply)

    def _is_licensed(self, first: int, wanted: list[str] | None) -> bool:
        """Whether any of an observation's photos has a licence; the others come too."""
        return wanted is None or any(CODES[number % len(CODES)][0] in wanted for number in range(first, first + self.photos))

    def _observation(self, first: int, keyword: str) -> dict[str, Any]:
        facts = self.facts(first)
        numbers = range(first, min(first + self.photos, self.found(keyword)))
        return {
            "id": self._id(first),
            "uri": facts.page_url,
            "quality_grade": "research",
            "license_code": "cc-by-nc-nd",
            "description": "On a <i>sofa</i> &amp; asleep",
            "tags": ["pet"],
            "user": {"id": 7, "login": f"ann_{first}", "name": facts.creator},
            "taxon": {"id": 118552, "name": "Felis catus", "rank": "species", "preferred_common_name": "Domestic Cat"},
            "photos": [self._photo(number) for number in numbers],
        }

    def _photo(self, number: int) -> dict[str, Any]:
        return {
            "id": number,
            "license_code": CODES[number % len(CODES)][0],
            "attribution": self.facts(number).attribution,
            "url": self.image_url(number, "square"),
            "original_dimensions": {"width": 2048, "height": 1536},
            "flags": [],
        }
