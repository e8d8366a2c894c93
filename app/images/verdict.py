"""One image's verdict: one decode, everything computed from it. Must not know processes, rows or jobs."""

import io
from typing import Final

import numpy as np
from PIL import Image

from app.images import checks, decode, levels, phash, pixels
from app.images.checks import Facts
from app.images.decode import Decoded
from app.records import Level, ValidationRules, Verdict
from errors import ValidationError

__all__ = ["validate"]

_ENTROPY_SCALE = 8
"""Entropy is measured at 1/8 scale, where a JPEG's noise is averaged away."""

_THUMBNAIL: Final = {"quality": 75, "subsampling": "4:2:0"}
"""JPEG takes a sixth of the time of the fastest WebP, for a fifth more bytes (``benchmarks/images.py``)."""


def validate(body: bytes, rules: ValidationRules) -> Verdict:
    """Decode, measure and judge one image. Any bytes give a verdict.

    Size, hash, measures and thumbnail are filled wherever the image decoded, also where it is rejected; where it did not,
    format and size are what the header says, if it could be read.

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
        at_least = pixels.fit_within(header.width, header.height, levels.side_needed(rules.level))
        return _judge(decode.decode(body, header, at_least=at_least), rules)
    except ValidationError as error:
        return Verdict(error.slug, error.message, header.format, header.width, header.height)


def _judge(decoded: Decoded, rules: ValidationRules) -> Verdict:
    """Measure a decoded image and run the checks of the rules' level."""
    with decode.pillow_errors(f"{decoded.format} pixels"):
        thumbnail = _thumbnail(decoded)
        shown = pixels.on_white(thumbnail)
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
    """The picture upright, at most `levels.THUMBNAIL_SIDE` pixels on its longer side, in L, RGB or RGBA."""
    size = pixels.fit_within(*decoded.image.size, levels.THUMBNAIL_SIDE)
    small = pixels.upright(pixels.shrink(decoded.image, size), decoded.orientation)
    return small.convert("RGB") if small.mode == "CMYK" else small


def _measure(decoded: Decoded, grey: Image.Image, level: Level) -> Facts:
    """Compute every value, also those that only stricter checks look at, as long as it costs next to nothing."""
    return Facts(
        format=decoded.format,
        width=decoded.width,
        height=decoded.height,
        frames=decoded.frames,
        is_complete=decoded.is_complete,
        entropy=checks.entropy_of(_eighth(decoded)),
        brightness=float(np.asarray(grey).mean()),
        sharpness=checks.sharpness_of(grey) if levels.measures_sharpness(level) else None,
    )


def _eighth(decoded: Decoded) -> Image.Image:
    """The grey image at 1/8 of the full size; a JPEG may have come smaller than full already."""
    done = round(max(decoded.width, decoded.height) / max(decoded.image.size))
    small = decoded.image.reduce(max(1, _ENTROPY_SCALE // max(1, done)))
    return pixels.on_white(small).convert("L")


def _as_jpeg(image: Image.Image) -> bytes:
    """Encode without any of the original's metadata, which Pillow would carry over from ``info``."""
    image.info = {}
    out = io.BytesIO()
    image.save(out, "JPEG", **_THUMBNAIL)
    return out.getvalue()
