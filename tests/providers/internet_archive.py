"""The Internet Archive as https://archive.org/help/aboutsearch.htm and https://archive.org/developers/metadata.html document it.

A search of fewer than 100 results is refused; the answer without a cursor is the last. An item that is unknown or dark has no files.
"""

import re
from typing import Any, ClassVar
from urllib.parse import unquote

from tests.providers.answers import Request, Response, detail, listing, page, refusal
from tests.providers.faults import Context, Fault
from tests.providers.server import Facts, Provider

__all__ = ["InternetArchiveProvider"]

LEAST = 100

LICENCES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"licenseurl": "http://creativecommons.org/licenses/by-nc-sa/3.0/"}, "CC-BY-NC-SA-3.0"),
    ({"licenseurl": "https://creativecommons.org/publicdomain/mark/1.0/"}, "CC-PDM-1.0"),
    ({"licenseurl": "http://creativecommons.org/licenses/publicdomain/"}, "CC-PDDC"),
    (
        {"licenseurl": "https://creativecommons.org/licenses/by/4.0/", "rights": "© 2011 Ann Example. All rights reserved."},
        "LicenseRef-AllRightsReserved",
    ),
)
"""What an item states, and what it comes to."""

_IMAGE = re.compile(r"/download/cats-\d+/cat (\d+)(?:_small)?\.(?:jpg|png)")


def _range_error(good: Response, context: Context) -> Response:
    return detail({"error": "[RANGE_ERROR] cursor is not valid", "errorType": "RangeError", "forensics": {}})


class InternetArchiveProvider(Provider):
    """Answers ``/services/search/v1/scrape`` and ``/metadata``.

    Args:
        images: of each item.
        dark: numbers of items that are not public any more.
    """

    name = "internet_archive"
    page_size = 20
    items_way = ("items",)
    total_way = ("total",)
    own_faults: ClassVar[dict[str, Fault]] = {"range_error": _range_error}

    def __init__(self, total: int = 2_000, *, images: int = 1, dark: frozenset[int] = frozenset(), **options: Any) -> None:
        super().__init__(total, **options)
        self.images, self.dark = images, dark

    def answer(self, request: Request) -> Response:
        if request.path == "/services/search/v1/scrape":
            return self._scrape(request)
        match = re.fullmatch(r"/metadata/cats-(\d+)", request.path)
        if match is None:
            return page(404, "Not found")
        return detail(self._metadata(int(match[1])))

    def facts(self, number: int) -> Facts:
        item = number // self.images
        return Facts(
            licence=LICENCES[item % len(LICENCES)][1],
            page_url=f"https://archive.org/details/cats-{item}",
            creator=f"Ann Example {item % 7}, Bob",
            title=f"Cats {item}",
        )

    def counted(self, keyword: str) -> int:
        return -(-self.found(keyword) // self.images)

    def minimum_calls(self, keyword: str = "cat") -> int:
        """A search, and a request for each item."""
        items = self.counted(keyword)
        return max(1, -(-items // 10_000) + items)

    def image_url(self, number: int, size: str = "") -> str:
        return self.url(f"/download/cats-{number // self.images}/cat {number}{size}.jpg")

    def image_number(self, path: str) -> int | None:
        match = _IMAGE.fullmatch(unquote(path))
        return int(match[1]) if match else None

    def error(self, message: str) -> Any:
        return {"error": message, "errorType": "Exception"}

    def _scrape(self, request: Request) -> Response:
        query, count = request.get("q"), request.number("count", 5_000)
        total = self.counted(query)
        if request.get("total_only") == "true":
            return detail({"items": [], "count": 0, "total": total})
        if count < LEAST:
            return refusal(400, {"error": f"count must be at least {LEAST}", "errorType": "RangeError"})
        if "mediatype:image" not in query:
            return listing({"items": [], "count": 0, "total": 0})
        first = int(request.get("cursor", "W0").removeprefix("W"))
        last = min(first + min(count, 10_000), total)
        reply: dict[str, Any] = {
            "items": [{"identifier": f"cats-{item}"} for item in range(first, last)],
            "count": last - first,
            "total": total,
        }
        return listing({**reply, "cursor": f"W{last}"} if last < total else reply)

    def _metadata(self, item: int) -> dict[str, Any]:
        if item in self.dark:
            return {"is_dark": True, "metadata": {"identifier": f"cats-{item}"}}
        first = item * self.images
        files = [file for number in range(first, min(first + self.images, self.total)) for file in self._files(number)]
        others = [
            {"name": "__ia_thumb.jpg", "source": "original", "format": "Item Tile", "size": "9000"},
            {"name": f"cats-{item}_files.xml", "source": "original", "format": "Metadata"},
        ]
        about = {"identifier": f"cats-{item}", "mediatype": "image", "title": f"Cats {item}", **LICENCES[item % len(LICENCES)][0]}
        said = {"creator": [f"Ann Example {item % 7}", "Bob"], "subject": ["cats; sofas", "pets"], "description": "Cats on a <b>sofa</b>"}
        return {"created": 1, "d1": "ia800000.us.archive.org", "dir": "/1", "files": [*others, *files], "metadata": {**about, **said}}

    def _files(self, number: int) -> list[dict[str, Any]]:
        name = f"cat {number}.jpg"
        whole = {"name": name, "source": "original", "format": "JPEG", "size": "2345678", "width": "4000", "height": "3000"}
        small = {"name": f"cat {number}_small.jpg", "source": "derivative", "original": name, "format": "JPEG Thumb", "size": "6789"}
        return [{**whole, "md5": f"{number:032x}", "sha1": f"{number:040x}"}, {**small, "md5": f"{number + 1:031x}f"}]
