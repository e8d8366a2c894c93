"""A decoded image as it leaves: resized, in sRGB, upright, re-encoded, free of metadata. The same pixels and rules give the same bytes.

Must not know where pixels come from or where bytes go.
"""

import io
from dataclasses import dataclass
from typing import Any, Final, Literal

from PIL import Image

from app.domain import Compressed, CompressionRules
from app.images import decode, levels, pixels, structure
from app.images.decode import Decoded, Header
from errors import Reason, ValidationError

__all__ = ["MAX_PIXELS", "needed", "refuse_size", "render"]

Encoding = Literal["jpeg", "webp", "png"]

MAX_PIXELS: Final = 178_956_970
"""Width times height of what is decoded or made here (Pillow's own hard limit): 512 MB in RGB. Validation's limit is lower."""

_LOSSLESS_EFFORT: Final = 50
"""0 to 100: for lossless WebP, Pillow's quality is the time spent, not what is lost."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """``scaled`` is the size the picture gets, ``canvas`` the size of the output: smaller where cropped, larger where padded."""

    scaled: tuple[int, int]
    canvas: tuple[int, int]


def refuse_size(width: int, height: int) -> None:
    """Raise `errors.ValidationError` (``too_many_pixels``) where a picture of this size is neither decoded nor made."""
    if width * height > MAX_PIXELS:
        raise ValidationError(f"{width}x{height} is {width * height} pixels, limit {MAX_PIXELS}", reason=Reason.TOO_MANY_PIXELS)


def needed(header: Header, rules: CompressionRules) -> tuple[int, int] | None:
    """Return the size, in the file's own orientation, below which a JPEG must not be decoded for these rules; None for all of it.

    It is also as large as a verdict of any level needs, so that what leaves is the same whether it is made along with one or later.

    Raises:
        errors.ValidationError: what would be decoded or made is too large.
    """
    refuse_size(header.width, header.height)
    if rules.resize == "none" or header.format != "jpeg":
        return None
    with decode.pillow_errors("jpeg header"):
        sideways = pixels.orientation_of(header.image) >= pixels.FIRST_SIDEWAYS
    size = (header.height, header.width) if sideways else (header.width, header.height)
    wide, high = _plan(*size, rules).scaled[:: -1 if sideways else 1]
    seen = pixels.fit_within(header.width, header.height, levels.SHARPNESS_SIDE)
    return max(wide, seen[0]), max(high, seen[1])


def render(body: bytes, decoded: Decoded, rules: CompressionRules) -> Compressed:
    """Re-encode a decoded image by rules that are not identity; ``body`` is the file it was decoded from.

    Raises:
        errors.ValidationError: the target encoding can't hold the result, or it is too large.
        MemoryError: the picture doesn't fit into memory.
    """
    refuse_size(decoded.width, decoded.height)
    plan = _plan(decoded.width, decoded.height, rules)
    encoding = _encoding(decoded, rules)
    with decode.pillow_errors(f"{encoding} from {decoded.format}"):
        image = _draw(decoded, plan)
        return Compressed(_encode(image, encoding, rules.level, _is_lossless(body, rules)), encoding, image.width, image.height)


def _plan(width: int, height: int, rules: CompressionRules) -> _Plan:
    """Compute the sizes in pixels for an upright picture."""
    if rules.resize == "none":
        return _Plan((width, height), (width, height))
    side = max(width, height) if rules.resize == "border" else min(width, height)
    scale = rules.size / side
    if rules.only_if_bigger:
        scale = min(1.0, scale)
    scaled = (max(1, round(width * scale)), max(1, round(height * scale)))
    refuse_size(*scaled)
    if rules.resize == "keep_ratio":
        return _Plan(scaled, scaled)
    square = rules.size if rules.resize == "border" else min(rules.size, *scaled)
    return _Plan(scaled, (square, square))


def _draw(decoded: Decoded, plan: _Plan) -> Image.Image:
    """Scale first, as every later step then works on fewer pixels; then turn, convert colours, crop or pad."""
    stored = plan.scaled[::-1] if decoded.orientation >= pixels.FIRST_SIDEWAYS else plan.scaled
    image = decoded.image
    if image.size != stored:
        image = image.resize(stored, Image.Resampling.BICUBIC, reducing_gap=3.0)
    image = pixels.to_srgb(pixels.upright(image, decoded.orientation), decoded.icc_profile)
    return image if image.size == plan.canvas else _onto(image, plan.canvas)


def _onto(image: Image.Image, canvas: tuple[int, int]) -> Image.Image:
    """Centre on a white canvas; what is beyond its edges is cropped."""
    drawn = Image.new(image.mode, canvas, "white")
    drawn.paste(image, ((canvas[0] - image.width) // 2, (canvas[1] - image.height) // 2))
    return drawn


def _encoding(decoded: Decoded, rules: CompressionRules) -> Encoding:
    """What ``keep`` means for a format, see `app.images.compress`."""
    if rules.format != "keep":
        return rules.format
    if decoded.has_jpeg_data:
        return "jpeg"
    if decoded.format == "avif":
        return "png" if decoded.image.mode == "RGBA" else "jpeg"
    return "webp" if decoded.format == "webp" else "png"


def _is_lossless(body: bytes, rules: CompressionRules) -> bool:
    return rules.format == "keep" and structure.is_lossless_webp(body)


def _encode(image: Image.Image, encoding: Encoding, level: int, lossless: bool) -> bytes:
    """Write without metadata: Pillow would carry comments and profiles over from ``info``."""
    out = io.BytesIO()
    options: dict[str, Any] = {"quality": level}
    if encoding == "png":
        options = {"compress_level": min(9, level // 10)}
    elif encoding == "jpeg":
        image = pixels.on_white(image)
    elif lossless:
        options = {"lossless": True, "quality": _LOSSLESS_EFFORT}
    image.info = {}
    image.save(out, encoding.upper(), **options)
    return out.getvalue()
