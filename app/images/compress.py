"""Bytes of one image to the bytes that leave. Must not know where bytes come from or go to."""

from app.domain import Compressed, CompressionRules
from app.images import decode, rendering
from app.images.decode import Header

__all__ = ["compress"]


def compress(body: bytes, rules: CompressionRules) -> Compressed:
    """Re-encode one image by the rules; identity rules return the bytes as they are, metadata and all.

    The first frame is taken, EXIF orientation applied, an ICC profile converted to sRGB and dropped; for JPEG, transparency
    becomes white. ``keep`` with a resize re-encodes jpeg, png and webp (lossless where the original is) as themselves,
    gif, bmp and tiff as png, and as jpeg what was lossy and can't be written back: avif without transparency, tiff with
    JPEG data. With ``only_if_bigger`` a small picture is cropped to a smaller square, or padded, but never enlarged.

    Raises:
        errors.ValidationError: the bytes don't decode, or the target encoding can't hold the result.
        MemoryError: the picture doesn't fit into memory.
    """
    header = decode.read_header(body)
    if rules.is_identity:
        rendering.refuse_size(header.width, header.height)
        return _as_it_is(body, header)
    decoded = decode.decode(body, header, at_least=rendering.needed(header, rules))
    return rendering.render(body, decoded, rules)


def _as_it_is(body: bytes, header: Header) -> Compressed:
    """Report format and upright size; the whole image is decoded once, so that broken bytes don't leave."""
    decoded = decode.decode(body, header, at_least=(1, 1))
    return Compressed(body, header.format, decoded.width, decoded.height)
