"""A JSON client that answers from a script, and a small Wikimedia Commons and Wikidata behind the same method."""

import copy
from collections.abc import Mapping
from typing import Any

JPEG: dict[str, Any] = {
    "pageid": 1,
    "ns": 6,
    "title": "File:Tabby cat.jpg",
    "index": 1,
    "imagerepository": "local",
    "imageinfo": [
        {
            "size": 2_345_678,
            "width": 4000,
            "height": 3000,
            "thumburl": "https://upload.wikimedia.org/wikipedia/commons/thumb/a/ab/Tabby_cat.jpg/960px-Tabby_cat.jpg",
            "thumbwidth": 960,
            "thumbheight": 720,
            "url": "https://upload.wikimedia.org/wikipedia/commons/a/ab/Tabby_cat.jpg",
            "descriptionurl": "https://commons.wikimedia.org/wiki/File:Tabby_cat.jpg",
            "mime": "image/jpeg",
            "extmetadata": {
                "ObjectName": {"value": "Tabby cat", "source": "mediawiki-metadata"},
                "License": {"value": "cc-by-sa-4.0", "source": "commons-templates"},
                "LicenseShortName": {"value": "CC BY-SA 4.0"},
                "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/4.0"},
                "Artist": {"value": '<a href="//commons.wikimedia.org/wiki/User:Ann" title="User:Ann">Ann <b>Example</b></a>'},
                "Credit": {"value": '<span class="int-own-work" lang="en">Own work</span>'},
                "ImageDescription": {"value": "A tabby &amp; a <i>sofa</i>.<br>Second line"},
            },
        }
    ],
}


class ScriptedClient:
    """Gives out replies in turn, raising those that are exceptions, and remembers what was asked."""

    def __init__(self, *replies: Any) -> None:
        self._replies = list(replies)
        self.requests: list[tuple[str, dict[str, str]]] = []

    async def fetch_json(self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> Any:
        self.requests.append((url, dict(params or {})))
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return copy.deepcopy(reply)


def picture(number: int) -> dict[str, Any]:
    """Return the file that stands at position ``number`` (from 0) of a search."""
    file = copy.deepcopy(JPEG)
    file |= {"pageid": 1000 + number, "title": f"File:Cat {number}.jpg", "index": number + 1}
    info = file["imageinfo"][0]
    for field in ("url", "thumburl", "descriptionurl"):
        info[field] = info[field].replace("Tabby_cat", f"Cat_{number}")
    return file


class Commons:
    """Answers a search as the API does: ``total`` files, out of order, each batch in ``parts`` replies of which one file has its record."""

    def __init__(self, total: int, *, batch: int = 50, parts: int = 1) -> None:
        self._total = total
        self._batch = batch
        self._parts = parts
        self.requests: list[dict[str, str]] = []

    async def fetch_json(self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> Any:
        asked = dict(params or {})
        self.requests.append(asked)
        if asked.get("list") == "search":
            return {"batchcomplete": True, "query": {"searchinfo": {"totalhits": self._total}, "search": []}}
        first, part = int(asked.get("gsroffset", 0)), int(asked.get("iistart", 0))
        last = min(first + self._batch, self._total)
        files = [self._file(number, part) for number in reversed(range(first, last))]
        reply: dict[str, Any] = {"query": {"pages": files}} if files else {}
        if part + 1 < self._parts:
            return reply | {"continue": {"iistart": part + 1, "gsroffset": first, "continue": "||"}}
        if last < self._total:
            reply["continue"] = {"gsroffset": last, "continue": "gsroffset||"}
        return reply | {"batchcomplete": True}

    def _file(self, number: int, part: int) -> dict[str, Any]:
        file = picture(number)
        if number % self._parts != part:
            del file["imageinfo"]
        return file
