"""The structure of a TIFF file (TIFF 6.0, section 2; BigTIFF): its directories and their tags. Reads bytes only."""

import struct
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["count_pages", "describe_samples"]

Tags = Mapping[int, tuple[int, ...]]
"""The whole numbers of a directory by tag; other types are left out."""

_NEW_SUBFILE_TYPE: Final = 254
_SUBFILE_TYPE: Final = 255
_WIDTH: Final = 256
_HEIGHT: Final = 257
_BITS: Final = 258
_COMPRESSION: Final = 259
_PHOTOMETRIC: Final = 262
_SAMPLES: Final = 277
_SAMPLE_FORMAT: Final = 339

_REDUCED: Final = 1
_MASK: Final = 4
_TRANSPARENCY_MASK: Final = 4
"""Flags of NewSubfileType, and a value of PhotometricInterpretation."""
_OLD_REDUCED: Final = 2
"""Value of SubfileType."""

_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MAX_DIRECTORIES: Final = 10_000
_MAX_VALUES: Final = 64
"""More values than any tag has that is read here."""

_KINDS: Final = {1: "unsigned", 2: "signed", 3: "float", 4: "untyped", 5: "complex integer", 6: "complex float"}


def count_pages(body: bytes) -> int:
    """Count the pictures; reduced copies and masks of one are none. A directory that cannot be read ends the count, which is at least 1.

    A copy is one by its tags, or a page of half the first one's size at most and of its proportions, as cameras and scanners add it.
    """
    pages = 0
    first: Tags = {}
    for tags in _directories(body):
        if pages and (_is_part_of_another(tags) or _is_miniature(tags, first)):
            continue
        first = first or tags
        pages += 1
    return max(1, pages)


def _is_part_of_another(tags: Tags) -> bool:
    flags = _number(tags, _NEW_SUBFILE_TYPE, 0)
    is_reduced = flags & _REDUCED or _number(tags, _SUBFILE_TYPE, 0) == _OLD_REDUCED
    return bool(is_reduced or flags & _MASK or _number(tags, _PHOTOMETRIC, 0) == _TRANSPARENCY_MASK)


def _is_miniature(tags: Tags, first: Tags) -> bool:
    """Whether the sides are those of the first page, divided by 2 or more and rounded."""
    width, height, full_width, full_height = (_number(one, tag, 0) for one in (tags, first) for tag in (_WIDTH, _HEIGHT))
    if not min(width, height) or 2 * max(width, height) > max(full_width, full_height) + 1:
        return False
    return abs(width * full_height - height * full_width) <= max(full_width, full_height)


def describe_samples(body: bytes) -> str | None:
    """How the first page stores its samples, in words; None where its tags make no sense."""
    tags = next(_directories(body), {})
    bits, kinds = tags.get(_BITS, (1,)), tags.get(_SAMPLE_FORMAT, (1,))
    samples, compression, photometric = (_number(tags, tag, 1) for tag in (_SAMPLES, _COMPRESSION, _PHOTOMETRIC))
    if not _number(tags, _WIDTH, 0) or not set(kinds) <= _KINDS.keys() or not 1 <= min(bits) <= max(bits) <= 128 or samples > 1024:
        return None
    depth = "/".join(map(str, sorted(set(bits))))
    return f"{samples} x {depth}-bit {_KINDS[kinds[0]]} samples, photometric {photometric}, compression {compression}"


def _number(tags: Tags, tag: int, default: int) -> int:
    return tags.get(tag, (default,))[0]


def _directories(body: bytes) -> Iterator[Tags]:
    """Walk the chain of directories, each once."""
    order = "<" if body[:2] == b"II" else ">"
    is_big = body[2:4] in (b"+\0", b"\0+")
    offset, seen = 8 if is_big else 4, set[int]()
    try:
        while len(seen) < _MAX_DIRECTORIES:
            (at,) = struct.unpack_from(order + ("Q" if is_big else "I"), body, offset)
            if not at or at in seen:
                return
            seen.add(at)
            (count,) = struct.unpack_from(order + ("Q" if is_big else "H"), body, at)
            first, entry_bytes = at + (8 if is_big else 2), 20 if is_big else 12
            offset = first + count * entry_bytes
            if not count or offset > len(body):
                return
            yield dict(entry for place in range(count) if (entry := _entry(body, order, is_big, first + place * entry_bytes)))
    except struct.error:
        return


def _entry(body: bytes, order: str, is_big: bool, at: int) -> tuple[int, tuple[int, ...]] | None:
    """A tag and its whole numbers; None for other types and for values beyond the end of the file."""
    tag, kind, count = struct.unpack_from(order + ("HHQ" if is_big else "HHI"), body, at)
    if kind not in _INTEGERS or not 1 <= count <= _MAX_VALUES:
        return None
    values_at, inline_bytes = (at + 12, 8) if is_big else (at + 8, 4)
    layout = f"{order}{count}{_INTEGERS[kind]}"
    if struct.calcsize(layout) > inline_bytes:
        (values_at,) = struct.unpack_from(order + ("Q" if is_big else "I"), body, values_at)
    try:
        return tag, struct.unpack_from(layout, body, values_at)
    except struct.error:
        return None
