"""Looks at the stored bytes of images that a person keeps: they must be there, whole, and decode, whatever a check made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from app.domain import Reason, StoredImage, Verdict
from app.images.pool.pool import DecoderPool
from app.resources import Resources
from app.rules import MAX_DRAWN_PIXELS, ValidationRules
from app.storage import paths

__all__ = ["ANY_IMAGE", "Facts", "look_at"]

ANY_IMAGE: Final = ValidationRules(level="basic", min_width=1, min_height=1, max_pixels=MAX_DRAWN_PIXELS)
"""What decodes is taken: a lock or a person has decided."""

UNREAD: Final = frozenset({Reason.CORRUPT, Reason.DECODER_CRASH, Reason.FORMAT})
"""Reasons of images whose bytes may not decode."""

LOST: Final = "its bytes are not in the store any more, or damaged"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the bytes of an image are.

    Attributes:
        problem: why it cannot be kept; None if it can.
        columns: of its row, where it had not been decoded before.
    """

    problem: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)


async def look_at(resources: Resources, found: Sequence[StoredImage]) -> dict[int, Facts]:
    """Return by image id what the bytes of images are. Those that a check rejected before they were decoded are decoded now."""
    store = resources.store
    held = await store.holds_many([(paths.blob(str(image.sha256)), str(image.sha256)) for image in found])
    facts = {image.id: Facts() if is_held else Facts(LOST) for image, is_held in zip(found, held, strict=True)}
    unread = [image for image in found if facts[image.id].problem is None and (image.phash is None or image.reason in UNREAD)]
    if unread:
        async with DecoderPool.from_settings(resources.settings) as decoders:
            for image in unread:
                facts[image.id] = await _decode(resources, decoders, image)
    return facts


async def _decode(resources: Resources, decoders: DecoderPool, image: StoredImage) -> Facts:
    key = paths.blob(str(image.sha256))
    source: Path | bytes = resources.store.local_path(key) or await resources.store.get(key)
    verdict = await decoders.validate(source, ANY_IMAGE)
    if verdict.phash is None or verdict.reason in UNREAD:
        return Facts(f"its bytes do not decode: {verdict.detail or verdict.reason}")
    if verdict.thumbnail is not None:
        for error in await resources.store.put_many([(paths.thumb(str(image.sha256)), verdict.thumbnail)]):
            if error is not None:
                raise error
    return Facts(columns=_columns(image, verdict))


def _columns(image: StoredImage, verdict: Verdict) -> dict[str, Any]:
    return {
        "media_type": f"image/{verdict.format}" if verdict.format else image.media_type,
        "width": verdict.width,
        "height": verdict.height,
        "phash": verdict.phash,
        "colour_grid": verdict.colour_grid,
        "measures": dict(verdict.measures),
    }
