"""The Smithsonian as https://edan.si.edu/openaccess/apidocs/ documents it, behind https://api.data.gov/docs/developer-manual/."""

import re
from typing import Any, ClassVar

from tests.providers.answers import Request, Response, detail, listing, refusal
from tests.providers.faults import Context, Fault
from tests.providers.server import Facts, Limit, Provider

__all__ = ["SmithsonianProvider"]

_IMAGE = re.compile(r"/ids/(?:deliveryService/id/NMNH-(\d+)(?:/\d+)?|download/NMNH-(\d+)(?:\.jpg|\.tif|_screen|_thumb))")


def _over_rate_limit(good: Response, context: Context) -> Response:
    error = {"error": {"code": "OVER_RATE_LIMIT", "message": "You have exceeded your rate limit."}}
    return refusal(429, error, X_RateLimit_Limit="1000", X_RateLimit_Remaining="0")


class SmithsonianProvider(Provider):
    """Answers ``/openaccess/api/v1.0/search``. Each record has one image; every fourth image's use has conditions."""

    name = "smithsonian"
    page_size = 100
    """The API gives out 1,000; an answer of 100 stays below a megabyte."""
    limits = (Limit(1_000, 3_600),)
    items_way = ("response", "rows")
    total_way = ("response", "rowCount")
    own_faults: ClassVar[dict[str, Fault]] = {"over_rate_limit": _over_rate_limit}

    def answer(self, request: Request) -> Response:
        if request.path != "/openaccess/api/v1.0/search":
            return refusal(404, self.error("Not found"))
        words = request.get("q")
        found = [at for at in range(self.found(words)) if 'media_usage:"CC0"' not in words or at % 4 != 3]
        start, rows = request.number("start", 0), min(request.number("rows", 10), 1_000)
        reply = {"rows": [self._row(at) for at in found[start : start + rows]], "rowCount": len(found), "message": "content found"}
        return (listing if rows > 1 else detail)({"status": 200, "responseCode": 1, "response": reply})

    def facts(self, number: int) -> Facts:
        return Facts(
            licence="CC0-1.0" if number % 4 != 3 else "LicenseRef-UsageConditionsApply",
            page_url=f"https://collections.si.edu/search/detail/edanmdm:nmnh_{number}",
            creator=f"Ann Example {number % 7}",
            title=f"Cat {number}",
        )

    def image_url(self, number: int, size: str = "deliveryService") -> str:
        return self.url(f"/ids/deliveryService/id/NMNH-{number}" if size == "deliveryService" else f"/ids/download/NMNH-{number}{size}")

    def image_number(self, path: str) -> int | None:
        match = _IMAGE.fullmatch(path)
        return int(match[1] or match[2]) if match else None

    def refuse_headers(self, request: Request) -> Response | None:
        key = request.headers.get("x-api-key") or request.get("api_key")
        if key in self.keys:
            return None
        code, message = ("API_KEY_INVALID", "An invalid api_key was supplied.") if key else ("API_KEY_MISSING", "No api_key was supplied.")
        return refusal(403, {"error": {"code": code, "message": f"{message} Get one at https://api.si.edu:443"}})

    def throttled(self, wait_s: float) -> Response:
        error = {"error": {"code": "OVER_RATE_LIMIT", "message": "You have exceeded your rate limit. Try again later."}}
        return refusal(429, error, Retry_After=str(int(wait_s) + 1))

    def limit_headers(self, limit: Limit, left: int, reset_s: float) -> dict[str, str]:
        return {"X-RateLimit-Limit": str(limit.requests), "X-RateLimit-Remaining": str(left)}

    def error(self, message: str) -> Any:
        return {"status": 500, "responseCode": 0, "response": {"error": message}}

    def _row(self, number: int) -> dict[str, Any]:
        facts = self.facts(number)
        return {
            "id": f"edanmdm-nmnh_{number}",
            "title": facts.title,
            "unitCode": "NMNH",
            "type": "edanmdm",
            "url": f"edanmdm:nmnh_{number}",
            "content": {
                "descriptiveNonRepeating": {
                    "record_ID": f"nmnh_{number}",
                    "record_link": facts.page_url,
                    "data_source": "National Museum of Natural History",
                    "unit_code": "NMNH",
                    "title": {"label": "Title", "content": facts.title},
                    "online_media": {"mediaCount": 1, "media": [self._media(number)]},
                },
                "freetext": {
                    "name": [{"label": "Collector", "content": "Cy Collector"}, {"label": "Artist", "content": facts.creator}],
                    "notes": [{"label": "Summary", "content": "A cat on a sofa."}],
                },
                "indexedStructured": {"object_type": ["Paintings"], "topic": ["Cats"], "place": ["United States"]},
            },
        }

    def _media(self, number: int) -> dict[str, Any]:
        return {
            "id": f"damsmdm:NMNH-{number}",
            "guid": f"http://n2t.net/ark:/65665/m3{number}",
            "type": "Images",
            "idsId": f"NMNH-{number}",
            "usage": {"access": "CC0" if number % 4 != 3 else "Usage conditions apply"},
            "content": self.image_url(number),
            "thumbnail": self.image_url(number),
            "altTextAccessibility": "",
            "resources": [
                {"label": "High-resolution TIFF", "url": self.image_url(number, ".tif"), "width": 6000, "height": 4000},
                {"label": "High-resolution JPEG", "url": self.image_url(number, ".jpg"), "width": 6000, "height": 4000},
                {"label": "Screen Image", "url": self.image_url(number, "_screen")},
                {"label": "Thumbnail Image", "url": self.image_url(number, "_thumb")},
            ],
        }
