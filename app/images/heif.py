"""HEIF files (ISO/IEC 23008-12), such as HEIC photos: opened by pillow-heif, the extra ``heif``, and what their boxes say of them.

libheif turns and mirrors a picture as the file says; EXIF's orientation stands for the same and is not applied again. Its decoder conceals
damage, so a hole in the coded data is found here.
"""

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any, BinaryIO, Final

from PIL import Image

from errors import Reason, ValidationError

__all__ = ["INSTALL", "find_damage", "has_sequence", "has_whole_boxes", "open_image"]

INSTALL: Final = "HEIC and HEIF are read with the extra heif: install pictrawl[heif]"

_HOLE: Final = bytes(16)
"""No coded data has as many zeros: three become 00 00 03 (ITU-T H.265, 7.4.2), and a length in front of a unit has four bytes."""

_CODED: Final = (b"hvc1", b"hev1")
"""Types of items that H.265 codes."""

Box = tuple[bytes, int, int]
"""Kind, and where the payload begins and ends."""


@cache
def _plugin() -> Any:
    try:
        plugin = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise ValidationError(INSTALL, reason=Reason.FORMAT) from error
    plugin.options.DECODE_THREADS = 1  # there is a process for each core
    plugin.options.THUMBNAILS = plugin.options.DEPTH_IMAGES = plugin.options.AUX_IMAGES = False
    return importlib.import_module("pillow_heif.as_plugin")


def open_image(file: BinaryIO) -> Image.Image:
    """Open without decoding, upright, at the size that the file states.

    Raises:
        errors.ValidationError: pillow-heif is not installed (``format``).
    """
    image: Image.Image = _plugin().HeifImageFile(file)
    return image


def boxes(body: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Yield the boxes of a part of the file (ISO/IEC 14496-12, 4.2). The last one may end behind it, where the file is cut off."""
    end = len(body) if end is None else end
    while start + 8 <= end:
        size, head = int.from_bytes(body[start : start + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(body[start + 8 : start + 16], "big"), 16
        size = size or end - start
        if size < head:
            return
        yield body[start + 4 : start + 8], start + head, start + size
        start += size


def has_whole_boxes(body: bytes) -> bool:
    """Whether the boxes of the file end where it ends, or what follows them is none."""
    *_, last = ((b"", 0, len(body) + 1), *boxes(body))
    return last[2] <= len(body)


def has_sequence(body: bytes) -> bool:
    """Whether there is a track of pictures in the file, as in a burst that is played."""
    return any(kind == b"moov" for kind, _, _ in boxes(body))


def find_damage(body: bytes) -> str | None:
    """Return what is wrong with the coded pictures, if anything."""
    coded = (body[start : start + size] for start, size in _coded_extents(body))
    return "a run of zero bytes in the coded picture" if any(_HOLE in data for data in coded) else None


def _coded_extents(body: bytes) -> Iterator[tuple[int, int]]:
    """Position and size of the parts of the coded items; none where the tables are broken, which the decoder tells."""
    for kind, start, end in boxes(body):
        if kind == b"meta":
            inside = {name: (first, last) for name, first, last in boxes(body, start + 4, min(end, len(body)))}
            if b"iinf" in inside and b"iloc" in inside:
                coded = set(_coded_items(body, *inside[b"iinf"]))
                yield from (extent for item, extent in _locations(body[slice(*inside[b"iloc"])]) if item in coded)


def _coded_items(body: bytes, start: int, end: int) -> Iterator[int]:
    """The numbers of coded items (ISO/IEC 14496-12, 8.11.6)."""
    for _, at, _ in boxes(body, start + (6 if body[start] == 0 else 8), min(end, len(body))):
        size = 2 if body[at] == 2 else 4
        if body[at + 6 + size : at + 10 + size] in _CODED:
            yield int.from_bytes(body[at + 4 : at + 4 + size], "big")


class _Numbers:
    """Reads big-endian numbers one after the other; behind the end they are 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def take(self, size: int) -> int:
        self.at += size
        return int.from_bytes(self._data[self.at - size : self.at], "big")


def _locations(box: bytes) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield number, position and size of each part of the items that lie in the file (ISO/IEC 14496-12, 8.11.3)."""
    numbers = _Numbers(box)
    version = numbers.take(4) >> 24
    sizes = numbers.take(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    for _ in range(numbers.take(2 if version < 2 else 4)):
        if numbers.at >= len(box):
            return
        item = numbers.take(2 if version < 2 else 4)
        method = numbers.take(2) & 15 if version else 0
        numbers.take(2)
        base = numbers.take(base_size)
        for _ in range(numbers.take(2)):
            numbers.take(index_size)
            offset = base + numbers.take(offset_size)
            size = numbers.take(length_size)
            if method == 0 and numbers.at <= len(box):
                yield item, (offset, size)
