"""Arrays of JSON that are larger than memory: one entry a line, so that they are written and read back entry by entry."""

from collections.abc import Iterator
from typing import Any

import orjson

from app.exports.hashed_file import HashedFile

__all__ = ["ArrayWriter", "read_array"]

_OPEN, _CLOSE = b"[\n", b"\n]"


class ArrayWriter:
    """Writes one array into an open file."""

    def __init__(self, file: HashedFile) -> None:
        self._file = file
        self.entries = 0
        file.write(_OPEN)

    def add(self, entry: object) -> None:
        """Write one entry."""
        self.add_encoded(orjson.dumps(entry))

    def add_encoded(self, entry: bytes) -> None:
        """Write one entry that is JSON on one line."""
        self._file.write(b",\n" + entry if self.entries else entry)
        self.entries += 1

    def close(self) -> None:
        """Close the array, not the file."""
        self._file.write(_CLOSE)


def read_array(lines: Iterator[bytes]) -> Iterator[Any]:
    """Yield the entries of an array whose opening line was read; the line that closes it is read as well.

    Raises:
        ValueError: it is not written as :class:`ArrayWriter` does: it is not closed, or a comma is missing or too many.
    """
    is_first = must_go_on = True
    for line in lines:
        entry = line.rstrip(b"\n")
        if entry.startswith(b"]"):
            if must_go_on and not is_first:
                raise ValueError("a comma before the end of an array")
            return
        if not entry and is_first:  # an empty array
            continue
        if not must_go_on:
            raise ValueError("a comma is missing in an array")
        must_go_on, is_first = entry.endswith(b","), False
        yield orjson.loads(entry.removesuffix(b","))
    raise ValueError("an array is not closed")
