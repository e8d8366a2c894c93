"""The protocol of an image source, its pages, and the client it requests through.

Knows no concrete source, no row and no job; a source never keeps state between two calls, its cursor is all there is.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.domain import Candidate, ListProblem

__all__ = ["JsonClient", "SearchPage", "Source"]


class JsonClient(Protocol):
    """The part of the downloader that a source uses: JSON of a URL, or one of ``errors``."""

    async def fetch_json(self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> Any:
        """Return the decoded body of a GET request."""
        ...


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One step of a search.

    Attributes:
        candidates: in the source's own order.
        cursor: where the next page begins, to be kept and handed to ``Source.pages`` again; ``None`` when nothing is left.
        problems: items of this page that could not be used; ``line`` is the item's position in the search, from 1.
        note: a remark on this page for the log.
    """

    candidates: tuple[Candidate, ...]
    cursor: str | None
    problems: tuple[ListProblem, ...] = ()
    note: str = ""


class Source(Protocol):
    """Answers a keyword with images.

    Attributes:
        name: stable slug, the word users type.
        needs_contact: whether its terms ask for a way to reach the operator in every request.
        needs_key: whether it answers nobody without an API key.
        licences: in words, how a licence comes with an image.
        depth: results a search can reach, ``None`` if there is no limit.
    """

    name: str
    title: str
    needs_contact: bool
    needs_key: bool
    terms_url: str
    licences: str
    depth: int | None

    def pages(self, keyword: str, cursor: str | None) -> AsyncIterator[SearchPage]:
        """Yield the pages of a search from ``cursor`` (``None``: the beginning) until one with no cursor.

        A page that was yielded can be asked for again with the cursor of the page before it.

        Raises:
            errors.ValidationError: ``cursor`` is none of this source's.
            errors.TransientError: temporarily unavailable; ``retry_after_s`` where the source names a wait.
            errors.PermanentError: the source refuses, or its answer is invalid.
        """
        ...
