"""Wikimedia Commons as https://www.mediawiki.org/wiki/API:Search, API:Imageinfo, API:Continue and API:Etiquette document it.

Errors come with status 200 (https://www.mediawiki.org/wiki/API:Errors_and_warnings), clients name themselves and a contact
(https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_User-Agent_Policy), thumbnails have standard widths (https://w.wiki/GHai).
"""

import random
import re
from functools import cache, lru_cache
from typing import Any, ClassVar

from tests.providers.answers import Request, Response, detail, listing, page
from tests.providers.faults import Context, Fault
from tests.providers.server import Facts, Provider

__all__ = ["WikimediaProvider"]

DEPTH = 10_000
WIDTHS = (20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840)
ORIGINAL_WIDTH, ORIGINAL_HEIGHT = 4000, 3000

LICENCES: tuple[tuple[str, str, str, str], ...] = (
    ("cc-by-sa-4.0", "CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0", "CC-BY-SA-4.0"),
    ("cc-by-2.0", "CC BY 2.0", "https://creativecommons.org/licenses/by/2.0", "CC-BY-2.0"),
    ("cc0", "CC0", "http://creativecommons.org/publicdomain/zero/1.0/deed.en", "CC0-1.0"),
)
"""Code, name and address as the metadata has them, and what it is."""

_RESTRICTION = re.compile(r'-?\w+:(?:"[^"]*"|\S+)')
_IMAGE = re.compile(rf"/wikipedia/commons/(?:thumb/)?a/ab/Cat_(\d+)\.jpg(?:/(?:{'|'.join(map(str, WIDTHS))})px-Cat_\d+\.jpg)?")


@cache
def _size(number: int) -> int:
    """Bytes of an item's file."""
    return int(random.Random(number).lognormvariate(14.5, 1.1))


@lru_cache
def _matching(total: int, *restrictions: str) -> list[int]:
    """The items that pass restrictions such as ``-filesize:>300``, less than 300 times 1024 bytes. Every third item depicts Q146, every
    second is somewhere below the category Domestic cats, every tenth in that category itself."""
    return [number for number in range(total) if all(_passes(number, restriction) for restriction in restrictions)]


def _passes(number: int, restriction: str) -> bool:
    name, _, value = restriction.removeprefix("-").partition(":")
    match name, value[:1]:
        case "filetype", _:
            passes = value == "bitmap"
        case "haswbstatement", _:
            passes = value == "P180=Q146" and number % 3 == 0
        case "deepcat", _:
            passes = value == '"Domestic cats"' and number % 2 == 0
        case "incategory", _:
            passes = value == '"Domestic cats"' and number % 10 == 0
        case "filesize", ">":
            passes = _size(number) >= int(value[1:]) * 1024
        case _:
            raise AssertionError(f"{restriction} is no word of a search that this provider knows")
    return passes != restriction.startswith("-")


def _maxlag(good: Response, context: Context) -> Response:
    error = {"code": "maxlag", "info": "Waiting for 10.64.32.21: 6 seconds lagged.", "lag": 6, "type": "db"}
    return detail({"error": error}, Retry_After="5")


def _ratelimited(good: Response, context: Context) -> Response:
    return detail({"error": {"code": "ratelimited", "info": "You've exceeded your rate limit. Please wait some time and try again."}})


class WikimediaProvider(Provider):
    """Answers ``action=query`` with ``generator=search`` or ``list=search``, the number of hits with the latter only. A batch of files is
    complete in one reply.

    A smaller ``page_size`` of an instance is kept as well: the reply says where the next page begins. With ``is_tree_cut`` every category
    has more categories below it than are searched (https://www.mediawiki.org/wiki/Help:CirrusSearch#Deepcategory).
    """

    name = "wikimedia"
    page_size = 50
    items_way = ("query", "pages")
    is_tree_cut = False
    own_faults: ClassVar[dict[str, Fault]] = {"maxlag": _maxlag, "ratelimited": _ratelimited}

    def answer(self, request: Request) -> Response:
        if "/thumb/" in request.path:
            return page(400, "Use thumbnail sizes listed on https://w.wiki/GHai")
        if request.path != "/w/api.php" or request.get("action") != "query":
            return page(404, "Not found")
        if request.get("list") == "search":
            search = request.get("srsearch")
            found = {"searchinfo": {"totalhits": len(self._hits(search))}, "search": []}
            return detail({"batchcomplete": True, "query": found, **self._warnings(search)})
        return self._search(request)

    def facts(self, number: int) -> Facts:
        return Facts(
            licence=LICENCES[number % len(LICENCES)][3],
            page_url=self.url(f"/wiki/File:Cat_{number}.jpg"),
            creator=f"Ann Example {number % 7}",
            title=f"Cat {number}",
        )

    def image_url(self, number: int, size: str = "full") -> str:
        if size == "full":
            return self.url(f"/wikipedia/commons/a/ab/Cat_{number}.jpg")
        return self.url(f"/wikipedia/commons/thumb/a/ab/Cat_{number}.jpg/{size}px-Cat_{number}.jpg")

    def image_number(self, path: str) -> int | None:
        match = _IMAGE.fullmatch(path)
        return int(match[1]) if match else None

    def refuse_headers(self, request: Request) -> Response | None:
        """A client without a contact is refused."""
        return None if "@" in request.headers.get("user-agent", "") else page(403, "Please set a user-agent and respect our robot policy")

    def error(self, message: str) -> Any:
        return {"error": {"code": "internal_api_error_Exception", "info": message}}

    def _search(self, request: Request) -> Response:
        first, limit = request.number("gsroffset", 0), min(request.number("gsrlimit", 10), self.page_size)
        hits = self._hits(request.get("gsrsearch"))
        total = len(hits)
        last = min(first + limit, total, DEPTH)
        files = [self._file(hits[at], at, request.number("iiurlwidth", 0)) for at in reversed(range(first, last))]
        reply: dict[str, Any] = {"batchcomplete": True, **self._warnings(request.get("gsrsearch"))}
        if files:
            reply["query"] = {"pages": files}
        if last < total and last < DEPTH:
            reply["continue"] = {"gsroffset": last, "continue": "gsroffset||"}
        return listing(reply)

    def _hits(self, search: str) -> list[int]:
        """Of a category that is too large only a part of the categories below it is searched, here none."""
        searched = search.replace("deepcat:", "incategory:") if self.is_tree_cut else search
        return _matching(self.found(search), *_RESTRICTION.findall(searched))

    def _warnings(self, search: str) -> dict[str, Any]:
        words = "Deep category query returned too many categories. Only a subset of categories has been applied."
        return {"warnings": {"search": {"warnings": words}}} if self.is_tree_cut and "deepcat:" in search else {}

    def _file(self, number: int, at: int, width: int) -> dict[str, Any]:
        facts = self.facts(number)
        info = {
            "size": _size(number),
            "width": ORIGINAL_WIDTH,
            "height": ORIGINAL_HEIGHT,
            "url": self.image_url(number),
            "descriptionurl": facts.page_url,
            "descriptionshorturl": self.url(f"/w/index.php?curid={1000 + number}"),
            "sha1": f"{number:040x}",
            "mime": "image/jpeg",
            "mediatype": "BITMAP",
            "extmetadata": self._metadata(number, facts),
        }
        if width in WIDTHS and width < ORIGINAL_WIDTH:
            info |= {"thumburl": self.image_url(number, str(width)), "thumbwidth": width, "thumbheight": round(width * 3 / 4)}
            denser = {density: next((step for step in WIDTHS if step >= width * float(density)), WIDTHS[-1]) for density in ("1.5", "2")}
            info["responsiveUrls"] = {density: self.image_url(number, str(step)) for density, step in denser.items()}
        return {
            "pageid": 1000 + number,
            "ns": 6,
            "title": f"File:Cat {number}.jpg",
            "index": at + 1,
            "imagerepository": "local",
            "imageinfo": [info],
        }

    def _metadata(self, number: int, facts: Facts) -> dict[str, Any]:
        code, name, address, _ = LICENCES[number % len(LICENCES)]
        values = {
            "ObjectName": facts.title,
            "License": code,
            "LicenseShortName": name,
            "LicenseUrl": address,
            "UsageTerms": name,
            "Artist": f'<a href="//commons.wikimedia.org/wiki/User:Ann" title="User:Ann">{facts.creator}</a>',
            "Credit": '<span class="int-own-work" lang="en">Own work</span>',
            "ImageDescription": "A tabby &amp; a <i>sofa</i>.",
            "Categories": "Cats|Sofas",
        }
        return {key: {"value": value, "source": "commons-desc-page", "hidden": ""} for key, value in values.items()}
