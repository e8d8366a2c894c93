"""What a source is: its description, one page of a search, and the search itself, which follows pages and divides what is too deep.

Knows no concrete source, no row and no job; a source never keeps state between two calls, its cursor is all there is.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol, Self

import errors
from app.discovery.licences.policy import ANYTHING, LicencePolicy
from app.discovery.licences.terms import RESERVED
from app.discovery.sources import fields
from app.discovery.sources.rate_limits import RateLimit
from app.domain import Candidate, ListProblem

__all__ = [
    "JsonClient",
    "Params",
    "Part",
    "Place",
    "Query",
    "RateLimit",
    "Reply",
    "SearchPage",
    "Source",
    "SourceInfo",
    "SourceOptions",
    "next_offset",
    "read_offset",
]

MAX_DIVISIONS, MAX_EMPTY_PAGES = 200, 10
"""Requests in a row that only find that a part is too large, and pages in a row without a result; a source that answers so for ever is not
followed for ever."""

LEAST_FILL = 0.25
"""How full the first page of a part is at least whose total says that it is too large. Of an emptier one the total is not true: its parts
would say the same for ever."""

Params = Mapping[str, str | Sequence[str]]
"""Parameters of a URL; one with several values is repeated."""

Part = Mapping[str, str]
"""A restriction of a query, in the source's own terms, such as ``{"year": "1999"}``; empty for all of it."""

KeyUse = Literal["none", "optional", "required"]


class JsonClient(Protocol):
    """The part of the downloader that a source uses: JSON of a URL, or one of ``errors``."""

    async def fetch_json(self, url: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None) -> Any:
        """Return the decoded body of a GET request."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """The description of a source.

    Attributes:
        name: stable slug, the word users type.
        base_url: scheme and host of its API.
        terms_url, docs_url: pages for people: its terms, the documentation of its API.
        licences: in words, how a licence comes with an image.
        depth: results that one search can reach, ``None`` if there is no limit.
        page_size: results in one page; with an API key ``page_size_with_key``, where that changes it.
        limits: how often it may be asked, as it declares; with an API key ``limits_with_key``, where that changes them.
        filters: what it can be asked to filter by, in words, such as ``license``.
        needs_contact: whether its terms ask for a way to reach the operator in every request.
        key: whether it takes an API key; ``key_url`` is where to get one.
        is_divisible: whether a search that is deeper than ``depth`` is read in parts.
        throttles_with_403: whether a 403 means too many requests.
        calls_per_result: further requests that each result takes, beside those for pages.
    """

    name: str
    title: str
    base_url: str
    terms_url: str
    docs_url: str
    licences: str
    depth: int | None
    page_size: int
    limits: tuple[RateLimit, ...] = ()
    limits_with_key: tuple[RateLimit, ...] = ()
    page_size_with_key: int | None = None
    filters: tuple[str, ...] = ()
    needs_contact: bool = False
    key: KeyUse = "none"
    key_url: str = ""
    is_divisible: bool = False
    throttles_with_403: bool = False
    calls_per_result: int = 0

    @property
    def needs_key(self) -> bool:
        """Whether it answers nobody without an API key."""
        return self.key == "required"

    def as_asked(self, options: "SourceOptions") -> "SourceInfo":
        """Return the description as it holds for us: with the pages of those who have a key, if we have one."""
        return replace(self, page_size=(options.key and self.page_size_with_key) or self.page_size)


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is asked.

    Attributes:
        base_url: scheme and host, perhaps with a path, without a slash at the end.
        side_px: pixels that the shorter side of an image should have at least; ``None`` for originals.
    """

    base_url: str
    key: str | None = field(default=None, repr=False)
    contact: str = ""
    side_px: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for.

    Attributes:
        licences: a source that can filter by licence is asked for these only.
        qid, category: the Wikidata item of the keyword, such as ``Q146``, and its category on Wikimedia Commons, where they are known.
        wanted: about how many results are needed, ``None`` for all.
    """

    keyword: str
    licences: LicencePolicy = ANYTHING
    qid: str | None = None
    category: str | None = None
    wanted: int | None = None

    @property
    def is_free_only(self) -> bool:
        """Whether neither reserved nor unknown rights are taken: a source that can leave them out is asked to."""
        return not (self.licences.allows(RESERVED) or self.licences.allows(None))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: the part of the query, and the source's own word for the page; ``None`` for the first."""

    part: Part = field(default_factory=dict)
    page: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One page as a source reads it.

    Attributes:
        items: in the source's order: a candidate, the problem with an item, or ``None`` for one of a kind that is not taken. Ranks and line
            numbers are set by the search.
        following: the source's word for the next page; ``None`` after the last.
        total: results of this part of the query, as the source says.
        note: a remark for the log and the summary.
        results: results on this page, which count towards the source's depth, where they are not one to an item.
        parts: smaller parts that together are this one, where the answer names them; as of `Source.divide`.
    """

    items: Sequence[Candidate | ListProblem | None]
    following: str | None = None
    total: int | None = None
    note: str = ""
    results: int | None = None
    parts: Sequence[Part] = ()

    @property
    def size(self) -> int:
        """How many results the page has."""
        return len(self.items) if self.results is None else self.results


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


class Source(ABC):
    """Answers a keyword with images. A subclass reads one page; following pages and dividing a query is done here."""

    info: ClassVar[SourceInfo]

    def __init__(self, client: JsonClient, options: SourceOptions) -> None:
        self._client = client
        self._options = options

    @abstractmethod
    async def read(self, query: Query, place: Place) -> Reply:
        """Read one page, with all requests that it takes.

        Raises:
            errors.ValidationError: ``place.page`` is none of this source's.
            errors.TransientError: temporarily unavailable; ``retry_after_s`` where the source names a wait.
            errors.PermanentError: the source refuses, or its answer is invalid.
        """

    @abstractmethod
    async def count(self, query: Query, part: Part) -> int | None:
        """Return how many results a part of a query has, by one small request; ``None`` where the source does not say.

        Raises:
            errors.PictrawlError: as `read`.
        """

    def parts(self, query: Query) -> Sequence[Part]:
        """Return the parts that a query is searched in, in their order; they have no result in common. By default it is one part."""
        return ({},)

    def divide(self, query: Query, part: Part, total: int) -> Sequence[Part]:
        """Return smaller parts that together are ``part``; none where it cannot be divided.

        Args:
            total: results of ``part``, more than can be reached.
        """
        return ()

    async def get(self, path: str, params: Params | None = None, *, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """Request a JSON object below the source's address.

        Raises:
            errors.AuthenticationError: the key is refused; the message names its setting.
            errors.ProtocolError: the answer is no JSON object.
            errors.PictrawlError: as the client.
        """
        try:
            reply = await self._client.fetch_json(f"{self._options.base_url.rstrip('/')}{path}", params=params, headers=headers)
        except errors.AuthenticationError as error:
            if self.info.key == "none" or not self._options.key or not error.status:
                raise
            variable = f"PICTRAWL_SOURCES__{self.info.name.upper()}__KEY"
            words = f"refused the API key ({error.status}); check sources.{self.info.name}.key ({variable})"
            raise errors.AuthenticationError(words) from error
        return fields.document(reply, self.info.title)

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[SearchPage]:
        """Yield the pages of a search from ``cursor`` (``None``: the beginning) until one with no cursor.

        A page that was yielded can be asked for again with the cursor of the page before it. What is deeper than the source allows is
        divided; where it cannot be, or a page repeats, the search ends there and the note says so. If no more is wanted than the source
        gives out, its best results come first, and it is divided only after these, some of which then come again.

        Raises:
            errors.ValidationError: ``cursor`` is none of this source's.
            errors.PictrawlError: as `read`.
        """
        at = _Cursor(tuple(self.parts(query))) if cursor is None else _Cursor.parse(self.info.name, cursor)
        seen: set[str] = set()
        divisions, empty, remarks = 0, 0, ""
        while at.parts:
            reply = await self._read(query, at)
            if parts := self._divided(query, at, reply, divisions):
                at, divisions, remarks = replace(at, parts=(*parts, *at.parts[1:])), divisions + 1, _join(remarks, reply.note)
                continue
            following, note = self._following(at, reply, seen, empty := 0 if reply.size else empty + 1)
            if rest := self._rest(query, at, reply):
                seen.clear()  # what has come may come again
            page, at = _page(at, reply, following, _join(remarks, reply.note if rest else note))
            at = replace(at, parts=(*rest, *at.parts))
            yield replace(page, cursor=at.dump(self.info.name) if at.parts else None)
            divisions, remarks = 0, ""

    async def _read(self, query: Query, at: "_Cursor") -> Reply:
        """Read a page. A source that refuses a later page ends a search there: some answer 400 at their limit."""
        try:
            return await self.read(query, Place(at.parts[0], at.page))
        except errors.BadRequestError as error:
            if at.page is None:
                raise
            return Reply((), note=f"the source gives out no more after {at.found_in_part} results: {error}")

    def is_enough(self, query: Query) -> bool:
        """Whether no more is wanted than can be reached without dividing."""
        return query.wanted is not None and self.info.depth is not None and query.wanted <= self.info.depth

    def _divided(self, query: Query, at: "_Cursor", reply: Reply, divisions: int) -> Sequence[Part]:
        """Return the parts that are read in place of one that is too deep."""
        is_read_whole = at.page is not None or (self.is_enough(query) and at.parts[0] in self.parts(query))
        is_overstated = not reply.parts and reply.size < self.info.page_size * LEAST_FILL
        return () if is_read_whole or is_overstated or divisions >= MAX_DIVISIONS else self._smaller(query, at, reply)

    def _rest(self, query: Query, at: "_Cursor", reply: Reply) -> Sequence[Part]:
        """Return the parts that are read after a part of the query that was read whole as far as it goes."""
        has_ended = reply.following is None or at.found_in_part + reply.size >= (self.info.depth or 0)
        is_whole = query.wanted is not None and at.parts[0] in self.parts(query)
        return self._smaller(query, at, reply) if has_ended and is_whole else ()

    def _smaller(self, query: Query, at: "_Cursor", reply: Reply) -> Sequence[Part]:
        is_deep = self.info.depth is not None and reply.total is not None and reply.total > self.info.depth
        return (reply.parts or self.divide(query, at.parts[0], reply.total or 0)) if is_deep else ()

    def _following(self, at: "_Cursor", reply: Reply, seen: set[str], empty: int) -> tuple[str | None, str]:
        """Return the next page of this part and a note, or why there is none."""
        if reply.following is None:
            return None, reply.note
        content = tuple(item.url for item in reply.items if isinstance(item, Candidate))
        if content and str(hash(content)) in seen:
            return None, _join(reply.note, "the source's page has what a page before it had")
        seen |= {f"{at.parts[0]} {at.page}", str(hash(content))}
        if f"{at.parts[0]} {reply.following}" in seen:
            return None, _join(reply.note, "the source's next page is one that was read before")
        if empty >= MAX_EMPTY_PAGES:
            return None, _join(reply.note, f"the source's last {empty} pages were empty")
        if self.info.depth is not None and at.found_in_part + reply.size >= self.info.depth:
            return None, _join(reply.note, f"the search ends at {self.info.depth} results")
        return reply.following, reply.note


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where a search stands: parts that are left, the first of them being read, and the results so far."""

    parts: tuple[Part, ...]
    page: str | None = None
    found: int = 0
    found_in_part: int = 0

    @classmethod
    def parse(cls, source: str, text: str) -> Self:
        """Read a cursor that ``dump`` wrote."""
        try:
            read = json.loads(text)
            parts = tuple({str(name): str(value) for name, value in part.items()} for part in read["parts"])
            page, counts = read["page"], (int(read["found"]), int(read["found_in_part"]))
            is_ours = read["source"] == source and bool(parts) and (page is None or isinstance(page, str)) and min(counts) >= 0
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            raise errors.ValidationError(f"the cursor of a {source} search is not one that it gave out") from exc
        if not is_ours:
            raise errors.ValidationError(f"the cursor of a {source} search is not one that it gave out")
        return cls(parts, page, *counts)

    def dump(self, source: str) -> str:
        """Return the cursor as text."""
        document = {"source": source, "parts": self.parts, "page": self.page, "found": self.found, "found_in_part": self.found_in_part}
        return json.dumps(document, sort_keys=True)


def read_offset(page: str | None) -> int:
    """Read a page that a source named by the number of results before it.

    Raises:
        errors.ValidationError: it is no number.
    """
    if page is None:
        return 0
    if not (page.isascii() and page.isdecimal() and len(page) <= 12):
        raise errors.ValidationError(f"{page[:40]!r} is no page of this source")
    return int(page)


def next_offset(offset: int, count: int, total: int | None) -> str | None:
    """Return the page after ``count`` results from an offset, ``None`` where none are left.

    Args:
        total: as the source says; without it only a page without results is the last.
    """
    end = offset + count
    return None if not count or (total is not None and end >= total) else str(end)


def _page(at: _Cursor, reply: Reply, following: str | None, note: str) -> tuple[SearchPage, _Cursor]:
    """Return a page without its cursor, and where the search then stands; without any part where it has ended."""
    candidates: list[Candidate] = []
    problems: list[ListProblem] = []
    for rank, item in enumerate(reply.items, at.found):
        if isinstance(item, Candidate):
            candidates.append(replace(item, rank=rank))
        elif item is not None:
            problems.append(replace(item, line=rank + 1))
    passed_over = len(reply.items) - len(candidates) - len(problems)
    if passed_over:
        note = _join(note, f"{passed_over} of {len(reply.items)} results are of a kind that is not taken")
    found = at.found + len(reply.items)
    page = SearchPage(tuple(candidates), None, tuple(problems), note)
    if following is not None:
        return page, replace(at, page=following, found=found, found_in_part=at.found_in_part + reply.size)
    return page, _Cursor(at.parts[1:], None, found)


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
