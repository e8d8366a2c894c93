"""JPEG pixels from libjpeg-turbo together with its warnings: it decodes damaged data to wrong pixels and warns, which Pillow ignores.

Must not know checks or verdicts.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from app.images.jpeg import JpegFile

__all__ = ["JpegPixels", "decode"]

_COMPONENTS: Final = {"L": 1, "RGB": 3, "CMYK": 4}
"""Of a file that Pillow opens in this mode."""

_LAYOUTS: Final = {"L": ("GRAY", "L", 1), "RGB": ("RGBX", "RGBX", 4), "CMYK": ("CMYK", "CMYK;I", 4)}
"""By Pillow's mode: simplejpeg's colour space, Pillow's raw mode, and bytes of a pixel. Pillow stores RGB in four bytes as well."""

_MAX_BUFFER_BYTES: Final = 256 << 20
"""Pixels are copied from this buffer, so that it adds to the memory of a picture; a larger one is decoded by Pillow, and here at 1/8."""

_LOST_DATA: Final = re.compile(
    r"bad Huffman code|premature end of data segment|found marker 0x\w\w instead of RST|Inconsistent progression sequence"
    r"|extraneous bytes before marker"
)
"""libjpeg's warnings (jerror.h) after which pixels are wrong. Its other ones are about the header."""

_HEADER_NOISE: Final = re.compile(r"extraneous bytes before marker|bad ICC marker|unknown JFIF revision")
"""Warnings that harmless segments cause. Only the first warning of a file is reported, so they hide those about its scans."""

_EXTRANEOUS_AT_END: Final = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


@dataclass(frozen=True, slots=True)
class JpegPixels:
    """A decoded JPEG.

    Attributes:
        image: None where Pillow has to decode the file.
        damage: the warning according to which some pixels are wrong, if there is one.
    """

    image: Image.Image | None = None
    damage: str | None = None


def decode(file: JpegFile, mode: str, size: tuple[int, int], scale: int) -> JpegPixels:
    """Decode all scans at 1/``scale``. The pixels are those of Pillow, which has the same library below it.

    Args:
        file: a JPEG.
        mode: Pillow's for this file: L, RGB or CMYK.
        size: width and height in pixels by Pillow's header, which were checked against the limits.
        scale: 1, 2, 4 or 8.

    Returns:
        Neither pixels nor damage where TurboJPEG cannot tell: a kind of file that it does not decode, or an error, which Pillow has too.

    Raises:
        MemoryError: the picture does not fit into memory.
    """
    frame = file.frame
    # lossless JPEG, which cannot be scaled, makes simplejpeg write beyond its buffer
    if frame is None or not frame.is_common or (frame.width, frame.height) != size or len(frame.components) != _COMPONENTS[mode]:
        return JpegPixels()
    (width, height), (_, raw_mode, pixel_bytes) = _scaled(size, scale), _LAYOUTS[mode]
    if width * height * pixel_bytes > _MAX_BUFFER_BYTES:
        return replace(decode(file, mode, size, 8), image=None)
    pixels = np.empty((height, width, pixel_bytes), np.uint8)
    warning = _decode_into(pixels, file.body, mode)
    if warning and _HEADER_NOISE.search(warning):
        file = JpegFile.parse(file.without_metadata())
        warning = _decode_into(pixels, file.body, mode)
    if warning and _is_padding(warning, file):
        warning = None
    if warning and not _LOST_DATA.search(warning):
        return JpegPixels()
    if warning is None and file.lacks_scans():
        warning = "scans are missing"
    image = Image.new(mode, (width, height), None)
    image.frombytes(pixels, "raw", raw_mode)
    return JpegPixels(image, warning and warning.removeprefix("Corrupt JPEG data: "))


def _scaled(size: tuple[int, int], scale: int) -> tuple[int, int]:
    """Rounded up, as libjpeg does."""
    return -(-size[0] // scale), -(-size[1] // scale)


def _decode_into(pixels: npt.NDArray[np.uint8], body: bytes, mode: str) -> str | None:
    """Fill the pixels; return the first warning or error, after a warning with all pixels filled."""
    height, width, _ = pixels.shape
    try:
        simplejpeg.decode_jpeg(body, _LAYOUTS[mode][0], min_width=width, min_height=height, buffer=pixels)
    except ValueError as error:
        if "nsufficient memory" in str(error):
            raise MemoryError("jpeg data") from error
        return str(error)
    return None


def _is_padding(warning: str, file: JpegFile) -> bool:
    found = _EXTRANEOUS_AT_END.search(warning)
    return found is not None and file.has_padding(int(found[1]))
