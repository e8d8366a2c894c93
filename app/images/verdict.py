"""One image's verdict: one decode, everything computed from it, also the bytes that leave. Must not know processes, rows or jobs."""

import io
from dataclasses import replace
from typing import Final

from PIL import Image

from app.domain import CompressionRules, Level, ValidationRules, Verdict
from app.images import checks, decode, levels, phash, pixels, rendering
from app.images.checks import Facts
from app.images.decode import Decoded, Header
from app.images.wire import CANNOT
from errors import ValidationError

__all__ = ["validate"]

_ENTROPY_SCALE = 8
"""Entropy is measured at 1/8 scale, where a JPEG's noise is averaged away."""

_THUMBNAIL: Final = {"quality": 75, "subsampling": "4:2:0"}
"""JPEG takes a sixth of the time of the fastest WebP, for a fifth more bytes (``benchmarks/images.py``)."""


def validate(body: bytes, rules: ValidationRules, compression: CompressionRules | None = None) -> Verdict:
    """Decode, measure and judge one image. Any bytes give a verdict.

    Size, hash, measures and thumbnail are filled wherever the image decoded, also where it is rejected; where it did not,
    format and size are what the header says, if it could be read.

    Args:
        body: the file.
        rules: what it must be.
        compression: how it leaves, if that is to be done from the same decoded pixels: ``output`` of a valid image is then filled,
            and one that cannot leave so is rejected.

    Raises:
        MemoryError: the picture doesn't fit into memory.
    """
    try:
        header = decode.read_header(body)
    except ValidationError as error:
        return Verdict(reason=error.slug, detail=error.message)
    facts = Facts(header.format, header.width, header.height)
    finding = levels.first_finding(levels.BEFORE_DECODING, facts, rules)
    if finding:
        return Verdict(finding.reason, finding.detail, header.format, header.width, header.height)
    try:
        return _decode_and_judge(body, header, rules, compression)
    except ValidationError as error:
        return Verdict(error.slug, error.message, header.format, header.width, header.height)


def _decode_and_judge(body: bytes, header: Header, rules: ValidationRules, compression: CompressionRules | None) -> Verdict:
    seen = pixels.fit_within(header.width, header.height, levels.side_needed(rules.level))
    if compression is None or compression.is_identity:
        return _judge(decode.decode(body, header, at_least=seen), rules)
    decoded = decode.decode(body, header, at_least=_serving_both(seen, header, compression))
    verdict = _judge(decode.as_if_drafted(decoded, header, seen), rules)
    return verdict if verdict.reason else _leaving(verdict, body, decoded, compression)


def _serving_both(seen: tuple[int, int], header: Header, compression: CompressionRules) -> tuple[int, int] | None:
    """The size below which a JPEG must not be decoded. What cannot leave is judged all the same, and told afterwards why it can't."""
    try:
        return rendering.needed(header, compression)
    except ValidationError:
        return seen


def _leaving(verdict: Verdict, body: bytes, decoded: Decoded, compression: CompressionRules) -> Verdict:
    try:
        return replace(verdict, output=rendering.render(body, decoded, compression))
    except ValidationError as error:
        return replace(verdict, reason=error.slug, detail=f"{CANNOT}: {error.message}")


def _judge(decoded: Decoded, rules: ValidationRules) -> Verdict:
    """Measure a decoded image and run the checks of the rules' level."""
    with decode.pillow_errors(f"{decoded.format} pixels"):
        shown = pixels.on_white(_thumbnail(decoded))
        grey = shown.convert("L")
        facts = _measure(decoded, grey, rules.level)
        finding = levels.first_finding(levels.checks_of(rules.level), facts, rules)
        return Verdict(
            reason=finding.reason if finding else None,
            detail=finding.detail if finding else "",
            format=decoded.format,
            width=decoded.width,
            height=decoded.height,
            frames=decoded.frames,
            phash=phash.perceptual_hash(grey),
            measures=facts.measures(),
            thumbnail=_as_jpeg(shown),
        )


def _thumbnail(decoded: Decoded) -> Image.Image:
    """The picture upright, at most `levels.THUMBNAIL_SIDE` pixels on its longer side."""
    size = pixels.fit_within(*decoded.image.size, levels.THUMBNAIL_SIDE)
    return pixels.upright(pixels.shrink(decoded.image, size), decoded.orientation)


def _measure(decoded: Decoded, grey: Image.Image, level: Level) -> Facts:
    """Compute every value, also those that only stricter checks look at, as long as it costs next to nothing."""
    counts = grey.histogram()
    return Facts(
        format=decoded.format,
        width=decoded.width,
        height=decoded.height,
        frames=decoded.frames,
        is_complete=decoded.is_complete,
        entropy=checks.entropy_of(_counts_of_an_eighth(decoded, counts)),
        brightness=checks.brightness_of(counts),
        sharpness=checks.sharpness_of(grey) if levels.measures_sharpness(level) else None,
    )


def _counts_of_an_eighth(decoded: Decoded, counts: list[int]) -> list[int]:
    """The grey histogram at 1/8 of the full size. A JPEG may have come smaller already; where it is that small, ``counts`` are it."""
    done = round(max(decoded.width, decoded.height) / max(decoded.image.size))
    factor = max(1, _ENTROPY_SCALE // max(1, done))
    if factor == 1 and max(decoded.image.size) <= levels.THUMBNAIL_SIDE:
        return counts
    return pixels.on_white(decoded.image.reduce(factor)).convert("L").histogram()


def _as_jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **_THUMBNAIL)
    return out.getvalue()
