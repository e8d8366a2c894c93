"""Every page of the server, with an address at which a seeded workspace shows it. A page without a row here fails a test."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

__all__ = ["PAGES", "Shown", "address", "page_paths"]

NO_PAGES = ("/v1/", "/static/", "/session")
"""Beginnings of paths that answer with something else than a page."""

WAYS_BACK = ("/datasets/{dataset_id}/exports",)
"""Paths of forms that lead to their page where somebody loads them again."""


@dataclass(frozen=True)
class Shown:
    """A page.

    Attributes:
        name: of its screenshots.
        query: what it is asked for, besides its path.
        is_open: whether it is shown to visitors who have not signed in.
        has_twin: whether it shows the ``curl`` of the same as JSON.
    """

    name: str
    query: str = ""
    is_open: bool = False
    has_twin: bool = True


PAGES: Mapping[str, Shown] = {
    "/": Shown("home"),
    "/builds/new": Shown("new-build"),
    "/jobs": Shown("jobs"),
    "/jobs/{job_id}": Shown("job"),
    "/jobs/{job_id}/log": Shown("job-log"),
    "/datasets/{dataset_id}/review": Shown("review"),
    "/datasets/{dataset_id}/duplicates": Shown("duplicates"),
    "/datasets": Shown("datasets"),
    "/datasets/{dataset_id}": Shown("dataset"),
    "/datasets/{dataset_id}/delete": Shown("dataset-delete"),
    "/datasets/{dataset_id}/diff": Shown("dataset-diff", "?against={other_id}"),
    "/datasets/{dataset_id}/labels": Shown("dataset-labels"),
    "/datasets/{dataset_id}/leaks": Shown("dataset-leaks"),
    "/datasets/{dataset_id}/licences": Shown("dataset-licences", "?license=open"),
    "/datasets/{dataset_id}/update": Shown("dataset-update"),
    "/docs": Shown("docs", is_open=True, has_twin=False),
    "/exports/{export_id}": Shown("export"),
    "/fleet": Shown("fleet"),
    "/datasets/{dataset_id}/images": Shown("gallery", "?sort=-sharpness&split=train&split="),
    "/images/{image_id}": Shown("picture"),
    "/signin": Shown("sign-in", is_open=True, has_twin=False),
}
"""By the path of the route, whose parameters are those of :attr:`~tests.browser.site.Seeded.ids`."""


def address(path: str, ids: Mapping[str, str]) -> str:
    """Where a page shows these ids."""
    return (path + PAGES[path].query).format(**ids)


def page_paths(app: FastAPI) -> Iterator[str]:
    """Paths of all routes that answer a browser with a page."""
    for route in iter_route_contexts(app.routes):
        path = str(route.path)
        is_page = "GET" in (route.methods or ()) and not getattr(route, "include_in_schema", True)
        if is_page and not isinstance(route.original_route, Mount) and not path.startswith(NO_PAGES) and path not in WAYS_BACK:
            yield path
