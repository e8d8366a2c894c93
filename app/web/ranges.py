"""What a client that has a part, or all of it already, asks for (RFC 9110 13 and 14). Pure."""

import re
from dataclasses import dataclass

__all__ = ["Slice", "Unsatisfiable", "has_current", "parse_range"]

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)
_ETAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes from ``start`` up to, not including, ``stop``."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many."""
        return self.stop - self.start


class Unsatisfiable(Exception):
    """The range lies outside the file: 416."""


def parse_range(header: str | None, if_range: str | None, *, size: int, etag: str) -> Slice | None:
    """The one range that is asked for; ``None`` for the whole file.

    A header that makes no sense is ignored, and so are several ranges at once, as RFC 9110 14.2 allows. With an If-Range that is not
    our present strong validator the client gets the whole file.

    Raises:
        Unsatisfiable: it begins beyond the end.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or (if_range is not None and if_range.strip() != etag) or not (match[1] or match[2]):
        return None
    if not match[1]:
        return _last(int(match[2]), size)
    start = int(match[1])
    stop = int(match[2]) + 1 if match[2] else size
    if stop <= start and match[2]:
        return None
    if start >= size:
        raise Unsatisfiable
    return Slice(start, min(stop, size))


def _last(count: int, size: int) -> Slice:
    if not count or not size:
        raise Unsatisfiable
    return Slice(max(0, size - count), size)


def has_current(if_none_match: str | None, etag: str) -> bool:
    """Whether the client already holds what ``etag`` names (weak comparison, RFC 9110 13.1.2)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in _ETAG.findall(if_none_match)
