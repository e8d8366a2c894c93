"""The NASA Image and Video Library as https://images.nasa.gov/docs/images.nasa.gov_api_docs.pdf documents it.

After 10,000 results a page is answered with 400 and a ``reason``; addresses of files have spaces where ids have some.
"""

import re
from typing import Any, ClassVar
from urllib.parse import quote

from tests.providers.answers import Request, Response, detail, listing, refusal
from tests.providers.faults import Context, Fault, change
from tests.providers.server import Facts, Provider

__all__ = ["NasaProvider"]

DEPTH = 10_000
FIRST_YEAR, YEARS = 1960, 65
SIZES = {"thumb": (640, 480), "small": (640, 480), "medium": (1280, 960), "large": (1920, 1440), "orig": (4000, 3000)}

CREDITS: tuple[tuple[str, str, str | None], ...] = (
    ("NASA/Bill Ingalls", "A cat on the launch pad of a SpaceX rocket.", "LicenseRef-USGovernmentWork"),
    ("NASA/JPL-Caltech", "A cat in <i>orbit</i> &amp; asleep. Image credit: NASA/JPL-Caltech.", "LicenseRef-USGovernmentWork"),
    ("ESA/Thomas Pesquet", "A cat in the Cupola.", None),
    ("NASA", "A cat. Copyright 2014 Ann Example, used with permission.", None),
)
"""Photographer and description, and what follows for the licence."""

_IMAGE = re.compile(rf"/image/PIA (\d+)/PIA \d+~(?:{'|'.join(SIZES)})\.jpg")


def _refine(good: Response, context: Context) -> Response:
    return refusal(400, {"reason": "Maximum number of search results have been displayed. Please refine your search."})


def _only_videos(good: Response, context: Context) -> Response:
    items = [{**item, "data": [{**item["data"][0], "media_type": "video"}]} for item in good.document["collection"]["items"]]
    return change(good, ("collection", "items"), items)


class NasaProvider(Provider):
    """Answers ``/search`` and ``/asset``.

    Args:
        is_old: records have a preview only, as they had before 2024.
        depth: results of one search.
    """

    name = "nasa"
    page_size = 100
    items_way = ("collection", "items")
    total_way = ("collection", "metadata", "total_hits")
    own_faults: ClassVar[dict[str, Fault]] = {"refine": _refine, "only_videos": _only_videos}

    def __init__(self, total: int = 2_000, *, is_old: bool = False, depth: int = DEPTH, **options: Any) -> None:
        super().__init__(total, **options)
        self.is_old, self.depth = is_old, depth

    def answer(self, request: Request) -> Response:
        if request.path.startswith("/asset/"):
            return self._asset(request.path.removeprefix("/asset/"))
        if request.path != "/search" or not request.get("q"):
            return refusal(404, {"reason": "Not found"})
        return self._search(request)

    def facts(self, number: int) -> Facts:
        photographer, _, licence = CREDITS[number % len(CREDITS)]
        page_url = f"https://images.nasa.gov/details/{quote(self._id(number), safe='')}"
        return Facts(licence=licence, page_url=page_url, creator=photographer, title=f"Cat {number}")

    def image_url(self, number: int, size: str = "orig") -> str:
        name = self._id(number)
        return self.url(f"/image/{name}/{name}~{size}.jpg")

    def image_number(self, path: str) -> int | None:
        match = _IMAGE.fullmatch(path.replace("%20", " "))
        return int(match[1]) if match else None

    def error(self, message: str) -> Any:
        return {"reason": message}

    def _id(self, number: int) -> str:
        return f"PIA {number}"

    def _year(self, number: int) -> int:
        """Most images are of the last years."""
        return FIRST_YEAR + YEARS - 1 - (number * number) % (YEARS * YEARS) // YEARS

    def _search(self, request: Request) -> Response:
        size, at = min(request.number("page_size", 100), 100), request.number("page", 1)
        if size * at > self.depth:
            return _refine(detail({}), Context((), (), None, ()))
        first_year, last_year = request.number("year_start", 0), request.number("year_end", 9999)
        found = [number for number in range(self.found(request.get("q"))) if first_year <= self._year(number) <= last_year]
        items = [self._item(number) for number in found[(at - 1) * size : at * size]]
        links = [{"rel": "next", "prompt": "Next", "href": self.url(f"/search?page={at + 1}")}] if at * size < len(found) else []
        collection = {"version": "1.1", "href": self.url("/search"), "items": items, "metadata": {"total_hits": len(found)}, "links": links}
        reply = {"collection": collection}
        return listing(reply) if size > 1 else detail(reply)

    def _asset(self, name: str) -> Response:
        match = re.fullmatch(r"PIA (\d+)", name)
        if match is None or int(match[1]) >= self.total:
            return refusal(404, {"reason": "Could not find manifest for nasa_id"})
        hrefs = [self.image_url(int(match[1]), size) for size in reversed(SIZES)]
        return detail({"collection": {"version": "1.1", "items": [{"href": href} for href in [*hrefs, self.url("/image/metadata.json")]]}})

    def _item(self, number: int) -> dict[str, Any]:
        photographer, description, _ = CREDITS[number % len(CREDITS)]
        about = {
            "nasa_id": self._id(number),
            "title": f"Cat {number}",
            "description": description,
            "photographer": photographer,
            "center": "JPL",
            "keywords": ["Cat", "Moon, Mars"],
            "date_created": f"{self._year(number)}-07-20T00:00:00Z",
            "media_type": "image",
        }
        links = [self._link(number, size) for size in (["thumb"] if self.is_old else SIZES)]
        return {"href": self.url(f"/image/{self._id(number)}/collection.json"), "data": [about], "links": links}

    def _link(self, number: int, size: str) -> dict[str, Any]:
        rel = {"thumb": "preview", "orig": "canonical"}.get(size, "alternate")
        link = {"href": self.image_url(number, size), "rel": rel, "render": "image"}
        width, height = SIZES[size]
        return link if self.is_old else {**link, "width": width, "height": height, "size": width * height // 10}
