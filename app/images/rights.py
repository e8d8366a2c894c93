"""What an image file itself says about its licence: its XMP packet, the copyright tag of its EXIF block, and its IPTC notice.

Reads bytes only, whatever the format: these blocks have marks of their own. All is bounded, and what is broken says nothing. What the
statements mean is decided elsewhere.
"""

import struct
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from app.images import structure
from app.images.jpeg import JpegFile

__all__ = ["Statement", "read"]

Statement = tuple[str, str]
"""Where it stands in the file, and the text."""

MAX_STATEMENTS, MAX_CHARS = 8, 500
"""Statements of a file, and characters of each."""

MAX_PACKET: Final = 256 << 10
"""Bytes of an XMP packet: one in a JPEG has 64 KB at most, those with more hold the history of an editor."""

_HEAD: Final = 1 << 20
"""Bytes at the beginning of a file of another format in which metadata is looked for."""

_BLOCK: Final = 64 << 10
"""Bytes of such a block: as much as a segment of a JPEG holds."""


def read(body: bytes) -> tuple[Statement, ...]:
    """Return what a file states, without repetitions."""
    found = dict.fromkeys((where, words[:MAX_CHARS]) for where, text in _all(body) if (words := " ".join(text.split())))
    return tuple(found)[:MAX_STATEMENTS]


def _all(body: bytes) -> Iterator[Statement]:
    head = _without_pixels(body)
    yield from _xmp(head)
    yield from filter(None, (_exif(body if body[:4] in _TIFF else _exif_block(head)), _iptc(head)))


def _without_pixels(body: bytes) -> bytes:
    """What may hold metadata: to search the pixels of a photo as well would take a millisecond."""
    image_format = structure.sniff(body)
    if image_format == "jpeg":
        return body[: JpegFile.parse(body).scan_start]
    if image_format == "png":
        return b"".join(body[start:end] for start, end in structure.png_chunks(body) if body[start + 4 : start + 8] != b"IDAT")
    if image_format == "webp":
        return b"".join(body[start:end] for start, end in structure.riff_chunks(body) if body[start : start + 4] in (b"EXIF", b"XMP "))
    return body[:_HEAD]


# XMP (ISO 16684-1): RDF in a packet that stands in the file as it is

_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_RIGHTS: Final = "http://ns.adobe.com/xap/1.0/rights/"
_PROPERTIES: Final = {
    "http://purl.org/dc/elements/1.1/ rights": "XMP dc:rights",
    f"{_RIGHTS} UsageTerms": "XMP xmpRights:UsageTerms",
    f"{_RIGHTS} WebStatement": "XMP xmpRights:WebStatement",
    "http://creativecommons.org/ns# license": "XMP cc:license",
    "http://web.resource.org/cc/ license": "XMP cc:license",
}


def _xmp(body: bytes) -> list[Statement]:
    start = body.find(b"<x:xmpmeta")
    end = body.find(b"</x:xmpmeta>", start, start + MAX_PACKET) if start >= 0 else -1
    if end < 0:
        return []
    reader = _PropertyReader()
    return reader.read(body[start : end + len(b"</x:xmpmeta>")])


class _RefusedError(Exception):
    """The packet declares a document type, as no XMP does: entities can make it grow without end."""


class _PropertyReader:
    """Collects the properties of a packet: texts of elements and of the items of their lists, resources, and attributes."""

    def __init__(self) -> None:
        self.found: list[Statement] = []
        self._where: str | None = None
        self._depth = 0
        self._text: list[str] = []

    def read(self, packet: bytes) -> list[Statement]:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        try:
            parser.Parse(packet, True)
        except (expat.ExpatError, _RefusedError):
            return []
        return self.found

    def _refuse(self, *_: object) -> None:
        raise _RefusedError

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.found += [(_PROPERTIES[key], value) for key, value in attributes.items() if key in _PROPERTIES]
        if self._where is None:
            self._where, self._depth = _PROPERTIES.get(name), 0
        if self._where is not None:
            self._depth += 1
            self.found += [(self._where, value) for key, value in attributes.items() if key == f"{_RDF} resource"]
        self._text.clear()

    def _end(self, _: str) -> None:
        if self._where is not None:
            self.found.append((self._where, "".join(self._text)))
            self._depth -= 1
            self._where = self._where if self._depth else None
        self._text.clear()


# EXIF: an ASCII entry in the first directory of a TIFF structure (EXIF 2.32, 4.6.4)

_COPYRIGHT: Final = 0x8298
_TIFF: Final = (b"II*\0", b"MM\0*")


def _exif(tiff: bytes) -> Statement | None:
    try:
        text = _entry(tiff, _COPYRIGHT)
    except struct.error:
        return None
    return ("EXIF Copyright", text) if text else None


def _exif_block(body: bytes) -> bytes:
    """The TIFF structure in a JPEG, HEIF or AVIF, in a chunk of a WebP, which has its length first, or in one of a PNG; empty if none."""
    for mark, gap in ((b"Exif\0\0", 0), (b"EXIF", 4), (b"eXIf", 0)):
        at = body.find(mark)
        while at >= 0:
            start = at + len(mark) + gap
            if body[start : start + 4] in _TIFF:
                return body[start : start + _BLOCK]
            at = body.find(mark, at + 1)
    return b""


def _entry(tiff: bytes, tag: int) -> str | None:
    order = "<" if tiff[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for at in range(start + 2, start + 2 + 12 * min(count, 500), 12):
        found, kind, length = struct.unpack_from(f"{order}HHI", tiff, at)
        if found == tag and kind == 2:
            (offset,) = struct.unpack_from(f"{order}I", tiff, at + 8)
            first = at + 8 if length <= 4 else offset
            return _decode(tiff[first : first + min(length, MAX_CHARS)].replace(b"\0", b" "))
    return None


# IPTC IIM: dataset 2:116 in the Photoshop resource 0x0404 (IIM 4.2, 1.5)

_NOTICE: Final = b"\x1c\x02\x74"


def _iptc(body: bytes) -> Statement | None:
    at = body.find(b"8BIM\x04\x04")
    start = body.find(_NOTICE, at, at + _BLOCK) if at >= 0 else -1
    if start < 0:
        return None
    length = int.from_bytes(body[start + 3 : start + 5], "big")
    return "IPTC CopyrightNotice", _decode(body[start + 5 : start + 5 + min(length, MAX_CHARS)])


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")
