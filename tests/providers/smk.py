"""SMK as https://api.smk.dk/api/v1/docs/ documents it: ``keys``, ``filters``, ``offset``, ``rows``; images by an IIIF server."""

import re
from typing import Any, ClassVar

from tests.providers.answers import Request, Response, detail, listing, page, refusal
from tests.providers.faults import Context, Fault
from tests.providers.server import Facts, Provider

__all__ = ["SmkProvider"]

RIGHTS = (
    ("https://creativecommons.org/share-your-work/public-domain/cc0/", "CC0-1.0"),
    ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
    ("https://www.smk.dk/en/article/copyright/", None),
)
_IMAGE = re.compile(
    r"/iiif/jp2/kms(\d+)\.tif\.jp2/full/!(?:400|800|1024|1600|2048),/0/default\.jpg|/api/v1/download/0000/kms(?: |%20)(\d+)\.jpg"
)


def _page_of_the_proxy(good: Response, context: Context) -> Response:
    return page(502, "<h1>502 Bad Gateway</h1>")


class SmkProvider(Provider):
    """Answers ``/api/v1/art/search/``. Every third work is under copyright; every tenth came early and has an original only."""

    name = "smk"
    page_size = 100
    """The API gives out 2,000; an answer of 100 stays below a megabyte."""
    items_way = ("items",)
    total_way = ("found",)
    own_faults: ClassVar[dict[str, Fault]] = {"502": _page_of_the_proxy}

    def answer(self, request: Request) -> Response:
        if request.path != "/api/v1/art/search/":
            return refusal(404, self.error("Not found"))
        filters = request.get("filters")
        found = [at for at in range(self.found(request.get("keys"))) if "[public_domain:true]" not in filters or at % 3 != 2]
        offset, rows = request.number("offset", 0), min(request.number("rows", 10), 2_000)
        items = [self._work(at) for at in found[offset : offset + rows]]
        return (listing if rows > 1 else detail)({"offset": offset, "rows": rows, "found": len(found), "items": items})

    def facts(self, number: int) -> Facts:
        return Facts(
            licence=RIGHTS[number % 3][1],
            page_url=f"https://open.smk.dk/en/artwork/image/KMS%20{number}",
            creator=f"Ann Example {number % 7}",
            title=f"Cat {number}",
        )

    def image_url(self, number: int, size: str = "1024") -> str:
        return self.url(f"/iiif/jp2/kms{number}.tif.jp2/full/!{size},/0/default.jpg")

    def image_number(self, path: str) -> int | None:
        match = _IMAGE.fullmatch(path)
        return int(match[1] or match[2]) if match else None

    def _work(self, number: int) -> dict[str, Any]:
        facts, is_early = self.facts(number), number % 10 == 9
        return {
            "id": f"1170{number}_object",
            "object_number": f"KMS {number}",
            "titles": [{"title": f"Kat {number}", "language": "dansk"}, {"title": facts.title, "language": "engelsk"}],
            "production": [{"creator": facts.creator, "creator_nationality": "dansk"}],
            "artist": [facts.creator],
            "rights": RIGHTS[number % 3][0],
            "public_domain": number % 3 != 2,
            "has_image": True,
            "image_iiif_id": None if is_early else self.url(f"/iiif/jp2/kms{number}.tif.jp2"),
            "image_native": self.url(f"/api/v1/download/0000/kms {number}.jpg") if is_early else None,
            "image_thumbnail": self.image_url(number),
            "image_width": 4_000,
            "image_height": 3_000,
            "image_size": 9_876_543,
            "object_names": [{"name": "painting"}],
            "techniques": ["Oil on canvas"],
            "content_description": ["A cat on a sofa"],
            "frontend_url": f"https://open.smk.dk/artwork/image/KMS {number}",
        }
