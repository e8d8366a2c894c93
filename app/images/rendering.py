"""How an image is re-encoded: resized, converted to sRGB, upright, without metadata. The same pixels and rules give the same bytes.

Must not know where bytes come from or go to.
"""

import io
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from PIL import Image

from app import encoders
from app.domain import Compressed
from app.images import checks, colour, decode, repair, structure
from app.images.decode import Decoded, Header
from app.rules import ENCODER_SIDES, MAX_DRAWN_PIXELS, CompressionRules
from errors import Reason, ValidationError

__all__ = ["compress", "min_decode_size", "refuse_size", "render"]

Encoding = Literal["jpeg", "webp", "webp-lossless", "png", "avif"]

_LOSSLESS_EFFORT: Final = 50
"""0 to 100: for WebP that was lossless and is kept so, Pillow's quality is the time spent."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Sizes in pixels: ``scaled`` of the picture, ``canvas`` of the output, which is smaller where cropped and larger where padded."""

    scaled: tuple[int, int]
    canvas: tuple[int, int]


def compress(body: bytes, rules: CompressionRules) -> Compressed:
    """Re-encode one image by the rules; identity rules return the bytes as they are, metadata included unless loaders fail over it.
    HEIF, which no loader reads, is re-encoded by any rules.

    The first frame is taken, EXIF orientation applied, an ICC profile converted to sRGB and dropped; for JPEG, transparency
    becomes white. ``webp-lossless`` and ``png`` hold each pixel of the result as it is. ``keep`` with a resize re-encodes
    jpeg, png and webp (lossless where the original is) as themselves, gif, bmp and tiff as png, and as jpeg what was lossy and is
    rarely read: avif and heif without transparency, tiff with JPEG data. With ``only_if_bigger`` a small picture is cropped to a
    smaller square, or padded, but never enlarged.

    Raises:
        errors.ValidationError: the bytes do not decode, or the target encoding cannot hold the result.
        MemoryError: the picture does not fit into memory.
    """
    output, repaired = repair.decode_or_repair(body, lambda form: _compress(form, rules))
    return replace(output, changes=repaired.changes) if repaired else output


def _compress(body: bytes, rules: CompressionRules) -> Compressed:
    header = decode.read_header(body)
    if not rules.is_identity or header.format == "heif":
        decoded = decode.decode(body, header, min_size=min_decode_size(header, rules))
        decode.require_sound_metadata(decoded)
        return render(body, decoded, rules)
    refuse_size(header.width, header.height)
    decoded = decode.decode(body, header, min_size=(1, 1))  # finds damage, and the size with the orientation applied
    decode.require_sound_metadata(decoded)
    return Compressed(body, header.format, decoded.width, decoded.height)


def refuse_size(width: int, height: int) -> None:
    """Raise `errors.ValidationError` (``too_many_pixels``) where a picture of this size is neither decoded nor drawn."""
    if width * height > MAX_DRAWN_PIXELS:
        raise ValidationError(f"{width}x{height} is {width * height} pixels, limit {MAX_DRAWN_PIXELS}", reason=Reason.TOO_MANY_PIXELS)


def min_decode_size(header: Header, rules: CompressionRules) -> tuple[int, int] | None:
    """Return the size, in the file's own orientation, below which a JPEG must not be decoded for these rules; None for the full size.

    The size also suffices for a verdict of any level, so that the output is the same whether it is made along with the verdict or later.

    Raises:
        errors.ValidationError: what would be decoded or drawn is too large.
    """
    refuse_size(header.width, header.height)
    if rules.resize == "none" or header.format != "jpeg":
        return None
    with decode.pillow_errors("jpeg header"):
        sideways = decode.swaps_sides(decode.orientation_of(header.image))
    size = (header.height, header.width) if sideways else (header.width, header.height)
    width, height = _plan(*size, rules).scaled[:: -1 if sideways else 1]
    measured_width, measured_height = decode.fit_within(header.width, header.height, checks.SHARPNESS_SIDE)
    return max(width, measured_width), max(height, measured_height)


def render(body: bytes, decoded: Decoded, rules: CompressionRules) -> Compressed:
    """Re-encode a decoded image by rules that are not identity; ``body`` is the file it was decoded from.

    Raises:
        errors.ValidationError: the target encoding cannot hold the result (``format``), or it is too large for the limit on pixels or for
            memory (``too_many_pixels``).
    """
    refuse_size(decoded.width, decoded.height)
    plan = _plan(decoded.width, decoded.height, rules)
    encoding = _encoding_of(body, decoded, rules)
    _refuse_side(encoding, plan.canvas)
    _require_encoder(encoding)
    level = _LOSSLESS_EFFORT if encoding == "webp-lossless" and rules.format == "keep" else rules.level
    try:
        with decode.pillow_errors(f"{encoding} from {decoded.format}"):
            image = _draw(decoded, plan)
            return Compressed(_encode(image, encoding, level), encoding.removesuffix("-lossless"), image.width, image.height)
    except MemoryError as error:
        raise ValidationError(
            f"{encoding} of {plan.canvas[0]}x{plan.canvas[1]}: out of memory; a smaller compress.size needs less, "
            "validate.child_memory_bytes allows more",
            reason=Reason.TOO_MANY_PIXELS,
        ) from error


def _refuse_side(encoding: Encoding, canvas: tuple[int, int]) -> None:
    """Raise `errors.ValidationError` (``format``) where the encoder takes no picture of this size."""
    longest = ENCODER_SIDES.get(encoding)
    if longest is not None and max(canvas) > longest:
        words = f"{encoding} takes at most {longest} pixels a side, not {canvas[0]}x{canvas[1]}; resize, or use another compress.format"
        raise ValidationError(words, reason=Reason.FORMAT)


def _require_encoder(encoding: Encoding) -> None:
    if missing := encoders.find_missing(encoding):
        raise ValidationError(missing, reason=Reason.FORMAT)


def _plan(width: int, height: int, rules: CompressionRules) -> _Plan:
    """Compute the sizes for an upright picture."""
    plan = _Plan(*rules.sizes(width, height))
    refuse_size(*plan.scaled)
    refuse_size(*plan.canvas)
    return plan


def _draw(decoded: Decoded, plan: _Plan) -> Image.Image:
    """Scale first, because every later step then works on fewer pixels; then rotate, convert colours, crop or pad."""
    stored_size = plan.scaled[::-1] if decode.swaps_sides(decoded.orientation) else plan.scaled
    image = decoded.image
    if image.size != stored_size:
        image = image.resize(stored_size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    image = colour.to_srgb(decode.apply_orientation(image, decoded.orientation), decoded.icc_profile)
    return image if image.size == plan.canvas else _crop_or_pad(image, plan.canvas)


def _crop_or_pad(image: Image.Image, canvas: tuple[int, int]) -> Image.Image:
    """Centre the picture on a white canvas, width and height in pixels; parts outside of it are cropped."""
    drawn = Image.new(image.mode, canvas, "white")
    drawn.paste(image, ((canvas[0] - image.width) // 2, (canvas[1] - image.height) // 2))
    return drawn


def _encoding_of(body: bytes, decoded: Decoded, rules: CompressionRules) -> Encoding:
    """The target encoding; `compress` says what ``keep`` means for each format."""
    if rules.format != "keep":
        return rules.format
    if decoded.has_jpeg_data:
        return "jpeg"
    if decoded.format in ("avif", "heif"):
        return "png" if decoded.image.mode == "RGBA" else "jpeg"
    if decoded.format == "webp":
        return "webp-lossless" if structure.is_lossless_webp(body) else "webp"
    return "png"


def _encode(image: Image.Image, encoding: Encoding, level: int) -> bytes:
    """Write without metadata: Pillow would copy comments and profiles from ``info``.

    AVIF is written by one thread, because its bytes depend on their number; there is a process for each core.
    """
    out = io.BytesIO()
    options: dict[str, Any] = {"quality": level}
    if encoding == "png":
        options = {"compress_level": min(9, level // 10)}
    elif encoding == "jpeg":
        image = colour.flatten(image)
    elif encoding == "webp-lossless":
        options |= {"lossless": True, "exact": True}  # exact keeps the colours below transparency
    elif encoding == "avif":
        options["max_threads"] = 1
    image.info = {}
    image.save(out, encoding.removesuffix("-lossless").upper(), **options)
    return out.getvalue()
