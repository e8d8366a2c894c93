"""Flickr as https://www.flickr.com/services/api/flickr.photos.search.html and flickr.photos.licenses.getInfo document it.

Errors come with status 200 and ``stat`` ``fail``; without a key that is known nothing is answered. A search has 4,000 different results;
pages past them are earlier ones again, while ``pages`` and ``total`` speak of all.
"""

import random
from bisect import bisect_left, bisect_right
from functools import cache
from typing import Any, ClassVar

from tests.providers.answers import Request, Response, detail, listing, page
from tests.providers.faults import Context, Fault
from tests.providers.server import Facts, Limit, Provider

__all__ = ["FlickrProvider"]

DEPTH = 4_000
PAGE_SIZE = 500

LICENCES: tuple[tuple[int, str, str, str], ...] = (
    (0, "All Rights Reserved", "", "LicenseRef-AllRightsReserved"),
    (1, "Attribution-NonCommercial-ShareAlike License", "https://creativecommons.org/licenses/by-nc-sa/2.0/", "CC-BY-NC-SA-2.0"),
    (4, "Attribution License", "https://creativecommons.org/licenses/by/2.0/", "CC-BY-2.0"),
    (7, "No known copyright restrictions", "https://www.flickr.com/commons/usage/", "LicenseRef-NoKnownCopyright"),
    (9, "Public Domain Dedication (CC0)", "https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
    (12, "CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0"),
)
"""Number, name and address as ``getInfo`` has them, and what it is. Of the last one clients have to ask."""

_SIZES = {"m": 500, "z": 640, "l": 1024, "o": 3000}
_FIRST, _LAST = 1_076_000_000, 1_790_000_000


@cache
def _uploads(total: int) -> list[int]:
    """When items were uploaded, ascending, Unix time: around 2012, and every tenth in one week of 2015."""
    dice = random.Random(total)
    times = [
        1_430_000_000 + dice.randrange(604_800) if number % 10 == 0 else int(dice.gauss(1_350_000_000, 110_000_000))
        for number in range(total)
    ]
    return sorted(min(max(time, _FIRST), _LAST) for time in times)


def _fail(code: int, message: str) -> Response:
    return detail({"stat": "fail", "code": code, "message": message})


def _unavailable(good: Response, context: Context) -> Response:
    return _fail(105, "Service currently unavailable")


def _invalid_key(good: Response, context: Context) -> Response:
    return _fail(100, "Invalid API Key (Key has invalid format)")


class FlickrProvider(Provider):
    """Answers ``/services/rest/``. Items are numbered by their upload, the first is the most relevant."""

    name = "flickr"
    page_size = PAGE_SIZE
    limits = (Limit(3_600, 3_600),)
    items_way = ("photos", "photo")
    total_way = ("photos", "total")
    own_faults: ClassVar[dict[str, Fault]] = {"unavailable": _unavailable, "invalid_key": _invalid_key}

    def answer(self, request: Request) -> Response:
        if request.path != "/services/rest/":
            return page(404, "Not found")
        if request.get("api_key") not in self.keys:
            return _fail(100, "Invalid API Key (Key not found)")
        match request.get("method"):
            case "flickr.photos.search":
                return self._search(request)
            case "flickr.photos.licenses.getInfo":
                listed = [{"id": str(number), "name": name, "url": url} for number, name, url, _ in LICENCES]
                return detail({"licenses": {"license": listed}, "stat": "ok"})
        return _fail(112, f'Method "{request.get("method")}" not found')

    def facts(self, number: int) -> Facts:
        return Facts(
            licence=LICENCES[number % len(LICENCES)][3],
            page_url=f"https://www.flickr.com/photos/{10_000_000 + number % 7}@N05/{15_218_475_000 + number}",
            creator=f"Ann Example {number % 7}",
            title=f"Cat {number}",
        )

    def minimum_calls(self, keyword: str = "cat") -> int:
        """One for the names of licences, and the pages."""
        return 1 + super().minimum_calls(keyword)

    def error(self, message: str) -> Any:
        return {"stat": "fail", "code": 105, "message": message}

    def _search(self, request: Request) -> Response:
        found = self._matching(request)
        size, number = min(request.number("per_page", 100), PAGE_SIZE), max(request.number("page", 1), 1)
        first = (number - 1) * size % DEPTH
        document = {
            "photos": {
                "page": number,
                "pages": -(-len(found) // size),
                "perpage": size,
                "total": len(found),
                "photo": [self._photo(item) for item in found[first : first + size]] if (number - 1) * size < len(found) else [],
            },
            "stat": "ok",
        }
        return detail(document) if size == 1 else listing(document)

    def _matching(self, request: Request) -> list[int]:
        """Both ends of the range of uploads belong to it."""
        uploads = _uploads(self.found(request.get("text")))
        first = bisect_left(uploads, request.number("min_upload_date", 0))
        last = bisect_right(uploads, request.number("max_upload_date", 1 << 40))
        wanted = {int(number) for number in request.get("license").split(",") if number}
        return [item for item in range(first, last) if not wanted or LICENCES[item % len(LICENCES)][0] in wanted]

    def _photo(self, number: int) -> dict[str, Any]:
        facts = self.facts(number)
        photo: dict[str, Any] = {
            "id": str(15_218_475_000 + number),
            "owner": f"{10_000_000 + number % 7}@N05",
            "secret": "963a4c116e",
            "server": "3903",
            "farm": 4,
            "title": facts.title,
            "ispublic": 1,
            "license": str(LICENCES[number % len(LICENCES)][0]),
            "description": {"_content": "A tabby &amp; a <b>sofa</b>."},
            "media": "photo",
            "media_status": "ready",
            "ownername": facts.creator,
            "tags": "cat tabby",
        }
        for size, width in _SIZES.items():
            photo |= {f"url_{size}": self.image_url(number, size), f"width_{size}": width, f"height_{size}": str(width * 3 // 4)}
        return photo
