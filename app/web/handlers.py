"""From what a route or the framework raises to a problem. The catch-all for bugs stands in :mod:`app.web.middleware`."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

import errors
from app.web import problems
from logging_setup import get_logger

__all__ = ["install"]

log = get_logger(__name__)


def install(app: FastAPI) -> None:
    """Answer every error of this application with a problem."""
    handlers: dict[Any, Any] = {
        HTTPException: _on_http_error,
        RequestValidationError: _on_bad_request,
        errors.PictrawlError: _on_our_error,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    if not isinstance(error, problems.Refusal):
        error = problems.of_status(error.status_code, _WORDS.get(error.status_code, str(error.detail)), error.headers)
    return problems.respond(request.scope, error)


_WORDS = {
    400: "The body could not be read.",
    404: "There is no route with this path.",
    405: "This resource does not take this method; see the Allow header.",
}


async def _on_our_error(request: Request, error: errors.PictrawlError) -> Response:
    refusal = problems.of_error(error)
    if refusal.status_code >= 500:
        log.error("http.refused", code=refusal.kind.code, error_type=type(error).__name__, error=error.message)
    return problems.respond(request.scope, refusal)


async def _on_bad_request(request: Request, error: RequestValidationError) -> Response:
    return problems.respond(request.scope, _as_refusal(error))


def _as_refusal(error: RequestValidationError) -> problems.Refusal:
    found = error.errors()
    if any(item["loc"][0] == "path" for item in found):  # an id that cannot exist is an id that does not
        return problems.Refusal("not-found", "There is nothing with this id.")
    if any(item["type"] == "json_invalid" for item in found):
        item = found[0]
        return problems.Refusal("malformed-json", f"The body is not JSON: {item['ctx']['error']} at character {item['loc'][-1]}.")
    fields = problems.fields_of(found, error.body)
    first = fields[0]
    place = first.parameter or (first.pointer or "#").removeprefix("#/").strip("#") or "body"
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    return problems.Refusal("validation-failed", f"{place}: {first.detail}{more}", fields=fields)
