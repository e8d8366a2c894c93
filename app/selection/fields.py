"""What a selection can ask of an image: the names, the kind of their values, and how each is read. A missing value is None."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from app.discovery import licences
from app.domain import MEDIA_TYPES, StoredImage

__all__ = ["COLUMN_PREFIX", "FIELDS", "FORMATS", "Field", "Kind", "column", "suggest"]

COLUMN_PREFIX: Final = "columns."
"""Stands before the name of a further column of the list."""

_EQUAL: Final = ("=", "!=", "in", "not in")
_ORDER: Final = ("<", "<=", ">", ">=")
_PATTERN: Final = ("~", "!~")


class Kind(Enum):
    """Kind of the values of a field; its value is what messages call it."""

    TEXT = "a text"
    TEXTS = "texts"
    NUMBER = "a number"
    LICENCE = "a licence"
    FORMAT = "a format"
    COLUMN = "a column"

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators that its values are compared with."""
        if self in (Kind.LICENCE, Kind.FORMAT):
            return _EQUAL
        if self is Kind.NUMBER:
            return (*_EQUAL, *_ORDER)
        return (*_EQUAL, *_PATTERN) if self is not Kind.COLUMN else (*_EQUAL, *_ORDER, *_PATTERN)


@dataclass(frozen=True, slots=True)
class Field:
    """One name. ``read`` returns a text, a number, a list of texts, or None; of a column also a boolean."""

    name: str
    kind: Kind
    read: Callable[[StoredImage], Any] = field(compare=False, repr=False)


def _attribute(name: str) -> Callable[[StoredImage], Any]:
    return lambda image: getattr(image, name) or None


def _measure(name: str) -> Callable[[StoredImage], Any]:
    return lambda image: (image.measures or {}).get(name)


def _aspect(image: StoredImage) -> float | None:
    return image.width / image.height if image.width and image.height else None


def _captions(image: StoredImage) -> int:
    return len(image.captions) if image.captions else int(bool(image.caption))


def _labels(image: StoredImage) -> list[str] | None:
    several = image.labels if image.labels and image.label in image.labels else None  # a label of the job replaces those of the list
    return list(several or filter(None, [image.label])) or None


def _host(image: StoredImage) -> str | None:
    try:
        return urlsplit(image.url).hostname
    except ValueError:
        return None


def _licence(image: StoredImage) -> str | None:
    """What was stated, None where it is not understood."""
    return image.license if image.license and _is_understood(image.license) else None


@lru_cache(maxsize=1_000)
def _is_understood(licence: str) -> bool:
    return licences.normalise(licence) is not None


def _format(image: StoredImage) -> str | None:
    return (image.media_type or "").removeprefix("image/") or None


def _language(image: StoredImage) -> str | None:
    columns = image.list_columns
    value = columns.get("lang") or columns.get("language")
    return value if isinstance(value, str) else None


FORMATS: Final = MappingProxyType({name: name for name in MEDIA_TYPES} | {"jpg": "jpeg", "tif": "tiff", "heic": "heif"})
"""The formats by the words for them."""

_TEXTS = ("label", "split", "caption", "title", "source", "url", "page_url", "creator", "group_id")

FIELDS: Final = MappingProxyType(
    {name: Field(name, Kind.TEXT, _attribute(name)) for name in _TEXTS}
    | {
        "labels": Field("labels", Kind.TEXTS, _labels),
        "host": Field("host", Kind.TEXT, _host),
        "lang": Field("lang", Kind.TEXT, _language),
        "license": Field("license", Kind.LICENCE, _licence),
        "format": Field("format", Kind.FORMAT, _format),
        "width": Field("width", Kind.NUMBER, _attribute("width")),
        "height": Field("height", Kind.NUMBER, _attribute("height")),
        "bytes": Field("bytes", Kind.NUMBER, _attribute("size_bytes")),
        "aspect": Field("aspect", Kind.NUMBER, _aspect),
        "captions": Field("captions", Kind.NUMBER, _captions),
    }
    | {name: Field(name, Kind.NUMBER, _measure(name)) for name in ("sharpness", "entropy", "brightness")}
)
"""Every name but those of further columns. Sizes are those of the fetched image."""


def column(name: str) -> Field:
    """The field of a further column of the list."""
    return Field(f"{COLUMN_PREFIX}{name}", Kind.COLUMN, lambda image: _given(image.list_columns.get(name)))


def _given(value: Any) -> Any:
    return None if value == "" else value


def suggest(name: str) -> str:
    """What is said about a name that does not exist."""
    near = difflib.get_close_matches(name.lower(), FIELDS, n=1, cutoff=0.6)
    if near:
        return f"there is no such name; did you mean {near[0]}?"
    return f"there is no such name; there are {', '.join(sorted(FIELDS))}, and {COLUMN_PREFIX}NAME for a column of the list"
