"""Reads fields of a source's JSON by their type. Any API changes: what is of another type than documented counts as not stated."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import errors
from app.discovery import text

__all__ = ["attribution", "document", "lines", "mapping", "mappings", "number", "records", "side", "tags", "texts"]

MAX_TAGS, MAX_TAG_CHARS = 50, 100
MAX_SIDE_PX = 1_000_000
MAX_NUMBER = 2**53
"""The largest integer that every JSON parser reads exactly; no count and no size in bytes is larger."""


def document(reply: object, title: str) -> dict[str, Any]:
    """Return an answer that has to be a JSON object.

    Raises:
        errors.ProtocolError: it is none.
    """
    if not isinstance(reply, dict):
        raise errors.ProtocolError(f"{title} answered with no JSON object")
    return reply


def records(reply: Mapping[str, Any], name: str) -> list[Any]:
    """Return the list ``name`` of an answer.

    Raises:
        errors.ProtocolError: there is none.
    """
    found = reply.get(name)
    if not isinstance(found, list):
        raise errors.ProtocolError(f"the answer has no list {name!r}")
    return found


def mapping(value: object) -> dict[str, Any]:
    """Return an object, empty if ``value`` is none."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list, none if ``value`` is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def number(value: object) -> int | None:
    """Return an integer from 0 that is written as a number or in digits, ``None`` for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 16:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_NUMBER else None


def side(value: object) -> int | None:
    """Return a width or height in pixels."""
    pixels = number(value)
    return pixels if pixels and pixels <= MAX_SIDE_PX else None


def texts(value: object, limit: int) -> list[str]:
    """Return the texts of a field that is a text or a list of texts; markup is taken out."""
    values = value if isinstance(value, list) else [value]
    return [words for item in values if (words := text.strip_html(item, limit))]


def lines(value: object, limit: int) -> str | None:
    """Return the text of a field that may be a list of texts, joined by commas; markup is taken out."""
    values = value if isinstance(value, list) else [value]
    found = (text.strip_html(item, limit) for item in values[:MAX_TAGS])
    return ", ".join(filter(None, found))[:limit].rstrip(", ") or None


def tags(*values: object) -> tuple[str, ...]:
    """Return the words of fields that are a text or a list of texts, each once, whatever its case."""
    single = itertools.chain.from_iterable(value if isinstance(value, list) else [value] for value in values)
    words = _unique(word for value in single if (word := text.strip_html(value, MAX_TAG_CHARS)))
    return tuple(itertools.islice(words, MAX_TAGS))


def attribution(title: str | None, creator: str | None, via: str, licence: str | None) -> str:
    """Return title, creator, source and licence in words, as Creative Commons recommends."""
    parts = [f"“{title}”" if title else "Image", f"by {creator}" if creator else "", f"via {via}", f"({licence})" if licence else ""]
    return " ".join(part for part in parts if part)


def _unique(words: Iterable[str]) -> Iterable[str]:
    first: dict[str, str] = {}
    for word in words:
        first.setdefault(word.casefold(), word)
    return first.values()
