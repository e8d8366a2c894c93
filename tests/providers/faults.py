"""Faults that any API shows: each turns a good page of a search into what its client gets instead. Pure, and the same in every run."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.providers.answers import Response, page, refusal

__all__ = ["FAULTS", "Context", "Fault", "change"]

EVERY: Final = 3
"""One item of so many is faulty, where a fault is about items."""
HUGE: Final = 10**15

_HTML: Final = "<!doctype html><html><head><title>Just a moment</title></head><body><h1>Please wait</h1></body></html>"


@dataclass(frozen=True)
class Context:
    """What a fault knows besides the good answer.

    Attributes:
        items, total: the way to the list of items and to the total in a page; none where the API has none.
        error: the body of an error.
        earlier: the good pages before this one.
    """

    items: Sequence[str]
    total: Sequence[str]
    error: Any
    earlier: Sequence[Response]


Fault = Callable[[Response, Context], Response]


def _html(good: Response, context: Context) -> Response:
    return page(200, _HTML)


def _truncated(good: Response, context: Context) -> Response:
    body = good.encoded
    return replace(good, document=None, body=body[: len(body) // 2])


def _reset(good: Response, context: Context) -> Response:
    return replace(good, is_reset=True)


def _error_in_200(good: Response, context: Context) -> Response:
    return replace(good, document=context.error)


def _other_document(good: Response, context: Context) -> Response:
    return replace(good, document=[["what"], "is this"])


def _refusal(status: int, **headers: str) -> Fault:
    return lambda good, context: refusal(status, context.error, **headers)


def _html_refusal(status: int) -> Fault:
    return lambda good, context: page(status, _HTML)


def _loop(good: Response, context: Context) -> Response:
    """Every page after the second is the second again, with its word for the next page."""
    return context.earlier[1] if len(context.earlier) > 1 else good


def _overlap(good: Response, context: Context) -> Response:
    """A page begins with the last items of the page before it: an item was added at the front meanwhile."""
    if not context.earlier:
        return good
    before, here = _find(context.earlier[-1].document, context.items), _find(good.document, context.items)
    return _with(good, context.items, [*before[-EVERY:], *here[:-EVERY]]) if len(here) > EVERY else good


def _empty_page(good: Response, context: Context) -> Response:
    return _with(good, context.items, [])


def _no_items(good: Response, context: Context) -> Response:
    return _with(good, context.items, None)


def _total_missing(good: Response, context: Context) -> Response:
    return _with(good, context.total, None) if context.total else good


def _total_huge(good: Response, context: Context) -> Response:
    return _with(good, context.total, HUGE) if context.total else good


def _total_is_text(good: Response, context: Context) -> Response:
    return _with(good, context.total, "many") if context.total else good


def _broken_items(good: Response, context: Context) -> Response:
    """Some items are no objects."""
    odd = (None, "x", {}, [], 7.5)
    items = [odd[at // EVERY % len(odd)] if at % EVERY == 0 else item for at, item in enumerate(_find(good.document, context.items))]
    return _with(good, context.items, items)


def _changed_fields(good: Response, context: Context) -> Response:
    """In some items one field is of another type, in each another field."""
    return _with(good, context.items, [_mangled(item, at, _other) for at, item in enumerate(_find(good.document, context.items))])


def _missing_fields(good: Response, context: Context) -> Response:
    """In some items one field is missing, in each another."""
    return _with(good, context.items, [_mangled(item, at, None) for at, item in enumerate(_find(good.document, context.items))])


FAULTS: Final[Mapping[str, Fault]] = {
    "html": _html,
    "truncated": _truncated,
    "reset": _reset,
    "error_in_200": _error_in_200,
    "other_document": _other_document,
    "400": _refusal(400),
    "401": _refusal(401),
    "403": _html_refusal(403),
    "404": _refusal(404),
    "429": _refusal(429),
    "429_wait": _refusal(429, Retry_After="2"),
    "429_long_wait": _refusal(429, Retry_After="7200"),
    "500": _html_refusal(500),
    "503": _html_refusal(503),
    "loop": _loop,
    "overlap": _overlap,
    "empty_page": _empty_page,
    "no_items": _no_items,
    "total_missing": _total_missing,
    "total_huge": _total_huge,
    "total_is_text": _total_is_text,
    "broken_items": _broken_items,
    "changed_fields": _changed_fields,
    "missing_fields": _missing_fields,
}
"""By name. A shrinking total is the provider's own: ``shrinks``."""


def change(good: Response, way: Sequence[str], value: Any) -> Response:
    """Return a page with another value at the end of ``way``; ``None`` takes it out. For the faults of one API."""
    return _with(good, way, value)


def _find(document: Any, way: Sequence[str]) -> list[Any]:
    for name in way:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, list) else []


def _with(good: Response, way: Sequence[str], value: Any) -> Response:
    document = copy.deepcopy(good.document)
    *above, last = way
    at = document
    for name in above:
        at = at.get(name) if isinstance(at, dict) else None
    if not isinstance(at, dict) or last not in at:
        return good
    if value is None:
        del at[last]
    else:
        at[last] = value
    return replace(good, document=document)


def _mangled(item: Any, at: int, other: Callable[[Any], Any] | None) -> Any:
    places = list(_fields(item))
    if at % EVERY or not places:
        return item
    changed = copy.deepcopy(item)
    *above, last = places[at // EVERY % len(places)]
    inner = changed
    for name in above:
        inner = inner[name]
    if other is None:
        del inner[last]
    else:
        inner[last] = other(inner[last])
    return changed


def _fields(value: Any) -> Iterator[tuple[str | int, ...]]:
    """The ways to all fields of an item, at any depth."""
    pairs: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(value, dict):
        pairs = iter(value.items())
    elif isinstance(value, list):
        pairs = enumerate(value)
    for name, inner in pairs:
        yield (name,)
        yield from ((name, *rest) for rest in _fields(inner))


def _other(value: Any) -> Any:
    match value:
        case str():
            return 7
        case dict():
            return [value]
        case list():
            return {"0": value}
        case None:
            return {}
    return {"value": value}
