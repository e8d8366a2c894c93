"""Loads an image as the loaders do that the exports document, to find what one of them would fail over. Knows no rows and no exports.

Hugging Face datasets: ``Image.open``, ``load``, ``getexif``, and ``exif_transpose`` where there is an orientation. torchvision and
webdataset: ``Image.open`` and ``convert("RGB")``.
"""

import io
from typing import Final

from PIL import Image, ImageOps

from app.domain import Verdict
from app.images import decode, metadata, structure
from errors import Reason, ValidationError

__all__ = ["load"]

_BOMB_PIXELS: Final = 178_956_970
"""Twice the default of ``Image.MAX_IMAGE_PIXELS``: above it Pillow refuses to open a file, as loaders leave it. Here it is switched off."""

_DRAFT_SCALE: Final = 8
"""A JPEG is decoded at 1/8 of its size: every scan is read, at half the cost."""


def load(body: bytes) -> Verdict:
    """Load the first picture.

    Returns:
        Its format and its size in pixels, upright.

    Raises:
        errors.ValidationError: a loader would fail, with the words of its error.
        MemoryError: the picture does not fit into memory.
    """
    name = structure.sniff(body)
    if name is None or name not in structure.FORMATS:
        raise ValidationError(f"not an image of a known format: {name or 'no signature'}", reason=Reason.NOT_AN_IMAGE)
    with decode.pillow_errors(f"cannot be loaded as {name}"):
        image = Image.open(io.BytesIO(body), formats=(name.upper(),))
        width, height = image.size
        if width * height > _BOMB_PIXELS:
            raise ValidationError(f"{width}x{height} pixels: Pillow opens up to {_BOMB_PIXELS} pixels", reason=Reason.TOO_MANY_PIXELS)
        image.draft("L", (width // _DRAFT_SCALE, height // _DRAFT_SCALE))
        image.load()
        pixel = metadata.one_pixel(image)
        if image.getexif().get(metadata.ORIENTATION) is not None:
            ImageOps.exif_transpose(pixel)
        pixel.convert("RGB")
    if decode.swaps_sides(decode.orientation_of(image)):
        width, height = height, width
    return Verdict(format=name, width=width, height=height)
