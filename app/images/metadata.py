"""The metadata in an image file: whether it stops a loader, and forms of the file without it. The pixel data is never touched.

The loaders are those that the exports document: Hugging Face datasets, torchvision, webdataset. All of them read files with Pillow.
Reads bytes and what Pillow read from them; must not know rules or verdicts.
"""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from PIL import Image, ImageOps

from app.images import structure
from app.images.jpeg import JpegFile

__all__ = ["ORIENTATION", "check", "forms_without", "one_pixel"]

ORIENTATION: Final = 0x0112
"""The tag of the orientation, in EXIF and in TIFF."""

_READ_BY_LOADERS: Final = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif", "transparency", "mp"})
"""Keys of Pillow's ``info`` whose values it parses again in ``getexif``, ``exif_transpose`` and ``convert``, or in ``open`` (``mp``)."""

_UNREADABLE: Final = (SyntaxError, TypeError, ValueError, LookupError, OSError, struct.error)
"""What Pillow raises over a directory that lacks what it needs."""


def check(body: bytes, image: Image.Image) -> None:
    """Do with the metadata what loaders do, on one pixel instead of the picture. Warnings count as errors, which they are for some.

    Args:
        body: the file.
        image: the same, loaded, with the ``info`` that loading left.

    Raises:
        Exception: whatever Pillow raises over broken metadata; where nothing is raised, no loader fails because of it.
    """
    if image.format == "TIFF":
        _check_tiff(body)
    if image.info.keys().isdisjoint(_READ_BY_LOADERS):
        return
    pixel = one_pixel(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixel.convert("RGB")  # the warning about a palette with transparency says nothing about a fault
        warnings.simplefilter("error")
        ImageOps.exif_transpose(pixel)
        if "mp" in image.info:
            Image.open(io.BytesIO(body), formats=("JPEG",))


def one_pixel(image: Image.Image) -> Image.Image:
    """One pixel of the mode and with the metadata of an image."""
    pixel = Image.new(image.mode, (1, 1))
    pixel.info = dict(image.info)
    return pixel


def _check_tiff(body: bytes) -> None:
    """Loading applies the metadata of a TIFF, so errors are known; a warning counts where it is gone with the removable entries."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            _load_tiff(body)
        except Warning:
            try:
                _load_tiff(_tiff_bare(body, 1))
            except (Warning, *_UNREADABLE):
                return
            raise


def _load_tiff(body: bytes) -> None:
    Image.open(io.BytesIO(body), formats=("TIFF",)).load()


def forms_without(body: bytes, image_format: str, orientation: int) -> Iterator[tuple[str, bytes]]:
    """Yield what is removed and the file without it, the least first. Yields nothing where there is nothing to remove.

    Args:
        orientation: EXIF orientation, 1 to 8, that the file keeps, in an EXIF block of its own if it is not 1.
    """
    seen = {body}
    for what, remove in _REMOVALS.get(image_format, ()):
        cleaned = remove(body, orientation)
        if cleaned not in seen:
            seen.add(cleaned)
            yield what, cleaned


def _exif_of(orientation: int) -> bytes:
    """The smallest EXIF block: a TIFF header and one directory with one entry, or none for orientation 1."""
    if orientation == 1:
        return b""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, ORIENTATION, 3, 1, orientation, 0, 0)


# JPEG: segments (ITU T.81, B.1.1.3)

_EXIF: Final = b"Exif\0\0"
_APP0: Final = 0xE0
_SOS: Final = 0xDA
_CODING_APPS: Final = (b"JFIF\0", b"Adobe")
"""Application segments that say how colours are coded."""

_PROFILE: Final = b"ICC_PROFILE\0"


def _jpeg_without_index(body: bytes, _: int) -> bytes:
    """Without the index of a multi-picture file."""
    return _filter_segments(body, lambda _, payload: not payload.startswith(b"MPF\0"), b"")


def _jpeg_without_exif(body: bytes, orientation: int) -> bytes:
    return _filter_segments(body, lambda _, payload: not payload.startswith(_EXIF), _exif_of(orientation))


def _jpeg_bare(body: bytes, orientation: int) -> bytes:
    """With no application segment or comment but those that say how colours are coded, and the colour profile."""
    return _filter_segments(body, lambda marker, payload: _is_needed(marker, payload, (*_CODING_APPS, _PROFILE)), _exif_of(orientation))


def _jpeg_without_profile(body: bytes, orientation: int) -> bytes:
    return _filter_segments(body, lambda marker, payload: _is_needed(marker, payload, _CODING_APPS), _exif_of(orientation))


def _is_needed(marker: int, payload: bytes, apps: tuple[bytes, ...]) -> bool:
    """Whether a segment is no metadata, or one of these application segments, and long enough to say something."""
    is_metadata = _APP0 <= marker <= _APP0 + 15 or marker == 0xFE
    return not is_metadata or (payload.startswith(apps) and len(payload) >= 12)


def _filter_segments(body: bytes, is_kept: Callable[[int, bytes], bool], exif: bytes) -> bytes:
    """Drop segments before the first scan, and add an EXIF block. A file without a scan is returned as it is."""
    segments = JpegFile.parse(body).segments
    if not segments or segments[-1].marker != _SOS:
        return body
    kept = [body[part.start - 4 : part.end] for part in segments[:-1] if is_kept(part.marker, body[part.start : part.end])]
    if len(kept) == len(segments) - 1:
        return body
    block = b"\xff\xe1" + struct.pack(">H", 2 + len(_EXIF + exif)) + _EXIF + exif if exif else b""
    at = 1 if kept and kept[0][1] == _APP0 else 0  # JFIF wants to be the first
    return b"".join([body[:2], *kept[:at], block, *kept[at:], body[segments[-1].start - 4 :]])


# PNG: chunks (PNG specification, 5)

_PNG_TEXT: Final = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_PNG_READ: Final = re.compile(rb"(exif|xmp|XML:com\.adobe\.xmp|transparency|Raw profile type [^\0]*)\0")
"""Keywords of text chunks that Pillow reads as something else than text."""

_PNG_PIXELS: Final = frozenset(
    {b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"bKGD", b"acTL", b"fcTL", b"fdAT"}
)
"""Ancillary chunks that say how pixels look, or hold some."""


_PNG_ANIMATION: Final = frozenset({b"acTL", b"fcTL", b"fdAT"})
_PNG_UNPACKED: Final = {
    b"zTXt": re.compile(rb"[^\0]*\0\0"),
    b"iTXt": re.compile(rb"[^\0]*\0\x01\0[^\0]*\0[^\0]*\0"),
    b"iCCP": re.compile(rb"[^\0]*\0\0"),
}
"""What stands before compressed data (PNG specification, 11.3)."""
_PNG_MAX_UNPACKED: Final = 1 << 20
"""Bytes of a compressed text or profile above which Pillow refuses the file."""


def _png_without_broken(body: bytes, _: int) -> bytes:
    """Without ancillary chunks of a wrong checksum and those that unpack to more than Pillow takes; an animation goes as a whole."""
    broken = {start for start, end in structure.png_chunks(body) if _is_broken_chunk(body[start:end])}
    if any(body[start + 4 : start + 8] in _PNG_ANIMATION for start in broken):
        broken |= {start for start, _ in structure.png_chunks(body) if body[start + 4 : start + 8] in _PNG_ANIMATION}
    return _without_chunks(body, broken)


def _is_broken_chunk(chunk: bytes) -> bool:
    """Whether an ancillary chunk, with its length and checksum, cannot be read."""
    kind, data = chunk[4:8], chunk[8:-4]
    if not kind[0] & 0x20:
        return False
    if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
        return True
    found = _PNG_UNPACKED[kind].match(data) if kind in _PNG_UNPACKED else None
    if found is None:
        return False
    try:
        return len(zlib.decompressobj().decompress(data[found.end() :], _PNG_MAX_UNPACKED + 1)) > _PNG_MAX_UNPACKED
    except zlib.error:
        return kind == b"iCCP"


def _png_without_exif(body: bytes, orientation: int) -> bytes:
    def is_kept(kind: bytes, data: bytes) -> bool:
        return kind != b"eXIf" and not (kind in _PNG_TEXT and _PNG_READ.match(data))

    return _filter_chunks(body, is_kept, orientation)


def _png_bare(body: bytes, orientation: int) -> bytes:
    """With no chunk but those that say how pixels look."""
    return _filter_chunks(body, lambda kind, _: not kind[0] & 0x20 or kind in _PNG_PIXELS, orientation)


def _png_without_profile(body: bytes, orientation: int) -> bytes:
    """With the chunks only that every decoder must know."""
    return _filter_chunks(body, lambda kind, _: not kind[0] & 0x20, orientation)


def _filter_chunks(body: bytes, is_kept: Callable[[bytes, bytes], bool], orientation: int) -> bytes:
    chunks = structure.png_chunks(body)
    dropped = {start for start, end in chunks if not is_kept(body[start + 4 : start + 8], body[start + 8 : end - 4])}
    return _without_chunks(body, dropped, _exif_of(orientation)) if dropped else body


def _without_chunks(body: bytes, starts: Collection[int], exif: bytes = b"") -> bytes:
    """Drop the chunks that start at these offsets, and add an EXIF chunk behind the header."""
    parts, at = [body[:8]], 8
    for start, end in structure.png_chunks(body):
        if start not in starts:
            parts.append(body[start:end])
        at = end
    if exif:
        parts.insert(2, structure.png_chunk(b"eXIf", exif))
    return b"".join([*parts, body[at:]])


# WebP: RIFF chunks (WebP container specification, "Extended File Format")

_WEBP_EXIF_FLAG: Final = 0x08
_WEBP_XMP_FLAG: Final = 0x04


def _webp_without_exif(body: bytes, orientation: int) -> bytes:
    return _webp_without(body, {b"EXIF"}, _WEBP_EXIF_FLAG, orientation)


def _webp_bare(body: bytes, orientation: int) -> bytes:
    return _webp_without(body, {b"EXIF", b"XMP "}, _WEBP_EXIF_FLAG | _WEBP_XMP_FLAG, orientation)


def _webp_without(body: bytes, kinds: Collection[bytes], flags: int, orientation: int) -> bytes:
    chunks = list(structure.riff_chunks(body))
    parts = [body[start:end] for start, end in chunks if body[start : start + 4] not in kinds]
    if len(parts) == len(chunks):
        return body
    exif = _exif_of(orientation)
    if exif:
        parts.append(b"EXIF" + struct.pack("<I", len(exif)) + exif)
    if parts and parts[0].startswith(b"VP8X"):
        features = parts[0][8] & ~flags | (_WEBP_EXIF_FLAG if exif else 0)
        parts[0] = parts[0][:8] + bytes([features]) + parts[0][9:]
    return _webp_of(parts)


def _webp_whole_frames(body: bytes, _: int) -> bytes:
    """An animation without the frames that are cut off."""
    return _webp_frames(body, None)


def _webp_first_frame(body: bytes, _: int) -> bytes:
    return _webp_frames(body, 1)


def _webp_frames(body: bytes, count: int | None) -> bytes:
    """The first ``count`` frames, or all whole ones, and what stands before them."""
    parts: list[bytes] = []
    frames = 0
    for start, end in structure.riff_chunks(body):
        if body[start : start + 4] == b"ANMF":
            if end > len(body) or frames == count:
                break
            frames += 1
        parts.append(body[start:end])
    return _webp_of(parts) if frames else body


def _webp_of(chunks: Sequence[bytes]) -> bytes:
    content = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


# AVIF: items (ISO 14496-12, 8.11.6). An item of a type that no decoder knows is skipped; no offset changes. The orientation is a property.

_AVIF_ITEM: Final = re.compile(rb"(infe\x02...(?:....)|infe\x03...(?:......))(Exif|mime)", re.DOTALL)


def _avif_bare(body: bytes, _: int) -> bytes:
    return _AVIF_ITEM.sub(rb"\1skip", body)


# TIFF: entries of the first directory (TIFF 6.0, section 2; BigTIFF has wider fields)

_TIFF_PIXELS: Final = frozenset(
    {254, 255, *range(256, 260), 262, 263, 266, 273, 274, *range(277, 280), 284, 290, 291, 292, 293, 301, 317, 318, 319, 320}
    | {*range(321, 326), 330, 332, 333, 334, 336, 338, 339, 340, 341, 347, *range(512, 522), 529, 530, 531, 532, 34675}
)
"""Tags that say how pixels are stored or look."""


def _tiff_bare(body: bytes, _: int) -> bytes:
    """Move the entries that say how pixels are stored to the front of the directory and shorten it; nothing else moves."""
    order = "<" if body[:2] == b"II" else ">"
    is_big = body[2:4] in (b"+\0", b"\0+")
    start_field, count_field, entry_bytes = (("Q", 8), "Q", 20) if is_big else (("I", 4), "H", 12)
    try:
        (start,) = struct.unpack_from(order + start_field[0], body, start_field[1])
        (count,) = struct.unpack_from(order + count_field, body, start)
        first = start + struct.calcsize(count_field)
        entries = [body[at : at + entry_bytes] for at in range(first, min(first + count * entry_bytes, len(body)), entry_bytes)]
        kept = [entry for entry in entries if struct.unpack_from(order + "H", entry)[0] in _TIFF_PIXELS]
    except struct.error:
        return body
    end = first + count * entry_bytes
    following = body[end : end + start_field[1]]
    if int.from_bytes(following, "little" if order == "<" else "big") >= len(body):
        following = bytes(len(following))  # no further picture
    directory = struct.pack(order + count_field, len(kept)) + b"".join(kept) + following
    return body[:start] + directory.ljust(end + len(following) - start, b"\0") + body[end + len(following) :]


_EXIF_BLOCK: Final = "the EXIF block"
_ALL: Final = "all metadata"
_ALL_AND_PROFILE: Final = "all metadata and the statements on colour"
_REMOVALS: Final[dict[str, tuple[tuple[str, Callable[[bytes, int], bytes]], ...]]] = {
    "jpeg": (
        ("the multi-picture index", _jpeg_without_index),
        (_EXIF_BLOCK, _jpeg_without_exif),
        (_ALL, _jpeg_bare),
        (_ALL_AND_PROFILE, _jpeg_without_profile),
    ),
    "png": (
        ("chunks that are broken or too large", _png_without_broken),
        (_EXIF_BLOCK, _png_without_exif),
        (_ALL, _png_bare),
        (_ALL_AND_PROFILE, _png_without_profile),
    ),
    "webp": (
        (_EXIF_BLOCK, _webp_without_exif),
        (_ALL, _webp_bare),
        ("cut-off frames", _webp_whole_frames),
        ("all frames but the first", _webp_first_frame),
    ),
    "avif": ((_ALL, _avif_bare),),
    "tiff": ((_ALL, _tiff_bare),),
}
