"""``/datasets/{id}/images``: a contact sheet of a dataset, with filters, counts and orders. Its URL is all of its state."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.responses import Response

from app.db import datasets
from app.gallery.fields import CATEGORIES
from app.gallery.filters import RANGED, SORTS, Filter, Sort
from app.gallery.gallery import View
from app.gallery.matching import Facet
from app.web.api.conventions import DatasetId, call_of
from app.web.api.gallery import GalleryQuery
from app.web.ui.templating import is_fragment, link, render

__all__ = ["router"]

router = APIRouter()

PAGE: Final = 60
"""Pictures that are loaded at once."""

LISTED: Final = 8
"""Values of a facet that are shown before the rest is asked for."""

ORDERS: Final = [("id", "as they came"), ("-id", "the last first")] + [
    (f"{minus}{name}", f"{name}, {order}") for name in SORTS[1:] for minus, order in (("", "smallest first"), ("-", "largest first"))
]
"""The orders in words."""

Pairs = list[tuple[str, str]]
"""A query, in its order."""


class Value(NamedTuple):
    """A value of a facet in words, and where to go to choose it or to let it go."""

    words: str
    number: int
    is_chosen: bool
    href: str


class FacetBox(NamedTuple):
    """A facet as it is shown.

    Attributes:
        more: values that are not listed.
    """

    name: str
    values: Sequence[Value]
    more: int

    @property
    def has_choice(self) -> bool:
        """Whether any of its values is chosen."""
        return any(value.is_chosen for value in self.values)


class Chip(NamedTuple):
    """A part of the filter in words, and where to go without it."""

    words: str
    href: str


@router.get("/datasets/{dataset_id}/images")
async def show(request: Request, dataset_id: DatasetId) -> Response:
    """The page, or the next pictures of it."""
    pairs = _given(request.query_params)
    query = _read(pairs)
    wanted, sort = query.filter(), Sort.parse(query.sort)
    call = call_of(request)
    dataset = await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    gallery = request.app.state.gallery
    view: View = await gallery.look(dataset_id, wanted, sort, limit=query.limit, cursor=query.cursor)
    rest = [(name, value) for name, value in pairs if name not in ("cursor", "counts", "limit")]
    path = request.url.path
    values: dict[str, Any] = {
        "dataset": dataset,
        "query": query,
        "sort": sort,
        "images": view.images,
        "own": _url(path, pairs),
        "next": _url(path, [*rest, ("cursor", view.next_cursor)]) if view.next_cursor else None,
    }
    if is_fragment(request) and query.cursor is not None:
        return render(request, "gallery_page.html", **values)
    return render(request, "gallery.html", view=view, all=_url(path, rest), **values, **_sides(path, rest, wanted, view))


def _given(params: QueryParams) -> Pairs:
    """The query without what a form sends for its empty fields. Only in a category an empty value means something."""
    return [(name, value) for name, value in params.multi_items() if value or name in CATEGORIES]


def _read(pairs: Pairs) -> GalleryQuery:
    """Read a query as its JSON twin does.

    Raises:
        RequestValidationError: it is none.
    """
    values: dict[str, Any] = {"limit": PAGE}
    for name, value in pairs:
        if name in CATEGORIES:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    try:
        return GalleryQuery.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError([{**item, "loc": ("query", *item["loc"])} for item in error.errors()]) from error


def _url(path: str, pairs: Pairs) -> str:
    query: dict[str, list[str]] = {}
    for name, value in pairs:
        query.setdefault(name, []).append(value)
    return link(path, **query)


def _sides(path: str, pairs: Pairs, wanted: Filter, view: View) -> dict[str, Any]:
    """What stands beside the pictures: facets, the parts of the filter, and the fields of the forms."""
    facets = view.matches.facets if view.matches else {}
    typed = {name: value for name, value in pairs if name not in CATEGORIES}
    return {
        "facets": [_box(path, pairs, name, facet, wanted.values_of(name)) for name, facet in facets.items() if facet.counts],
        "chips": list(_chips(path, pairs)),
        "hidden": pairs,
        "typed": typed,
        "ranged": RANGED,
        "sorts": ORDERS,
        "listed": LISTED,
    }


def _box(path: str, pairs: Pairs, name: str, facet: Facet, chosen: Sequence[str]) -> FacetBox:
    values = [Value(value or "none", count, value in chosen, _toggled(path, pairs, name, value)) for value, count in facet.counts.items()]
    values.sort(key=lambda value: not value.is_chosen)
    return FacetBox(name, values, facet.more)


def _toggled(path: str, pairs: Pairs, name: str, value: str) -> str:
    """The URL with a value of a category added, or taken away where it is there."""
    rest = [pair for pair in pairs if pair != (name, value)]
    return _url(path, rest if len(rest) < len(pairs) else [*pairs, (name, value)])


def _chips(path: str, pairs: Pairs) -> Iterator[Chip]:
    for pair in dict.fromkeys(pairs):
        name, value = pair
        if name == "sort":
            continue
        end, _, number = name.partition("_")
        text = f"{number} {'≥' if end == 'min' else '≤'} {value}" if end in ("min", "max") else f"{name}: {value or 'none'}"
        yield Chip(text, _url(path, [other for other in pairs if other != pair]))
