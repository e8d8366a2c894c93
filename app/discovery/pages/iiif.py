"""IIIF Presentation 2 and 3: the images of a manifest's canvases, the manifests of a collection. https://iiif.io/api/presentation/"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from app.discovery import text
from app.discovery.pages.model import MAX_IMAGES, Picture, ReadingRules, Rights, WebDocument, resolve, unique
from app.domain import Candidate, Rendition

__all__ = ["is_presentation", "read"]

_CONTEXT: Final = "iiif.io/api/presentation"
_WIDTHS: Final = (256, 512, 1024, 2048)
"""Pixels, of the sizes that are asked for where an image service makes any size."""

_SIZED_LEVELS: Final = ("level1", "level2")
"""Compliance levels that give any width (Image API 3, section 5)."""

Node = Mapping[str, Any]


def is_presentation(document: Node) -> bool:
    """Whether JSON is a manifest or a collection of IIIF."""
    return any(isinstance(context, str) and _CONTEXT in context for context in _list(document.get("@context")))


def read(body: bytes, url: str, rules: ReadingRules) -> WebDocument:
    """Read a manifest, or a collection of manifests."""
    document = orjson.loads(body)
    page_url = resolve(url, _id(_first(document.get("homepage")) or _first(document.get("related")))) or url
    rights = _rights(document, url)
    images: list[Candidate] = []
    for canvas in _canvases(document):
        captions = unique([_words(document.get("label")), _words(canvas.get("label"))])
        for sizes in _painted(canvas, url):
            picture = Picture(sizes, (": ".join(captions),) if captions else (), _words(document.get("label")), rights)
            images.append(picture.candidate(page_url, rules.side_px))
        if len(images) >= MAX_IMAGES:
            break
    links = tuple(unique(resolve(url, _id(item)) for item in _members(document)))
    return WebDocument(url, tuple(images), links, problem="" if images or links else "the IIIF manifest has no image")


def _members(document: Node) -> Iterator[Any]:
    """Yield the manifests and collections of a collection."""
    for name in ("manifests", "collections", "members"):
        yield from _list(document.get(name))
    if document.get("type") == "Collection":
        yield from _list(document.get("items"))


def _canvases(document: Node) -> Iterator[Node]:
    for sequence in _nodes(document.get("sequences")):
        yield from _nodes(sequence.get("canvases"))
    if document.get("type") == "Manifest":
        yield from _nodes(document.get("items"))


def _painted(canvas: Node, base: str) -> Iterator[tuple[Rendition, ...]]:
    """Yield the sizes of each image on a canvas."""
    resources = [image.get("resource") for image in _nodes(canvas.get("images"))]
    for page in _nodes(canvas.get("items")):
        resources += [body for annotation in _nodes(page.get("items")) for body in _list(annotation.get("body"))]
    for resource in resources:
        if not isinstance(resource, dict):
            continue
        default = resource.get("default")
        chosen = resource if not isinstance(default, dict) else default  # oa:Choice
        options = _nodes(resource.get("items")) if resource.get("type") == "Choice" else iter([chosen])
        if (body := next(options, None)) and (sizes := _sizes(body, base)):
            yield sizes


def _sizes(body: Node, base: str) -> tuple[Rendition, ...]:
    """Return the sizes of an image, the smallest first; the last is the file that the manifest names."""
    url = resolve(base, _id(body))
    width, height = _number(body.get("width")), _number(body.get("height"))
    service = _first(body.get("service"))
    root = _id(service)
    if root and isinstance(service, dict):
        root = root.rstrip("/")
        full = url or resolve(base, f"{root}/full/max/0/default.jpg")
        made = [Rendition(f"{root}/full/{size},/0/default.jpg", size, _scaled(size, width, height)) for size in _widths(service, width)]
        return (*(one for one in made if resolve(base, one.url)), *((Rendition(full, width, height),) if full else ()))
    return (Rendition(url, width, height),) if url else ()


def _widths(service: Node, width: int | None) -> list[int]:
    """Return widths below that of the original that a service makes: those that it lists, or any."""
    listed = [size for item in _nodes(service.get("sizes")) if (size := _number(item.get("width")))]
    profile = _first(service.get("profile"))
    is_sized = isinstance(profile, str) and any(level in profile for level in _SIZED_LEVELS)
    widths = listed or (list(_WIDTHS) if is_sized else [])
    return sorted(size for size in widths if width is None or size < width)


def _scaled(size: int, width: int | None, height: int | None) -> int | None:
    return round(size * height / width) if width and height else None


def _rights(document: Node, base: str) -> Rights:
    required = document.get("requiredStatement")
    stated = _words(required.get("value")) if isinstance(required, dict) else _words(document.get("attribution"))
    licence = next((item for item in [*_list(document.get("rights")), *_list(document.get("license"))] if isinstance(item, str)), None)
    return Rights((licence,) if licence else (), resolve(base, licence), credit=text.strip_html(stated, 1000), is_of_image=bool(licence))


def _words(value: Any) -> str | None:
    """Return the first text of a label: plain, ``{"@value": ...}`` or ``{"en": [...]}``, or a list of those; English where there is it."""
    value = _first(value)
    if isinstance(value, dict):
        value = value.get("@value") or _first(value.get("en") or value.get("none") or next(iter(value.values()), None))
    return text.strip_html(value, 500)


def _id(value: Any) -> str | None:
    found = value.get("id") or value.get("@id") if isinstance(value, dict) else value
    return found if isinstance(found, str) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _nodes(value: Any) -> Iterator[Node]:
    return (item for item in _list(value)[:MAX_IMAGES] if isinstance(item, dict))


def _first(value: Any) -> Any:
    return next(iter(_list(value)), None)


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and 0 < value < 1_000_000 else None
