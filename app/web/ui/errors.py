"""Errors of pages: a browser gets a page that says what is wrong and where to go on, or is sent to sign in."""

from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from app.web.api import problems
from app.web.identity import API_PREFIX, SAFE_METHODS, wants_page
from app.web.ui.templating import render_error

__all__ = ["answer_error"]


def answer_error(scope: Scope, refusal: problems.Refusal) -> Response | None:
    """Return the page for a problem; ``None`` where a script or another program asks, which reads the problem as JSON."""
    headers = Headers(scope=scope)
    is_fragment = "hx-request" in headers
    if scope["path"].startswith(API_PREFIX) or is_fragment or not wants_page(headers):
        return None
    if refusal.kind.code == "unauthenticated" and scope["method"] in SAFE_METHODS:
        return RedirectResponse(sign_in_url(scope), 303)
    return render_error(scope, problems.problem_of(scope, refusal), dict(refusal.headers or {}))


def sign_in_url(scope: Scope) -> str:
    """The sign-in page, which leads back to the page that was asked for."""
    query = scope.get("query_string", b"").decode("latin-1")
    here = scope["path"] + (f"?{query}" if query else "")
    return "/signin" if here == "/" else f"/signin?next={quote(here, safe='')}"
