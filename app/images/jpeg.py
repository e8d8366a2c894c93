"""The structure of a JPEG file (ITU T.81, annex B): segments, scans, end marker, and damage that shows without decoding.

Reads bytes only; must not know a decoder, rules or verdicts.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Self

__all__ = ["Frame", "JpegFile", "Segment"]

_EOI: Final = b"\xff\xd9"
_SOS: Final = 0xDA
_DHT: Final = 0xC4
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, 0xCC}
_SEQUENTIAL: Final = frozenset({0xC0, 0xC1})
_PROGRESSIVE: Final = 0xC2
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_METADATA: Final = range(0xE0, 0xFF)

_MARKER: Final = re.compile(rb"\xff+[^\x00\xff]")
"""A marker, with its fill bytes."""
_AFTER_SCAN: Final = re.compile(rb"\xff+[\x02-\xcf\xd8-\xfe]")
"""What ends entropy-coded data: a marker that is no restart marker."""

_COEFFICIENTS: Final = 64
_UNSENT: Final = 16
"""Above the lowest bit of any coefficient: nothing of it was sent."""

_ZERO_RUN: Final = bytes(128)
"""128 bytes: a block of 63 one-bit coefficients takes 24 to 48 zero bytes, so the run holds a whole block."""

_JFIF: Final = b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
"""A plain JFIF segment. Decoders take the colour space from its presence."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker, and where its payload starts and ends, without the length field."""

    marker: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame header (ITU T.81, B.2.2).

    Attributes:
        marker: SOF0 to SOF15, which is the coding process.
        precision: bits of a sample.
        components: their identifiers, in order.
    """

    marker: int
    precision: int
    width: int
    height: int
    components: bytes

    @property
    def is_sequential(self) -> bool:
        """Whether a scan sends its components at once and completely: baseline and extended DCT with Huffman codes."""
        return self.marker in _SEQUENTIAL

    @property
    def is_common(self) -> bool:
        """Whether it is an 8-bit DCT frame with Huffman codes: not arithmetic coding, 12 bits or lossless JPEG."""
        return (self.is_sequential or self.marker == _PROGRESSIVE) and self.precision == 8


@dataclass(frozen=True, slots=True)
class JpegFile:
    """A file and the segments of its header, up to and including the first SOS."""

    body: bytes = field(repr=False)
    segments: tuple[Segment, ...]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Walk the header. Any bytes give an answer; junk between segments is skipped, as decoders do."""
        segments: list[Segment] = []
        for segment in _segments_from(body, 2):
            segments.append(segment)
            if segment.marker == _SOS:
                break
        return cls(body, tuple(segments))

    @property
    def frame(self) -> Frame | None:
        """The frame, where there is exactly one, which is not cut off."""
        found = [segment for segment in self.segments if segment.marker in _FRAMES]
        if len(found) != 1 or found[0].end > len(self.body) or found[0].end - found[0].start < 6:
            return None
        precision, height, width = struct.unpack_from(">BHH", self.body, found[0].start)
        return Frame(found[0].marker, precision, width, height, self.body[found[0].start + 6 : found[0].end : 3])

    @property
    def scan_start(self) -> int:
        """Offset of the first scan of the main image; a thumbnail in EXIF has its own scans and end marker."""
        return self.segments[-1].end if self.segments and self.segments[-1].marker == _SOS else len(self.body)

    def has_end(self) -> bool:
        """Whether there is an EOI after the first scan. Bytes after it are ignored."""
        return self.body.endswith(_EOI) or self.body.find(_EOI, self.scan_start) >= 0

    def has_padding(self, size: int) -> bool:
        """Whether the last ``size`` bytes before EOI are zeros: some encoders fill up a file with them."""
        end = self.body.find(_EOI, self.scan_start)
        return end >= size and not any(self.body[end - size : end])

    def without_metadata(self) -> bytes:
        """Return the file with only the segments that pixels depend on, and without junk between those of the header."""
        parts = [b"\xff\xd8"]
        for segment in self.segments:
            payload = self.body[segment.start : segment.end]
            if segment.marker == 0xE0 and payload.startswith(b"JFIF\0"):
                payload = _JFIF
            elif segment.marker in _METADATA and segment.marker != 0xEE:
                continue
            parts.append(struct.pack(">BBH", 0xFF, segment.marker, len(payload) + 2) + payload)
        return b"".join((*parts, self.body[self.scan_start :]))

    def lacks_scans(self) -> bool:
        """Whether the scans up to EOI leave out a component, or bits of a coefficient (ITU T.81, G.1.1): a file cut between scans."""
        frame = self.frame
        if frame is None or not frame.is_common:
            return False
        lowest_bit = {component: [_UNSENT] * _COEFFICIENTS for component in frame.components}
        for segment in _segments_from(self.body, self.segments[-1].start - 4):
            if segment.marker == _SOS:
                _apply_scan(lowest_bit, self.body[segment.start : segment.end], is_sequential=frame.is_sequential)
                if not any(map(any, lowest_bit.values())):
                    return False
        return True

    def has_impossible_zeros(self) -> bool:
        """Whether there is a zero run in the first scan of a sequential JPEG whose luma code of zeros is not "end of block".

        A canonical Huffman table gives the code of zeros to its first symbol (ITU T.81, C). Where that is "end of block", flat
        areas are zeros; where it is a coefficient, 128 zero bytes would be a block in which all 63 coefficients are -1.
        """
        run = self.body.find(_ZERO_RUN, start := self.scan_start)
        if run < 0:
            return False
        ends = [at for marker in (_EOI, b"\xff\xda") if (at := self.body.find(marker, start)) >= 0]
        return run < min(ends, default=len(self.body)) and self._luma_zeros_are_a_coefficient()

    def _luma_zeros_are_a_coefficient(self) -> bool:
        """Whether the first symbol of the first component's AC table stands for a coefficient; False where it is not known."""
        first_symbols: dict[int, int] = {}
        for segment in self.segments:
            if segment.marker == _DHT:
                first_symbols.update(_first_symbols(self.body[segment.start : segment.end]))
        table = 0x10 | (self.body[self.segments[-1].start + 2] & 0x0F)
        is_sequential = any(segment.marker in _SEQUENTIAL for segment in self.segments)
        return is_sequential and first_symbols.get(table, 0) not in (0x00, 0xF0)


def _segments_from(body: bytes, at: int) -> Iterator[Segment]:
    """Walk from marker to marker, past the entropy-coded data of each scan, to the end of the image."""
    before = _MARKER
    while (found := before.search(body, at)) and found.group()[-1] != _EOI[1]:
        marker, at = found.group()[-1], found.end()
        if marker in _STANDALONE:
            continue
        if at + 2 > len(body):
            return
        length = int.from_bytes(body[at : at + 2], "big")
        yield Segment(marker, at + 2, at + length)
        at += max(2, length)
        before = _AFTER_SCAN if marker == _SOS else _MARKER


def _apply_scan(lowest_bit: dict[int, list[int]], payload: bytes, *, is_sequential: bool) -> None:
    """Note the lowest bit that a scan sends of each coefficient of its components (ITU T.81, B.2.3)."""
    if len(payload) < 4 or len(payload) < 4 + 2 * payload[0]:
        return
    first, last, bits = payload[-3:]
    span, low = (slice(0, _COEFFICIENTS), 0) if is_sequential else (slice(first, last + 1), bits & 0x0F)
    for component in payload[1 : 1 + 2 * payload[0] : 2]:
        if component in lowest_bit:
            lowest_bit[component][span] = [low] * len(lowest_bit[component][span])


def _first_symbols(payload: bytes) -> dict[int, int]:
    """Map class and id of each table in a DHT segment to its first symbol."""
    found, at = {}, 0
    while at + 17 < len(payload):
        found[payload[at]] = payload[at + 17]
        at += 17 + sum(payload[at + 1 : at + 17])
    return found
