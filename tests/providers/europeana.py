"""Europeana as https://europeana.atlassian.net/wiki/spaces/EF/pages/2385739812/Search+API+Documentation documents it.

Nearly every field is a list of texts, errors may come with status 200, and answers hold the caller's key.
"""

import re
from typing import Any, ClassVar
from urllib.parse import quote

from tests.providers.answers import Request, Response, detail, listing, refusal
from tests.providers.faults import Context, Fault
from tests.providers.server import KEY, Facts, Provider

__all__ = ["EuropeanaProvider"]

RIGHTS = (
    ("http://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0", "open"),
    ("http://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0", "open"),
    ("http://creativecommons.org/licenses/by-nc-nd/4.0/", "CC-BY-NC-ND-4.0", "restricted"),
    ("http://rightsstatements.org/vocab/InC/1.0/", "LicenseRef-rightsstatements-InC-1.0", "permission"),
    ("http://rightsstatements.org/vocab/CNE/1.0/", None, "permission"),
)
_IMAGE = re.compile(r"/museum/(\d+)/full\.jpg")


def _invalid_key_in_200(good: Response, context: Context) -> Response:
    return detail({"apikey": KEY, "success": False, "error": f"Invalid API key {KEY}"})


def _cursor_refused(good: Response, context: Context) -> Response:
    return detail({"apikey": KEY, "success": False, "error": "Invalid cursor value"})


class EuropeanaProvider(Provider):
    """Answers ``/record/v2/search.json`` with cursors. Images are at the museums."""

    name = "europeana"
    page_size = 100
    items_way = ("items",)
    total_way = ("totalResults",)
    own_faults: ClassVar[dict[str, Fault]] = {"invalid_key_in_200": _invalid_key_in_200, "cursor_refused": _cursor_refused}

    def answer(self, request: Request) -> Response:
        if request.path != "/record/v2/search.json":
            return refusal(404, self.error("Not found"))
        kinds = request.query.get("reusability", ["open", "restricted", "permission"])
        found = [at for at in range(self.found(request.get("query"))) if RIGHTS[at % len(RIGHTS)][2] in kinds]
        rows, cursor = min(request.number("rows", 12), 100), request.get("cursor")
        first = int(cursor.removeprefix("AoE")) if cursor.startswith("AoE") else 0
        items = [self._item(at) for at in found[first : first + rows]]
        reply: dict[str, Any] = {"apikey": KEY, "success": True, "requestNumber": 999, "itemsCount": len(items), "totalResults": len(found)}
        reply["items"] = items
        if cursor and first + rows < len(found):
            reply["nextCursor"] = f"AoE{first + rows}"
        return (listing if rows else detail)(reply)

    def facts(self, number: int) -> Facts:
        return Facts(
            licence=RIGHTS[number % len(RIGHTS)][1],
            page_url=f"https://www.europeana.eu/item/90402/SK_A_{number}",
            creator=f"Ann Example {number % 7}",
            title=f"Cat {number}",
        )

    def image_url(self, number: int, size: str = "full") -> str:
        return self.url(f"/museum/{number}/{size}.jpg")

    def image_number(self, path: str) -> int | None:
        match = _IMAGE.fullmatch(path)
        return int(match[1]) if match else None

    def refuse_headers(self, request: Request) -> Response | None:
        key = request.headers.get("x-api-key") or request.get("wskey")
        if key in self.keys:
            return None
        return refusal(401, {"apikey": key, "success": False, "error": "Invalid API key", "code": "401_key_invalid"})

    def error(self, message: str) -> Any:
        return {"apikey": KEY, "success": False, "error": message}

    def _item(self, number: int) -> dict[str, Any]:
        facts = self.facts(number)
        image = self.image_url(number)
        return {
            "id": f"/90402/SK_A_{number}",
            "guid": f"https://www.europeana.eu/item/90402/SK_A_{number}?utm_source=api&utm_medium=api&utm_campaign={KEY}",
            "link": self.url(f"/record/90402/SK_A_{number}.json?wskey={KEY}"),
            "type": "IMAGE",
            "title": [facts.title, f"Kat {number}"],
            "dcCreator": ["http://data.europeana.eu/agent/60455", facts.creator],
            "dcDescription": ["A cat on a sofa."],
            "dataProvider": ["Rijksmuseum"],
            "provider": ["Rijksmuseum"],
            "country": ["Netherlands"],
            "rights": [RIGHTS[number % len(RIGHTS)][0]],
            "edmIsShownBy": [image],
            "edmIsShownAt": [f"http://hdl.handle.net/10934/RM0001.COLLECT.{number}"],
            "edmPreview": [self.url(f"/thumbnail/v2/url.json?uri={quote(image, safe='')}&type=IMAGE")],
            "edmConceptPrefLabelLangAware": {"en": ["Painting"], "nl": ["Schilderij"]},
            "europeanaCompleteness": 10,
            "score": 12.5,
        }
