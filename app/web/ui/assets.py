"""Style sheet, scripts and the vendored library of the pages, served from memory under a name that changes with their bytes."""

import hashlib
from importlib import resources
from typing import Final, NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.web.api import problems

__all__ = ["PREFIX", "asset_url", "router"]

PREFIX: Final = "/static/"

MEDIA_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
IMMUTABLE: Final = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


class Asset(NamedTuple):
    """A file of the pages.

    Attributes:
        digest: first 16 hex digits of its SHA-256.
    """

    body: bytes
    media_type: str
    digest: str


def _read() -> dict[str, Asset]:
    folder = resources.files("app.web.ui") / "static"
    found: dict[str, Asset] = {}
    for parent, prefix in ((folder, ""), (folder / "vendor", "vendor/")):
        for file in parent.iterdir():
            media_type = MEDIA_TYPES.get(file.name.rpartition(".")[2])
            if media_type is not None:
                body = file.read_bytes()
                found[prefix + file.name] = Asset(body, media_type, hashlib.sha256(body).hexdigest()[:16])
    return found


ASSETS: Final = _read()


def asset_url(name: str) -> str:
    """The URL of an asset, as in ``/static/app.css?v=0123456789abcdef``."""
    return f"{PREFIX}{name}?v={ASSETS[name].digest}"


@router.get(PREFIX + "{name:path}")
async def get_asset(request: Request, name: str) -> Response:
    """An asset. Under its digest it never changes; without one it is asked for again each time."""
    asset = ASSETS.get(name)
    if asset is None:
        raise problems.Refusal("not-found", "There is no such file.")
    is_pinned = request.query_params.get("v") == asset.digest
    headers = {"ETag": f'"{asset.digest}"', "Cache-Control": IMMUTABLE if is_pinned else "no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)
