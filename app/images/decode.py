"""Bytes to 8-bit pixels: header, one full decode, and the pixel transforms on its result. Translates every error of Pillow.

Must not know checks or verdicts. The limit on pixels comes from the rules, so Pillow's own limit is switched off.
"""

import io
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

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

from app.images import colour_space, heif, metadata, pixels, structure, turbojpeg, unsupported
from app.images.jpeg import JpegFile
from app.images.structure import Integrity
from errors import Reason, ValidationError
from logging_setup.capture import is_capturing

__all__ = [
    "Decoded",
    "Header",
    "apply_orientation",
    "decode",
    "describe",
    "downscale",
    "fit_within",
    "orientation_of",
    "pillow_errors",
    "read_header",
    "reduce_as_drafted",
    "require_sound_metadata",
    "swaps_sides",
]

_OPENERS: Final[Mapping[str, Callable[[BinaryIO], Image.Image]]] = {
    "avif": AvifImagePlugin.AvifImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "heif": heif.open_image,
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}
"""By format. `Image.open` replaces what is wrong with a file by "cannot identify image file"; it also takes many phone photos for
multi-picture files and fails on a broken index."""

Image.MAX_IMAGE_PIXELS = None

_TRANSPOSE: Final[dict[int, Image.Transpose]] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF 2.32, 4.6.4, tag Orientation: the transposition that turns the stored rows into the picture."""

_FIRST_SIDEWAYS: Final = 5
"""Orientations from this one on exchange width and height."""

_OUT_OF_MEMORY: Final = re.compile(
    r"out of memory|^encoding error [12]$|^memory allocation error: (?!security limit)|Encoding of (color|alpha) planes failed",
    re.IGNORECASE,
)
"""How Pillow, libheif and libavif word it; the numbers are libwebp's VP8_ENC_ERROR_OUT_OF_MEMORY and VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY.
Of a picture whose size and mode it takes, libavif's encoder fails over nothing else."""

_OBJECT: Final = re.compile(r" ?<[\w.]+ object at 0x[0-9a-fA-F]+>")
"""How an exception names an object: by its address, which is another one each time."""

_BROKEN_METADATA: Final = (SyntaxError, TypeError, ValueError, LookupError, OSError, AttributeError, struct.error)
"""What Pillow raises over malformed EXIF data (seen with mutated files); the pixels do not depend on it."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is known before decoding. ``width`` and ``height`` as the file states them; ``image`` is not loaded yet."""

    format: str
    width: int
    height: int
    image: Image.Image


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded image.

    Attributes:
        width, height: pixels of the full-size image after the EXIF orientation is applied.
        frames: pictures in the file; only the first is decoded.
        is_complete: whether the file has its end marker.
        damage: how the decoder knows that data is lost and some pixels are wrong; None where they are all there.
        orientation: EXIF orientation, 1 to 8, not yet applied to ``image``.
        image: 8-bit L, RGB, RGBA or CMYK, without ``info``; a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, never below the
            size asked for.
        scale: the factor by which ``image`` is smaller than the full size.
        has_jpeg_data: whether the pixels are JPEG-coded, which is also possible in a TIFF.
        icc_profile: the colour profile of ``image``, embedded or equal to what the file states; None for sRGB.
        bits: of one channel as the file stores it.
        metadata_fault: why a loader fails over the metadata of the file, if one does.
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
    bits: int = 8
    metadata_fault: str | None = None
    damage: str | None = None


@contextmanager
def pillow_errors(action: str) -> Iterator[None]:
    """Translate what Pillow raises over hostile bytes, which is nearly anything, to `errors.ValidationError`.

    Args:
        action: begins the message, such as ``jpeg header``.

    Raises:
        MemoryError: memory ran out, also where Pillow reports that as another error.
    """
    try:
        with nullcontext() if is_capturing() else _ignore_warnings():
            yield
    except (ValidationError, MemoryError):
        raise
    except Exception as error:
        if _OUT_OF_MEMORY.search(str(error)):
            raise MemoryError(action) from error
        raise ValidationError(f"{action}: {describe(error)}"[:200], reason=Reason.CORRUPT) from error


def describe(error: Exception) -> str:
    """What an exception says, the same for the same file."""
    return _OBJECT.sub("", str(error)) or type(error).__name__


@contextmanager
def _decoder_errors(action: str, body: bytes, image_format: str) -> Iterator[None]:
    """`pillow_errors`, but a file that is only unsupported gets the reason ``format``."""
    try:
        with pillow_errors(action):
            yield
    except ValidationError as error:
        if error.slug is Reason.CORRUPT and (words := unsupported.find(body, image_format, error.message)):
            raise ValidationError(words, reason=Reason.FORMAT) from error
        raise


@contextmanager
def _ignore_warnings() -> Iterator[None]:
    """Drop warnings outside of a decoder process, which records them instead. Setting the filter costs 30 us an image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_header(body: bytes) -> Header:
    """Open without decoding.

    Raises:
        errors.ValidationError: not an image (``not_an_image``), a format, or a form of one, that is never decoded (``format``), or a broken
            header (``corrupt``).
    """
    name = structure.sniff(body)
    if name is None:
        raise ValidationError(f"{len(body)} bytes without the signature of an image format", reason=Reason.NOT_AN_IMAGE)
    if name not in structure.FORMATS:
        raise ValidationError(unsupported.refusal(name, structure.FORMATS), reason=Reason.FORMAT)
    with _decoder_errors(f"{name} header", body, name):
        image = _OPENERS[name](io.BytesIO(body))
        return Header(name, image.width, image.height, image)


def decode(body: bytes, header: Header, *, min_size: tuple[int, int] | None) -> Decoded:
    """Decode the first frame, all of its data, so that truncation and damage are found.

    Args:
        body: the file.
        header: of the same bytes; it cannot be used again.
        min_size: width and height in pixels, in the file's own orientation, that suffice; None for the full size.

    Raises:
        errors.ValidationError: the data is broken (``corrupt``), or of a kind that the decoder lacks (``format``).
        MemoryError: the picture does not fit into memory.
    """
    with _decoder_errors(f"{header.format} data", body, header.format):
        image = header.image
        icc_profile = colour_space.profile_of(image, body)
        scale = _draft_scale(header, min_size) if header.format == "jpeg" and min_size else 1
        loaded, integrity, damage = _load(body, header, scale)
        if integrity.damage:
            raise ValidationError(f"{header.format} data: {integrity.damage}", reason=Reason.CORRUPT)
        metadata_fault = _metadata_fault(body, header.format, image)
        orientation = orientation_of(image)
        width, height = (header.height, header.width) if swaps_sides(orientation) else (header.width, header.height)
        compression = image.info.get("compression")
        bare = pixels.to_8bit(loaded, body)
        bare.info = {}
        return Decoded(
            format=header.format,
            width=width,
            height=height,
            frames=integrity.frames or int(getattr(image, "n_frames", 1)),
            is_complete=integrity.is_complete,
            orientation=orientation,
            image=bare,
            scale=scale,
            has_jpeg_data="jpeg" in (header.format, compression),
            icc_profile=icc_profile,
            bits=pixels.bits_per_sample(image, body),
            metadata_fault=metadata_fault,
            damage=damage,
        )


def _metadata_fault(body: bytes, name: str, image: Image.Image) -> str | None:
    """Why a loader fails over the metadata. HEIF leaves re-encoded, without them."""
    if name == "heif":
        return None
    try:
        with pillow_errors(f"{name} metadata"):
            metadata.check(body, image)
    except ValidationError as error:
        return error.message
    return None


def require_sound_metadata(decoded: Decoded) -> None:
    """Raise `errors.ValidationError` (``corrupt``) where a loader fails over the metadata of the file."""
    if decoded.metadata_fault:
        raise ValidationError(decoded.metadata_fault, reason=Reason.CORRUPT)


def _load(body: bytes, header: Header, scale: int) -> tuple[Image.Image, Integrity, str | None]:
    """Return the pixels, what the file's structure says, and the damage that the decoder reported; a JPEG is decoded at 1/``scale``."""
    image = header.image
    if header.format != "jpeg":
        image.load()
        return image, structure.inspect(body, header.format), None
    file = JpegFile.parse(body)
    integrity = structure.inspect_jpeg(file)
    turbo = turbojpeg.decode(file, image.mode, image.size, scale)
    if turbo.image is not None:
        turbo.image.format, turbo.image.info = image.format, image.info
        return turbo.image, integrity, turbo.damage
    if scale > 1:
        image.draft(None, (header.width // scale, header.height // scale))
    image.load()
    return image, integrity, turbo.damage


def reduce_as_drafted(decoded: Decoded, header: Header, min_size: tuple[int, int]) -> Decoded:
    """Shrink a JPEG that was decoded larger to the size that `decode` would have chosen for ``min_size``.

    Decoding without the high frequencies and averaging squares of pixels agree to within one or two grey levels, so measured values do
    not depend on the size of the decode.
    """
    factor = _draft_scale(header, min_size) // decoded.scale if decoded.format == "jpeg" else 1
    return replace(decoded, image=decoded.image.reduce(factor), scale=decoded.scale * factor) if factor > 1 else decoded


def _draft_scale(header: Header, min_size: tuple[int, int]) -> int:
    """The factor, 1, 2, 4 or 8, by which a JPEG decoder may scale down at no cost."""
    most = min(header.width // min_size[0], header.height // min_size[1])
    return next(scale for scale in (8, 4, 2, 1) if most >= scale or scale == 1)


def orientation_of(image: Image.Image) -> int:
    """Read the EXIF orientation, 1 to 8, of any type of number, as Pillow applies it; 1 where it is missing or invalid."""
    try:
        value = image.getexif().get(metadata.ORIENTATION, 1)
        return int(value) if value in _TRANSPOSE else 1
    except _BROKEN_METADATA:
        return 1


def swaps_sides(orientation: int) -> bool:
    """Whether applying this EXIF orientation exchanges width and height."""
    return orientation >= _FIRST_SIDEWAYS


def apply_orientation(image: Image.Image, orientation: int) -> Image.Image:
    """Rotate and mirror the stored picture to its EXIF orientation."""
    return image.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else image


def fit_within(width: int, height: int, longer_side: int) -> tuple[int, int]:
    """Scale a size down, never up, so that its longer side is at most ``longer_side`` pixels; at least one pixel a side."""
    scale = min(1.0, longer_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def downscale(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale to exactly ``size`` with antialiasing; a far larger image is box-reduced first, which costs a fraction."""
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.5)
