"""The answers that several routes give: accepted work with its place, and what OpenAPI is told of problems."""

from typing import Any

from fastapi import Response

__all__ = ["ACCEPTED", "accepted", "may_fail"]

POLL_S = 1
"""Seconds after which it is worth looking at accepted work for the first time."""

ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "Accepted; the work is on record and will be done.",
        "headers": {
            "Location": {"description": "Where to look.", "schema": {"type": "string"}},
            "Retry-After": {"description": "Seconds until it is worth looking.", "schema": {"type": "integer"}},
        },
    }
}


def accepted(response: Response, location: str) -> None:
    """Say where accepted work can be watched (RFC 9110 15.3.3)."""
    response.headers["Location"] = location
    response.headers["Retry-After"] = str(POLL_S)


def may_fail(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Statuses of problems that are particular to a route; those of every route are added to the document as a whole."""
    return {status: {} for status in statuses}
