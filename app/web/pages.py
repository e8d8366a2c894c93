"""What this server is, for programs, and ``/docs``, the reference of its API: one answer that loads nothing and runs no script."""

import base64
import hashlib

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from app.resources import product_version
from app.web.api import openapi
from app.web.reference import render_reference

__all__ = ["DOCS_PATH", "describe", "router"]

router = APIRouter(include_in_schema=False)

DOCS_PATH = "/docs"

ABOUT = "Turns keywords or lists of URLs into image datasets fit for training."

LINKS = {
    "reference": (DOCS_PATH, "the operations and schemas of the API, to read"),
    "openapi": (openapi.DOCUMENT_PATH, "the same as an OpenAPI document, for tools"),
    "jobs": ("/v1/jobs", "the jobs of this server"),
    "health": ("/healthz", "whether this process lives"),
    "readiness": ("/readyz", "whether database, queue and store answer"),
    "metrics": ("/metrics", "figures for Prometheus"),
}

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
code { font: 0.9em ui-monospace, monospace; overflow-wrap: anywhere }
table { border-collapse: collapse; margin: 0.5rem 0; width: 100% }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 0.8rem 0.2rem 0; border-bottom: 1px solid #ddd }
details { margin: 0.3rem 0; padding-left: 0.5rem; border-left: 2px solid #ddd }
summary { cursor: pointer }
a { color: #0b57a4 }
@media (prefers-color-scheme: dark) {
  body { color: #eee; background: #161616 }
  th, td, details { border-color: #444 }
  a { color: #8ab8ee }
}
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
}


def describe() -> JSONResponse:
    """What this server is, for programs; browsers get the home page under the same path."""
    document = {"name": "pictrawl", "version": product_version(), "description": ABOUT}
    return JSONResponse(document | {"links": {name: path for name, (path, _) in LINKS.items()}}, headers={"Vary": "Accept"})


@router.get(DOCS_PATH)
async def docs(request: Request) -> Response:
    """The reference of the API."""
    state = request.app.state
    if not hasattr(state, "reference"):
        state.reference = render_reference(openapi.build(request.app))
    return _page("pictrawl: API reference", state.reference)


def _page(title: str, body: str) -> Response:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><style>{STYLE}</style>'
    way_back = '<nav aria-label="Pages"><a href="/">pictrawl</a></nav>'
    document = f'<!doctype html><html lang="en"><head>{head}</head><body>{way_back}<main>{body}</main></body></html>'
    return HTMLResponse(document, headers=HEADERS)
