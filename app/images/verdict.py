"""The verdict on one image: one decode, from which everything is computed, also the re-encoded output. Knows no processes, rows or jobs."""

import io
from dataclasses import replace
from typing import Final

from PIL import Image

from app.domain import Compressed, Verdict
from app.images import checks, colour, decode, measures, rendering, repair, rights
from app.images.checks import Facts
from app.images.decode import Decoded, Header
from app.rules import CompressionRules, ValidationRules
from errors import ValidationError

__all__ = ["validate"]

_ENTROPY_SCALE: Final = 8
"""Entropy is measured at 1/8 scale, where a JPEG's noise is averaged out."""

_THUMBNAIL: Final = {"quality": 75, "subsampling": "4:2:0"}
"""JPEG takes a sixth of the time of the fastest WebP, for a fifth more bytes (``benchmarks/images.py``)."""


def validate(body: bytes, rules: ValidationRules, compression: CompressionRules | None = None) -> Verdict:
    """Decode, measure and judge one image. Any bytes give a verdict.

    Size, hash, measures and thumbnail are filled wherever the image decodes, also where it is rejected. Where it does not, format and
    size are those of the header, if that could be read. A file that only decodes without its metadata is judged without it.

    Args:
        body: the file.
        rules: what it must be.
        compression: how it is re-encoded from the same decoded pixels, if it is: ``output`` of a valid image is then filled, and an
            image that cannot be re-encoded is rejected.

    Raises:
        MemoryError: the picture does not fit into memory.
    """
    try:
        verdict, repaired = repair.decode_or_repair(body, lambda form: _validate(form, rules, compression))
    except ValidationError as error:
        return Verdict(error.slug, error.message, *_header_facts(body))
    if verdict.reason:
        return verdict
    verdict = replace(verdict, rights=rights.read(body))
    if repaired is None:
        return verdict
    assert verdict.format
    output = verdict.output or Compressed(repaired.body, verdict.format, verdict.width or 0, verdict.height or 0)
    return replace(verdict, output=replace(output, changes=repaired.changes))


def _header_facts(body: bytes) -> tuple[str | None, int | None, int | None]:
    """Format, width and height of a file that does not decode, where its header can be read."""
    try:
        header = decode.read_header(body)
    except ValidationError:
        return None, None, None
    return header.format, header.width, header.height


def _validate(body: bytes, rules: ValidationRules, compression: CompressionRules | None) -> Verdict:
    header = decode.read_header(body)
    facts = Facts(header.format, header.width, header.height)
    violation = checks.find_violation(checks.BEFORE_DECODING, facts, rules)
    if violation:
        return Verdict(violation.reason, violation.detail, header.format, header.width, header.height)
    return _decode_and_judge(body, header, rules, compression)


def _decode_and_judge(body: bytes, header: Header, rules: ValidationRules, compression: CompressionRules | None) -> Verdict:
    measured_size = decode.fit_within(header.width, header.height, checks.side_needed(rules.level))
    if compression is None or compression.is_identity:
        decoded = decode.decode(body, header, min_size=measured_size)
        decode.require_sound_metadata(decoded)
        return _judge(decoded, rules)
    decoded = decode.decode(body, header, min_size=_size_for_both(measured_size, header, compression))
    decode.require_sound_metadata(decoded)
    verdict = _judge(decode.reduce_as_drafted(decoded, header, measured_size), rules)
    return verdict if verdict.reason else _with_output(verdict, body, decoded, compression)


def _size_for_both(measured_size: tuple[int, int], header: Header, compression: CompressionRules) -> tuple[int, int] | None:
    """The size below which a JPEG must not be decoded. An image that cannot be re-encoded is judged first; `_with_output` rejects it."""
    try:
        return rendering.min_decode_size(header, compression)
    except ValidationError:
        return measured_size


def _with_output(verdict: Verdict, body: bytes, decoded: Decoded, compression: CompressionRules) -> Verdict:
    try:
        return replace(verdict, output=rendering.render(body, decoded, compression))
    except ValidationError as error:
        return replace(verdict, reason=error.slug, detail=f"{checks.CANNOT_COMPRESS}: {error.message}")


def _judge(decoded: Decoded, rules: ValidationRules) -> Verdict:
    """Measure a decoded image and apply the checks of the rules' level."""
    with decode.pillow_errors(f"{decoded.format} pixels"):
        small = colour.to_srgb(_small_upright(decoded), decoded.icc_profile)
        ground = _ground_of(small, rules)
        thumbnail = colour.flatten(small, ground)
        grey = thumbnail.convert("L")
        facts = _measure(decoded, thumbnail, grey, ground, rules)
        violation = checks.find_violation(checks.checks_of(rules.level), facts, rules)
        return Verdict(
            reason=violation.reason if violation else None,
            detail=violation.detail if violation else "",
            format=decoded.format,
            width=decoded.width,
            height=decoded.height,
            frames=decoded.frames,
            phash=measures.perceptual_hash(grey),
            colour_grid=measures.colour_grid(thumbnail),
            measures=facts.measures(),
            thumbnail=_encode_thumbnail(thumbnail),
        )


def _small_upright(decoded: Decoded) -> Image.Image:
    """The picture with its orientation applied, at most `checks.THUMBNAIL_SIDE` pixels on its longer side."""
    size = decode.fit_within(*decoded.image.size, checks.THUMBNAIL_SIDE)
    return decode.apply_orientation(decode.downscale(decoded.image, size), decoded.orientation)


def _ground_of(small: Image.Image, rules: ValidationRules) -> str:
    """The colour behind transparency: white, or black if nothing can be seen on white, as with a white glyph."""
    if small.mode != "RGBA" or _is_visible(colour.flatten(small), rules):
        return "white"
    return "black" if _is_visible(colour.flatten(small, "black"), rules) else "white"


def _is_visible(picture: Image.Image, rules: ValidationRules) -> bool:
    return measures.entropy_of(picture.convert("L").histogram()) >= rules.min_entropy or measures.edges_of(picture) >= rules.min_edges


def _measure(decoded: Decoded, thumbnail: Image.Image, grey: Image.Image, ground: str, rules: ValidationRules) -> Facts:
    """Compute every value, also those that only stricter levels check, except those that are not cheap: sharpness and edges."""
    counts = grey.histogram()
    entropy = measures.entropy_of(_eighth_scale_histogram(decoded, counts, ground))
    return Facts(
        format=decoded.format,
        width=decoded.width,
        height=decoded.height,
        frames=decoded.frames,
        is_complete=decoded.is_complete,
        damage=decoded.damage,
        bits=decoded.bits,
        entropy=entropy,
        edges=measures.edges_of(thumbnail) if entropy < rules.min_entropy else None,
        brightness=measures.brightness_of(counts),
        sharpness=measures.sharpness_of(grey) if checks.measures_sharpness(rules.level) else None,
    )


def _eighth_scale_histogram(decoded: Decoded, counts: list[int], ground: str) -> list[int]:
    """The grey histogram at 1/8 of the full size; ``counts``, the thumbnail's, where the decoded image is that small already."""
    done = round(max(decoded.width, decoded.height) / max(decoded.image.size))
    factor = max(1, _ENTROPY_SCALE // max(1, done))
    if factor == 1 and max(decoded.image.size) <= checks.THUMBNAIL_SIDE:
        return counts
    return colour.to_display(decoded.image.reduce(factor), decoded.icc_profile, ground).convert("L").histogram()


def _encode_thumbnail(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **_THUMBNAIL)
    return out.getvalue()
