"""Contact sheets: small thumbnails side by side in a few JPEGs, each of which stands in the page once. Knows bytes and pixels, no rows."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import simplejpeg
from PIL import Image

from app.images.jpeg import JpegFile

__all__ = ["TILE_HEIGHT", "ContactSheets", "Tile", "encode", "lay_out"]

TILE_HEIGHT: Final = 96
"""Pixels; a page shows it at 72, so that it is sharp on most screens."""

_WIDEST, _NARROWEST = 2.0, 0.5
"""Width of a tile by its height; a picture beyond is cut to its middle."""

_SHEET_SIDE: Final = 1536
"""Pixels: 16 rows of about 12 tiles. A browser decodes a sheet when it comes into view."""

_LARGEST_SIDE: Final = 1024
"""Pixels of a thumbnail; one of ours has 256, so a larger one is damaged."""

_QUALITIES: Final = ((1, 74), (1, 60), (1, 45), (2, 60), (2, 40), (3, 30))
"""How sheets are encoded, the best first: by what their sides are divided, and the quality of the JPEG."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Where a picture is: on which sheet, and its place there in pixels."""

    sheet: int
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ContactSheets:
    """Sheets and the tiles on them by the keys of their pictures; of ``missing`` ones there was no thumbnail, or a damaged one."""

    sheets: Sequence[Image.Image]
    tiles: Mapping[str, Tile]
    missing: int


def lay_out(thumbs: Iterable[tuple[str, bytes | None]]) -> ContactSheets:
    """Decode thumbnails and put them in rows, in their order."""
    sheets: list[Image.Image] = []
    tiles: dict[str, Tile] = {}
    missing, x, y = 0, _SHEET_SIDE, _SHEET_SIDE
    for key, body in thumbs:
        small = None if body is None else _shrink(body)
        if small is None:
            missing += 1
            continue
        if x + small.width > _SHEET_SIDE:
            x, y = 0, y + TILE_HEIGHT
        if y + TILE_HEIGHT > _SHEET_SIDE:
            sheets.append(Image.new("RGB", (_SHEET_SIDE, _SHEET_SIDE), "white"))
            x = y = 0
        sheets[-1].paste(small, (x, y))
        tiles[key] = Tile(len(sheets) - 1, x, y, small.width, small.height)
        x += small.width
    if sheets:
        sheets[-1] = sheets[-1].crop((0, 0, _SHEET_SIDE, y + TILE_HEIGHT))
    return ContactSheets(sheets, tiles, missing)


def encode(sheets: Sequence[Image.Image], most_bytes: int) -> list[bytes]:
    """Encode sheets as JPEGs of at most so many bytes together, or in the smallest form. In the page they keep their sizes."""
    bodies: list[bytes] = []
    for divisor, quality in _QUALITIES:
        bodies = [_as_jpeg(sheet, divisor, quality) for sheet in sheets]
        if sum(map(len, bodies)) <= most_bytes:
            break
    return bodies


def _shrink(body: bytes) -> Image.Image | None:
    """A thumbnail at the height of a tile; None where it is none of ours or damaged.

    libjpeg-turbo scales while it decodes: with Pillow a picture takes three times as long.
    """
    frame = JpegFile.parse(body).frame
    if frame is None or not frame.is_common or max(frame.width, frame.height) > _LARGEST_SIDE:
        return None
    try:
        image = Image.fromarray(simplejpeg.decode_jpeg(body, "RGB", min_height=min(TILE_HEIGHT, frame.height)))
    except ValueError:
        return None
    box = _middle(*image.size)
    width = max(1, round((box[2] - box[0]) * TILE_HEIGHT / (box[3] - box[1])))
    return image.resize((width, TILE_HEIGHT), Image.Resampling.BILINEAR, box)


def _middle(width: int, height: int) -> tuple[float, float, float, float]:
    """The box of a picture that a tile shows: all of it, or its middle."""
    wide, high = min(width, height * _WIDEST), min(height, width / _NARROWEST)
    left, top = (width - wide) / 2, (height - high) / 2
    return left, top, left + wide, top + high


def _as_jpeg(sheet: Image.Image, divisor: int, quality: int) -> bytes:
    out = io.BytesIO()
    smaller = sheet.reduce(divisor) if divisor > 1 else sheet
    smaller.save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()
