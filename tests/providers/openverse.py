"""Openverse as https://api.openverse.org/v1/ and https://docs.openverse.org/api/reference/authentication_and_throttling.html document it.

A page of more than 20 results without a token is answered with 401, results past the 240th with 400, and a filter whose values the API does
not know is as good as none (``api/serializers/media_serializers.py`` of https://github.com/WordPress/openverse).
"""

import itertools
import random
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, ClassVar

from tests.providers.answers import Request, Response, detail, listing, page, refusal
from tests.providers.faults import Context, Fault, change
from tests.providers.server import Facts, Limit, Provider

__all__ = ["OpenverseProvider"]

DEPTH = 240
PAGE_SIZE, PAGE_SIZE_WITH_TOKEN = 20, 50

LICENCES: Mapping[str, tuple[str, str, int]] = {
    "by": ("2.0", "CC-BY-2.0", 30),
    "by-sa": ("4.0", "CC-BY-SA-4.0", 20),
    "by-nc-nd": ("2.0", "CC-BY-NC-ND-2.0", 15),
    "by-nc-sa": ("2.0", "CC-BY-NC-SA-2.0", 11),
    "cc0": ("1.0", "CC0-1.0", 10),
    "by-nc": ("3.0", "CC-BY-NC-3.0", 8),
    "pdm": ("1.0", "CC-PDM-1.0", 4),
    "by-nd": ("2.0", "CC-BY-ND-2.0", 2),
}
"""Version, id and percent of the images of each code."""

COLLECTIONS = {"flickr": 50, "wikimedia": 22, "inaturalist": 6, "thorvaldsensmuseum": 6, "nasa": 5, "stocksnap": 6, "met": 5}
SHAPES = {"wide": 55, "tall": 32, "square": 13}
SIZES = {"large": 60, "medium": 30, "small": 10}
_SIDES = {"large": 1600, "medium": 1024, "small": 500}


_THUMBNAIL = re.compile(r"/v1/images/00000000-0000-4000-8000-(\d{12})/thumb/")


@cache
def _traits(number: int) -> dict[str, str]:
    """What the filters go by; the same for an item in every run."""
    dice = random.Random(number)
    return {
        "license": dice.choices(list(LICENCES), [percent for _, _, percent in LICENCES.values()])[0],
        "source": dice.choices(list(COLLECTIONS), list(COLLECTIONS.values()))[0],
        "aspect_ratio": dice.choices(list(SHAPES), list(SHAPES.values()))[0],
        "size": dice.choices(list(SIZES), list(SIZES.values()))[0],
    }


def _throttled(good: Response, context: Context) -> Response:
    return refusal(429, {"detail": "Request was throttled. Expected available in 41 seconds."}, Retry_After="2")


def _dead_links(good: Response, context: Context) -> Response:
    """Results with dead links are taken out of a page after it was counted."""
    return change(good, ("results",), good.document["results"][::2])


class OpenverseProvider(Provider):
    """Answers ``/v1/images/``."""

    name = "openverse"
    page_size = PAGE_SIZE
    limits = (Limit(20, 60), Limit(200, 86_400))
    items_way = ("results",)
    total_way = ("result_count",)
    own_faults: ClassVar[dict[str, Fault]] = {"throttled": _throttled, "dead_links": _dead_links}

    def answer(self, request: Request) -> Response:
        if request.path != "/v1/images/":
            return page(404, "Not found")
        authorisation = request.headers.get("authorization")
        if authorisation is not None and authorisation.removeprefix("Bearer ") not in self.keys:
            return refusal(401, {"detail": "Authentication credentials were not provided."})
        size, number = request.number("page_size", PAGE_SIZE), request.number("page", 1)
        if size > (PAGE_SIZE_WITH_TOKEN if authorisation else PAGE_SIZE):
            most = PAGE_SIZE_WITH_TOKEN if authorisation else PAGE_SIZE
            return refusal(400 if authorisation else 401, {"detail": f"Ensure this value is less than or equal to {most}."})
        if {"source", "excluded_source"} <= request.query.keys() or size * number > DEPTH:
            return refusal(400, {"error": "InputError", "detail": "Invalid input given for fields.", "fields": ["page"]})
        return self._search(request, number, size)

    def facts(self, number: int) -> Facts:
        return Facts(
            licence=LICENCES[_traits(number)["license"]][1],
            page_url=f"https://{_traits(number)['source']}.test/{number}",
            creator=f"Ann Example {number % 7}",
            title=f"Cat {number}",
            attribution=f'"Cat {number}" by Ann Example {number % 7} is licensed under CC {_traits(number)["license"].upper()}.',
        )

    def reachable(self, keyword: str = "cat") -> int:
        return sum(min(len(numbers), DEPTH) for numbers in _cells(self.found(keyword)).values())

    def image_number(self, path: str) -> int | None:
        thumbnail = _THUMBNAIL.fullmatch(path)
        return int(thumbnail[1]) if thumbnail else super().image_number(path)

    def limit_headers(self, limit: Limit, left: int, reset_s: float) -> dict[str, str]:
        scope = "anon_burst" if limit.seconds <= 60 else "anon_sustained"
        return {f"X-RateLimit-Limit-{scope}": f"{limit.requests}/{limit.seconds:.0f}s", f"X-RateLimit-Available-{scope}": str(left)}

    def error(self, message: str) -> Any:
        return {"error": "InputError", "detail": message, "fields": ["q"]}

    def _search(self, request: Request, number: int, size: int) -> Response:
        found = _found(self.found(request.get("q")), *(request.get(name) for name in ("license", "source", "excluded_source", *_PLAIN)))
        shown = found[(number - 1) * size : number * size]
        document = {
            "result_count": len(found),
            "page_count": -(-min(len(found), DEPTH) // size),
            "page_size": size,
            "page": number,
            "results": [self._item(item) for item in shown],
        }
        return detail(document) if size == 1 else listing(document)

    def _item(self, number: int) -> dict[str, Any]:
        traits, facts = _traits(number), self.facts(number)
        version = LICENCES[traits["license"]][0]
        width = _SIDES[traits["size"]]
        height = {"wide": width * 2 // 3, "tall": width * 3 // 2, "square": width}[traits["aspect_ratio"]]
        way = {"cc0": "publicdomain/zero", "pdm": "publicdomain/mark"}.get(traits["license"], f"licenses/{traits['license']}")
        identifier = f"00000000-0000-4000-8000-{number:012d}"
        return {
            "id": identifier,
            "title": facts.title,
            "indexed_on": "2020-05-09T11:54:10.124233Z",
            "foreign_landing_url": facts.page_url,
            "url": self.image_url(number),
            "creator": facts.creator,
            "creator_url": "https://flickr.test/photos/ann",
            "license": traits["license"],
            "license_version": version,
            "license_url": f"https://creativecommons.org/{way}/{version}/",
            "provider": traits["source"],
            "source": traits["source"],
            "category": "photograph",
            "filesize": 123_456 + number,
            "filetype": "jpg",
            "tags": [{"name": "cat", "accuracy": None, "unstable__provider": "flickr"}, {"name": "animal", "accuracy": 0.97}],
            "attribution": facts.attribution,
            "fields_matched": ["title"],
            "mature": False,
            "height": height,
            "width": width,
            "thumbnail": self.url(f"/v1/images/{identifier}/thumb/"),
            "detail_url": self.url(f"/v1/images/{identifier}/"),
            "related_url": self.url(f"/v1/images/{identifier}/related/"),
            "unstable__sensitivity": [],
        }


_PLAIN = ("aspect_ratio", "size")


@lru_cache
def _found(total: int, licences: str, sources: str, excluded: str, *plain: str) -> list[int]:
    """The items that pass the filters of a request; one by collection of which no value is known is ignored."""
    wanted = dict(zip(("license", "source", *_PLAIN), (_values(given) for given in (licences, sources, *plain)), strict=True))
    wanted["source"] = (wanted["source"] or set(COLLECTIONS)) & COLLECTIONS.keys() or set(COLLECTIONS)
    wanted["source"] -= _values(excluded)
    cells = [
        numbers
        for values, numbers in _cells(total).items()
        if all(not allowed or value in allowed for allowed, value in zip(wanted.values(), values, strict=True))
    ]
    return sorted(itertools.chain.from_iterable(cells))


@cache
def _cells(total: int) -> Mapping[tuple[str, ...], list[int]]:
    """Items by their traits: what no filter tells apart."""
    cells: dict[tuple[str, ...], list[int]] = {}
    for number in range(total):
        cells.setdefault(tuple(_traits(number).values()), []).append(number)
    return cells


def _values(given: str) -> set[str]:
    return set(filter(None, given.split(",")))
