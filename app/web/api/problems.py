"""Error answers (RFC 9457): the kinds of problems, the table from our errors to them, and the exception handlers.

Knows no route; the pages answer in their own form, as ``answer_error`` of the application's state. The catch-all for bugs stands in
:mod:`app.web.middleware`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response
from starlette.types import Scope

import errors
from app.db.exceptions import KeyReused, StateConflict
from app.storage import MissingObject
from app.validation_errors import near_field, with_value
from logging_setup import get_logger

__all__ = [
    "KINDS",
    "MEDIA_TYPE",
    "RETRY_DATABASE_S",
    "FieldProblem",
    "Kind",
    "Problem",
    "Refusal",
    "fields_of",
    "install",
    "of_error",
    "of_status",
    "problem_of",
    "respond",
]

MEDIA_TYPE = "application/problem+json"

RETRY_DATABASE_S = 5
RETRY_STORAGE_S = 30
"""Seconds after which it is worth asking again."""


class FieldProblem(BaseModel):
    """One thing wrong with a request: where, and what."""

    pointer: str | None = Field(None, description="JSON pointer into the body (RFC 6901), as a URI fragment.", examples=["#/max_images"])
    parameter: str | None = Field(None, description="Name of the query parameter or header.", examples=["limit"])
    detail: str


class Problem(BaseModel):
    """A problem (RFC 9457)."""

    type: str = Field(description="URI of the kind of problem.", examples=["urn:pictrawl:problem:not-found"])
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong with this request.")
    instance: str = Field(description="Path of the request.")
    code: str = Field(description="Stable slug of the kind of problem.", examples=["not-found"])
    request_id: str = Field(description="Id of this request in the log.")
    errors: list[FieldProblem] | None = Field(None, description="Each thing wrong with the request, at most 20.")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem. ``code`` never changes its meaning."""

    code: str
    status: int
    title: str


KINDS: dict[str, Kind] = {
    kind.code: kind
    for kind in (
        Kind("bad-request", 400, "The request cannot be understood"),
        Kind("malformed-json", 400, "The body is not JSON"),
        Kind("unauthenticated", 401, "An API key is needed"),
        Kind("cross-origin", 403, "Another site may not do this"),
        Kind("not-found", 404, "Not found"),
        Kind("not-decodable", 404, "The picture cannot be decoded"),
        Kind("method-not-allowed", 405, "The method does not fit the resource"),
        Kind("state-conflict", 409, "The state of the resource does not allow it"),
        Kind("payload-too-large", 413, "The body is too large"),
        Kind("unsupported-media-type", 415, "The body must be JSON"),
        Kind("range-not-satisfiable", 416, "The range lies outside the file"),
        Kind("misdirected", 421, "This host is not served here"),
        Kind("validation-failed", 422, "The request breaks a rule"),
        Kind("idempotency-key-reused", 422, "The Idempotency-Key belongs to another request"),
        Kind("not-configured", 422, "This server is not set up for it"),
        Kind("internal", 500, "Internal error"),
        Kind("database-unavailable", 503, "The database cannot be reached"),
        Kind("storage-unavailable", 503, "The object store cannot be reached"),
        Kind("queue-unavailable", 503, "The queue cannot be reached"),
        Kind("not-ready", 503, "The server is not ready"),
        Kind("http-error", 400, "The request was refused"),
    )
}
"""Every kind of problem by its code."""

_BY_STATUS = {400: "bad-request", 401: "unauthenticated", 404: "not-found", 405: "method-not-allowed", 413: "payload-too-large"}


class Refusal(HTTPException):
    """Ends a request with a problem. A subclass of FastAPI's exception, which FastAPI passes through everywhere."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        fields: Sequence[FieldProblem] | None = None,
        status: int | None = None,
    ) -> None:
        self.kind = KINDS[code]
        super().__init__(status or self.kind.status, detail, dict(headers or {}))
        self.fields = fields


def of_status(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """The problem for a bare HTTP status, as the framework raises it."""
    return Refusal(_BY_STATUS.get(status, "http-error"), detail, headers=headers, status=status)


def of_error(error: errors.PictrawlError) -> Refusal:
    """Map one of our errors to a problem. Text of internal failures is not sent."""
    for family, code, retry_s in _UNAVAILABLE:
        if isinstance(error, family):
            return Refusal(code, f"{KINDS[code].title}; try again later.", headers={"Retry-After": str(retry_s)})
    for family, code in _REFUSED:
        if isinstance(error, family):
            return Refusal(code, error.message)
    return Refusal("internal", "The log has the cause under this request_id.")


_UNAVAILABLE: tuple[tuple[type[errors.PictrawlError], str, int], ...] = (
    (errors.DatabaseConnectionError, "database-unavailable", RETRY_DATABASE_S),
    (errors.StorageError, "storage-unavailable", RETRY_STORAGE_S),
    (errors.QueueUnavailableError, "queue-unavailable", RETRY_DATABASE_S),
)
_REFUSED: tuple[tuple[type[errors.PictrawlError], str], ...] = (
    (StateConflict, "state-conflict"),
    (KeyReused, "idempotency-key-reused"),
    (errors.NotFoundError, "not-found"),
    (MissingObject, "not-found"),
    (errors.ValidationError, "validation-failed"),
    (errors.InvalidURLError, "validation-failed"),
    (errors.ConfigurationError, "not-configured"),
)
"""The first match decides, so more exact classes come first."""


def respond(scope: Scope, refusal: Refusal) -> Response:
    """The response for a problem of the request in ``scope``: a page where one was asked for, else JSON."""
    answer_error = getattr(scope["app"].state, "answer_error", None) if "app" in scope else None
    page: Response | None = answer_error(scope, refusal) if answer_error is not None else None
    return (
        page
        if page is not None
        else Response(
            problem_of(scope, refusal).model_dump_json(exclude_none=True), refusal.status_code, dict(refusal.headers or {}), MEDIA_TYPE
        )
    )


def problem_of(scope: Scope, refusal: Refusal) -> Problem:
    """The body for a problem of the request in ``scope``."""
    return Problem(
        type=f"urn:pictrawl:problem:{refusal.kind.code}",
        title=refusal.kind.title,
        status=refusal.status_code,
        detail=str(refusal.detail),
        instance=scope["path"],
        code=refusal.kind.code,
        request_id=scope.get("state", {}).get("request_id", ""),
        errors=list(refusal.fields) if refusal.fields else None,
    )


def fields_of(found: Sequence[Any], body: Any, models: Sequence[type[BaseModel]] = ()) -> list[FieldProblem]:
    """Translate pydantic's errors: a JSON pointer for each place in the body, a name for each parameter.

    Args:
        models: those of the request, whose fields are suggested for unknown ones.
    """
    return [_field(item, body, models) for item in found[:_LISTED]]


_LISTED = 20


def _field(item: Any, body: Any, models: Sequence[type[BaseModel]]) -> FieldProblem:
    where, *path = item["loc"]
    near = near_field(models, path) if item["type"] == "extra_forbidden" else None
    detail = with_value(item) + (f"; did you mean {near}?" if near else "")
    if where == "body":
        return FieldProblem(pointer=_pointer(path, body), detail=detail)
    return FieldProblem(parameter=str(path[0]) if path else where, detail=detail)


def _pointer(path: Sequence[Any], body: Any) -> str:
    """The steps of a pydantic location that the body really has; the names of union members and validators are not among them."""
    steps: list[str] = []
    current = body
    for index, step in enumerate(path):
        if isinstance(current, Mapping) and isinstance(step, str) and (step in current or index == len(path) - 1):
            current = current.get(step)
        elif isinstance(current, list) and isinstance(step, int) and step < len(current):
            current = current[step]
        else:
            continue
        steps.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "#" + "".join(f"/{step}" for step in steps)


log = get_logger(__name__)


def install(app: FastAPI) -> None:
    """Install handlers that answer every error with a problem."""
    handlers: dict[Any, Any] = {
        StarletteHTTPException: _on_http_error,
        RequestValidationError: _on_bad_request,
        errors.PictrawlError: _on_our_error,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _on_http_error(request: Request, error: StarletteHTTPException) -> Response:
    if not isinstance(error, Refusal):
        error = of_status(error.status_code, _WORDS.get(error.status_code, str(error.detail)), error.headers)
    return respond(request.scope, error)


_WORDS = {
    400: "The body could not be read.",
    404: "There is no route with this path.",
    405: "This resource does not take this method; see the Allow header.",
}


async def _on_our_error(request: Request, error: errors.PictrawlError) -> Response:
    refusal = of_error(error)
    if refusal.status_code >= 500:
        log.error("http.refused", code=refusal.kind.code, error_type=type(error).__name__, error=error.message)
    return respond(request.scope, refusal)


async def _on_bad_request(request: Request, error: RequestValidationError) -> Response:
    return respond(request.scope, _as_refusal(error, _models_of(request.scope.get("endpoint"))))


def _models_of(endpoint: Any) -> list[type[BaseModel]]:
    """The models of the body and the query that a route takes."""
    hints = get_type_hints(endpoint) if endpoint is not None else {}
    return [kind for name, kind in hints.items() if name != "return" and isinstance(kind, type) and issubclass(kind, BaseModel)]


def _as_refusal(error: RequestValidationError, models: Sequence[type[BaseModel]]) -> Refusal:
    found = error.errors()
    if any(item["loc"][0] == "path" for item in found):  # a malformed id is answered like an unknown one
        return Refusal("not-found", "There is nothing with this id.")
    if any(item["type"] == "json_invalid" for item in found):
        item = found[0]
        return Refusal("malformed-json", f"The body is not JSON: {item['ctx']['error']} at character {item['loc'][-1]}.")
    fields = fields_of(found, error.body, models)
    first = fields[0]
    place = first.parameter or (first.pointer or "#").removeprefix("#/").strip("#") or "body"
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    return Refusal("validation-failed", f"{place}: {first.detail}{more}", fields=fields)
