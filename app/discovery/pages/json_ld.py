"""Images in the structured data of a page: ``ImageObject`` and the ``image`` of products, articles, recipes. https://schema.org/ImageObject

Logos and portraits of who made or publishes a page are no images of it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.discovery.pages.model import Picture, Rights, has_image_name, resolve, unique
from app.domain import Rendition

__all__ = ["pictures"]

MAX_NODES: Final = 20_000
"""Objects of one page that are looked at."""

_IMAGES: Final = frozenset({"ImageObject", "Photograph", "Painting"})
_IMAGE_KEYS: Final = ("image", "photo", "photos", "associatedMedia", "primaryImageOfPage")
_NOT_SHOWN: Final = frozenset(
    {"logo", "author", "publisher", "creator", "contributor", "editor", "provider", "brand", "seller", "sourceOrganization"}
    | {"copyrightHolder", "sponsor", "review", "reviews", "aggregateRating", "potentialAction", "comment", "interactionStatistic"}
)
_NO_SUBJECTS: Final = frozenset({"Organization", "NewsMediaOrganization", "WebSite", "Brand", "Corporation"})

Node = Mapping[str, Any]


def pictures(scripts: Iterator[str], base: str) -> list[Picture]:
    """Return the pictures that the texts of ``application/ld+json`` scripts name, in their order. Broken JSON names none."""
    found: list[Picture] = []
    budget = MAX_NODES
    for script in scripts:
        for node, is_image in _nodes(_load(script)):
            budget -= 1
            if budget < 0:
                return found
            picture = _picture(node, base) if is_image else None
            found += [picture] if picture else []
            found += _plain_images(node, base)
    return found


def _load(script: str) -> Any:
    words = script.strip().removeprefix("<!--").removesuffix("-->").strip()
    words = words.removeprefix("//<![CDATA[").removesuffix("//]]>").strip().rstrip(";")
    try:
        return json.loads(words, strict=False)
    except (ValueError, RecursionError):
        return None


def _nodes(document: Any) -> Iterator[tuple[Node, bool]]:
    """Yield every object that shows something, and whether it is an image. A stack: JSON may be nested deeper than we may recurse."""
    waiting: list[tuple[Any, bool]] = [(document, False)]
    while waiting:
        value, is_image_of = waiting.pop()
        if isinstance(value, list):
            waiting += [(item, is_image_of) for item in reversed(value)]
        elif isinstance(value, dict):
            types = {item.rpartition("/")[2] for item in _list(value.get("@type")) if isinstance(item, str)}
            if types & _NO_SUBJECTS and not is_image_of:
                continue
            yield value, bool(types & _IMAGES) or is_image_of
            inner = [(name, item) for name, item in value.items() if name not in _NOT_SHOWN and isinstance(item, dict | list)]
            waiting += [(item, name in _IMAGE_KEYS) for name, item in reversed(inner) if name not in ("thumbnail", "thumbnailUrl")]


def _plain_images(node: Node, base: str) -> Iterator[Picture]:
    """Yield images that an object names by their URL alone."""
    for key in _IMAGE_KEYS:
        for item in _list(node.get(key)):
            if isinstance(item, str) and (url := resolve(base, item)):
                yield Picture((Rendition(url),), _words(node, "name", "headline"))


def _picture(node: Node, base: str) -> Picture | None:
    references = [node.get("contentUrl"), node.get("url"), node.get("@id")]
    url = resolve(base, _text(references[0]))
    url = url or next((found for item in references[1:] if (found := resolve(base, _text(item))) and _is_file(found, node)), None)
    if url is None:
        return None
    sizes = [Rendition(url, _pixels(node.get("width")), _pixels(node.get("height")))]
    if small := resolve(base, _text(node.get("thumbnailUrl"))):
        sizes.insert(0, Rendition(small))
    captions = _words(node, "caption", "description", "name", "headline")
    return Picture(tuple(sizes), captions, _text(node.get("name")), _rights(node, base))


def _is_file(url: str, node: Node) -> bool:
    """Whether the ``url`` of an image is the file, not the page about it."""
    return has_image_name(url) or (not url.endswith("/") and "#" not in (_text(node.get("url") or node.get("@id")) or "") and "url" in node)


def _rights(node: Node, base: str) -> Rights:
    """Return what an image states. Beside a licence, a notice of copyright is a credit; a page to acquire one grants nothing."""
    licence, acquire, notice = (_text(node.get(name)) for name in ("license", "acquireLicensePage", "copyrightNotice"))
    creator = next(iter(_list(node.get("creator") or node.get("author"))), None)
    person = creator if isinstance(creator, dict) else {"name": creator}
    return Rights(
        tuple(filter(None, [licence] if licence else [notice, acquire])),
        resolve(base, licence) or resolve(base, acquire),
        _text(person.get("name")),
        resolve(base, _text(person.get("url"))),
        _text(node.get("creditText")) or notice,
        is_of_image=True,
    )


def _words(node: Node, *names: str) -> tuple[str, ...]:
    return tuple(unique(_text(node.get(name)) for name in names))


def _text(value: Any) -> str | None:
    """Return a text, the first of several, or the text of an object that only wraps it."""
    value = next(iter(_list(value)), None)
    if isinstance(value, dict):
        value = value.get("@value") or value.get("url") or value.get("@id") or value.get("name")
    return value if isinstance(value, str) and value.strip() else None


def _pixels(value: Any) -> int | None:
    """Return pixels, which are written as ``800``, ``"800"``, ``"800px"`` or a QuantitativeValue."""
    if isinstance(value, dict):
        value = value.get("value")
    digits = str(value).strip().removesuffix("px").strip() if isinstance(value, str | int) else ""
    return int(digits) or None if digits.isascii() and digits.isdigit() and len(digits) < 7 else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
