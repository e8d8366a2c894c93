"""Keyset pages: a cursor is the last row's sort key, so a page costs the same however deep it lies."""

import base64
import binascii
import json
from typing import Any

from sqlalchemy import ColumnElement, literal, tuple_

import errors

__all__ = ["MAX_LIMIT", "after", "decode", "encode"]

MAX_LIMIT = 200
"""Rows in one page."""


def encode(*values: Any) -> str:
    """An opaque cursor."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """The values in a cursor; ``errors.ValidationError`` where it is none of ours."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(values, list) or len(values) != len(kinds):
            raise ValueError("wrong shape")
        return tuple(_storable(kind(value)) for kind, value in zip(kinds, values, strict=True))
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise errors.ValidationError("cursor is not one that this list gave out; leave it away to start at the beginning") from error


def _storable(value: Any) -> Any:
    """A value that every database takes: 64 bits, no NUL."""
    if (isinstance(value, int) and not -(2**63) <= value < 2**63) or (isinstance(value, str) and "\0" in value):
        raise ValueError("out of range")
    return value


def after(columns: list[Any], values: tuple[Any, ...], *, descending: bool) -> ColumnElement[bool]:
    """The condition for rows beyond a cursor."""
    row = tuple_(*columns)
    edge = tuple_(*(literal(value) for value in values))
    return row < edge if descending else row > edge
