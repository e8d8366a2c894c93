"""Names by which a picture is known besides its URL: ``flickr:53``, ``commons:A cat.jpg``, ``sha1:...``. Pure.

Only what is certain is read from an address: an id that its provider gives to one picture, in whatever size. An address of an object, an
observation or an album may show several pictures and names none.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from app.domain import Candidate

__all__ = ["MAX_CHARS", "name_all", "read"]

MAX_CHARS = 200
"""Of an identity, as its column holds."""

_DIGEST = re.compile(r"(sha1:[0-9a-f]{40}|md5:[0-9a-f]{32})", re.IGNORECASE)
_NAMED = re.compile(r"[a-z][a-z0-9_]*:\S.*")

_FLICKR_FILE = re.compile(r"/\d+/(\d+)_[0-9a-f]+(?:_[a-z0-9]{1,2})?(?:_d)?\.(?:jpg|png|gif)")
_FLICKR_PAGE = re.compile(r"/photos/[^/]+/(\d+)(?:/.*)?")
_COMMONS_FILE = re.compile(r"/wikipedia/commons/(?:thumb/)?[0-9a-f]/[0-9a-f]{2}/([^/]+)(?:/[^/]+)?")
_COMMONS_PAGE = re.compile(r"/wiki/(?:File:|Special:(?:FilePath|Redirect/file)/)(.+)")
_INATURALIST = re.compile(r"/photos/(\d+)(?:/[a-z]+\.[a-z]+)?/?")
_MET = re.compile(r"/CRDImages/([^/]+)/(?:original|web-large|mobile-large|web-additional)/([^/]+)")
_NASA_FILE = re.compile(r"/image/([^/]+)/[^/]+")
_NASA_PAGE = re.compile(r"/details[-/]([^/]+)")
_RAWPIXEL = re.compile(r"/image/(\d+)(?:/.*)?")
_GBIF = re.compile(r"/v1/image/cache/(?:.*/)?occurrence/(\d+)/media/([0-9a-f]{32})")
_ARTIC = re.compile(r"/iiif/[23]/([0-9a-f-]{36})/.*")
_CLEVELAND = re.compile(r"/([^/]+)/([^/]+)_(?:web|print|full)\.[a-z]+")
_SMK = re.compile(r"/iiif/jp2/([^/]+)/.*")
_SMITHSONIAN = re.compile(r"/ids/deliveryService/id/(ark:/\d+/[0-9a-z]+)(?:/\d+)?")
_ARCHIVE = re.compile(r"/download/([^/]+)/(.+)")


def name_all(candidate: Candidate) -> tuple[str, ...]:
    """Return what names a candidate's picture: what its source states, and what its addresses say; each once."""
    stated = (name.lower() if _DIGEST.fullmatch(name) else name for name in candidate.identities if _is_name(name))
    found = (read(url) for url in (candidate.url, candidate.page_url) if url)
    return tuple(dict.fromkeys(name for name in (*stated, *found) if name is not None and len(name) <= MAX_CHARS))


def _is_name(name: str) -> bool:
    pattern = _DIGEST if name.lower().startswith(("sha1:", "md5:")) else _NAMED
    return pattern.fullmatch(name) is not None


def read(url: str) -> str | None:
    """Return the identity that an address of an image or of its page names, None for none that is certain."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        return None
    if host.endswith((".staticflickr.com", ".static.flickr.com")):
        return _by("flickr", _FLICKR_FILE, parts.path)
    reader = _READERS.get(host.removeprefix("www."))
    return reader(parts.path, parts.query) if reader else None


def _by(name: str, pattern: re.Pattern[str], path: str) -> str | None:
    found = pattern.fullmatch(path)
    return f"{name}:{'/'.join(map(unquote, found.groups()))}" if found else None


def _commons(path: str, _: str) -> str | None:
    """The title of a file: spaces for underscores, its first letter a capital, as MediaWiki normalises it."""
    found = _COMMONS_FILE.fullmatch(path) or _COMMONS_PAGE.fullmatch(path)
    title = unquote(found[1]).replace("_", " ").strip() if found else ""
    return f"commons:{title[:1].upper()}{title[1:]}" if title else None


def _smithsonian(path: str, query: str) -> str | None:
    ids = parse_qs(query).get("id", [])
    by_query = f"smithsonian:{ids[0]}" if path == "/ids/deliveryService" and len(ids) == 1 else None
    return by_query or _by("smithsonian", _SMITHSONIAN, path)


def _paths(name: str, *patterns: re.Pattern[str]) -> Callable[[str, str], str | None]:
    return lambda path, _: next((found for pattern in patterns if (found := _by(name, pattern, path))), None)


_READERS: Final[Mapping[str, Callable[[str, str], str | None]]] = {
    "flickr.com": _paths("flickr", _FLICKR_PAGE),
    **dict.fromkeys(("upload.wikimedia.org", "thumb.wikimedia.org", "commons.wikimedia.org"), _commons),
    **dict.fromkeys(
        ("inaturalist-open-data.s3.amazonaws.com", "static.inaturalist.org", "inaturalist.org"), _paths("inaturalist", _INATURALIST)
    ),
    "images.metmuseum.org": _paths("met", _MET),
    "images-assets.nasa.gov": _paths("nasa", _NASA_FILE),
    "images.nasa.gov": _paths("nasa", _NASA_PAGE),
    "rawpixel.com": _paths("rawpixel", _RAWPIXEL),
    "ids.si.edu": _smithsonian,
    "api.gbif.org": _paths("gbif", _GBIF),
    "artic.edu": _paths("artic", _ARTIC),
    "openaccess-cdn.clevelandart.org": _paths("cleveland", _CLEVELAND),
    "iip.smk.dk": _paths("smk", _SMK),
    "archive.org": _paths("archive", _ARCHIVE),
}
"""By host, without ``www.``: what reads path and query."""
