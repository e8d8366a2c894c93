"""The Art Institute of Chicago as https://api.artic.edu/docs/ documents it: search with a query as JSON in ``params``, and image sizes.

After 1,000 results it answers ``403 Invalid number of results``, whatever its documentation says
(https://github.com/art-institute-of-chicago/api-data/issues/5). It asks for a contact in ``AIC-User-Agent``.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from tests.providers.answers import Request, Response, detail, listing, page, refusal
from tests.providers.faults import Context, Fault
from tests.providers.server import Facts, Limit, Provider

__all__ = ["ArticProvider"]

DEPTH = 1_000
WIDTH, HEIGHT = 3_000, 2_250
FIRST_ID, STEP = 1_000, 139
"""2,000 artworks have ids up to 279,000, as evenly spread as today's."""

TOO_MANY = "You have requested too many results. Please refine your parameters."

_IMAGE = re.compile(r"/iiif/2/0000-(\d+)/full/(?:200|400|600|843|1686),/0/default\.jpg")


def _too_many_results(good: Response, context: Context) -> Response:
    return refusal(403, {"status": 403, "error": "Invalid number of results", "detail": TOO_MANY})


class ArticProvider(Provider):
    """Answers ``artworks/search``. Every third artwork is under copyright, every ninth without a notice."""

    name = "artic"
    page_size = 100
    limits = (Limit(60, 60),)
    items_way = ("data",)
    total_way = ("pagination", "total")
    own_faults: ClassVar[Mapping[str, Fault]] = {"too_many_results": _too_many_results}

    def answer(self, request: Request) -> Response:
        if request.path != "/api/v1/artworks/search":
            return refusal(404, self.error("Not found"))
        asked = json.loads(request.get("params"))
        limit, number = asked["limit"], asked["page"]
        if limit > 100:
            return refusal(403, {"status": 403, "error": "Invalid limit", "detail": "You have requested too many resources per page."})
        if limit * number > DEPTH:
            return refusal(403, {"status": 403, "error": "Invalid number of results", "detail": TOO_MANY})
        found = [at for at in range(self.found(asked["q"])) if _takes(asked["query"]["bool"]["filter"], self._record(at))]
        return (listing if limit else detail)(self._page(found, number, limit))

    def facts(self, number: int) -> Facts:
        return Facts(
            licence=("CC0-1.0", "CC0-1.0", None if number % 9 == 8 else "LicenseRef-AllRightsReserved")[number % 3],
            page_url=f"https://www.artic.edu/artworks/{FIRST_ID + STEP * number}",
            creator=f"Ann Example {number % 7}",
            title=f"Cat {number}",
        )

    def image_url(self, number: int, size: str = "843") -> str:
        return self.url(f"/iiif/2/0000-{number}/full/{size},/0/default.jpg")

    def image_number(self, path: str) -> int | None:
        match = _IMAGE.fullmatch(path)
        return int(match[1]) if match else None

    def refuse_headers(self, request: Request) -> Response | None:
        return None if "@" in request.headers.get("aic-user-agent", "") else page(403, "Forbidden")

    def error(self, message: str) -> Any:
        return {"status": 500, "error": "Oops", "detail": message}

    def _page(self, found: list[int], number: int, limit: int) -> dict[str, Any]:
        first = (number - 1) * limit
        return {
            "preference": None,
            "pagination": {"total": len(found), "limit": limit, "offset": first, "current_page": number},
            "data": [self._record(at) for at in found[first : first + limit]],
            "info": {"license_text": "The `description` field in this response is licensed under a Creative Commons Attribution 4.0 ..."},
            "config": {"iiif_url": self.url("/iiif/2"), "website_url": "http://www.artic.edu"},
        }

    def _record(self, number: int) -> dict[str, Any]:
        facts = self.facts(number)
        is_free = facts.licence == "CC0-1.0"
        return {
            "id": FIRST_ID + STEP * number,
            "title": facts.title,
            "image_id": f"0000-{number}",
            "is_public_domain": is_free,
            "copyright_notice": None if is_free or facts.licence is None else "© 2018 Ann Example / Artists Rights Society (ARS), New York",
            "thumbnail": {"lqip": "data:image/gif;base64,R0lGODlh", "width": WIDTH, "height": HEIGHT, "alt_text": "A cat on a sofa."},
            "artist_id": 7,
            "artist_title": facts.creator,
            "date_display": "1887",
            "short_description": None,
            "subject_titles": ["cats", "sofas"],
            "classification_titles": ["painting"],
            "style_titles": [],
            "artwork_type_title": "Painting",
        }


def _takes(filters: list[dict[str, Any]], record: Mapping[str, Any]) -> bool:
    """Elasticsearch's ``exists``, ``term`` and ``range``."""
    for one in filters:
        if field := one.get("exists", {}).get("field"):
            if record.get(field) is None:
                return False
        elif any(record.get(name) != value for name, value in one.get("term", {}).items()):
            return False
        for name, bounds in one.get("range", {}).items():
            if not bounds.get("gte", 0) <= record[name] < bounds.get("lt", 10**9):
                return False
    return True
