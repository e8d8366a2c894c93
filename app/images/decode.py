"""Bytes to pixels, once: format, bound, frames and the full decode, with every error of Pillow translated at one border.

Must not know levels or verdicts. The bound on pixels is ours and comes from the rules, so Pillow's own is switched off.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Final

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from app.images import pixels, structure
from errors import Reason, ValidationError
from logging_setup.capture import is_capturing

__all__ = ["Decoded", "Header", "as_if_drafted", "decode", "pillow_errors", "read_header"]

_PLUGINS: Final = (AvifImagePlugin, BmpImagePlugin, GifImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)
"""Imported by name: Pillow would otherwise load all of its plugins at the first format it doesn't know yet."""

Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, slots=True)
class Header:
    """What is known before a pixel is decoded. ``width`` and ``height`` as the file states them; ``image`` is not loaded yet."""

    format: str
    width: int
    height: int
    image: Image.Image


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded image.

    Attributes:
        width, height: pixels of the whole image after the EXIF orientation is applied.
        frames: pictures in the file; only the first is decoded.
        is_complete: whether the file has its end marker.
        orientation: EXIF orientation, 1 to 8, that ``image`` still needs.
        image: 8-bit L, RGB, RGBA or CMYK, without ``info``; a JPEG may come at 1/2, 1/4 or 1/8 of its size, never below the size
            asked for.
        scale: by how much ``image`` is smaller than the whole.
        has_jpeg_data: whether the pixels are coded as in a JPEG, which a TIFF's may be.
        icc_profile: the embedded colour profile, for the colours as they are in ``image``.
    """

    format: str
    width: int
    height: int
    frames: int
    is_complete: bool
    orientation: int
    image: Image.Image
    scale: int = 1
    has_jpeg_data: bool = False
    icc_profile: bytes | None = None


@contextmanager
def pillow_errors(doing: str) -> Iterator[None]:
    """Translate what Pillow raises over hostile bytes, which is nearly anything, to `errors.ValidationError`.

    Raises:
        MemoryError: where memory ran out, also where Pillow dresses that up as another error.
    """
    try:
        with nullcontext() if is_capturing() else _unheard():
            yield
    except (ValidationError, MemoryError):
        raise
    except Exception as error:
        if "out of memory" in str(error).lower():
            raise MemoryError(doing) from error
        raise ValidationError(f"{doing}: {str(error) or type(error).__name__}"[:200], reason=Reason.CORRUPT) from error


@contextmanager
def _unheard() -> Iterator[None]:
    """No warnings, where nobody listens. In a decoder somebody does, and has said once for all what is heard: saying it costs 30 us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_header(body: bytes) -> Header:
    """Open without decoding.

    Raises:
        errors.ValidationError: not an image (``not_an_image``), a format we never decode (``format``), or a broken header (``corrupt``).
    """
    name = structure.sniff(body)
    if name is None:
        raise ValidationError(f"{len(body)} bytes that begin like no image", reason=Reason.NOT_AN_IMAGE)
    if name not in structure.FORMATS:
        raise ValidationError(f"{name} is not a format that is decoded", reason=Reason.FORMAT)
    with pillow_errors(f"{name} header"):
        image = _open(body, name)
        return Header(name, image.width, image.height, image)


def _open(body: bytes, name: str) -> Image.Image:
    """A JPEG is opened as such: Pillow would make a multi-picture file of many a phone's photo, and trip over a broken index."""
    if name == "jpeg":
        return JpegImagePlugin.JpegImageFile(io.BytesIO(body))
    return Image.open(io.BytesIO(body), formats=(name.upper(),))


def decode(body: bytes, header: Header, *, at_least: tuple[int, int] | None) -> Decoded:
    """Decode the first frame, all of its data, so that truncation and damage show.

    Args:
        body: the file.
        header: of the same bytes; it is used up.
        at_least: width and height in pixels, in the file's own orientation, that suffice; None for all of them.

    Raises:
        errors.ValidationError: the data is broken (``corrupt``).
        MemoryError: the picture doesn't fit into memory.
    """
    with pillow_errors(f"{header.format} data"):
        image = header.image
        scale = 1
        if at_least is not None and image.draft(None, at_least):
            scale = _draft_scale(header, at_least)
        frames = int(getattr(image, "n_frames", 1))
        image.load()
        _refuse_damage(body, header.format)
        orientation = pixels.orientation_of(image)
        width, height = (header.height, header.width) if orientation >= pixels.FIRST_SIDEWAYS else (header.width, header.height)
        icc_profile, compression = image.info.get("icc_profile"), image.info.get("compression")
        bare = pixels.to_8bit(image)
        bare.info = {}
        return Decoded(
            format=header.format,
            width=width,
            height=height,
            frames=frames,
            is_complete=structure.has_end(body, header.format),
            orientation=orientation,
            image=bare,
            scale=scale,
            has_jpeg_data="jpeg" in (header.format, compression),
            icc_profile=icc_profile,
        )


def as_if_drafted(decoded: Decoded, header: Header, at_least: tuple[int, int]) -> Decoded:
    """Shrink what was decoded larger to the size in which `decode` would have given it for ``at_least``.

    A JPEG decoder that leaves out the high frequencies and a mean over squares of pixels show the same to within a grey level or two,
    so what is measured does not depend on what else was wanted of the decode.
    """
    factor = _draft_scale(header, at_least) // decoded.scale if decoded.format == "jpeg" else 1
    return replace(decoded, image=decoded.image.reduce(factor), scale=decoded.scale * factor) if factor > 1 else decoded


def _draft_scale(header: Header, at_least: tuple[int, int]) -> int:
    """By how much Pillow's ``draft`` has a JPEG decoded smaller."""
    most = min(header.width // at_least[0], header.height // at_least[1])
    return next(scale for scale in (8, 4, 2, 1) if most >= scale or scale == 1)


def _refuse_damage(body: bytes, name: str) -> None:
    damage = structure.find_damage(body, name)
    if damage:
        raise ValidationError(f"{name} data: {damage}", reason=Reason.CORRUPT)
