"""Three image services for ``pictrawl demo --keywords``, which answer as their documentation says, with the licences that people meet.

Wikimedia Commons: https://www.mediawiki.org/wiki/API:Search. Openverse: https://api.openverse.org/v1/. iNaturalist:
https://api.inaturalist.org/v1/docs/. They know the keywords of the demo only.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.cli.demo import pictures
from app.cli.demo.origin import Origin, Step, reply

__all__ = ["KEYWORDS", "SERVICES"]

KEYWORDS = ("barn owl", "red panda")

PER_KEYWORD = 40
SHARED = 10
"""Pictures of a keyword that Openverse has from Commons."""

LICENCES = ("by", "by-sa", "cc0", "by-nc", "by", "by-nc-nd", "by-sa", "")
"""Of the pictures of a service in turn; the empty one is none: all rights are reserved."""

SIZES = ("square", "small", "medium", "large", "original")
"""Of iNaturalist, by whose names a photo's other addresses are known."""

NAMES = ("Ann Example", "Bo Sample", "Chris Muster", "Dana Specimen")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a service; ``number`` is its place among those of its keyword."""

    keyword: str
    number: int
    url: str

    @property
    def licence(self) -> str:
        """A code of Creative Commons, or nothing."""
        return LICENCES[self.number % len(LICENCES)]

    @property
    def licence_url(self) -> str:
        """The address of the licence."""
        path = "publicdomain/zero/1.0" if self.licence == "cc0" else f"licenses/{self.licence}/4.0"
        return f"https://creativecommons.org/{path}/"

    @property
    def title(self) -> str:
        """What the picture is called."""
        return f"{self.keyword.capitalize()} {self.number:02d}"

    @property
    def creator(self) -> str:
        """Who made it."""
        return NAMES[self.number % len(NAMES)]

    @property
    def id(self) -> int:
        """A number that no other picture of the service has."""
        return 1_000 * (1 + KEYWORDS.index(self.keyword)) + self.number


def serve_wikimedia(host: Origin) -> str:
    """Serve a wiki of files; return its URL."""
    album = _shelve(host, 1)

    def answer(_path: str, query: Mapping[str, str]) -> Step:
        words = query.get("gsrsearch", query.get("srsearch", ""))
        found = _matching(album, words)
        if query.get("list") == "search":
            return _json({"batchcomplete": True, "query": {"searchinfo": {"totalhits": len(found)}, "search": []}})
        first, size = int(query.get("gsroffset", 0)), int(query.get("gsrlimit", 50))
        document: dict[str, Any] = {"batchcomplete": True}
        if page := found[first : first + size]:
            document["query"] = {"pages": [_commons_file(picture, first + at + 1) for at, picture in enumerate(page)]}
        if first + size < len(found):
            document["continue"] = {"gsroffset": first + size, "continue": "gsroffset||"}
        return _json(document)

    host.route("/w/api.php", answer)
    return host.base


def serve_openverse(host: Origin) -> str:
    """Serve a catalogue of other sites' pictures, some of them those of the wiki; return its URL."""
    album = _shelve(host, 2)

    def answer(path: str, query: Mapping[str, str]) -> Step:
        if "/stats" in path:
            return _json([{"source_name": "wikimedia", "display_name": "Wikimedia Commons", "media_count": SHARED * len(KEYWORDS)}])
        codes = query.get("license", ",".join(filter(None, LICENCES))).lower().split(",")
        found = [picture for picture in _matching(album, query.get("q", "")) if picture.licence in codes]
        number, size = int(query.get("page", 1)), int(query.get("page_size", 20))
        page = found[(number - 1) * size : number * size]
        counts = {"result_count": len(found), "page_count": -(-len(found) // size), "page_size": size, "page": number}
        return _json(counts | {"results": [_openverse_image(picture) for picture in page]})

    host.route("/v1/images", answer)
    return host.base


def serve_inaturalist(host: Origin) -> str:
    """Serve observations of animals, each with a picture; return its URL."""
    album = _shelve(host, 3)

    def answer(path: str, query: Mapping[str, str]) -> Step:
        if "/taxa" in path:
            return _json(_taxa(query.get("q", "")))
        codes = [code.removeprefix("cc-") for code in query.get("photo_license", "").split(",")]
        words = query.get("taxon_name", "") or next((name for name in KEYWORDS if str(_taxon_id(name)) == query.get("taxon_id")), "")
        matching = (picture for picture in _matching(album, words) if codes == [""] or picture.licence in codes)
        left = sorted((picture for picture in matching if picture.id > int(query.get("id_above", 0))), key=lambda picture: picture.id)
        size = int(query.get("per_page", 30))
        results = [_observation(picture) for picture in left[:size]]
        return _json({"total_results": len(left), "page": 1, "per_page": size, "results": results})

    host.route("/v1/", answer)
    return host.base


def _shelve(host: Origin, seed: int) -> list[Picture]:
    """Make a service's pictures and serve each under the names of its sizes. Takes a second of CPU."""
    album = []
    for place, keyword in enumerate(KEYWORDS):
        for number in range(PER_KEYWORD):
            body = pictures.encoded(pictures.photograph(10_000 * seed + 1_000 * place + number))
            path = f"/photos/{10_000 * seed + 1_000 * place + number}"
            for size in SIZES:
                host.script(f"{path}/{size}.jpg", reply(body=body))
            album.append(Picture(keyword, number, f"{host.base}{path}/{SIZES[0]}.jpg"))
    return album


def _matching(album: Sequence[Picture], words: str) -> list[Picture]:
    return [picture for picture in album if picture.keyword in words.lower()]


def _json(document: object) -> Step:
    return reply(body=json.dumps(document).encode(), kind="application/json")


def _commons_file(picture: Picture, index: int) -> dict[str, Any]:
    code = "cc0" if picture.licence == "cc0" else f"cc-{picture.licence}-4.0"
    said = {"ObjectName": picture.title, "Artist": f'<a href="//commons.wikimedia.org/wiki/User:{picture.number}">{picture.creator}</a>'}
    said |= {"License": code, "LicenseUrl": picture.licence_url} if picture.licence else {"UsageTerms": "All rights reserved"}
    info = {
        "url": picture.url,
        "descriptionurl": _commons_page(picture),
        "width": pictures.WIDTH,
        "height": pictures.HEIGHT,
        "mime": "image/jpeg",
        "extmetadata": {name: {"value": value} for name, value in said.items()},
    }
    return {"pageid": picture.id, "ns": 6, "title": f"File:{picture.title}.jpg", "index": index, "imageinfo": [info]}


def _commons_page(picture: Picture) -> str:
    return f"https://commons.wikimedia.org/wiki/File:{picture.title.replace(' ', '_')}.jpg"


def _openverse_image(picture: Picture) -> dict[str, Any]:
    """The first ones are pictures of the wiki, which Openverse has under other addresses."""
    is_shared = picture.number < SHARED
    return {
        "id": f"00000000-0000-4000-8000-{picture.id:012d}",
        "title": picture.title,
        "url": picture.url,
        "foreign_landing_url": _commons_page(picture) if is_shared else f"https://www.flickr.com/photos/demo/{picture.id}",
        "creator": picture.creator,
        "creator_url": f"https://example.org/people/{picture.number % len(NAMES)}",
        "license": picture.licence,
        "license_version": "1.0" if picture.licence == "cc0" else "4.0",
        "license_url": picture.licence_url,
        "attribution": f'"{picture.title}" by {picture.creator} is licensed under CC {picture.licence.upper()}.',
        "provider": "wikimedia" if is_shared else "flickr",
        "source": "wikimedia" if is_shared else "flickr",
        "filetype": "jpg",
        "width": pictures.WIDTH,
        "height": pictures.HEIGHT,
        "tags": [{"name": picture.keyword}],
        "mature": False,
    }


def _taxon_id(keyword: str) -> int:
    return 100 + KEYWORDS.index(keyword)


def _taxa(words: str) -> dict[str, Any]:
    found = [name for name in KEYWORDS if name in words.lower()]
    taxa = [{"id": _taxon_id(name), "name": name.capitalize(), "preferred_common_name": name, "rank": "species"} for name in found]
    return {"total_results": len(taxa), "page": 1, "per_page": 30, "results": taxa}


def _observation(picture: Picture) -> dict[str, Any]:
    code = picture.licence and ("cc0" if picture.licence == "cc0" else f"cc-{picture.licence}")
    photo: dict[str, Any] = {
        "id": picture.id,
        "license_code": code or None,
        "attribution": f"(c) {picture.creator}, {'some' if code else 'all'} rights reserved",
        "url": picture.url,
        "original_dimensions": {"width": pictures.WIDTH, "height": pictures.HEIGHT},
        "flags": [],
    }
    return {
        "id": picture.id,
        "uri": f"https://www.inaturalist.org/observations/{picture.id}",
        "quality_grade": "research",
        "user": {"login": "demo", "name": picture.creator},
        "taxon": {"id": _taxon_id(picture.keyword), "name": picture.keyword.capitalize(), "preferred_common_name": picture.keyword},
        "photos": [photo],
    }


SERVICES: Mapping[str, Callable[[Origin], str]] = {
    "inaturalist": serve_inaturalist,
    "openverse": serve_openverse,
    "wikimedia": serve_wikimedia,
}
"""The services by the names of their sources."""
