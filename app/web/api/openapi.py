"""The OpenAPI document: FastAPI's, with RFC 9457 problems in place of its validation errors, and the bearer key."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.web.api.problems import KINDS, MEDIA_TYPE, Problem
from app.web.identity import OPEN_PATHS

__all__ = ["DOCUMENT_PATH", "build"]

DOCUMENT_PATH = "/v1/openapi.json"

DESCRIPTION = """\
Turn keywords or URL lists into image datasets fit for training.

Work is accepted with `202` and a `Location`, and is stored by then. Lists are paged: send `next_cursor` back as `cursor`.
Times are RFC 3339 in UTC, sizes bytes, durations seconds. Unknown query parameters and fields are refused.

Every error is a problem (RFC 9457, `application/problem+json`) with a stable `code`. Every answer carries the `X-Request-ID` of the log;
send one to choose it.

Send an API key as `Authorization: Bearer ptk_…`. A server on loopback without any key takes every request for the user `local`.
"""

_TITLES = {
    400: "The body cannot be read.",
    401: "An API key is needed, or this one is not in force.",
    403: "A web page of another origin may not do this.",
    404: "There is no such resource, or it belongs to another user.",
    409: "The state of the resource does not allow it.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    416: "The range lies outside the file.",
    421: "This host is not served here.",
    422: "The request breaks a rule; `errors` says which.",
    500: "Internal error; the log has the cause under `request_id`.",
    503: "The database, the store or the queue cannot be reached; try again later.",
}


def build(app: FastAPI) -> dict[str, Any]:
    """Build the document of an application's routes."""
    document = get_openapi(
        title=app.title, version=app.version, openapi_version="3.1.0", description=DESCRIPTION, routes=app.routes, tags=app.openapi_tags
    )
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    problem["properties"]["code"]["enum"] = sorted(KINDS)
    schemas["Problem"] = problem
    document["components"]["responses"] = {f"Problem{status}": _response(status) for status in _TITLES}
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "ptk_<id>_<secret>"}}
    document["security"] = [{"key": []}, {}]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            _document_problems(path, method, operation)
    return document


def _response(status: int) -> dict[str, Any]:
    return {"description": _TITLES[status], "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def _document_problems(path: str, method: str, operation: dict[str, Any]) -> None:
    declared = {int(status) for status in operation["responses"] if int(status) in _TITLES}
    for status in sorted(declared | _always(path, method, operation)):
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    operation["responses"] = dict(sorted(operation["responses"].items()))
    if path in OPEN_PATHS:
        operation["security"] = []


def _always(path: str, method: str, operation: dict[str, Any]) -> set[int]:
    """Statuses that any route of this kind may answer."""
    statuses = {422, 500}
    if path == "/healthz":
        return statuses
    statuses |= {503}
    if path not in OPEN_PATHS:
        statuses |= {401, 421}
    if "{" in path:
        statuses |= {404}
    if method not in ("get", "head"):
        statuses |= {403}
    if "requestBody" in operation:
        statuses |= {400, 413, 415}
    return statuses
