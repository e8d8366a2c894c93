"""The Cleveland Museum of Art as https://openaccess-api.clevelandart.org documents it. Sizes and bytes of images are texts."""

import re
from typing import Any, ClassVar

from tests.providers.answers import Request, Response, detail, listing, refusal
from tests.providers.faults import Context, Fault, change
from tests.providers.server import Facts, Provider

__all__ = ["ClevelandProvider"]

_IMAGE = re.compile(r"/19\d\d\.(\d+)/19\d\d\.\d+_(?:web\.jpg|print\.jpg|full\.tif)")
_SIZES = {"web": (1190, 893, 402_321, "jpg"), "print": (3400, 2550, 6_123_456, "jpg"), "full": (9000, 6750, 182_250_960, "tif")}


def _negative_total(good: Response, context: Context) -> Response:
    return change(good, ("info", "total"), -1)


class ClevelandProvider(Provider):
    """Answers ``/api/artworks/`` with ``q``, ``skip``, ``limit``, ``has_image`` and ``cc0``. Every fourth work is under copyright."""

    name = "cleveland"
    page_size = 100
    """The API gives out 1,000; an answer of 100 stays below a megabyte."""
    items_way = ("data",)
    total_way = ("info", "total")
    own_faults: ClassVar[dict[str, Fault]] = {"negative_total": _negative_total}

    def answer(self, request: Request) -> Response:
        if request.path != "/api/artworks/":
            return refusal(404, {"detail": "Not found."})
        found = [at for at in range(self.found(request.get("q"))) if "cc0" not in request.query or at % 4 != 3]
        skip, limit = request.number("skip", 0), min(request.number("limit", 100), 1_000)
        fields = request.get("fields").split(",")
        works = [{name: value for name, value in self._work(at).items() if name in fields} for at in found[skip : skip + limit]]
        reply = {"info": {"total": len(found), "parameters": {"q": request.get("q")}}, "data": works}
        return (listing if limit > 1 else detail)(reply)

    def facts(self, number: int) -> Facts:
        return Facts(
            licence="CC0-1.0" if number % 4 != 3 else "LicenseRef-AllRightsReserved",
            page_url=f"https://clevelandart.org/art/19{number % 90 + 10}.{number}",
            creator=f"Ann Example {number % 7} (American, 1836–1910); Ben Example",
            title=f"Cat {number}",
        )

    def image_url(self, number: int, size: str = "print") -> str:
        name = f"19{number % 90 + 10}.{number}"
        return self.url(f"/{name}/{name}_{size}.{_SIZES[size][3]}")

    def image_number(self, path: str) -> int | None:
        match = _IMAGE.fullmatch(path)
        return int(match[1]) if match else None

    def _work(self, number: int) -> dict[str, Any]:
        facts, is_free = self.facts(number), number % 4 != 3
        return {
            "id": 90_000 + number,
            "accession_number": f"19{number % 90 + 10}.{number}",
            "share_license_status": "CC0" if is_free else "Copyrighted",
            "copyright": None if is_free else "© Ann Example",
            "title": facts.title,
            "url": facts.page_url,
            "tombstone": f"Cat {number}, 1887. Ann Example.",
            "description": "A cat on a <em>sofa</em>.",
            "type": "Painting",
            "technique": "oil on canvas",
            "culture": ["America, 19th century"],
            "department": "American Painting and Sculpture",
            "creators": [
                {"id": 7, "description": f"Ann Example {number % 7} (American, 1836–1910)", "role": "artist"},
                {"id": 8, "description": "Ben Example", "role": "publisher"},
            ],
            "images": {name: self._size(number, name) for name in _SIZES},
            "alternate_images": [],
        }

    def _size(self, number: int, name: str) -> dict[str, str]:
        width, height, size, _ = _SIZES[name]
        return {
            "url": self.image_url(number, name),
            "filename": self.image_url(number, name).rpartition("/")[2],
            "width": str(width),
            "height": str(height),
            "filesize": str(size),
        }
