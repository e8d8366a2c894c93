"""What a provider receives and answers: a request with its parameters read, and a response that may still be JSON and not yet bytes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from app.cli.demo import pictures
from tests.origin import Hit

__all__ = ["Request", "Response", "detail", "listing", "page", "picture", "refusal"]


@dataclass(frozen=True)
class Request:
    """One request as it arrived.

    Attributes:
        path: percent-decoded.
        query: all values of each parameter, in order; empty values are kept.
        headers: by their names in lower case.
        time: by the provider's clock.
    """

    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    time: float

    @classmethod
    def parse(cls, hit: Hit, time: float) -> Self:
        parts = urlsplit(hit.target)
        return cls(unquote(parts.path), parse_qs(parts.query, keep_blank_values=True), hit.headers, time)

    def get(self, name: str, default: str = "") -> str:
        """Return the last value of a parameter, as most servers do."""
        return self.query.get(name, [default])[-1]

    def number(self, name: str, default: int) -> int:
        """Return a parameter that is a number, ``default`` where it is missing or none."""
        value = self.get(name, str(default))
        return int(value) if value.isascii() and value.isdecimal() else default


@dataclass(frozen=True)
class Response:
    """One answer.

    Attributes:
        document: encoded as JSON; ``body`` is then left out.
        is_listing: whether it is a page of a search; faults change these. Answers to requests for one item, to counts and images are none.
        is_reset: the connection is reset instead.
    """

    status: int = 200
    document: Any = None
    body: bytes = b""
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    is_listing: bool = False
    is_reset: bool = False

    @property
    def encoded(self) -> bytes:
        return self.body if self.document is None else json.dumps(self.document).encode()


def listing(document: Any, **headers: str) -> Response:
    """A page of a search; headers by keyword, underscores for dashes."""
    return Response(document=document, headers=_headers(headers), is_listing=True)


def detail(document: Any, **headers: str) -> Response:
    """What is known of one item, a count, or any other JSON that is no page of a search."""
    return Response(document=document, headers=_headers(headers))


def refusal(status: int, document: Any, **headers: str) -> Response:
    """An error in JSON."""
    return Response(status, document, headers=_headers(headers))


def page(status: int, text: str, **headers: str) -> Response:
    """A page for people where JSON was asked for."""
    return Response(status, body=text.encode(), media_type="text/html; charset=utf-8", headers=_headers(headers))


@lru_cache(maxsize=512)
def picture(number: int) -> Response:
    """The image of an item: for each number another that passes every check, 480 x 360 pixels."""
    return Response(body=pictures.encoded(pictures.photograph(number)), media_type="image/jpeg")


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items()}
