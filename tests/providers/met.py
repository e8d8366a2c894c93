"""The Met as https://metmuseum.github.io/ documents it: ``v1.1/search`` with offset and limit, and ``v1/objects/{id}`` for each object.

``v1/search`` is gone since 2026-10-01. Some ids that the search lists are no objects (https://github.com/metmuseum/openaccess/issues/56),
and a firewall answers 403 with HTML (https://github.com/metmuseum/openaccess/issues/60).
"""

import re
from typing import Any, ClassVar

from tests.providers.answers import Request, Response, detail, listing, page, refusal
from tests.providers.faults import Context, Fault, change
from tests.providers.server import Facts, Limit, Provider

__all__ = ["INCAPSULA", "MetProvider"]

DEPTH = 10_000
FIRST_ID = 436_000
DEPARTMENTS = (1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21)
INCAPSULA = '<html><head><META NAME="robots" CONTENT="noindex,nofollow"><script src="/_Incapsula_Resource?SWJIYLWA=5074"></script></html>'

_OBJECT = re.compile(r"/public/collection/v1/objects/(\d+)")
_IMAGE = re.compile(r"/CRDImages/ep/(?:original|web-large)/DT(\d+)\.jpg")


def _incapsula(good: Response, context: Context) -> Response:
    return page(403, INCAPSULA)


def _no_ids(good: Response, context: Context) -> Response:
    return change(good, ("objectIDs",), {})


class MetProvider(Provider):
    """Answers search and objects. Every object has one image; every fifth is said to be under copyright although its image is there."""

    name = "met"
    page_size = 20
    """The API gives out 500 ids; the source reads 20 objects before it keeps its place."""
    limits = (Limit(30, 30),)
    items_way = ("objectIDs",)
    total_way = ("total",)
    own_faults: ClassVar[dict[str, Fault]] = {"incapsula": _incapsula, "no_ids": _no_ids}

    def answer(self, request: Request) -> Response:
        if match := _OBJECT.fullmatch(request.path):
            return self._object(int(match[1]) - FIRST_ID)
        if request.path != "/public/collection/v1.1/search" or not request.get("q"):
            return page(503 if request.path.endswith("/search") else 404, "Service Unavailable")
        return self._search(request)

    def facts(self, number: int) -> Facts:
        return Facts(
            licence="LicenseRef-AllRightsReserved" if number % 5 == 4 else "CC0-1.0",
            page_url=f"https://www.metmuseum.org/art/collection/search/{FIRST_ID + number}",
            creator=f"Ann Example {number % 7}",
            title=f"Cat {number}",
        )

    def image_url(self, number: int, size: str = "original") -> str:
        return self.url(f"/CRDImages/ep/{size}/DT{number}.jpg")

    def image_number(self, path: str) -> int | None:
        match = _IMAGE.fullmatch(path)
        return int(match[1]) if match else None

    def minimum_calls(self, keyword: str = "cat") -> int:
        return super().minimum_calls(keyword) + self.reachable(keyword)

    def throttled(self, wait_s: float) -> Response:
        return page(403, INCAPSULA)

    def error(self, message: str) -> Any:
        return {"message": message}

    def _search(self, request: Request) -> Response:
        department = request.number("departmentId", 0)
        found = [at for at in range(self.found(request.get("q"))) if department in (0, DEPARTMENTS[at % len(DEPARTMENTS)])]
        offset, limit = request.number("offset", 0), min(request.number("limit", 100), 500)
        numbers = found[offset : offset + limit] if offset + limit <= DEPTH else []
        reply = {"total": len(found), "objectIDs": [FIRST_ID + number for number in numbers] or None}
        return (listing if limit > 1 else detail)(reply)

    def _object(self, number: int) -> Response:
        if not 0 <= number < self.total:
            return refusal(404, {"message": "Not a valid object"})
        facts = self.facts(number)
        is_free = facts.licence == "CC0-1.0"
        return detail(
            {
                "objectID": FIRST_ID + number,
                "isHighlight": False,
                "isPublicDomain": is_free,
                "primaryImage": self.image_url(number),
                "primaryImageSmall": self.image_url(number, "web-large"),
                "additionalImages": [],
                "department": "European Paintings",
                "objectName": "Painting",
                "title": facts.title,
                "culture": "",
                "artistDisplayName": facts.creator,
                "artistWikidata_URL": "https://www.wikidata.org/wiki/Q5582",
                "artistULAN_URL": "",
                "objectDate": "1887",
                "medium": "Oil on canvas",
                "classification": "Paintings",
                "rightsAndReproduction": "" if is_free else "© 2018 Artists Rights Society (ARS), New York",
                "objectURL": facts.page_url,
                "tags": [{"term": "Cats", "AAT_URL": "http://vocab.getty.edu/page/aat/300265960", "Wikidata_URL": ""}],
            }
        )
