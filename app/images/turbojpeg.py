"""JPEG pixels from libjpeg-turbo together with its warnings: it decodes damaged data to wrong pixels and warns, which Pillow ignores.

Must not know checks or verdicts.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from app.images.jpeg import JpegFile

__all__ = ["JpegPixels", "decode"]

_LAYOUTS: Final = {"L": ("GRAY", "L", 1), "RGB": ("RGB", "RGB", 3), "CMYK": ("CMYK", "CMYK;I", 4)}
"""By Pillow's mode: simplejpeg's colour space, Pillow's raw mode, and components."""

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
    """Decoded pixels, and the warning according to which some of them are wrong, if there is one."""

    image: Image.Image
    damage: str | None


def decode(file: JpegFile, mode: str, size: tuple[int, int], scale: int) -> JpegPixels | None:
    """Decode all scans at 1/``scale``. The pixels are those of Pillow, which has the same library below it.

    Args:
        file: a JPEG.
        mode: Pillow's for this file: L, RGB or CMYK.
        size: width and height in pixels by Pillow's header, which were checked against the limits.
        scale: 1, 2, 4 or 8.

    Returns:
        None where TurboJPEG cannot tell: Pillow has to decode the file, or refuses it.

    Raises:
        MemoryError: the picture does not fit into memory.
    """
    frame = file.frame
    # lossless JPEG, which cannot be scaled, makes simplejpeg write beyond its buffer
    if frame is None or not frame.is_common or (frame.width, frame.height) != size or len(frame.components) != _LAYOUTS[mode][2]:
        return None
    width, height = -(-size[0] // scale), -(-size[1] // scale)
    pixels = np.empty((height, width, len(frame.components)), np.uint8)
    warning = _decode_into(pixels, file.body, mode)
    if warning and _HEADER_NOISE.search(warning):
        file = JpegFile.parse(file.without_metadata())
        warning = _decode_into(pixels, file.body, mode)
    if warning and _is_padding(warning, file):
        warning = None
    if warning and not _LOST_DATA.search(warning):
        return None
    if warning is None and file.lacks_scans():
        warning = "scans are missing"
    image = Image.frombuffer(mode, (width, height), pixels, "raw", _LAYOUTS[mode][1], 0, 1)
    return JpegPixels(image, warning and warning.removeprefix("Corrupt JPEG data: "))


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
